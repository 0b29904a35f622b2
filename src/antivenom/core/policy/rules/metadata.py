"""Gate `metadata`: a record's platform, age, replacement, signature and size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from antivenom.core.conda.records import RecordFacts
from antivenom.core.policy.rules.base import MS_PER_DAY, NOTHING, Check, Facts, NameColumns, Rule, RuleResult, Trigger
from antivenom.core.policy.rules.parameters import (
    Parameter,
    ParameterError,
    list_of,
    read_amount,
    read_boolean,
    read_text,
)

GATE = "metadata"
BYTES_PER_MB = 1_000_000
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - in UTC, whose "+00:00" nobody wants to read


class SubdirCheck(Check):
    """Records of a platform that is denied, or not among the allowed ones."""

    reads = ("subdir",)
    result_reads = ("fn",)

    def __init__(self, rule: Rule, params: Mapping[str, Any]) -> None:
        super().__init__(rule)
        self._denied = frozenset(params.get("deny", ()))
        self._allowed = frozenset(params["allow"]) if "allow" in params else None

    def evaluate(self, facts: Facts) -> RuleResult:
        record, subdir = facts.record, facts.record.subdir
        if subdir not in self._denied and (self._allowed is None or subdir in self._allowed):
            return NOTHING
        message = f"{record.fn} is for {subdir}, a platform that this policy does not accept"
        return RuleResult((self.hit((f"subdir+{record.fn}",), message),))


class AgeCheck(Check):
    """Records younger than the cooldown, or older than the limit, since the channel first listed them.

    A record without a listing time is as old as its build; with neither, its age is unknown, and a cooldown withholds
    it: unknown is not clean.
    """

    direct: ClassVar[bool] = True
    direct_reads: ClassVar[tuple[str, ...]] = ("timestamp_ms",)

    def __init__(self, rule: Rule, params: Mapping[str, Any]) -> None:
        super().__init__(rule)
        self._cooldown_days: float | None = params.get("less_than_days")
        self._limit_days: float | None = params.get("older_than_days")
        self._cooldown_ms = _days_ms(self._cooldown_days)
        self._limit_ms = _days_ms(self._limit_days)
        self.fix_cooldown_ms = self._cooldown_ms if params.get("unless_fix", False) else 0

    def concerns(self, facts: Facts) -> bool:
        since_ms = first_listed_ms(facts.record)
        return facts.now_ms - since_ms < self._cooldown_ms or self._limit_days is not None or not since_ms

    def positions(self, names: NameColumns, now_ms: int) -> Iterable[int]:
        if self._limit_days is not None:
            return range(len(names.fns))
        young_ms = now_ms - self._cooldown_ms
        if max(names.indexed) <= young_ms and min(names.indexed) > 0:  # most names
            return ()
        return [at for at, since_ms in enumerate(names.indexed) if since_ms > young_ms or since_ms <= 0]

    def evaluate(self, facts: Facts) -> RuleResult:
        record, now_ms = facts.record, facts.now_ms
        since_ms = first_listed_ms(record)
        if not since_ms:
            if self._cooldown_days is None:
                return NOTHING
            return self._result(record, f"the age of {record.fn} is unknown, and this policy has a cooldown")
        if self._cooldown_days is not None and now_ms < since_ms + self._cooldown_ms:
            end_ms = since_ms + self._cooldown_ms
            message = (
                f"{record.fn} was first listed {day(since_ms)}; the cooldown of {self._cooldown_days:g} days ends "
                f"{day(end_ms)}"
            )
            return self._result(record, message, end_ms)
        if self._limit_days is not None:
            if now_ms < since_ms + self._limit_ms:
                return RuleResult((), since_ms + self._limit_ms)
            message = f"{record.fn} was first listed {day(since_ms)}, more than {self._limit_days:g} days ago"
            return self._result(record, message)
        return NOTHING

    def _result(self, record: RecordFacts, message: str, until_ms: int = 0) -> RuleResult:
        return RuleResult((self.hit((f"age+{record.fn}",), message),), until_ms)


class SignedCheck(Check):
    """Records that are signed, or are not."""

    direct: ClassVar[bool] = True
    direct_reads: ClassVar[tuple[str, ...]] = ("signed",)

    def __init__(self, rule: Rule, params: Mapping[str, Any]) -> None:
        super().__init__(rule)
        self._refused: bool = params.get("is", False)

    def concerns(self, facts: Facts) -> bool:
        return facts.record.signed is self._refused

    def positions(self, names: NameColumns, now_ms: int) -> Iterable[int]:  # noqa: ARG002
        return names.signed if self._refused else set(range(len(names.fns))).difference(names.signed)

    def evaluate(self, facts: Facts) -> RuleResult:
        record = facts.record
        if record.signed is not self._refused:
            return NOTHING
        message = f"{record.fn} is {'signed' if self._refused else 'not signed'}"
        return RuleResult((self.hit((f"signed+{record.fn}",), message),))


class ReplacedCheck(Check):
    """Records whose file was replaced: this channel saw another one under the same file name before."""

    direct: ClassVar[bool] = True
    direct_reads: ClassVar[tuple[str, ...]] = ("replaced_ms",)

    def __init__(self, rule: Rule, params: Mapping[str, Any]) -> None:
        super().__init__(rule)
        self._days: float | None = params.get("less_than_days")

    def concerns(self, facts: Facts) -> bool:
        return self._is_recent(facts.record.replaced_ms, facts.now_ms)

    def _is_recent(self, replaced_ms: int, now_ms: int) -> bool:
        return replaced_ms > 0 and (self._days is None or now_ms - replaced_ms < _days_ms(self._days))

    def positions(self, names: NameColumns, now_ms: int) -> Iterable[int]:
        return [at for at, replaced_ms in names.replaced.items() if self._is_recent(replaced_ms, now_ms)]

    def evaluate(self, facts: Facts) -> RuleResult:
        if not self.concerns(facts):
            return NOTHING
        record = facts.record
        message = f"{record.fn} was replaced under its name {day(record.replaced_ms)}: it had other bytes before"
        until_ms = record.replaced_ms + _days_ms(self._days) if self._days is not None else 0
        return RuleResult((self.hit((f"replaced+{record.fn}",), message),), until_ms)


class SizeCheck(Check):
    """Artifacts that are larger or smaller than the limits; a record that states no size is neither."""

    direct: ClassVar[bool] = True
    direct_reads: ClassVar[tuple[str, ...]] = ("size_bytes",)

    def __init__(self, rule: Rule, params: Mapping[str, Any]) -> None:
        super().__init__(rule)
        self._more: float = params.get("more_than_mb", float("inf"))
        self._less: float = params.get("less_than_mb", 0.0)

    def concerns(self, facts: Facts) -> bool:
        return self._is_odd(facts.record.size_bytes)

    def _is_odd(self, size_bytes: int) -> bool:
        size_mb = size_bytes / BYTES_PER_MB
        return size_mb > self._more or 0 < size_mb < self._less

    def positions(self, names: NameColumns, now_ms: int) -> Iterable[int]:  # noqa: ARG002
        if not self._less and max(names.sizes) / BYTES_PER_MB <= self._more:
            return ()
        return [at for at, size_bytes in enumerate(names.sizes) if self._is_odd(size_bytes)]

    def evaluate(self, facts: Facts) -> RuleResult:
        if not self.concerns(facts):
            return NOTHING
        record = facts.record
        size_mb = record.size_bytes / BYTES_PER_MB
        limit = f"more than {self._more:g}" if size_mb > self._more else f"less than {self._less:g}"
        message = f"{record.fn} has {size_mb:.1f} MB, {limit} MB"
        return RuleResult((self.hit((f"size+{record.fn}",), message),))


def _days_ms(days: float | None) -> int:
    return 0 if days is None else round(days * MS_PER_DAY)


def first_listed_ms(record: RecordFacts) -> int:
    """Since when a record's age counts, in ms since 1970; 0 when nobody knows."""
    return record.indexed_ms or record.timestamp_ms


def day(instant_ms: int) -> str:
    """A date and minute for people; a text even where the calendar ends."""
    try:
        at = _EPOCH + timedelta(milliseconds=instant_ms)
    except OverflowError:
        return "beyond the year 9999"
    return f"{at.isoformat(' ', 'minutes')} UTC"


def _read_subdir(value: Any) -> str:
    text = read_text(value)
    if text != "noarch" and not (text.replace("-", "").replace("_", "").isalnum() and "-" in text):
        raise ParameterError(f"{text!r} is not a subdir", "such as noarch, linux-64, osx-arm64, win-64")
    return text


_SUBDIRS = list_of(_read_subdir)

TRIGGERS = (
    Trigger(
        gate=GATE,
        name="subdir",
        summary="Hits records of platforms in `deny`, or not in `allow`.",
        trigger_id="`subdir+filename`",
        parameters={
            "deny": Parameter(_SUBDIRS, "subdirs", "refused platforms"),
            "allow": Parameter(_SUBDIRS, "subdirs", "accepted platforms; name `noarch` too where you want it"),
        },
        compile=lambda rule, params: iter((SubdirCheck(rule, params),)),
    ),
    Trigger(
        gate=GATE,
        name="age",
        summary=(
            "Hits records by the days since this channel first listed their artifact (`indexed_timestamp`), which goes "
            "by its digest: a file replaced under its name is new. `less_than_days` is a cooldown: the record is "
            "released by itself the moment it ends. With `unless_fix` the fix does not wait: see below."
        ),
        trigger_id="`age+filename`",
        parameters={
            "less_than_days": Parameter(read_amount, "days", "younger than this; an unknown age counts as young"),
            "older_than_days": Parameter(read_amount, "days", "this old or older"),
            "unless_fix": Parameter(
                read_boolean, "true or false", "the cooldown lets the fix through; false when absent"
            ),
        },
        compile=lambda rule, params: iter((AgeCheck(rule, params),)),
        needs={"unless_fix": "less_than_days"},
    ),
    Trigger(
        gate=GATE,
        name="signed",
        summary="Hits records that are not signed (or, with `is: true`, those that are).",
        trigger_id="`signed+filename`",
        parameters={"is": Parameter(read_boolean, "true or false", "which records are hit; false when absent")},
        compile=lambda rule, params: iter((SignedCheck(rule, params),)),
        needs_parameter=False,
    ),
    Trigger(
        gate=GATE,
        name="replaced",
        summary=(
            "Hits records whose upstream replaced the file under its name: this channel listed it with other digests "
            "before. With `less_than_days` only for so long after that."
        ),
        trigger_id="`replaced+filename`",
        parameters={"less_than_days": Parameter(read_amount, "days", "since the replacement; always when absent")},
        compile=lambda rule, params: iter((ReplacedCheck(rule, params),)),
        needs_parameter=False,
    ),
    Trigger(
        gate=GATE,
        name="size",
        summary="Hits artifacts by size in MB (1,000,000 bytes). A record that states no size is not hit.",
        trigger_id="`size+filename`",
        parameters={
            "more_than_mb": Parameter(read_amount, "MB", "larger than this"),
            "less_than_mb": Parameter(read_amount, "MB", "smaller than this"),
        },
        compile=lambda rule, params: iter((SizeCheck(rule, params),)),
    ),
)
