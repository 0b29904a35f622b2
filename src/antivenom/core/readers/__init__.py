"""Readers of what can be scanned: one module a format, from bytes to snapshots (registry.py lists them)."""
