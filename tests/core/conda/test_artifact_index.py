"""What an artifact says it is, beside what the channel's index says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from antivenom.core.conda.artifact_index import (
    LIST_MAX,
    TEXT_MAX_CHARACTERS,
    ArtifactIndex,
    FieldDifference,
    describe_mismatch,
    list_differences,
    parse_artifact_index,
)

SAID = {"name": "a", "version": "1.0", "build": "h0_0", "subdir": "linux-64", "build_number": 0, "depends": ["b", "c"]}


def parse(document: Any) -> ArtifactIndex | None:
    return parse_artifact_index(msgspec.json.encode(document))


def mismatch(**changes: Any) -> str:
    said = parse(SAID | changes)
    assert said is not None
    return describe_mismatch(said, name="a", version="1.0", build="h0_0", subdir="linux-64")


@pytest.mark.parametrize("document", [b"", b"[]", b"3", b"\xff{", b"[" * 100_000])
def test_what_is_no_object_says_nothing(document: bytes) -> None:
    assert parse_artifact_index(document) is None


def test_fields_of_another_type_count_as_absent_and_long_ones_are_cut() -> None:
    odd = {"name": 3, "version": None, "build": ["x"], "subdir": "x" * 10_000, "build_number": "0", "depends": {"a": 1}}
    said = parse(odd | {"constrains": ["x"] * 10_000 + [3], "license": "y"})
    assert said is not None
    assert (said.name, said.version, said.build, said.build_number, said.depends) == ("", "", "", None, ())
    assert (len(said.subdir), len(said.constrains), said.license) == (TEXT_MAX_CHARACTERS, LIST_MAX, "y")
    assert mismatch(name=None, version=7, build="", subdir=[]) == ""


def test_the_same_package_agrees_however_its_version_is_quoted_and_its_name_is_written() -> None:
    assert mismatch() == mismatch(name="A") == ""
    said = parse(SAID | {"version": "1!164.3095"})
    assert said is not None
    assert describe_mismatch(said, name="a", version="1%21164.3095", build="h0_0", subdir="linux-64") == ""


@pytest.mark.parametrize(
    ("field", "value"), [("name", "numpy"), ("version", "1.0.0"), ("build", "h0_1"), ("subdir", "noarch")]
)
def test_another_name_version_build_or_subdir_is_said(field: str, value: str) -> None:
    said = mismatch(**{field: value})
    assert said.startswith(f"{field} {value!r} where the index says ")
    assert ";" not in said


def test_other_fields_are_differences_and_what_the_artifact_does_not_say_is_none() -> None:
    said = parse(SAID | {"license": "MIT", "constrains": ["d"]})
    assert said is not None
    assert (
        list_differences(said, {"depends": ["c", "b"], "constrains": ["d"], "license": "MIT", "build_number": 0}) == []
    )
    assert list_differences(said, {"depends": ["c", "b >=2"], "license": "Apache-2.0", "build_number": 1}) == [
        FieldDifference("depends", ("b >=2",), ("b",)),
        FieldDifference("constrains", (), ("d",)),
        FieldDifference("build_number", ("1",), ("0",)),
        FieldDifference("license", ("Apache-2.0",), ("MIT",)),
    ]
    assert list_differences(ArtifactIndex("a"), {"license": "MIT", "build_number": 1}) == []
