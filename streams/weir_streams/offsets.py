"""How far each consumer group has come, one durable file per group."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from weir_streams.durable import replace_file
from weir_streams.log import Partition

_FILE_NAME: Final = "offsets.json"


class _Document(msgspec.Struct):
    """``offsets`` is topic, then spool id, then the next offset to read."""

    topics: tuple[str, ...]
    offsets: dict[str, dict[str, int]]
    version: int = 1


_DECODER = msgspec.json.Decoder(_Document)
_ENCODER = msgspec.json.Encoder()


def offsets_root(root: Path) -> Path:
    """Where the groups' directories are, below the data directory."""
    return root / "offsets"


def group_directory(root: Path, group: str) -> Path:
    """A group's own directory; any text is a valid group name."""
    return offsets_root(root) / quote(group, safe=" ")


def known_groups(root: Path) -> list[str]:
    """Every group that has ever joined on this machine."""
    try:
        return sorted(unquote(entry.name) for entry in offsets_root(root).iterdir() if entry.is_dir())
    except FileNotFoundError:
        return []


class GroupOffsets:
    """A group's committed offsets and the topics it reads."""

    def __init__(self, path: Path, document: _Document, *, damaged: bool = False) -> None:
        self.damaged = damaged
        self._path = path
        self._document = document
        self._storing = threading.Lock()

    @classmethod
    def load(cls, root: Path, group: str) -> GroupOffsets:
        """Read the group's file; without one the group is new. Blocks.

        A damaged file counts as none, since reading again is harmless and skipping is not; ``damaged`` says
        so, and the next ``store`` replaces it.

        Raises:
            OSError: The disk refused.
        """
        path = group_directory(root, group) / _FILE_NAME
        try:
            return cls(path, _DECODER.decode(path.read_bytes()))
        except FileNotFoundError:
            return cls(path, _Document((), {}))
        except msgspec.DecodeError:
            return cls(path, _Document((), {}), damaged=True)

    @property
    def topics(self) -> tuple[str, ...]:
        """What the group subscribed to when it last joined."""
        return self._document.topics

    def committed(self, partition: Partition) -> int:
        """The next offset to read, 0 when nothing was committed."""
        return self._document.offsets.get(partition.topic, {}).get(partition.name, 0)

    def passed(self, spool_id: str) -> int:
        """The lowest number that the group may still want from a spool."""
        return min((self.committed(Partition(topic, spool_id)) for topic in self.topics), default=0)

    def store(self, offsets: Mapping[Partition, int], topics: Iterable[str], spools: Iterable[str]) -> None:
        """Write the offsets over the known ones; forget topics and spools that are no longer there.

        Offsets only grow. Blocks; any thread.

        Raises:
            OSError: The disk refused; the old offsets stand.
        """
        with self._storing:
            self._store(offsets, topics, set(spools))

    def _store(self, offsets: Mapping[Partition, int], topics: Iterable[str], kept: set[str]) -> None:
        merged = {topic: dict(self._document.offsets.get(topic, {})) for topic in topics}
        for partition, offset in offsets.items():
            if partition.topic in merged:
                by_spool = merged[partition.topic]
                by_spool[partition.name] = max(offset, by_spool.get(partition.name, 0))
        document = _Document(
            tuple(merged),
            {
                topic: {spool: offset for spool, offset in by_spool.items() if spool in kept}
                for topic, by_spool in merged.items()
            },
        )
        replace_file(self._path, _ENCODER.encode(document))
        self._document = document
