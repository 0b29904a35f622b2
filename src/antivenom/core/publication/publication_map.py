"""The publication map of one subdir: what is served, where it is stored, and why the rest is withheld.

A map is one blob of a few MB at 1 M records. Reasons, facts, shards and pieces are in packs, and read when asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec
import zstandard

from antivenom.core.conda.records import name_in_filename
from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import OPEN_STATUSES, Assessment, Severity
from antivenom.core.policy.compile import Action, Reason
from antivenom.core.source.packs import NOWHERE, IndexBlobs, Location, LocationTable
from antivenom.core.source.source_map import Piece, SourceDocument

FORMAT = 4
READABLE_FORMATS = (1, 2, 3, FORMAT)
"""Maps of these are served; only those of FORMAT are built on. They differ in how decisions are stored:

* 1: as a list of `Decision`;
* 2: in columns; a trigger id that goes on with the file name ends in "+";
* 3: as today, but a cooldown let fixes through without regard to the closure and other subdirs, and `fixes` is empty.
"""
ANY_FILE = "\0"  # stands for the record's file name in a trigger id; no name or file name has this character


class Decision(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The decision for a record that is not plainly served: withheld (stop), warned, or excepted (go with `excepted`).

    `severity` is the worst of its active findings. `broken_dependencies`: those for which the closure withholds it.
    `sha256` and `md5` (hex), `indexed_ms` and `replaced_ms` (see RecordFacts) are filled by readers that need them.
    """

    fn: str
    name: str
    version: str
    build: str
    size_bytes: int
    action: Action
    reasons: tuple[Reason, ...] = ()
    excepted: tuple[tuple[str, Reason], ...] = ()
    holds_until_ms: int = 0
    severity: Severity = Severity.unknown
    subdir: str = ""
    sha256: str = ""
    md5: str = ""
    broken_dependencies: tuple[str, ...] = ()
    indexed_ms: int = 0
    replaced_ms: int = 0


class SharedDecision(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A decision that several records share; see `Decision` and ANY_FILE."""

    action: Action
    reasons: tuple[Reason, ...] = ()
    excepted: tuple[tuple[str, Reason], ...] = ()
    holds_until_ms: int = 0
    severity: Severity = Severity.unknown
    broken_dependencies: tuple[str, ...] = ()


class NameDecisions(msgspec.Struct, array_like=True, gc=False):
    """The decisions for one name as they are stored, in columns by file name. `shared_of` points into `shared`."""

    name: str
    shared: list[SharedDecision] = []
    shared_of: list[int] = []
    fns: Sequence[str] = ()
    versions: Sequence[str] = ()
    builds: Sequence[str] = ()
    sizes: Sequence[int] = ()

    def record_counts(self) -> Iterator[tuple[SharedDecision, int]]:
        """Each shared decision, and its number of records."""
        numbers = Counter(self.shared_of)
        return ((shared, numbers[at]) for at, shared in enumerate(self.shared))

    def actions(self) -> dict[str, Action]:
        """The action of each record, by file name."""
        actions = [shared.action for shared in self.shared]
        return dict(zip(self.fns, map(actions.__getitem__, self.shared_of), strict=True))

    def decisions(self) -> Iterator[Decision]:
        """One decision for each record."""
        for fn, version, build, size, at in zip(
            self.fns, self.versions, self.builds, self.sizes, self.shared_of, strict=True
        ):
            shared = self.shared[at]
            yield Decision(
                fn, self.name, version, build, size, shared.action,
                tuple([_of_file(fn, reason) for reason in shared.reasons]),
                tuple([(item, _of_file(fn, reason)) for item, reason in shared.excepted]),
                shared.holds_until_ms, shared.severity, broken_dependencies=shared.broken_dependencies,
            )  # fmt: skip


def _of_file(fn: str, reason: Reason) -> Reason:
    """The reason for one record, with its file name."""
    if not reason.trigger_id.endswith(ANY_FILE):
        return reason
    return msgspec.structs.replace(reason, trigger_id=reason.trigger_id.removesuffix(ANY_FILE) + fn)


def without_filename(
    fn: str, reasons: tuple[Reason, ...], excepted: tuple[tuple[str, Reason], ...]
) -> tuple[tuple[Reason, ...], tuple[tuple[str, Reason], ...]]:
    """The reasons of a record without its file name, as a `SharedDecision` has them."""
    ending = f"+{fn}"
    if any(r.trigger_id.endswith(ending) for r in reasons):
        reasons = tuple([_without(fn, r) if r.trigger_id.endswith(ending) else r for r in reasons])
    if excepted:
        excepted = tuple([(i, _without(fn, r) if r.trigger_id.endswith(ending) else r) for i, r in excepted])
    return reasons, excepted


def _without(fn: str, reason: Reason) -> Reason:
    return msgspec.structs.replace(reason, trigger_id=reason.trigger_id.removesuffix(fn) + ANY_FILE)


class Counts(msgspec.Struct):
    """Records by what became of them. `by_rule` and `by_gate` count withheld and warned records; `by_severity` all
    records by their worst active finding, `withheld_by_severity` those withheld."""

    records: int = 0
    kept: int = 0
    withheld: int = 0
    warned: int = 0
    excepted: int = 0
    by_rule: dict[str, int] = {}
    by_gate: dict[str, int] = {}
    by_severity: dict[str, int] = {}
    withheld_by_severity: dict[str, int] = {}

    @classmethod
    def sum(cls, parts: Iterable[Counts]) -> Counts:
        """The sum of many counts."""
        total = cls()
        counters: dict[str, Counter[str]] = {
            field: Counter() for field in ("by_rule", "by_gate", "by_severity", "withheld_by_severity")
        }
        for part in parts:
            total.records += part.records
            total.kept += part.kept
            total.withheld += part.withheld
            total.warned += part.warned
            total.excepted += part.excepted
            for field, counter in counters.items():
                for key, number in getattr(part, field).items():
                    counter[key] += number
        for field, counter in counters.items():
            is_severity = field in ("by_severity", "withheld_by_severity")
            order = [s.name for s in reversed(Severity)] if is_severity else list(counter)  # the worst first
            setattr(total, field, {key: counter[key] for key in order if key in counter})
        return total


class PackageSummary(msgspec.Struct, array_like=True, gc=False):
    """One name of one subdir, for lists.

    `versions` counts distinct ones. `latest` is the highest version that is not withheld ("" when all are),
    `latest_upstream` the highest of all. `severity` is the worst of any record, `kept_severity` of the kept ones.
    """

    name: str
    subdir: str
    versions: int
    records: int
    withheld: int
    warned: int
    latest: str
    latest_upstream: str
    licenses: tuple[str, ...]
    severity: Severity = Severity.unknown
    kept_severity: Severity = Severity.unknown


class PublishedBucket(msgspec.Struct, array_like=True, gc=False):
    """A bucket as published. `decisions` is NOWHERE when there are none. Equal `decisions_digest`s are equal
    decisions, equal `verdicts_digest`s are equal verdicts of the policy (before the closure)."""

    first: int
    end: int
    pieces: tuple[Piece, Piece]
    facts: Location
    depends: Location
    decisions: Location
    decisions_digest: bytes
    holds_until_ms: int
    counts: Counts
    verdicts_digest: bytes = b""


class PublicationMap(msgspec.Struct, array_like=True):
    """See the module. Columns are in the order of `names`; a shard key of zeros means that every record is withheld.

    `closure_terms` is a digest of what the closure depends on besides records and verdicts; empty without a closure.
    `renamed`: the names of records whose file names have another one. `fixes`: the names that need a fix which a
    cooldown lets through (core/publishing/fix_releases.py).
    """

    format: int
    subdir: str
    created_ms: int
    source: str
    document: SourceDocument
    counts: Counts
    holds_until_ms: int
    names: list[str]
    shard_keys: bytes
    shards: LocationTable
    source_shards: LocationTable
    buckets: list[PublishedBucket]
    shards_index: Location
    summaries: Location
    monolith: str = ""
    monolith_bytes: int = 0
    monolith_text_bytes: int = 0
    closure_terms: bytes = b""
    renamed: dict[str, str] = {}
    fixes: list[str] = []

    def shard_key(self, position: int) -> bytes:
        """The sha256 of a name's published shard; zeros when every record of it is withheld."""
        return self.shard_keys[32 * position : 32 * position + 32]

    def name_of(self, fn: str) -> str:
        """The name under which a file is listed: its record's, in lower case."""
        return self.renamed.get(fn) or name_in_filename(fn)


NO_SHARD = bytes(32)
_map_decoder = msgspec.msgpack.Decoder(PublicationMap)
_decisions_decoder = msgspec.msgpack.Decoder(list[NameDecisions])
_decisions_decoder_1 = msgspec.msgpack.Decoder(list[Decision])
_summaries_decoder = msgspec.msgpack.Decoder(list[PackageSummary])
_encode = msgspec.msgpack.Encoder().encode


class UnreadablePublicationError(InvalidInputError):
    """A blob is not a publication map, or one that another release of Antivenom wrote."""

    status = 503  # to whoever asked it is no mistake of theirs: it is published again, and then it is there
    exit_code = 3


PUBLISH_AGAIN = "publish it again: antivenom channel publish CHANNEL"


def load_publication(blobs: IndexBlobs, key: str, *, formats: Collection[int] = (FORMAT,)) -> PublicationMap:
    """The publication map under `key`.

    Args:
        formats: READABLE_FORMATS to read it, FORMAT alone to build on it.

    Raises:
        UnreadablePublicationError: The blob is not a publication map of these formats.
    """
    try:
        found = _map_decoder.decode(zstandard.ZstdDecompressor().decompress(blobs.get(key)))
    except (msgspec.DecodeError, zstandard.ZstdError) as error:
        raise UnreadablePublicationError(f"{key} is not a publication map: {error}", hint=PUBLISH_AGAIN) from None
    if found.format not in formats:
        raise UnreadablePublicationError(f"{key} is of format {found.format}, not {FORMAT}", hint=PUBLISH_AGAIN)
    return found


def encode_decisions(decisions: Sequence[NameDecisions]) -> bytes:
    """The msgpack of a bucket's decisions; equal decisions are equal bytes."""
    return _encode(decisions)


def decode_decisions(frame: bytes, written: int = FORMAT) -> list[Decision]:
    """The decisions of one bucket, of a map of the format `written`."""
    if not frame:
        return []
    data = zstandard.ZstdDecompressor().decompress(frame)
    if written == 1:
        return _decisions_decoder_1.decode(data)
    names = _decisions_decoder.decode(data)
    if written == 2:
        names = [_with_any_file(name) for name in names]
    return [decision for name in names for decision in name.decisions()]


def _with_any_file(name: NameDecisions) -> NameDecisions:
    """The decisions of format 2 with ANY_FILE where the file name belongs."""

    def marked(reason: Reason) -> Reason:
        if not reason.trigger_id.endswith("+"):
            return reason
        return msgspec.structs.replace(reason, trigger_id=reason.trigger_id + ANY_FILE)

    shared = [
        msgspec.structs.replace(
            one,
            reasons=tuple(marked(reason) for reason in one.reasons),
            excepted=tuple((item, marked(reason)) for item, reason in one.excepted),
        )
        for one in name.shared
    ]
    return msgspec.structs.replace(name, shared=shared)


def read_withheld_filenames(frame: bytes, written: int = FORMAT) -> frozenset[str]:
    """The file names that one bucket's decisions withhold, of a map of the format `written`."""
    if not frame:
        return frozenset()
    if written == 1:
        return frozenset(decision.fn for decision in decode_decisions(frame, 1) if decision.action == Action.stop)
    names = _decisions_decoder.decode(zstandard.ZstdDecompressor().decompress(frame))
    return frozenset(fn for name in names for fn, action in name.actions().items() if action == Action.stop)


def encode_summaries(summaries: list[PackageSummary]) -> bytes:
    """The frame of all summaries of a subdir."""
    return zstandard.ZstdCompressor(level=3).compress(_encode(summaries))


def decode_summaries(frame: bytes) -> list[PackageSummary]:
    """All summaries of a subdir, by name."""
    return _summaries_decoder.decode(zstandard.ZstdDecompressor().decompress(frame)) if frame else []


def worst_severity(assessment: Assessment | None) -> Severity:
    """The worst severity of the findings that are neither cleared nor mitigated."""
    worst = Severity.unknown
    if assessment is not None:
        for finding in assessment.findings:
            if finding.status in OPEN_STATUSES and finding.severity in Severity.__members__:
                worst = max(worst, Severity[finding.severity])
    return worst


__all__ = ["NOWHERE", "NO_SHARD", "Counts", "Decision", "PackageSummary", "PublicationMap", "PublishedBucket"]
