"""Where things lie on this machine."""

from __future__ import annotations

import os

FILE_NAME = "advisories.db"


def default_advisories() -> str:
    """Where the advisory file lies that `antivenom feed pull` keeps: ANTIVENOM_ADVISORIES, else the user's data folder.

    Source: XDG Base Directory Specification.
    """
    named = os.environ.get("ANTIVENOM_ADVISORIES")
    if named:
        return os.path.expanduser(named)
    data = os.environ.get("XDG_DATA_HOME") or os.path.join("~", ".local", "share")
    return os.path.join(os.path.expanduser(data), "antivenom", FILE_NAME)
