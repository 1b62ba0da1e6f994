"""`cronos init`: a store made, found, or taken over."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from cronos_git.cli.app import run
from cronos_git.disk import files
from cronos_git.model import SnapshotRequest
from tests.cli.test_transcripts import World
from tests.support.engine import make_engine
from tests.support.faults import run_and_kill
from tests.support.git import git


def init_bare(path: Path) -> Path:
    git("init", "--quiet", "--bare", path)
    return path


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    world = World(tmp_path, capsys)
    world.write({"a": "one"})
    return world


def move(world: World) -> Path:
    """Move the project; where its store stayed."""
    store = world.open_engine().store_path
    world.project.rename(world.base / "moved")
    world.project = world.base / "moved"
    return store


def test_a_store_is_made_once(world: World) -> None:
    assert world("init").out.startswith("New store: ")
    assert world.json("init") == [
        {
            "schema_version": 1,
            "store": str(world.open_engine().store_path),
            "project": str(world.project),
            "new": False,
            "backups": 0,
        }
    ]
    assert world("create", "one").status == 0
    assert ", 1 backup of " in world("init").out


def test_a_moved_project_takes_its_store_along(world: World) -> None:
    assert world("create", "one").status == 0
    store = move(world)
    assert world("list").status == 10
    told = world("init", "--adopt", str(store))
    assert told.status == 0
    assert told.out.startswith("Adopted: ")
    assert not store.exists()
    assert [row["name"] for row in world.json("list")] == ["one"]
    assert world("create", "two").status == 0
    assert world("verify").status == 0


def test_the_store_of_a_project_that_is_still_there_is_left_to_it(world: World) -> None:
    assert world("create", "one").status == 0
    store = world.open_engine().store_path
    shutil.copytree(world.project, world.base / "copy")
    world.project = world.base / "copy"
    told = world("init", "--adopt", str(store))
    assert told.status == 13
    assert "still there" in told.err
    assert store.exists()
    assert world("init", "--adopt", str(store), "--force").status == 0
    assert not store.exists()


def test_a_project_with_a_store_adopts_no_other(world: World) -> None:
    assert world("create", "one").status == 0
    store = move(world)
    assert world("init").status == 0
    assert world("init", "--adopt", str(store)).status == 13
    assert store.exists()


def test_what_is_no_store_is_not_adopted(world: World) -> None:
    assert world("init", "--adopt", str(world.project)).status == 16
    assert world("init", "--adopt", str(world.base / "nothing")).status == 10
    assert world("init", "--force").status == 2


def test_a_store_that_cannot_be_moved_stays_that_of_its_project(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world("create", "one").status == 0
    source = move(world)

    def on_another_disk(name: str, path: str) -> None:
        if name == "rename" and path == str(world.open_engine().store_path):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)

    before = (source / "cronos/format.json").read_bytes()
    monkeypatch.setattr(files, "step", on_another_disk)
    told = world("init", "--adopt", str(source))
    assert (told.status, "Invalid cross-device link" in told.err) == (1, True)
    assert (source / "cronos/format.json").read_bytes() == before


def test_an_adoption_that_was_killed_is_finished_by_the_next(world: World) -> None:
    assert world("create", "one").status == 0
    source = move(world)
    at = 1
    while not run_and_kill(lambda: world.open_engine().adopt(source), at):
        [left] = [path for path in (source, world.open_engine().store_path) if path.exists()]
        assert (left / "refs/tags/backup").is_dir()
        at += 1
        if left != source:
            break
    assert at > 1
    if source.exists():
        world.open_engine().adopt(source)
    assert [row["name"] for row in world.json("list")] == ["one"]


def test_a_push_after_each_backup_sends_all_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "a").write_text("one")
    remote = init_bare(tmp_path / "remote.git")
    early = make_engine(tmp_path)
    early.snapshot(SnapshotRequest(name="early"))
    early.add_remote("nas", str(remote))
    engine = make_engine(tmp_path, auto_push="nas")
    report = engine.snapshot(SnapshotRequest(name="late"))
    assert report.pushed == tuple(backup.id for backup in engine.backups()[::-1])
    assert report.push_failed == ""
    assert not engine.snapshot(SnapshotRequest(name="same", skip_if_unchanged=True)).pushed


def test_a_push_that_fails_leaves_the_backup_and_ends_with_14(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = make_engine(tmp_path, auto_push="nas")
    engine.add_remote("nas", str(tmp_path / "gone.git"))
    status = run(["create", "kept"], open_engine=lambda **_options: engine)
    told = capsys.readouterr()
    assert status == 14
    assert "Saved kept_" in told.out
    assert "The backup is safe here, but was not sent" in told.err
    assert [backup.name for backup in engine.backups()] == ["kept"]
