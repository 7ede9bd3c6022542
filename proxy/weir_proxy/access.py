"""Who calls, and may they: the built-in credential check and what comes after any authentication."""

from __future__ import annotations

from typing import NamedTuple

from weir_core.objects import Credential
from weir_core.secrets import key_id_of, token_matches
from weir_proxy.call import Call, Caller
from weir_proxy.configuration import Configuration
from weir_proxy.errors import RefusalError
from weir_proxy.headers import PresentedCredential


class CheckedCredential(NamedTuple):
    """A credential that passed, remembered by its connection: true for this very key and revision."""

    configuration: Configuration
    presented: PresentedCredential
    credential: Credential
    caller: Caller


def check_credential(call: Call, presented: PresentedCredential | None, now_us: int) -> Caller:
    """The built-in check: one of our own credentials, known, unexpired.

    Raises:
        RefusalError: 401, without saying which part was wrong.
    """
    checked = call.client.checked
    if (
        not isinstance(checked, CheckedCredential)
        or checked.presented is not presented
        or checked.configuration is not call.configuration
    ):
        checked = call.client.checked = _check(call.configuration, presented)
    expires_at_us = checked.credential.expires_at_us
    if expires_at_us is not None and expires_at_us <= now_us:
        raise _unauthorized("The API key has expired.")
    return checked.caller


def _check(configuration: Configuration, presented: PresentedCredential | None) -> CheckedCredential:
    if presented is None:
        raise _unauthorized("No API key was sent. Use an app credential of this gateway (wk_...).")
    if presented.secret.startswith("wt_"):
        raise _unauthorized("This is a management token. Model calls take an app credential (wk_...).")
    key_id = key_id_of(presented.secret, "wk")
    credential = configuration.snapshot.credentials.get(key_id) if key_id else None
    if credential is None or not token_matches(presented.secret, credential.secret_hash):
        raise _unauthorized("The API key is not valid for this gateway.")
    app = configuration.snapshot.apps.get(credential.app_id)
    if app is None:
        raise _unauthorized("The API key is not valid for this gateway.")
    caller = Caller(app, credential_id=credential.id, user_id=app.user_id)
    return CheckedCredential(configuration, presented, credential, caller)


def check_access(call: Call, caller: Caller) -> None:
    """What holds for every caller, however it was authenticated.

    Raises:
        RefusalError: 403 when the app or the LLM is inactive, or the app may not use this LLM.
    """
    llm = call.served.llm
    if not caller.app.is_active:
        raise RefusalError(403, "app_inactive", f"The app {caller.app.name!r} is switched off.")
    if not llm.is_active:
        raise RefusalError(403, "llm_inactive", f"The LLM {llm.slug!r} is switched off.")
    if llm.id not in caller.app.llm_ids:
        raise RefusalError(
            403,
            "llm_not_allowed",
            f"The app {caller.app.name!r} may not use {llm.slug!r}. Add it to the app's llm_ids.",
        )


def _unauthorized(message: str) -> RefusalError:
    return RefusalError(401, "invalid_api_key", message, headers=(("www-authenticate", "Bearer"),))
