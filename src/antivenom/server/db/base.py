"""The declarative base of every room's models, and the column types that repeat."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from sqlalchemy import BigInteger, DateTime, Dialect, MetaData, Text, TypeDecorator
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

At = Annotated[datetime, mapped_column(DateTime(timezone=True))]
OptionalAt = Annotated[datetime | None, mapped_column(DateTime(timezone=True))]
BigId = Annotated[int, mapped_column(BigInteger, primary_key=True, autoincrement=True)]
Texts = Annotated[list[str], mapped_column(ARRAY(Text), server_default="{}")]
Document = Annotated[dict[str, Any], mapped_column(JSONB, server_default="{}")]


class StoredAs(TypeDecorator[Any]):
    """A JSONB column that holds a msgspec type: `mapped_column(StoredAs(JobProgress), server_default="{}")`.

    Rows of other releases are read: a field that is absent gets its default, one that the type lacks is ignored.
    """

    impl = JSONB
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002  # SQLAlchemy's own signature
        return msgspec.to_builtins(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else msgspec.convert(value, self.kind)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {str: Text}
