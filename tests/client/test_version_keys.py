"""Version keys: the orders that feeds and channels use, as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from antivenom_client.version_keys import SCHEMES, is_prerelease, key_after, version_key

NUMBER = st.integers(0, 70_000)
PEP440 = st.builds(
    lambda epoch, release, pre, post, dev, local: (
        (f"{epoch}!" if epoch else "") + ".".join(map(str, release)) + pre + post + dev + local
    ),
    st.sampled_from((0, 0, 1)),
    st.lists(NUMBER, min_size=1, max_size=5),
    st.sampled_from(("", "a1", "b2", "rc0", ".alpha.3", "-c4", "pre")),
    st.sampled_from(("", ".post1", "-2", "r3", ".rev")),
    st.sampled_from(("", ".dev0", "dev5")),
    st.sampled_from(("", "+cu118", "+1.2", "+abc.7")),
)


@given(PEP440, PEP440)
def test_pep440_keys_order_as_packaging_does(one: str, other: str) -> None:
    left, right = version_key("pep440", one), version_key("pep440", other)
    assert left is not None
    assert right is not None
    assert (left < right, left == right) == (Version(one) < Version(other), Version(one) == Version(other))


ORDERS = {
    "generic": ["1.0.2-beta1", "1.0.2", "1.0.2a", "1.0.2z", "1.0.2za", "1.1.0", "1.1.0l", "1.1.1k", "3.0.0-alpha1", "3.0"],
    "cpe": ["9c", "9d", "9e", "10", "2020-10-01", "2023.8.22"],
    "semver": [
        "0.0.0-0", "0.0.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
        "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.1.1", "1.1.1k", "2.0.0-0.3.7", "2.0.0-1", "2.0.0-10", "2.0.0-10a",
        "2.0.0-Beta", "2.0.0-a", "2.0.0-r100", "2.0.0-r2", "2.0.0-rc.2", "2.0.0-rc.10", "2.0.0-rc10", "2.0.0-rc2",
        "2.0.0-x-y-z.1", "2.0.0-x-y-z.1.1", "2.0.0",
    ],
    "pep440": ["1.0.dev1", "1.0a1", "1.0", "1.0.post1", "2.5.9", "2.6.0-NA", "2.6.1", "1!0.1"],
}  # fmt: skip


@pytest.mark.parametrize("scheme", sorted(ORDERS))
def test_versions_stand_in_their_known_order(scheme: str) -> None:
    keys = [version_key(scheme, v) for v in ORDERS[scheme]]
    assert None not in keys
    assert keys == sorted(keys, key=lambda k: k or b"")
    assert len(set(keys)) == len(keys)


IDENTIFIER = st.text(st.sampled_from("019abrcABRC-"), min_size=1, max_size=4).filter(
    lambda text: not (text.isdigit() and len(text) > 1 and text[0] == "0")
)


@given(st.lists(IDENTIFIER, max_size=4), st.lists(IDENTIFIER, max_size=4))
def test_semver_keys_order_as_its_eleventh_rule_says(one: list[str], other: list[str]) -> None:
    def rule(identifiers: list[str]) -> tuple[object, ...]:
        parts = tuple((0, int(i), "") if i.isdigit() else (1, 0, i) for i in identifiers)
        return (not identifiers, parts)  # a release is above its pre-releases, and more identifiers above fewer

    left, right = (version_key("semver", "1.2.3" + (f"-{'.'.join(i)}" if i else "")) for i in (one, other))
    assert left is not None
    assert right is not None
    assert (left < right, left == right) == (rule(one) < rule(other), rule(one) == rule(other))


@pytest.mark.parametrize(
    ("scheme", "one", "other"),
    [
        ("semver", "V1.0.0-a", "v1.0.0-a"),
        ("pep440", "1.0.rc1", "1.0rc1"),
        ("pep440", "1.0_1", "1.0-1"),
        ("pep440", "2.6.0-NA", "2.6.0"),
        ("pep440", "5.0-final", "5"),
        ("cpe", "1%21164.3095", "164.3095"),
        ("cpe", "1.2", "1.2.0"),
        ("semver", "4.5.1+0", "4.5.1"),
        ("semver", "1.0.0rc1", "1.0.0-rc.1"),
        ("generic", "v1.2", "1_2"),
    ],
)
def test_spellings_of_one_version_are_equal(scheme: str, one: str, other: str) -> None:
    assert version_key(scheme, one) == version_key(scheme, other)


def test_an_inclusive_end_covers_local_builds_and_nothing_newer() -> None:
    after = key_after("pep440", "2.0")
    assert after is not None
    for covered in ("2.0", "2.0+cu118", "2.0.0"):
        assert (version_key("pep440", covered) or b"") < after
    for newer in ("2.0.post1", "2.0.0.1", "2.1.dev0"):
        assert (version_key("pep440", newer) or b"") > after


@given(st.text(max_size=200), st.sampled_from(SCHEMES))
def test_any_text_has_a_key_or_none_and_never_fails(text: str, scheme: str) -> None:
    key = version_key(scheme, text)
    assert key is None or (key_after(scheme, text) or b"") > key


def test_every_letter_release_of_openssl_stands_behind_its_release_and_in_order() -> None:
    letters = [*"abcdefghijklmnopqrstuvwxyz", "za", "zb", "zk"]
    releases = ["1.0.2", *(f"1.0.2{letter}" for letter in letters)]
    for scheme in ("generic", "cpe", "semver"):
        keys = [version_key(scheme, release) for release in releases]
        assert keys == sorted(keys)
        assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("version", "is_pre"),
    [
        ("1.2.3", False), ("1.1.1k", False), ("1.0.2b", False), ("9.3p2", False), ("2024-01-01", False),
        ("1.0.post1", False), ("1.2+cu118", False), ("1.0-final", False), ("", False),
        ("3.15.0a6", True), ("2.0-rc.1", True), ("2.0rc", True), ("1.0.dev3", True), ("1.0b2", True),
        ("1.0-beta", True), ("1.0_alpha.2", True), ("V2.0RC1", True),
    ],
)  # fmt: skip
def test_a_pre_release_is_told_from_a_release(version: str, is_pre: bool) -> None:
    assert is_prerelease(version) is is_pre
