"""``/tokens``: who may use this API. Only admins see them."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field
from sqlalchemy import RowMapping

from weir_control.api.answers import Stored, answer
from weir_control.api.envelopes import One, Page, PageQuery, page_of
from weir_control.api.fields import InputModel, Name, Namespaces, PathId
from weir_control.deps import Control, no_content, stamp
from weir_control.principal import API_PREFIX, Role
from weir_control.store.rows import TOKEN, fetch, fetch_page
from weir_control.store.tokens import add_token, remove_token

router = APIRouter(prefix="/tokens", tags=["tokens"])


class TokenInput(InputModel):
    """What a new token is called and may do."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "dashboard", "role": "viewer"}]})

    name: Name
    role: Role = Field(
        description="`admin` may do everything, `operator` everything but secrets and tokens. `auditor` "
        "reads all, bodies, tokens and the audit log included; `viewer` reads the rest."
    )
    namespaces: Namespaces | None = Field(
        default=None,
        description="What it may see and change; null or empty means everything. An empty text among them "
        "stands for the objects without a namespace.",
    )


class Token(Stored):
    """A management token without its secret."""

    name: str = Field(examples=["dashboard"])
    role: str = Field(examples=["viewer"])
    namespaces: list[str]
    key_id: str | None = Field(
        description="The part of the secret that names it; null for a text of your own."
    )


class NewToken(Token):
    """A token just made. This is the only time its secret is shown."""

    secret: str = Field(examples=["wt_3f1c9a0b5d7e2468_..."])


@router.get("", summary="List tokens")
async def list_tokens(control: Control, asked: PageQuery) -> Page[Token]:
    async with control.store.reading() as connection:
        rows, total = await fetch_page(connection, TOKEN, limit=asked.limit, offset=asked.offset)
    return page_of([_answer(row) for row in rows], total, asked)


@router.post("", status_code=201, summary="Create a token")
async def create_token(control: Control, body: TokenInput, response: Response) -> One[NewToken]:
    """The secret is shown only here."""
    async with control.store.changing() as change:
        row, secret = await add_token(change, body.name, body.role, body.namespaces or ())
    stamp(response, change.revision, f"{API_PREFIX}/tokens/{row['id']}")
    shown = _answer(row).model_dump() | {"secret": secret.reveal()}
    return One(data=NewToken.model_validate(shown))


@router.get("/{token_id}", summary="Get a token")
async def get_token(control: Control, token_id: PathId) -> One[Token]:
    async with control.store.reading() as connection:
        return One(data=_answer(await fetch(connection, TOKEN, token_id)))


@router.delete("/{token_id}", status_code=204, summary="Revoke a token")
async def delete_token(control: Control, token_id: PathId) -> Response:
    """It stops working at once. The last admin token cannot be deleted."""
    async with control.store.changing() as change:
        await remove_token(change, token_id)
    return no_content(change.revision)


def _answer(row: RowMapping) -> Token:
    return answer(Token, row, namespaces=row["namespaces"] or [])
