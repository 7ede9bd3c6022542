"""The three shapes of a successful answer, and how a list is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

_Item = TypeVar("_Item")

MAX_LIMIT: Final = 100
_MAX_PAGE: Final = 2**31 - 1


class One(BaseModel, Generic[_Item]):
    """One object."""

    data: _Item


class Pagination(BaseModel):
    """Where a page stands in its list."""

    page: int = Field(examples=[1])
    limit: int = Field(examples=[25])
    total: int = Field(description="Objects in the whole list.", examples=[2])
    total_pages: int = Field(description="0 for an empty list.", examples=[1])


class Page(BaseModel, Generic[_Item]):
    """One page of a list."""

    data: list[_Item]
    pagination: Pagination


class RecordsPage(BaseModel):
    """One page of records, newest first."""

    data: list[dict[str, Any]]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class PageParameters(BaseModel):
    """Which page of a list; a parameter that is not one of these is refused."""

    model_config = ConfigDict(extra="forbid")

    page: int = Field(default=1, ge=1, le=_MAX_PAGE, description="Counted from 1.")
    limit: int = Field(default=25, ge=1, le=MAX_LIMIT, description="Objects on a page.")

    @property
    def offset(self) -> int:
        """How many objects come before this page."""
        return (self.page - 1) * self.limit


PageQuery = Annotated[PageParameters, Query()]


def page_of(items: Sequence[_Item], total: int, asked: PageParameters) -> Page[_Item]:
    """Wrap the items of one page."""
    return Page(
        data=list(items),
        pagination=Pagination(
            page=asked.page, limit=asked.limit, total=total, total_pages=-(-total // asked.limit)
        ),
    )


def slice_of(items: Sequence[_Item], asked: PageParameters) -> Page[_Item]:
    """Cut one page out of a list that is in memory anyway."""
    return page_of(items[asked.offset : asked.offset + asked.limit], len(items), asked)
