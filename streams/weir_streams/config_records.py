"""The configuration as records of a compacted topic: one for each object, and one that closes a revision.

A revision is what a marker says it is: how many objects, and a digest of them all. So a reader takes a
revision whole or not at all, whatever was half written, compacted away or tampered with on the way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from weir_core.errors import SecretError
from weir_core.objects import App, ConfigObject, Credential, Llm, ModelPrice, Plugin
from weir_core.secrets import KeyRing, fingerprint_of
from weir_core.snapshot import Snapshot

MARKER: Final = b"revision"
"""The key of the record that closes a revision; the others are ``<kind>:<id>``."""

_ORDER: Final = (Llm, Plugin, App, Credential, ModelPrice)
_ENCODER: Final = msgspec.msgpack.Encoder()
_OBJECT: Final = msgspec.msgpack.Decoder(ConfigObject)


class ConfigRecord(NamedTuple):
    """One record as it stands in the topic, sealed. ``value`` None: there is no such object any more.

    ``epoch`` is that of the leader that wrote it.
    """

    key: bytes
    value: bytes | None
    epoch: int


class Published(NamedTuple):
    """What readers have: the newest revision, -1 for none, and the epoch of the leader that wrote last."""

    epoch: int
    revision: int


class _Marker(msgspec.Struct, frozen=True):
    epoch: int
    revision: int
    objects: int
    digest: bytes


_MARKER: Final = msgspec.msgpack.Decoder(_Marker)


class _Kept(NamedTuple):
    """An object of a topic; without an ``item`` where it cannot be read, for a ``reason``."""

    digest: bytes
    fingerprint: bytes
    item: ConfigObject | None
    reason: str = ""


class Assembly:
    """What stands in one namespace's topic, as far as its records were given to ``take``.

    Args:
        keyring: Opens and seals records.
        namespace: Whose topic it is; records of another one's cannot be opened.
    """

    def __init__(self, keyring: KeyRing, namespace: str) -> None:
        self.closed: Snapshot | None = None
        """The last revision that a marker closed."""
        self.epoch = 0
        """Of the newest leader that has written."""
        self.reason = ""
        """Why the last marker closed nothing; empty when it did."""
        self._keyring = keyring
        self._namespace = namespace
        self._kept: dict[bytes, _Kept] = {}
        self._unclosed: dict[bytes, ConfigRecord] = {}

    def take(self, record: ConfigRecord) -> None:
        """Take the next record. What an earlier leader writes after a newer one is ignored."""
        if record.epoch < self.epoch:
            return
        self.epoch = record.epoch
        if record.key == MARKER:
            self._close(record)
        else:
            self._unclosed[record.key] = record

    def changes(self, snapshot: Snapshot, epoch: int) -> list[ConfigRecord]:
        """The records that make the topic this revision: what differs, what is gone, and the marker.

        What an earlier leader began and did not close is written over, and what an older key sealed is sealed
        with the newest.
        """
        plain = {_key_of(item): _ENCODER.encode(item) for item in snapshot.objects}
        digests = {key: _digest(value) for key, value in plain.items()}
        marker = _Marker(epoch, snapshot.revision, len(digests), _digest_of_all(digests))
        written = [key for key in plain if not self._has(key, digests[key])]
        gone = [key for key in self._kept.keys() | self._unclosed.keys() if key not in plain]
        return [
            *(ConfigRecord(key, self._seal(key, plain[key]), epoch) for key in written),
            *(ConfigRecord(key, None, epoch) for key in sorted(gone)),
            ConfigRecord(MARKER, self._seal(MARKER, _ENCODER.encode(marker)), epoch),
        ]

    def _has(self, key: bytes, digest: bytes) -> bool:
        kept = self._kept.get(key)
        newest = self._keyring.fingerprints[0]
        return (
            kept is not None
            and kept.item is not None
            and (kept.digest, kept.fingerprint) == (digest, newest)
            and key not in self._unclosed
        )

    def _close(self, record: ConfigRecord) -> None:
        unreadable = self._keep_unclosed()
        try:
            marker = _MARKER.decode(self._open(MARKER, record.value or b""))
        except (SecretError, msgspec.DecodeError) as error:
            self.reason = f"the mark of a revision cannot be read: {error}"
            return
        if self.closed is not None and marker.revision < self.closed.revision:
            return
        digests = {key: kept.digest for key, kept in self._kept.items()}
        if (marker.objects, marker.digest) != (len(digests), _digest_of_all(digests)):
            self.reason = unreadable or (
                f"revision {marker.revision} is not complete: it has {marker.objects} objects, and "
                f"{len(digests)} were found that do not make it up"
            )
            return
        self.reason = ""
        self.closed = Snapshot(marker.revision, _in_order(self._kept.values()))

    def _keep_unclosed(self) -> str:
        """Take over what was written since the last marker; return why something of it cannot be read."""
        for key, record in self._unclosed.items():
            if record.value is None:
                self._kept.pop(key, None)
            else:
                self._kept[key] = self._read(key, record.value)
        self._unclosed = {}
        return next((kept.reason for kept in self._kept.values() if kept.item is None), "")

    def _read(self, key: bytes, sealed: bytes) -> _Kept:
        fingerprint = fingerprint_of(sealed)
        try:
            plain = self._open(key, sealed)
            return _Kept(_digest(plain), fingerprint, _OBJECT.decode(plain))
        except (SecretError, msgspec.DecodeError) as error:
            return _Kept(b"", fingerprint, None, f"{key.decode(errors='replace')} cannot be read: {error}")

    def _seal(self, key: bytes, plain: bytes) -> bytes:
        return self._keyring.seal(plain, self._context(key))

    def _open(self, key: bytes, sealed: bytes) -> bytes:
        return self._keyring.open(sealed, self._context(key))

    def _context(self, key: bytes) -> bytes:
        return f"weir configuration {self._namespace!r} ".encode() + key


def _key_of(item: ConfigObject) -> bytes:
    return f"{item.__struct_config__.tag}:{item.id}".encode()


def _in_order(kept: Iterable[_Kept]) -> Iterator[ConfigObject]:
    """As the database gives them; which of two prices counts may depend on it."""
    items = [one.item for one in kept if one.item is not None]
    yield from sorted(items, key=lambda item: (_ORDER.index(type(item)), item.id))


def _digest(plain: bytes) -> bytes:
    return hashlib.sha256(plain).digest()


def _digest_of_all(digests: Mapping[bytes, bytes]) -> bytes:
    whole = hashlib.sha256()
    for key, digest in sorted(digests.items()):
        whole.update(b"%d:%s" % (len(key), key) + digest)
    return whole.digest()
