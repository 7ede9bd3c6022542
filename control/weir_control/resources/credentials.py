"""``/apps/{id}/credentials``: the secrets apps call models with."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import AfterValidator, ConfigDict, Field, StringConstraints
from sqlalchemy import ColumnElement, RowMapping

from weir_control.api.answers import Stored, answer, moment
from weir_control.api.envelopes import One, Page, PageQuery, page_of
from weir_control.api.fields import InputModel, Moment, PathId, one_line
from weir_control.deps import Caller, Control, no_content, stamp
from weir_control.errors import invalid
from weir_control.principal import API_PREFIX, Principal
from weir_control.store.kinds import APP, CREDENTIAL
from weir_control.store.namespaces import visible
from weir_control.store.rows import add, fetch, fetch_page, remove
from weir_control.store.tables import credentials
from weir_core.clock import parse_rfc3339
from weir_core.secrets import issue_token

router = APIRouter(prefix="/apps", tags=["credentials"])

Label = Annotated[str, StringConstraints(max_length=200), AfterValidator(one_line)]
Scope = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(one_line)]


class CredentialInput(InputModel):
    """What a new credential is called and how long it works."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "production", "expires_at": "2027-01-31T12:00:00Z"}]}
    )

    name: Label = ""
    scopes: list[Scope] = Field(
        default_factory=list,
        max_length=100,
        description="Labels of your own, shown to plugins; the gateway itself gives them no meaning.",
    )
    expires_at: Moment | None = Field(default=None, description="It stops working then; null means never.")


class Credential(Stored):
    """A credential as it is listed: without its secret."""

    app_id: int = Field(examples=[1])
    key_id: str = Field(description="The part of the secret that names it.", examples=["3f1c9a0b5d7e2468"])
    name: str = Field(examples=["production"])
    scopes: list[str]
    expires_at: str | None


class NewCredential(Credential):
    """A credential just made. This is the only time its secret is shown."""

    secret: str = Field(examples=["wk_3f1c9a0b5d7e2468_..."])


@router.get("/{app_id}/credentials", summary="List an app's credentials")
async def list_credentials(
    control: Control, caller: Caller, app_id: PathId, asked: PageQuery
) -> Page[Credential]:
    async with control.store.reading() as connection:
        await fetch(connection, APP, app_id, *visible(caller, APP))
        mine = credentials.c.app_id == app_id
        rows, total = await fetch_page(connection, CREDENTIAL, mine, limit=asked.limit, offset=asked.offset)
    return page_of([_answer(row) for row in rows], total, asked)


@router.post("/{app_id}/credentials", status_code=201, summary="Create a credential")
async def create_credential(
    control: Control, caller: Caller, app_id: PathId, response: Response, body: CredentialInput | None = None
) -> One[NewCredential]:
    """The secret works as a bearer token or in place of the vendor's key, and is shown only here."""
    wanted = body or CredentialInput()
    expires_at_us = None if wanted.expires_at is None else parse_rfc3339(wanted.expires_at)
    if expires_at_us is not None and expires_at_us <= control.store.clock.wall_us():
        raise invalid("expires_at", "is in the past")
    issued = issue_token("wk")
    async with control.store.changing(caller.actor) as change:
        await fetch(change.connection, APP, app_id, *visible(caller, APP))
        values = {
            "app_id": app_id,
            "key_id": issued.key_id,
            "secret_hash": issued.secret_hash,
            "name": wanted.name,
            "scopes": wanted.scopes,
            "expires_at_us": expires_at_us,
        }
        credential_id = await add(change, CREDENTIAL, values)
        row = await fetch(change.connection, CREDENTIAL, credential_id)
    stamp(response, change.revision, f"{API_PREFIX}/apps/{app_id}/credentials/{credential_id}")
    shown = _answer(row).model_dump() | {"secret": issued.secret.reveal()}
    return One(data=NewCredential.model_validate(shown))


@router.get("/{app_id}/credentials/{credential_id}", summary="Get a credential")
async def get_credential(
    control: Control, caller: Caller, app_id: PathId, credential_id: PathId
) -> One[Credential]:
    async with control.store.reading() as connection:
        row = await fetch(connection, CREDENTIAL, credential_id, *_of_app(caller, app_id))
    return One(data=_answer(row))


@router.delete("/{app_id}/credentials/{credential_id}", status_code=204, summary="Revoke a credential")
async def delete_credential(
    control: Control, caller: Caller, app_id: PathId, credential_id: PathId
) -> Response:
    """It stops working within a second."""
    async with control.store.changing(caller.actor) as change:
        await remove(change, CREDENTIAL, credential_id, *_of_app(caller, app_id))
    return no_content(change.revision)


def _of_app(caller: Principal, app_id: int) -> tuple[ColumnElement[bool], ...]:
    return (credentials.c.app_id == app_id, *visible(caller, CREDENTIAL))


def _answer(row: RowMapping) -> Credential:
    return answer(Credential, row, expires_at=moment(row["expires_at_us"]))
