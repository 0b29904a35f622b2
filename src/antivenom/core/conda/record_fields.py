"""Which values of a record's fields every client reads.

The clients are conda (with its classic solver, and libmamba or rattler as solvers), rattler (pixi, py-rattler) and
libmamba (mamba). A value that one of them does not read costs its users more than the record: py-rattler then lists no
build of the name, and conda nothing of the whole subdir when `record_version` is odd. Unknown fields may hold anything.

Not checked: whether dependencies are match specs. Clients read them when they solve, and judge them one by one.

Source: conda/models/records.py and conda/core/subdir_data.py (conda 26), `PackageRecord` of rattler_conda_types 0.28,
set_solvable of libmamba 2, CEP 34 and 36; tests/core/conda/odd_records.json has the answers of conda and py-rattler.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote

from antivenom.core.conda.specs import is_version

INT_MAX = 2**63 - 1
LATEST_SECONDS = 253402300799  # 9999-12-31: a timestamp beyond it is in milliseconds (the rule of conda and rattler)
LATEST_MS = 253402207200000  # the last instant that rattler reads, 26 hours before the end of the year 9999
_EARLIEST_SECONDS = -377705023201  # the first instant that rattler reads: the year -9999

NOARCH_KINDS = ("python", "generic")
_PACKAGE_TYPES = frozenset(
    ("noarch_generic", "noarch_python", "virtual_private_env", "virtual_python_wheel", "virtual_python_egg_manageable",
     "virtual_python_egg_unmanageable", "virtual_python_egg_link", "virtual_system")
)  # fmt: skip
_RUN_EXPORTS = ("weak", "strong", "noarch", "weak_constrains", "strong_constrains")
_PURL = re.compile(
    r"pkg:/{0,3}[A-Za-z][A-Za-z0-9.+\-]*(?:/@?[^/?#@\s]+)*/[^/?#@\s]+"
    r"(?:@[^/?#\s]+)?(?:\?(?P<qualifiers>[^?#\s]+))?(?:#[^#\s]+)?"
)
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_QUALIFIER = re.compile(r"(?P<key>[A-Za-z][A-Za-z0-9._\-]*)=[^&]+")
_RESERVED = ("self", "cls")  # conda makes a record by keyword arguments, and these are the names of its own


class _Field(NamedTuple):
    """What a field may hold, for `is_read` and in words. `null`: whether null is read like an absent field."""

    is_read: Callable[[Any], bool]
    words: str
    null: bool = True


def is_text(value: object) -> bool:
    """Whether a value is text."""
    return isinstance(value, str)


def is_texts(value: object) -> bool:
    """Whether a value is a list of texts."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def is_count(value: object) -> bool:
    """Whether a value is a count that all clients can hold."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INT_MAX


def is_instant(value: object) -> bool:
    """Whether a value is a timestamp of CEP 34, in seconds or milliseconds; real channels hold negative ones."""
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return _EARLIEST_SECONDS <= value <= LATEST_MS // 1000 or LATEST_SECONDS < value <= LATEST_MS


def timestamp_ms(value: object) -> int:
    """When a record was built, in ms since 1970 UTC, of a `timestamp` in seconds or milliseconds; 0 when it is none.

    Source: CEP 34; conda takes what lies before the year 10000 in seconds for seconds.
    """
    if not isinstance(value, int) or value <= 0:
        return 0
    return value if value > LATEST_SECONDS else value * 1000


@lru_cache(maxsize=1 << 16)
def is_readable_version(version: str) -> bool:
    """Whether conda and rattler can order a version; neither lists a name of which they cannot order one.

    conda takes no dash beside an underscore, and neither at the end of a local version.
    """
    if not is_version(version) or ("-" in version and "_" in version):
        return False
    return not ("+" in version and version.endswith(("-", "_")))


def _is_noarch(value: object) -> bool:
    return isinstance(value, bool) or value == "" or value in NOARCH_KINDS


def _is_purls(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and _is_purl(item) for item in value)


@lru_cache(maxsize=1 << 12)
def _is_purl(text: str) -> bool:
    """Whether rattler reads a package URL; what it refuses, it refuses with the record and all of its name."""
    found = _PURL.fullmatch(text)
    if found is None or _BARE_PERCENT.search(text):
        return False
    qualifiers = [_QUALIFIER.fullmatch(part) for part in (found["qualifiers"] or "").split("&") if found["qualifiers"]]
    keys = {match["key"].lower() for match in qualifiers if match}
    try:
        unquote(text, errors="strict")
    except UnicodeDecodeError:
        return False
    return len(keys) == len(qualifiers)


def _is_run_exports(value: object) -> bool:
    return isinstance(value, dict) and all(is_texts(value[kind]) for kind in _RUN_EXPORTS if kind in value)


def _is_extras(value: object) -> bool:
    return isinstance(value, dict) and all(map(is_texts, value.values()))


def _is_word(value: object) -> bool:
    return isinstance(value, str) and bool(value)


_TEXT = _Field(is_text, "text")
_SCALAR = _Field(lambda v: not isinstance(v, list | dict), "text")
_COUNT = _Field(is_count, "a count")
_TEXTS = _Field(is_texts, "a list of texts", null=False)
_WORD = _Field(_is_word, "text", null=False)

FIELDS: Mapping[str, _Field] = {
    "name": _WORD,
    "version": _Field(lambda v: _is_word(v) and is_readable_version(v), "a version that clients can order", null=False),
    "build": _WORD,
    "build_number": _Field(is_count, "a count", null=False),
    "depends": _TEXTS,
    "constrains": _TEXTS,
    "extra_depends": _Field(_is_extras, "lists of texts by name", null=False),
    "flags": _TEXTS,
    "size": _COUNT,
    "legacy_bz2_size": _COUNT,
    "timestamp": _Field(is_instant, "an instant"),
    "license": _TEXT,
    "license_family": _TEXT,
    "subdir": _TEXT,
    "arch": _TEXT,
    "platform": _TEXT,
    "features": _Field(is_text, "text", null=False),
    "track_features": _Field(lambda v: is_text(v) or is_texts(v), "text or a list of texts", null=False),
    "python_site_packages_path": _TEXT,
    "preferred_env": _SCALAR,
    "date": _SCALAR,
    "noarch": _Field(_is_noarch, "python, generic, true or false"),
    "purls": _Field(_is_purls, "a list of package URLs"),
    "run_exports": _Field(_is_run_exports, "lists of texts by kind"),
    "package_type": _Field(lambda v: is_text(v) and v in _PACKAGE_TYPES, "a package type"),
    "record_version": _Field(lambda v: v in (0, 1) and isinstance(v, int), "0 or 1", null=False),
}
_REQUIRED = ("name", "version", "build", "build_number")


def find_unreadable(record: Mapping[str, Any]) -> str | None:
    """Why some client cannot read a record; None when all can. Digests are not looked at."""
    for field in _REQUIRED:
        if field not in record:
            return f"{field} is missing"
    for field, value in record.items():
        known = FIELDS.get(field)
        if known is not None and not (value is None and known.null) and not known.is_read(value):
            return f"{field} is {_show(value)}, not {known.words}"
    reserved = next((field for field in _RESERVED if field in record), None)
    return f"conda cannot read a record with a field {reserved!r}" if reserved else None


def _show(value: object) -> str:
    shown = "null" if value is None else repr(value)
    return shown if len(shown) <= 40 else f"{shown[:39]}…"
