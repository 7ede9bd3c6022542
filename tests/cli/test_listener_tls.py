"""Certificates of listeners: what is read, and what is said of files that cannot be used."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from prometheus_client import CollectorRegistry
from tests.support.certificates import Authority

from weir_cli.listener_tls import listener_tls
from weir_cli.listening import base_url, bind
from weir_cli.role_health import HealthApp, serve_health
from weir_core.errors import SettingsError
from weir_core.settings import Settings


def apart(file: Path) -> tuple[Path, Path, bytes]:
    """Certificate and key of a file in files of their own, and the key itself."""
    key, mark, certificate = file.read_bytes().partition(b"-----BEGIN CERTIFICATE")
    own, keys = file.with_suffix(".crt"), file.with_suffix(".key")
    own.write_bytes(mark + certificate)
    keys.write_bytes(key)
    return own, keys, key


def test_without_a_certificate_listeners_speak_plain_http() -> None:
    assert listener_tls(Settings()) is None


def test_certificate_and_key_may_be_files_of_their_own(tmp_path: Path) -> None:
    certificate, key, _ = apart(Authority(tmp_path).issue("gateway"))
    assert listener_tls(Settings(tls_certificate_file=str(certificate), tls_key_file=str(key))) is not None


def test_a_key_alone_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"tls_key_file .* needs a tls_certificate_file"):
        listener_tls(Settings(tls_key_file="key.pem"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"WEIR_TLS_CERTIFICATE_FILE\): .*gone.pem cannot be used"):
        listener_tls(Settings(tls_certificate_file=str(tmp_path / "gone.pem")))


def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(tmp_path: Path) -> None:
    certificate, key_file, key = apart(Authority(tmp_path).issue("gateway"))
    sealed = serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    key_file.write_bytes(sealed)
    with pytest.raises(SettingsError, match="has no passphrase"):
        listener_tls(Settings(tls_certificate_file=str(certificate), tls_key_file=str(key_file)))


async def test_the_health_of_a_single_role_speaks_tls_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    listener, stop = bind("127.0.0.1", 0), asyncio.Event()
    tls = listener_tls(Settings(tls_certificate_file=str(authority.issue("role"))))
    health = HealthApp(tuple, CollectorRegistry())
    serving = asyncio.create_task(serve_health(health, listener, stop, tls))
    trusted = ssl.create_default_context(cafile=str(authority.ca_file))
    async with httpx2.AsyncClient(base_url=base_url(listener, tls=True), verify=trusted) as client:
        assert (await client.get("/health")).json() == {"status": "ok"}
    stop.set()
    await serving
