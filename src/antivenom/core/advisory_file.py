"""The compiled index as an advisory file, and an advisory file as the index that answers by the same code.

Numbers of vulnerabilities are made from their first id: one more advisory leaves all other rows as they are, so that
what differs between two files is small. What changes every day, the scores, stands in a table of its own.

Source: docs/reference/advisory-file.md; docs/adr/0025-knowledge-as-one-file.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple, TypeVar

import msgspec

from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import Assessment, IgnoredFinding
from antivenom.core.matching.compile_index import CompiledPackage, CompiledVulnerability
from antivenom.core.matching.identity import NameMaps
from antivenom.core.matching.knowledge import Knowledge
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.core.matching.plan_rows import make_plan_rows
from antivenom_client import advisory_file
from antivenom_client.advisory_file import AdvisoryFile, FilePath, UnusableFile

_encode = msgspec.msgpack.Encoder().encode
_packages = msgspec.msgpack.Decoder(list[CompiledPackage])
_names = msgspec.msgpack.Decoder(dict[str, dict[str, tuple[str, ...]]])
V = TypeVar("V")


class FeedDate(NamedTuple):
    """A feed that a file is made from: when it was synced last (RFC 3339, UTC), and how many entries it has."""

    name: str
    kind: str
    synced_at: str
    entries: int


class About(NamedTuple):
    """What a file says of itself. `made_at`: RFC 3339, UTC. `engine`: the version that made it."""

    made_at: str
    engine: str
    feeds: tuple[FeedDate, ...] = ()


def write(index: MatchIndex, path: FilePath, *, about: About) -> None:
    """Write all that an index knows as an advisory file, which takes the place of another one at once.

    Equal knowledge gives equal rows.
    """
    advisory_file.write(path, tables_of(index, about))


def open(path: FilePath) -> AdvisoryFileIndex:  # `advisory_file.open`, as one would call it
    """The index behind an advisory file. It reads what it is asked for, and keeps the file open.

    Raises:
        InvalidInputError: It is no advisory file that can be read.
    """
    try:
        file = AdvisoryFile.open(path)
    except UnusableFile as error:
        raise InvalidInputError(error.message, hint=error.hint) from None
    return AdvisoryFileIndex(file)


class AdvisoryFileIndex(MatchIndex):
    """The index behind an open advisory file. Whatever is damaged in the file is an InvalidInputError that names it."""

    def __init__(self, file: AdvisoryFile) -> None:
        self.file = file
        with _damage_told(file):
            index = _FileIndex(file)
        super().__init__(index, vulnerability=index.vulnerability)

    def assess(self, components: Iterable[ComponentKey], channel: str = "") -> list[Assessment]:
        with _damage_told(self.file):
            return super().assess(components, channel)

    def list_ignored(self, components: Iterable[ComponentKey], channel: str = "") -> list[tuple[IgnoredFinding, ...]]:
        with _damage_told(self.file):
            return super().list_ignored(components, channel)


@contextmanager
def _damage_told(file: AdvisoryFile) -> Iterator[None]:
    """Raises what reading damaged rows raises as an error that names the file."""
    try:
        yield
    except UnusableFile as error:
        raise InvalidInputError(error.message, hint=error.hint) from None
    except (msgspec.MsgspecError, ValueError, TypeError, AttributeError) as error:
        damaged = UnusableFile(f"{file.path} is damaged: {error}")
        raise InvalidInputError(damaged.message, hint=damaged.hint) from None


# -- writing -----------------------------------------------------------------------------------------------------------


def tables_of(index: MatchIndex, about: About) -> dict[str, Iterable[tuple[Any, ...]]]:
    """The rows of every table of an advisory file, each ordered by its key."""
    vulnerabilities = [index.vulnerability(number) for number in range(index.vulnerability_count)]
    numbers = _number_stably(vulnerabilities)
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    meta = {"ecosystems": " ".join(sorted(index.ecosystems)), "engine": about.engine, "made_at": about.made_at}
    maps, knowledge = index.maps, index.knowledge
    rows = make_plan_rows(index, numbers)
    meta |= {f"template {name}": text for name, text in rows.templates.items()}
    return {
        "meta": sorted(meta.items()),
        "feeds": sorted(about.feeds),
        "vulnerabilities": (_vulnerability_row(numbers[i], vulnerabilities[i]) for i in order),
        "scores": (_score_row(numbers[i], vulnerabilities[i]) for i in order),
        "plans": sorted(rows.plans),
        "spans": sorted(rows.spans),
        "packages": _package_rows(index, numbers),
        "conda_names": ((name, _encode(maps.conda[name])) for name in sorted(maps.conda)),
        "products": ((purl, " ".join(maps.products[purl])) for purl in sorted(maps.products)),
        "knowledge": sorted((name, _encode(getattr(knowledge, name))) for name in Knowledge.__struct_fields__),
    }


def _number_stably(vulnerabilities: list[CompiledVulnerability]) -> list[int]:
    """A number for each vulnerability, made from its first id; from all its ids where that would not tell two apart."""
    taken: set[int] = set()
    numbers = [0] * len(vulnerabilities)
    for place in sorted(range(len(vulnerabilities)), key=lambda i: vulnerabilities[i].ids):
        ids = vulnerabilities[place].ids
        number = next(n for n in (stable_number(ids[0]), stable_number(" ".join(ids))) if n not in taken)
        taken.add(number)
        numbers[place] = number
    return numbers


def stable_number(text: str) -> int:
    """A number of 63 bits that stands for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def _vulnerability_row(number: int, v: CompiledVulnerability) -> tuple[Any, ...]:
    lists = (" ".join(v.ecosystems), " ".join(v.other_parts), " ".join(v.platforms), " ".join(v.told_on))
    return (number, " ".join(v.ids), v.severity, v.cvss, v.disputed, v.published, v.modified, v.summary, *lists)


def _score_row(number: int, v: CompiledVulnerability) -> tuple[Any, ...]:
    return number, v.risk, v.epss, v.kev, v.ransomware


def _package_rows(index: MatchIndex, numbers: list[int]) -> Iterator[tuple[str, bytes]]:
    packages = index.compiled.packages
    for key in sorted(packages):
        listed = _packages.decode(packages[key])
        yield key, _encode([msgspec.structs.replace(p, vulnerability=numbers[p.vulnerability]) for p in listed])


# -- reading -----------------------------------------------------------------------------------------------------------


class _Table(Mapping[str, V]):
    """One table as a mapping that looks up what it is asked for."""

    def __init__(self, file: AdvisoryFile, table: str, key: str, value: str, read: Callable[[Any], V]) -> None:
        self._file, self._read = file, read
        self._one = f"SELECT {value} FROM {table} WHERE {key} = ?"  # noqa: S608  # names of this module
        self._has = f"SELECT 1 FROM {table} WHERE {key} = ?"  # noqa: S608
        self._all = f"SELECT {key} FROM {table} ORDER BY {key}"  # noqa: S608
        self._rows = _Count(file, table)

    def __getitem__(self, key: str) -> V:
        rows = self._file.rows(self._one, (key,))
        if not rows:
            raise KeyError(key)
        return self._read(rows[0][0])

    def __contains__(self, key: object) -> bool:
        return bool(self._file.rows(self._has, (key,)))

    def __iter__(self) -> Iterator[str]:
        return (key for (key,) in self._file.rows(self._all))

    def __len__(self) -> int:
        return len(self._rows)


class _Count:
    def __init__(self, file: AdvisoryFile, table: str) -> None:
        self._file, self._count = file, f"SELECT count(*) FROM {table}"  # noqa: S608  # names of this module

    def __len__(self) -> int:
        [(count,)] = self._file.rows(self._count)
        return int(count)


class _FileIndex:
    """An open file in the form of a compiled index."""

    def __init__(self, file: AdvisoryFile) -> None:
        self._file = file
        self.ecosystems = tuple(file.meta().get("ecosystems", "").split())
        self.packages: Mapping[str, msgspec.Raw] = _Table(file, "packages", "key", "packages", msgspec.Raw)
        conda: Any = _Table(file, "conda_names", "name", "names", _names.decode)
        products: Any = _Table(file, "products", "purl", "products", lambda text: tuple(text.split(" ")))
        self.maps = NameMaps(conda, products)
        self.knowledge = self._read_knowledge()
        self.vulnerabilities = _Count(file, "vulnerabilities")
        self.vulnerability = cache(self._vulnerability)

    def _read_knowledge(self) -> Knowledge:
        rows = dict(self._file.rows("SELECT name, value FROM knowledge"))
        return msgspec.convert({name: msgspec.msgpack.decode(value) for name, value in rows.items()}, Knowledge)

    def _vulnerability(self, number: int) -> CompiledVulnerability:
        rows = self._file.rows(
            "SELECT ids, severity, cvss, kev, ransomware, epss, risk, disputed, published, modified, summary,"
            " ecosystems, other_parts, platforms, told_on"
            " FROM vulnerabilities JOIN scores USING (number) WHERE number = ?",
            (number,),
        )
        if not rows:
            raise UnusableFile(f"{self._file.path} is damaged: it has no vulnerability {number}")
        ids, severity, cvss, kev, ransomware, epss, risk, disputed, published, modified, summary, *lists = rows[0]
        return CompiledVulnerability(
            tuple(ids.split(" ")), severity, cvss, bool(kev), bool(ransomware), epss, risk, bool(disputed), published,
            modified, summary, *(tuple(text.split()) for text in lists),
        )  # fmt: skip
