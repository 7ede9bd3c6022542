#!/usr/bin/env python3
"""Calls models through each gateway, and waits until every event is where it belongs. Needs only Python.

The management token is taken from WEIR_ADMIN_TOKEN. It makes two LLMs: the events of one go to the database,
those of the other to an Elasticsearch collector. --elasticsearch is where to look for them, which is the
installation's own WEIR_ELASTICSEARCH_URL as seen from here.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any

_WITHIN_S = 90.0
_ASK_AGAIN_S = 0.2
# What the mock upstream takes; it is no secret.
_MOCK_KEY = "sk-mock-upstream"
_COLLECTOR = "python://weir_collectors.builtin.elasticsearch:ElasticsearchCollector"
_QUESTION = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello!"}]}


def ask(url: str, token: str = "", body: dict[str, Any] | None = None, method: str | None = None) -> bytes:
    """Send one request; return the body of its answer."""
    request = urllib.request.Request(  # noqa: S310 - the address is the operator's own
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"} if token else {},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
        content: bytes = answer.read()
        return content


class Api:
    """The management API of one gateway."""

    def __init__(self, gateway: str, token: str) -> None:
        self._url = f"{gateway}/api/v1"
        self._token = token

    def get(self, path: str) -> Any:
        """What a resource's ``data`` is."""
        return json.loads(ask(f"{self._url}/{path}", self._token))["data"]

    def write(self, path: str, method: str = "POST", **fields: Any) -> dict[str, Any]:
        """Make or change an object."""
        data: dict[str, Any] = json.loads(ask(f"{self._url}/{path}", self._token, fields, method))["data"]
        return data


def smoke(options: argparse.Namespace) -> None:
    """Set everything up in control, call through all gateways, and look for what the calls left."""
    api, name = Api(options.control, options.token), f"smoke-{uuid.uuid4().hex[:8]}"
    endpoint = {"vendor": "openai", "api_endpoint": options.upstream, "api_key": _MOCK_KEY}
    stored, indexed = (api.write("llms", name=slug, slug=slug, **endpoint) for slug in (name, f"{name}-es"))
    plugin = add_collector(api, name, indexed["id"])
    until("the collector runs", lambda: runs(api, plugin))
    app = api.write("apps", name=name, llm_ids=[stored["id"], indexed["id"]])
    secret = api.write(f"apps/{app['id']}/credentials", name=name)["secret"]
    try:
        for gateway in options.gateways:
            for llm in (stored, indexed):
                url = f"{gateway}/llm/call/{llm['slug']}/v1/chat/completions"
                until(f"a call of {llm['slug']} through {gateway}", lambda at=url: answered(at, secret))
        count = len(options.gateways)
        records = f"records/analytics?app_id={app['id']}&llm_id="
        until("the records", lambda: len(api.get(f"{records}{stored['id']}")) == count)
        search = f"{options.elasticsearch}/{name}-analytics-*/_count"
        until("the documents", lambda: documents(search) == count)
        until("sums of all calls", lambda: summed(api, app["id"]) == count * 2)
    finally:
        api.write(f"plugins/{plugin}", "PATCH", is_active=False)
    if options.streams:
        until("windows of spend have events", lambda: counted(f"{options.streams}/metrics"))
    for url in options.metrics:
        until(f"metrics at {url}", lambda at=url: b"\nweir_" in ask(at))
    if options.prometheus:
        until("Prometheus reaches every process", lambda: all_up(options.prometheus))


def add_collector(api: Api, name: str, llm_id: int) -> int:
    """An Elasticsearch collector that takes over the events of one LLM; return its id.

    It writes where the installation's WEIR_ELASTICSEARCH_URL says. It is switched on last: a process that has
    it ready knows then whose events it takes.
    """
    plugin = api.write(
        "plugins",
        name=name,
        slug=name,
        command=_COLLECTOR,
        hook_types=["data_collection"],
        config={"index_prefix": name},
        is_active=False,
    )
    number: int = plugin["id"]
    api.write(f"llms/{llm_id}/plugins", "PUT", plugin_ids=[number])
    api.write(f"plugins/{number}", "PATCH", is_active=True)
    return number


def runs(api: Api, plugin_id: int) -> bool:
    """Whether every process that should run a plugin does, as it was last changed."""
    workers = api.get(f"plugins/{plugin_id}/health")["workers"]
    return bool(workers) and all(worker["state"] == "ready" for worker in workers.values())


def answered(url: str, secret: str) -> bool:
    """Whether a call is served. A gateway learns of a new app within a second; until then it refuses."""
    try:
        return bool(json.loads(ask(url, secret, _QUESTION))["choices"])
    except urllib.error.HTTPError as error:
        if error.code in (401, 403, 404):
            return False
        raise


def documents(search: str) -> int:
    """How many documents there are; an index that was made this moment cannot be searched yet."""
    try:
        number: int = json.loads(ask(search))["count"]
    except urllib.error.HTTPError as error:
        if error.code == 503:
            return 0
        raise
    return number


def summed(api: Api, app_id: int) -> int:
    """How many calls of an app are in the accountant's sums."""
    rows = api.get("analytics/summary?group_by=app")
    return sum(row["requests"] for row in rows if str(row["app_id"]) == str(app_id))


def counted(metrics: str) -> bool:
    """Whether events have been added to windows of spend."""
    added = re.search(rb'^weir_streams_events_total{result="added"} (\S+)', ask(metrics), re.MULTILINE)
    return added is not None and float(added[1]) > 0


def all_up(prometheus: str) -> bool:
    """Whether Prometheus has reached every target at its last try."""
    found = json.loads(ask(f"{prometheus}/api/v1/query?query=up"))["data"]["result"]
    return bool(found) and all(target["value"][1] == "1" for target in found)


def until(what: str, condition: Callable[[], bool]) -> None:
    """Ask again until it is true; exit with code 1 when that takes too long.

    Nothing tells a client that an event has arrived, so it has to look.
    """
    give_up_at = time.monotonic() + _WITHIN_S
    while not condition():
        if time.monotonic() > give_up_at:
            sys.exit(f"failed: {what} did not come within {_WITHIN_S:.0f} s")
        time.sleep(_ASK_AGAIN_S)
    sys.stdout.write(f"ok: {what}\n")


def arguments() -> argparse.Namespace:
    """The command line, and the token from the environment."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--upstream", required=True, metavar="URL")
    parser.add_argument("--control", required=True, metavar="URL")
    parser.add_argument("--elasticsearch", required=True, metavar="URL")
    parser.add_argument("--metrics", action="append", default=[], metavar="URL")
    parser.add_argument("--streams", metavar="URL")
    parser.add_argument("--prometheus", metavar="URL")
    parser.add_argument("gateways", nargs="+", metavar="GATEWAY")
    parser.set_defaults(token=os.environ.get("WEIR_ADMIN_TOKEN"))
    options = parser.parse_args()
    if not options.token:
        parser.error("WEIR_ADMIN_TOKEN is not set")
    return options


if __name__ == "__main__":
    smoke(arguments())
