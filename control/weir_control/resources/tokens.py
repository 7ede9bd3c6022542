"""``/tokens``: who may use this API. Only admins see them."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field
from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from weir_control.api.answers import Stored, answer
from weir_control.api.envelopes import One, Page, PageQuery, slice_of
from weir_control.api.fields import InputModel, Name, Namespaces, PathId
from weir_control.deps import Caller, Control, no_content, stamp
from weir_control.errors import FieldError, ForbiddenError
from weir_control.principal import API_PREFIX, Principal, Role
from weir_control.store.kinds import TOKEN
from weir_control.store.rows import fetch, not_found
from weir_control.store.tables import tokens
from weir_control.store.tokens import add_token, remove_token

router = APIRouter(prefix="/tokens", tags=["tokens"])


class TokenInput(InputModel):
    """What a new token is called and may do."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "dashboard", "role": "viewer"}]})

    name: Name
    role: Role = Field(
        description="`admin` may do everything, `operator` everything but secrets and tokens. `auditor` "
        "reads all, bodies, tokens and the audit log included; `viewer` reads the rest. `edge` reads "
        "nothing: proxies on other machines report with it, for the namespaces that it is bound to."
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
async def list_tokens(control: Control, caller: Caller, asked: PageQuery) -> Page[Token]:
    """A token that is bound to namespaces sees those that are bound to some of the same."""
    async with control.store.reading() as connection:
        rows = (await connection.execute(select(tokens).order_by(tokens.c.id))).mappings().all()
    return slice_of([_answer(row) for row in rows if _is_within(caller, row["namespaces"])], asked)


@router.post("", status_code=201, summary="Create a token")
async def create_token(
    control: Control, caller: Caller, body: TokenInput, response: Response
) -> One[NewToken]:
    """The secret is shown only here. A token that is bound to namespaces makes only such as are bound to
    some of the same."""
    if not _is_within(caller, body.namespaces):
        raise ForbiddenError(
            "The token is bound to namespaces and can make no token that reaches further.",
            [FieldError("namespaces", "forbidden", "must name some of the token's own")],
        )
    async with control.store.changing(caller.actor) as change:
        row, secret = await add_token(change, body.name, body.role, body.namespaces or ())
    stamp(response, change.revision, f"{API_PREFIX}/tokens/{row['id']}")
    shown = _answer(row).model_dump() | {"secret": secret.reveal()}
    return One(data=NewToken.model_validate(shown))


@router.get("/{token_id}", summary="Get a token")
async def get_token(control: Control, caller: Caller, token_id: PathId) -> One[Token]:
    async with control.store.reading() as connection:
        return One(data=_answer(await _fetch(connection, caller, token_id)))


@router.delete("/{token_id}", status_code=204, summary="Revoke a token")
async def delete_token(control: Control, caller: Caller, token_id: PathId) -> Response:
    """It stops working at once. The last admin token cannot be deleted."""
    async with control.store.changing(caller.actor) as change:
        await _fetch(change.connection, caller, token_id)
        await remove_token(change, token_id)
    return no_content(change.revision)


async def _fetch(connection: AsyncConnection, caller: Principal, token_id: int) -> RowMapping:
    row = await fetch(connection, TOKEN, token_id)
    if not _is_within(caller, row["namespaces"]):
        raise not_found(TOKEN, token_id)
    return row


def _is_within(caller: Principal, namespaces: Sequence[str] | None) -> bool:
    """Whether a token with these namespaces reaches no further than the caller."""
    if caller.namespaces is None:
        return True
    return bool(namespaces) and caller.namespaces.issuperset(namespaces or ())


def _answer(row: RowMapping) -> Token:
    return answer(Token, row, namespaces=row["namespaces"] or [])
