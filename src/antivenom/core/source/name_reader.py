"""Reads the upstream's records of one name into facts, msgpack for the shard and JSON for the monolith.

This is the hot path of a first sync. Each record takes one typed decode, one look-up of its dependency list (builds of
one name share lists), and two encodes: in the format that it was read in, and in the other one. Encoding records anew
costs as much as splicing a stamp into each text (measured), and works for both formats. The loop is flat: checking
column by column was measured and is slower. What the typed decode refuses is read carefully, after the rest.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from antivenom.core.conda.record_fields import is_readable_version, timestamp_ms
from antivenom.core.conda.records import are_artifact_filenames, is_artifact_filename, name_in_filename
from antivenom.core.conda.specs import latest_version
from antivenom.core.conda.upstream_records import (
    EARLIEST_MS,
    CarefulRecord,
    Digests,
    FastRecord,
    RecordSetAsideError,
    check_filename,
    decode_fast,
    decode_fast_packed,
    purls_of,
    read_careful,
)
from antivenom.core.source.ages import NameAges
from antivenom.core.source.source_map import NameDepends, NameFacts

Value = TypeVar("Value", bound=Hashable)
_encode_packed = msgspec.msgpack.Encoder().encode
_encode_json = msgspec.json.Encoder().encode
_decode_texts = msgspec.json.Decoder(list[str]).decode
_decode_packed_texts = msgspec.msgpack.Decoder(list[str]).decode
_ODD = (TypeError, ValueError, RecursionError)  # msgspec's errors are ValueErrors


class RawRecords(NamedTuple):
    """Records of one section: file names and, in step, the raw records (JSON text, or msgpack of a shard)."""

    fns: list[str]
    raws: list[Raw]

    def extend(self, fns: list[str], raws: list[Raw]) -> None:
        """Append more records."""
        self.fns.extend(fns)
        self.raws.extend(raws)

    def split(self, is_wanted: Callable[[str], object]) -> tuple[RawRecords, RawRecords]:
        """The records whose file name is wanted, and the others."""
        parts = RawRecords([], []), RawRecords([], [])
        for fn, raw in zip(*self, strict=True):
            part = parts[0] if is_wanted(fn) else parts[1]
            part.fns.append(fn)
            part.raws.append(raw)
        return parts


NO_RECORDS = RawRecords([], [])


class EncodedSection(NamedTuple):
    """The records of one section: a map for the shard (msgpack), and members for the monolith (JSON)."""

    packed: Raw
    members: bytes


_NO_SECTION = EncodedSection(Raw(_encode_packed({})), b"")

# The fields of a record that differ between JSON and msgpack, in the other format: sha256, md5, depends, constrains.
_Converted = tuple[str | bytes, str | bytes, Raw, Raw | UnsetType]


class NameReader:
    """Collects what is read of one name.

    `set_aside`: (file name, why it is not mirrored). `notes`: (file name, what was put in order). `renamed`: the file
    names that have another name.
    """

    def __init__(self, name: str, subdir: str, ages: NameAges, *, is_packed: bool) -> None:
        self.name, self.subdir, self.ages, self.is_packed = name, subdir, ages, is_packed
        self.notes: list[tuple[str, str]] = []
        self.renamed: list[str] = []
        self._versions: set[str] = set()  # those that all clients can order
        self.fns: list[str] = []
        self.records: list[FastRecord] = []
        self.set_aside: list[tuple[str, str]] = []
        self._depends_of: list[int] = []
        self._lists: dict[bytes, tuple[Raw, int]] = {}  # raw dependency list → it in the other format, its number
        self._constrains: dict[bytes, Raw] = {}
        self._depends: list[list[str]] = []
        self._purls: dict[int, tuple[str, ...]] = {}  # by the record's place
        self._has_run_exports = False

    def read(self, rows: RawRecords) -> EncodedSection:
        """Read one section."""
        if not rows.fns:
            return _NO_SECTION
        odd = NO_RECORDS
        if not are_artifact_filenames(rows.fns):
            rows, odd = rows.split(is_artifact_filename)
        found, converted, more = self._read_fast(rows)
        records = list(found.values())
        self.fns += found
        self.records += records
        more.extend(zip(*odd, strict=True))
        careful = {fn: self._read_carefully(fn, raw) for fn, raw in more} if more else {}
        text = _encode(found, careful, as_packed=self.is_packed)
        for record, (sha256, md5, depends, constrains) in zip(records, converted, strict=True):
            record.sha256, record.md5, record.depends, record.constrains = sha256, md5, depends, constrains
        other = _encode(found, careful, as_packed=not self.is_packed)
        return EncodedSection(Raw(text), other[1:-1]) if self.is_packed else EncodedSection(Raw(other), text[1:-1])

    def _read_fast(self, rows: RawRecords) -> tuple[dict[str, FastRecord], list[_Converted], list[tuple[str, Raw]]]:
        """The usual records, stamped; their converted fields; and the records that have to be read carefully."""
        decode: Callable[[Raw], FastRecord] = decode_fast_packed if self.is_packed else decode_fast
        convert: Callable[[Any], str | bytes] = bytes.hex if self.is_packed else unhexlify
        sha256_size, md5_size = (64, 32) if self.is_packed else (32, 16)
        name, subdir, lists, versions = self.name, self.subdir, self._lists, self._versions
        now_ms, first = self.ages.now_ms, self.ages.is_first
        found: dict[str, FastRecord] = {}
        converted: list[_Converted] = []
        odd: list[tuple[str, Raw]] = []
        add_converted, add_number = converted.append, self._depends_of.append
        for row in zip(*rows, strict=True):
            fn, raw = row
            try:
                record = decode(raw)
                sha256, md5 = convert(record.sha256), convert(record.md5)
                if record.name != name or len(sha256) != sha256_size or len(md5) != md5_size:
                    raise ValueError
                if record.version not in versions or fn.count("-") < 2:
                    self._check_version(fn, record.version)
                if record.subdir != subdir or not (self.is_packed or record.sha256.islower()):
                    raise ValueError
                key = bytes(record.depends)  # type: ignore[arg-type]  # TypeError when UNSET
                depends, number = lists.get(key) or self._note_depends(key)
                constrains = record.constrains
                if constrains is not UNSET:
                    constrains = self._convert_constrains(bytes(constrains))
                built = record.timestamp or 0
                if first and not record.indexed_timestamp and EARLIEST_MS <= built <= now_ms:
                    record.indexed_timestamp = built
                else:
                    digests = Digests(record.sha256, record.md5) if self.is_packed else Digests(sha256, md5)  # type: ignore[arg-type]
                    record.indexed_timestamp = self.ages.stamp(fn, digests, record.indexed_timestamp, built)
            except _ODD:
                odd.append(row)
                continue
            found[fn] = record
            add_converted((sha256, md5, depends, constrains))
            add_number(number)
        if self.is_packed:
            self._note_names(found)
        return found, converted, odd

    def _check_version(self, fn: str, version: str) -> None:
        if fn.count("-") < 2 or not is_readable_version(version):
            raise ValueError
        self._versions.add(version)

    def _note_names(self, fns: Iterable[str]) -> None:
        for fn in fns:
            if name_in_filename(fn) != self.name:
                self.note_name(fn)

    def note_name(self, fn: str) -> None:
        """Note that a file's name says another package than its record."""
        self.renamed.append(fn)
        self.notes.append((fn, f"the record's name is {self.name}, and it is served under it"))

    def _note_depends(self, key: bytes) -> tuple[Raw, int]:
        texts = self._texts_of(key)
        made = self._lists[key] = self._convert(texts), len(self._depends)
        self._depends.append(texts)
        return made

    def _convert_constrains(self, key: bytes) -> Raw:
        made = self._constrains.get(key)
        if made is None:
            made = self._constrains[key] = self._convert(self._texts_of(key))
        return made

    def _texts_of(self, raw: bytes) -> list[str]:
        return (_decode_packed_texts if self.is_packed else _decode_texts)(raw)

    def _convert(self, texts: list[str]) -> Raw:
        return Raw((_encode_json if self.is_packed else _encode_packed)(texts))

    def _read_carefully(self, fn: str, raw: Raw) -> CarefulRecord | None:
        """Read a record of any shape; None when it is set aside."""
        if is_artifact_filename(fn) is None:
            self.set_aside.append((fn, "is not a bare artifact file name"))
            return None
        stamp = partial(self.ages.stamp, fn)
        try:
            check_filename(fn)
            careful = read_careful(raw, fn, self.subdir, stamp, is_packed=self.is_packed)
            record = careful.json
            if record["name"].lower() != self.name:
                raise RecordSetAsideError(f"the record says that its name is {record['name']!r:.80}")
        except RecordSetAsideError as reason:
            self.set_aside.append((fn, str(reason)))
            return None
        if careful.note:
            self.notes.append((fn, careful.note))
        if self.is_packed:
            self._note_names([fn])
        depends = record["depends"]
        key = (_encode_packed if self.is_packed else _encode_json)(depends)
        self._depends_of.append((self._lists.get(key) or self._note_depends(key))[1])
        if purls := purls_of(record):
            self._purls[len(self.fns)] = purls
        self.fns.append(fn)
        self.records.append(_facts_record(record))
        self._has_run_exports |= isinstance(record.get("run_exports"), dict)
        return careful

    def facts(self, legacy: int, removed: Sequence[str], signed: frozenset[str]) -> NameFacts:
        """The facts of everything read; the first `legacy` records are of section `packages`."""
        records, replaced = self.records, self.ages.replaced
        versions = [r.version for r in records]
        purls = [self._purls.get(i, ()) for i in range(len(records))] if self._purls else repeat(())
        component_of, components = _number(list(zip(versions, purls)))  # noqa: B905 - `repeat` has no end
        license_of, licenses = _number([(r.license or "", r.license_family or "") for r in records])
        return NameFacts(
            name=self.name,
            fns=self.fns,
            legacy=legacy,
            components=components,
            component_of=component_of,
            builds=[r.build for r in records],
            build_numbers=[r.build_number for r in records],
            licenses=licenses,
            license_of=license_of,
            sizes=[r.size or 0 for r in records],
            timestamps=[r.timestamp or 0 for r in records],
            indexed=[r.indexed_timestamp or 0 for r in records],
            noarchs=[r.noarch or "" for r in records],
            signed=[i for i, fn in enumerate(self.fns) if fn in signed] if signed else [],
            removed=list(removed),
            run_exports=self._has_run_exports,
            latest=latest_version(version for version, _ in components),
            replaced={i: ms for i, fn in enumerate(self.fns) if (ms := replaced.get(fn))} if replaced else {},
        )

    def depends(self) -> NameDepends:
        """The dependencies of everything read."""
        strings: dict[str, int] = {}
        number = strings.setdefault
        depends = [tuple([number(text, len(strings)) for text in texts]) for texts in self._depends]
        return NameDepends(list(strings), depends, self._depends_of)


def _encode(found: dict[str, FastRecord], careful: dict[str, CarefulRecord | None], *, as_packed: bool) -> bytes:
    encode = _encode_packed if as_packed else _encode_json
    if not careful:
        return encode(found)
    return encode(found | {fn: Raw(c.packed if as_packed else c.text) for fn, c in careful.items() if c})


def _number(values: Sequence[Value]) -> tuple[list[int], list[Value]]:
    """The number of each value among the distinct ones; and these, in order of first appearance."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) < 2:
        return [0] * len(values), distinct
    numbers = {value: number for number, value in enumerate(distinct)}
    return [numbers[value] for value in values], distinct


def _facts_record(record: Mapping[str, Any]) -> FastRecord:
    noarch = record.get("noarch")
    return FastRecord(
        name=record["name"],
        version=record["version"],
        build=record["build"],
        build_number=record.get("build_number", 0),
        license=record.get("license"),
        license_family=record.get("license_family"),
        size=record.get("size", UNSET),
        timestamp=timestamp_ms(record.get("timestamp")) or UNSET,
        indexed_timestamp=record["indexed_timestamp"],
        noarch=("generic" if noarch is True else noarch) or None,
    )
