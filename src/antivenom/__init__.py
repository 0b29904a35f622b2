"""Antivenom: the self-hosted security manager for conda."""

__version__ = "0.1.0"
