"""What an operator may choose about the spool."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from weir_core.errors import SettingsError

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

SyncMode = Literal["interval", "always"]

_SMALLEST_SEGMENT: Final = 128 * KIB


class SpoolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, times in seconds.

    Args:
        sync: ``interval`` writes to the platter every ``sync_interval_s`` on a thread; ``always`` lets the
            caller wait for it (``Spool.synced``). Either way a killed process loses nothing.
        segment_bytes: Size of one preallocated segment; smaller where the disk is small.
        slots: Most requests in flight at once in this process.
        slot_reserve_bytes: Room that an admitted request owns for its family, whatever the disk does.
        max_bytes: Cap of this worker's segments; half of the disk that is free at open is the other cap.
        retention_s: Age after which a consumed segment is deleted.
        retention_bytes: Consumed segments beyond this are deleted before that age.
        required_groups: Consumer groups that must have passed a segment before it may ever be deleted.
        currency: Of the costs that recovery writes.
    """

    sync: SyncMode = "interval"
    sync_interval_s: float = 0.1
    segment_bytes: int = 64 * MIB
    slots: int = 2048
    slot_reserve_bytes: int = 32 * KIB
    max_bytes: int = 10 * GIB
    retention_s: float = 24 * 3600.0
    retention_bytes: int = 1 * GIB
    required_groups: tuple[str, ...] = ()
    currency: str = "USD"

    def __post_init__(self) -> None:
        if self.segment_bytes < _SMALLEST_SEGMENT:
            raise SettingsError(
                f"spool.segment_bytes is {self.segment_bytes}; give at least {_SMALLEST_SEGMENT}"
            )
        if self.slots < 1:
            raise SettingsError(f"spool.slots is {self.slots}; give at least 1")
        if not 16 * KIB <= self.slot_reserve_bytes <= self.segment_bytes // 4:
            raise SettingsError(
                f"spool.slot_reserve_bytes is {self.slot_reserve_bytes}; "
                f"give between {16 * KIB} and a quarter of spool.segment_bytes"
            )
        if self.sync_interval_s <= 0:
            raise SettingsError(f"spool.sync_interval_s is {self.sync_interval_s}; give a positive number")
