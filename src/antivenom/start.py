"""The console script: what the client can scan alone is scanned at once, all else is for the command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command. Nothing is imported here that a quick scan does not need."""
    if sys.argv[1:2] == ["scan"]:
        from antivenom_client.quick import quick_scan

        quick_scan(sys.argv[2:])
    from antivenom.cli.main import main as run

    run()
