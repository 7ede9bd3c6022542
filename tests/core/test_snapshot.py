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
from weir_core.secrets import Secret
from weir_core.snapshot import Snapshot


def llm(number: int, **fields: object) -> Llm:
    known = {"name": f"LLM {number}", "slug": f"llm-{number}", "vendor": "openai", "api_endpoint": "http://h"}
    return msgspec.convert({"type": "llm", "id": number, **known, **fields}, Llm)


def app(number: int, namespace: str = "") -> App:
    return App(id=number, name=f"App {number}", namespace=namespace)


def credential(number: int, app_id: int) -> Credential:
    return Credential(id=number, app_id=app_id, key_id=f"key-{number}", secret_hash=b"\x00\xff")


def plugin(number: int, namespace: str = "") -> Plugin:
    return Plugin(
        id=number, name=f"Plugin {number}", slug=f"p{number}", command="python://a:B", namespace=namespace
    )


EVERYTHING: tuple[ConfigObject, ...] = (
    Llm(
        id=1,
        name="GPT",
        slug="gpt",
        vendor="openai",
        api_endpoint="https://api.openai.com/v1",
        api_key=Secret("sk-1"),
        allowed_models=("gpt-.*",),
        metadata={"team": ["a", 1, None]},
        attachments=(Attachment(plugin_id=4, on_error="fail_open", config_override={"limit": 1.5}),),
    ),
    App(id=2, name="Shop", user_id="u-1", llm_ids=(1,)),
    Credential(id=3, app_id=2, key_id="k", secret_hash=bytes(range(32)), expires_at_us=1),
    Plugin(
        id=4,
        name="Guard",
        slug="guard",
        command="python://guards:Guard",
        config={"words": ["x"]},
        hook_types=("pre_auth", "data_collection"),
        collector=CollectorOptions(observer=True),
    ),
    ModelPrice(id=5, vendor="openai", model="gpt-*", input="2.50"),
)


def test_a_snapshot_is_indexed_by_what_the_hot_path_asks_for() -> None:
    snapshot = Snapshot(7, EVERYTHING)

    assert snapshot.revision == 7
    assert snapshot.llms[1] is snapshot.llms_by_slug["gpt"] is EVERYTHING[0]
    assert snapshot.apps[2].name == "Shop"
    assert snapshot.credentials["k"].app_id == 2
    assert snapshot.plugins[4].slug == "guard"
    assert snapshot.model_prices == (EVERYTHING[4],)


def test_an_empty_snapshot_has_nothing() -> None:
    snapshot = Snapshot(0)

    assert snapshot.objects == snapshot.model_prices == ()
    assert snapshot.llms == snapshot.apps == snapshot.plugins == snapshot.credentials == {}


def test_what_is_encoded_is_decoded_whole_secrets_included() -> None:
    decoded = Snapshot.decode(Snapshot(7, EVERYTHING).encode())

    assert (decoded.revision, decoded.objects) == (7, EVERYTHING)
    assert decoded.llms[1].api_key == Secret("sk-1")


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"\xc1", b"not a snapshot", Snapshot(1, EVERYTHING).encode()[:-1]]
)
def test_what_is_no_snapshot_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        Snapshot.decode(data)


def test_a_reader_ignores_fields_that_it_does_not_know() -> None:
    document = msgspec.msgpack.decode(Snapshot(1, EVERYTHING[:1]).encode())
    document["objects"][0]["from_the_future"] = True
    document["from_the_future"] = True

    assert Snapshot.decode(msgspec.msgpack.encode(document)).objects == EVERYTHING[:1]


def test_printing_a_snapshots_objects_shows_no_key() -> None:
    assert "sk-1" not in repr(Snapshot(1, EVERYTHING).objects)


def test_an_edge_sees_its_own_objects_and_those_of_no_namespace() -> None:
    price = ModelPrice(id=9, vendor="openai", model="*")
    shared = (llm(1), app(1), credential(1, app_id=1), plugin(1), price)
    east = (llm(2, namespace="east"), app(2, "east"), credential(2, app_id=2), plugin(2, "east"))
    west = (llm(3, namespace="west"), app(3, "west"), credential(3, app_id=3), plugin(3, "west"))
    orphan = credential(4, app_id=99)
    snapshot = Snapshot(5, [*shared, *east, *west, orphan])

    seen = snapshot.for_namespace("east")

    assert seen.revision == 5
    assert set(seen.llms) == set(seen.apps) == set(seen.plugins) == {1, 2}
    assert set(seen.credentials) == {"key-1", "key-2"}
    assert seen.model_prices == (price,)
    assert set(snapshot.for_namespace("").llms) == {1}


def test_an_index_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        Snapshot(1, EVERYTHING).llms[2] = llm(2)  # type: ignore[index]
