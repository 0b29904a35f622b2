"""What a selection of records needs: its dependencies, and theirs, as far as the upstream has them.

Not handled: `constrains`, virtual packages (`__glibc`), optional dependencies, and dependencies that are no plain match
specs. Which of several candidates a solver would take is not decided: every record that meets a dependency is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from antivenom.core.conda.records import RecordFacts
from antivenom.core.conda.specs import RecordSpec, parse_record_spec
from antivenom.core.errors import AntivenomError

Candidates = Callable[[str], Sequence[RecordFacts]]
"""The records of one name in all subdirs, with their dependencies."""


class UnmetDependency(NamedTuple):
    """A dependency that no record of the selection meets, and the first record that has it."""

    text: str
    fn: str
    subdir: str


@lru_cache(maxsize=1 << 16)
def parse_need(text: str) -> RecordSpec | None:
    """The match spec of a dependency; None for what no record of a channel meets by its name."""
    if text.startswith("__"):
        return None
    try:
        spec = parse_record_spec(text)
    except AntivenomError:
        return None
    return spec if spec.exact_name else None


def close_specs(specs: Sequence[str], names: Iterable[str], candidates: Candidates) -> list[str]:
    """The specs, and after them the dependencies that have to be selected too, in the order in which they were met.

    Each name's records are read once, when something asks for the name. The work ends: a record is taken at most once.

    Args:
        names: Every name that the upstream has.

    Raises:
        InvalidInputError: One of the specs is not a match spec.
    """
    closed = list(specs)
    left: dict[str, list[RecordFacts]] = {}
    queue: list[RecordSpec] = []
    known = sorted(set(names))
    for text in specs:
        spec = parse_record_spec(text)
        for name in [spec.exact_name] if spec.exact_name else [n for n in known if spec.matches_name(n)]:
            _take(spec, name, left, candidates, queue)
    asked = set(specs)
    for spec in queue:  # grows while it is read
        if spec.text in asked:
            continue
        asked.add(spec.text)
        if _take(spec, spec.exact_name, left, candidates, queue):
            closed.append(spec.text)
    return closed


def _take(
    spec: RecordSpec, name: str, left: dict[str, list[RecordFacts]], candidates: Candidates, queue: list[RecordSpec]
) -> bool:
    """Take the records of a name that a spec matches; whether there were any that were not taken before."""
    if name not in left:
        left[name] = list(candidates(name))
    taken = [record for record in left[name] if _matches(spec, record)]
    if not taken:
        return False
    left[name] = [record for record in left[name] if not _matches(spec, record)]
    texts = dict.fromkeys(text for record in taken for text in record.depends)
    queue += [need for need in map(parse_need, texts) if need is not None]
    return True


def _matches(spec: RecordSpec, record: RecordFacts) -> bool:
    try:
        return spec.matches(record)
    except AntivenomError:  # a version that conda cannot order matches no version range
        return False


def list_idle(specs: Sequence[str], records: Mapping[str, Sequence[RecordFacts]]) -> list[str]:
    """The specs that match none of some records (by name): most likely a name is misspelt.

    Raises:
        InvalidInputError: One of the specs is not a match spec.
    """
    idle = []
    for text in specs:
        spec = parse_record_spec(text)
        names = [spec.exact_name] if spec.exact_name else [name for name in records if spec.matches_name(name)]
        if not any(_matches(spec, record) for name in names for record in records.get(name, ())):
            idle.append(text)
    return idle


def list_unmet(records: Mapping[str, Sequence[RecordFacts]]) -> list[UnmetDependency]:
    """The dependencies of some records that none of them meets, each once, by text.

    A record is met by its own subdir and by noarch; one of noarch, which serves every platform, by any subdir.

    Args:
        records: By name.
    """
    unmet: dict[str, UnmetDependency] = {}
    met: dict[tuple[str, str], bool] = {}
    for own in records.values():
        for record in own:
            for text in record.depends:
                need = parse_need(text) if text not in unmet else None
                if need is None:
                    continue
                key = text, record.subdir
                if key not in met:
                    met[key] = any(
                        _matches(need, other)
                        for other in records.get(need.exact_name, ())
                        if "noarch" in (record.subdir, other.subdir) or other.subdir == record.subdir
                    )
                if not met[key]:
                    unmet[text] = UnmetDependency(text, record.fn, record.subdir)
    return [unmet[text] for text in sorted(unmet)]
