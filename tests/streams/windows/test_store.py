"""The windows on disk."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.streams.windows.bench import LENGTH_S, NOON_S, PARTITION, add, new_store, record

from weir_streams.errors import StoreBrokenError
from weir_streams.windows.store import WindowStore, open_store

ALL = 10_000


def total(store: WindowStore) -> tuple[int, int]:
    """Requests and nano-units of all windows that are to be published."""
    windows = store.unpublished(ALL)
    return sum(one.sums.requests for one in windows), sum(one.sums.cost_nano for one in windows)


def test_an_event_that_comes_again_is_added_once(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    assert add(store, record(0), record(1)).added == 2
    again = add(store, record(0), record(1), record(2, spool_seq=2), record(3))
    assert (again.added, again.repeated) == (1, 3)
    assert total(store) == (3, 3_000_000)


def test_an_event_of_no_spool_is_known_by_its_id(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    foreign = {"spool_id": "", "spool_seq": 0}
    found = add(store, record(0, event_id="a", **foreign), record(1, event_id="a", **foreign))
    assert (found.added, found.repeated) == (1, 1)
    later = add(store, record(2, event_id="a", **foreign), record(3, event_id="b", **foreign))
    assert (later.added, later.repeated) == (1, 1)
    assert total(store) == (2, 2_000_000)


def test_a_late_event_is_added_to_the_window_of_its_time(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    add(store, record(0, NOON_S + 5 * LENGTH_S))
    add(store, record(1, NOON_S))
    assert [window.key.start_s for window in store.unpublished(ALL)] == [NOON_S, NOON_S + 5 * LENGTH_S]


def test_an_event_of_a_window_that_is_not_kept_any_more_is_counted_as_late(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    found = add(store, record(0, NOON_S - 1), record(1, NOON_S), horizon_s=NOON_S)
    assert (found.added, found.late) == (1, 1)
    assert total(store) == (1, 1_000_000)


def test_the_place_to_read_on_moves_with_the_sums_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = new_store(tmp_path)
    add(store, record(0))
    with monkeypatch.context() as patch:
        patch.setattr("weir_streams.windows.store.add_up", _fails)
        with pytest.raises(ZeroDivisionError):
            add(store, record(1), record(2))
    assert store.place().offsets == {PARTITION: 1}
    assert total(store) == (1, 1_000_000)
    add(store, record(1), record(2))
    assert (store.place().offsets, total(store)) == ({PARTITION: 3}, (3, 3_000_000))


def _fails(*_: object) -> None:
    raise ZeroDivisionError


def test_a_window_is_published_again_only_when_it_has_changed(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    add(store, record(0))
    first = store.unpublished(ALL)
    add(store, record(1))
    store.published(first)
    assert [window.sums.requests for window in store.unpublished(ALL)] == [2]
    store.published(store.unpublished(ALL))
    assert store.unpublished(ALL) == []


def test_what_was_there_is_there_again_after_an_unclean_end(tmp_path: Path) -> None:
    killed = new_store(tmp_path)
    assert not killed.began()
    add(killed, record(0))
    store, broken = open_store(tmp_path / "windows.db", LENGTH_S)
    assert broken is None
    assert store.began()
    assert (store.store_id, total(store)) == (killed.store_id, (1, 1_000_000))
    store.ended()
    assert not new_store(tmp_path).began()


def test_a_damaged_file_is_made_anew_under_another_name(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.began()
    before = store.store_id
    add(store, *(record(offset, model_name=f"model-{offset}") for offset in range(2000)))
    path = tmp_path / "windows.db"
    sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    again, broken = open_store(path, LENGTH_S)
    assert broken is not None
    assert again.store_id != before
    assert again.place().offsets == {}


def test_windows_of_another_length_are_made_anew(tmp_path: Path) -> None:
    new_store(tmp_path).ended()
    store, broken = open_store(tmp_path / "windows.db", 2 * LENGTH_S)
    assert broken is not None
    assert "60 s, not 120" in broken
    assert store.length_s == 120


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "windows.db").write_text("no database " * 100)
    with pytest.raises(StoreBrokenError, match=r"windows\.db"):
        new_store(tmp_path)


def test_windows_that_may_lack_events_are_not_published(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    add(store, record(0, NOON_S), record(1, NOON_S + LENGTH_S), complete_from_s=NOON_S + 1)
    assert [window.key.start_s for window in store.unpublished(ALL)] == [NOON_S + LENGTH_S]


def test_old_windows_are_forgotten_with_what_was_kept_for_them(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    add(store, record(0, spool_id="", event_id="old"), record(1, NOON_S + LENGTH_S))
    fallen = store.fallen(NOON_S + LENGTH_S, ALL)
    assert [key.start_s for key in fallen] == [NOON_S]
    store.forget(fallen, NOON_S + LENGTH_S)
    assert store.fallen(NOON_S + LENGTH_S, ALL) == []
    assert total(store) == (1, 1_000_000)
