"""A component as people type it: `conda:NAME=VERSION[=BUILD]` or a package URL."""

from __future__ import annotations

from antivenom.core.errors import InvalidInputError


def parse_component(text: str, channel: str = "", subdir: str = "") -> dict[str, str]:
    """The body of one component, as POST /api/v1/match takes it.

    Raises:
        InvalidInputError: It is neither a conda component nor a purl.
    """
    if text.startswith("pkg:"):
        return {"purl": text, **({"channel": channel} if channel else {})}
    kind, _, spec = text.partition(":")
    parts = [p for p in spec.split("=") if p]
    if kind != "conda" or not 2 <= len(parts) <= 3:
        raise InvalidInputError(
            f"{text!r} is neither a conda component nor a purl",
            hint="write conda:openssl=3.0.7 or pkg:pypi/requests@2.25.0",
            field="component",
        )
    body = {"type": "conda", "name": parts[0], "version": parts[1]}
    if len(parts) == 3:
        body["build"] = parts[2]
    return {**body, **({"channel": channel} if channel else {}), **({"subdir": subdir} if subdir else {})}
