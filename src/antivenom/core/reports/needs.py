"""What needs what: the dependencies of components as references between them, which SBOMs state."""

from __future__ import annotations

import re
from collections.abc import Mapping

from antivenom.core.readers.snapshot import Component
from antivenom.core.reports.result import ScannedSnapshot
from antivenom_client.names import normalize_python

_NAME = re.compile(r"[^\s=<>!~\[;(,]+")


def add_needs(needs: dict[str, dict[str, None]], snapshot: ScannedSnapshot, refs: Mapping[Component, str]) -> None:
    """Add what the components of one environment need of it. Equal components may find other ones elsewhere.

    Args:
        needs: From the reference of a component to those that it needs; every component gets an entry.
        refs: How each component is named.
    """
    by_name = {(a.component.type, _fold(a.component.type, a.component.name)): a.component for a in snapshot.components}
    for assessed in snapshot.components:
        component = assessed.component
        found = needs.setdefault(refs[component], {})
        for text in component.depends:
            name = _NAME.match(text)
            wanted = by_name.get((component.type, _fold(component.type, name[0]))) if name else None
            if wanted is not None and wanted != component:
                found[refs[wanted]] = None


def _fold(kind: str, name: str) -> str:
    return normalize_python(name) if kind == "pypi" else name.lower()
