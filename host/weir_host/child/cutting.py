"""Events that a plugin's process could not take whole. Guards never see a cut body; collectors do."""

from __future__ import annotations

from typing import Final

from weir_proto.plugin_pb2 import ProxyLogRequest

_LIMIT: Final = 4 * 1024 * 1024
_BODIES: Final = ("request_body", "response_body")


def cut_to_fit(log: ProxyLogRequest) -> ProxyLogRequest:
    """Cut the bodies of a proxy log so that it passes the four mebibytes that Go servers take.

    A body that was cut is marked in the context's metadata, as ``request_body_truncated`` or
    ``response_body_truncated``.
    """
    excess = log.ByteSize() - _LIMIT
    if excess <= 0:
        return log
    # The marks and longer length prefixes need a little room themselves.
    room = max(0, len(log.request_body) + len(log.response_body) - excess - 256) // 2
    for name in _BODIES:
        body: bytes = getattr(log, name)
        if len(body) > room:
            setattr(log, name, body[:room])
            log.context.metadata[f"{name}_truncated"] = "true"
    return log
