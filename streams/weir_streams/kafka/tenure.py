"""What one member of a group holds: per partition, what was handed out and what is committed. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from weir_streams.log import Partition


class Gap(NamedTuple):
    """Records that Kafka no longer had when they were to be read."""

    partition: Partition
    expected: int
    found: int


@dataclass(slots=True)
class _Tenure:
    """``next`` is to be handed out next, ``wanted`` to be committed, ``committed`` is."""

    next: int
    wanted: int
    committed: int


class Tenures:
    """The partitions that are held, from their assignment until they are lost."""

    def __init__(self) -> None:
        self._held: dict[Partition, _Tenure] = {}
        self._lost: set[Partition] = set()

    def __iter__(self) -> Iterator[Partition]:
        return iter(tuple(self._held))

    def next_of(self, partition: Partition) -> int | None:
        """The offset to hand out next; None when the partition is not held."""
        tenure = self._held.get(partition)
        return None if tenure is None else tenure.next

    def held_of(self, partitions: Iterable[Partition]) -> Collection[Partition]:
        """Those of the partitions that are held."""
        return [partition for partition in partitions if partition in self._held]

    def keep_only(self, assigned: Collection[Partition]) -> None:
        """Lose what is not assigned any more."""
        for partition in self._held.keys() - set(assigned):
            self._lose(partition)

    def take(self, partition: Partition, stored: int | None, first: int) -> int:
        """Hold a partition, from its last tenure on or anew; return the offset to read on at.

        Args:
            partition: It is assigned to this member.
            stored: The group's committed offset for it, None when there is none.
            first: Where to start when this is no continuation.
        """
        tenure = self._held.get(partition)
        if tenure is not None and (stored is None or stored <= tenure.next):
            # Nobody has got farther meanwhile, so what is in hand is still ours to finish.
            return tenure.next
        if tenure is not None:
            self._lose(partition)
        self._held[partition] = _Tenure(first, first, first)
        return first

    def hand_out(self, partition: Partition, first: int, last: int) -> Gap | None:
        """Take note of records ``first`` to ``last``; return what was missing before them."""
        tenure = self._held[partition]
        expected, tenure.next = tenure.next, last + 1
        return Gap(partition, expected, first) if first > expected else None

    def want(self, offsets: Mapping[Partition, int]) -> None:
        """Take note of what is finished; partitions that are not held are passed over."""
        for partition, offset in offsets.items():
            tenure = self._held.get(partition)
            if tenure is not None:
                tenure.wanted = max(tenure.wanted, offset)

    def due(self) -> dict[Partition, int]:
        """What is finished and not committed."""
        return {
            partition: tenure.wanted
            for partition, tenure in self._held.items()
            if tenure.wanted > tenure.committed
        }

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """Take note of what the group has stored."""
        for partition, offset in offsets.items():
            tenure = self._held.get(partition)
            if tenure is not None:
                tenure.committed = max(tenure.committed, offset)

    def is_clear(self) -> bool:
        """Whether everything that was handed out is committed."""
        return all(tenure.committed >= tenure.next for tenure in self._held.values())

    def lag(self, ends: Mapping[Partition, int]) -> dict[Partition, int]:
        """Records between the committed offsets and these ends."""
        return {
            partition: max(0, end - tenure.committed)
            for partition, end in ends.items()
            if (tenure := self._held.get(partition)) is not None
        }

    def take_lost(self) -> Collection[Partition]:
        """What was lost since the last call."""
        lost, self._lost = self._lost, set()
        return lost

    def _lose(self, partition: Partition) -> None:
        del self._held[partition]
        self._lost.add(partition)
