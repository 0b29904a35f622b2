"""OpenAPI describes what every route answers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, cast

import pytest

from antivenom.server.app import create_site
from antivenom.server.catalog.rows import RecordDecision, WithheldRecord
from antivenom.server.web.metrics import Metrics


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
    """(method, path and media type, schema) of every answer that has a body; a list's schema is that of its items."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                for media_type, content in answer.get("content", {}).items():
                    if status != "422" and not media_type.startswith("text/"):
                        schema = content["schema"]
                        yield f"{method} {path} {media_type}", schema.get("items", schema)


def test_every_answer_names_a_model(document: dict[str, Any]) -> None:
    described = dict(schemas(document))
    assert len(described) > 40
    assert [route for route, schema in described.items() if "$ref" not in schema] == []


def test_every_model_that_is_named_is_described(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) - known == set()


@pytest.mark.parametrize("path", ["channels/{channel}/withheld", "channels/{channel}/findings", "events"])
def test_a_stream_is_described_beside_the_page(document: dict[str, Any], path: str) -> None:
    content = document["paths"][f"/api/v1/{path}"]["get"]["responses"]["200"]["content"]
    assert content.keys() == {"application/json", "application/x-ndjson"}


@pytest.mark.parametrize("row", [WithheldRecord, RecordDecision])
def test_a_row_is_described_by_its_fields(document: dict[str, Any], row: Any) -> None:
    model = document["components"]["schemas"][row.__name__]
    assert list(model["properties"]) == list(row.__struct_fields__)
    assert model["properties"]["reasons"]["items"] == {"$ref": "#/components/schemas/ReasonView"}
    assert model["description"] == inspect.cleandoc(row.__doc__)
