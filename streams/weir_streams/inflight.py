"""The in-flight table: who is being served right now, kept where a killed process cannot take it along.

A memory-mapped, preallocated file of fixed slots. A store into the mapping belongs to the kernel at once,
so it survives SIGKILL; a section's bytes and checksum are written first and the state byte that makes them
count last, so a kill between two stores never shows half a section. docs/spool.md holds the layout.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import Final, Self, TypeVar
from zlib import crc32

import msgspec

from weir_streams.admission import (
    ADMISSION_ROOM,
    IDENTITY_ROOM,
    SENDING_ROOM,
    Admission,
    AdmittedSection,
    EventIds,
    IdentitySection,
    Orphan,
    SendingSection,
    encode_admission,
    encode_identity,
    encode_sending,
)
from weir_streams.durable import sync_data
from weir_streams.errors import SlotError, TooManyInFlightError
from weir_streams.inflight_file import SLOT_BYTES, TABLE_HEADER_BYTES, create_table, slots_of

FILE_NAME: Final = "inflight"

_ADMITTED: Final = 0x01
_IDENTIFIED: Final = 0x02
_SENDING: Final = (0x04, 0x08)
_SENDING_MASK: Final = 0x0C

_SECTION: Final = struct.Struct("<HxxI")
_ADMISSION_AT: Final = 8
_IDENTITY_AT: Final = 656
_SENDING_AT: Final = (816, 920)

_Section = TypeVar("_Section", AdmittedSection, IdentitySection, SendingSection)


class InflightTable:
    """The mapped file and its free list. One thread owns it; ``free`` and ``sync`` may come from another.

    ``dirty`` says whether something was noted since the last ``sync``.
    """

    def __init__(self, path: Path) -> None:
        self.dirty = False
        self._path = path
        self._attach()

    @classmethod
    def open(cls, directory: Path, slots: int) -> Self:
        """Map the directory's table, or make one with ``slots`` slots when there is none. Blocks on the disk.

        An existing table keeps its own number of slots until ``resize``.

        Raises:
            SpoolFormatError: The file is not a table of this version.
            OSError: The disk refused.
        """
        path = directory / FILE_NAME
        if not path.exists():
            create_table(path, slots)
        return cls(path)

    def resize(self, slots: int) -> None:
        """Give an empty table another number of slots. Blocks on the disk.

        Raises:
            OSError: The disk refused.
        """
        if slots != self.slots:
            create_table(self._path, slots)
            self.close()
            self._attach()

    @property
    def taken(self) -> int:
        """How many slots are in use."""
        return self.slots - len(self._free)

    def admit(self, admission: Admission, event_ids: EventIds, first_seq: int) -> Slot:
        """Take a slot; ``first_seq`` is the lowest sequence number that its family can get.

        Raises:
            TooManyInFlightError: All are taken.
            InvalidInputError: The request id is too long for a slot.
        """
        if not self._free:
            raise TooManyInFlightError(
                f"all {self.slots} in-flight slots are taken; try again shortly, or raise max_in_flight"
            )
        section = encode_admission(admission, event_ids, first_seq)
        index = self._free.pop()
        base = _base(index)
        self._write(base + _ADMISSION_AT, section)
        self._map[base] = _ADMITTED
        return Slot(self, index, event_ids, admission)

    def write_identity(self, index: int, section: bytes) -> None:
        """Note who calls. A second call replaces the first."""
        base = _base(index)
        state = self._map[base]
        self._map[base] = state & ~_IDENTIFIED
        self._write(base + _IDENTITY_AT, section)
        self._map[base] = state | _IDENTIFIED

    def write_sending(self, index: int, section: bytes) -> None:
        """Note what goes upstream. A second call goes to the other copy, so the fact is never in doubt."""
        base = _base(index)
        state = self._map[base]
        copy = 1 if state & _SENDING[0] else 0
        self._write(base + _SENDING_AT[copy], section)
        self._map[base] = state & ~_SENDING_MASK | _SENDING[copy]

    def free(self, index: int) -> None:
        """Give a slot back."""
        self._map[_base(index)] = 0
        self._free.append(index)

    def orphans(self) -> tuple[list[Orphan], list[int]]:
        """Every taken slot, oldest admission first, and the numbers of those that cannot be read.

        Call it before the first ``admit``.
        """
        found: list[Orphan] = []
        unreadable: list[int] = []
        for index in range(self.slots):
            base = _base(index)
            state = self._map[base]
            if not state:
                continue
            admitted = self._read(base + _ADMISSION_AT, ADMISSION_ROOM, AdmittedSection)
            if admitted is None:
                unreadable.append(index)
                continue
            found.append(
                Orphan(index, admitted, self._identity_of(base, state), self._sending_of(base, state))
            )
        return sorted(found, key=lambda orphan: orphan.admitted.first_seq), unreadable

    def clear(self) -> None:
        """Free every slot."""
        for index in range(self.slots):
            self._map[_base(index)] = 0
        self._free = list(range(self.slots - 1, -1, -1))

    def sync(self) -> None:
        """Write the table to the platter. Blocks; any thread."""
        self.dirty = False
        # Not mmap.flush: it holds the interpreter's lock while the disk works.
        sync_data(self._fd)

    def close(self) -> None:
        """Unmap. The slots stay as they are in the file."""
        self._map.close()
        os.close(self._fd)

    def _attach(self) -> None:
        fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self.slots = slots_of(fd, self._path)
            self._map = mmap.mmap(fd, TABLE_HEADER_BYTES + self.slots * SLOT_BYTES)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self._free = [index for index in range(self.slots - 1, -1, -1) if not self._map[_base(index)]]

    def _write(self, at: int, payload: bytes) -> None:
        section = _SECTION.pack(len(payload), crc32(payload)) + payload
        self._map[at : at + len(section)] = section
        self.dirty = True

    def _read(self, at: int, room: int, kind: type[_Section]) -> _Section | None:
        length, checksum = _SECTION.unpack_from(self._map, at)
        payload = self._map[at + _SECTION.size : at + _SECTION.size + length]
        if length > room or crc32(payload) != checksum:
            return None
        try:
            return msgspec.msgpack.decode(payload, type=kind)
        except msgspec.DecodeError:
            return None

    def _identity_of(self, base: int, state: int) -> IdentitySection | None:
        if not state & _IDENTIFIED:
            return None
        return self._read(base + _IDENTITY_AT, IDENTITY_ROOM, IdentitySection)

    def _sending_of(self, base: int, state: int) -> SendingSection | None:
        if not state & _SENDING_MASK:
            return None
        copy = 0 if state & _SENDING[0] else 1
        section = self._read(base + _SENDING_AT[copy], SENDING_ROOM, SendingSection)
        # It was sent, whatever became of the estimate: an event with zeros is better than no event.
        return section or SendingSection(None, 0, 0, None, True, None)


class Slot:
    """One admitted request's place in the table. It ends with ``Spool.append`` or ``release``."""

    __slots__ = ("_table", "admission", "event_ids", "number")

    def __init__(self, table: InflightTable, number: int, event_ids: EventIds, admission: Admission) -> None:
        self._table: InflightTable | None = table
        self.number = number
        self.event_ids = event_ids
        self.admission = admission

    @property
    def open(self) -> bool:
        """Whether the slot is still this request's."""
        return self._table is not None

    def identify(self, app_id: int | None, user_id: str | None, credential_id: int | None) -> None:
        """Note who calls, as soon as it is known."""
        self._live().write_identity(self.number, encode_identity(app_id, user_id, credential_id))

    def mark_sending(
        self,
        *,
        model: str | None,
        prompt_tokens: int,
        response_tokens: int,
        cost_nano: int | None,
        metered: bool,
        stream: bool | None = None,
    ) -> None:
        """Note the worst case of an upstream call; call it before the call's first byte leaves.

        Args:
            model: The model asked for.
            prompt_tokens: Upper bound of the input.
            response_tokens: Upper bound of the output.
            cost_nano: Upper bound in nano-units of the ledger's currency, None when the price is unknown.
            metered: Whether the operation counts against a budget.
            stream: Replaces what admission said when the body decided it.
        """
        section = encode_sending(model, prompt_tokens, response_tokens, cost_nano, metered, stream)
        self._live().write_sending(self.number, section)

    def release(self) -> None:
        """Give the slot back without a family: only for what the contract lets leave no event."""
        self._live().free(self.end())

    def end(self) -> int:
        """End this handle and return its number; the slot itself stays taken until ``InflightTable.free``.

        Raises:
            SlotError: It was ended before.
        """
        self._live()
        self._table = None
        return self.number

    def _live(self) -> InflightTable:
        if self._table is None:
            raise SlotError(f"slot {self.number} of request {self.admission.request_id} was already ended")
        return self._table


def _base(index: int) -> int:
    return TABLE_HEADER_BYTES + index * SLOT_BYTES
