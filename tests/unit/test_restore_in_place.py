"""Restores in place on real files: what is planned, what is done, what it costs, and that everything comes back as it was."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cronos_git.disk import stage, walk
from cronos_git.engine import Cronos
from cronos_git.errors import (
    BackupNotFoundError,
    DiskFullError,
    InterruptedRunError,
    ModuleScopeError,
    RefusedError,
    UsageError,
)
from cronos_git.events import Event, Finished, Run, Started
from cronos_git.model import RestoreRequest, Strategy
from tests.support.disks import mounted
from tests.support.engine import make_engine
from tests.support.restoring import (
    actions,
    as_nobody,
    both_ways,
    leftovers,
    meanwhile,
    open_to_all,
    points,
    replacing,
    save,
    stamp,
    state,
)
from tests.support.trees import File, Link, Node, Special, assert_same_tree, make_tree, read_tree

TREE: dict[str, Node] = {
    "same": b"same",
    "edit": b"old",
    "gone": b"was here",
    "mode": b"m",
    "d/in": b"2",
    "e/deep/f": b"3",
    "empty": {},
    "link": Link("same"),
}


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    """A project that has changed since its backup `work`, which equals the directory `copy` beside it."""
    engine = make_engine(tmp_path, exclude=["*.log"])
    make_tree(engine.project, TREE)
    save(engine)
    shutil.copytree(engine.project, tmp_path / "copy", symlinks=True)
    change(engine.project)
    return engine


def change(project: Path) -> None:
    (project / "edit").write_bytes(b"newer")
    (project / "gone").unlink()
    (project / "mode").chmod(0o600)
    shutil.rmtree(project / "e")
    (project / "d/in").rename(project / "d/moved")
    (project / "link").unlink()
    (project / "link").symlink_to("edit")
    make_tree(project, {"extra": b"x", "more/deep": b"y", "d/debug.log": b"log"})


# --- replace and overwrite -------------------------------------------------------------------------------------------


def test_replace_gives_exactly_the_backup_and_leaves_excluded_files(engine: Cronos, tmp_path: Path) -> None:
    log, same = stamp(engine.project / "d/debug.log"), stamp(engine.project / "same")
    plan = engine.plan_restore(replacing())
    assert actions(plan) == {
        "": "attributes",
        "d": "attributes",
        "d/in": "create",
        "d/moved": "delete",
        "e": "create",
        "e/deep": "create",
        "e/deep/f": "create",
        "edit": "update",
        "extra": "delete",
        "gone": "create",
        "link": "update",
        "mode": "attributes",
        "more": "delete",
        "more/deep": "delete",
    }
    assert (plan.files, plan.directories, plan.size_bytes) == (5, 2, 13)
    report = engine.apply_restore(plan)
    assert (report.files, report.size_bytes, report.verified, report.problems) == (5, 13, 5, ())
    assert report.plan == plan
    assert report.restore_point == points(engine)[0]
    assert (stamp(engine.project / "d/debug.log"), stamp(engine.project / "same")) == (log, same)
    now = read_tree(engine.project)
    del now["d/debug.log"]
    assert now == read_tree(tmp_path / "copy")
    assert leftovers(engine) == []


def test_overwrite_lays_the_backup_over_and_keeps_what_it_lacks(engine: Cronos) -> None:
    extra = {name: stamp(engine.project / name) for name in ("extra", "more/deep", "d/moved", "d/debug.log")}
    report = both_ways(engine, replacing(strategy="overwrite"))
    assert "delete" not in actions(report.plan).values()
    assert {name: stamp(engine.project / name) for name in extra} == extra
    assert (engine.project / "edit").read_bytes() == b"old"
    assert (engine.project / "e/deep/f").read_bytes() == b"3"
    assert (engine.project / "link").readlink() == Path("same")
    assert points(engine) == [report.restore_point]


@pytest.mark.parametrize("strategy", ["replace", "overwrite"])
def test_planning_writes_nothing_anywhere(engine: Cronos, strategy: Strategy) -> None:
    before = state(engine.project, engine.store_path)
    plan = engine.plan_restore(replacing(strategy=strategy))
    assert plan.changes
    assert state(engine.project, engine.store_path) == before


@pytest.mark.parametrize("strategy", ["replace", "overwrite"])
def test_restore_in_one_step_does_what_its_plan_tells(engine: Cronos, strategy: Strategy) -> None:
    plan = engine.plan_restore(replacing(strategy=strategy))
    assert engine.restore(replacing(strategy=strategy)).plan == plan
    assert not [path for path, action in actions(engine.plan_restore(replacing(strategy=strategy))).items() if action != "kept"]


def test_a_kind_that_changed_gives_way_in_both_directions(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"file": b"1", "dir/in/f": b"2", "link": Link("file"), "fifo": Special("fifo")})
    save(engine)
    before = read_tree(engine.project)
    for name in ("file", "link", "fifo"):
        (engine.project / name).unlink()
    shutil.rmtree(engine.project / "dir")
    make_tree(engine.project, {"file/a/b": b"x", "dir": b"y", "link/c": b"z", "fifo": Link("nowhere")})
    report = both_ways(engine, replacing(strategy="overwrite"))
    assert read_tree(engine.project) == before
    engine.undo()
    assert (engine.project / "file/a/b").read_bytes() == b"x"
    assert (engine.project / "fifo").is_symlink()
    assert report.problems == ()


def test_paths_limit_what_is_restored(engine: Cronos) -> None:
    edit, extra = stamp(engine.project / "edit"), stamp(engine.project / "extra")
    plan = engine.plan_restore(replacing(paths=("d", "e/deep/f")))
    assert plan.paths == ("d", "e/deep/f")
    assert actions(plan) == {
        "d": "attributes",
        "d/in": "create",
        "d/moved": "delete",
        "e": "create",
        "e/deep": "create",
        "e/deep/f": "create",
    }
    engine.apply_restore(plan)
    assert (stamp(engine.project / "edit"), stamp(engine.project / "extra")) == (edit, extra)
    assert sorted(os.listdir(engine.project / "d")) == ["debug.log", "in"]
    assert (engine.project / "e/deep/f").read_bytes() == b"3"


@pytest.mark.parametrize("paths", [("nope",), ("d/nope",), ("edit/below",), ("../outside",), ("/etc",), ("d/",)])
def test_a_path_that_the_backup_lacks_is_told(engine: Cronos, paths: tuple[str, ...]) -> None:
    before = state(engine.project, engine.store_path)
    with pytest.raises(BackupNotFoundError):
        engine.restore(replacing(paths=paths))
    assert state(engine.project) == {name: was for name, was in before.items() if name.startswith(str(engine.project))}
    assert points(engine) == []


def test_a_directory_above_a_restored_path_keeps_its_attributes(engine: Cronos) -> None:
    (engine.project / "d").chmod(0o750)
    os.utime(engine.project / "d", ns=(5, 5))
    both_ways(engine, replacing(paths=("d/in",)))
    info = (engine.project / "d").stat()
    assert (info.st_mode & 0o7777, info.st_mtime_ns) == (0o750, 5)


def test_unknown_backup_and_unknown_strategy_change_nothing(engine: Cronos) -> None:
    before = state(engine.project, engine.store_path)
    with pytest.raises(BackupNotFoundError):
        engine.plan_restore(replacing(backup="nope"))
    with pytest.raises(UsageError, match="rsync") as caught:
        engine.plan_restore(replacing(strategy="rsync"))
    assert caught.value.hint.endswith("new_location, overwrite, replace, merge.")
    assert state(engine.project, engine.store_path) == before


# --- modules and scopes ----------------------------------------------------------------------------------------------


@pytest.fixture
def modular(tmp_path: Path) -> Cronos:
    engine = make_engine(tmp_path, modules={"core": ["src/kernel", "etc/core.toml"]})
    make_tree(
        engine.project,
        {"src/kernel/a": b"1", "etc/core.toml": b"2", "subs/ETHIK/b": b"3", "one/twin/x": b"4", "two/twin/x": b"5", "top": b"6"},
    )
    save(engine)
    for name in ("src/kernel/a", "etc/core.toml", "one/twin/x", "two/twin/x", "top"):
        (engine.project / name).write_bytes(b"changed")
    shutil.rmtree(engine.project / "subs")
    return engine


@pytest.mark.parametrize(
    ("modules", "written"),
    [
        (("core",), ["etc/core.toml", "src/kernel/a"]),
        (("CORE",), ["etc/core.toml", "src/kernel/a"]),
        (("subs/ETHIK",), ["subs", "subs/ETHIK", "subs/ETHIK/b"]),
        (("ETHIK",), ["subs", "subs/ETHIK", "subs/ETHIK/b"]),
        (("one/twin", "ethik"), ["one/twin/x", "subs", "subs/ETHIK", "subs/ETHIK/b"]),
    ],
)
def test_modules_are_looked_for_in_the_backup(modular: Cronos, modules: tuple[str, ...], written: list[str]) -> None:
    top = stamp(modular.project / "top")
    plan = modular.plan_restore(replacing(modules=modules))
    assert [change.path for change in plan.changes if change.action in ("create", "update")] == written
    modular.apply_restore(plan)
    assert stamp(modular.project / "top") == top


@pytest.mark.parametrize("module", ["twin", "nobody", "../project", "/etc"])
def test_a_module_that_is_ambiguous_or_unknown_stops_everything(modular: Cronos, module: str) -> None:
    before = state(modular.project, modular.store_path)
    with pytest.raises(ModuleScopeError) as caught:
        modular.plan_restore(replacing(modules=(module,)))
    assert caught.value.context["candidates"] == (["one/twin", "two/twin"] if module == "twin" else [])
    assert state(modular.project, modular.store_path) == before


def test_backup_of_a_module_replaces_only_its_scope(modular: Cronos) -> None:
    save(modular, "part", modules=("core",))
    make_tree(modular.project, {"src/kernel/extra": b"x", "src/other": b"y"})
    (modular.project / "src/kernel/a").unlink()
    (modular.project / "top").write_bytes(b"later")
    report = both_ways(modular, replacing(backup="part"))
    assert {path for path, action in actions(report.plan).items() if action != "attributes"} == {
        "src/kernel/a",
        "src/kernel/extra",
    }
    assert (modular.project / "top").read_bytes() == b"later"
    assert (modular.project / "src/other").read_bytes() == b"y"
    before = (modular.project / "src/kernel/a").read_bytes()
    modular.undo()
    assert not (modular.project / "src/kernel/a").exists()
    assert (modular.project / "src/kernel/extra").read_bytes() == b"x"
    assert (modular.project / "top").read_bytes() == b"later"
    (modular.project / "top").write_bytes(b"later still")
    modular.undo()
    assert (modular.project / "src/kernel/a").read_bytes() == before
    assert (modular.project / "top").read_bytes() == b"later still"


# --- other targets ---------------------------------------------------------------------------------------------------


def test_another_directory_gets_a_restore_point_of_its_own(engine: Cronos, tmp_path: Path) -> None:
    other = make_tree(tmp_path / "other", {"edit": b"theirs", "mine": b"m", "a.log": b"l"})
    before = read_tree(other)
    tip, status, latest = engine.store.ref("refs/heads/main"), engine.plan_snapshot(), engine.resolve("latest").backup
    report = both_ways(engine, replacing(target=str(other)))
    point = engine.resolve(report.restore_point or "").backup
    assert point.type == "restore-point"
    assert point.scope.startswith("other-")
    assert point.parent is None
    assert (other / "edit").read_bytes() == b"old"
    assert not (other / "mine").exists()
    assert (other / "a.log").read_bytes() == b"l"
    assert engine.store.ref("refs/heads/main") == tip
    assert engine.plan_snapshot() == status
    assert engine.resolve("latest").backup == latest
    assert save(engine, "next").parent == latest.id
    engine.undo()
    assert read_tree(other) == before


def test_a_second_restore_into_it_follows_on_the_first(engine: Cronos, tmp_path: Path) -> None:
    other = make_tree(tmp_path / "other", {"mine": b"m"})
    both_ways(engine, replacing(target=str(other)))
    (other / "edit").write_bytes(b"again")
    both_ways(engine, replacing(target=str(other)))
    second, first = (engine.resolve(point).backup for point in points(engine))
    assert second.scope == first.scope
    assert second.parent == first.id


@pytest.mark.parametrize("strategy", ["replace", "overwrite"])
def test_an_absent_target_is_planned_as_a_new_location(engine: Cronos, tmp_path: Path, strategy: Strategy) -> None:
    plan = engine.plan_restore(replacing(target=str(tmp_path / "fresh"), strategy=strategy))
    assert (plan.strategy, plan.restore_point, plan.changes) == ("new_location", False, ())
    engine.apply_restore(plan)
    assert_same_tree(tmp_path / "copy", tmp_path / "fresh")
    assert points(engine) == []


def test_a_project_that_is_gone_comes_back(engine: Cronos, tmp_path: Path) -> None:
    shutil.rmtree(engine.project)
    both_ways(engine, replacing())
    assert_same_tree(tmp_path / "copy", engine.project)


def test_an_empty_target_is_filled(engine: Cronos, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir(mode=0o700)
    both_ways(engine, replacing(target=str(tmp_path / "other")))
    assert_same_tree(tmp_path / "copy", tmp_path / "other")


@pytest.mark.parametrize("where", [".", "stores", "store", "store/objects", "file"])
def test_targets_that_cannot_be_are_refused_with_nothing_changed(engine: Cronos, tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    target = engine.store_path if where == "store" else tmp_path / where
    target = engine.store_path / "objects" if where == "store/objects" else target
    before = state(tmp_path)
    with pytest.raises(RefusedError) as caught:
        engine.plan_restore(replacing(target=str(target)))
    assert caught.value.hint
    assert state(tmp_path) == before
    with pytest.raises(RefusedError):
        engine.restore(replacing(target=str(target)))
    assert without_bookkeeping(engine, state(tmp_path)) == without_bookkeeping(engine, before)


def without_bookkeeping(engine: Cronos, found: dict[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    """Without the lock, the operation log and the directories that temporary files came and went in."""
    cronos = engine.store_path / "cronos"
    passing = {str(path) for path in (cronos, cronos / "lock", cronos / "operations.jsonl", engine.store_path / "objects/pack")}
    return {path: was for path, was in found.items() if path not in passing}


def test_a_link_to_a_directory_means_that_directory(engine: Cronos, tmp_path: Path) -> None:
    make_tree(tmp_path / "other", {"edit": b"theirs"})
    (tmp_path / "way").symlink_to("other")
    plan = engine.plan_restore(replacing(target=str(tmp_path / "way")))
    assert plan.target == str(tmp_path / "other")
    engine.apply_restore(plan)
    assert (tmp_path / "way").is_symlink()
    assert (tmp_path / "other/edit").read_bytes() == b"old"


def test_a_link_to_the_project_means_the_project(engine: Cronos, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(engine.project)
    report = both_ways(engine, replacing(target=str(tmp_path / "way")))
    assert engine.resolve(report.restore_point or "").backup.scope == "project"


@pytest.mark.parametrize("to", ["nowhere", "file"])
def test_a_link_to_no_directory_is_refused(engine: Cronos, tmp_path: Path, to: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "way").symlink_to(to)
    with pytest.raises(RefusedError, match="not a directory"):
        engine.plan_restore(replacing(target=str(tmp_path / "way")))
    assert (tmp_path / "file").read_bytes() == b"x"
    assert not (tmp_path / "nowhere").exists()


def test_a_directory_inside_the_project_can_be_a_target(engine: Cronos, tmp_path: Path) -> None:
    both_ways(engine, replacing(target=str(engine.project / "more")))
    assert_same_tree(tmp_path / "copy", engine.project / "more")
    assert (engine.project / "extra").read_bytes() == b"x"


# --- costs -----------------------------------------------------------------------------------------------------------


class Audit:
    """What was opened and listed below a directory, as Python's own audit events tell."""

    def __init__(self) -> None:
        self.active = False
        self.root = ""
        self.opened: list[str] = []
        self.listed: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.active or event not in ("open", "os.scandir", "os.listdir"):
            return
        where = args[0]
        if event != "open" and isinstance(where, int):
            path = os.readlink(f"/proc/self/fd/{where}")
            if path.startswith(self.root) and walk.STAGING_PREFIX not in path:
                self.listed.append(path)
        elif event == "open" and isinstance(where, str) and not args[2] & os.O_DIRECTORY and "/" not in where:
            self.opened.append(where)

    @contextmanager
    def watching(self, root: Path) -> Iterator[None]:
        self.opened, self.listed, self.root, self.active = [], [], str(root), True
        try:
            yield
        finally:
            self.active = False


AUDIT = Audit()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Cronos:
    """A project of 3,000 files in 60 directories with a backup `work`."""
    engine = make_engine(tmp_path_factory.mktemp("large"))
    make_tree(engine.project, {f"d{n:02}/f{n:02}-{m:02}": f"{n} {m}" for n in range(60) for m in range(50)})
    save(engine)
    return engine


TEN = [f"d{n:02}/f{n:02}-07" for n in range(0, 60, 6)]


@pytest.mark.parametrize("restore_point", [True, False])
def test_ten_of_three_thousand_files_differ_and_only_these_are_touched(large: Cronos, restore_point: bool) -> None:
    for name in TEN:
        (large.project / name).write_text("changed")
    before = {path: stamp(path) for path in large.project.rglob("f*")}
    with AUDIT.watching(large.project):
        report = large.restore(replacing(restore_point=restore_point))
    assert report.files == report.verified == 10
    after = {path: stamp(path) for path in large.project.rglob("f*")}
    assert sorted(str(path.relative_to(large.project)) for path in before if before[path] != after[path]) == TEN
    names = [name.rpartition("/")[2] for name in TEN]
    assert sorted(name for name in AUDIT.opened if name.startswith("f")) == names  # each once, for the look
    assert sorted(set(AUDIT.listed)) == sorted({str(large.project), *(str(large.project / f"d{n:02}") for n in range(60))})
    assert len(AUDIT.listed) == 61  # one walk, and no listing besides


def test_a_restore_of_one_directory_walks_once_and_writes_one_file(large: Cronos) -> None:
    for name in TEN:
        (large.project / name).write_text("changed again")
    with AUDIT.watching(large.project):
        report = large.restore(replacing(paths=("d06",)))
    assert report.files == 1
    assert len(AUDIT.listed) == 61
    large.restore(replacing())


@pytest.mark.parametrize("paths", [(), ("d06",)])
def test_an_unchanged_target_costs_a_walk_and_nothing_is_written(large: Cronos, paths: tuple[str, ...]) -> None:
    save(large)  # so that what was restored is known
    before, done = state(large.project, large.store_path), large.operations()
    with AUDIT.watching(large.project):
        report = large.restore(replacing(paths=paths))
    assert (report.files, report.restore_point, report.plan.changes) == (0, None, ())
    assert [name for name in AUDIT.opened if name.startswith("f") and "-" in name] == []
    assert len(AUDIT.listed) == 61
    assert without_bookkeeping(large, state(large.project, large.store_path)) == without_bookkeeping(large, before)
    assert large.operations() == done


# --- fidelity --------------------------------------------------------------------------------------------------------

HARD: dict[str, Node] = {
    "setuid": File(b"1", mode=0o4755),
    "setgid": File(b"2", mode=0o2755),
    "none": File(b"3", mode=0o000),
    "read-only": File(b"4", mode=0o444),
    "old": File(b"5", mtime_ns=-1_234_567_890_123_456_789),
    "future": File(b"6", mtime_ns=4_102_444_800_987_654_321),
    "dangling": Link("not/there"),
    "absolute": Link("/etc/hostname"),
    "upward": Link("../../.."),
    "h1": File(b"7", mode=0o640),
    "deep/h2": File(hard="h1"),
    "deep/h3": File(hard="h1"),
    "pair1": b"8",
    "pair2": File(hard="pair1"),
    "attrs": File(b"9", xattrs=(("user.a", b"\0binary"), ("user.b", b""))),
    "empty/er": {},
    "fifo": Special("fifo"),
    "caf\udce9\n": b"10",
    "large": os.urandom(3 << 20),
    "zero": b"",
}

ACL = bytes.fromhex("0200000001000600ffffffff02000600ea03000004000400ffffffff10000600ffffffff20000000ffffffff")


def _wrecked(project: Path) -> None:
    for path in sorted(project.rglob("*"), reverse=True):
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        else:
            path.rmdir()


def _other(project: Path) -> None:
    _wrecked(project)
    make_tree(
        project, {name: {"in": b"x"} if isinstance(node, File) else b"other" for name, node in HARD.items() if "/" not in name}
    )


def _attributes_only(project: Path) -> None:
    for path in project.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o700)
            os.setxattr(path, "user.other", b"1") if path.is_dir() or path.is_file() else None
        os.utime(path, ns=(1, 1), follow_symlinks=False)


def _unlinked(project: Path) -> None:
    for name in ("deep/h2", "pair2"):
        body = (project / name).read_bytes()
        (project / name).unlink()
        (project / name).write_bytes(body)
    (project / "deep/h3").unlink()
    os.link(project / "zero", project / "deep/h3")


@pytest.mark.parametrize("damage", [_wrecked, _other, _attributes_only, _unlinked])
@pytest.mark.parametrize("strategy", ["replace", "overwrite"])
def test_every_kind_and_attribute_comes_back(tmp_path: Path, damage: Callable[[Path], None], strategy: Strategy) -> None:
    engine = make_engine(tmp_path, chunk_threshold=1 << 20)
    make_tree(engine.project, HARD)
    (engine.project / "empty/er").chmod(0o1777)
    (engine.project / "deep").chmod(0o2555)
    os.setxattr(engine.project / "attrs", "system.posix_acl_access", ACL)
    os.setxattr(engine.project / "empty", "system.posix_acl_default", ACL)
    os.setxattr(engine.project / "empty", "user.dir", b"1")
    os.utime(engine.project / "empty", ns=(-5, -5))
    os.utime(engine.project / "dangling", ns=(7, -7), follow_symlinks=False)
    save(engine)
    before = read_tree(engine.project)
    damage(engine.project)
    changed = read_tree(engine.project)
    report = both_ways(engine, replacing(strategy=strategy))
    assert report.problems == ()
    assert read_tree(engine.project) == before
    engine.undo()
    assert read_tree(engine.project) == changed
    engine.undo()
    assert read_tree(engine.project) == before


def test_an_ordinary_user_restores_into_read_only_directories(tmp_path: Path) -> None:
    open_to_all(tmp_path)

    def work() -> None:
        engine = make_engine(tmp_path)
        make_tree(engine.project, {"ro/a": b"1", "ro/deep/b": b"2", "ro/gone/c": b"3", "shut/d": b"4"})
        for name in ("ro/gone", "ro/deep", "ro", "shut"):
            (engine.project / name).chmod(0o555)
        save(engine)
        before = read_tree(engine.project)
        for name in ("ro", "ro/deep", "ro/gone"):
            (engine.project / name).chmod(0o755)
        (engine.project / "ro/a").write_bytes(b"changed")
        (engine.project / "ro/deep/b").unlink()
        shutil.rmtree(engine.project / "ro/gone")
        make_tree(engine.project, {"ro/extra/e": b"e", "ro/deep/new": b"n"})
        for name in ("ro/extra", "ro/deep", "ro"):
            (engine.project / name).chmod(0o555)
        changed = read_tree(engine.project)
        assert both_ways(engine, replacing()).problems == ()
        assert read_tree(engine.project) == before
        assert engine.undo().problems == ()
        assert read_tree(engine.project) == changed
        assert leftovers(engine) == []

    as_nobody(work)


def test_an_ordinary_user_restores_into_a_read_only_project(tmp_path: Path) -> None:
    open_to_all(tmp_path)

    def work() -> None:
        engine = make_engine(tmp_path)
        make_tree(engine.project, {"a": b"1", "b": b"2"})
        engine.project.chmod(0o555)
        save(engine)
        before = read_tree(engine.project)
        (engine.project / "a").write_bytes(b"changed")
        both_ways(engine, replacing())
        assert read_tree(engine.project) == before
        engine.undo()
        assert (engine.project / "a").read_bytes() == b"changed"

    as_nobody(work)


def test_directories_of_somebody_else_that_we_may_write_in_are_no_obstacle(tmp_path: Path) -> None:
    """A shared project: its times are not ours to set, which is told, and the files come back all the same."""
    open_to_all(tmp_path)
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"shared": {}})
    for path in (engine.project, engine.project / "shared"):
        path.chmod(0o2777)

    def work() -> None:
        mine = make_engine(tmp_path)
        make_tree(mine.project, {"shared/a": b"1", "shared/b": b"2"})
        save(mine)
        make_tree(mine.project, {"shared/a": b"changed", "shared/extra": b"e"})
        (mine.project / "shared/b").unlink()
        report = both_ways(mine, replacing())
        assert sorted(os.listdir(mine.project / "shared")) == ["a", "b"]
        assert (mine.project / "shared/a").read_bytes() == b"1"
        assert {(problem.path, problem.code) for problem in report.problems} == {("", "attribute"), ("shared", "attribute")}
        assert all(problem.text.startswith("time not applied") for problem in report.problems)
        run = meanwhile(Started, lambda: (mine.project / "shared/extra").write_bytes(b"again"), phase="verify")
        (mine.project / "shared/a").write_bytes(b"changed")
        (mine.project / "shared/extra").write_bytes(b"e")
        with pytest.raises(RefusedError):
            mine.restore(replacing(), run)
        assert (mine.project / "shared/a").read_bytes() == b"changed"
        assert leftovers(mine) == []

    as_nobody(work)


def test_ownership_that_is_not_permitted_is_a_problem_of_its_path(tmp_path: Path) -> None:
    open_to_all(tmp_path)
    if os.geteuid() == 0:
        engine = make_engine(tmp_path)
        make_tree(engine.project, {"theirs": b"1", "mine": b"2"})
        open_to_all(engine.project)
        os.chown(engine.project / "theirs", 1, 1)
        os.chown(engine.project / "mine", 65534, 65534)
        save(engine)
        (engine.project / "theirs").unlink()
        (engine.project / "mine").unlink()
        for path in (tmp_path / "stores", *(tmp_path / "stores").rglob("*")):
            os.chown(path, 65534, 65534)

    def work() -> None:
        report = both_ways(make_engine(tmp_path), replacing())
        assert [(p.path, p.code) for p in report.problems if p.path] == [("theirs", "attribute")]
        assert "owner not applied" in report.problems[0].text
        assert (tmp_path / "project/theirs").read_bytes() == b"1"

    as_nobody(work)


@pytest.mark.parametrize("strategy", ["replace", "overwrite"])
def test_sockets_and_devices_are_never_deleted_and_told(tmp_path: Path, strategy: Strategy) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": b"1", "was-socket": Special("socket"), "becomes": b"file", "dir/f": b"2"})
    save(engine)
    (engine.project / "was-socket").unlink()
    (engine.project / "becomes").unlink()
    shutil.rmtree(engine.project / "dir")
    make_tree(engine.project, {"extra/socket": Special("socket"), "becomes": Special("socket"), "a": b"22"})
    if os.geteuid() == 0:
        os.mknod(engine.project / "null", 0o020666, os.makedev(1, 3))
        os.mknod(engine.project / "dir", 0o020666, os.makedev(1, 3))
    special = {name: (engine.project / name).lstat().st_ino for name in ("extra/socket", "becomes")}
    report = both_ways(engine, replacing(strategy=strategy))
    assert {name: (engine.project / name).lstat().st_ino for name in special} == special
    assert (engine.project / "a").read_bytes() == b"1"
    expected = {"becomes", "was-socket", *(["extra/socket"] if strategy == "replace" else [])}
    if os.geteuid() == 0:
        assert (engine.project / "null").is_char_device()
        assert (engine.project / "dir").is_char_device()
        expected |= {"dir", *(["null"] if strategy == "replace" else [])}
    assert {problem.path for problem in report.problems} == expected
    assert {problem.code for problem in report.problems} == {"not_restored"}


def test_what_cannot_be_read_is_neither_overwritten_nor_deleted(tmp_path: Path) -> None:
    open_to_all(tmp_path)

    def work() -> None:
        engine = make_engine(tmp_path)
        make_tree(engine.project, {"a": b"1", "b": b"2", "closed/in": b"3", "c": b"5"})
        save(engine)
        for name in ("a", "closed/in"):
            (engine.project / name).write_bytes(b"secret")
        make_tree(engine.project, {"new": b"secret", "shut/deep": b"secret", "b": b"changed"})
        for name in ("a", "new", "closed", "shut"):
            (engine.project / name).chmod(0)
        report = both_ways(engine, replacing())
        assert {problem.path for problem in report.problems} >= {"a", "new", "closed", "shut"}
        assert (engine.project / "b").read_bytes() == b"2"
        for name in ("closed", "shut", "a", "new"):
            (engine.project / name).chmod(0o700)
        assert {(engine.project / name).read_bytes() for name in ("a", "new", "closed/in", "shut/deep")} == {b"secret"}

    as_nobody(work)


def test_what_the_backup_could_not_read_is_left_alone(tmp_path: Path) -> None:
    open_to_all(tmp_path)

    def work() -> None:
        engine = make_engine(tmp_path)
        make_tree(engine.project, {"a": b"1", "closed/in": b"3", "b": b"2"})
        for name in ("a", "closed"):
            (engine.project / name).chmod(0)
        save(engine)
        for name in ("a", "closed"):
            (engine.project / name).chmod(0o700)
        (engine.project / "b").write_bytes(b"changed")
        report = both_ways(engine, replacing())
        assert (engine.project / "closed").stat().st_mode & 0o7777 == 0
        (engine.project / "closed").chmod(0o700)
        assert (engine.project / "a").read_bytes() == b"1"
        assert (engine.project / "closed/in").read_bytes() == b"3"
        assert (engine.project / "b").read_bytes() == b"2"
        assert "a" in {problem.path for problem in report.problems}

    as_nobody(work)


# --- events, interruption, space -------------------------------------------------------------------------------------


def test_events_tell_each_phase_with_its_totals(engine: Cronos) -> None:
    events: list[Event] = []
    plan = engine.plan_restore(replacing())
    engine.apply_restore(plan, Run(emit=events.append))
    started = [event for event in events if isinstance(event, Started)]
    assert [event.phase for event in started] == ["scan", "store", "restore", "verify", "move"]
    assert [event.phase for event in events if isinstance(event, Finished)] == [event.phase for event in started]
    totals = {event.phase: (event.total_files, event.total_bytes) for event in started}
    assert totals["restore"] == totals["verify"] == (plan.files, plan.size_bytes)
    assert totals["move"] == (plan.files + 3, None)  # d/moved, extra and more/deep go


def test_without_verification_nothing_is_read_back(engine: Cronos) -> None:
    events: list[Event] = []
    report = engine.apply_restore(engine.plan_restore(replacing()), Run(emit=events.append), verify=False)
    assert report.verified == 0
    assert "verify" not in [event.phase for event in events if isinstance(event, Started)]
    engine.undo()
    assert engine.restore(replacing(verify=False)).verified == 0


@pytest.mark.parametrize("phase", ["scan", "store", "restore", "verify", "move"])
def test_cancelling_in_any_phase_leaves_everything_as_it_was(engine: Cronos, phase: str) -> None:
    before = state(engine.project)
    kept = [backup.id for backup in engine.backups()]

    def cancel() -> None:
        run.cancelled = True

    run = meanwhile(Started, cancel, phase=phase)
    with pytest.raises(InterruptedRunError):
        engine.restore(replacing(), run)
    assert read_state_but_ctimes(engine.project) == {path: (*was[:6], *was[7:]) for path, was in before.items()}
    assert [backup.id for backup in engine.backups()] == kept
    assert leftovers(engine) == []
    assert engine.operations(1)[0].result == "interrupted"
    engine.restore(replacing())
    assert (engine.project / "edit").read_bytes() == b"old"


def read_state_but_ctimes(root: Path) -> dict[str, tuple[object, ...]]:
    """A swap and the swap back leave another change time, which nobody can set."""
    return {path: (*was[:6], *was[7:]) for path, was in state(root).items()}


def test_too_little_space_is_seen_before_anything_is_written(engine: Cronos, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state(engine.project)
    monkeypatch.setattr(stage, "free_bytes", lambda _path: 12)
    with pytest.raises(DiskFullError, match="13 bytes are to be written, but only 12 are free"):
        engine.restore(replacing())
    assert state(engine.project) == before
    assert points(engine) == []
    assert leftovers(engine) == []


def test_a_disk_that_fills_up_gives_everything_back(
    engine: Cronos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_disk: Path
) -> None:
    (engine.project / "big").write_bytes(os.urandom(1 << 20))
    save(engine, "big")
    make_tree(small_disk, {"edit": b"mine", "filler": bytes(600 << 10)})
    before = read_tree(small_disk)
    with pytest.raises(DiskFullError):
        engine.restore(replacing(backup="big", target=str(small_disk)))
    monkeypatch.setattr(stage, "free_bytes", lambda _path: 1 << 40)
    with pytest.raises(DiskFullError, match="Nothing was restored"):
        engine.restore(replacing(backup="big", target=str(small_disk)))
    assert read_tree(small_disk) == before
    assert points(engine) == []
    assert leftovers(engine, small_disk) == []


def test_target_on_another_file_system_than_the_store(engine: Cronos, small_disk: Path) -> None:
    make_tree(small_disk, {"edit": b"mine", "extra": b"x", "a.log": b"l"})
    before = read_tree(small_disk)
    both_ways(engine, replacing(target=str(small_disk)))
    assert (small_disk / "edit").read_bytes() == b"old"
    engine.undo()
    assert read_tree(small_disk) == before


def test_a_project_that_spans_file_systems(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    with mounted(engine.project / "one"), mounted(engine.project / "two"):
        make_tree(engine.project, {"one/a": b"1", "one/d/x": b"x", "two/b": b"2", "c": b"3"})
        save(engine)
        before = read_tree(engine.project)
        shutil.rmtree(engine.project / "one/d")
        make_tree(engine.project, {"one/a": b"changed", "one/extra": b"e", "two/e/f": b"new", "c": b"changed"})
        changed = read_tree(engine.project)
        both_ways(engine, replacing())
        assert read_tree(engine.project) == before
        engine.undo()
        assert read_tree(engine.project) == changed
        assert leftovers(engine) == []


@pytest.mark.parametrize("becomes", ["nothing", "file"])
def test_what_is_mounted_is_emptied_but_stays_mounted(tmp_path: Path, becomes: str) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": b"1"} if becomes == "nothing" else {"a": b"1", "m": b"a file"})
    save(engine)
    (engine.project / "m").unlink(missing_ok=True)
    with mounted(engine.project / "m"):
        make_tree(engine.project, {"a": b"changed", "m/in": b"x"})
        report = both_ways(engine, replacing())
        assert (engine.project / "a").read_bytes() == b"1"
        assert (engine.project / "m").is_mount()
        assert actions(report.plan)["m"] == "kept"
        assert os.listdir(engine.project / "m") == ([] if becomes == "nothing" else ["in"])
        assert [problem.path for problem in report.problems] == ([] if becomes == "nothing" else ["m"])
        engine.undo()
        assert (engine.project / "m/in").read_bytes() == b"x"


def test_a_new_location_in_the_project_is_unaffected(engine: Cronos, tmp_path: Path) -> None:
    plan = engine.plan_restore(RestoreRequest(backup="work", target=str(tmp_path / "out")))
    assert not plan.is_in_place
    engine.apply_restore(plan)
    assert_same_tree(tmp_path / "copy", tmp_path / "out")
