"""Version keys beside a second reading of the same rules, and every odd spelling of which a rule speaks."""

from __future__ import annotations

import re
from itertools import chain, groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom_client.version_keys import (
    SCHEMES,
    VERSION_MAX_CHARACTERS,
    clean,
    key_after,
    packaged_release,
    version_key,
)

STAGES = [["dev", "snapshot", "nightly", "git"], ["alpha"], ["beta"], ["milestone"], ["pre", "preview", "prerelease"],
          ["rc", "cr", "candidate"]]  # fmt: skip
SHORT = {"a": "alpha", "b": "beta", "m": "milestone", "c": "rc"}  # with a number behind them alone
IDLE = ["final", "ga", "na", "release", "stable", "version"]
PIECES = st.lists(
    st.sampled_from(["0", "00", "1", "2", "10", "300", "70000", *SHORT, *chain.from_iterable(STAGES), *IDLE, "k", "zb", "p"]),
    min_size=1,
    max_size=6,
)  # fmt: skip


def generic_rule(words: list[str]) -> list[tuple[int, int, str]]:
    """What a generic version is compared by; its end stands behind stages, and before words and numbers."""
    found: list[tuple[int, int, str]] = []
    for place, word in enumerate(words):
        following = words[place + 1] if place + 1 < len(words) else ""
        long = SHORT[word] if word in SHORT and following.isdigit() else word
        stage = next((n for n, names in enumerate(STAGES) if long in names), None)
        if word.isdigit():
            found.append((3, int(word), ""))
        elif word in IDLE:
            continue
        elif stage is not None:
            found.append((0, stage, ""))
        else:
            found.append((2, 0, word))
    runs = [list(run) for _, run in groupby(found, key=lambda token: token[0] == 3)]
    for run in runs:
        while run and run[-1][:2] == (3, 0):
            run.pop()
    return [*chain.from_iterable(runs), (1, 0, "")]


def told_apart(words: list[str]) -> list[str]:
    """Without idle words between numbers: whether zeros before one count is no rule."""
    return [word for place, word in enumerate(words) if word not in IDLE or place + 1 == len(words)]


@given(PIECES, PIECES, st.sampled_from(".-_+"), st.sampled_from(("generic", "cpe")))
def test_generic_keys_order_as_their_rule_says(one: list[str], other: list[str], mark: str, scheme: str) -> None:
    left, right = (["1", *told_apart(words)] for words in (one, other))
    keys = [version_key(scheme, mark.join(words)) or b"" for words in (left, right)]
    rules = [generic_rule(words) for words in (left, right)]
    assert (keys[0] < keys[1], keys[0] == keys[1]) == (rules[0] < rules[1], rules[0] == rules[1])


@given(st.integers(0, 10**60), st.integers(0, 10**60), st.sampled_from(SCHEMES), st.sampled_from(("", "0", "000")))
def test_numbers_of_any_size_order_by_value(one: int, other: int, scheme: str, zeros: str) -> None:
    keys = [version_key(scheme, text) or b"" for text in (f"1.{zeros}{one}", f"1.{other}")]
    assert (keys[0] < keys[1], keys[0] == keys[1]) == (one < other, one == other)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("edge", [1, 2, 9, 254, 255, 2999, 3000, 65_535, 16_777_215, 2**32 - 1])
def test_numbers_order_at_the_edges_of_their_bytes_wherever_they_stand(scheme: str, edge: int) -> None:
    for shape in ("{}", "1.{}", "1.{}.2", "{}.0.1"):
        keys = [version_key(scheme, shape.format(n)) or b"" for n in (edge - 1, edge, edge + 1)]
        assert keys == sorted(set(keys))


CHAINS = {
    "pep440": [
        ["1.0.dev1", "1.0.dev2", "1.0a1.dev1", "1.0a1", "1.0a2", "1.0b1", "1.0rc1.dev1", "1.0rc1", "1.0rc1.post1", "1.0rc2",
         "1.0", "1.0+abc", "1.0+abc.1", "1.0+1", "1.0+1.abc", "1.0+1.1", "1.0+10", "1.0.post1.dev1", "1.0.post1", "1.0.post2",
         "1.0.1", "1.1", "10", "1!0.1", "2!0"],
        ["1.1.1", "1.1.1k", "1.1.1l", "1.1.1.post1"],  # the rest behind what is PEP 440 counts as local
        ["2020-10-01", "2020-10-02", "2020.10.10", "2020-11-01"],
        ["2.9", "release-3.0", "Release 3.1", "ver 3.2rc1", "3.2"],
        ["1.0", "1.0_1", "1.0_2", "1.1"],
        ["1.0", "1.0-x", "1.0-x1", "1.0-y", "1.0.1"],
        ["1.0c1", "1.0.rc.2", "1.0-pre3", "1.0_preview_4", "1.0"],
    ],
    "semver": [
        ["1.0.0-0", "1.0.0-1", "1.0.0-a", "1.0.0-a.0", "1.0.0-a.b", "1.0.0-ab", "1.0.0-b", "1.0.0", "1.0.0.1", "1.0.1"],
        ["1.0.0dev", "1.0.0rc1", "1.0.0rc2", "1.0.0rc10", "1.0.0", "1.0.0a"],
        ["1.0_alpha1", "1.0.beta2", "1.0_rc1", "1.0"],
        ["1.0a1", "1.0b1", "1.0c1", "1.0m1", "1.0"],
        ["1.0", "1.0a", "1.0b", "1.0betamax", "1.0rcx", "1.1"],  # words that announce nothing
        ["0.9", "1.0.0-A", "1.0.0-a", "v1.0.0"],
    ],
    "generic": [
        ["1.0-dev", "1.0-alpha", "1.0-beta", "1.0-m1", "1.0-pre", "1.0-rc1", "1.0-rc2", "1.0", "1.0a", "1.0p1", "1.0.1"],
        ["1.0b2", "1.0", "1.0b"],
        ["9.3", "9.3p1", "9.3p2", "9.4"],
        ["1.0.0.1", "1.0.1", "1.1"],
        ["1rc", "1rc.1", "1"],
        ["1.0-final", "1.0-final-1", "1.0-ga.2", "1.0-release.2.1"],
    ],
}  # fmt: skip


@pytest.mark.parametrize(("scheme", "ascending"), [(scheme, listed) for scheme in CHAINS for listed in CHAINS[scheme]])
def test_versions_stand_in_this_order(scheme: str, ascending: list[str]) -> None:
    keys = {text: version_key(scheme, text) or b"" for text in ascending}
    assert [(one, other) for one, other in pairwise(ascending) if keys[one] >= keys[other]] == []


EQUAL = {
    "pep440": ["1.0 = 1 = v1.0 = V1.0 =  1.0.0  = 01.0 = 1.0-na = 1.0.final = 1.0_ga = 0!1.0", "1.0a1 = 1.0alpha1 = 1.0-A.1 = 1.0_alpha_1",
               "1.0b = 1.0beta0", "1.0rc1 = 1.0c1 = 1.0.pre1 = 1.0-preview-1", "1.0-1 = 1.0_1 = 1.0.post1 = 1.0rev1 = 1.0.r1 = 1.0post01",
               "1.0.dev = 1.0dev0 = 1.0-dev_0", "1.0+AB.1 = 1.0+ab-1 = 1.0+ab_01", "1%211.0 = 1!1.0", "2020-01-02 = 2020.1.2",
               "2020-01-02-na = 2020.1.2", "1.0.post = 1.0.post0 = 1.0-0"],
    "semver": ["1.0.0 = 1 = v1.0.0 = V1 = 1.0.0+build.5 = 1.0.0+build-7 = 1.0.0+a+b", "1.0.0-rc.1 = 1.0.0rc1 = 1.0.0_rc1 = 1.0.0.RC1 = 1.0.0-rc.01",
               "1.2-a = V1.2-a", "1.1.1k = 1.1.1.k"],
    "generic": ["1.0 = 1 = v1.0 = 1_0 = 1-0-0 = 1+0 = release-1.0 = 1.0-final = 1.0.GA = 1.0-stable = 1.0 Release = 1!1.0 = 164!1", "1!2!3 = 2.3",
                "1.0-b2 = 1.0beta2 = 1.0.BETA.2 = 1.0_b2", "1.0rc1 = 1.0.rc.1 = 1.0-CR1 = 1.0candidate1 = 1.0c1", "1.0m1 = 1.0-milestone.1",
                "1.0alpha1 = 1.0a1", "1.0-snapshot = 1.0-nightly = 1.0dev = 1.0git", "1.0pre = 1.0preview = 1.0-prerelease"],
}  # fmt: skip


@pytest.mark.parametrize(("scheme", "listed"), [(scheme, line) for scheme in EQUAL for line in EQUAL[scheme]])
def test_these_spellings_are_of_one_version(scheme: str, listed: str) -> None:
    spellings = listed.split(" = ")
    assert {version_key(scheme, text) for text in spellings} == {version_key(scheme, spellings[0])}
    assert version_key(scheme, spellings[0]) is not None


# Indexes and advisory files that another release wrote hold keys: their form is part of those formats.
FORMS = [
    ("pep440", "0", "01 01 00 05 01 02 00"),
    ("pep440", "0.300.0.70000", "01 01 03 01 2c 01 04 01 11 70 00 05 01 02 00"),
    ("pep440", "1!2.0.3rc4.post5.dev6+ab.7", "02 01 02 02 01 02 03 00 04 02 04 02 02 05 01 02 06 01 61 62 00 02 02 07 00"),
    ("pep440", "1.0.dev2", "01 02 01 00 01 01 01 02 02 00"),
    ("pep440", "1.0a1", "01 02 01 00 02 02 01 01 02 00"),
    ("pep440", "1.0b2", "01 02 01 00 03 02 02 01 02 00"),
    ("pep440", "1.1.1k", "01 02 01 02 01 02 01 00 05 01 02 01 6b 00 00"),
    ("semver", "1.0.2-rc.1.x", "04 02 01 04 01 04 02 02 01 02 72 63 00 01 02 01 02 78 00 00"),
    ("semver", "10.0.0", "04 02 0a 02"),
    ("semver", "1.0.0rc2", "04 02 01 01 02 72 63 00 01 02 02 00"),
    ("generic", "1.0.0.2k", "04 02 01 04 01 04 01 04 02 02 03 6b 00 02"),
    ("generic", "0.3-beta2", "04 01 04 02 03 01 03 04 02 02 02"),
    ("cpe", "9.3p2", "04 02 09 04 02 03 03 70 00 04 02 02 02"),
    ("generic", "1!70000.0", "04 04 01 11 70 02"),
]  # fmt: skip


@pytest.mark.parametrize(("scheme", "text", "form"), FORMS)
def test_the_form_of_keys_is_that_of_stored_ones(scheme: str, text: str, form: str) -> None:
    key = bytes.fromhex(form)
    assert version_key(scheme, text) == key
    assert key_after(scheme, text) == (key[:-1] + b"\3" if scheme == "pep440" else key + b"\0")


def test_what_holds_no_number_or_is_too_long_has_no_place() -> None:
    for scheme in SCHEMES:
        longest = "1." + "2" * (VERSION_MAX_CHARACTERS - 2)
        for text in ("", "nightly", "-", " ", longest + "2"):
            assert version_key(scheme, text) is None
            assert key_after(scheme, text) is None
        assert version_key(scheme, longest) is not None
        assert version_key(scheme, f" {longest} ") == version_key(scheme, longest)
    assert (clean(" V1%212 "), clean(" V1 ", is_lowered=False), clean("1" * 129)) == ("v1!2", "V1", "")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("text", ["1", "1.0", "1.2.3", "2.0rc1", "1.1.1k", "2020-10-01", "0", "1.0.post1", "1.0.dev3"])
def test_an_inclusive_end_lies_right_behind_its_version(scheme: str, text: str) -> None:
    after = key_after(scheme, text)
    assert after is not None
    covered = [text, f"{text}.0"] if re.fullmatch("[0-9.]+", text) else [text]
    if scheme == "pep440":
        covered.append(f"{text}+cu118")
    for one in covered:
        assert (version_key(scheme, one) or b"") < after
    for other in (f"{text}.0.1", f"{text}.1"):
        if scheme != "pep440" or re.fullmatch("[0-9.]+", text):
            assert (version_key(scheme, other) or b"") > after


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("1.2.3-1", "1.2.3"),
        ("1.2.3-12", "1.2.3"),
        ("1.2.3+dfsg-4ubuntu1", "1.2.3"),
        ("1.2.3~ds1-2", "1.2.3"),
        ("1.2.3.repack1", "1.2.3"),
        ("1.2.3~dfsg1", "1.2.3"),
        ("1.2.3dfsg", "1.2.3"),
        ("1.2.3-1.el9", "1.2.3"),
        ("1.2.3-2+deb11u1", "1.2.3"),
        ("1.2.3-0ubuntu2", "1.2.3"),
        ("1.2.3-0+deb9u1", "1.2.3"),
        ("1.2.3-r0", ""),  # Alpine's counts from 1 here: r0 is in no feed
        ("1.2.3-r7", "1.2.3"),
        ("1.2.3_r7", "1.2.3"),
        ("1.2.3_1", "1.2.3"),
        ("1.2.3_13", ""),  # Java's update
        ("V1.2.3-1", "v1.2.3"),
        ("1.1.1k-1", "1.1.1k"),
        ("1.2rc1-1", "1.2rc1"),
        ("1.2-1-2", ""),
        ("1.2.3", ""),
        ("1.2.3-0", ""),
        ("1-1", ""),
        ("1.2.3+build", ""),
        ("1.2.3-beta", ""),
        ("1.2.3a", ""),
        ("", ""),
    ],
)
def test_the_release_behind_a_packagers_version(version: str, release: str) -> None:
    assert packaged_release(version) == release
