"""Calls through the proxy's own parts, with real plugins and a real spool, but no sockets."""

from __future__ import annotations

import itertools
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry
from tests.fakes.streaming import RememberingClient, ScriptedUpstream, Step

from weir_core.clock import SystemClock
from weir_core.objects import App, Attachment, Llm, Plugin
from weir_core.snapshot import Snapshot
from weir_host.calls import CallInfo
from weir_host.host import PluginHost
from weir_host.limits import HostLimits
from weir_proxy.call import Call, Caller
from weir_proxy.configuration import Configuration, HookPoint
from weir_proxy.errors import ClientGoneError, RefusalError
from weir_proxy.gateway import Gateway
from weir_proxy.headers import RequestHeaders
from weir_proxy.held import release
from weir_proxy.hooks import HookPipeline
from weir_proxy.intake import read_fields
from weir_proxy.metrics import Metrics
from weir_proxy.recorder import Recorder
from weir_proxy.stream import answer_stream
from weir_proxy.stream_end import StreamEnds
from weir_proxy.trace import begin_span
from weir_sdk import BasePlugin
from weir_streams.admission import Admission
from weir_streams.keeper import Keeper
from weir_streams.settings import SpoolSettings
from weir_streams.spool import Spool

PATH = "/llm/call/gpt/v1/chat/completions"
BODY = b'{"model": "gpt-4o-mini", "stream": true, "messages": []}'
_numbers = itertools.count(1)


@dataclass
class Streamed:
    """One streamed call, over."""

    call: Call
    client: RememberingClient
    upstream: ScriptedUpstream
    refusal: RefusalError | None = None
    hung_up: bool = False

    @property
    def text(self) -> str:
        return self.client.body.decode()


@dataclass
class StreamingRoom:
    """Serves streams of a script through plugins that a test defines; ``failures`` are the hooks' failures."""

    spool: Spool
    host: PluginHost
    patch: pytest.MonkeyPatch
    capture_limit: int = 1000
    failures: list[tuple[str, bool]] = field(default_factory=list)
    ends: StreamEnds | None = None

    def command(self, plugin_class: type[BasePlugin]) -> str:
        module = ModuleType(f"proxy_plugin_under_test_{next(_numbers)}")
        setattr(module, plugin_class.__name__, plugin_class)
        self.patch.setitem(sys.modules, module.__name__, module)
        return f"python://{module.__name__}:{plugin_class.__name__}"

    async def configure(
        self, plugins: Iterable[tuple[type[BasePlugin], dict[str, Any]]], llm_fields: dict[str, Any]
    ) -> Configuration:
        made, attachments = [], []
        for number, (plugin_class, attachment) in enumerate(plugins, 1):
            made.append(
                Plugin(
                    id=number,
                    name=plugin_class.__name__,
                    slug=f"p{number}",
                    command=self.command(plugin_class),
                    hook_types=("on_response",),
                )
            )
            attachments.append(Attachment(plugin_id=number, **attachment))
        llm = Llm(
            id=1,
            name="gpt",
            slug="gpt",
            vendor="openai",
            api_endpoint="http://upstream",
            attachments=tuple(attachments),
            **llm_fields,
        )
        snapshot = Snapshot(1, [llm, *made])
        await self.host.apply(snapshot, ready_within=10)
        return Configuration(snapshot)

    async def stream(
        self,
        steps: Iterable[Step],
        *plugins: tuple[type[BasePlugin], dict[str, Any]],
        when: Callable[[Streamed], None] = lambda _: None,
        **llm_fields: Any,
    ) -> Streamed:
        """Serve one stream; ``when`` is called with it before it begins."""
        configuration = await self.configure(plugins, llm_fields)
        upstream, client = ScriptedUpstream(steps), RememberingClient()
        call = self._call(configuration, client)
        gateway = self._gateway(configuration, upstream)
        streamed = Streamed(call, client, upstream)
        when(streamed)
        try:
            await answer_stream(gateway, call)
        except RefusalError as refusal:
            streamed.refusal = refusal
        except ClientGoneError:
            streamed.hung_up = True
        if not call.recorded:
            await gateway.recorder.record(call)
        if not call.plugins_are_told:
            release(call)
        await gateway.stream_ends.close(10)
        return streamed

    def _call(self, configuration: Configuration, client: RememberingClient) -> Call:
        target = configuration.target("POST", PATH)
        assert target is not None
        assert target.operation is not None
        admission = Admission(
            request_id="r-1",
            started_us=1,
            llm_id=1,
            llm_slug="gpt",
            vendor="openai",
            method="POST",
            path=PATH,
        )
        return Call(
            configuration=configuration,
            served=target.served,
            client=client,  # type: ignore[arg-type]  # as much of one as a stream needs
            target=target,
            slot=self.spool.admit(admission),
            info=CallInfo(request_id="r-1", llm_id=1, llm_slug="gpt", vendor="openai"),
            trace=begin_span(None, None),
            client_request_id=None,
            started_us=1,
            started=0.0,
            method="POST",
            path=PATH,
            query="",
            headers=RequestHeaders([]),
            body=BODY,
            upstream_body=BODY,
            fields=read_fields(target.operation, BODY, None),
            model="gpt-4o-mini",
            caller=Caller(App(id=7, name="app", llm_ids=(1,))),
        )

    def _gateway(self, configuration: Configuration, upstream: ScriptedUpstream) -> Gateway:
        metrics = Metrics(CollectorRegistry())
        hooks = HookPipeline(self.host, self._note_failure)
        return Gateway(
            configuration=configuration,
            spool=self.spool,
            upstream=upstream,  # type: ignore[arg-type]  # as much of one as a stream needs
            hooks=hooks,
            stream_ends=self.ends or StreamEnds(hooks),
            recorder=Recorder(
                self.spool,
                metrics,
                capture_limit=self.capture_limit,
                sync_always=False,
                anonymous_per_second=1,
            ),
            metrics=metrics,
            clock=SystemClock(),
            edge_id="",
            edge_namespace="",
            max_request_bytes=1000,
            max_response_bytes=1000,
            capture_limit=self.capture_limit,
        )

    def _note_failure(self, call: Call, point: HookPoint, error: Exception, *, again: bool = False) -> None:
        self.failures.append((type(error).__name__, again))


@pytest.fixture
async def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StreamingRoom]:
    monkeypatch.setattr(Keeper, "start", lambda self: None)
    monkeypatch.setattr(Keeper, "stop", lambda self: None)
    logger, clock = structlog.get_logger(), SystemClock()
    settings = SpoolSettings(segment_bytes=4 * 1024 * 1024, slots=8)
    spool = Spool.open(tmp_path, settings=settings, clock=clock, logger=logger)
    host = PluginHost(
        runtime="gateway",
        hook_types=frozenset(("on_response",)),
        gateway_reads=lambda: Snapshot(0),
        plugin_modules=None,
        edge_id="",
        edge_namespace="",
        logger=logger,
        clock=clock,
        limits=HostLimits(cancel_grace_s=0.01, drain_s=0.1, stop_s=1.0),
    )
    try:
        yield StreamingRoom(spool, host, monkeypatch)
    finally:
        await host.close()
        spool.close()
