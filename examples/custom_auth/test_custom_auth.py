from __future__ import annotations

import pytest
from custom_auth.plugin import CustomAuth

from weir_sdk.testing import RecordingLogger, make_context, make_request, run

VALID = "correct-horse-battery"


@pytest.fixture
def plugin() -> CustomAuth:
    plugin = CustomAuth()
    run(plugin.initialize, make_context(), {"valid_token": VALID})
    return plugin


def test_the_right_token_lets_the_caller_in(plugin: CustomAuth) -> None:
    request = make_request(headers={"Authorization": f"Bearer {VALID}"})
    answer = run(plugin.handle_auth, make_context(), request)
    assert not answer.block
    assert answer.credential is not None
    assert answer.credential.user_id == "plugin-user"
    assert answer.credential.claims == {"source": "custom-auth-plugin"}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": ""}])
def test_any_other_token_is_refused(plugin: CustomAuth, headers: dict[str, str]) -> None:
    answer = run(plugin.handle_auth, make_context(), make_request(headers=headers))
    assert answer.block
    assert answer.status_code == 401
    assert answer.headers == {"WWW-Authenticate": "Bearer"}
    assert answer.credential is None


def test_a_refusal_is_logged_without_the_token(plugin: CustomAuth) -> None:
    logger = RecordingLogger()
    request = make_request(headers={"Authorization": "Bearer wrong-token"})
    run(plugin.handle_auth, make_context(logger=logger), request)
    assert [line.message for line in logger.lines] == ["caller refused"]
    assert "wrong-token" not in str(logger.lines)


def test_without_a_configured_token_it_does_not_start() -> None:
    with pytest.raises(KeyError):
        run(CustomAuth().initialize, make_context(), {})
