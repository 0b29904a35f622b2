"""What is installed in a conda prefix, read from as few bytes as tell it.

Names, versions and builds stand in the names of the files of `conda-meta`; of each file the beginning and the end are
read, where conda, mamba and pixi write what else counts. Whatever is not as they write it is left to the reader that
parses (antivenom.core.readers.prefix): it says what is wrong.

Source: conda's `PrefixRecord`; PyPA's "Recording installed projects" and "Recording the Direct URL Origin" (PEP 610).
"""

from __future__ import annotations

import os

from antivenom_client.names import normalize_python

HEAD_BYTES, TAIL_BYTES = 1024, 512
MORE_BYTES = 8192  # of each end, where that does not have all
METADATA_BYTES = 1 << 16
_URL_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/._-")
_SECRET_MARKERS = frozenset(("t", "token", "tokens", "auth", "key", "apikey", "api-key", "api_key", "access-token"))
_NAME_MAX, _SUBDIR_MAX = 128, 32


class UnusualPrefix(Exception):
    """Something in the prefix has to be parsed to be understood, or is broken."""


class Package:
    """An installed package; `type` is "conda" or "pypi"."""

    __slots__ = ("build", "channel", "name", "subdir", "type", "version")

    def __init__(
        self, kind: str, name: str, version: str, build: str = "", subdir: str = "", channel: str = ""
    ) -> None:
        self.type = kind
        self.name = name
        self.version = version
        self.build = build
        self.subdir = subdir
        self.channel = channel


def read_prefix(path: str) -> list[Package]:
    """The packages of a prefix, conda's by file name and then those of pip by folder.

    Raises:
        UnusualPrefix: It takes a parser to read it.
        OSError: It cannot be read.
    """
    folder = os.path.join(path, "conda-meta")
    files = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    packages = [_read_record(f"{folder}{os.sep}{name}", name) for name in files]
    if not packages:
        raise UnusualPrefix
    return packages + _read_distributions(path, files, {normalize_python(p.name): p.version for p in packages})


def _read_record(path: str, name: str) -> Package:
    parts = name[:-5].rsplit("-", 2)
    if len(parts) != 3 or len(parts[0]) > _NAME_MAX or len(parts[1]) > _NAME_MAX:
        raise UnusualPrefix
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        try:
            return _package(_ends(file, HEAD_BYTES, TAIL_BYTES), parts)
        except UnusualPrefix:
            os.lseek(file, 0, os.SEEK_SET)
            return _package(_ends(file, MORE_BYTES, MORE_BYTES), parts)
    finally:
        os.close(file)


def _ends(file: int, head_bytes: int, tail_bytes: int) -> bytes:
    """The beginning and the end of a file."""
    head = os.read(file, head_bytes)
    if len(head) < head_bytes:
        return head
    start = os.lseek(file, 0, os.SEEK_END) - tail_bytes
    start = os.lseek(file, max(start, head_bytes), os.SEEK_SET)
    return head + os.read(file, tail_bytes)


def _package(data: bytes, parts: list[str]) -> Package:
    name, version, build = parts
    if not data.startswith(b"{") or not data.rstrip().endswith(b"}"):
        raise UnusualPrefix
    subdir = _field(data, b'"subdir":')
    if _field(data, b'"version":') != version or _field(data, b'"build":') != build:
        raise UnusualPrefix
    if not subdir or len(subdir) > _SUBDIR_MAX:
        raise UnusualPrefix
    url, channel = _field(data, b'"url":'), _field(data, b'"channel":', is_optional=True)
    if url.partition("#")[0].endswith(".whl"):  # a wheel of a conda channel, which is PyPI's
        raise UnusualPrefix
    if f"/{subdir}/" in url:
        channel = url.rpartition(f"/{subdir}/")[0]
    return Package("conda", name.lower(), version, build, subdir, _plain_channel(channel.rstrip("/")))


def _field(data: bytes, key: bytes, *, is_optional: bool = False) -> str:
    """The text behind a key that stands once in a JSON object. Quotes in a text have a backslash, so keys are keys."""
    start = data.find(key)
    if start < 0:
        if is_optional:
            return ""
        raise UnusualPrefix
    start += len(key)
    if data.find(key, start) >= 0:
        raise UnusualPrefix
    if data[start : start + 1] == b" ":
        start += 1
    end = data.find(b'"', start + 1)
    text = data[start + 1 : end]
    if data[start : start + 1] != b'"' or end < 0 or not text.isascii() or b"\\" in text:
        if is_optional and data[start : start + 4] == b"null":
            return ""
        raise UnusualPrefix
    return text.decode()


_plain: dict[str, str] = {}


def _plain_channel(channel: str) -> str:
    """A channel that certainly has no secret in it."""
    known = _plain.get(channel)
    if known is None:
        segments = channel.split("/")
        if not _URL_CHARACTERS.issuperset(channel) or not _SECRET_MARKERS.isdisjoint(segments):
            raise UnusualPrefix
        if any(len(s) >= 16 and any(c.isdigit() for c in s) for s in segments):
            raise UnusualPrefix
        known = _plain[channel] = channel
    return known


# -- what pip installed ------------------------------------------------------------------------------------------------


def _read_distributions(path: str, records: list[str], versions: dict[str, str]) -> list[Package]:
    """The projects in `site-packages` that conda did not bring."""
    found: dict[str, str] = {}  # folder → its path
    for site in _list_sites(path):
        for name in os.listdir(site):
            if name.endswith((".dist-info", ".egg-info", ".egg", ".egg-link")) and not is_leftover(name):
                place = f"{site}{os.sep}{name}"
                if not _is_of_conda(place, name, versions):
                    if name in found and os.path.realpath(found[name]) != os.path.realpath(place):
                        raise UnusualPrefix
                    found[name] = place
    if found:
        found = _without_listed(os.path.join(path, "conda-meta"), records, found)
    if any(name.endswith((".egg", ".egg-link")) for name in found):  # zip files, and links to elsewhere
        raise UnusualPrefix
    packages = (_read_metadata(found[name], versions) for name in sorted(found))
    return [package for package in packages if package is not None]


def is_leftover(name: str) -> bool:
    """Whether pip renamed it in `site-packages` to remove it, and could not: it is no longer installed."""
    return name.startswith("~")


def _list_sites(path: str) -> list[str]:
    lib = os.path.join(path, "lib")
    names = sorted(name for name in os.listdir(lib) if name.startswith("python3")) if os.path.isdir(lib) else []
    sites = [os.path.join(lib, name, "site-packages") for name in names]
    return [site for site in (*sites, os.path.join(path, "Lib", "site-packages")) if os.path.isdir(site)]


def _is_of_conda(place: str, name: str, versions: dict[str, str]) -> bool:
    """Whether a metadata folder surely came with a conda package: conda's name and version, or conda installed it."""
    if name.endswith((".egg", ".egg-link")):
        return False
    is_egg = name.endswith(".egg-info")
    parts = name[:-9].split("-") if is_egg else name[:-10].split("-")
    is_same = len(parts) > 1 and versions.get(normalize_python(parts[0])) == parts[1]
    if is_egg:
        return is_same
    if is_same and not os.path.exists(f"{place}{os.sep}direct_url.json"):
        return True
    try:
        with open(os.path.join(place, "INSTALLER"), "rb") as file:
            return file.read(64).strip() == b"conda"
    except OSError:
        return False


def _without_listed(folder: str, records: list[str], found: dict[str, str]) -> dict[str, str]:
    """The metadata folders that no record lists among its files."""
    left = {b"/" + name.encode(): name for name in found}
    for record in records:
        with open(os.path.join(folder, record), "rb") as file:
            data = file.read()
        for wanted in [w for w in left if w in data]:
            end = data.find(wanted) + len(wanted)
            if data[end : end + 1] in (b"/", b'"'):
                del left[wanted]
        if not left:
            break
    return {name: found[name] for name in left.values()}


def _read_metadata(place: str, versions: dict[str, str]) -> Package | None:
    """The project of a metadata folder; None for what conda lists under the same name and version."""
    is_egg = place.endswith(".egg-info")
    path = os.path.join(place, "PKG-INFO" if is_egg else "METADATA") if os.path.isdir(place) else place
    with open(path, "rb") as file:
        head = file.read(METADATA_BYTES + 1).replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    if len(head) > METADATA_BYTES - 2 or not head.isascii():
        head_text = head.decode("utf-8", "replace")
        if len(head) > METADATA_BYTES - 2:
            raise UnusualPrefix
    else:
        head_text = head.decode()
    facts = {}
    for line in head_text.split("\n"):
        key, colon, value = line.partition(":")
        if colon and key in ("Name", "Version") and len(value.split()) == 1:
            facts[key] = value.split()[0]
    name, version = facts.get("Name", ""), facts.get("Version", "")
    if not name or not version:
        raise UnusualPrefix
    is_direct = not is_egg and os.path.exists(os.path.join(place, "direct_url.json"))
    return None if versions.get(normalize_python(name)) == version and not is_direct else Package("pypi", name, version)
