from __future__ import annotations

import pytest

from weir_host.child.cutting import cut_to_fit
from weir_proto.plugin_pb2 import PluginContext, ProxyLogRequest

LIMIT = 4 * 1024 * 1024


def a_log(request: int, response: int) -> ProxyLogRequest:
    return ProxyLogRequest(
        request_body=b"q" * request, response_body=b"a" * response, context=PluginContext(request_id="r")
    )


def test_what_fits_is_left_alone() -> None:
    log = a_log(2_000_000, 2_000_000)
    assert cut_to_fit(log) is log
    assert len(log.request_body) == len(log.response_body) == 2_000_000
    assert dict(log.context.metadata) == {}


@pytest.mark.parametrize(
    ("request_bytes", "response_bytes"),
    [(3_000_000, 3_000_000), (10, 6_000_000), (6_000_000, 10), (LIMIT, 0), (9_000_000, 9_000_000)],
)
def test_what_does_not_is_cut_and_marked(request_bytes: int, response_bytes: int) -> None:
    log = cut_to_fit(a_log(request_bytes, response_bytes))
    assert LIMIT // 3 < log.ByteSize() <= LIMIT
    for name, given in (("request_body", request_bytes), ("response_body", response_bytes)):
        cut = len(getattr(log, name)) < given
        assert log.context.metadata.get(f"{name}_truncated") == ("true" if cut else None)


def test_a_small_body_beside_a_large_one_stays_whole() -> None:
    log = cut_to_fit(a_log(10, 6_000_000))
    assert len(log.request_body) == 10
