"""`python -m antivenom`."""

from __future__ import annotations

import os
import sys

OWN_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def forget_working_directory() -> None:
    """Import nothing from the folder that the command was given in, which `python -m` puts first on the path.

    A file `cel.py` or `yaml.py` there would be taken for the library (`-P` does the same; nobody types it).
    """
    here = os.path.abspath(sys.path[0] or ".") if sys.path else ""
    if not sys.flags.safe_path and here == os.getcwd() and here != OWN_FOLDER:
        del sys.path[0]


if __name__ == "__main__":
    forget_working_directory()
    from antivenom.cli.main import main

    main()
