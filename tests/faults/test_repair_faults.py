"""Repair killed, or without space, at every durable step: the store is never worse than before, and the next repair finishes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cronos_git.errors import HostError
from cronos_git.events import Run
from cronos_git.git import remains
from cronos_git.git.store import Store
from cronos_git.model import RepairReport
from cronos_git.ops import repair as verb
from tests.support.faults import run_and_fail, run_and_kill
from tests.support.git import git
from tests.support.repairing import World, cut, garble, pack_dir, packs_of


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def hurt(world: World) -> None:
    """A bit of everything."""
    world.reset()
    git("--git-dir", world.store, "pack-refs", "--all")
    first, second, third, *_ = sorted(packs_of(world.store), key=lambda path: -path.stat().st_size)
    garble(first, 0.4)
    second.with_suffix(".idx").unlink()
    cut(third, 0.9)
    packed = world.store / "packed-refs"
    packed.chmod(0o600)
    packed.write_bytes(packed.read_bytes().replace(b"refs/tags/backup/second", b"refs tags"))
    (world.store / "refs/heads/module").mkdir(parents=True, exist_ok=True)
    (world.store / "refs/heads/module/dir").write_bytes(b"")
    (world.store / "HEAD").write_bytes(b"")


def whole(world: World) -> set[bytes]:
    """Every object that can be read, whatever else is damaged."""
    looked = remains.look(Store(world.store, str(world.project)), Run())
    names = {name for kind in ("blob", "tree", "commit", "tag") for name in looked.of_kind(kind)}
    looked.close()
    return names


def repair(world: World) -> RepairReport:
    return world.engine().repair()


def sweep(world: World, room: Path, fault: Callable[[Callable[[], object], int], bool], step: int) -> None:
    hurt(world)
    before = whole(world)
    lost = {(loss.backup, loss.path, loss.kind) for loss in world.engine().plan_repair().lost}
    for at in itertools.count(1, step):
        hurt(world)
        ended = fault(lambda: repair(world), at)
        assert whole(world) >= before
        was_told = [
            json.loads(path.read_bytes())["finished"] for path in (world.store / "cronos/quarantine").glob("*/report.json")
        ]
        report = repair(world)
        told_now = {(loss.backup, loss.path, loss.kind) for loss in report.plan.lost}
        assert told_now <= lost if any(was_told) else told_now == lost
        told = {backup.id: backup.metadata["repair"] for backup in world.engine().backups() if "repair" in backup.metadata}
        assert {backup for backup, _, kind in lost if kind != "backup"} <= told.keys() | {"gone_20400101_120000"}
        world.assert_sound(world.engine())
        assert world.engine().plan_repair().steps == ()
        if ended:
            return


def test_a_killed_repair_loses_nothing_and_the_next_one_finishes(world: World, tmp_path: Path, step: int) -> None:
    sweep(world, tmp_path, run_and_kill, step)


def test_a_repair_without_space_loses_nothing_and_the_next_one_finishes(world: World, tmp_path: Path, step: int) -> None:
    sweep(world, tmp_path, run_and_fail, step)


@pytest.fixture
def step(request: pytest.FixtureRequest) -> int:
    return 1 if request.config.getoption("--long") else 7


def test_nothing_is_moved_while_there_is_no_space_for_what_is_whole(world: World) -> None:
    hurt(world)
    packs = {path: path.read_bytes() for path in pack_dir(world.store).iterdir()}
    assert not run_and_fail(lambda: repair(world), 1, spare="HEAD")
    assert {path: path.read_bytes() for path in pack_dir(world.store).iterdir()} == packs


def test_a_project_that_changes_meanwhile_stops_the_repair_before_anything_is_moved(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.reset()
    packs = pack_dir(world.store)
    max(packs_of(world.store), key=lambda path: path.stat().st_size).unlink()
    store = verb._store_objects

    def changed_before(*args: object) -> None:
        for path in world.project.rglob("*"):
            if path.is_file() and not path.is_symlink():
                path.write_bytes(b"changed")
        store(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(verb, "_store_objects", changed_before)
    before = {path: path.read_bytes() for path in packs.iterdir()}
    assert "refetch" in {step.action for step in world.engine().plan_repair().steps}
    with pytest.raises(HostError, match="changed while it was being repaired"):
        repair(world)
    assert {path: path.read_bytes() for path in packs.iterdir()} == before
