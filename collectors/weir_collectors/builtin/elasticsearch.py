"""``python://weir_collectors.builtin.elasticsearch:ElasticsearchCollector``: every event as a document.

| Elasticsearch ...                                       | and the event ...                              |
|---------------------------------------------------------|------------------------------------------------|
| says created, or that the id is there already (409)      | is handled                                     |
| refuses the document with 429 or 5xx                     | comes again                                    |
| refuses the document with anything else                  | is a dead letter at once; the others go on     |
| finds the request too large (413)                        | goes with half of the others                   |
| refuses the whole request with 400                       | gets a try alone                               |
| answers anything else, nothing, or takes too long        | comes again; the breaker counts it             |
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from elasticsearch import ApiError, AsyncElasticsearch, TransportError
from msgspec import Meta

from weir_collectors.builtin.days import day_of
from weir_collectors.builtin.elasticsearch_answers import bulk_outcomes, refuses_us, translated
from weir_collectors.builtin.elasticsearch_templates import install_templates
from weir_collectors.builtin.errors import SinkConfigError
from weir_collectors.builtin.packing import Item
from weir_collectors.builtin.sink import Outcome, Sink
from weir_collectors.builtin.sink_config import Seconds, Secret, TlsConfig
from weir_sdk import Analytics, BudgetUsage, Context, Event, ProxyLog

_INDEX: Final[Mapping[type[Event], str]] = {
    ProxyLog: "proxy-logs",
    Analytics: "analytics",
    BudgetUsage: "budget",
}
_ANSWER_FIELDS: Final = ("items.*.status", "items.*.error")

Url = Annotated[str, Meta(pattern=r"^https?://[^@\s/]+(/[^@\s]*)?$")]


class ElasticsearchConfig(TlsConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the cluster is and how to write to it."""

    elasticsearch_url: Annotated[
        Url | Annotated[list[Url], Meta(min_length=1)],
        Meta(description="One URL or several of the same cluster, without user and password."),
    ] = "http://localhost:9200"
    api_key: Annotated[Secret, Meta(description="Encoded API key; instead of username and password.")] = ""
    username: Annotated[str, Meta(description="For basic authentication.")] = ""
    password: Annotated[Secret, Meta(description="For basic authentication.")] = ""
    index_prefix: Annotated[
        str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=100, description="How index names begin.")
    ] = "microgateway"
    request_timeout_seconds: Annotated[
        Seconds, Meta(description="How long one request may take; keep it below the collector's timeout_ms.")
    ] = 8.0
    manage_templates: Annotated[
        bool, Meta(description="Whether to install index templates; false where somebody else does.")
    ] = True


class ElasticsearchCollector(Sink[ElasticsearchConfig]):
    """Writes ``<prefix>-<kind>-<day>`` by the event's own UTC day, with the event's id as the document's.

    An event that comes again finds its document there, so there is one, however often it is delivered.
    """

    name = "Elasticsearch"
    version = "1.0.0"
    description = "Writes every event as a document into daily indices."
    config_type = ElasticsearchConfig

    async def open(self, ctx: Context) -> None:
        """Connect, and install the templates if the cluster is there already."""
        self._client = connect(self.config)
        self._installing = asyncio.Lock()
        self._installed = not self.config.manage_templates
        try:
            await self._install()
        except (ApiError, TransportError) as error:
            if refuses_us(error):
                await self.close()
                raise SinkConfigError(
                    f"Elasticsearch refuses the index templates: {error}; check api_key, username and "
                    "password, grant manage_index_templates, or set manage_templates to false",
                    field="manage_templates",
                ) from error
            # They are tried again before the first document, which must not make an index without them.
            ctx.services.logger.warning("elasticsearch templates are not installed yet", error=str(error))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def encode(self, event: Event) -> bytes:
        """The action and the document, on two lines."""
        index = f"{self.config.index_prefix}-{_INDEX[type(event)]}-{day_of(event).replace('-', '.')}"
        action = msgspec.json.encode({"create": {"_index": index, "_id": event.event_id}})
        document = event.to_json()
        return b'%b\n{"@timestamp":"%b",%b' % (action, event.timestamp.encode(), document[1:])

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """One bulk request."""
        # The client's types know only objects; bytes go out as they are.
        operations: Any = [item.data for item in items]
        try:
            await self._install()
            answer = await self._client.bulk(
                operations=operations, filter_path=_ANSWER_FIELDS, include_source_on_error=False
            )
        except (ApiError, TransportError) as error:
            raise translated(error, of_documents=self._installed) from error
        return bulk_outcomes(answer.body, len(items))

    async def _install(self) -> None:
        if self._installed:
            return
        async with self._installing:
            if not self._installed:
                await install_templates(self._client, self.config.index_prefix)
                self._installed = True


def connect(config: ElasticsearchConfig) -> AsyncElasticsearch:
    """A client that neither sniffs nor tries again, but for another node where one cannot be reached.

    Raises:
        SinkConfigError: The options contradict each other, or ``ca_file`` cannot be read.
    """
    if config.api_key and config.username:
        raise SinkConfigError("api_key and username are both given; keep one of them", field="api_key")
    if bool(config.username) != bool(config.password):
        field = "password" if config.username else "username"
        raise SinkConfigError(f"{field} is missing; basic authentication needs both", field=field)
    urls = (
        [config.elasticsearch_url] if isinstance(config.elasticsearch_url, str) else config.elasticsearch_url
    )
    options: dict[str, Any] = {}
    if any(url.startswith("https:") for url in urls):
        options["ssl_context"] = config.ssl_context()
    return AsyncElasticsearch(
        urls,
        api_key=config.api_key or None,
        basic_auth=(config.username, config.password) if config.username else None,
        request_timeout=config.request_timeout_seconds,
        max_retries=len(urls) - 1,
        retry_on_status=(),
        retry_on_timeout=False,
        **options,
    )
