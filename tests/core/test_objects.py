from typing import get_args

import msgspec
import pytest

from weir_core.objects import (
    App,
    Attachment,
    CollectorOptions,
    ConfigObject,
    Credential,
    Llm,
    ModelPrice,
    Plugin,
)


@pytest.mark.parametrize("kind", get_args(ConfigObject))
def test_a_configuration_object_cannot_be_changed(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen
    assert kind.__struct_config__.tag is not None


def test_what_is_left_out_is_the_safe_choice() -> None:
    assert App(id=1, name="a").llm_ids == ()
    assert Attachment(plugin_id=1).on_error is None
    assert not Plugin(id=1, name="p", slug="p", command="python://a:B").service_scopes
    assert not CollectorOptions().observer
    assert Credential(id=1, app_id=1, key_id="k", secret_hash=b"").expires_at_us is None
    assert ModelPrice(id=1, vendor="openai", model="*").currency == "USD"


def test_objects_do_not_share_their_default_dictionaries() -> None:
    one = App(id=1, name="a")
    one.metadata["x"] = 1

    assert App(id=2, name="b").metadata == {}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Attachment, {"plugin_id": 1, "timeout": 5}),
        (Attachment, {"plugin_id": 1, "on_error": "fail"}),
        (Attachment, {"plugin_id": 1, "stream_mode": "all"}),
        (CollectorOptions, {"observe": True}),
        (CollectorOptions, {"on_outage": "drop"}),
    ],
)
def test_a_misspelt_option_of_a_plugin_is_refused_rather_than_ignored(
    kind: type[msgspec.Struct], value: dict[str, object]
) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, kind)


def test_each_kind_of_object_is_told_apart_by_its_tag() -> None:
    known = {"id": 1, "name": "x", "slug": "x", "vendor": "v", "api_endpoint": "http://h", "command": "c"}

    assert isinstance(msgspec.convert({"type": "llm", **known}, ConfigObject), Llm)
    assert isinstance(msgspec.convert({"type": "plugin", **known}, ConfigObject), Plugin)
