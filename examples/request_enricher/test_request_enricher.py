from __future__ import annotations

import pytest
from request_enricher.plugin import RequestEnricher

from weir_sdk.testing import make_context, make_request, run


@pytest.fixture
def plugin() -> RequestEnricher:
    plugin = RequestEnricher()
    run(plugin.initialize, make_context(), {"headers": {"X-Environment": "production"}})
    return plugin


def test_headers_are_added(plugin: RequestEnricher) -> None:
    request = make_request(json={"model": "gpt-4o"})
    run(plugin.handle_post_auth, make_context(app_id=7), request)
    assert request.headers["X-Environment"] == "production"
    assert request.headers["X-App-Id"] == "7"


def test_the_app_is_named_in_the_body(plugin: RequestEnricher) -> None:
    request = make_request(json={"model": "gpt-4o"})
    run(plugin.handle_post_auth, make_context(app_id=7), request)
    assert request.body == b'{"model":"gpt-4o","user":"app-7"}'


def test_a_user_that_the_caller_named_stays(plugin: RequestEnricher) -> None:
    request = make_request(json={"model": "gpt-4o", "user": "ada"})
    run(plugin.handle_post_auth, make_context(app_id=7), request)
    assert request.json()["user"] == "ada"


@pytest.mark.parametrize("body", [b"", b"RIFF....WAVE", b"[]"])
def test_a_body_that_is_no_json_object_stays_as_it_is(plugin: RequestEnricher, body: bytes) -> None:
    request = make_request(body=body)
    run(plugin.handle_post_auth, make_context(app_id=7), request)
    assert request.body == body


def test_later_hooks_are_told(plugin: RequestEnricher) -> None:
    ctx = make_context(app_id=7)
    run(plugin.handle_post_auth, ctx, make_request(json={"model": "gpt-4o"}))
    assert ctx.metadata["enriched"] == "yes"


def test_an_empty_body_is_refused(plugin: RequestEnricher) -> None:
    answer = run(plugin.handle_pre_auth, make_context(), make_request(body=b""))
    assert answer is not None
    assert answer.block
    assert answer.status_code == 400
