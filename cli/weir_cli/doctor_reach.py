"""What answers from here: the gateway itself, control, Elasticsearch, and the names of upstreams."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import httpx2

from weir_cli.doctor_findings import Finding, Patient, ok, wrong

_TIMEOUT_S: Final = 5.0


async def examine_gateway(patient: Patient) -> list[Finding]:
    """What listens on the port: proxies or control, which beside proxies has a socket of its own.

    To be asked only while one of them runs.
    """
    scheme = "http" if patient.settings.tls_certificate_file is None else "https"
    url = f"{scheme}://{_address(patient)}/ready"
    findings = [await _ask("port", url, "see the reasons in its answer and the log")]
    if patient.data_dir.control_socket.exists():
        transport = httpx2.AsyncHTTPTransport(uds=str(patient.data_dir.control_socket))
        advice = "see its log; the supervisor restarts it"
        findings.append(await _ask("control", "http://control/health", advice, transport))
    return findings


async def examine_elasticsearch(urls: Mapping[str, str]) -> list[Finding]:
    """Whether each cluster that a collector writes to answers at all."""
    fix = "start it, or correct the collector's configuration; its breaker keeps events meanwhile"
    return [await _knock(name, url, fix) for name, url in sorted(urls.items())]


async def examine_upstreams(urls: Mapping[str, str]) -> list[Finding]:
    """Whether each upstream's host has an address; nothing is sent there."""
    return [await _resolve(slug, url) for slug, url in sorted(urls.items())]


async def _ask(area: str, url: str, fix: str, transport: httpx2.AsyncHTTPTransport | None = None) -> Finding:
    try:
        # The certificate is for the name by which others know this machine.
        async with httpx2.AsyncClient(
            transport=transport, timeout=_TIMEOUT_S, trust_env=False, verify=False
        ) as client:
            answer = await client.get(url)
    except (httpx2.HTTPError, OSError) as error:
        return wrong(area, f"does not answer at {url}: {error or type(error).__name__}", fix)
    if answer.status_code == 200:
        return ok(area, "answers and is ready" if url.endswith("/ready") else "answers")
    return wrong(area, f"answers {answer.status_code}: {answer.text[:300]}", fix)


async def _knock(name: str, url: str, fix: str) -> Finding:
    shown = _without_user(url)
    try:
        # No secret is sent, and whose certificate it is the collector itself checks.
        async with httpx2.AsyncClient(timeout=_TIMEOUT_S, verify=False) as client:
            answer = await client.get(shown)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        return wrong(
            "elasticsearch", f"{name}: {shown} does not answer: {error or type(error).__name__}", fix
        )
    if answer.status_code >= 500:
        return wrong("elasticsearch", f"{name}: {shown} answers {answer.status_code}", fix)
    return ok("elasticsearch", f"{name}: {shown} answers")


async def _resolve(slug: str, url: str) -> Finding:
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        fix = "correct its api_endpoint, or this machine's name server"
        return wrong("upstreams", f"{slug}: {parts.hostname} has no address: {error}", fix)
    return ok("upstreams", f"{slug}: {parts.hostname} has {len(found)} addresses")


def _address(patient: Patient) -> str:
    """Where this machine reaches the port: an address that stands for all is none to call."""
    host, port = patient.settings.host, patient.settings.port
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"{host}:{port}"
    if address.is_unspecified:
        host = "::1" if address.version == 6 else "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))
