"""The stored configuration as proxies get it."""

from __future__ import annotations

from tests.control.conftest import World

from weir_collectors.database import create_engine
from weir_control.store.snapshots import read_snapshot
from weir_control.store.store import Store
from weir_core.clock import SystemClock
from weir_core.objects import App, Llm
from weir_core.secrets import KeyRing, Secret


async def test_objects_are_what_was_written(world: World) -> None:
    admin = world.admin
    llm = await admin.llm(
        api_key="sk-1",
        slug="prod",
        allowed_models=["gpt-4o.*"],
        default_model="gpt-4o",
        timeout_seconds=30,
        metadata={"team": {"name": "search"}},
        is_active=False,
        body_capture="redacted",
    )
    app = await admin.app(
        llm_ids=[llm["id"]], user_id="ada", description="d", owner_email="a@b.example", body_capture="none"
    )
    snapshot = await read_snapshot(world.store)
    assert snapshot.llms_by_slug["prod"] == Llm(
        id=llm["id"],
        name="OpenAI",
        slug="prod",
        vendor="openai",
        api_endpoint="https://api.openai.com/v1",
        api_key=Secret("sk-1"),
        default_model="gpt-4o",
        allowed_models=("gpt-4o.*",),
        is_active=False,
        timeout_seconds=30,
        body_capture="redacted",
        metadata={"team": {"name": "search"}},
    )
    assert snapshot.apps[app["id"]] == App(
        id=app["id"],
        name="Support bot",
        description="d",
        owner_email="a@b.example",
        user_id="ada",
        llm_ids=(llm["id"],),
        body_capture="none",
    )


async def test_a_snapshot_survives_the_way_to_the_proxies(world: World) -> None:
    await world.admin.llm(metadata={"big": 2**63 - 1, "text": "\U0001f600", "none": [None, 0.1]})
    await world.admin.plugin(config={"deep": {"list": [1, "2", None]}})
    written = await read_snapshot(world.store)
    assert (await world.published()).objects == written.objects


async def test_an_object_whose_secret_cannot_be_opened_does_not_hold_up_the_others(world: World) -> None:
    await world.admin.llm(slug="locked", api_key="sk-1")
    await world.admin.llm(slug="open")
    await world.admin.plugin()
    app = await world.admin.app()
    other_keys = KeyRing.from_text(KeyRing.generate_key())
    stranger = Store(create_engine(world.url), other_keys, SystemClock())
    snapshot = await read_snapshot(stranger)
    await stranger.engine.dispose()
    assert set(snapshot.llms_by_slug) == {"open"}
    assert (set(snapshot.plugins), set(snapshot.apps)) == (set(), {app["id"]})


async def test_a_secret_opens_only_in_its_own_row(world: World) -> None:
    for slug in ("a", "b"):
        await world.admin.llm(slug=slug, api_key=f"sk-{slug}")
    async with world.store.engine.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE llms SET api_key_sealed = (SELECT api_key_sealed FROM llms WHERE slug = 'a')"
        )
    assert set((await read_snapshot(world.store)).llms_by_slug) == {"a"}


async def test_a_plugin_whose_config_cannot_be_opened_is_shown_failed_until_it_is_replaced(
    world: World,
) -> None:
    await world.admin.plugin(config={"key": 1})
    async with world.store.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE plugins SET config_sealed = x'00'")
    [shown] = await world.admin.data("GET", "/plugins")
    assert (shown["config"], shown["state"]) == (None, "failed")
    assert "WEIR_ENCRYPTION_KEYS" in shown["reason"]
    problem = await world.admin.problem(503, "PATCH", "/plugins/1", {"config": {"key": 2}})
    assert "WEIR_ENCRYPTION_KEYS" in problem["detail"]
    wanted = {"name": "Enricher", "command": "python://acme:Enricher", "config": {"key": 2}}
    assert (await world.admin.data("PUT", "/plugins/1", wanted))["config"] == {"key": 2}
