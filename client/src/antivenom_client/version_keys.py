"""Order-preserving byte keys of versions: comparing two keys as bytes compares the versions.

Every version that a feed or a channel writes is given a place, however odd; only text without any digit has none.
Keys of different schemes must not be compared with each other.

* `pep440`: PEP 440 exactly. What is not PEP 440 (`2.6.0-NA`, `1.1.1k`, `2020-10-01`) is cut at its longest valid
  start and the rest counts as a local label: it stands directly behind the version it extends, so a bound is never
  lost for its spelling.
* `semver`: SemVer 2.0; what follows `+` does not order. More or fewer than three numbers are welcome. Pre-releases are
  compared identifier by identifier, numbers by value and texts as ASCII has them: `r100` before `r2`, `Beta` before
  `alpha`. conda cannot write them: its `1.0.0rc1` is 1.0.0-rc.1.
* `cpe`, `generic`: numbers by value; a word that announces a release (`rc`, `beta`) stands before it, any other word
  behind it (OpenSSL's `1.1.1k`, OpenSSH's `9.3p2`); every separator is the same; trailing zeros do not count; a conda
  epoch (`1!164`) is dropped, since no CPE knows it.

Source: PEP 440 "Summary of permitted suffixes and relative ordering"; semver.org 2.0.0 §11; NISTIR 7695 says nothing
of order, the generic rules are those of the version strings that NVD publishes.
"""

from __future__ import annotations

from functools import lru_cache

VERSION_MAX_CHARACTERS = 128  # the longest real one has 48; more is somebody's experiment
SCHEMES = ("pep440", "semver", "cpe", "generic")

_PRE_PHASE = {"a": b"\x02", "alpha": b"\x02", "b": b"\x03", "beta": b"\x03"}  # c, rc, pre and preview are one phase
_DEV_ONLY, _CANDIDATE, _RELEASED = b"\x01", b"\x04", b"\x05"
_ANNOUNCING = {
    "dev": 1, "snapshot": 1, "nightly": 1, "git": 1, "alpha": 2, "a": 2, "beta": 3, "b": 3, "milestone": 4, "m": 4,
    "pre": 5, "preview": 5, "prerelease": 5, "c": 6, "rc": 6, "cr": 6, "candidate": 6,
}  # fmt: skip
_SAID_BY_NUMBER_ONLY = {"a", "b", "c", "m"}  # 1.0b2 announces 1.0; OpenSSL's 1.0.2b follows 1.0.2
_NOTHING_WORDS = {"final", "ga", "na", "release", "stable", "version"}
_END = b"\x02"
_DIGITS = frozenset("0123456789")


def _number(digits: str) -> bytes:
    """A number as its byte length, counted from 1, and its big-endian bytes."""
    value = int(digits)
    length = (value.bit_length() + 7) // 8
    return bytes((length + 1,)) + value.to_bytes(length, "big")


_numbers: dict[str, bytes] = {}  # of short numbers, of which there are few


def packaged_release(version: str) -> str:
    """The release that a packager's version was made of: 1.2.3 of 1.2.3-1 and of 1.2.3+dfsg; "" for all others."""
    if version.replace(".", "").isdigit():
        return ""  # nearly all, and looking is cheaper
    from antivenom_client.version_patterns import OF_PACKAGER

    found = OF_PACKAGER.fullmatch(clean(version))
    return found["release"] if found is not None else ""


def clean(text: str, *, is_lowered: bool = True) -> str:
    """The version as one lower-case text: blanks off, `%21` of URL-quoted records as `!`; "" when it cannot be one."""
    if "%" in text:
        from urllib.parse import unquote

        text = unquote(text)
    text = text.strip()
    if is_lowered:
        text = text.lower()
    return text if len(text) <= VERSION_MAX_CHARACTERS else ""


def _release(numbers: list[str]) -> bytes:
    end = len(numbers)
    while end > 1 and not numbers[end - 1].strip("0"):
        end -= 1
    return b"".join([_numbers.get(n) or _short_number(n) for n in numbers[:end]]) + b"\0"


def _short_number(digits: str) -> bytes:
    """As `_number`; remembered where it has few digits."""
    key = _number(digits)
    if len(digits) <= 4:
        _numbers[digits] = key
    return key


def _is_plain(text: str) -> bool:
    """Whether a version is numbers with dots between them."""
    return text.isascii() and text.replace(".", "").isdigit() and text[0] != "." != text[-1] and ".." not in text


_FINAL = _RELEASED + b"\x01" + b"\x02"  # no pre-release, no post-release, no development release
_EPOCH_0 = _number("0")


def _pep440(text: str) -> bytes | None:
    """The key without its local label's end, or None when nothing at the start is a version."""
    if _is_plain(text):
        return _EPOCH_0 + _release(text.split(".")) + _FINAL
    from antivenom_client.version_patterns import LABEL_SEPARATOR, PEP440, TOKEN

    found = PEP440.match(text)
    if found is None:
        return None
    key = _number(found["epoch"] or "0") + _release(found["release"].split("."))
    has_post = found["post"] is not None
    if found["pre"]:
        key += _PRE_PHASE.get(found["pre"], _CANDIDATE) + _number(found["pre_number"] or "0")
    else:
        key += _DEV_ONLY if found["dev"] is not None and not has_post else _RELEASED
    key += b"\x02" + _number(found["post_number"] or found["post_implicit"] or "0") if has_post else b"\x01"
    key += b"\x01" + _number(found["dev_number"] or "0") if found["dev"] is not None else b"\x02"
    if found["local"]:
        key += b"".join(_label(part) for part in LABEL_SEPARATOR.split(found["local"]))
    return key + b"".join(_label(part) for part in TOKEN.findall(text[found.end() :]))


def _label(part: str) -> bytes:
    return b"\x02" + _number(part) if part.isdigit() else b"\x01" + part.encode() + b"\0"


def _python_spelling(text: str) -> str:
    """What PyPI would have called the version.

    conda allows no `-`, so `1.0-1` became `1.0_1`; NVD's update `NA` (`2.6.0-NA`) and `final` say nothing; dates are
    releases.
    """
    from antivenom_client.version_patterns import DATE, IDLE_SUFFIX, UNDERSCORED_POST

    text = IDLE_SUFFIX.sub("", text)
    if DATE.match(text):
        return text.replace("-", ".")
    return UNDERSCORED_POST.sub("-", text) if "_" in text else text


def _words(text: str) -> list[str]:
    """The runs of digits and of letters. By hand: importing `re` costs a fast scan as much as reading its packages."""
    found = []
    start, kind = 0, 0
    for place, c in enumerate(text):
        next_kind = 1 if "0" <= c <= "9" else 2 if "a" <= c <= "z" else 0
        if next_kind != kind:
            if kind:
                found.append(text[start:place])
            start, kind = place, next_kind
    if kind:
        found.append(text[start:])
    return found


def _announces(words: list[str], position: int) -> bool:
    """Whether a word says that the version comes before a release."""
    word, is_last = words[position], position + 1 == len(words)
    if word in _SAID_BY_NUMBER_ONLY and (is_last or not words[position + 1].isdigit()):
        return False
    return word in _ANNOUNCING


def is_prerelease(version: str) -> bool:
    """Whether a version comes before a release: 3.15.0a6, 2.0-rc.1, 1.0.dev3; OpenSSL's 1.0.2b does not."""
    if version.replace(".", "").isdigit():
        return False
    words = _words(clean(version))
    return any(_announces(words, position) for position in range(len(words)))


def _tokens(text: str) -> list[bytes]:
    """Tokens of a generic version, trailing zeros of each run of numbers gone."""
    words = text.split(".") if _is_plain(text) else _words(text)
    found: list[bytes] = []
    zeros = 0
    for position, word in enumerate(words):
        if word.isdigit():
            if not word.strip("0"):
                zeros += 1
                continue
            found += [b"\x04" + _number("0")] * zeros
            found.append(b"\x04" + _number(word))
        elif word in _NOTHING_WORDS:
            continue
        elif _announces(words, position):
            found.append(b"\x01" + bytes((_ANNOUNCING[word],)))
        else:
            found.append(b"\x03" + word.encode() + b"\0")
        zeros = 0
    return found


def _generic(text: str) -> bytes | None:
    if "!" in text:
        text = text.partition("!")[2]
    start = _first_digit(text)
    return None if start < 0 else b"".join(_tokens(text[start:])) + _END


def _first_digit(text: str) -> int:
    """Where the first digit stands; -1 without any."""
    return next((place for place, c in enumerate(text) if c in _DIGITS), -1)


def _semver(written: str) -> bytes | None:
    if _is_plain(written):
        return b"".join(_tokens(written)) + _END
    from antivenom_client.version_patterns import ANNOUNCED, DASHED, TOKEN

    text = written.partition("+")[0]
    found = DASHED.match(text.removeprefix("V"))
    if found is not None:
        core, announced = found.groups()
        identifiers = announced.split(".") if announced is not None else None
    elif (conda := ANNOUNCED.match(text.lower())) is not None:
        core, identifiers = conda[1], TOKEN.findall(conda[2])
    else:
        return _generic(text.lower())  # Julia's and Bitnami's ranges meet conda's 1.1.1k and 9e
    if identifiers is None:
        return b"".join(_tokens(core)) + _END
    return b"".join(_tokens(core)) + b"\x01" + b"".join(map(_identifier, identifiers)) + b"\0"


def _identifier(part: str) -> bytes:
    """One pre-release identifier: numbers before texts."""
    return b"\x01" + _number(part) if part.isdigit() and part.isascii() else b"\x02" + part.encode() + b"\0"


@lru_cache(maxsize=65_536)
def version_key(scheme: str, text: str) -> bytes | None:
    """The place of a version in its scheme's order; None when the text holds no number or is longer than any version.

    Source: measured, no order violation against `packaging` (tests/client/test_version_keys.py).
    """
    if scheme == "semver":
        return _semver(clean(text, is_lowered=False))
    text = clean(text)
    if scheme == "pep440":
        key = _pep440(text if _is_plain(text) else _python_spelling(text))
        if key is None and (start := _first_digit(text)) >= 0:
            key = _pep440(text[start:])  # "Release 1.2", "release-1.2": the number is what counts
        return None if key is None else key + b"\0"
    return _generic(text)


def key_after(scheme: str, text: str) -> bytes | None:
    """The smallest place above a version, for inclusive ends; for PEP 440 above its local builds too (1.0+cu118)."""
    key = version_key(scheme, text)
    if key is None:
        return None
    return key[:-1] + b"\x03" if scheme == "pep440" else key + b"\0"
