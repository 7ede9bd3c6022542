"""Where an upstream is, and by which way the environment says that it is reached."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it

from weir_proxy.errors import UpstreamUnreachableError

_PORTS = {"http": 80, "https": 443}


class ForwardProxy(NamedTuple):
    """An HTTP proxy on the way out; ``authorization`` is the value of Proxy-Authorization, or empty."""

    host: str
    port: int
    authorization: str


class Origin(NamedTuple):
    """The scheme, host and port of an upstream. ``authority`` is what the Host header says."""

    secure: bool
    host: str
    port: int
    authority: str
    proxy: ForwardProxy | None


def find_origin(url: str, proxies: Mapping[str, str]) -> Origin:
    """Read the origin off a URL, and its proxy off the environment's, as curl and the vendors' clients do.

    Args:
        url: An absolute URL; everything behind the authority is ignored.
        proxies: ``urllib.request.getproxies()``: scheme (or ``all``) to proxy URL, and ``no`` to exceptions.

    Raises:
        UpstreamUnreachableError: The URL has no http or https origin, or the proxy's URL is none.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError as error:
        raise UpstreamUnreachableError("The LLM's api_endpoint is not a URL.") from error
    if parts.scheme not in _PORTS or not host:
        raise UpstreamUnreachableError("The LLM's api_endpoint is not an http:// or https:// URL.")
    shown = f"[{host}]" if ":" in host else host
    return Origin(
        secure=parts.scheme == "https",
        host=host,
        port=port or _PORTS[parts.scheme],
        authority=shown if port is None else f"{shown}:{port}",
        proxy=_proxy_for(parts, proxies),
    )


def _proxy_for(parts: SplitResult, proxies: Mapping[str, str]) -> ForwardProxy | None:
    url = proxies.get(parts.scheme) or proxies.get("all")
    if not url or proxy_bypass_environment(parts.netloc.rpartition("@")[2], dict(proxies)):
        return None
    proxy = urlsplit(url if "://" in url else f"http://{url}")
    if proxy.scheme != "http" or not proxy.hostname:
        raise UpstreamUnreachableError(
            f"The environment's proxy for {parts.scheme} is not an http:// URL, the only kind supported."
        )
    authorization = ""
    if proxy.username is not None:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        authorization = "Basic " + b64encode(pair.encode()).decode()
    return ForwardProxy(proxy.hostname, proxy.port or 80, authorization)
