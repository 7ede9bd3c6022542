"""``weir serve``: the way from settings to a gateway that serves, and back to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

import httpx2
import structlog
from rich.console import Console

from weir_cli.admin import admit_admin, demo_admin, open_store
from weir_cli.bootstrap import confined, encryption_keys, is_embedded, prepare_database
from weir_cli.data_dir import DataDir, DataDirLock
from weir_cli.demo import DemoSetup, begin_demo, upstream_command
from weir_cli.demo_state import DemoState, load_demo_state, save_demo_state
from weir_cli.greeting import Greeting, print_greeting
from weir_cli.listening import Listeners
from weir_cli.plans import Household, children
from weir_cli.readiness import wait_until_ready
from weir_cli.supervising import supervise
from weir_core.settings import Settings

_REQUEST_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class _Admission:
    """Who may administer: what the greeting says of it, and the demo's own state where there is one."""

    token_or_advice: str
    demo: DemoState | None


async def serve(settings: Settings, *, demo: bool, console: Console) -> int:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: As resolved; relative paths are taken from the working directory.
        demo: Add the mock upstream and the objects to call it.
        console: Gets the greeting; the log goes to standard error.

    Returns:
        0, or 1 when a child had to be killed or failed while it was stopped.

    Raises:
        WeirError: It could not be started, or the demo could not be set up.
    """
    data_dir = DataDir.at(settings.data_dir)
    lock = await DataDirLock.take(data_dir)
    data_dir.prepare_run()
    listeners = Listeners.open(settings, data_dir)
    keys = encryption_keys(settings, data_dir)
    await prepare_database(settings, data_dir)
    admission = await _admit(settings, data_dir, keys, demo=demo)
    household = Household.of(settings if is_embedded(settings) else confined(settings), data_dir, keys, lock)
    upstream = upstream_command(household, admission.demo) if admission.demo else None
    return await supervise(
        children(household, listeners, upstream),
        data_dir,
        close_listeners=listeners.close,
        greet=_greet(listeners, data_dir, admission, console),
    )


async def _admit(settings: Settings, data_dir: DataDir, keys: str, *, demo: bool) -> _Admission:
    async with open_store(settings, data_dir, keys) as store:
        new = await admit_admin(store, settings)
        if demo:
            kept = load_demo_state(data_dir.demo)
            token = new or await demo_admin(store, settings, kept.admin_token if kept else None)
            return _Admission(token, begin_demo(data_dir, kept, token))
    if new is not None:
        return _Admission(f"{new}   (shown this once)", None)
    given = settings.admin_token is not None
    return _Admission("the one in WEIR_ADMIN_TOKEN" if given else "weir tokens create makes another", None)


async def _greet(listeners: Listeners, data_dir: DataDir, admission: _Admission, console: Console) -> None:
    """Wait until the gateway serves, set the demo up, then say how to use it."""
    url = listeners.url
    state = admission.demo
    headers = {"Authorization": f"Bearer {state.admin_token}"} if state else {}
    # The socket is our own, and its certificate is for the name by which others know this machine.
    async with httpx2.AsyncClient(
        base_url=url, headers=headers, timeout=_REQUEST_TIMEOUT_S, trust_env=False, verify=False
    ) as client:
        await wait_until_ready(client, structlog.get_logger("weir.supervisor"))
        if state is not None:
            state = await DemoSetup(client).complete(state)
            save_demo_state(data_dir.demo, state)
    print_greeting(
        console,
        Greeting(
            version=version("weir-gateway"),
            url=url,
            data_dir=data_dir.root,
            admin_token=admission.token_or_advice,
            admin_url=listeners.admin_url,
            demo_secret=state.credential if state else None,
        ),
    )
