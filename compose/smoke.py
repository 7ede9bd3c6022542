#!/usr/bin/env python3
"""Calls a model through each gateway and waits until its events are counted. Needs only Python.

usage: smoke.py <admin token> <upstream url> <gateway url>...
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

_WITHIN_S = 60.0
# What the mock upstream takes; it is no secret.
_MOCK_KEY = "sk-mock-upstream"


def call(url: str, token: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
    """Send one request; return its JSON answer."""
    request = urllib.request.Request(  # noqa: S310 - the address is the operator's own
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
        return json.load(answer)


def smoke(admin: str, upstream: str, gateways: list[str]) -> None:
    """Set up an LLM and an app at the first gateway, call it through all, and look for the records."""
    api, slug = f"{gateways[0]}/api/v1", f"smoke-{uuid.uuid4().hex[:8]}"
    llm = {"name": slug, "slug": slug, "vendor": "openai", "api_endpoint": upstream, "api_key": _MOCK_KEY}
    llm_id = call(f"{api}/llms", admin, llm)["data"]["id"]
    app_id = call(f"{api}/apps", admin, {"name": slug, "llm_ids": [llm_id]})["data"]["id"]
    secret = call(f"{api}/apps/{app_id}/credentials", admin, {"name": slug})["data"]["secret"]
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello!"}]}
    for gateway in gateways:
        until(f"a call through {gateway}", lambda at=gateway: _answered(at, slug, secret, body))
    records = f"{api}/records/analytics?app_id={app_id}"
    until("the records", lambda: len(call(records, admin)["data"]) >= len(gateways))


def _answered(gateway: str, slug: str, secret: str, body: dict[str, Any]) -> bool:
    """A gateway learns of a new app within a second; until then it refuses."""
    try:
        return bool(call(f"{gateway}/llm/call/{slug}/v1/chat/completions", secret, body)["choices"])
    except urllib.error.HTTPError as error:
        if error.code in (401, 403, 404):
            return False
        raise


def until(what: str, condition: Any) -> None:
    """Ask again until it is true; exit with code 1 when that takes too long."""
    give_up_at = time.monotonic() + _WITHIN_S
    while not condition():
        if time.monotonic() > give_up_at:
            sys.exit(f"failed: {what} did not come within {_WITHIN_S:.0f} s")
        time.sleep(0.2)
    sys.stdout.write(f"ok: {what}\n")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    smoke(sys.argv[1], sys.argv[2], sys.argv[3:])
