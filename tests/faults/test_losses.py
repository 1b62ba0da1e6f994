"""What a repair could not bring back is closed, named where it matters, and told until somebody has heard it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cronos_git.disk import files
from cronos_git.engine import Cronos
from cronos_git.errors import AccessError, BackupNotFoundError, DiskFullError
from cronos_git.git.refs import BACKUP_TAGS
from cronos_git.model import RestoreReport, RestoreRequest, SnapshotRequest
from cronos_git.ops import repair as verb
from tests.support.engine import make_engine
from tests.support.faults import run_and_kill
from tests.support.git import git
from tests.support.repairing import cut, objects_of, pack_dir, rewrite
from tests.support.restoring import as_nobody, open_to_all
from tests.support.trees import File, make_tree

A, B = (f"{name}_20400101_120000" for name in "ab")


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    """An engine with the backup a of a closed directory and a large file."""
    engine = make_engine(tmp_path, chunk_threshold=1000)
    make_tree(engine.project, {"safe": {"key": File(b"k", mode=0o600), "run": File(b"r", mode=0o500)}, "open": "o"})
    (engine.project / "safe/big").write_bytes(os.urandom(2000))
    (engine.project / "safe").chmod(0o700)
    os.symlink("key", engine.project / "safe/link")
    engine.snapshot(SnapshotRequest(name="a"))
    return engine


def lose(engine: Cronos, body: Callable[[bytes], bool], kind: str = "blob") -> Cronos:
    """Let objects be lost, and the project be of no help; the engine of the next command."""
    objects = objects_of(engine.store_path)
    kept = {name: found for name, found in objects.items() if found[0] != kind or not body(found[1])}
    assert len(kept) < len(objects)
    rewrite(engine.store_path, kept)
    for path in engine.project.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_bytes(b"other")
            path.chmod(0o644)
    (engine.project / "safe").chmod(0o755)
    return again(engine)


def again(engine: Cronos) -> Cronos:
    return make_engine(engine.project.parent, chunk_threshold=1000)


def lose_attributes(engine: Cronos) -> Cronos:
    return lose(engine, lambda body: body.startswith(b"cronos-attributes") and b" key\n" in body)


def restored(engine: Cronos, **where: str) -> RestoreReport:
    request = RestoreRequest(backup="a", **(where or {"strategy": "overwrite"}))  # type: ignore[arg-type]
    return engine.apply_restore(engine.plan_restore(request))


# --- lost attributes ---


@pytest.mark.parametrize("where", ["to a new place", "in place"])
def test_what_lost_its_attributes_comes_back_closed_and_is_told(engine: Cronos, tmp_path: Path, where: str) -> None:
    engine = lose_attributes(engine)
    lost = engine.repair().plan.lost
    assert [(loss.path, loss.kind) for loss in lost] == [("safe", "attributes")]
    for word in ("FIFOs", "sockets", "hard links", "times", "owners", "extended attributes"):
        assert word in lost[0].text
    target = engine.project if where == "in place" else tmp_path / "new"
    report = restored(again(engine), **({} if where == "in place" else {"target": str(target)}))
    modes = {
        path: f"{(target / path).lstat().st_mode & 0o777:o}" for path in ("safe", "safe/key", "safe/run", "safe/big", "open")
    }
    assert modes == {"safe": "700", "safe/key": "600", "safe/run": "700", "safe/big": "600", "open": "644"}
    assert os.readlink(target / "safe/link") == "key"
    assert (target / "safe/key").read_text() == "k"
    [problem] = report.problems
    assert (problem.path, "lost to damage" in problem.text) == ("safe", True)


def test_drill_tells_of_lost_attributes_and_finds_nothing_else(engine: Cronos, tmp_path: Path) -> None:
    engine = lose_attributes(engine)
    engine.repair()
    report = again(engine).drill(scratch=tmp_path)
    assert report.differences == ()
    assert [problem.path for problem in report.problems] == ["safe"]
    assert again(engine).verify().damage == ()


# --- lost content ---


def test_lost_content_is_told_as_lost_to_damage(engine: Cronos, tmp_path: Path) -> None:
    engine = lose(engine, lambda body: body == b"k")
    engine.repair()
    engine = again(engine)
    [problem] = restored(engine, target=str(tmp_path / "new")).problems
    assert (problem.path, problem.text) == ("safe/key", "lost to damage")
    assert [problem.text for problem in engine.drill(scratch=tmp_path).problems] == ["lost to damage"]
    (engine.project / "safe/key").unlink()
    assert [problem.text for problem in restored(engine).problems] == ["lost to damage"]
    view = engine.view(engine.resolve("a").backup)
    with pytest.raises(BackupNotFoundError, match="was lost to damage"):
        list(view.read(view.entry("safe/key")))


def test_lost_list_of_contents_is_told_as_lost_to_damage(engine: Cronos, tmp_path: Path) -> None:
    engine = lose(lose(engine, lambda body: body == b"k"), lambda body: b" key\0" in body, "tree")  # which no guess brings back
    engine.repair()
    told = {problem.path: problem.text for problem in restored(again(engine), target=str(tmp_path / "new")).problems}
    assert told["safe"] == "its contents were lost to damage"
    assert told["safe/key"] == "lost to damage"


# --- repairs that were killed ---


def in_child(engine: Cronos, name: str, instead: Callable[..., object]) -> bool:
    """Repair in a child, with one of its steps exchanged."""

    def work() -> None:
        setattr(verb, name, instead)
        again(engine).repair()

    return run_and_kill(work, at=0)


def test_losses_of_a_killed_repair_are_told_by_the_next_one(engine: Cronos) -> None:
    engine = lose_attributes(engine)
    planned = engine.plan_repair().lost

    write = verb.write_report

    def dies_before_the_end(*arguments: Any, finished: bool) -> None:
        if finished:
            os._exit(0)
        write(*arguments, finished=finished)

    assert in_child(engine, "write_report", dies_before_the_end)
    [report] = (engine.store_path / "cronos/quarantine").glob("*/report.json")
    assert json.loads(report.read_bytes())["finished"] is False
    assert "repair" in again(engine).resolve("a").backup.metadata  # it was done
    assert again(engine).plan_repair().lost == planned
    told = again(engine).repair()
    assert told.plan.lost == planned
    assert json.loads(report.read_bytes())["finished"] is True
    assert again(engine).repair().plan.lost == ()
    assert {operation.verb for operation in again(engine).operations()} >= {"create", "repair"}


def test_losses_that_never_came_about_are_not_told(engine: Cronos) -> None:
    whole = objects_of(engine.store_path)
    engine = lose_attributes(engine)
    assert in_child(engine, "apply", lambda *_arguments: os._exit(0))
    assert list((engine.store_path / "cronos/quarantine").glob("*/report.json"))
    rewrite(engine.store_path, whole)
    assert again(engine).repair().plan.lost == ()


def test_report_is_there_before_anything_is_moved(engine: Cronos, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = lose_attributes(engine)
    (engine.store_path / "HEAD").write_bytes(b"")
    paths: list[str] = []
    monkeypatch.setattr(files, "step", lambda name, path: paths.append(path) if name == "rename" else None)
    engine.repair()
    assert "report.json" in paths[0]


# --- the trash ---


def test_a_backup_in_the_trash_that_lost_its_tag_is_named(engine: Cronos) -> None:
    make_tree(engine.project, {"more": "m"})
    engine.snapshot(SnapshotRequest(name="b"))
    again(engine).delete(["b"])
    engine = lose(again(engine), lambda body: f"tag backup/{B}".encode() in body, "tag")
    objects = objects_of(engine.store_path)
    rewrite(engine.store_path, {name: found for name, found in objects.items() if b"Cronos-Id: " + B.encode() not in found[1]})
    (engine.store_path / "packed-refs").unlink()
    lost = again(engine).repair().plan.lost
    assert [(loss.backup, loss.kind) for loss in lost] == [(B, "backup")]
    assert again(engine).repair().plan.lost == ()


# --- refusals and stray files ---


def test_repair_by_another_user_is_refused(engine: Cronos) -> None:
    open_to_all(engine.project.parent)
    engine.store_path.chmod(0o700)

    def work() -> None:
        for act in (again(engine).plan_repair, again(engine).repair):
            with pytest.raises(AccessError):
                act()

    as_nobody(work)


@pytest.mark.parametrize("content", [b"", b"1" * 40 + b"\n"])
def test_a_stray_file_below_the_ref_of_a_backup_is_no_lost_backup(engine: Cronos, content: bytes) -> None:
    ref = engine.store_path / BACKUP_TAGS / A
    before = ref.read_bytes()
    ref.unlink()
    ref.mkdir()
    (ref / "x").write_bytes(content or before)
    report = again(engine).repair()
    assert report.plan.lost == ()
    assert not (ref / "x").exists()
    assert [backup.id for backup in again(engine).backups()] == [A]
    assert again(engine).plan_repair().steps == ()
    git("--git-dir", engine.store_path, "fsck", "--full", "--strict")


def test_full_disk_is_told_with_the_bytes_that_are_needed(engine: Cronos, monkeypatch: pytest.MonkeyPatch) -> None:
    [pack] = pack_dir(engine.store_path).glob("*.pack")
    cut(pack, 0.8)

    def full(name: str, path: str) -> None:
        if "mending" in path and name == "write":
            raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(files, "step", full)
    with pytest.raises(DiskFullError) as caught:
        again(engine).repair()
    assert "--backup-dir" not in caught.value.hint
    needed = caught.value.context["needed_bytes"]
    assert isinstance(needed, int)
    assert needed > 1500
    assert f"{needed:,} bytes" in caught.value.hint
