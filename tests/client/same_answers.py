"""Whether an advisory file answers as the match index does from which it was made, both ways of asking it, field by field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from antivenom.core.matching.component_request import answer, read_component
from antivenom.core.matching.match import MatchIndex
from antivenom_client.names import channel_name
from antivenom_client.plans import Answer, BeyondPlans, Plans, Query, python_purl

Item = dict[str, str]


def check(index: MatchIndex, from_file: MatchIndex, plans: Plans, items: Sequence[Item]) -> tuple[int, int]:
    """Ask all three for components as the API takes them.

    Returns:
        How many findings there are, and for how many components the hot tables leave the answer to the index.
    """
    requests = [read_component(item) for item in items]
    expected = answer(index, requests)
    assert answer(from_file, requests) == expected
    found = _ask(plans, [query_of(item) for item in items])
    for item, told, answered in zip(items, expected, found, strict=True):
        if answered is not None:
            assert fields_of(answered) == msgspec.json.decode(msgspec.json.encode(told)), item
    return sum(len(told.findings) for told in expected), found.count(None)


def _ask(plans: Plans, queries: Sequence[Query]) -> list[Answer | None]:
    """The hot tables' answers; None for those that are left to the index."""
    try:
        return list(plans.assess(queries))
    except BeyondPlans:
        return [None] if len(queries) == 1 else [answered for query in queries for answered in _ask(plans, [query])]


def query_of(item: Item) -> Query:
    """The question that the hot path asks of a component."""
    if "purl" in item:
        name, _, version = item["purl"].removeprefix("pkg:pypi/").partition("@")
        return Query(name, version, purl=python_purl(name, version))
    channel, subdir = channel_name(item.get("channel", "")), item.get("subdir", "")
    return Query(item["name"], item["version"], channel=channel, subdir=subdir)


def fields_of(found: Answer) -> dict[str, Any]:
    """The hot path's answer in the form of the index's."""
    findings = []
    for finding in found.findings:
        fields = {name: getattr(finding, name) for name in finding.__slots__}
        fields["evidence"] = [dict(zip(("source", "via", "range"), said, strict=True)) for said in finding.evidence]
        findings.append(fields)
    told = {"assessed": found.assessed, "reason": found.reason, "undecided": found.undecided}
    return dict(msgspec.json.decode(msgspec.json.encode({**told, "findings": findings, "ignored": ()})))
