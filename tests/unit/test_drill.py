"""The trial restore: it tells what differs by what is on disk, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cronos_git.disk import stage
from cronos_git.engine import Cronos
from cronos_git.errors import BackupNotFoundError, DamageError, DiskFullError, InterruptedRunError, RefusedError
from cronos_git.events import Event, Finished, Run
from cronos_git.model import Difference, DrillReport, SnapshotRequest
from cronos_git.ops import drill, extract
from tests.support.engine import make_engine
from tests.support.faults import run_and_kill
from tests.support.git import git
from tests.support.restoring import NOBODY, as_nobody, open_to_all, save, state
from tests.support.trees import File, Link, Special, make_tree
from tests.unit.test_verify import flip_a_bit

PROJECT: dict[str, Any] = {
    "a": b"one",
    "dir": {"run.sh": File(b"#!/bin/sh\n", mode=0o755), "noted": File(b"x", xattrs=(("user.note", b"hello"),))},
    "closed": {"in": b"inside"},
    "empty": {},
    "link": Link("a"),
    "pipe": Special("fifo"),
    "caf\udce9": b"latin-1 name",
    ".gitmodules": b"[submodule]\n\turl = -x\n",
    "node_modules/x": b"excluded by rule, but not here",
    ".cronosignore": b"*.log\n",
    "twin": File(hard="a"),
}


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    engine = make_engine(tmp_path, default_excludes=False, chunk_threshold=1 << 20)
    make_tree(engine.project, PROJECT)
    (engine.project / "big").write_bytes(os.urandom(3 << 20))
    (engine.project / "closed").chmod(0o555)
    save(engine)
    return engine


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "scratch"
    made.mkdir()
    (made / "mine").write_text("not to be touched")
    return made


def test_a_backup_of_everything_comes_back_as_it_is_and_nothing_is_left(engine: Cronos, place: Path) -> None:
    before = state(engine.project, place / "mine")
    report = engine.drill(scratch=place)
    assert report.differences == ()
    assert report.problems == ()
    assert (report.backup.id, report.size_bytes) == (engine.backups()[0].id, engine.backups()[0].size_bytes)
    assert report.restore_s > 0
    assert report.compare_s > 0
    assert state(engine.project, place / "mine") == before
    assert os.listdir(place) == ["mine"]


def test_backup_of_a_module_comes_back_as_it_is(engine: Cronos, place: Path) -> None:
    engine.snapshot(SnapshotRequest(name="part", modules=("dir",)))
    report = engine.drill("part", place)
    assert (report.differences, report.files) == ((), 2)


def test_large_file_that_would_be_cut_otherwise_now_is_compared_by_its_bytes(
    engine: Cronos, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = drill.subject
    monkeypatch.setattr(drill, "subject", lambda *arguments: replace(real(*arguments), chunk_threshold=1 << 40))
    assert engine.drill(scratch=place).differences == ()
    spoiling(monkeypatch, lambda root: keeping_times(root / "big", flip_last))
    assert [found.path for found in engine.drill(scratch=place).differences] == ["big"]


def spoiling(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], object]) -> None:
    """Let the restore do its work, believe in it, and something happen to it at once."""
    real = extract.apply

    def apply(*arguments: Any, **options: Any) -> Any:
        report = real(*arguments, **options)
        spoil(Path(report.plan.target))
        return report

    monkeypatch.setattr(extract, "apply", apply)


def keeping_times(path: Path, act: Callable[[Path], object]) -> None:
    info, above = path.lstat(), path.parent.stat()
    act(path)
    if os.path.lexists(path):
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)
    os.utime(path.parent, ns=(above.st_atime_ns, above.st_mtime_ns))


def flip_last(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


class Spoiled(NamedTuple):
    path: str
    what: str
    is_damage: bool
    act: Callable[[Path], object]


@pytest.mark.parametrize(
    "spoiled",
    [
        Spoiled("dir/run.sh", "content", True, flip_last),
        Spoiled("big", "content", True, flip_last),
        Spoiled("dir/noted", "missing", True, Path.unlink),
        Spoiled("empty", "missing", True, Path.rmdir),
        Spoiled("new", "extra", True, lambda path: path.write_text("")),
        Spoiled("extra", "extra", True, Path.mkdir),
        Spoiled("pipe", "kind", True, lambda path: (path.unlink(), path.write_text(""))),
        Spoiled("link", "content", True, lambda path: (path.unlink(), path.symlink_to("b"))),
        Spoiled("dir/run.sh", "mode", False, lambda path: path.chmod(0o644)),
        Spoiled("dir/run.sh", "owner", False, lambda path: os.chown(path, 12, 13)),
        Spoiled("dir/noted", "xattrs", False, lambda path: os.setxattr(path, "user.note", b"other")),
        Spoiled("dir/noted", "xattrs", False, lambda path: os.removexattr(path, "user.note")),
        Spoiled("closed", "mode", False, lambda path: path.chmod(0o755)),
    ],
)
def test_whatever_differs_on_disk_is_named(
    engine: Cronos, place: Path, monkeypatch: pytest.MonkeyPatch, spoiled: Spoiled
) -> None:
    def spoil(root: Path) -> None:
        path = root / spoiled.path
        if os.path.lexists(path):
            keeping_times(path, spoiled.act)
        else:
            above = path.parent.stat()
            spoiled.act(path)
            os.utime(path.parent, ns=(above.st_atime_ns, above.st_mtime_ns))

    spoiling(monkeypatch, spoil)
    (found,) = engine.drill(scratch=place).differences
    assert (found.path, found.what, found.is_damage) == (spoiled.path, (spoiled.what,), spoiled.is_damage)
    assert found.text
    assert os.listdir(place) == ["mine"]


def test_time_and_broken_hard_link_are_named(engine: Cronos, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(root: Path) -> None:
        os.utime(root, ns=(1, 1))
        keeping_times(root / "twin", lambda path: (path.unlink(), path.write_bytes(b"one")))
        os.utime(root / "twin", ns=(1, 1))
        os.utime(root, ns=(1, 1))

    spoiling(monkeypatch, spoil)
    report = engine.drill(scratch=place)
    found = {difference.path: difference.what for difference in report.differences}
    assert found == {"": ("mtime",), "a": ("links",), "twin": ("mtime", "links")}
    assert not any(difference.is_damage for difference in report.differences)


def test_what_lies_in_a_missing_directory_is_named_too(engine: Cronos, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoiling(monkeypatch, lambda root: keeping_times(root / "dir", stage.remove_tree))
    found = [(difference.path, difference.what) for difference in engine.drill(scratch=place).differences]
    assert found == [("dir", ("missing",)), ("dir/noted", ("missing",)), ("dir/run.sh", ("missing",))]


def test_sockets_are_problems_and_no_difference(tmp_path: Path, place: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": b"one", "s": Special("socket")})
    save(engine)
    report = engine.drill(scratch=place)
    assert report.differences == ()
    assert [problem.path for problem in report.problems] == ["s"]


def test_owners_that_an_ordinary_user_cannot_give_are_problems_and_no_difference(tmp_path: Path, place: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": b"one", "dir/b": File(b"two", mode=0o600), "shut": File(b"x", mode=0o000)})
    save(engine)
    for path in [tmp_path, *tmp_path.rglob("*")]:
        os.chown(path, NOBODY, -1)
    open_to_all(tmp_path)

    def work() -> None:
        report = engine.drill(scratch=place)
        assert report.differences == ()
        assert {problem.path for problem in report.problems} == {"", "a", "dir", "dir/b", "shut"}
        assert os.listdir(place) == ["mine"]

    as_nobody(work)


# --- what it must not do ---


@pytest.mark.parametrize("where", ["project", "stores", "project/dir"])
def test_project_and_store_are_no_place_for_it(engine: Cronos, tmp_path: Path, where: str) -> None:
    (tmp_path / "alias").symlink_to(tmp_path / where)
    place = engine.store_path if where == "stores" else tmp_path / "alias"
    with pytest.raises(RefusedError):
        engine.drill(scratch=place)


def test_no_directory_and_no_such_backup(engine: Cronos, place: Path) -> None:
    with pytest.raises(RefusedError):
        engine.drill(scratch=place / "mine")
    with pytest.raises(BackupNotFoundError):
        engine.drill("other", place)


def test_too_little_space_is_refused_before_anything_is_written(
    engine: Cronos, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "free_bytes", lambda _path: 3 << 20)
    monkeypatch.setattr(extract, "apply", None)
    with pytest.raises(DiskFullError) as raised:
        engine.drill(scratch=place)
    assert "--scratch" in raised.value.hint
    assert os.listdir(place) == ["mine"]


def test_damaged_backup_cannot_be_restored_and_nothing_is_left(engine: Cronos, place: Path) -> None:
    flip_a_bit(engine, git("--git-dir", engine.store_path, "rev-parse", "refs/heads/main:dir/run.sh").strip())
    with pytest.raises(DamageError):
        engine.drill(scratch=place)
    assert os.listdir(place) == ["mine"]


@pytest.mark.parametrize("phase", ["restore", "scan"])
def test_cancelled_drill_leaves_nothing(engine: Cronos, place: Path, phase: str) -> None:
    run = Run()

    def emit(event: Event) -> None:
        run.cancelled = run.cancelled or event == Finished(phase)

    run.emit = emit
    with pytest.raises(InterruptedRunError):
        engine.drill(scratch=place, run=run)
    assert os.listdir(place) == ["mine"]
    assert list((engine.store_path / "cronos/journal").iterdir()) == []


def test_report_tells_damage_apart_from_what_is_about_a_file() -> None:
    assert Difference(path="a", what=("mode", "content"), text="").is_damage
    assert not Difference(path="a", what=("mode", "owner", "mtime", "xattrs", "links"), text="").is_damage
    assert DrillReport.__dataclass_params__.frozen  # type: ignore[attr-defined]


# --- drills that were killed ---


def killed(engine: Cronos, place: Path) -> Path:
    """Let a drill be killed while it restores; what it left."""
    mine = set(os.listdir(place))

    def dies() -> None:
        setattr(extract, "apply", lambda *_arguments, **_options: os.kill(os.getpid(), signal.SIGKILL))  # noqa: B010
        engine.drill(scratch=place)

    assert not run_and_kill(dies, at=0)
    [left] = set(os.listdir(place)) - mine
    (place / left / "restored/closed").mkdir(parents=True)
    (place / left / "restored/closed/in").write_text("a copy")
    (place / left / "restored/closed").chmod(0o500)
    return place / left


def test_what_a_killed_drill_left_is_removed_by_the_next_one(engine: Cronos, place: Path) -> None:
    left = killed(engine, place)
    assert left.name.startswith("cronos-drill-")
    engine.drill(scratch=place)
    assert os.listdir(place) == ["mine"]


def test_half_of_a_removal_is_finished_by_the_next_drill(engine: Cronos, place: Path) -> None:
    stage.remove_tree(killed(engine, place) / "restored")
    engine.drill(scratch=place)
    assert os.listdir(place) == ["mine"]


def test_drill_of_a_living_process_is_left_alone(place: Path) -> None:
    with drill.scratch_directory(place) as other:
        with drill.scratch_directory(place):
            assert other.is_dir()
        assert other.is_dir()
    assert os.listdir(place) == ["mine"]


def _strange(path: Path) -> None:
    (path / "owner").write_text("somebody else's")


def _linked(path: Path) -> None:
    (path / "owner").symlink_to("/etc/passwd")


def _foreign(path: Path) -> None:
    (path / "owner").write_bytes(b"CRONOS scratch directory\n")
    os.chown(path, NOBODY, NOBODY)


@pytest.mark.parametrize("make", [lambda _path: None, _strange, _linked, _foreign, lambda path: os.mkfifo(path / "owner")])
def test_directories_that_are_not_ours_are_left_alone(place: Path, make: Callable[[Path], object]) -> None:
    (place / "cronos-drill-abc").mkdir()
    make(place / "cronos-drill-abc")
    (place / "cronos-drill-link").symlink_to(place / "cronos-drill-abc")
    (place / "cronos-drill-file").write_text("x")
    before = state(place)
    with drill.scratch_directory(place):
        pass
    after = state(place)
    assert after.keys() == before.keys()
    assert all(after[path] == before[path] for path in before if path != str(place))  # whose own time changed
