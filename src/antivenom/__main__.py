"""`python -m antivenom`."""

from __future__ import annotations

from antivenom.cli.main import main

if __name__ == "__main__":
    main()
