"""What Antivenom needs where nothing may be installed: with the standard library alone, on Python 3.10 and newer."""

__version__ = "0.1.0"
