"""A restore that is killed or meets a full disk at every durable step, and targets that are not what they should be."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from cronos_git.disk import files, stage
from cronos_git.disk.walk import STAGING_PREFIX
from cronos_git.engine import Cronos
from cronos_git.errors import BackupNotFoundError, DamageError, DiskFullError, RefusedError
from cronos_git.events import Advanced, Event, Noticed, Run
from cronos_git.model import RestoreRequest, SnapshotRequest
from tests.support.engine import make_engine
from tests.support.faults import run_and_fail, run_and_kill
from tests.support.trees import assert_same_tree, make_tree

TREE = {"a": b"1", "d/b": b"2" * 3000, "d/e": {}, "z": b"9", "sealed/in": b"x"}


def prepared(room: Path, *, target_exists: bool) -> Cronos:
    engine = make_engine(room)
    make_tree(engine.project, TREE)
    (engine.project / "sealed").chmod(0o555)
    engine.snapshot(SnapshotRequest())
    if target_exists:
        (room / "out").mkdir()
    return engine


def restore(engine: Cronos, target: Path) -> Any:
    return engine.apply_restore(engine.plan_restore(RestoreRequest(backup="latest", target=str(target))))


def staging_left(room: Path) -> list[str]:
    return [str(path) for path in room.rglob(f"{STAGING_PREFIX}*")]


@pytest.mark.parametrize("target_exists", [False, True])
def test_kill_at_every_step_leaves_old_or_new_after_the_next_command(tmp_path: Path, target_exists: bool) -> None:
    for at in itertools.count(1):
        room = tmp_path / str(at)
        room.mkdir()
        engine = prepared(room, target_exists=target_exists)
        ended = run_and_kill(lambda engine=engine, room=room: restore(engine, room / "out"), at)  # type: ignore[misc]
        make_engine(room).snapshot(SnapshotRequest())  # any command that writes recovers first
        assert staging_left(room) == []
        assert list((engine.store_path / "cronos/journal").glob("*.json")) == []
        if (room / "out").exists() and any((room / "out").iterdir()):
            assert_same_tree(engine.project, room / "out")
        else:
            assert (room / "out").exists() is target_exists
            assert not ended
        if ended:
            break
    assert at > 25


@pytest.mark.parametrize("target_exists", [False, True])
def test_disk_full_at_every_step_leaves_the_target_alone(tmp_path: Path, target_exists: bool) -> None:
    for at in itertools.count(1):
        room = tmp_path / str(at)
        room.mkdir()
        engine = prepared(room, target_exists=target_exists)
        ended = run_and_fail(
            lambda engine=engine, room=room: restore(engine, room / "out"),  # type: ignore[misc]
            at,
            spare="/journal/",
        )
        make_engine(room).snapshot(SnapshotRequest())
        assert staging_left(room) == []
        if (room / "out").exists() and any((room / "out").iterdir()):
            assert_same_tree(engine.project, room / "out")
        else:
            assert not ended
        if ended:
            break
    assert at > 20


def test_disk_full_while_writing_files_rolls_back_with_the_right_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = prepared(tmp_path, target_exists=False)
    real = stage.write_file

    def full(dir_fd: int, attributes: Any, *rest: Any) -> Any:
        if attributes.name == "z":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(dir_fd, attributes, *rest)

    monkeypatch.setattr(stage, "write_file", full)
    with pytest.raises(DiskFullError):
        restore(engine, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert staging_left(tmp_path) == []


def test_too_little_space_is_seen_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = prepared(tmp_path, target_exists=False)
    monkeypatch.setattr(stage, "free_bytes", lambda _path: 10)
    with pytest.raises(DiskFullError, match="only 10 are free"):
        restore(engine, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_interrupt_rolls_back(tmp_path: Path) -> None:
    engine = prepared(tmp_path, target_exists=False)
    run = Run()

    def stop(event: Event) -> None:
        if isinstance(event, Advanced):
            raise KeyboardInterrupt

    run.emit = stop
    with pytest.raises(KeyboardInterrupt):
        engine.apply_restore(engine.plan_restore(RestoreRequest(backup="latest", target=str(tmp_path / "out"))), run)
    assert not (tmp_path / "out").exists()
    assert staging_left(tmp_path) == []
    assert list((engine.store_path / "cronos/journal").glob("*.json")) == []


@pytest.mark.parametrize("kind", ["filled", "file", "dangling link", "link to a filled directory"])
def test_target_that_is_not_absent_or_empty_is_refused(tmp_path: Path, kind: str) -> None:
    engine = prepared(tmp_path, target_exists=False)
    target = tmp_path / "out"
    make_tree(tmp_path, {"elsewhere/precious": b"x"})
    if kind == "filled":
        make_tree(target, {"mine": b"x"})
    elif kind == "file":
        target.write_bytes(b"x")
    else:
        target.symlink_to(tmp_path / ("nowhere" if kind == "dangling link" else "elsewhere"))
    with pytest.raises(RefusedError, match="must not exist or be empty"):
        restore(engine, target)
    assert (tmp_path / "elsewhere/precious").read_bytes() == b"x"


def test_target_filled_between_plan_and_apply_is_refused(tmp_path: Path) -> None:
    engine = prepared(tmp_path, target_exists=False)
    plan = engine.plan_restore(RestoreRequest(backup="latest", target=str(tmp_path / "out")))
    make_tree(tmp_path / "out", {"mine": b"x"})
    with pytest.raises(RefusedError):
        engine.apply_restore(plan)
    assert sorted(os.listdir(tmp_path / "out")) == ["mine"]


def test_target_inside_the_store_is_refused(tmp_path: Path) -> None:
    engine = prepared(tmp_path, target_exists=False)
    with pytest.raises(RefusedError, match="lies in the store"):
        restore(engine, engine.store_path / "out")


def test_path_that_the_backup_lacks_is_told_and_writes_nothing(tmp_path: Path) -> None:
    engine = prepared(tmp_path, target_exists=False)
    with pytest.raises(BackupNotFoundError):
        engine.plan_restore(RestoreRequest(backup="latest", paths=("nope",), target=str(tmp_path / "out")))


def test_damaged_object_stops_the_restore_and_leaves_nothing(tmp_path: Path) -> None:
    engine = prepared(tmp_path, target_exists=False)
    (pack,) = (engine.store_path / "objects/pack").glob("*.pack")
    body = bytearray(pack.read_bytes())
    body[40] ^= 0x10
    pack.chmod(0o600)
    pack.write_bytes(body)
    with pytest.raises(DamageError):
        restore(make_engine(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert staging_left(tmp_path) == []


def test_living_restores_staging_directory_is_left_alone(tmp_path: Path) -> None:
    engine = prepared(tmp_path, target_exists=False)
    seen: list[list[str]] = []

    def meanwhile(event: Event) -> None:
        if isinstance(event, Advanced) and not seen:
            # another process' recovery, as far as it may go while this restore holds its journal
            from cronos_git.ops import recovery as verb

            verb.recover(engine.store, insist=True)
            seen.append(staging_left(tmp_path))

    plan = engine.plan_restore(RestoreRequest(backup="latest", target=str(tmp_path / "out")))
    engine.apply_restore(plan, Run(emit=meanwhile))
    assert len(seen[0]) == 1
    assert_same_tree(engine.project, tmp_path / "out")


def test_verify_compares_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = prepared(tmp_path, target_exists=False)
    plan = engine.plan_restore(RestoreRequest(backup="latest", target=str(tmp_path / "out")))
    assert engine.apply_restore(plan, verify=True).verified == 4
    real = stage.write_file

    def bad_disk(dir_fd: int, attributes: Any, pieces: Any) -> Any:
        return real(dir_fd, attributes, [b"rot"] if attributes.name == "z" else pieces)

    monkeypatch.setattr(stage, "write_file", bad_disk)
    plan = engine.plan_restore(RestoreRequest(backup="latest", target=str(tmp_path / "out2")))
    with pytest.raises(DamageError, match="z reads back"):
        engine.apply_restore(plan, verify=True)
    assert not (tmp_path / "out2").exists()


@pytest.mark.parametrize("target_exists", [False, True])
def test_restore_works_when_nothing_can_be_written_to_the_store(tmp_path: Path, target_exists: bool) -> None:
    """A full or dying disk under the store is just when a backup must come back."""
    engine = prepared(tmp_path, target_exists=target_exists)
    inside = str(engine.store_path)

    def full(name: str, path: str) -> None:
        if path.startswith(inside) and name != "unlink":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    files.step = full
    events: list[Event] = []
    plan = engine.plan_restore(RestoreRequest(backup="latest", target=str(tmp_path / "out")))
    engine.apply_restore(plan, Run(emit=events.append))
    files.step = files._no_step
    assert_same_tree(engine.project, tmp_path / "out")
    assert staging_left(tmp_path) == []
    assert {event.code for event in events if isinstance(event, Noticed)} == {"restore.unjournalled", "oplog.unwritten"}


@pytest.mark.parametrize("at", [10, 25], ids=["while staging", "before moving"])
def test_restore_after_a_killed_one_into_the_same_directory_just_works(tmp_path: Path, at: int) -> None:
    engine = prepared(tmp_path, target_exists=True)
    assert not run_and_kill(lambda: restore(engine, tmp_path / "out"), at)
    restore(make_engine(tmp_path), tmp_path / "out")
    assert_same_tree(engine.project, tmp_path / "out")


def test_project_that_is_gone_is_restored_to_its_place(tmp_path: Path) -> None:
    engine = prepared(tmp_path, target_exists=False)
    engine.project.rename(tmp_path / "kept")
    plan = engine.plan_restore(RestoreRequest(backup="latest", target=str(engine.project)))
    engine.apply_restore(plan)
    assert_same_tree(tmp_path / "kept", engine.project)


def test_target_below_a_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    engine = prepared(tmp_path, target_exists=False)
    with pytest.raises(RefusedError, match="a part of the path before it is a file"):
        restore(engine, engine.project / "a" / "x")


def test_counts_of_backup_and_restore_agree(tmp_path: Path) -> None:
    engine = prepared(tmp_path, target_exists=False)
    backup = engine.backups()[0]
    report = restore(engine, tmp_path / "out")
    assert (report.files, report.size_bytes) == (backup.files, backup.size_bytes) == (4, 3003)
