"""Which vulnerabilities were rejected: by the record of their CVE id, or in words that another entry quotes.

Source: CVE Record Format 5.1 ("state"); NVD API 2.0 ("vulnStatus").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from antivenom.core.matching.advisories import REJECTED, Advisory
from antivenom.core.matching.grouping import AliasGroup, is_cve


def find_rejected(
    groups: Sequence[AliasGroup], entries: Mapping[str, Sequence[Advisory]], numbers: Mapping[str, Sequence[int]]
) -> set[int]:
    """The vulnerabilities whose CVE id was rejected: by its record, or in words that another entry quotes.

    NVD and copies of the CVE list say so later, and what re-packagers made of the record may stay for years. A record
    that is newer than the rejection says that it was taken back.
    """
    told = {number for i, listed in entries.items() if any(map(_tells_of_rejection, listed)) for number in numbers[i]}
    found = set()
    for number in told:
        own = [a for i in groups[number].ids if len(numbers[i]) == 1 for a in entries.get(i, ())]
        rejections = [a.modified for a in own if _tells_of_rejection(a)]
        records = [a.modified for a in own if _is_record(a) and not a.withdrawn]
        if rejections and max(rejections) >= max(records, default=""):
            found.add(number)
    return found


def _tells_of_rejection(advisory: Advisory) -> bool:
    return bool(advisory.withdrawn) and (REJECTED in advisory.flags or _is_record(advisory))


def _is_record(advisory: Advisory) -> bool:
    """Whether it is the record of a CVE id, or NVD's of it."""
    return advisory.source in ("nvd", "cve5") and is_cve(advisory.id)
