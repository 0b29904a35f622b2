"""Package URLs in feeds, and names as their ecosystems compare them.

Source: package-url specification (types, normalization); PEP 503; OSV schema 1.7, "affected[].package".
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from antivenom.core.feeds.entry import EntryError
from antivenom.core.matching.identity import ECOSYSTEM_OF_PURL

SEPARATORS = re.compile(r"[-_.]+")
REPOSITORY_HOSTS = {"github": "github.com", "gitlab": "gitlab.com", "bitbucket": "bitbucket.org"}


def package_name(ecosystem: str, name: str) -> str:
    """A package's name as its ecosystem compares it. PyPI: PEP 503; others as published."""
    return SEPARATORS.sub("-", name).lower() if ecosystem == "pypi" else name


def parse_purl(purl: str) -> tuple[str, str]:
    """(type, namespace and name) of a package URL; version, qualifiers and subpath are dropped.

    Raises:
        EntryError: It is not a package URL.
    """
    scheme, _, rest = purl.partition(":")
    kind, _, path = rest.strip("/").partition("/")
    kind, path = kind.lower(), path.split("?")[0].split("#")[0]
    path = path.rsplit("@", 1)[0] if "@" in path.rsplit("/", 1)[-1][1:] else path
    if scheme.lower() != "pkg" or not kind or not path.strip("/"):
        raise EntryError(f"{purl[:100]!r} is not a package URL")
    name = unquote(path.strip("/"))
    return kind, package_name("pypi", name) if kind == "pypi" else name


def ecosystem_of(kind: str, path: str) -> tuple[str, str]:
    """(ecosystem, name) under which advisories know what a package URL names.

    A repository is of the ecosystem "git", by its address; what has no ecosystem of its own is of its type.
    """
    if (host := REPOSITORY_HOSTS.get(kind)) is not None:
        return "git", f"{host}/{path}".lower()
    if kind == "git":
        return "git", path.lower().removesuffix(".git")
    if kind == "conda":
        return "conda", path.rsplit("/", 1)[-1].lower()
    ecosystem = ECOSYSTEM_OF_PURL.get(kind, kind)
    if ecosystem == "maven":
        path = path.replace("/", ":", 1)
    return ecosystem, package_name(ecosystem, path)
