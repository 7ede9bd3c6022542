"""``weir keys``: a new encryption key in, the old one out, in steps that may each be interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from weir_cli.admin import existing_store
from weir_cli.configuration import load_settings
from weir_cli.data_dir import DataDir
from weir_cli.doctor_machine import holders, started_at_s
from weir_cli.errors import KeyRotationError
from weir_cli.keys_file import KeyFile, Stage, fingerprint, split_keys
from weir_cli.keys_rotation import reseal_all, uses_of
from weir_cli.options import Config, DataDirFlag
from weir_core.secrets import KeyRing
from weir_core.settings import Settings

_SHOWN: Final = 5
_NEXT: Final = {
    Stage.SETTLED: "No rotation is under way. Next: weir keys rotate --add",
    Stage.ADDED: "The new key is known but not used. Next: restart weir serve and every other weir process, "
    "then weir keys rotate --reseal",
    Stage.PROMOTED: "The new key seals. Next: restart weir serve and every other weir process, then "
    "weir keys rotate --retire",
}

app = typer.Typer(no_args_is_help=True, help="The keys that seal stored secrets.")


@app.callback()
def _keys() -> None:
    """The keys that seal stored secrets."""


@app.command()
def rotate(
    add: Annotated[bool, typer.Option("--add", help="Make a new key known, without using it yet.")] = False,
    reseal: Annotated[
        bool, typer.Option("--reseal", help="Use it, and seal anew everything that is stored.")
    ] = False,
    retire: Annotated[
        bool, typer.Option("--retire", help="Remove the old keys, once nothing uses them.")
    ] = False,
    restarted: Annotated[
        bool,
        typer.Option(
            "--restarted", help="All weir processes were restarted since the last step, on whatever machine."
        ),
    ] = False,
    data_dir: DataDirFlag = None,
    config: Config = None,
) -> None:
    """Replace the encryption key in three steps with a restart between them; without a step, say the next.

    The gateway may run all the time. A step that was interrupted is begun again. Where the keys come from
    WEIR_ENCRYPTION_KEYS, this says what to set it to.
    """
    if add + reseal + retire > 1:
        raise typer.BadParameter("give one step at a time")
    settings = load_settings(config, {"data_dir": data_dir})
    if settings.encryption_keys is not None:
        given = split_keys(settings.encryption_keys.get_secret_value())
        _rotate_given(settings, given, add=add, reseal=reseal, retire=retire)
        return
    place = DataDir(settings.data_dir.absolute())
    file = KeyFile(place.encryption_keys)
    if not (add or reseal or retire):
        _show(file)
        return
    if not file.path.exists():
        raise KeyRotationError(f"there is no {file.path}; start weir serve first")
    with file.locked():
        if add:
            typer.echo(f"Added key {file.add()}.")
        elif reseal:
            _reseal(settings, place, file, restarted=restarted)
        else:
            _retire(settings, place, file, restarted=restarted)
        _show(file)


def _show(file: KeyFile) -> None:
    typer.echo(f"Keys, the one that seals first: {', '.join(map(fingerprint, file.keys))}.")
    typer.echo(_NEXT[file.stage])


def _reseal(settings: Settings, place: DataDir, file: KeyFile, *, restarted: bool) -> None:
    stage = file.stage
    if stage is Stage.SETTLED:
        raise KeyRotationError("there is no new key yet; begin with weir keys rotate --add")
    if stage is Stage.ADDED:
        # A process that does not know the key could not open what is sealed with it.
        _see_that_all_know(place, file.path, restarted=restarted)
        file.promote()
    _reseal_stored(settings)


def _retire(settings: Settings, place: DataDir, file: KeyFile, *, restarted: bool) -> None:
    if file.stage is Stage.ADDED:
        raise KeyRotationError("the new key is not used yet; weir keys rotate --reseal comes first")
    if len(file.keys) > 1:
        # A process from before would go on sealing with the key that is to go.
        _see_that_all_know(place, file.path, restarted=restarted)
        _reseal_stored(settings)
        _see_that_nothing_uses(settings, file.keys[1:])
    file.retire()


def _rotate_given(settings: Settings, keys: list[str], *, add: bool, reseal: bool, retire: bool) -> None:
    """The same where an environment or a settings file holds the keys, which only its owner can change."""
    if add:
        new = KeyRing.generate_key()
        typer.echo("1. Set this for every weir process, and restart them all:")
        typer.echo(f"WEIR_ENCRYPTION_KEYS={','.join([*keys, new])}")
        typer.echo("2. Then set this, and restart them all again:")
        typer.echo(f"WEIR_ENCRYPTION_KEYS={','.join([new, *keys])}")
        typer.echo("3. With it, run weir keys rotate --reseal, then weir keys rotate --retire.")
    elif reseal:
        _reseal_stored(settings)
    elif retire:
        _reseal_stored(settings)
        _see_that_nothing_uses(settings, keys[1:])
        typer.echo("Nothing uses the old keys. Set this for every weir process, and restart them:")
        typer.echo(f"WEIR_ENCRYPTION_KEYS={keys[0]}")
    else:
        typer.echo(
            f"Keys of WEIR_ENCRYPTION_KEYS, the one that seals first: {', '.join(map(fingerprint, keys))}."
        )
        typer.echo("weir keys rotate --add says how to bring a new one in.")


def _reseal_stored(settings: Settings) -> None:
    result = asyncio.run(_reseal_store(settings))
    typer.echo(f"Sealed {result[0]} stored secrets anew.")
    if result[1]:
        raise KeyRotationError(
            f"{_named(result[1])} could not be sealed anew; run this again, and if that does not help write "
            "them anew over the management API (weir doctor says which cannot be opened)"
        )


async def _reseal_store(settings: Settings) -> tuple[int, list[str]]:
    async with existing_store(settings) as store:
        resealed = await reseal_all(store, DataDir(settings.data_dir.absolute()))
    return resealed.done, resealed.left


def _see_that_nothing_uses(settings: Settings, old: Sequence[str]) -> None:
    used = asyncio.run(_uses(settings, [bytes.fromhex(fingerprint(key)) for key in old]))
    if used:
        raise KeyRotationError(
            f"{_named(used)} still needs an old key; a running control publishes anew within seconds, so run "
            "this again then"
        )


async def _uses(settings: Settings, old: Sequence[bytes]) -> list[str]:
    async with existing_store(settings) as store:
        return await uses_of(store, DataDir(settings.data_dir.absolute()), old)


def _see_that_all_know(place: DataDir, keys: Path, *, restarted: bool) -> None:
    """Refuse while a process runs that read the key file before it was last changed."""
    if restarted:
        return
    if not Path("/proc").exists():
        raise KeyRotationError("restart every weir process, then run this again with --restarted")
    changed_s = keys.stat().st_mtime
    old = [one for one in holders(place.root) if started_at_s(one.pid) <= changed_s]
    if old:
        raise KeyRotationError(
            f"{_named([f'{one.command} ({one.pid})' for one in old])} started before the keys were changed; "
            "restart weir serve and every other weir process, then run this again"
        )


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
