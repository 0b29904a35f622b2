"""`environment.yml`: what people ask for, or what `conda env export` wrote down of an environment.

An export names each package with its version (and build): it is read as a snapshot. Anything else is unresolved.

Source: conda's reader of environment files; match specs of the forms NAME, NAME=VERSION, NAME=VERSION=BUILD.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from antivenom.core.readers import requirements
from antivenom.core.readers.parsing import parse_yaml, refuse
from antivenom.core.readers.snapshot import Component, Skipped, Snapshot
from antivenom.core.redaction import redact_url

TITLE = "environment.yml"
_EXACT = re.compile(
    r"(?:(?P<channel>[^\s:]+(?:://[^\s:]+)?)::)?(?P<name>[A-Za-z0-9_.-]+)\s*={1,2}\s*(?P<version>[A-Za-z0-9_.+!-]+)"
    r"(?:=(?P<build>[A-Za-z0-9_.+-]+))?"
)


class _Environment(msgspec.Struct):
    name: str = ""
    prefix: str = ""
    channels: list[str] | str = []
    dependencies: list[Any] | str = []
    platforms: list[str] | str = []


def read(data: bytes, name: str) -> list[Snapshot]:
    """One snapshot. It is resolved when every conda dependency has a version and the file has builds or a prefix.

    Raises:
        InvalidInputError: It is of another shape.
    """
    stated = parse_yaml(data, name, _Environment)
    channel = redact_url(stated.channels[0]) if isinstance(stated.channels, list) and stated.channels else ""
    components: list[Component] = []
    skipped: list[Skipped] = []
    wanted: list[str] = []
    unpinned: list[str] = []
    has_builds = False
    for entry in stated.dependencies if isinstance(stated.dependencies, list) else ():
        if isinstance(entry, dict):
            lines = [str(text) for text in entry.get("pip") or ()]
            unpinned += [f"{line} (of pip)" for line in lines if not requirements.add_line(line, components, skipped)]
        elif not isinstance(entry, str):
            raise refuse(name, f"{entry!r:.80} is no dependency")
        elif found := _EXACT.fullmatch(entry.strip()):
            has_builds |= bool(found["build"])
            components.append(_component(found, channel))
            wanted.append(entry.strip())
        else:
            wanted.append(entry.strip())
    exact = sum(component.type == "conda" for component in components)
    if exact == len(wanted) and (has_builds or stated.prefix):
        return [Snapshot(stated.name, "", tuple(components), tuple(skipped), tuple(unpinned))]
    pinned = tuple(component for component in components if component.type != "conda")
    return [Snapshot(stated.name, "", pinned, tuple(skipped), (*wanted, *unpinned))]


def _component(found: re.Match[str], channel: str) -> Component:
    own = redact_url(found["channel"]) if found["channel"] else channel
    return Component("conda", found["name"].lower(), found["version"], found["build"] or "", channel=own)
