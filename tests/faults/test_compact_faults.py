"""Compaction killed, or without space, at every durable step: what stays is whole, what expired is in the trash or gone."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.model import CompactRequest, RestoreRequest, SnapshotRequest
from tests.support.engine import make_engine
from tests.support.faults import fail_at, run_and_fail, run_and_kill, steps_of
from tests.support.git import assert_store_sound, git
from tests.support.trees import make_tree, read_tree

NAMES = "abcde"


def prepared(room: Path) -> Cronos:
    """Backups a to e in packs of their own, of which b and d are in the trash, folded refs and a loose object."""
    engine = make_engine(room)
    for name in NAMES:
        if name == "d":
            git("--git-dir", engine.store_path, "repack", "-d", "-q", "--geometric=2", "--write-midx")
        make_tree(engine.project, {"which": name, "docs/x": name * 300, "same": b"same"})
        engine.snapshot(SnapshotRequest(name=name))
    engine.delete(["b", "d"])
    (engine.project / "loose").write_bytes(b"loose")
    git("--git-dir", engine.store_path, "hash-object", "-w", engine.project / "loose")
    (engine.project / "loose").unlink()
    return engine


def compact(engine: Cronos) -> None:
    engine.compact(CompactRequest(trash_days=0))


def check(room: Path) -> None:
    """Whatever happened, all that stays comes back, the next one finishes, and stock git finds nothing wrong."""
    engine = make_engine(room)
    assert "".join(sorted(backup.name for backup in engine.backups())) == "ace"
    trash = "".join(sorted(backup.name for backup in engine.trash()))
    assert trash in ("bd", "")
    assert engine.verify().damage == ()
    for name in ("ace", trash):
        for one in name:
            if one in trash:
                engine.undelete([one])
            out = room / f"out-{one}"
            engine.restore(RestoreRequest(backup=one, target=str(out)))
            assert (out / "docs/x").read_text() == one * 300
            shutil.rmtree(out)
    if trash:
        engine.delete(["b", "d"])
    assert_store_sound(engine.store_path, room / "scratch")
    compact(engine)
    assert len(list(engine.store.pack_dir.iterdir())) == 2
    assert list((engine.store.cronos_dir / "compact").iterdir()) == []
    assert engine.verify().damage == ()
    engine.snapshot(SnapshotRequest(name="after"))
    assert engine.verify().damage == ()
    assert read_tree(engine.project)["which"][6] == b"e"


@pytest.fixture
def durable_steps(tmp_path: Path) -> int:
    (tmp_path / "counted").mkdir()
    engine = prepared(tmp_path / "counted")
    return len(steps_of(lambda: compact(engine)))


FAULTS: dict[str, Callable[[Callable[[], None], int], object]] = {
    "killed": run_and_kill,
    "without space from there on": run_and_fail,
    "one step that fails": lambda work, at: fail_at(work, at, errno.EIO, once=True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_whatever_happens_at_any_step_nothing_is_lost(
    tmp_path: Path, durable_steps: int, request: pytest.FixtureRequest, fault: Callable[[Callable[[], None], int], object]
) -> None:
    assert durable_steps > 15
    for at in range(1, durable_steps + 1, 1 if request.config.getoption("--long") else 5):
        room = tmp_path / str(at)
        room.mkdir()
        prepared(room)
        fault(lambda room=room: compact(make_engine(room)), at)  # type: ignore[misc]
        check(room)
        shutil.rmtree(room)
