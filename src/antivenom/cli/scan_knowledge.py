"""Where a scan's answers come from: an advisory file on this machine, or a server. Both ways answer alike.

Source: docs/guides/scan.md ("What answers").
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache, partial

import msgspec

from antivenom.cli.client import Client, JsonObject, find_server
from antivenom.cli.output import note
from antivenom.cli.scan_assessing import Answer, Ask, request_of
from antivenom.core import advisory_file
from antivenom.core.errors import InvalidInputError, UnavailableError
from antivenom.core.matching.advisories import Assessment, Finding
from antivenom.core.matching.component_request import answer, read_component
from antivenom.core.matching.explain import explain
from antivenom.core.readers.snapshot import Component
from antivenom_client.age import tell_age
from antivenom_client.places import default_advisories


def choose_knowledge(*, advisories: str = "", server: str = "") -> Ask:
    """What answers: the file or the server named, that of ANTIVENOM_URL, a pulled file, or this machine's server.

    Args:
        advisories: The path of an advisory file.
        server: The address of a server.

    Raises:
        InvalidInputError: The file cannot be read.
    """
    file = _choose_file(advisories, server)
    return ask_file(file) if file else ask_server(server)


def choose_server(*, advisories: str = "", server: str = "") -> Callable[[], Client] | None:
    """How the server that answers is reached; None where a file does. Arguments as for `choose_knowledge`."""
    return None if _choose_file(advisories, server) else cache(partial(_connect, server))


def choose_explainer(*, advisories: str = "", server: str = "") -> Callable[[Component, str], JsonObject]:
    """What tells how a component is assessed, as far as one vulnerability goes. Arguments as for `choose_knowledge`."""
    if not (file := _choose_file(advisories, server)):
        connect = cache(partial(_connect, server))
        return lambda component, name: connect().post(
            "/api/v1/match/explain", json={"component": request_of(component), "advisory": name}
        )
    index = advisory_file.open(file)

    def tell(component: Component, name: str) -> JsonObject:
        request = read_component(request_of(component))
        if request.key is None:
            raise InvalidInputError(request.error)
        found = explain(index, request.key, request.channel)
        wanted = name.casefold()
        considered = tuple(item for item in found.considered if wanted in map(str.casefold, item.ids))
        told: JsonObject = msgspec.to_builtins(msgspec.structs.replace(found, considered=considered))
        return {**told, "feeds": [], "revision": 0}

    return tell


def _choose_file(advisories: str, server: str) -> str:
    """The advisory file that answers; "" where a server does."""
    pulled = default_advisories()
    if not advisories and not server and not os.environ.get("ANTIVENOM_URL") and os.path.exists(pulled):
        return pulled
    return advisories


def ask_file(path: str) -> Ask:
    """Answers from an advisory file, whose age is told.

    Raises:
        InvalidInputError: It cannot be read.
    """
    index = advisory_file.open(path)
    for line in tell_age(path, index.file.meta().get("made_at", ""), datetime.now(UTC).timestamp()):
        note(line)

    def ask(components: Sequence[Component]) -> list[Answer]:
        found = answer(index, [read_component(request_of(component)) for component in components])
        return [_answer(assessment) for assessment in found]

    return ask


def _answer(assessment: Assessment) -> Answer:
    return Answer(assessment.assessed, assessment.reason, assessment.findings, assessment.undecided)


def ask_server(url: str = "") -> Ask:
    """Answers from a server, which is looked for when the first question is asked.

    Args:
        url: "" for the one that ANTIVENOM_URL names, or this machine's.
    """

    connect = cache(partial(_connect, url))

    def ask(components: Sequence[Component]) -> list[Answer]:
        body = {"components": list(map(request_of, components))}
        answers: list[JsonObject] = connect().post("/api/v1/match", json=body)
        return [
            Answer(
                found["assessed"],
                found["reason"],
                msgspec.convert(found["findings"], tuple[Finding, ...]),
                tuple(found.get("undecided") or ()),
            )
            for found in answers
        ]

    return ask


def _connect(url: str) -> Client:
    try:
        return Client(*find_server(url))
    except UnavailableError as error:
        hint = f"{error.hint}; or scan without a server: antivenom feed pull URL, or --advisories FILE"
        raise UnavailableError(error.message, hint=hint) from None
