"""The gateway's HTTP/1.1 client: what the pipeline knows of it."""

from weir_proxy.upstream.client import Upstream
from weir_proxy.upstream.decoding import decoded
from weir_proxy.upstream.messages import Headers, UpstreamAnswer, UpstreamRequest, UpstreamStream

__all__ = ["Headers", "Upstream", "UpstreamAnswer", "UpstreamRequest", "UpstreamStream", "decoded"]
