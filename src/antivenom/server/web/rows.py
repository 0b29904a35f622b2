"""Rows: structs that services return, templates show and the API answers as they are."""

from __future__ import annotations

from typing import Any, get_type_hints

import msgspec
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class Row(msgspec.Struct, frozen=True, gc=False):
    """The base of rows. A list may have 150,000: a struct is made and encoded several times faster than a model.

    Pydantic takes a row for a dataclass with the same fields, so OpenAPI describes routes that answer rows.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """What pydantic knows of the row: its fields by their types, and that msgspec serializes it."""
        fields = [
            core_schema.dataclass_field(name, handler.generate_schema(kind))
            for name, kind in get_type_hints(cls).items()
        ]
        return core_schema.dataclass_schema(
            cls,
            core_schema.dataclass_args_schema(cls.__name__, fields),
            [field["name"] for field in fields],
            ref=f"{cls.__module__}.{cls.__qualname__}",
            serialization=core_schema.plain_serializer_function_ser_schema(msgspec.to_builtins),
        )
