"""The mock upstream as a raw ASGI application."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from weir_cli.mock_upstream.behaviour import Behaviour, adjusted, of_call
from weir_cli.mock_upstream.call import Call, Receive, Scope, Send, Vendor, read_body
from weir_cli.mock_upstream.delivery import Exchange
from weir_cli.mock_upstream.errors import BehaviourError
from weir_cli.mock_upstream.ledger import CREDENTIAL_HEADERS, Ending, Ledger, LedgerCall, masked
from weir_cli.mock_upstream.operations import Operation, find_operation, refusal, vendor_of
from weir_cli.mock_upstream.reply import Reply, encoded
from weir_cli.mock_upstream.shapes import misshapen
from weir_cli.mock_upstream.vendor_errors import error_event, error_reply
from weir_core.clock import Clock

BEHAVIOUR_PATH: Final = "/_mock/behaviour"
TRANSPORT: Final = "weir.mock.transport"
_NORMAL: Final = Behaviour()


@dataclass(frozen=True, slots=True)
class Keys:
    """The vendor keys the mock accepts."""

    openai: str
    anthropic: str

    def of(self, vendor: Vendor) -> str:
        """The key for one vendor's calls."""
        return self.anthropic if vendor == "anthropic" else self.openai


class MockUpstream:
    """Answers vendor calls, each noted in the ledger first.

    ``/_mock/behaviour`` tells (GET), replaces (PUT, the rest as at the start) and resets (DELETE) the
    behaviour of all later calls; it needs no key and leaves no line in the ledger.

    Args:
        behaviour: What calls get that ask for nothing else.
        keys: A call with another key is refused, as the vendor does.
        ledger: Where calls and their endings are noted.
        clock: Times of the ledger and of answers.
        new_serial: Makes the unique part of an answer's id.
    """

    def __init__(
        self, *, behaviour: Behaviour, keys: Keys, ledger: Ledger, clock: Clock, new_serial: Callable[[], str]
    ) -> None:
        self._initial = self._behaviour = behaviour
        self._keys = keys
        self._ledger = ledger
        self._clock = clock
        self._new_serial = new_serial

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        if body is None:
            return
        exchange = Exchange(receive, send, scope["extensions"][TRANSPORT])
        if scope["path"] == BEHAVIOUR_PATH:
            await exchange.deliver(self._settings(scope["method"], body), _NORMAL)
            return
        call, operation = self._read(scope, body)
        reply, behaviour = self._answer(call, operation)
        self._ledger.append(_entry(call, reply))
        delivered = await exchange.deliver(_signed(call, reply), behaviour)
        self._ledger.append(Ending(id=call.id, outcome=delivered.outcome, sent=delivered.sent))

    def _read(self, scope: Scope, body: bytes) -> tuple[Call, Operation | None]:
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        method, path = scope["method"], scope["path"]
        vendor = vendor_of(path, headers)
        operation, argument = find_operation(vendor, method, path) or (None, "")
        call = Call(
            vendor=vendor,
            operation=operation.name if operation else "",
            argument=argument,
            method=method,
            path=path,
            query=scope["query_string"].decode("latin-1"),
            headers=headers,
            body=body,
            document=_object(body),
            serial=self._new_serial(),
            time_us=self._clock.wall_us(),
        )
        return call, operation

    def _answer(self, call: Call, operation: Operation | None) -> tuple[Reply, Behaviour]:
        refused = refusal(call, operation, self._keys.of(call.vendor))
        if refused is not None or operation is None:
            return refused or error_reply(call, 404, "Not found"), _NORMAL
        try:
            behaviour = of_call(self._behaviour, call.headers, call.document)
            if behaviour.status is not None:
                return _failure(call, behaviour, behaviour.status), behaviour
            reply = operation.reply(call, behaviour)
        except BehaviourError as error:
            return error_reply(call, 400, str(error)), _NORMAL
        return misshapen(reply, behaviour, error_event(call, behaviour.error_message)), behaviour

    def _settings(self, method: str, body: bytes) -> Reply:
        if method not in ("GET", "PUT", "DELETE"):
            return Reply(status=405, body=encoded({"error": f"{method} is not GET, PUT or DELETE"}))
        try:
            if method == "PUT":
                self._behaviour = adjusted(self._initial, msgspec.json.decode(body, type=dict[str, Any]))
            elif method == "DELETE":
                self._behaviour = self._initial
        except (BehaviourError, msgspec.DecodeError) as error:
            return Reply(status=422, body=encoded({"error": str(error)}))
        return Reply(body=encoded(msgspec.structs.asdict(self._behaviour)))


def _failure(call: Call, behaviour: Behaviour, status: int) -> Reply:
    reply = error_reply(
        call, status, behaviour.error_message, kind=behaviour.error_type, code=behaviour.error_code
    )
    if behaviour.error_body is not None:
        reply = replace(reply, body=behaviour.error_body.encode())
    if behaviour.retry_after is not None:
        reply = replace(reply, headers=(("retry-after", behaviour.retry_after),))
    return reply


def _signed(call: Call, reply: Reply) -> Reply:
    """With the headers by which the vendor names the exchange."""
    own: tuple[tuple[str, str], ...]
    if call.vendor == "anthropic":
        own = (("request-id", call.request_id), ("anthropic-organization-id", "org-mock"))
    else:
        own = (
            ("x-request-id", call.request_id),
            ("openai-organization", "org-mock"),
            ("openai-version", "2020-10-01"),
        )
    return replace(reply, headers=(*own, *reply.headers))


def _entry(call: Call, reply: Reply) -> LedgerCall:
    return LedgerCall(
        id=call.id,
        upstream_request_id=call.request_id,
        time_us=call.time_us,
        vendor=call.vendor,
        operation=call.operation,
        method=call.method,
        path=call.path,
        query="&".join(part for part in call.query.split("&") if not part.startswith("key=")),
        model=call.model,
        stream=call.stream,
        body_bytes=len(call.body),
        body_sha256=hashlib.sha256(call.body).hexdigest(),
        headers={name: value for name, value in call.headers.items() if name not in CREDENTIAL_HEADERS},
        credentials=masked(call.headers, dict(parse_qsl(call.query))),
        status=reply.status,
        usage=reply.usage,
    )


def _object(body: bytes) -> dict[str, Any]:
    """The body's JSON object; anything else is empty, and the vendor then misses its required fields."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
