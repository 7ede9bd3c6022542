from __future__ import annotations

import socket

import pytest

from weir_cli.errors import ListenError
from weir_cli.listening import base_url, bind, bind_admin, is_loopback, local_url
from weir_core.errors import SettingsError
from weir_core.settings import Settings
from weir_core.settings_sources import resolve


def test_a_taken_port_is_refused_with_the_way_out() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ListenError, match=rf"127\.0\.0\.1:{port}: Address already in use; .*--port"):
            bind("127.0.0.1", port)


def test_what_is_wrong_with_the_admin_listener_is_said_in_the_names_of_its_settings() -> None:
    with bind("127.0.0.1", 0) as first:
        settings = Settings(admin_port=first.getsockname()[1])
        with pytest.raises(ListenError, match="another WEIR_ADMIN_PORT or WEIR_ADMIN_HOST"):
            bind_admin(settings)
    with pytest.raises(ListenError, match=r"nowhere\.invalid.*WEIR_ADMIN_HOST"):
        bind_admin(Settings(admin_host="nowhere.invalid", admin_port=0))
    with pytest.raises(SettingsError, match=r"WEIR_ADMIN_PORT .*65535.*70000"):
        resolve(file={}, environ={"WEIR_ADMIN_PORT": "70000"}, flags={})


def test_there_is_no_admin_listener_unless_it_was_asked_for() -> None:
    assert bind_admin(Settings()) is None


def test_a_host_without_an_address_is_refused_by_name() -> None:
    with pytest.raises(ListenError, match=r"nowhere\.invalid"):
        bind("nowhere.invalid", 0)


def test_connections_wait_in_the_queue_before_any_worker_accepts() -> None:
    with bind("127.0.0.1", 0) as listener:
        socket.create_connection(listener.getsockname(), timeout=1).close()


def test_the_url_names_the_port_that_was_really_taken() -> None:
    with bind("127.0.0.1", 0) as listener:
        assert base_url(listener, tls=False) == f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:3000"),
        ("::", "http://[::1]:3000"),
        ("::1", "http://[::1]:3000"),
        ("10.1.2.3", "http://10.1.2.3:3000"),
    ],
)
def test_a_wildcard_address_is_reached_over_loopback_and_ipv6_is_written_in_brackets(
    host: str, url: str
) -> None:
    assert local_url(host, 3000, tls=False) == url


@pytest.mark.parametrize(("host", "alone"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_a_loopback_address_is_told_from_one_that_others_reach(host: str, alone: bool) -> None:
    with bind(host, 0) as listener:
        assert is_loopback(listener) is alone
