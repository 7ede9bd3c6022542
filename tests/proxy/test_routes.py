"""Paths: which LLM they name, and which are refused."""

from __future__ import annotations

import pytest

from weir_proxy.errors import RefusalError
from weir_proxy.routes import LlmRoute, clean_native_path, match_llm


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/llm/call/my-llm/v1/chat/completions", LlmRoute("call", "my-llm", None, "/v1/chat/completions")),
        ("/llm/rest/a/messages", LlmRoute("rest", "a", None, "/messages")),
        ("/llm/stream/a/v1/messages", LlmRoute("stream", "a", None, "/v1/messages")),
        ("/llm/call/bare", LlmRoute("call", "bare", None, "")),
        ("/api/v1/llms/7/proxy/v1/models", LlmRoute("call", None, 7, "/v1/models")),
    ],
)
def test_an_llm_path_names_its_llm_and_what_remains_for_the_vendor(path: str, route: LlmRoute) -> None:
    assert match_llm(path) == route


@pytest.mark.parametrize(
    "path",
    ["/", "/api/v1/llms/7", "/api/v1/llms/7/plugins", "/api/v1/llms/x/proxy/v1", "/llm/other/a/v1", "/llm"],
)
def test_other_paths_name_no_llm(path: str) -> None:
    assert match_llm(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "/v1/.%2e/admin",
        "/v1//chat",
        "/v1/./chat",
        "/v1\\chat",
        "/v1/%5cchat",
        "/v1/%00",
        "/v1/%ff",
        "/v1/%0d%0a",
    ],
)
def test_a_path_that_could_mean_another_is_refused(path: str) -> None:
    with pytest.raises(RefusalError) as caught:
        clean_native_path(path)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/ch%61t/completions", "/v1/chat/completions"),
        ("/v1/models/meta%2Fllama", "/v1/models/meta%2Fllama"),
        ("/v1/models/a%2525b", "/v1/models/a%2525b"),
    ],
)
def test_percent_escapes_are_undone_once_and_encoded_slashes_stay(path: str, clean: str) -> None:
    assert clean_native_path(path) == clean
