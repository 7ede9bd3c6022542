from __future__ import annotations

import pytest

from weir_sdk import (
    AppInfo,
    BasePlugin,
    Context,
    LlmInfo,
    MissingScopeError,
    ModelPriceInfo,
    NotFoundError,
    PluginResponse,
    Request,
)
from weir_sdk.testing import (
    FakeGateway,
    RecordingLogger,
    make_analytics,
    make_budget_usage,
    make_context,
    make_proxy_log,
    make_request,
    make_response,
    run,
)


class Greeter(BasePlugin):
    def handle_pre_auth(self, ctx: Context, request: Request) -> PluginResponse:
        return PluginResponse(block=True, error_message=request.path)

    async def handle_post_auth(self, ctx: Context, request: Request) -> None:
        assert ctx.app_id is not None
        app = await ctx.services.gateway.get_app(ctx.app_id)
        request.headers["X-App"] = app.name
        ctx.services.logger.info("greeted", app=app.name)


def test_run_takes_plain_and_async_handlers() -> None:
    gateway = FakeGateway(apps=[AppInfo(id=7, name="Sales")])
    logger, request = RecordingLogger(), make_request(path="/v1/models")
    assert run(Greeter().handle_pre_auth, make_context(), request).error_message == "/v1/models"
    run(Greeter().handle_post_auth, make_context(app_id=7, gateway=gateway, logger=logger), request)
    assert request.headers["X-App"] == "Sales"
    assert [(line.level, line.message, line.values) for line in logger.lines] == [
        ("info", "greeted", {"app": "Sales"})
    ]


def test_requests_and_responses_take_json() -> None:
    assert make_request(json={"a": 1}).body == b'{"a":1}'
    assert make_response(json=[1], headers={"x-a": "b"}).headers == {
        "Content-Type": "application/json",
        "X-A": "b",
    }


def test_events_take_any_field() -> None:
    assert make_proxy_log(response_code=503).response_code == 503
    assert make_analytics(cost=None).cost is None
    assert make_budget_usage(tokens_used=1).tokens_used == 1
    with pytest.raises(TypeError, match="nonsense"):
        make_proxy_log(nonsense=1)


async def test_the_fake_gateway_answers_as_the_real_one() -> None:
    app, llm = AppInfo(id=2, name="Sales"), LlmInfo(id=3, name="GPT", slug="gpt", vendor="openai")
    price = ModelPriceInfo(vendor="openai", model="gpt-4o", input="2.5")
    gateway = FakeGateway(apps=[app], llms=[llm], prices=[price])
    assert await gateway.get_app(2) == app
    assert await gateway.list_apps() == [app]
    assert await gateway.get_llm(3) == llm
    assert await gateway.list_llms() == [llm]
    assert await gateway.get_model_price("gpt-4o", "openai") == price
    with pytest.raises(NotFoundError):
        await gateway.get_app(9)
    with pytest.raises(MissingScopeError, match=r"apps\.read"):
        await FakeGateway(scopes=["llms.read"]).list_apps()


def test_a_context_has_what_it_was_given() -> None:
    ctx = make_context(app_id=7, user_id="ada", metadata={"a": "1"}, edge_namespace="eu")
    assert (ctx.app_id, ctx.user_id, ctx.metadata, ctx.edge_namespace) == (7, "ada", {"a": "1"}, "eu")
