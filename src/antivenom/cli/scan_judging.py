"""What counts of a scan's findings: VEX documents, a policy with its allowlist, an earlier scan, limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from time import time

from antivenom.cli.arguments import parse_name, read_text
from antivenom.cli.client import Client
from antivenom.cli.output import count_of, note
from antivenom.cli.scan_targets import read_bytes
from antivenom.core.errors import InvalidInputError
from antivenom.core.policy.compile import Policy, parse_policy
from antivenom.core.policy.scans import ScanPolicy
from antivenom.core.readers.vex import VexDocument, read_vex
from antivenom.core.reports.baseline import (
    KnownFinding,
    known_findings,
    only_new,
    read_baseline,
    without_known_reasons,
)
from antivenom.core.reports.result import FAIL_ON, ScannedSnapshot
from antivenom.core.reports.vex import VexStatements
from antivenom_client.report import STOP

_FILE = re.compile(r"[/\\]|\.(?:ya?ml|json)$|^-$")


def check_limits(limits: list[str], policy: str) -> list[str]:
    """With what the scan fails: with a policy and no limit, what it stops.

    Raises:
        InvalidInputError: A limit is not known, or "stop" is one without a policy.
    """
    for limit in limits:
        if limit not in FAIL_ON:
            raise InvalidInputError(f"--fail-on {limit} is not known", hint=f"one of: {', '.join(FAIL_ON)}")
    if STOP in limits and not policy:
        raise InvalidInputError("--fail-on stop needs a policy", hint="antivenom scan . --policy policy.yml")
    return limits or ([STOP] if policy else [])


class Judging:
    """What is done with each snapshot before it is printed, in this order: VEX, the baseline, the policy."""

    def __init__(
        self, vex: Sequence[VexDocument], policy: ScanPolicy | None, known: Collection[KnownFinding], baseline: str
    ) -> None:
        self._documents, self._vex = vex, VexStatements(vex)
        self._policy, self._known, self._baseline = policy, known, baseline
        self._left_out = 0

    def judge(self, snapshot: ScannedSnapshot) -> ScannedSnapshot:
        """The snapshot with what counts of it."""
        if self._documents:
            snapshot = self._vex.apply(snapshot)
        if self._baseline:
            [snapshot], left_out = only_new([snapshot], self._known)
            self._left_out += left_out
        if self._policy is not None:
            snapshot = self._policy.judge(snapshot)
            snapshot = without_known_reasons(snapshot, self._known) if self._known else snapshot
        return snapshot

    def leave_out(self, snapshots: Iterable[ScannedSnapshot], source: str) -> list[ScannedSnapshot]:
        """Leave out from now on what these have already; they are judged for it."""
        judged = [self.judge(snapshot) for snapshot in snapshots]
        self._known = known_findings(judged).union(self._known)
        self._baseline, self._left_out = self._baseline or source, 0
        return judged

    def show(self) -> None:
        """Say what people should know of it."""
        for document in self._documents:
            if document.untied:
                told = count_of(document.untied, "statements")
                note(f"{document.name}: {told} without a package URL are not tied to any package")
        if self._baseline:
            note(f"{count_of(self._left_out, 'findings')} of {self._baseline} are left out")


def read_judging(vex: Sequence[str], policy: str, baseline: str, connect: Callable[[], Client]) -> Judging:
    """What the options name, read.

    Args:
        connect: The client of the server whose policies have names.

    Raises:
        InvalidInputError: A file cannot be read, or is malformed.
    """
    documents = [read_vex(read_bytes(path), path) for path in vex]
    judge = ScanPolicy(_read_policy(policy, connect), round(time() * 1000)) if policy else None
    known = read_baseline(read_bytes(baseline), baseline) if baseline else frozenset()
    return Judging(documents, judge, known, baseline)


def _read_policy(text: str, connect: Callable[[], Client]) -> Policy:
    """The policy of a file, or the server's of that name."""
    if _FILE.search(text) or Path(text).is_file():
        try:
            return parse_policy(read_text(text))
        except InvalidInputError as error:
            problems = error.data.get("problems")
            place = f"{text}:{problems[0]['line']}:{problems[0]['column']}" if problems else text
            hint = f"antivenom policy check {text} lists every problem"
            raise InvalidInputError(f"{place}: {error.message}", hint=hint if problems else error.hint) from None
    return parse_policy(connect().get(f"/api/v1/policies/{parse_name(text)}")["text"])
