"""Class paths from Maven coordinates without Maven, resolved once and kept outside the repository."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers.errors import ServerUnavailableError


def cache_directory() -> Path:
    """Where downloaded and compiled files are kept between runs."""
    given = os.environ.get("WEIR_TEST_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "weir-tests"


def class_path(*coordinates: str) -> list[Path]:
    """The jars of these ``group:artifact:version`` and of everything they need at run time.

    The first call downloads from the Maven repositories that jgo is configured with; later ones work offline.

    Raises:
        ServerUnavailableError: They are not in the cache and cannot be downloaded.
    """
    cache = cache_directory()
    listing = cache / "class-paths" / hashlib.sha256("\n".join(coordinates).encode()).hexdigest()[:16]
    with alone(cache):
        jars = _read(listing)
        if jars is None:
            jars = _download(coordinates, cache / "maven")
            listing.parent.mkdir(parents=True, exist_ok=True)
            listing.write_text("\n".join(str(jar) for jar in jars))
    return jars


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep other test processes out of the cache meanwhile."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "LOCK").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(listing: Path) -> list[Path] | None:
    if not listing.exists():
        return None
    jars = [Path(line) for line in listing.read_text().splitlines()]
    return jars if all(jar.exists() for jar in jars) else None


def _download(coordinates: Sequence[str], repository: Path) -> list[Path]:
    try:
        import jgo  # noqa: PLC0415 - a machine without it skips these tests
        from jgo.config import GlobalSettings  # noqa: PLC0415
        from jgo.maven import MavenContext  # noqa: PLC0415
        from jgo.parse import Coordinate  # noqa: PLC0415
    except ImportError as error:
        raise ServerUnavailableError(f"jgo is not installed ({error}); run make install") from error
    del jgo
    configured = GlobalSettings.load().repositories
    context = MavenContext(repo_cache=repository, remote_repos=dict(configured) or None, timeout=60)
    try:
        wanted = [context.create_dependency(Coordinate.parse(text)) for text in coordinates]
        named, needed = context.resolver.resolve(wanted)
        needed = [one for one in needed if one.scope in ("compile", "runtime")]
        return [Path(one.artifact.resolve()) for one in (*named, *needed)]
    except (OSError, RuntimeError, ValueError) as error:
        raise ServerUnavailableError(
            f"{', '.join(coordinates)} cannot be downloaded: {error}; "
            "the first run needs a Maven repository, later ones do not"
        ) from error
