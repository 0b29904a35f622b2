"""The rooms, from low to high, and how composition roots find what each of them brings."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Literal

ROOMS = (
    "events",
    "members",
    "advisory_files",
    "policies",
    "advisories",
    "channels",
    "findings",
    "publications",
    "channel_policies",
    "distribution",
    "catalog",
    "corrections",
    "mirrors",
    "storage",
)
HERE = Path(__file__).parent


def load(part: Literal["models", "jobs", "api", "pages"]) -> Iterator[ModuleType]:
    """Each room's module of that name; a room has only the files it needs."""
    for room in ROOMS:
        if (HERE / room / f"{part}.py").exists():
            yield importlib.import_module(f"antivenom.server.{room}.{part}")
