"""Plugins that send numbered payloads to control, and that write down there what arrives.

As a program it is the receiver.
"""

from __future__ import annotations

import json
import os
from typing import Any

from weir_sdk import Analytics, BasePlugin, Context, EdgePayload, PluginResponse, Request, serve


class Sender(BasePlugin):
    """Answers a request that names ``first`` and ``count`` by sending as many payloads."""

    name = "payload-sender"

    async def handle_post_auth(self, ctx: Context, request: Request) -> PluginResponse:
        order = json.loads(request.body)
        pending = 0
        for number in range(order["first"], order["first"] + order["count"]):
            pending = await ctx.services.gateway.send_to_control_json({"number": number}, f"n-{number}")
        body = json.dumps({"pending": pending}).encode()
        return PluginResponse(block=True, status_code=200, body=body)


class Receiver(BasePlugin):
    """Appends ``<edge> <plugin> <number>`` to ``file``, and refuses numbers below zero."""

    name = "payload-receiver"

    def initialize(self, ctx: Context, config: dict[str, Any]) -> None:
        self.file = os.open(config["file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def accept_edge_payload(self, ctx: Context, payload: EdgePayload) -> bool:
        if payload.json()["number"] < 0:
            raise RuntimeError("negative numbers are not for me")
        line = f"{payload.edge_id or '-'} {payload.plugin_id} {payload.json()['number']}\n"
        os.write(self.file, line.encode())
        return True


class Both(Sender, Receiver):
    """The two halves of one plugin, under one id."""

    name = "payload-both"


class Counting(BasePlugin):
    """A collector that sends the number of each event it gets."""

    name = "payload-counting"
    number = 0

    def handle_analytics(self, ctx: Context, analytics: Analytics) -> None:
        self.number += 1
        ctx.services.wait(ctx.services.gateway.send_to_control_json({"number": self.number}))


if __name__ == "__main__":
    serve(Receiver)
