"""Prune, delete and undelete killed, or without space, at every durable step: each backup is kept or in the trash."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cronos_git.disk import files
from cronos_git.engine import Cronos
from cronos_git.model import PruneRequest, SnapshotRequest
from tests.support.engine import make_engine
from tests.support.faults import run_and_fail, run_and_kill
from tests.support.git import assert_store_sound, git
from tests.support.trees import make_tree

Work = Callable[[Cronos], object]


def prepared(room: Path) -> Cronos:
    """Backups a to f, of which a, b and c have packed refs, d has gone to the trash, and m has a scope of its own."""
    engine = make_engine(room)
    for name in "abcd":
        make_tree(engine.project, {"which": name, "docs/x": name})
        engine.snapshot(SnapshotRequest(name=name))
    engine.delete(["d"])
    git("--git-dir", engine.store_path, "pack-refs", "--all")
    for name in "ef":
        engine.snapshot(SnapshotRequest(name=name))
    engine.snapshot(SnapshotRequest(name="m", modules=("docs",)))
    return engine


def prune(engine: Cronos) -> object:
    return engine.apply_prune(engine.plan_prune(PruneRequest(limits={"max_backups": 1})))


def delete(engine: Cronos) -> object:
    return engine.delete(["m", "e", "b"])


def undelete(engine: Cronos) -> object:
    return engine.undelete(["d"])


AFTER: dict[Work, str] = {prune: "fm", delete: "acf", undelete: "abcdefm"}
"""The names that each leaves, when nothing fails."""


def names(engine: Cronos) -> tuple[str, str]:
    """What exists and what is in the trash."""
    return "".join(sorted(b.name for b in engine.backups())), "".join(sorted(b.name for b in engine.trash()))


def check(room: Path, work: Work) -> str:
    """Nothing is lost, and the next run makes all well; the names that exist."""
    engine = make_engine(room)
    kept, gone = names(engine)
    assert sorted(kept + gone) == list("abcdefm")
    assert set(AFTER[work]) & set("abcefm") <= set(kept)
    git("--git-dir", engine.store_path, "fsck", "--full", "--strict", "--no-dangling")
    assert engine.verify().damage == ()
    engine.apply_prune(engine.plan_prune(PruneRequest(limits={"max_backups": 0})))
    engine.snapshot(SnapshotRequest(name="z"))
    assert names(engine) == (kept + "z", gone)
    assert timeline(engine, "main") == "z" + kept.replace("m", "")[::-1]
    assert timeline(engine, "module/docs") == ("m" if "m" in kept else "")
    assert not list(engine.store_path.rglob("*.lock"))
    return kept


def timeline(engine: Cronos, branch: str) -> str:
    return "".join(git("--git-dir", engine.store_path, "log", "--format=%s", branch, "--", check=False).split())


def sweep(room: Path, fault: Callable[[Callable[[], object], int], bool], work: Work) -> set[str]:
    """Do *work* on the same store again and again, with the fault at every step; what it can leave."""
    prepared(room)
    stores, saved, seen = room / "stores", room / "saved", set()
    shutil.copytree(stores, saved)
    for at in itertools.count(1):
        ended = fault(lambda: work(make_engine(room)), at)
        seen.add(check(room, work))
        if ended:
            break
        shutil.rmtree(stores)
        shutil.copytree(saved, stores)
    assert at > 10
    return seen


@pytest.mark.parametrize("work", AFTER, ids=lambda work: work.__name__)
def test_kill_at_every_step(tmp_path: Path, work: Work) -> None:
    seen = sweep(tmp_path, run_and_kill, work)
    assert {"abcefm", AFTER[work]} <= seen
    assert_store_sound(make_engine(tmp_path).store_path, tmp_path)


@pytest.mark.parametrize("work", AFTER, ids=lambda work: work.__name__)
def test_full_disk_from_every_step_on(tmp_path: Path, work: Work) -> None:
    assert {"abcefm", AFTER[work]} <= sweep(tmp_path, run_and_fail, work)


def test_no_tag_is_removed_before_its_trash_ref_is_durable(tmp_path: Path) -> None:
    engine = prepared(tmp_path)
    steps: list[tuple[str, str]] = []
    files.step = lambda name, path: steps.append((name, Path(path).name))
    delete(engine)
    packed = [number for number, step in enumerate(steps) if step == ("rename", "packed-refs")]
    unlinked = [number for number, (name, path) in enumerate(steps) if name == "unlink" and path.startswith(("e_", "m_"))]
    assert steps[packed[0] - 1 : packed[0] + 2] == [
        ("fsync", "packed-refs.lock"),
        ("rename", "packed-refs"),
        ("fsync_dir", engine.store_path.name),
    ]
    assert packed[0] < steps.index(("rename", "main")) < packed[-1] < unlinked[0]
    assert steps[unlinked[-1] + 1] == ("fsync_dir", "backup")
