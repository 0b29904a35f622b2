"""Components that a package URL names, and the package URL of a component.

Source: package-url specification; the conda type's qualifiers are build, channel, subdir and type.
"""

from __future__ import annotations

from urllib.parse import quote

from packageurl import PackageURL

from antivenom.core.errors import InvalidInputError
from antivenom.core.readers.snapshot import Component, merge
from antivenom.core.redaction import redact_url

PURL_MAX_CHARACTERS = 4_000


def component_of_purl(text: str, stated: Component | None = None) -> Component:
    """The component that a package URL names; what is `stated` fills in what the URL leaves open.

    Raises:
        InvalidInputError: It is no package URL, or nothing names a version.
    """
    if len(text) > PURL_MAX_CHARACTERS:
        raise InvalidInputError(f"a package URL has {PURL_MAX_CHARACTERS:,} characters at most")
    try:
        purl = PackageURL.from_string(text.strip())
    except ValueError:
        raise InvalidInputError(f"{text[:200]!r} is no package URL") from None
    qualifiers = purl.qualifiers if isinstance(purl.qualifiers, dict) else {}
    name = f"{purl.namespace}/{purl.name}" if purl.namespace else purl.name
    found = Component(purl.type, name, purl.version or "", purl="" if purl.type == "conda" else text.strip())
    if purl.type == "conda":
        found = found._replace(
            build=qualifiers.get("build", ""),
            subdir=qualifiers.get("subdir", ""),
            channel=redact_url(qualifiers.get("channel", "") or purl.namespace or ""),
            name=purl.name,
        )
    made = merge(stated._replace(type=found.type), found) if stated else found
    if not made.version:
        raise InvalidInputError(f"{text[:200]!r} names no version")
    return made


def purl_of(component: Component) -> str:
    """The package URL of a component."""
    if component.purl:
        return component.purl
    fields = {"build": component.build, "channel": component.channel, "subdir": component.subdir}
    qualifiers = {name: value for name, value in fields.items() if value and component.type == "conda"}
    try:
        return PackageURL(component.type, None, component.name, component.version, qualifiers or None).to_string()
    except (ValueError, TypeError):  # the library takes no name of slashes or blanks alone
        return f"pkg:{quote(component.type)}/{quote(component.name, safe='')}@{quote(component.version, safe='')}"
