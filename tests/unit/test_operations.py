"""Restore points, undo, and the log of operations."""

from __future__ import annotations

import os
import shutil
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from cronos_git.disk import moves
from cronos_git.engine import Cronos
from cronos_git.errors import BackupNotFoundError, CronosError, RefusedError
from cronos_git.events import Advanced, Noticed, Run, Started
from cronos_git.model import Backup, Operation, RestoreRequest, Strategy
from tests.support.clock import FakeClock
from tests.support.engine import LATER, make_engine
from tests.support.git import git
from tests.support.restoring import actions, both_ways, leftovers, meanwhile, points, replacing, save, stamp, state
from tests.support.trees import Link, Node, make_tree, read_tree

TREE: dict[str, Node] = {"edit": b"old", "gone": b"was here", "d/in": b"2", "link": Link("edit")}


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    """A project with a backup `work` that it differs from now; `*.log` is excluded."""
    engine = make_engine(tmp_path, exclude=["*.log"], clock=FakeClock(LATER))
    make_tree(engine.project, TREE)
    save(engine)
    (engine.project / "edit").write_bytes(b"newer")
    (engine.project / "gone").unlink()
    make_tree(engine.project, {"extra": b"x", "more/deep": b"y"})
    return engine


def content(engine: Cronos, backup: str, path: str) -> bytes:
    """What a backup holds."""
    return b"".join(engine.read(engine.resolve(backup).backup, path))


def point_of(engine: Cronos) -> Backup:
    return engine.resolve(points(engine)[0]).backup


def told(engine: Cronos) -> Operation:
    return engine.operations(1)[0]


# --- restore points --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["replace", "overwrite"])
def test_a_restore_point_holds_everything_that_is_overwritten_or_removed(engine: Cronos, strategy: Strategy) -> None:
    report = both_ways(engine, replacing(strategy=strategy))
    point = report.restore_point or ""
    for path, was in {"edit": b"newer", "extra": b"x", "more/deep": b"y"}.items():
        assert content(engine, point, path) == was
    backup = point_of(engine)
    assert (backup.id, backup.type, backup.name, backup.scope) == (point, "restore-point", "before-restore", "project")
    assert backup.message.startswith("Before restore of work_")
    assert backup.metadata["restore"] == {
        "verb": "restore",
        "backup": report.plan.backup.id,
        "strategy": strategy,
        "target": str(engine.project),
        "paths": [],
    }


def test_latest_and_status_do_not_take_a_restore_point_for_a_backup(engine: Cronos) -> None:
    both_ways(engine, replacing())
    assert engine.resolve("latest").backup.name == "work"
    against = engine.plan_snapshot().against
    assert against is not None
    assert against.name == "work"
    assert engine.resolve("latest:restore-point").backup.id == points(engine)[0]


def test_what_stands_in_the_way_though_excluded_is_saved_and_told(tmp_path: Path) -> None:
    before_rules = make_engine(tmp_path)
    make_tree(before_rules.project, {"a.log": b"old", "b.log/in": b"old", "c/d.log": b"old", "z": b"z"})
    save(before_rules)
    engine = make_engine(tmp_path, exclude=["*.log"])
    shutil.rmtree(engine.project / "b.log")
    (engine.project / "c/d.log").unlink()
    make_tree(
        engine.project, {"a.log": b"mine", "b.log": b"mine too", "c/d.log/deep/e": b"mine as well", "f.log": b"not concerned"}
    )
    other = stamp(engine.project / "f.log")
    before = read_tree(engine.project)
    plan = engine.plan_restore(replacing())
    obstructing = {change.path for change in plan.changes if change.obstructs}
    assert obstructing >= {"a.log", "b.log", "c/d.log"}
    assert all(change.text for change in plan.changes if change.obstructs)
    report = engine.apply_restore(plan)
    point = report.restore_point or ""
    assert content(engine, point, "a.log") == b"mine"
    assert content(engine, point, "b.log") == b"mine too"
    assert content(engine, point, "c/d.log/deep/e") == b"mine as well"
    with pytest.raises(BackupNotFoundError):
        engine.entries(engine.resolve(point).backup, "f.log")
    assert (engine.project / "b.log/in").read_bytes() == (engine.project / "c/d.log").read_bytes() == b"old"
    assert stamp(engine.project / "f.log") == other
    engine.undo()
    assert read_tree(engine.project) == before


def test_without_restore_point_what_stands_in_the_way_though_excluded_stops_the_restore(tmp_path: Path) -> None:
    before_rules = make_engine(tmp_path)
    make_tree(before_rules.project, {"a.log": b"old", "z": b"z"})
    save(before_rules)
    engine = make_engine(tmp_path, exclude=["*.log"], restore_point=False)
    make_tree(engine.project, {"a.log": b"mine", "z": b"changed"})
    before = state(engine.project)
    for act in (engine.plan_restore, engine.restore):
        with pytest.raises(RefusedError, match=r"a\.log stands in the way.*without a restore point nothing would hold it"):
            act(replacing())
    assert state(engine.project) == before
    both_ways(engine, replacing(restore_point=True))
    assert (engine.project / "a.log").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("configured", "requested", "taken"), [(True, None, 1), (True, False, 0), (False, None, 0), (False, True, 1)]
)
def test_whether_a_restore_point_is_taken(tmp_path: Path, configured: bool, requested: bool | None, taken: int) -> None:
    engine = make_engine(tmp_path, restore_point=configured)
    make_tree(engine.project, {"a": b"1"})
    save(engine)
    (engine.project / "a").write_bytes(b"changed")
    report = both_ways(engine, replacing(restore_point=requested))
    assert len(points(engine)) == taken
    assert report.plan.restore_point is bool(taken)
    assert (report.restore_point is not None) is bool(taken)
    assert (engine.project / "a").read_bytes() == b"1"


def test_excluded_files_keep_content_time_and_place_through_restore_and_undo(engine: Cronos) -> None:
    make_tree(
        engine.project, {"a.log": b"1", "d/b.log": b"2", "extra.d/c.log": b"3", "extra.d/f": b"4", "__pycache__/m.pyc": b"5"}
    )
    names = ["a.log", "d/b.log", "extra.d/c.log", "__pycache__/m.pyc"]
    before = {name: stamp(engine.project / name) for name in names}
    plan = engine.plan_restore(replacing())
    assert actions(plan)["extra.d"] == "kept"
    assert not [path for path in actions(plan) if path in names]
    engine.apply_restore(plan)
    assert {name: stamp(engine.project / name) for name in names} == before
    assert not (engine.project / "extra.d/f").exists()
    engine.undo()
    assert {name: stamp(engine.project / name) for name in names} == before


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), CronosError("no"), KeyboardInterrupt()])
def test_the_restore_point_of_a_restore_that_failed_is_in_the_trash(
    engine: Cronos, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, tip = read_tree(engine.project), engine.store.ref("refs/heads/main")

    def fail(*_places: object) -> bool:
        monkeypatch.undo()
        raise error

    monkeypatch.setattr(moves, "swap", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else CronosError):
        engine.restore(replacing())
    assert read_tree(engine.project) == before
    assert points(engine) == []
    assert list(engine.store.trash_tags().oids) == ["before-restore_20400101_120000"]
    assert engine.store.ref("refs/heads/main") == tip
    assert leftovers(engine) == []
    with pytest.raises(BackupNotFoundError):
        engine.undo()


# --- undo ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [{}, {"strategy": "overwrite"}, {"paths": ("gone", "edit")}, {"paths": ("d",)}])
def test_undo_and_undo_of_undo_and_so_on(engine: Cronos, request_: dict[str, Any]) -> None:
    (engine.project / "d/in").unlink()
    before = read_tree(engine.project)
    both_ways(engine, replacing(**request_))
    after = read_tree(engine.project)
    assert after != before
    for expected in (before, after, before, after):
        plan = engine.plan_undo()
        assert plan.verb == "undo"
        assert (plan.strategy, plan.restore_point, plan.target) == ("replace", True, str(engine.project))
        report = engine.undo()
        assert report.plan == plan
        assert read_tree(engine.project) == expected
        assert told(engine).verb == "undo"
    assert len(points(engine)) == 5


def test_an_undo_can_be_planned_shown_and_applied(engine: Cronos) -> None:
    before = read_tree(engine.project)
    both_ways(engine, replacing())
    plan = engine.plan_undo()
    quiet = state(engine.project, engine.store_path)
    assert engine.plan_undo() == plan
    assert state(engine.project, engine.store_path) == quiet
    engine.apply_restore(plan)
    assert read_tree(engine.project) == before


def test_edits_after_the_restore_are_in_the_restore_point_of_the_undo(engine: Cronos) -> None:
    both_ways(engine, replacing())
    make_tree(engine.project, {"edit": b"edited later", "born later": b"b"})
    report = engine.undo()
    assert (engine.project / "edit").read_bytes() == b"newer"
    assert not (engine.project / "born later").exists()
    assert content(engine, report.restore_point or "", "edit") == b"edited later"
    assert content(engine, report.restore_point or "", "born later") == b"b"


def test_undo_of_some_paths_leaves_the_others_alone(engine: Cronos) -> None:
    both_ways(engine, replacing(paths=("edit",)))
    make_tree(engine.project, {"extra": b"edited later"})
    extra = stamp(engine.project / "extra")
    engine.undo()
    assert (engine.project / "edit").read_bytes() == b"newer"
    assert stamp(engine.project / "extra") == extra


def test_undo_takes_away_the_directories_that_a_path_needed(engine: Cronos) -> None:
    make_tree(engine.project, {"new/deep/f": b"1"})
    save(engine, "deep")
    shutil.rmtree(engine.project / "new")
    before = read_tree(engine.project)
    both_ways(engine, replacing(backup="deep", paths=("new/deep/f",)))
    assert (engine.project / "new/deep/f").exists()
    engine.undo()
    assert read_tree(engine.project) == before


def test_undo_without_any_restore_says_so(engine: Cronos) -> None:
    for act in (engine.plan_undo, engine.undo):
        with pytest.raises(BackupNotFoundError, match="no restore to undo") as caught:
            act()
        assert "cronos operations" in caught.value.hint
    assert [operation.verb for operation in engine.operations()] == ["create"]


def test_undo_after_a_restore_without_restore_point_is_refused_with_a_way_out(engine: Cronos) -> None:
    both_ways(engine, replacing())
    (engine.project / "edit").write_bytes(b"again")
    before = both_ways(engine, replacing(restore_point=False)) and read_tree(engine.project)
    with pytest.raises(RefusedError, match="took no restore point") as caught:
        engine.undo()
    assert points(engine)[0] in caught.value.hint
    assert read_tree(engine.project) == before
    (engine.project / "edit").write_bytes(b"once more")
    both_ways(engine, replacing())
    engine.undo()
    assert (engine.project / "edit").read_bytes() == b"once more"


def test_undo_after_the_only_restore_took_no_restore_point_is_refused_for_that_reason(engine: Cronos) -> None:
    both_ways(engine, replacing(restore_point=False))
    with pytest.raises(RefusedError, match="took no restore point"):
        engine.undo()


@pytest.mark.parametrize("has_older", [True, False])
def test_undo_never_takes_the_restore_point_of_an_earlier_restore(engine: Cronos, has_older: bool) -> None:
    """That would bring back a state before the one that was asked for."""
    if has_older:
        both_ways(engine, replacing())
        (engine.project / "edit").write_bytes(b"again")
    point = both_ways(engine, replacing()).restore_point or ""
    before = read_tree(engine.project)
    engine.delete([point])
    with pytest.raises(RefusedError, match=f"its restore point {point} is not kept") as caught:
        engine.undo()
    assert f"cronos undelete {point}" in caught.value.hint
    assert ("--strategy replace" in caught.value.hint) is has_older
    assert read_tree(engine.project) == before
    engine.undelete([point])
    engine.undo()
    assert (engine.project / "edit").read_bytes() == (b"again" if has_older else b"newer")


def test_undo_of_a_restore_that_was_killed_before_it_could_be_logged(engine: Cronos) -> None:
    both_ways(engine, replacing(restore_point=False))
    clock: Any = engine.clock
    clock.advance(minutes=1)
    (engine.project / "edit").write_bytes(b"later")
    both_ways(engine, replacing())
    log = engine.store_path / "cronos/operations.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    engine.undo()
    assert (engine.project / "edit").read_bytes() == b"later"


def test_undo_of_a_restore_into_another_directory(engine: Cronos, tmp_path: Path) -> None:
    other = make_tree(tmp_path / "other", {"edit": b"theirs", "mine": b"m"})
    before, project = read_tree(other), state(engine.project)
    both_ways(engine, replacing(target=str(other)))
    assert engine.plan_undo().target == str(other)
    engine.undo()
    assert read_tree(other) == before
    assert state(engine.project) == project
    engine.undo()
    assert (other / "edit").read_bytes() == b"old"


def test_undo_goes_where_the_last_restore_went(engine: Cronos, tmp_path: Path) -> None:
    other = make_tree(tmp_path / "other", {"edit": b"theirs"})
    both_ways(engine, replacing(target=str(other)))
    both_ways(engine, replacing())
    assert engine.plan_undo().target == str(engine.project)
    engine.undo()
    assert engine.plan_undo().target == str(engine.project)


def test_undo_into_a_directory_that_is_gone_is_refused(engine: Cronos, tmp_path: Path) -> None:
    other = make_tree(tmp_path / "other", {"edit": b"theirs"})
    both_ways(engine, replacing(target=str(other)))
    shutil.rmtree(other)
    with pytest.raises(RefusedError, match="not a directory") as caught:
        engine.undo()
    assert caught.value.hint
    assert not other.exists()


def test_a_restore_to_a_new_place_does_not_come_between(engine: Cronos, tmp_path: Path) -> None:
    before = read_tree(engine.project)
    both_ways(engine, replacing())
    both_ways(engine, RestoreRequest(backup="work", target=str(tmp_path / "out")))
    engine.undo()
    assert read_tree(engine.project) == before


def test_a_restore_that_changed_nothing_does_not_come_between(engine: Cronos) -> None:
    before = read_tree(engine.project)
    both_ways(engine, replacing())
    assert both_ways(engine, replacing()).restore_point is None
    engine.undo()
    assert read_tree(engine.project) == before


def test_a_restore_that_failed_does_not_come_between(engine: Cronos) -> None:
    before = read_tree(engine.project)
    both_ways(engine, replacing())
    (engine.project / "edit").write_bytes(b"again")
    run = meanwhile(Started, lambda: (engine.project / "edit").write_bytes(b"meanwhile"), phase="move")
    with pytest.raises(RefusedError):
        engine.restore(replacing(), run)
    engine.undo()
    assert read_tree(engine.project) == before


@pytest.mark.parametrize("how", ["deleted", "deleted for good"])
def test_undo_works_when_the_restored_backup_is_gone(engine: Cronos, how: str) -> None:
    before = read_tree(engine.project)
    both_ways(engine, replacing())
    engine.delete(["work"])
    if how == "deleted for good":
        git("--git-dir", engine.store_path, "update-ref", "-d", "refs/cronos/trash/work_20400101_120000")
        engine = make_engine(engine.project.parent, exclude=["*.log"])
    engine.undo()
    assert read_tree(engine.project) == before


def test_undo_removes_an_excluded_file_that_the_restore_made_and_brings_it_back(tmp_path: Path) -> None:
    before_rules = make_engine(tmp_path)
    make_tree(before_rules.project, {"a.log": b"old", "x/b.log": b"old", "z": b"z"})
    save(before_rules)
    engine = make_engine(tmp_path, exclude=["*.log"])
    (engine.project / "a.log").unlink()
    shutil.rmtree(engine.project / "x")
    make_tree(engine.project, {"other.log": b"mine"})
    before, other = read_tree(engine.project), stamp(engine.project / "other.log")
    both_ways(engine, replacing())
    after = read_tree(engine.project)
    assert (engine.project / "x/b.log").exists()
    engine.undo()
    assert read_tree(engine.project) == before
    engine.undo()
    assert read_tree(engine.project) == after
    assert stamp(engine.project / "other.log") == other


def test_excluded_files_made_after_the_restore_survive_its_undo(tmp_path: Path) -> None:
    before_rules = make_engine(tmp_path)
    make_tree(before_rules.project, {"x/b.log": b"old", "z": b"z"})
    save(before_rules)
    engine = make_engine(tmp_path, exclude=["*.log"])
    shutil.rmtree(engine.project / "x")
    both_ways(engine, replacing())
    make_tree(engine.project, {"x/later.log": b"mine"})
    later = stamp(engine.project / "x/later.log")
    report = engine.undo()
    assert stamp(engine.project / "x/later.log") == later
    assert os.listdir(engine.project / "x") == ["later.log"]
    assert actions(report.plan)["x"] == "kept"


# --- the log ---------------------------------------------------------------------------------------------------------


def test_operations_tell_what_was_done_newest_first(engine: Cronos, tmp_path: Path) -> None:
    clock: Any = engine.clock
    clock.advance(hours=1)
    engine.face = "service"
    report = both_ways(engine, replacing(paths=("edit",)))
    clock.advance(hours=1)
    engine.face = "cli"
    undone = engine.undo()
    clock.advance(hours=1)
    both_ways(engine, RestoreRequest(backup="work", target=str(tmp_path / "out")))
    elsewhere, undo, restore, create = engine.operations()
    work = report.plan.backup.id
    assert [operation.verb for operation in (create, restore, undo, elsewhere)] == ["create", "restore", "undo", "restore"]
    assert [operation.face for operation in (create, restore, undo, elsewhere)] == ["library", "service", "cli", "cli"]
    assert [operation.time.hour for operation in (create, restore, undo, elsewhere)] == [12, 13, 14, 15]
    assert restore.time.tzinfo == UTC
    assert {(op.user, op.host, op.result) for op in engine.operations()} == {("tester", "testhost", "done")}
    assert restore.facts == {
        "backup": work,
        "target": str(engine.project),
        "strategy": "replace",
        "paths": ["edit"],
        "restore_point": report.restore_point,
        "problems": 0,
    }
    assert undo.facts["backup"] == report.restore_point
    assert undo.facts["restore_point"] == undone.restore_point
    facts = {"backup": work, "target": str(tmp_path / "out"), "strategy": "new_location", "paths": [], "problems": 0}
    assert elsewhere.facts == facts


@pytest.mark.parametrize("limit", [0, 1, 2, 99])
def test_a_limit_tells_of_the_newest(engine: Cronos, limit: int) -> None:
    both_ways(engine, replacing())
    engine.undo()
    assert engine.operations(limit) == engine.operations()[:limit]
    assert [operation.verb for operation in engine.operations()] == ["undo", "restore", "create"]


def test_a_failed_operation_is_told_with_its_reason(engine: Cronos) -> None:
    plan = engine.plan_restore(replacing())
    (engine.project / "edit").write_bytes(b"again")
    with pytest.raises(RefusedError):
        engine.apply_restore(plan)
    assert (told(engine).verb, told(engine).result) == ("restore", "failed")
    assert told(engine).facts["code"] == "refused"
    assert "changed since the plan" in str(told(engine).facts["error"])
    assert "restore_point" not in told(engine).facts


def test_the_log_names_no_restore_point_of_a_restore_that_was_rolled_back(engine: Cronos) -> None:
    run = meanwhile(Started, lambda: (engine.project / "edit").write_bytes(b"meanwhile"), phase="move")
    with pytest.raises(RefusedError):
        engine.restore(replacing(), run)
    assert told(engine).result == "failed"
    assert not told(engine).facts.get("restore_point")


@pytest.mark.parametrize("how", ["key", "cancelled"])
def test_an_interrupted_operation_is_told_as_such(engine: Cronos, how: str) -> None:
    def interrupt() -> None:
        if how == "key":
            raise KeyboardInterrupt
        run.cancelled = True

    run = meanwhile(Advanced, interrupt)
    with pytest.raises(KeyboardInterrupt if how == "key" else CronosError):
        engine.restore(replacing(), run)
    assert (told(engine).verb, told(engine).result) == ("restore", "interrupted")
    assert leftovers(engine) == []


@pytest.mark.parametrize(
    "torn", [b'{"verb": "rest', b"\0\0\0\0", b"[]", b'{"verb": "restore"}', b'{"time": 5, "verb": 1}', b"\xff"]
)
def test_torn_lines_cost_only_themselves(engine: Cronos, torn: bytes) -> None:
    both_ways(engine, replacing())
    log = engine.store_path / "cronos/operations.jsonl"
    with log.open("ab") as file:
        file.write(torn)
    assert [operation.verb for operation in engine.operations()] == ["restore", "create"]
    engine.undo()
    assert [operation.verb for operation in engine.operations()] == ["undo", "restore", "create"]


def test_a_log_that_is_gone_costs_no_undo(engine: Cronos) -> None:
    before = read_tree(engine.project)
    both_ways(engine, replacing())
    (engine.store_path / "cronos/operations.jsonl").unlink()
    assert engine.operations() == []
    engine.undo()
    assert read_tree(engine.project) == before


def test_a_log_that_cannot_be_written_is_a_notice_and_the_restore_stands(engine: Cronos) -> None:
    log = engine.store_path / "cronos/operations.jsonl"
    log.unlink()
    log.symlink_to("nowhere")
    codes: list[str] = []
    engine.restore(replacing(), Run(emit=lambda event: codes.append(event.code) if isinstance(event, Noticed) else None))
    assert codes == ["oplog.unwritten"]
    assert (engine.project / "edit").read_bytes() == b"old"


def test_names_that_are_no_text_can_be_told(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"caf\udce9/a": b"1"})
    save(engine)
    (engine.project / "caf\udce9/a").write_bytes(b"changed")
    before = read_tree(engine.project)
    both_ways(engine, replacing(paths=("caf\udce9",)))
    assert told(engine).facts["paths"] == ["caf\udce9"]
    engine.undo()
    assert read_tree(engine.project) == before
