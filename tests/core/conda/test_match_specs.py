"""A match spec means what conda means by it, or is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from antivenom.core.conda.records import RecordFacts
from antivenom.core.conda.specs import is_same_release, parse_record_spec
from antivenom.core.errors import InvalidInputError

TABLE = json.loads(Path(__file__).with_name("match_specs.json").read_text(encoding="utf-8"))
ANSWERS: dict[str, str] = dict(TABLE["answers"])
RECORDS = [
    RecordFacts(f"{name}-{version}-{build}.conda", "noarch", name, version, build, build_number=number, license="MIT")
    for name, version, build, number in TABLE["records"]
]
TAKEN_AT_LEAST = 250  # of the spellings that conda takes: refusing everything would be right, and of no use


def matched(spec: str) -> str:
    """The positions of the records that it matches; "refused" for what is no match spec here."""
    try:
        parsed = parse_record_spec(spec)
    except InvalidInputError:
        return "refused"
    return " ".join(str(at) for at, record in enumerate(RECORDS) if parsed.matches(record))


@pytest.mark.parametrize("spec", [spec for spec in ANSWERS if spec == spec.strip()], ids=repr)
def test_spec_matches_what_conda_matches_or_is_refused(spec: str) -> None:
    assert matched(spec) in (ANSWERS[spec], "refused")


def test_most_of_what_conda_takes_is_taken() -> None:
    taken = [spec for spec, answer in ANSWERS.items() if answer != "refused" and matched(spec) == answer]
    assert len(taken) >= TAKEN_AT_LEAST


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("foo *.0", "does not stand at the end"),
        ("foo >=1.2 <2", "join them"),
        ("foo<=1.2*", "write <=1.2"),
        ("foo (>=1,<2)|3", "each alternative"),
        ("foo==1.2*", r"write 1\.2\.\*"),
        ("foo 1.2=", "leave the last"),
        ("foo\t1.2", "one line"),
        ("foo[license='MIT*']", "without"),
        ("foo 1.2 if win", "leave it out"),
    ],
)
def test_refusal_says_what_to_write(spec: str, words: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_record_spec(spec)
    assert re.search(words, f"{refused.value.message} {refused.value.hint}")


@pytest.mark.parametrize(
    ("version", "release", "is_same"),
    [
        ("1.2", "1.2", True), ("1.2.0", "1.2", True), ("1.2", "1.2.0", True), ("1.2.0.0", "1.2", True),
        ("1.2.0.1", "1.2", True), ("1.2rc1", "1.2", True), ("1.2.0rc1", "1.2.0", True),
        ("1.2rc1", "1.2.0", False), ("2.0rc1", "2.0.0", False), ("2rc1", "2.0", False), ("1.20", "1.2", False),
        ("not a version!", "1.2", False),
    ],
)  # fmt: skip
def test_a_candidate_is_of_the_release_only_that_it_spells_out(version: str, release: str, is_same: bool) -> None:
    assert is_same_release(version, release) is is_same
