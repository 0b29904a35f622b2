"""What people ask pixi for: `pixi.toml` and `[tool.pixi]` of `pyproject.toml`. Nothing of it is resolved.

Source: pixi's manifest reference (dependencies, pypi-dependencies, feature, target, environments; `[project]
dependencies` of `pyproject.toml`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from antivenom.core.readers.parsing import parse_toml, refuse
from antivenom.core.readers.snapshot import Snapshot
from antivenom.core.redaction import redact_urls

TITLE = "pixi manifest"
_TABLES = ("dependencies", "host-dependencies", "build-dependencies", "pypi-dependencies")
_NESTING_MAX = 6


def read(data: bytes, name: str) -> list[Snapshot]:
    """One snapshot without components: every spec of every feature and target is `wanted`.

    Raises:
        InvalidInputError: It is no TOML, or a `pyproject.toml` without `[tool.pixi]`.
    """
    found = parse_toml(data, name, dict[str, Any])
    tool = found.get("tool")
    of_pixi = tool.get("pixi") if isinstance(tool, dict) else None
    if of_pixi is None and name.rpartition("/")[2] == "pyproject.toml":
        raise refuse(name, "it has no [tool.pixi]", hint="scan the lock file of the project: uv.lock, poetry.lock …")
    manifest = of_pixi if isinstance(of_pixi, dict) else found
    about = manifest.get("workspace") or manifest.get("project")
    wanted = [*_wanted(manifest), *(_wanted_of_project(found) if manifest is of_pixi else ())]
    title = str(about.get("name", "")) if isinstance(about, dict) else ""
    return [Snapshot(title, "", (), (), tuple(dict.fromkeys(wanted)))]


def _wanted_of_project(found: Mapping[str, Any]) -> Iterator[str]:
    """The dependencies of the project itself: pixi installs them from PyPI."""
    project = found.get("project")
    listed = project.get("dependencies") if isinstance(project, dict) else None
    for line in listed if isinstance(listed, list) else ():
        if isinstance(line, str):
            yield f"{redact_urls(line.strip())} (of pip)"


def _wanted(table: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    for key, value in table.items():
        if not isinstance(value, dict) or depth > _NESTING_MAX:
            continue
        if key in _TABLES:
            for package, spec in value.items():
                version = spec if isinstance(spec, str) else spec.get("version", "") if isinstance(spec, dict) else ""
                yield f"{package} {version}".strip() + (" (of pip)" if key == "pypi-dependencies" else "")
        elif key in ("feature", "target") or depth:
            yield from _wanted(value, depth + 1)
