"""Licence texts of conda records: the SPDX expression that each means, and the families of its licences.

The 340 distinct texts of real channels are of four kinds: SPDX expressions, R's style ("GPL (>= 2) | file LICENSE"),
Fedora's ("LGPLv2+ and MIT") and prose. What cannot be tied to an SPDX id becomes a LicenseRef; nothing is dropped but
R's "file LICENSE", which only says where the text of a licence is kept.

Source: SPDX ids and categories from the data of the license-expression library (ScanCode LicenseDB); "GPL" without a
version is any version (GPL-2.0 section 9); families:
docs/dev/measurements.md (Licence families).
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files

import msgspec

TEXT_CHARACTERS_MAX = 2000
NESTING_MAX = 40

FAMILIES = {
    "agpl": "GNU Affero GPL, any version",
    "gpl": "GNU GPL, any version (gpl2 and gpl3 too)",
    "gpl2": "GNU GPL 2, only or later",
    "gpl3": "GNU GPL 3, only or later",
    "lgpl": "GNU Lesser (Library) GPL, any version",
    "bsd": "BSD licences and their near kin (0BSD, NetBSD)",
    "mit": "MIT, X11 and their variants",
    "apache": "Apache licences",
    "psf": "Python licences (PSF-2.0, Python-2.0, CNRI)",
    "mpl": "Mozilla Public License",
    "cc": "Creative Commons (CC0 too)",
    "public_domain": "public domain, or dedicated to it (CC0-1.0, Unlicense, blessing)",
    "proprietary": "commercial or otherwise not open: end-user licence agreements, source-available licences",
    "source_available": "source can be read, use is limited (BUSL-1.1, SSPL-1.0, Elastic-2.0); also proprietary",
    "copyleft": "strong copyleft: GPL, AGPL and the like",
    "weak_copyleft": "limited copyleft: LGPL, MPL, EPL and the like",
    "permissive": "permissive: MIT, BSD, Apache and the like",
    "other": "none of agpl … public_domain and proprietary above fits; custom texts too",
    "none": "no licence is stated: absent, None, Unknown, NOASSERTION",
}
_BROAD = frozenset({"copyleft", "weak_copyleft", "permissive"})


class License(msgspec.Struct, frozen=True):
    """One licence: its SPDX id or LicenseRef, the exception it comes WITH ("" for none), its families."""

    id: str
    exception: str
    families: frozenset[str]

    @property
    def text(self) -> str:
        return f"{self.id} WITH {self.exception}" if self.exception else self.id


class LicenseExpression(msgspec.Struct, frozen=True):
    """A choice ("OR"), a combination ("AND") or one licence (""); `parts` is empty for one licence only."""

    operator: str
    parts: tuple[LicenseExpression, ...] = ()
    license: License | None = None

    @property
    def text(self) -> str:
        if self.license is not None:
            return self.license.text
        return f" {self.operator} ".join(f"({p.text})" if p.parts else p.text for p in self.parts)

    @property
    def licenses(self) -> tuple[License, ...]:
        """Every licence, in order."""
        if self.license is not None:
            return (self.license,)
        return tuple(found for part in self.parts for found in part.licenses)


NO_LICENSE = LicenseExpression("", license=License("NONE", "", frozenset({"none"})))
_NOT_STATED = frozenset(
    [
        "none",
        "null",
        "nan",
        "n/a",
        "na",
        "unknown",
        "unspecified",
        "undefined",
        "noassertion",
        "not-specified",
        "not-available",
        "-",
        "?",
        "no-license",
        "nolicense",
        "license",
        "licence",
        "license.txt",
        "see-license",
        "see-license-file",
    ]
)


@lru_cache(maxsize=20_000)
def read_license(text: str) -> LicenseExpression:
    """The expression that a record's licence text means. Never fails: a text that cannot be read is a LicenseRef.

    Args:
        text: As written in the record; "" when the record states none.
    """
    plain = " ".join(text.split())[:TEXT_CHARACTERS_MAX]
    if not plain or re.sub(r"[\s_]+", "-", plain).strip("-.()").casefold() in _NOT_STATED or plain == "-":
        return NO_LICENSE
    return _parse(_tokens(plain)) or _parse(_tokens(_rewrite(plain))) or _leaf(plain)


@lru_cache(maxsize=1)
def spdx_ids() -> dict[str, tuple[str, str]]:
    """Every SPDX licence id and former id, case-folded: (today's id, category)."""
    found: dict[str, tuple[str, str]] = {}
    for entry in _library():
        today = entry.spdx_license_key or ""
        if entry.is_exception or not today or today.startswith("LicenseRef-"):
            continue
        found[today.casefold()] = (today, entry.category)
        for former in entry.other_spdx_license_keys:
            if not former.startswith("LicenseRef-"):
                found.setdefault(former.casefold(), (today, entry.category))
    return found


@lru_cache(maxsize=1)
def spdx_exceptions() -> dict[str, str]:
    """Every SPDX exception id, by its case-folded form."""
    ids = (entry.spdx_license_key or "" for entry in _library() if entry.is_exception)
    return {i.casefold(): i for i in ids if i and not i.startswith("LicenseRef-")}


class _LibraryLicense(msgspec.Struct):
    """One licence or exception of the license-expression library."""

    category: str
    is_exception: bool
    spdx_license_key: str | None = None
    other_spdx_license_keys: list[str] = []


@lru_cache(maxsize=1)
def _library() -> list[_LibraryLicense]:
    index = files("license_expression").joinpath("data/scancode-licensedb-index.json")
    return msgspec.json.decode(index.read_bytes(), type=list[_LibraryLicense])


# --- expressions ------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"\s*(?:([()])|([^\s()]+))")
_WORDS = {"and": "AND", "or": "OR", "with": "WITH"}


def _tokens(text: str) -> list[str]:
    return [a or _WORDS.get(b.casefold(), b) for a, b in _TOKEN.findall(text)]


def _parse(tokens: list[str]) -> LicenseExpression | None:
    """The expression that the tokens write; None when they are not one over known ids.

    Source: SPDX 2.3 annex D (AND binds tighter than OR).
    """
    if tokens.count("(") > NESTING_MAX:
        return None
    found, rest = _parse_operator("OR", tokens)
    return found if not rest else None


def _parse_operator(operator: str, tokens: list[str]) -> tuple[LicenseExpression | None, list[str]]:
    parts: list[LicenseExpression] = []
    while True:
        part, tokens = _parse_operator("AND", tokens) if operator == "OR" else _parse_one(tokens)
        if part is None:
            return None, ["?"]
        parts += part.parts if part.operator == operator else [part]
        if not tokens or tokens[0] != operator:
            break
        tokens = tokens[1:]
    return (parts[0] if len(parts) == 1 else LicenseExpression(operator, tuple(parts))), tokens


def _parse_one(tokens: list[str]) -> tuple[LicenseExpression | None, list[str]]:
    if not tokens:
        return None, ["?"]
    if tokens[0] == "(":
        inner, rest = _parse_operator("OR", tokens[1:])
        return (inner, rest[1:]) if rest and rest[0] == ")" else (None, ["?"])
    found = _known(tokens[0])
    if found is None:
        return None, ["?"]
    rest = tokens[1:]
    if rest and rest[0] == "WITH":
        if found.exception or len(rest) < 2:
            return None, ["?"]
        exception = spdx_exceptions().get(rest[1].casefold(), rest[1])
        if not re.fullmatch(r"[A-Za-z0-9.-]+", exception):
            return None, ["?"]
        found, rest = License(found.id, exception, found.families), rest[2:]
    return LicenseExpression("", license=found), rest


_OLD_EXCEPTIONS = {
    "gpl-2.0-with-gcc-exception": ("GPL-2.0-only", "GCC-exception-2.0"),
    "gpl-2.0-with-autoconf-exception": ("GPL-2.0-only", "Autoconf-exception-2.0"),
    "gpl-2.0-with-bison-exception": ("GPL-2.0-only", "Bison-exception-2.2"),
    "gpl-2.0-with-classpath-exception": ("GPL-2.0-only", "Classpath-exception-2.0"),
    "gpl-2.0-with-font-exception": ("GPL-2.0-only", "Font-exception-2.0"),
    "gpl-3.0-with-gcc-exception": ("GPL-3.0-only", "GCC-exception-3.1"),
    "gpl-3.0-with-autoconf-exception": ("GPL-3.0-only", "Autoconf-exception-3.0"),
}
_GNU = re.compile(r"(?i)(AGPL|LGPL|GPL|GFDL)-?v?(\d(?:\.\d)?)(?:\.0)*(\+|-only|-or-later)?")
_GNU_VERSIONS = {
    "AGPL": ("1.0", "3.0"),
    "LGPL": ("2.0", "2.1", "3.0"),
    "GPL": ("1.0", "2.0", "3.0"),
    "GFDL": ("1.1", "1.2", "1.3"),
}
_GNU_BARE = {
    "GPL": "GPL-1.0-or-later",
    "LGPL": "LGPL-2.0-or-later",
    "AGPL": "AGPL-1.0-or-later",
    "GFDL": "GFDL-1.1-or-later",
}


def _known(word: str) -> License | None:
    """The licence that one word names; None when it names none."""
    folded = word.casefold()
    if folded in _OLD_EXCEPTIONS:
        spdx, exception = _OLD_EXCEPTIONS[folded]
        return License(spdx, exception, _families(spdx, "Copyleft"))
    gnu = _gnu(word)
    if gnu:
        return License(gnu, "", _families(gnu, ""))
    found = spdx_ids().get(folded) or spdx_ids().get(folded.removesuffix("+"))
    if found:
        return License(found[0], "", _families(*found))
    if re.fullmatch(r"(?i)(DocumentRef-[a-z0-9.-]+:)?LicenseRef-[a-z0-9.+-]+", word):
        return _reference(word)
    if word in ("NONE", "NOASSERTION"):
        return NO_LICENSE.license
    return None


def _gnu(word: str) -> str | None:
    """A GNU licence's SPDX id: SPDX retired its bare ids ("GPL-3.0" is today's "GPL-3.0-only")."""
    if word.upper().removesuffix("+") in _GNU_BARE:
        return _GNU_BARE[word.upper().removesuffix("+")]
    match = _GNU.fullmatch(word)
    if not match:
        return None
    kind, number, suffix = match[1].upper(), match[2], (match[3] or "-only").lower()
    number = number if "." in number else f"{number}.0"
    # "GPL-2.1-or-later" occurs; there is no such version. The nearest below is what its text can mean.
    below = [v for v in _GNU_VERSIONS[kind] if v <= number]
    if not below:
        return None
    return f"{kind}-{below[-1]}" + ("-or-later" if suffix == "+" else suffix)


def _reference(word: str) -> License:
    """A LicenseRef, with the families that its words hint at; a known id when it only wraps one."""
    name = word.rpartition("LicenseRef-")[2]
    wrapped = spdx_ids().get(name.casefold())
    if wrapped:
        return License(wrapped[0], "", _families(*wrapped))
    return License(word, "", _guess(name))


def _leaf(text: str) -> LicenseExpression:
    """A LicenseRef for a text that is not an expression."""
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:80] or "unreadable"
    return LicenseExpression("", license=_reference(f"LicenseRef-{slug}"))


# --- families ---------------------------------------------------------------------------------------------------------

_FAMILY_PATTERNS = (
    (re.compile(r"AGPL-"), ("agpl",)),
    (re.compile(r"LGPL-|LGPLLR"), ("lgpl",)),
    (re.compile(r"GPL-2"), ("gpl", "gpl2")),
    (re.compile(r"GPL-3"), ("gpl", "gpl3")),
    (re.compile(r"GPL-"), ("gpl",)),
    (re.compile(r"0?BSD(-|$)|BSD-"), ("bsd",)),
    (re.compile(r"MIT(-|$)|X11(-|$)|MITNFA"), ("mit",)),
    (re.compile(r"Apache-"), ("apache",)),
    (re.compile(r"PSF-|Python-|CNRI-"), ("psf",)),
    (re.compile(r"MPL-"), ("mpl",)),
    (re.compile(r"CC0-|CC-PDDC|CC-PDM"), ("cc", "public_domain")),
    (re.compile(r"CC-"), ("cc",)),
    (re.compile(r"Unlicense|blessing|PDDL-|SAX-PD|NIST-PD|NTIA-PD|NCBI-PD|ANTLR-PD"), ("public_domain",)),
)
_CATEGORIES = {
    "Permissive": ("permissive",),
    "Copyleft": ("copyleft",),
    "Copyleft Limited": ("weak_copyleft",),
    "Public Domain": ("public_domain",),
    "Commercial": ("proprietary",),
    "Proprietary Free": ("proprietary",),
    "Source-available": ("proprietary", "source_available"),
}


def _families(spdx: str, category: str) -> frozenset[str]:
    found = set(_CATEGORIES.get(category or spdx_ids().get(spdx.casefold(), ("", ""))[1], ()))
    for pattern, families in _FAMILY_PATTERNS:
        if pattern.match(spdx):
            found.update(families)
            break
    if "cc" in found:  # published for everybody to share, if only without gain
        found.discard("proprietary")
    return frozenset(found if found - _BROAD else found | {"other"})


_GUESSES = (
    (re.compile(r"(?i)agpl|affero"), {"agpl", "copyleft"}),
    (re.compile(r"(?i)lgpl|lesser.general|library.general"), {"lgpl", "weak_copyleft"}),
    (re.compile(r"(?i)gpl|gnu|general.public"), {"gpl", "copyleft"}),
    (re.compile(r"(?i)public.?domain"), {"public_domain"}),
    (
        re.compile(
            r"(?i)propri?etary|commercial|\bEULA\b|EULA$|end.?user|all.?rights.?reserved|agreement|Intel(Simplified|-Simpl)"
            r"|Microsoft(Visual|Windows)|restricts use|non.?commercial|terms.of.(use|service)"
        ),
        {"proprietary"},
    ),
    (re.compile(r"(?i)bsd"), {"bsd", "permissive"}),
    (re.compile(r"(?i)\bMIT\b|\bX11\b|MIT.?like"), {"mit", "permissive"}),
    (re.compile(r"(?i)apache|\bASL\b"), {"apache", "permissive"}),
    (re.compile(r"(?i)\bPSF\b|python"), {"psf", "permissive"}),
    (re.compile(r"(?i)mozilla|\bMPL"), {"mpl", "weak_copyleft"}),
    (re.compile(r"(?i)creative.?commons|\bCC-"), {"cc"}),
)


_OTHERS_NAME = r"(?:GNU[ -]?)?(?:[AL]?GPL(?:[ -]?v?\d(?:\.\d)?\+?)?|copyleft|propri?etary|MIT|BSD|Apache)"
_DENIED = (
    r"(?:non|not|no|anti|without|never|except(?:[ -]for)?|excluding|unlike|other[ -]than|rather[ -]than"
    r"|different[ -]from|instead[ -]of|(?:any|every)thing[ -]but|all[ -]but)"
)
_UNDER = r"(?:(?:licen[sc]ed|released|distributed|available|covered|published)[ -])?(?:(?:under|by|with|of|as)[ -])?"
_NOT_ITS_LICENSE = re.compile(
    # what a text only compares itself with, or says that it is not
    rf"\b{_DENIED}[ -]{_UNDER}(?:(?:the|a|an|any)[ -])?{_OTHERS_NAME}\b|\bnon{_OTHERS_NAME}\b"
    rf"|\b(?:in)?compatible[ -](?:with|to)[ -](?:the[ -])?{_OTHERS_NAME}\b"
    rf"|\b{_OTHERS_NAME}[ -](?:in)?compatible\b|\b{_OTHERS_NAME}-free\b",
    re.IGNORECASE,
)


def _guess(text: str) -> frozenset[str]:
    """The families that the words of a text without an SPDX id hint at.

    A licence that the text only compares itself with ("GPL-compatible") or denies ("non-GPL") is not its own.
    """
    spaced = _NOT_ITS_LICENSE.sub(" ", text.replace("_", " "))
    for pattern, families in _GUESSES:
        if pattern.search(spaced):
            return frozenset(families)
    return frozenset({"other"})


# --- what people write instead of SPDX --------------------------------------------------------------------------------

_GNU_NAME = (
    r"(?:the )?(?:GNU )?(?:(?P<a>Affero )|(?P<l>Lesser |Library ))?General Public(?: Licen[sc]e)?(?: \([AL]?GPL\))?"
)
_PERL = "Artistic-1.0-Perl OR GPL-1.0-or-later"
_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        # where R keeps a licence's text; from others, an address
        (r"\s*[|+,&]\s*file\s+LICEN[SC]E(?:\.\w+)?", " "),
        (r"^file\s+LICEN[SC]E\s*\(FOSS\)$", "LicenseRef-FOSS"),
        (r"^file\s+LICEN[SC]E(?:\.\w+)?$", "LicenseRef-file-LICENSE"),
        (r"\(\s*https?://[^)\s]*\s*\)|\bhttps?://\S+", " "),
        (r"\((?=AMD|UFget|UMFPACK|Metis)[^)]*\)", " "),
        (r"\b(?:partial|documentation|doc):\s*", " "),
        # prose names of the GNU licences, then R's and Fedora's spelling of versions
        (r"\bGNU (?:GPL)\b", "GPL"),
        (r"\bGNU (?:LGPL)\b", "LGPL"),
        (r"(?:GNU )?Affero General Public Licen[sc]e", "AGPL"),
        (r"(?:GNU )?(?:Lesser|Library) General Public(?: Licen[sc]e)?", "LGPL"),
        (r"(?:GNU )?General Public Licen[sc]e", "GPL"),
        (r"\b(?:GNU )?(?:Lesser|Library) (?:GNU )?GPL\b", "LGPL"),
        (r"\b(?:GNU )?Affero (?:GNU )?GPL\b", "AGPL"),
        (r"\b([AL]?GPL),? v?(\d(?:\.\d)?) \(\s*\1[ -]?v?\d(?:\.\d)?\s*\)", r"\1-\2"),
        (r"^(?:the )?(?:same )?(?:terms )?as Perl(?: ?5)?(?: itself)?(?: \([^)]*\))?$|^Perl[ _]?5$", _PERL),
        (r"\band/or\b", "or"),
        # one name with two versions is two licences
        (
            r"\b([AL]?GPL)[ -]?(?:v\.?|version )?(\d(?:\.\d)?)(\+?)\s*(?:/|\||,|\bor\b)"
            r"\s*(?:v\.?|version )?(\d(?:\.\d)?)(\+?)(?![\w.-])",
            r"(\1-\2\3 OR \1-\4\5)",
        ),
        (r"\b([AL]?GPL)\s*\(\s*\1\s*\)", r"\1"),
        (r"\b([AL]?GPL) v?(\d(?:\.\d)?) or later \(\s*\1v?\d(?:\.\d)?\+\s*\)", r"\1-\2-or-later"),
        (r"\b([AL]?GPL)[ -]?(?:v|version)? ?(\d(?:\.\d)?),? or (?:later|newer|greater)", r"\1-\2-or-later"),
        (r"\b([AL]?GPL)\s*\(\s*>=?\s*(\d(?:\.\d)?)[\d.]*\s*\)", r"\1-\2-or-later"),
        (r"\b([AL]?GPL)\s*\(\s*==?\s*(\d(?:\.\d)?)[\d.]*\s*\)", r"\1-\2-only"),
        (r"\b([AL]?GPL)[ ,]*(?:v\.?|version) ?(\d(?:\.\d)?)(\+)?", r"\1-\2\3"),
        (r"\b([AL]?GPL)[ -]?(\d(?:\.\d)?)(\+?)(?![\w.-])", r"\1-\2\3"),
        (r"^GNU$", "GPL"),
        (r"\bFDL\b", "GFDL"),
        # others
        (
            r"\bApache\s*(?:Software )?(?:Licen[sc]e)?,?\s*(?:version |v)?\(?\s*(?:==|>=)?\s*2(?:\.0)?\s*\)?(?![\w.-])",
            "Apache-2.0",
        ),
        (r"\b(?:ASL|Apache)[ -]?(1\.[01]|2\.0)(?![\w.-])", r"Apache-\1"),
        (r"\bASL[ -]?2\b", "Apache-2.0"),
        (r"(?<![\w-])Apache(?=\s*(?:$|[/|]|or\b|and\b))", "LicenseRef-Apache"),
        (r"\bApache-style\b", "LicenseRef-Apache-style"),
        (r"\b(?:new |modified |revised |simplified )?BSD[ _-]?([234])[ _-]?clause\b(?!-)", r"BSD-\1-Clause"),
        (r"\b(?:new |modified )?([234])[ -]clause BSD\b", r"BSD-\1-Clause"),
        (r"\b(?:new|modified|revised) BSD(?: licen[sc]e)?(?![\w-])", "BSD-3-Clause"),
        (r"\bsimplified BSD(?: licen[sc]e)?(?![\w-])", "BSD-2-Clause"),
        (r"\bBSD-([234])(?![\w-])", r"BSD-\1-Clause"),
        (r"(?<![\w-])BSD(?: licen[sc]e)?(?![\w-])", "LicenseRef-BSD"),
        (r"(?<![\w-])BSD[ -]?like\b", "LicenseRef-BSD-like"),
        (r"(?<![\w-])NetBSD(?![\w-])", "LicenseRef-NetBSD"),
        (r"\bMIT(?:/X(?:11|Consortium)?)?\s+derivat(?:ive|e)\b", "LicenseRef-MIT-derivative"),
        (r"\bMIT/X11\b|\bMIT/Expat\b|\bExpat\b(?!-)|\bthe MIT licen[sc]e\b|\bMIT licen[sc]e\b", "MIT"),
        (r"\bFree software \(\s*MIT-like(?: licen[sc]e)?\s*\)", "LicenseRef-MIT-like"),
        (r"\b(?:MPL|Mozilla Public Licen[sc]e)[ ,]*(?:v\.?|version )? ?(\d\.\d)(?![\w.-])", r"MPL-\1"),
        (r"\b(?:EPL|Eclipse Public Licen[sc]e)[ ,]*(?:v\.?|version )? ?(\d\.\d)(?![\w.-])", r"EPL-\1"),
        (r"\bPSF[ -]?2(?:\.0)?(?![\w.-])|(?<![\w-])PSF(?: licen[sc]e)?(?![\w-])", "PSF-2.0"),
        (r"\bPython Software Foundation(?: Licen[sc]e)?(?: version 2)?", "PSF-2.0"),
        (r"(?<!-)\bpublic[ -]?domain\b(?: dedication)?(?!-)", "LicenseRef-Public-Domain"),
        (r"\bzlib with acknowledgement\b", "zlib-acknowledgement"),
        (r"\bzlib/libpng\b", "zlib-acknowledgement"),
        (r"\b(?:SIL )?Open Font Licen[sc]e,?(?: version)? 1\.1|^OFL$", "OFL-1.1"),
        (r"\bUbuntu Font Licen[sc]e Version 1\.0", "Ubuntu-font-1.0"),
        (r"\bCC0(?!-)(?: 1\.0)?\b", "CC0-1.0"),
        (r"\bUIUC(?: licen[sc]e)?", "NCSA"),
        (r"\bLucent Public Licen[sc]e", "LPL-1.02"),
        (r"\bJasPer 2\.0", "JasPer-2.0"),
        (r"\bQwt,? Version 1\.0", "LicenseRef-Qwt-1.0"),
        (r"\bSGI-2\b", "SGI-B-2.0"),
        (r"\bTcl/Tk\b", "TCL"),
        (r"(?<![\w-])bzip2(?![\w-])", "bzip2-1.0.6"),
        (r"\bwxWidgets\b", "LGPL-2.0-or-later WITH WxWindows-exception-3.1"),
        (r"(?<![\w-])Artistic(?![\w-])", "Artistic-1.0"),
        (
            r"(?<![\w-])(?:UCD|Triangle|FOSS|Unlimited|custom|commercial|proprietary|FreeImage|GCCRLE|partial)(?![\w-])",
            r"LicenseRef-\g<0>",
        ),
        (r"(?<=LicenseRef-)FreeImage\b", "FreeImage"),
        (r"\bWITH (?:unRAR-restriction|exceptions)\b", r"WITH LicenseRef-exceptions"),
    )
)
_DUAL = re.compile(  # then "and" joins the choices
    r"[\s(,;]*\b(?:dual(?:ly)?|tri(?:ple|ply)?|multi(?:ple|ply)?)[ -]?licen[sc](?:ed|es?|ing)\b"
    r"(?: (?:under|as|with))?:?\)?\s*"
    r"|^dual(?:ly)?:? (?:under )?",
    re.IGNORECASE,
)
_JOINED = re.compile(r"(?<![^\s(])[^\s()/,;|&]+(?:/[^\s()/,;|&]+)+(?![^\s),;|&])")
_SEPARATORS = (
    (re.compile(r"\s*\|\s*|\s+or\s+", re.IGNORECASE), " OR "),
    (re.compile(r"\s*[,;&]\s*(?:and\s+)?|\s+\+\s+"), " AND "),
)


def _rewrite(text: str) -> str:
    """The text with prose, R's and Fedora's style rewritten as SPDX, as far as the words are known."""
    if _DUAL.search(text):
        text = re.sub(r"(?i)\s*,\s*(?:and\s+)?(?!or\b|v)|\s+and\s+|\s*[&+]\s+", " or ", _DUAL.sub(" ", text).strip())
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    # A slash that belongs to a name was rewritten above; any other is a choice of the two words beside it.
    text = _JOINED.sub(lambda found: f"({found[0].replace('/', ' OR ')})", text)
    for pattern, replacement in _SEPARATORS:
        text = pattern.sub(replacement, text)
    return re.sub(r"\s*/\s*", " OR ", " ".join(text.split()))
