"""OpenAPI describes what the routes of a channel answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from antivenom.server.app import create_site
from antivenom.server.catalog.rows import RecordDecision, WithheldRecord
from antivenom.server.web.metrics import Metrics

DESCRIBED = "/api/v1/channels"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_site(cast(Any, None), Metrics()).openapi()


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref")
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def schemas(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(method, path and media type, schema) of every answer below /channels that has a body."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                for media_type, content in answer.get("content", {}).items():
                    if path.startswith(DESCRIBED) and status != "422":
                        yield f"{method} {path} {media_type}", content["schema"]


def test_every_answer_of_a_channel_names_a_model(document: dict[str, Any]) -> None:
    described = dict(schemas(document))
    assert len(described) > 12
    assert [route for route, schema in described.items() if "$ref" not in schema] == []


def test_every_model_that_is_named_is_described(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) - known == set()


@pytest.mark.parametrize("path", ["withheld", "findings"])
def test_a_stream_is_described_beside_the_page(document: dict[str, Any], path: str) -> None:
    content = document["paths"][f"{DESCRIBED}/{{channel}}/{path}"]["get"]["responses"]["200"]["content"]
    assert content.keys() == {"application/json", "application/x-ndjson"}


@pytest.mark.parametrize("row", [WithheldRecord, RecordDecision])
def test_a_row_is_described_by_its_fields(document: dict[str, Any], row: Any) -> None:
    model = document["components"]["schemas"][row.__name__]
    assert list(model["properties"]) == list(row.__struct_fields__)
    assert model["properties"]["reasons"]["items"] == {"$ref": "#/components/schemas/ReasonView"}
    assert model["description"] == row.__doc__
