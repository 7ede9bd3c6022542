"""What a worker's calls share, wired by ``server``."""

from __future__ import annotations

from dataclasses import dataclass

from weir_core.clock import Clock
from weir_proxy.configuration import Configuration
from weir_proxy.hooks import HookPipeline
from weir_proxy.metrics import Metrics
from weir_proxy.recorder import Recorder
from weir_proxy.stream_end import StreamEnds
from weir_proxy.upstream import Upstream
from weir_streams.spool import Spool


@dataclass(slots=True)
class Gateway:
    """One proxy worker. ``configuration`` is the only field that ever changes, and it changes as a whole."""

    configuration: Configuration
    spool: Spool
    upstream: Upstream
    hooks: HookPipeline
    stream_ends: StreamEnds
    recorder: Recorder
    metrics: Metrics
    clock: Clock
    edge_id: str
    edge_namespace: str
    max_request_bytes: int
    max_response_bytes: int
    capture_limit: int
