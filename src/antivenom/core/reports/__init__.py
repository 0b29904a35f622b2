"""What a scan found, as people and other tools read it: one module a format."""
