"""What decides a publication, and what publishing asks of a policy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from antivenom.core.conda.records import ChannelFacts, RecordFacts
from antivenom.core.matching.advisories import Assessment
from antivenom.core.policy.compile import AllowlistItem, Reason, Verdict
from antivenom.core.policy.rules.base import NameColumns
from antivenom.core.source.source_map import Component

Assess = Callable[[Sequence[Component]], Sequence[Assessment | None]]


class Judge(Protocol):
    """What publishing asks of a policy; `CompiledPolicy` is one.

    `reads_depends`: whether any verdict depends on a record's dependencies. `closure_exceptions`: the allowlist items
    that may put a reason of the closure aside. `fix_cooldowns`: the cooldowns that let fixes through, in ms, by rule.
    """

    @property
    def fix_cooldowns(self) -> Mapping[str, int]: ...
    @property
    def reads_depends(self) -> bool: ...
    @property
    def closure_exceptions(self) -> tuple[AllowlistItem, ...]: ...

    def judge(self, record: RecordFacts, assessment: Assessment | None, channel: ChannelFacts, now_ms: int) -> Verdict:
        """The verdict on one record; the constant GO when nothing applies."""
        ...

    def touched_positions(
        self,
        names: NameColumns,
        record_at: Callable[[int], RecordFacts],
        assessments: Sequence[Assessment | None],
        channel: ChannelFacts,
        now_ms: int,
    ) -> Iterable[int]:
        """The positions of the records of one name that some rule touches, ascending: all others get GO."""
        ...

    def except_closure(self, reason: Reason, record: RecordFacts, now_ms: int) -> AllowlistItem | None:
        """The unexpired allowlist item that puts a reason of the closure aside; None when there is none."""
        ...


class PublishRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides a publication.

    Attributes:
        sources: subdir → key of its source map.
        assess: Assessments of distinct components, in order; None where nothing is known.
        now_ms: Decides rule ages and exception expiry.
        closure: Whether what can no longer be installed is withheld too.
        previous: subdir → key of the publication that is served now.
        rejudge: Names whose assessment may have changed; None judges everything (another policy or channel setting).
            Names whose source changed or whose `holds_until_ms` passed are always judged.
        build_assessments: "subdir/fn" → the assessment of that very build (its component's, and what its
            info/security.json states).
    """

    sources: Mapping[str, str]
    channel: ChannelFacts
    policy: Judge
    assess: Assess
    now_ms: int
    closure: bool = True
    previous: Mapping[str, str] = {}
    rejudge: Collection[str] | None = None
    build_assessments: Mapping[str, Assessment] = {}
