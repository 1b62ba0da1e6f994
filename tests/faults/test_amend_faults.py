"""Amending killed, or without space, at every durable step: each backup is the old or the new one, in the order given."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cronos_git.disk import files
from cronos_git.engine import Cronos
from cronos_git.model import AmendRequest, SnapshotRequest
from cronos_git.ops import oplog
from tests.support.engine import make_engine
from tests.support.faults import run_and_fail, run_and_kill
from tests.support.git import assert_store_sound, git
from tests.support.trees import make_tree

REQUEST = AmendRequest(backups=("a", "m", "c"), pinned=True, message="new")


def prepared(room: Path) -> Cronos:
    """Backups a and b with packed refs, c, and m with a scope of its own."""
    engine = make_engine(room)
    for name in "abc":
        make_tree(engine.project, {"which": name, "docs/x": name})
        engine.snapshot(SnapshotRequest(name=name))
        if name == "b":
            git("--git-dir", engine.store_path, "pack-refs", "--all")
    engine.snapshot(SnapshotRequest(name="m", modules=("docs",)))
    return engine


def new_ones(engine: Cronos) -> str:
    """Names of the amended backups; each is amended in whole or not at all."""
    found = {backup.name: (backup.pinned, backup.message) for backup in engine.backups() if backup.name in "abcm"}
    new = "".join(name for name in "amc" if found[name] == (True, "new"))
    assert found == {name: (True, "new") if name in new else (False, name) for name in "abcm"}
    return new


def log(engine: Cronos, branch: str) -> list[str]:
    return git("--git-dir", engine.store_path, "log", "--format=%s", branch, "--").splitlines()


def check(room: Path) -> str:
    """Nothing is torn, timelines agree with the tags after the next backup, and the same again goes through; what was new."""
    engine = make_engine(room)
    new = new_ones(engine)
    git("--git-dir", engine.store_path, "fsck", "--full", "--strict", "--no-dangling")
    assert engine.verify().damage == ()
    told = [entry for entry in oplog.read(engine.store) if entry["verb"] == "describe"]
    assert {(entry["backup"], entry["tag"]) for entry in told} <= {(backup.id, backup.tag) for backup in engine.backups()}
    engine.snapshot(SnapshotRequest(name="z"))
    engine.snapshot(SnapshotRequest(name="y", modules=("docs",)))
    assert log(engine, "main") == ["z", *("new" if name in new else name for name in "cba")]
    assert log(engine, "module/docs") == ["y", "new" if "m" in new else "m"]
    assert not list(engine.store_path.rglob("*.lock"))
    engine.amend(REQUEST)
    assert (new_ones(engine), log(engine, "main")) == ("amc", ["z", "new", "b", "new"])
    return new


def sweep(room: Path, fault: Callable[[Callable[[], object], int], bool], stride: int = 1) -> set[str]:
    """Amend the same store again and again, with the fault at every step or every *stride*-th; what it can leave."""
    prepared(room)
    stores, saved, seen = room / "stores", room / "saved", set()
    shutil.copytree(stores, saved)
    for at in itertools.count(1, stride):
        ended = fault(lambda: make_engine(room).amend(REQUEST), at)
        seen.add(check(room))
        if ended:
            break
        shutil.rmtree(stores)
        shutil.copytree(saved, stores)
    assert at > 15
    return seen


def test_kill_at_every_step(tmp_path: Path) -> None:
    assert sweep(tmp_path, run_and_kill) == {"", "a", "am", "amc"}
    assert_store_sound(make_engine(tmp_path).store_path, tmp_path)


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.long)])
def test_full_disk_from_many_steps_on(tmp_path: Path, stride: int) -> None:
    assert sweep(tmp_path, run_and_fail, stride) == {"", "a", "am", "amc"}


def test_no_ref_moves_before_the_tags_are_durable_and_none_is_logged_before_it_has(tmp_path: Path) -> None:
    engine = prepared(tmp_path)
    steps: list[tuple[str, str]] = []
    files.step = lambda name, path: steps.append((name, Path(path).name))
    engine.amend(REQUEST)
    done = [name if name == "fsync_dir" else (name, path.partition("_")[0]) for name, path in steps]
    moved = [done.index(("rename", name)) for name in "amc"]
    published = next(number for number, (name, path) in enumerate(steps) if (name, path) == ("fsync_dir", "pack"))
    logged = [number for number, step in enumerate(steps) if step == ("fsync", "operations.jsonl")]
    assert published < moved[0] < logged[0] < moved[1] < logged[1] < moved[2] < logged[2]
    assert all(steps[number + 1] == ("fsync_dir", "backup") for number in moved)
