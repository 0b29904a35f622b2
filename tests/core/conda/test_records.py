"""File names of artifacts: looked at one by one and all at once, with the same answer."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antivenom.core.conda.records import are_artifact_filenames, is_artifact_filename

parts = st.text('abz09_.-+!=~%\n\0 /\\"é', max_size=8)
names = st.builds("{}-{}-{}{}".format, parts, parts, parts, st.sampled_from((".conda", ".tar.bz2", ".zip", "")))


@given(st.lists(names, max_size=5))
@example(["a-1-0.conda\nb-1-0.conda"])
@example(["a-1-0.conda", "b-1-0.conda\n"])
@example([""])
def test_all_at_once_admits_nothing_that_one_by_one_refuses(fns: list[str]) -> None:
    if are_artifact_filenames(fns):
        assert all(is_artifact_filename(fn) for fn in fns)


@pytest.mark.parametrize(
    "fn", ["a-1-0.conda", "libstdc++-1.0-h_0.tar.bz2", "_x-1!2.0+l-0.conda", f"a-{'9' * 230}-0.conda"]
)
def test_usual_names_are_admitted_at_once(fn: str) -> None:
    assert are_artifact_filenames([fn, fn])
    assert is_artifact_filename(fn)
