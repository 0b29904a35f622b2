"""`name-map`: conda names to PyPI names: tables (channel, conda_name, pypi_names or pypi_name, conda_name) and the JSON
forms of parselmouth, grayskull and regro; and conda names to package URLs and CPE products (associations.py).

Source: the files themselves; parselmouth README, "Storage Locations".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from antivenom.core.errors import InvalidInputError
from antivenom.core.feeds import associations, unpack
from antivenom.core.feeds.beginnings import name_other
from antivenom.core.feeds.entry import (
    Beginning,
    EntryError,
    JsonObject,
    NameEntry,
    Reading,
    SetAside,
    text,
    texts,
)
from antivenom.core.feeds.purls import package_name

KIND = "name-map"
TITLE = "Names of conda packages elsewhere (PyPI, other registries, CPE)"
TABLE = "name"
USUAL_LOCATION = "https://conda-mapping.prefix.dev/compressed-v0/conda-forge/compressed_mapping.json"

CONDA_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}")
OTHER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
CHANNEL_IN_PATH = re.compile(r"/(?:v0|compressed-v0|[a-z-]+-v\d)/([a-z][a-z0-9_-]*)/[^/]+$")
SPLIT = re.compile(r"[\s,;]+")
TABLES = (
    ("channel", "conda_name", "pypi_names"),
    ("pypi_name", "conda_name"),
    ("conda_name", "pypi_name"),
    ("conda_name", "pypi_names"),
)
OTHER_KINDS = frozenset({"id", "cve", "cveMetadata", "cveID", "dataType", "vulnerabilities", "affected"})
REVERSED = re.compile(r"grayskull|pypi[-_]to[-_]conda", re.IGNORECASE)


def recognizes(beginning: Beginning) -> bool:
    """Whether a file begins with a map, or an entry of one."""
    entry = beginning.entry
    return (
        _columns(beginning.first_line) in TABLES
        or associations.is_document(entry)
        or associations.is_record(entry)
        or _is_all_names(entry)
    )


def _is_all_names(entry: JsonObject) -> bool:
    if "conda_name" in entry and {"pypi_name", "pypi_normalized_names"} & entry.keys():
        return True
    values = list(entry.values())[:50]
    return bool(values) and all(map(_are_names, values)) and not entry.keys() & OTHER_KINDS and not name_other(entry)


def _are_names(value: object) -> bool:
    """Whether it can stand for a conda name's names elsewhere."""
    return (
        value is None
        or isinstance(value, str)
        or (isinstance(value, list) and all(isinstance(n, str) for n in value))
        or (isinstance(value, dict) and "conda_name" in value)
    )


def read(member: unpack.Member, reading: Reading) -> Iterator[NameEntry | SetAside]:
    """The names of one map; a conda name that occurs twice has the names of both.

    Raises:
        InvalidInputError: It is no map at all.
    """
    pairs: list[Pair] = []
    elsewhere: dict[tuple[str, str, str], dict[str, None]] = {}
    for row in _json_pairs(member, reading) if _is_json(member) else _table_pairs(member):
        if isinstance(row, SetAside):
            yield row
        elif isinstance(row, NameEntry):
            key = (row.channel, row.conda_name, row.ecosystem)
            elsewhere.setdefault(key, {}).update(dict.fromkeys(row.names))
        else:
            pairs.append(row)
    for (channel, conda_name, ecosystem), listed in elsewhere.items():
        yield NameEntry(channel, conda_name, ecosystem, tuple(listed))
    found: dict[tuple[str, str], dict[str, None]] = {}
    for channel, conda_name, names in (
        _swapped(pairs) if _is_the_other_way_round(pairs, reading.python_names) else pairs
    ):
        found.setdefault((channel, conda_name), {}).update(dict.fromkeys(names))
    for (channel, conda_name), merged in found.items():
        yield NameEntry(channel, conda_name, "pypi", tuple(merged))


Pair = tuple[str, str, tuple[str, ...]]


def _is_the_other_way_round(pairs: list[Pair], python_names: Mapping[str, str]) -> bool:
    """Whether a map's sides are swapped, by projects that everybody knows: conda's pytorch is PyPI's torch.

    Maps "as grayskull" are published in both directions, and one such table names its columns wrongly.
    """
    known = {(conda, python) for conda, python in python_names.items() if conda != python}
    right = wrong = 0
    for _, conda_name, names in pairs:
        for name in names:
            right += (conda_name, name) in known
            wrong += (name, conda_name) in known
    return wrong > right


def _swapped(pairs: list[Pair]) -> list[Pair]:
    return [(channel, name, (conda_name,)) for channel, conda_name, names in pairs for name in names]


def _is_json(member: unpack.Member) -> bool:
    return member.head().removeprefix(unpack.BYTE_ORDER_MARK).lstrip()[:1] in (b"{", b"[")


def _columns(line: str) -> tuple[str, ...]:
    return tuple(c.strip().lower() for c in re.split(r"[\t,]", line))


def _table_pairs(member: unpack.Member) -> Iterator[Pair | SetAside]:
    columns: tuple[str, ...] | None = None
    separator = "\t"
    for number, raw in unpack.lines(member):
        line = raw.decode("utf-8", "replace")
        if columns is None:
            columns, separator = _columns(line), "\t" if "\t" in line else ","
            if columns not in TABLES:
                raise InvalidInputError(
                    f"{member.name} is not a name map: its first line names no known columns",
                    hint="a table begins with channel, conda_name, pypi_names or with pypi_name, conda_name",
                )
            continue
        if not line.strip():
            continue
        label = f"{member.name} line {number}"
        fields = line.split(separator)
        if len(fields) != len(columns):
            yield SetAside(label, f"has {len(fields)} columns instead of {len(columns)}")
            continue
        row = dict(zip(columns, fields, strict=True))
        other = row.get("pypi_names", row.get("pypi_name", ""))
        try:
            yield pair(row.get("channel", ""), row["conda_name"], [n for n in SPLIT.split(other) if n])
        except EntryError as error:
            yield SetAside(label, str(error))


def _json_pairs(member: unpack.Member, reading: Reading) -> Iterator[Pair | NameEntry | SetAside]:
    from_path = CHANNEL_IN_PATH.search("/" + reading.location.split("?")[0])
    channel = from_path[1] if from_path else ""
    is_reversed = bool(REVERSED.search(reading.location.rsplit("/", 1)[-1] + " " + member.name.rsplit("/", 1)[-1]))
    for label, raw in unpack.entries(member):
        if isinstance(raw, EntryError):
            yield SetAside(label, str(raw))
            continue
        try:
            value = msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            yield SetAside(label, f"is not JSON: {error}")
            continue
        if isinstance(value, dict) and associations.is_document(value):
            yield from associations.read_document(label, value)
            continue
        if isinstance(value, dict) and associations.is_record(value):
            yield from associations.read_record(label, text(value["name"], 200), value)
            continue
        if not isinstance(value, dict) or not _is_map(value):
            raise InvalidInputError(
                f"{member.name} is not a name map", hint="a JSON map has conda names as keys and PyPI names as values"
            )
        yield from _object_pairs(value, label, channel, is_reversed)


def _is_map(value: JsonObject) -> bool:
    """Whether a JSON object that was named as a map is one: most of its values are names; the others are set aside."""
    usable = sum(map(_are_names, value.values()))
    is_other = bool(value.keys() & OTHER_KINDS or name_other(value))
    return _is_all_names(value) or (usable * 2 > len(value) and not is_other)


def _object_pairs(value: JsonObject, label: str, channel: str, is_reversed: bool) -> Iterator[Pair | SetAside]:
    """Pairs of one JSON object: an entry that names both sides, or a whole map."""
    if "conda_name" in value:
        items: Iterator[tuple[str, object]] = iter([(label, value)])
    else:
        items = iter(value.items())
    for key, item in items:
        try:
            if isinstance(item, dict):
                names = item.get("pypi_normalized_names") or item.get("pypi_name")
                own_channel = text(item.get("channel"), 100) or channel
                yield pair(own_channel, text(item.get("conda_name"), 200), _names(names))
            elif is_reversed:
                yield from (pair(channel, conda_name, [key]) for conda_name in _names(item))
            elif _are_names(item):
                yield pair(channel, key, _names(item))
            else:
                raise EntryError(f"{str(item)[:60]!r} is not a PyPI project name")
        except EntryError as error:
            yield SetAside(f"{label}: {key[:80]}" if key != label else label, str(error))


def _names(value: object) -> list[str]:
    return [value] if isinstance(value, str) else list(texts(value))


def pair(channel: str, conda_name: str, names: list[str]) -> Pair:
    """One conda name with its PyPI names, all in the spelling that they are compared in.

    Raises:
        EntryError: A name that could not be one.
    """
    conda_name = conda_name.strip().lower()
    if not CONDA_NAME.fullmatch(conda_name):
        raise EntryError(f"{conda_name[:80]!r} is not a conda package name")
    wrong = next((n for n in names if not OTHER_NAME.fullmatch(n)), None)
    if wrong is not None:
        raise EntryError(f"{wrong[:80]!r} is not a PyPI project name")
    return channel.strip(), conda_name, tuple(package_name("pypi", n) for n in names)
