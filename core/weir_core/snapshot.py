"""One revision of the configuration, indexed for the hot path and swapped as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

import msgspec

from weir_core.objects import App, ConfigObject, Credential, Llm, ModelPrice, Plugin


class _Document(msgspec.Struct):
    revision: int
    objects: list[ConfigObject]


_Item = TypeVar("_Item", Llm, App, Plugin)

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Document)


class Snapshot:
    """A closed revision. Never changed after it is built; a request holds one from start to end."""

    __slots__ = (
        "apps",
        "credentials",
        "llms",
        "llms_by_slug",
        "model_prices",
        "objects",
        "plugins",
        "revision",
    )

    def __init__(self, revision: int, objects: Iterable[ConfigObject] = ()) -> None:
        self.revision = revision
        self.objects: tuple[ConfigObject, ...] = tuple(objects)
        self.llms: Mapping[int, Llm] = _by_id(self.objects, Llm)
        self.llms_by_slug: Mapping[str, Llm] = {llm.slug: llm for llm in self.llms.values()}
        self.apps: Mapping[int, App] = _by_id(self.objects, App)
        self.plugins: Mapping[int, Plugin] = _by_id(self.objects, Plugin)
        self.credentials: Mapping[str, Credential] = {
            item.key_id: item for item in self.objects if isinstance(item, Credential)
        }
        self.model_prices = tuple(item for item in self.objects if isinstance(item, ModelPrice))

    def for_namespace(self, namespace: str) -> Snapshot:
        """The part an edge of this namespace may see: its own objects and those without a namespace.

        Credentials and prices follow their app or stand for all.
        """
        apps = {app.id for app in self.apps.values() if app.namespace in ("", namespace)}
        visible = [
            item
            for item in self.objects
            if (isinstance(item, Credential) and item.app_id in apps)
            or isinstance(item, ModelPrice)
            or (isinstance(item, Llm | App | Plugin) and item.namespace in ("", namespace))
        ]
        return Snapshot(self.revision, visible)

    def encode(self) -> bytes:
        """The plaintext that a config feed seals and carries; it holds secrets."""
        return _ENCODER.encode(_Document(self.revision, list(self.objects)))

    @classmethod
    def decode(cls, data: bytes) -> Snapshot:
        """Read what ``encode`` wrote.

        Raises:
            msgspec.DecodeError: The data is not a snapshot.
        """
        document = _DECODER.decode(data)
        return cls(document.revision, document.objects)


def _by_id(objects: Iterable[ConfigObject], kind: type[_Item]) -> Mapping[int, _Item]:
    return MappingProxyType({item.id: item for item in objects if isinstance(item, kind)})
