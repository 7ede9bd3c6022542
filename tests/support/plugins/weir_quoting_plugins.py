"""A plugin that fails wherever it is asked, and quotes what it was shown, as ``python://`` and as ``file://``."""

from __future__ import annotations

from typing import NoReturn

from weir_sdk import BasePlugin, Context, PermanentError, ProxyLog, Request, Response, StreamComplete, serve


class Quoting(BasePlugin):
    """Fails with the whole body in its words."""

    name = "quoting"

    async def handle_pre_auth(self, ctx: Context, request: Request) -> NoReturn:
        raise ValueError(f"cannot read {request.body!r}")

    async def handle_post_auth(self, ctx: Context, request: Request) -> str:
        request.method = request.body.decode()
        return ""

    def on_before_write(self, ctx: Context, response: Response) -> NoReturn:
        raise KeyError(response.body)

    async def on_stream_complete(self, ctx: Context, stream: StreamComplete) -> NoReturn:
        raise RuntimeError(stream.request_body + stream.body)

    async def handle_proxy_log(self, ctx: Context, log: ProxyLog) -> NoReturn:
        raise PermanentError(f"will not take {log.request_body} and {log.response_body}")


if __name__ == "__main__":
    serve(Quoting)
