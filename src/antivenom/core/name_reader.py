"""Reads the upstream's records of one name: facts, packed records and JSON texts, in step.

The hot path of a first sync. Per record: one typed decode, one dictionary hit for its dependency list (builds of one
name share them), one stamp in front of the closing brace; no dict, no second decode, no second encode. One flat loop:
checking column by column was measured and is slower. What the typed decode refuses is read with care, behind the rest.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Hashable, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Raw

from antivenom.core.conda import latest_version
from antivenom.core.records import are_artifact_filenames, is_artifact_filename
from antivenom.core.source_map import NameDepends, NameFacts
from antivenom.core.upstream_records import (
    EARLIEST_MS,
    FastRecord,
    SetAside,
    decode_fast,
    decode_fast_packed,
    parse_name,
    purls_of,
    read_careful,
    seed_indexed,
)

Rows = Sequence[tuple[str, Raw]]
Value = TypeVar("Value", bound=Hashable)
_encode_packed = msgspec.msgpack.Encoder().encode
_encode_json = msgspec.json.Encoder().encode
_decode_texts = msgspec.json.Decoder(list[str]).decode
_decode_packed_texts = msgspec.msgpack.Decoder(list[str]).decode
_ODD = (TypeError, ValueError, RecursionError)  # msgspec's errors are ValueErrors


class _Texts(NamedTuple):
    """A list of texts: as msgpack, as JSON, and its number among the dependency lists (-1: it is none)."""

    packed: Raw
    json: Raw
    number: int


class NameReader:
    """Collects what is read of one name. `aside`: (file name, why it is not mirrored)."""

    def __init__(
        self, name: str, subdir: str, now_ms: int, known: NameFacts | None, *, first: bool, is_packed: bool
    ) -> None:
        self.name, self.subdir, self.now_ms, self.first, self.is_packed = name, subdir, now_ms, first, is_packed
        self.known = dict(zip(known.fns, known.indexed, strict=True)) if known else {}
        self.fns: list[str] = []
        self.records: list[FastRecord] = []
        self.aside: list[tuple[str, str]] = []
        self._depends_of: list[int] = []
        self._lists: dict[bytes, _Texts] = {}
        self._constrains: dict[bytes, _Texts] = {}
        self._depends: list[list[str]] = []
        self._purls: dict[int, tuple[str, ...]] = {}  # by the record's place
        self._has_run_exports = False

    def read(self, rows: Rows, texts: list[bytes]) -> dict[str, Any]:
        """Read one section; answers the records to pack by file name and appends their JSON members to `texts`."""
        packed: dict[str, Any] = {}
        odd: Rows = ()
        if not are_artifact_filenames([fn for fn, _ in rows]):
            odd = [row for row in rows if is_artifact_filename(row[0]) is None]
            rows = [row for row in rows if is_artifact_filename(row[0]) is not None]
        read = self._read_packed if self.is_packed else self._read_json
        for fn, raw in (*odd, *read(rows, packed, texts)):
            self._read_carefully(fn, raw, packed, texts)
        return packed

    def _read_json(self, rows: Rows, packed: dict[str, Any], texts: list[bytes]) -> Rows:
        """Read records of an index document; answers those that need care."""
        odd: list[tuple[str, Raw]] = []
        name, known, now_ms, first, lists = self.name, self.known, self.now_ms, self.first, self._lists
        add_text, add_fn = texts.append, self.fns.append
        add_record, add_depends = self.records.append, self._depends_of.append
        for row in rows:
            fn, raw = row
            try:
                record = decode_fast(raw)
                record.sha256 = sha256 = unhexlify(record.sha256)
                record.md5 = md5 = unhexlify(record.md5)
                if record.name != name or len(sha256) != 32 or len(md5) != 16:
                    raise ValueError
                depends = lists.get(key := bytes(record.depends))  # type: ignore[arg-type]  # TypeError when UNSET
                if depends is None:
                    depends = self._note_depends(key)
                record.depends = depends.packed
                if record.constrains is not UNSET:
                    record.constrains = self._note_constrains(record.constrains).packed
                stamp = record.indexed_timestamp
                if stamp is not UNSET:
                    if not stamp or known.get(fn, stamp) != stamp:  # what we said before holds
                        raise ValueError
                    add_text(b'"%b":%b' % (fn.encode(), raw))
                else:
                    if fn in known:
                        stamp = known[fn]
                    elif not first:
                        stamp = now_ms
                    elif (stamp := record.timestamp) is UNSET or not EARLIEST_MS <= stamp <= now_ms:
                        stamp = seed_indexed(stamp, now_ms)
                    record.indexed_timestamp = stamp
                    add_text(b'"%b":%b,"indexed_timestamp":%d}' % (fn.encode(), bytes(raw)[:-1], stamp))
            except _ODD:
                odd.append(row)
                continue
            packed[fn] = record
            add_fn(fn)
            add_record(record)
            add_depends(depends.number)
        return odd

    def _read_packed(self, rows: Rows, packed: dict[str, Any], texts: list[bytes]) -> Rows:
        """Read records of an upstream's shard; answers those that need care."""
        odd: list[tuple[str, Raw]] = []
        for row in rows:
            fn, raw = row
            try:
                record = decode_fast_packed(raw)
                sha256, md5 = record.sha256, record.md5
                if record.name != self.name or len(sha256) != 32 or len(md5) != 16:
                    raise ValueError
                key = bytes(record.depends)  # type: ignore[arg-type]  # TypeError when UNSET
                depends = self._lists.get(key) or self._note_depends(key)
                constrains = None if record.constrains is UNSET else self._note_constrains(record.constrains)
                record.indexed_timestamp = self._stamp(fn, record)
                record.sha256, record.md5, record.depends = sha256.hex(), md5.hex(), depends.json
                if constrains is not None:
                    record.constrains = constrains.json
                text = b'"%b":%b' % (fn.encode(), _encode_json(record))
            except (*_ODD, AttributeError):
                odd.append(row)
                continue
            record.sha256, record.md5, record.depends = sha256, md5, depends.packed
            if constrains is not None:
                record.constrains = constrains.packed
            texts.append(text)
            packed[fn] = record
            self.fns.append(fn)
            self.records.append(record)
            self._depends_of.append(depends.number)
        return odd

    def _stamp(self, fn: str, record: FastRecord) -> int:
        """When the record counts as indexed: as said before, as the upstream says, or by our own reckoning."""
        if stamp := self.known.get(fn):
            return stamp
        if record.indexed_timestamp is not UNSET and record.indexed_timestamp:
            return record.indexed_timestamp
        return seed_indexed(record.timestamp, self.now_ms) if self.first else self.now_ms

    def _note_depends(self, key: bytes) -> _Texts:
        texts = (_decode_packed_texts if self.is_packed else _decode_texts)(key)
        made = self._lists[key] = _Texts(Raw(_encode_packed(texts)), self._json_of(key, texts), len(self._depends))
        self._depends.append(texts)
        return made

    def _note_constrains(self, raw: Raw) -> _Texts:
        key = bytes(raw)
        made = self._constrains.get(key)
        if made is None:
            texts = (_decode_packed_texts if self.is_packed else _decode_texts)(key)
            made = self._constrains[key] = _Texts(Raw(_encode_packed(texts)), self._json_of(key, texts), -1)
        return made

    def _json_of(self, key: bytes, texts: list[str]) -> Raw:
        return Raw(_encode_json(texts) if self.is_packed else key)

    def _read_carefully(self, fn: str, raw: Raw, packed: dict[str, Any], texts: list[bytes]) -> None:
        if is_artifact_filename(fn) is None:
            self.aside.append((fn, "is not a bare artifact file name"))
            return
        try:
            careful = read_careful(raw, self.known.get(fn), self.now_ms, first=self.first, is_packed=self.is_packed)
            record = careful.json
            if record["name"].lower() != self.name or parse_name(fn) != self.name:
                raise SetAside(f"the record says that its name is {record['name']!r:.80}")
        except SetAside as why:
            self.aside.append((fn, str(why)))
            return
        packed[fn] = careful.packed
        texts.append(b'"%b":%b' % (fn.encode(), careful.text))
        depends = record.get("depends") or []
        key = (_encode_packed if self.is_packed else _encode_json)(depends)
        self._depends_of.append((self._lists.get(key) or self._note_depends(key)).number)
        if purls := purls_of(record):
            self._purls[len(self.fns)] = purls
        self.fns.append(fn)
        self.records.append(_facts_record(record))
        self._has_run_exports |= isinstance(record.get("run_exports"), dict)

    def facts(self, legacy: int, removed: Sequence[str], signed: frozenset[str]) -> NameFacts:
        """The facts of everything read; the first `legacy` records are of section `packages`."""
        records = self.records
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
            timestamps=[t if (t := r.timestamp or 0) > 0 else 0 for r in records],
            indexed=[r.indexed_timestamp or 0 for r in records],
            noarchs=[r.noarch or "" for r in records],
            signed=[i for i, fn in enumerate(self.fns) if fn in signed] if signed else [],
            removed=list(removed),
            run_exports=self._has_run_exports,
            latest=latest_version(version for version, _ in components),
        )

    def depends(self) -> NameDepends:
        """The dependencies of everything read."""
        strings: dict[str, int] = {}
        number = strings.setdefault
        depends = [tuple([number(text, len(strings)) for text in texts]) for texts in self._depends]
        return NameDepends(list(strings), depends, self._depends_of)


def _number(values: Sequence[Value]) -> tuple[list[int], list[Value]]:
    """For every value its number among the distinct ones, and these, in order of their first appearance."""
    numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return list(map(numbers.__getitem__, values)), list(numbers)


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
        timestamp=record.get("timestamp", UNSET),
        indexed_timestamp=record["indexed_timestamp"],
        noarch=("python" if noarch is True else noarch) or None,
    )
