"""Pages of lists: the one shape that every listing service answers with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, UnaryExpression
from sqlalchemy.orm import InstrumentedAttribute

from antivenom.core.errors import InvalidInputError

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 500

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list: `items` in order, `total` of all pages, `page` from 1."""

    items: Sequence[T]
    total: int
    page: int = 1
    page_size: int = PAGE_SIZE_DEFAULT

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.page_size))

    def map(self, view: Callable[[T], U]) -> Page[U]:
        """The same page of what `view` makes of each item."""
        return Page([view(item) for item in self.items], self.total, self.page, self.page_size)


def check_paging(page: int, page_size: int) -> tuple[int, int]:
    """Offset and limit of a page.

    Raises:
        InvalidInputError: `page` below 1, or `page_size` outside 1..500.
    """
    if page < 1 or page > 10_000_000:
        raise InvalidInputError(f"page {page} does not exist: pages count from 1", field="page")
    if not 1 <= page_size <= PAGE_SIZE_MAX:
        raise InvalidInputError(f"page_size {page_size} is outside 1..{PAGE_SIZE_MAX}", field="page_size")
    return (page - 1) * page_size, page_size


Column = ColumnElement[Any] | InstrumentedAttribute[Any]


def check_sort(sort: str, sorts: Collection[str]) -> str:
    """The name that a list is to be sorted by, without the "-" for descending order.

    Raises:
        InvalidInputError: It is none of `sorts`.
    """
    name = sort.removeprefix("-")
    if name not in sorts:
        raise InvalidInputError(f"cannot sort by {name[:40]!r}", hint=f"one of {', '.join(sorts)}", field="sort")
    return name


def order_by(sort: str, sorts: Mapping[str, Sequence[Column]]) -> list[UnaryExpression[Any]]:
    """The columns that a query is ordered by; "-" before the name means descending. NULL comes last either way.

    Raises:
        InvalidInputError: `sorts` has no such name.
    """
    columns, is_descending = sorts[check_sort(sort, sorts)], sort.startswith("-")
    return [(column.desc() if is_descending else column.asc()).nulls_last() for column in columns]


def slice_page(items: Sequence[T], page: int, page_size: int) -> Page[T]:
    """One page of a list that is in memory."""
    offset, limit = check_paging(page, page_size)
    return Page(items[offset : offset + limit], len(items), page, page_size)
