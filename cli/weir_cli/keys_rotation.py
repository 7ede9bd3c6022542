"""Sealing everything that is stored anew with the newest key, beside a gateway that runs or not."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

import msgspec

from weir_cli.admin import command_line
from weir_cli.data_dir import DataDir, DataDirLock
from weir_cli.errors import DataDirInUseError
from weir_cli.keys_sealed import SealedValue, reseal, sealed_values
from weir_control.store.store import Store
from weir_core.errors import SecretError
from weir_core.secrets import fingerprint_of
from weir_streams.config_feed import reseal_files

_BATCH: Final = 50
_PASSES: Final = 5


class Resealed(msgspec.Struct, frozen=True):
    """What was done, and the names of what an old key still seals or no key opens."""

    done: int
    left: list[str]


async def reseal_all(store: Store, data_dir: DataDir) -> Resealed:
    """Seal with the store's newest key what another seals: stored secrets and published configuration.

    It may be stopped anywhere and begun again. A value that is written meanwhile is left to its writer and
    looked at once more.
    """
    done, stale = 0, await _stale(store)
    for _ in range(_PASSES):
        if not stale:
            break
        changed = await _reseal_values(store, stale)
        done += changed
        stale = await _stale(store)
        if not changed:
            break
    await _renew_published(store, data_dir)
    return Resealed(done, [value.name for value in stale])


async def uses_of(store: Store, data_dir: DataDir, old: Collection[bytes]) -> list[str]:
    """The names of what is sealed with one of these keys, by their fingerprints."""
    async with store.reading() as connection:
        found = [one.name for one in await sealed_values(connection) if fingerprint_of(one.sealed) in old]
    return found + [path.name for path in _published(data_dir) if fingerprint_of(path.read_bytes()) in old]


async def _stale(store: Store) -> list[SealedValue]:
    newest = store.keyring.fingerprints[0]
    async with store.reading() as connection:
        return [one for one in await sealed_values(connection) if fingerprint_of(one.sealed) != newest]


async def _reseal_values(store: Store, values: Iterable[SealedValue]) -> int:
    """In small transactions, so that nobody waits for long."""
    done = 0
    for batch in _batches(list(values)):
        async with store.writing() as connection:
            for value in batch:
                try:
                    done += await reseal(connection, store.keyring, value)
                except SecretError:
                    continue
    return done


async def _renew_published(store: Store, data_dir: DataDir) -> None:
    """Published revisions: by a running control itself, which is told to publish anew, else here."""
    try:
        lock = await DataDirLock.take(data_dir, sleep=_at_once)
    except DataDirInUseError:
        async with store.changing(command_line()):
            return
    try:
        await asyncio.to_thread(reseal_files, data_dir.config, store.keyring)
    finally:
        lock.release()


async def _at_once(_seconds: float) -> None:
    """A lock that is held is held by a gateway that runs; waiting would change nothing."""


def _batches(values: list[SealedValue]) -> Iterable[list[SealedValue]]:
    return (values[at : at + _BATCH] for at in range(0, len(values), _BATCH))


def _published(data_dir: DataDir) -> list[Path]:
    return sorted(data_dir.config.glob("*.snapshot"))
