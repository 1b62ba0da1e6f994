"""The count of what was read: its file, and whatever may have become of that."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cronos_git.disk import files
from cronos_git.events import Event, Noticed, Run
from cronos_git.git import packtable
from cronos_git.git.packtable import PackTable
from cronos_git.ops.rotation import NAME, Rotation, _digest
from tests.support.faults import steps_of
from tests.support.rotation import table_of

NOW = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packtable, "PART_BYTES", 50)


@pytest.fixture
def tables() -> list[PackTable]:
    return [table_of("a", [30] * 6), table_of("b", [10])]


def rotation(place: Path, tables: list[PackTable], now: datetime = NOW, run: Run | None = None) -> Rotation:
    return Rotation(place, tables, now, run or Run())


def read_first(place: Path, tables: list[PackTable], count: int = 2) -> Path:
    """Note that the first parts of the first pack were read; the file."""
    made = rotation(place, tables)
    for part in tables[0].parts[:count]:
        made.note(tables[0], part, is_sound=True)
    made.save()
    return place / NAME


def sound_bytes(place: Path, tables: list[PackTable]) -> int:
    return rotation(place, tables).progress().sound_bytes


def test_what_was_read_is_known_to_the_next_run_with_the_time_of_the_oldest(tmp_path: Path, tables: list[PackTable]) -> None:
    read_first(tmp_path, tables)
    later = rotation(tmp_path, tables, NOW + timedelta(days=3))
    later.note(tables[1], tables[1].parts[0], is_sound=True)
    progress = later.progress()
    assert (progress.total_bytes, progress.sound_bytes, progress.since) == (190, 130, NOW)
    assert not progress.is_complete
    later.note(tables[0], tables[0].parts[2], is_sound=True)
    assert later.progress().is_complete


def test_interrupted_full_check_is_resumed_where_it_was_and_a_finished_one_has_nothing_left(
    tmp_path: Path, tables: list[PackTable]
) -> None:
    first = rotation(tmp_path, tables)
    every = first.everything()
    first.note(*every[0], is_sound=True)
    first.save()
    second = rotation(tmp_path, tables)
    left = second.unfinished()
    assert [slice_.part for slice_ in left] == [slice_.part for slice_ in every[1:]]
    for slice_ in left:
        second.note(*slice_, is_sound=True)
    second.save()
    third = rotation(tmp_path, tables)
    assert third.unfinished() == []
    third.everything()
    assert len(third.unfinished()) == len(every)


def test_file_is_replaced_durably_and_leftovers_of_killed_writers_go(tmp_path: Path, tables: list[PackTable]) -> None:
    (tmp_path / f".{NAME}.{os.getpid()}.tmp").write_bytes(b"half")
    (tmp_path / f".{NAME}.77.tmp").write_bytes(b"half")
    steps = steps_of(lambda: read_first(tmp_path, tables))
    assert steps[-4:] == ["write", "fsync", "rename", "fsync_dir"]
    assert os.listdir(tmp_path) == [NAME]


def resealed(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """Somebody has changed the state and made the digest right again."""

    def attack(path: Path) -> None:
        record = json.loads(path.read_bytes())
        change(record["state"])
        path.write_text(json.dumps({**record, "digest": _digest(record["state"])}))

    return attack


def pack_of(state: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = state["packs"]["pack-a"]
    return found


def _replace_by(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def attack(path: Path) -> None:
        path.unlink()
        make(path)

    return attack


@pytest.mark.parametrize(
    "attack",
    [
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: path.write_bytes(b"\xff\xfe\x00"),
        lambda path: path.write_bytes(b"[" * 100_000),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text('{"format": 1}'),
        lambda path: path.write_text('{"format":1,"digest":"x","state":null}'),
        lambda path: path.write_text(path.read_text().replace('"format":1', '"format":2')),
        lambda path: path.write_text(path.read_text().replace("[2,1]", "[3,1]")),
        _replace_by(lambda path: path.symlink_to("/etc/passwd")),
        _replace_by(os.mkfifo),
        _replace_by(Path.mkdir),
        resealed(lambda state: state.update(part_bytes=51)),
        resealed(lambda state: state.update(runs={})),
        resealed(lambda state: state.update(runs=[1])),
        resealed(lambda state: state.update(runs={"1": "yesterday"})),
        resealed(lambda state: state.update(runs={"one": NOW.isoformat()})),
        resealed(lambda state: state.update(full=9)),
        resealed(lambda state: state.update(packs=7)),
        resealed(lambda state: state["packs"].update({"pack-a": None})),
        resealed(lambda state: pack_of(state).update(digest="00")),
        resealed(lambda state: pack_of(state).update(read=[[10**15, 1]])),
        resealed(lambda state: pack_of(state).update(read=[[4, 1], [-1, 1]])),
        resealed(lambda state: pack_of(state).update(read=[[3, 2]])),
        resealed(lambda state: pack_of(state).update(read=[[3, True]])),
        resealed(lambda state: pack_of(state).update(read=[[3, 1, 1]])),
        resealed(lambda state: pack_of(state).update(read="3")),
        resealed(lambda state: state["packs"].clear()),
    ],
)
def test_a_file_that_is_not_ours_counts_as_nothing_read(
    tmp_path: Path, tables: list[PackTable], attack: Callable[[Path], object]
) -> None:
    path = read_first(tmp_path, tables)
    assert sound_bytes(tmp_path, tables) == 120
    attack(path)
    assert sound_bytes(tmp_path, tables) == 0
    events: list[Event] = []
    again = rotation(tmp_path, tables, run=Run(events.append))
    again.save()
    assert again.progress().noted == (not path.is_dir())
    assert [event.code for event in events if isinstance(event, Noticed)] == ["verify.unnoted"] * path.is_dir()


def test_each_flipped_bit_of_the_file_counts_as_nothing_read(tmp_path: Path, tables: list[PackTable]) -> None:
    path = read_first(tmp_path, tables)
    whole = path.read_bytes()
    for position in range(0, len(whole) - 1, 3):
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 7
        path.write_bytes(changed)
        assert sound_bytes(tmp_path, tables) == 0, position


def test_file_that_cannot_be_written_is_told_once(
    tmp_path: Path, tables: list[PackTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_name: str, _path: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "step", refuse)
    events: list[Event] = []
    made = rotation(tmp_path, tables, run=Run(events.append))
    made.save()
    made.save()
    assert [event.code for event in events if isinstance(event, Noticed)] == ["verify.unnoted"]
    assert not made.progress().noted
    assert os.listdir(tmp_path) == []
