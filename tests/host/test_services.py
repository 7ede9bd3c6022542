from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from weir_core.objects import App, Credential, Llm, ModelPrice, Plugin
from weir_core.secrets import Secret
from weir_core.snapshot import Snapshot
from weir_host.prices import PricesInForce
from weir_host.services import PluginLogger, SnapshotGateway
from weir_sdk import MissingScopeError, NotFoundError
from weir_sdk.testing import RecordingLogger

SNAPSHOT = Snapshot(
    1,
    [
        App(id=2, name="Support", metadata={"team": ["blue"]}),
        App(id=1, name="Sales", user_id="ada", llm_ids=(1,)),
        Llm(
            id=1,
            name="GPT",
            slug="gpt",
            vendor="openai",
            api_endpoint="https://api.openai.com/v1",
            api_key=Secret("sk-very-secret"),
        ),
        Credential(id=1, app_id=1, key_id="k", secret_hash=b"very-secret"),
        ModelPrice(id=1, vendor="openai", model="gpt-*", input="1", effective_from_us=5),
        ModelPrice(id=2, vendor="openai", model="gpt-4o", input="2"),
        ModelPrice(id=3, vendor="openai", model="gpt-4o", input="3", effective_from_us=50),
        ModelPrice(id=5, vendor="openai", model="o3", input="200.50"),
        ModelPrice(id=4, vendor="openai", model="gpt-4o", input="4", effective_from_us=2_000_000),
    ],
)
ALL = ("apps.read", "llms.read", "pricing.read")


@pytest.fixture
def gateway(clock: Any) -> Callable[..., SnapshotGateway]:
    def make(*scopes: str) -> SnapshotGateway:
        plugin = Plugin(id=1, name="reader", slug="reader", command="python://a:B", service_scopes=scopes)
        return SnapshotGateway(plugin, lambda: SNAPSHOT, PricesInForce(clock).of)

    return make


async def test_apps_and_llms_are_read_without_their_secrets(gateway: Callable[..., SnapshotGateway]) -> None:
    service = gateway(*ALL)
    app, llm = await service.get_app(1), await service.get_llm(1)
    assert (app.name, app.user_id, app.llm_ids) == ("Sales", "ada", (1,))
    assert (llm.slug, llm.has_api_key) == ("gpt", True)
    assert [app.id for app in await service.list_apps()] == [1, 2]
    assert [llm.id for llm in await service.list_llms()] == [1]
    assert "secret" not in repr([await service.list_apps(), await service.list_llms()])


async def test_what_a_plugin_does_to_an_answer_does_not_reach_the_configuration(
    gateway: Callable[..., SnapshotGateway],
) -> None:
    service = gateway(*ALL)
    (await service.get_app(2)).metadata["team"].append("red")
    assert (await service.get_app(2)).metadata == {"team": ["blue"]}


@pytest.mark.parametrize(
    ("model", "price"),
    [("gpt-4o", "3"), ("gpt-of-ours", "1"), ("o3", "200.5")],
    ids=["the newest row in force that names the model", "else a pattern", "whatever is published"],
)
async def test_a_price_is_the_admins(gateway: Callable[..., SnapshotGateway], model: str, price: str) -> None:
    assert (await gateway(*ALL).get_model_price(model, "openai")).input == price


async def test_a_price_that_no_admin_set_is_the_published_one(
    gateway: Callable[..., SnapshotGateway],
) -> None:
    price = await gateway(*ALL).get_model_price("claude-3-5-haiku-latest", "anthropic")
    assert float(price.input or 0) > 0
    assert float(price.output or 0) > float(price.input or 0)


@pytest.mark.parametrize(
    "read",
    [
        lambda service: service.get_app(9),
        lambda service: service.get_llm(9),
        lambda service: service.get_model_price("no such model", "anthropic"),
    ],
)
async def test_what_is_not_there_is_not_found(
    gateway: Callable[..., SnapshotGateway], read: Callable[[SnapshotGateway], Awaitable[object]]
) -> None:
    with pytest.raises(NotFoundError):
        await read(gateway(*ALL))


@pytest.mark.parametrize(
    ("scope", "read"),
    [
        ("apps.read", lambda service: service.get_app(1)),
        ("apps.read", lambda service: service.list_apps()),
        ("llms.read", lambda service: service.get_llm(1)),
        ("llms.read", lambda service: service.list_llms()),
        ("pricing.read", lambda service: service.get_model_price("gpt-4o", "openai")),
    ],
)
async def test_every_read_takes_its_scope(
    gateway: Callable[..., SnapshotGateway],
    scope: str,
    read: Callable[[SnapshotGateway], Awaitable[object]],
) -> None:
    await read(gateway(scope))
    with pytest.raises(MissingScopeError, match=f"'reader' lacks the scope {scope}"):
        await read(gateway(*(other for other in ALL if other != scope)))


def test_log_lines_are_marked_with_the_plugin(logger: RecordingLogger) -> None:
    log = PluginLogger(logger, "my-plugin")
    log.debug("a")
    log.info("b", size=1)
    log.warning("c", plugin="another")
    log.error("d", event="structlog's own word")
    assert [(line.level, line.message, line.values) for line in logger.lines] == [
        ("debug", "a", {"plugin": "my-plugin"}),
        ("info", "b", {"plugin": "my-plugin", "size": 1}),
        ("warning", "c", {"plugin": "my-plugin"}),
        ("error", "d", {"plugin": "my-plugin", "event_": "structlog's own word"}),
    ]


def test_log_lines_do_not_repeat_the_plugins_secrets(logger: RecordingLogger) -> None:
    log = PluginLogger(logger, "my-plugin", ("s3cret", {"key": "deep-one"}))
    log.info("up with s3cret", key="deep-one", size=1, error=ValueError("no s3cret"), tried=["s3cret"])
    [line] = logger.lines
    assert line.message == "up with ***"
    assert line.values == {
        "key": "***",
        "size": 1,
        "error": "no ***",
        "tried": "[***]",
        "plugin": "my-plugin",
    }
