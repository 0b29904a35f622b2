"""Whether a channel offers a version that is free of a finding."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from antivenom.core.matching.advisories import Assessment, Finding
from antivenom_client.version_keys import version_key


def fix_in_channel(finding: Finding, channel_versions: Iterable[str]) -> bool:
    """Whether a channel offers a version that is free of a finding.

    `fixed_versions` are all above the component's own version. A project that maintains several lines fixes each in
    its own release (3.0.15, 3.1.7): a version counts when it is at or above the fixed one of its line, or above every
    fixed one.

    Args:
        channel_versions: The versions of the same conda name that the channel does not withhold.
    """
    fixed = sorted((k, text) for text in finding.fixed_versions if (k := version_key("generic", text)) is not None)
    if not fixed:
        return False
    for version in channel_versions:
        key = version_key("generic", version)
        if key is None or key < fixed[0][0]:
            continue
        below = [text for k, text in fixed if k <= key]
        if len(below) == len(fixed) or _line(below[-1]) == _line(version):
            return True
    return False


def _line(version: str) -> list[str]:
    """The first two numbers of a version: what a maintained line has in common."""
    return re.findall(r"[0-9]+", version.split("!")[-1])[:2]


def with_fixes(assessment: Assessment, channel_versions: Sequence[str]) -> Assessment:
    """The assessment with `fix_in_channel` said on every finding."""
    return msgspec.structs.replace(
        assessment,
        findings=tuple(
            msgspec.structs.replace(f, fix_in_channel=fix_in_channel(f, channel_versions)) for f in assessment.findings
        ),
    )
