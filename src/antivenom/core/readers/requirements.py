"""`requirements.txt` as pip reads it: pinned requirements are components, others are wanted.

Source: pip's requirements file format; PEP 508 for one requirement, PEP 440 for `==` and `===`.
"""

from __future__ import annotations

import re

from antivenom.core.errors import InvalidInputError
from antivenom.core.readers.parsing import decode_text, refuse
from antivenom.core.readers.snapshot import Component, Skipped, Snapshot, pypi_component

TITLE = "requirements.txt"
_NAME = r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*"
_PINNED = re.compile(_NAME + r"={2,3}\s*(?P<version>[A-Za-z0-9_.!+-]+)\Z")
_ADDRESSED = re.compile(_NAME + r"@\s*(?P<url>\S+)\Z")
_WANTED = re.compile(_NAME + r"(?:\(?\s*[<>=!~].*)?\Z")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_HASH = re.compile(r"--hash[= ]sha256:([0-9a-fA-F]{64})")
_OPTION = re.compile(r"\s--(?:hash|config-settings?|global-option)[= ].*")
_EGG = re.compile(r"[#&]egg=([A-Za-z0-9._-]+)")


def read(data: bytes, name: str) -> list[Snapshot]:
    """One snapshot; `wanted` are requirements without an exact version.

    Raises:
        InvalidInputError: A line is no requirement.
    """
    components: list[Component] = []
    skipped: list[Skipped] = []
    wanted: list[str] = []
    lines = decode_text(data, name).replace("\\\r\n", " ").replace("\\\n", " ")
    for number, line in enumerate(lines.splitlines(), 1):
        text = _COMMENT.sub("", line).strip()
        if not text:
            continue
        if not add_line(text, components, skipped):
            if _WANTED.fullmatch(text.partition(";")[0].strip()) is None:
                raise refuse(name, f"{text[:80]!r} is no requirement", line=number)
            wanted.append(text)
    return [Snapshot("", "", tuple(components), tuple(skipped), tuple(wanted))]


def add_line(text: str, components: list[Component], skipped: list[Skipped]) -> bool:
    """Add what one line names exactly, or why it cannot be assessed; False for a requirement without a version."""
    if text.startswith("-"):
        return _add_option(text, skipped)
    sha256 = _HASH.search(text)
    stated = _OPTION.sub("", f" {text}").partition(";")[0].strip()
    if found := _PINNED.fullmatch(stated):
        digest = sha256[1].lower() if sha256 and len(_HASH.findall(text)) == 1 else ""
        components.append(Component("pypi", found["name"], found["version"], sha256=digest))
    elif found := _ADDRESSED.fullmatch(_OPTION.sub("", f" {text}").strip().partition(" ;")[0].strip()):
        _add_address(found["url"], found["name"], components, skipped)
    elif "://" in stated or stated.startswith((".", "/")) or stated.endswith((".whl", ".tar.gz", ".zip")):
        egg = _EGG.search(stated)
        _add_address(stated, egg[1] if egg else "", components, skipped)
    else:
        return False
    return True


def _add_option(text: str, skipped: list[Skipped]) -> bool:
    option, _, value = text.replace("=", " ", 1).partition(" ")
    if option in ("-e", "--editable"):
        skipped.append(Skipped(value.strip(), "it is installed from a folder or a repository, without a version"))
    elif option in ("-r", "--requirement", "-c", "--constraint"):
        skipped.append(Skipped(value.strip(), "the file that is named here is not read: scan it too"))
    return True


def _add_address(url: str, name: str, components: list[Component], skipped: list[Skipped]) -> None:
    try:
        components.append(pypi_component(url, Component("pypi", name, "")))
    except InvalidInputError as error:
        skipped.append(Skipped(name or url, error.message))
