"""Taking backups: what is read, written and counted, and what happens when files move under the reader."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cronos_git.disk import contents, files, walk
from cronos_git.engine import Cronos
from cronos_git.errors import ModuleScopeError, ProjectError, StoreLockedError
from cronos_git.events import Event, Run
from cronos_git.git import session
from cronos_git.model import RestoreRequest, SnapshotRequest, VerifyRequest
from tests.support.engine import LATER, make_engine
from tests.support.git import assert_store_sound, git
from tests.support.trees import assert_same_tree, make_tree


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the project files whose content was opened."""
    names: list[str] = []
    real = contents._read

    def spy(dir_fd: int, entry: walk.Found, attempts: int, take: Callable[[int, int], bytes]) -> Any:
        names.append(entry.name)
        return real(dir_fd, entry, attempts, take)

    monkeypatch.setattr(contents, "_read", spy)
    return names


def packs(engine: Cronos) -> set[str]:
    return {path.name for path in (engine.store_path / "objects/pack").iterdir()}


def restored(engine: Cronos, backup: str, target: Path) -> Path:
    engine.apply_restore(engine.plan_restore(RestoreRequest(backup=backup, target=str(target))))
    return target


def test_unchanged_project_opens_no_file_starts_no_git_and_stores_only_the_record(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {f"d{n}/f{m}": f"{n} {m}" for n in range(20) for m in range(20)})
    engine.snapshot(SnapshotRequest())
    assert len(opened) == 400
    opened.clear()
    started: list[Any] = []
    monkeypatch.setattr(session, "on_start", started.append)
    monkeypatch.setattr(subprocess, "Popen", lambda *_a, **_k: pytest.fail("a process was started"))
    report = engine.snapshot(SnapshotRequest())
    assert opened == [] == started
    assert report.files_read == 0
    assert report.objects_stored == 6  # record, meta tree, root tree, commit, tag, timeline commit
    assert (report.backup.added, report.backup.changed, report.backup.removed) == (0, 0, 0)


def test_unchanged_project_with_skip_writes_no_pack_and_makes_no_backup(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": b"1", "d/b": b"2"})
    first = engine.snapshot(SnapshotRequest()).backup
    before = packs(engine)
    report = engine.snapshot(SnapshotRequest(skip_if_unchanged=True))
    assert report.unchanged
    assert report.backup == engine.backups()[0]
    assert report.backup.id == first.id
    assert packs(engine) == before
    assert len(engine.backups()) == 1


def test_changed_mtime_alone_is_enough_for_a_backup_with_skip(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": b"1"})
    engine.snapshot(SnapshotRequest())
    os.utime(engine.project / "a", ns=(1, 1))
    assert not engine.snapshot(SnapshotRequest(skip_if_unchanged=True)).unchanged


def test_only_the_changed_file_is_read_and_counts_tell_what_happened(tmp_path: Path, opened: list[str]) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {f"d/f{n}": f"{n}" for n in range(50)} | {"gone": b"x", "e": {}})
    engine.snapshot(SnapshotRequest())
    opened.clear()
    (engine.project / "d/f7").write_text("new")
    (engine.project / "fresh").write_text("new")
    (engine.project / "gone").unlink()
    backup = engine.snapshot(SnapshotRequest()).backup
    assert sorted(opened) == ["f7", "fresh"]
    assert (backup.added, backup.changed, backup.removed) == (1, 1, 1)
    assert_same_tree(engine.project, restored(engine, backup.id, tmp_path / "out"))


def test_same_size_same_mtime_edit_is_seen_by_its_ctime(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": b"old"})
    info = (engine.project / "a").stat()
    engine.snapshot(SnapshotRequest())
    (engine.project / "a").write_bytes(b"new")
    os.utime(engine.project / "a", ns=(info.st_atime_ns, info.st_mtime_ns))
    assert engine.snapshot(SnapshotRequest()).backup.changed == 1


def test_file_changed_within_the_clock_tick_of_the_last_backup_is_read_again(tmp_path: Path, opened: list[str]) -> None:
    from tests.support.clock import FakeClock

    now = FakeClock(LATER.fromtimestamp(os.stat(tmp_path).st_ctime, tz=LATER.tzinfo))
    engine = make_engine(tmp_path, clock=now)
    make_tree(engine.project, {"a": b"1"})
    engine.snapshot(SnapshotRequest())
    engine.snapshot(SnapshotRequest())
    assert opened == ["a", "a"]


@pytest.mark.parametrize("damage", [b"", b"garbage", None, b"cronos-statcache 1\n" + b"0" * 32 + b"\nxxxx"])
def test_missing_or_corrupt_statcache_only_costs_time(tmp_path: Path, damage: bytes | None) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": b"1", "d/b": b"2"})
    engine.snapshot(SnapshotRequest())
    cache = engine.store_path / "cronos/statcache"
    if damage is None:
        cache.unlink()
    else:
        cache.write_bytes(damage)
    report = engine.snapshot(SnapshotRequest())
    assert report.files_read == 2
    assert report.objects_stored == 6  # what was read is there already
    assert engine.snapshot(SnapshotRequest()).files_read == 0


def test_statcache_with_one_flipped_bit_anywhere_is_not_believed(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": b"1"})
    engine.snapshot(SnapshotRequest())
    cache = engine.store_path / "cronos/statcache"
    good = cache.read_bytes()
    for position in range(0, len(good), 7):
        cache.write_bytes(good[:position] + bytes([good[position] ^ 4]) + good[position + 1 :])
        assert engine.plan_snapshot().changes == ()


def test_statcache_of_a_backup_that_is_gone_is_not_believed(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": b"1"})
    backup = engine.snapshot(SnapshotRequest()).backup
    git("--git-dir", engine.store_path, "update-ref", "-d", f"refs/tags/backup/{backup.id}")
    assert engine.snapshot(SnapshotRequest()).files_read == 1


# --- files that move under the reader ---


@pytest.fixture
def meddle(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Callable[[int], None]]]:
    """Actions by file name, done with the attempt's number after its reading, before it is looked at again."""
    actions: dict[str, Callable[[int], None]] = {}
    attempts: Counter[str] = Counter()
    real = contents._read_to_end

    def spy(fd: int, size: int) -> bytes:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
        body = real(fd, size)
        if name in actions:
            attempts[name] += 1
            actions[name](attempts[name])
        return body

    monkeypatch.setattr(contents, "_read_to_end", spy)
    yield actions


def test_file_that_changes_once_while_read_is_read_again(tmp_path: Path, meddle: dict[str, Callable[[int], None]]) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"log": b"old"})

    def change_once(attempt: int) -> None:
        if attempt == 1:
            (engine.project / "log").write_bytes(b"newer")

    meddle["log"] = change_once
    report = engine.snapshot(SnapshotRequest())
    assert report.problems == ()
    assert b"".join(engine.read(report.backup, "log")) == b"newer"


def test_file_that_keeps_growing_is_stored_marked_and_reported(tmp_path: Path, meddle: dict[str, Callable[[int], None]]) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"log": b"old", "calm": b"x"})

    def grow(_attempt: int) -> None:
        with (engine.project / "log").open("ab") as log:
            log.write(b"line\n")

    meddle["log"] = grow
    report = engine.snapshot(SnapshotRequest())
    assert [(p.path, p.code) for p in report.problems] == [("log", "changed")]
    (entry,) = [e for e in engine.entries(report.backup) if e.path == "log"]
    assert entry.attributes.changed
    assert b"".join(engine.read(report.backup, "log")).startswith(b"old")
    meddle.clear()
    again = engine.snapshot(SnapshotRequest())
    assert again.files_read == 1  # a marked file is never trusted
    assert again.problems == ()


def test_file_that_vanishes_between_walk_and_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": b"1", "b": b"2"})
    real = walk.scan

    def scan(*args: Any) -> Any:
        result = real(*args)
        (engine.project / "a").unlink()
        return result

    monkeypatch.setattr(walk, "scan", scan)
    report = engine.snapshot(SnapshotRequest())
    assert [(p.path, p.code) for p in report.problems] == [("a", "vanished")]
    assert [e.path for e in engine.entries(report.backup)] == ["b"]


def test_file_that_becomes_a_link_out_of_the_project_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_engine(tmp_path)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"secret")
    make_tree(engine.project, {"a": b"public", "d/secret": b"public"})
    real = walk.scan

    def scan(*args: Any) -> Any:
        result = real(*args)
        (engine.project / "a").unlink()
        (engine.project / "a").symlink_to(tmp_path / "outside/secret")
        shutil.rmtree(engine.project / "d")
        (engine.project / "d").symlink_to(tmp_path / "outside")
        return result

    monkeypatch.setattr(walk, "scan", scan)
    report = engine.snapshot(SnapshotRequest())
    assert {p.path for p in report.problems} == {"a", "d/secret"}
    assert b"secret" not in subprocess.run(
        ["git", "--git-dir", engine.store_path, "log", "-p", "--all", "--", "data"], capture_output=True, check=True
    ).stdout.replace(b"/secret", b"")


def test_directory_that_cannot_be_read_is_reported_and_the_rest_is_saved(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything; test_faults does this as another user")
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"closed/a": b"1", "open/b": b"2"})
    (engine.project / "closed").chmod(0)
    report = engine.snapshot(SnapshotRequest())
    (engine.project / "closed").chmod(0o755)
    assert [(p.path, p.code) for p in report.problems] == [("closed", "unreadable")]


# --- scopes ---


def test_module_found_by_name_stores_only_its_paths(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"subsystems/ETHIK/a": b"1", "subsystems/ATLAS/b": b"2", "other": b"3"})
    backup = engine.snapshot(SnapshotRequest(modules=("ethik",))).backup
    assert backup.scope == "ethik"
    assert [e.path for e in engine.entries(backup, "", recursive=True)] == [
        "subsystems",
        "subsystems/ETHIK",
        "subsystems/ETHIK/a",
    ]
    assert git("--git-dir", engine.store_path, "log", "--format=%s", "module/ethik") == "backup\n"


def test_ambiguous_module_is_refused_with_its_candidates(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a/core/x": b"1", "b/core/y": b"2"})
    with pytest.raises(ModuleScopeError) as caught:
        engine.snapshot(SnapshotRequest(modules=("core",)))
    assert caught.value.context["candidates"] == ["a/core", "b/core"]
    assert not engine.store_path.exists()


def test_scoped_backup_between_whole_ones_does_not_mislead_the_next(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"m/deep/a": b"1", "n/b": b"2"})
    engine.snapshot(SnapshotRequest())
    (engine.project / "m/deep/a").write_bytes(b"changed")
    (engine.project / "n/b").write_bytes(b"changed")
    engine.snapshot(SnapshotRequest(modules=("m",)))
    whole = engine.snapshot(SnapshotRequest())
    assert whole.files_read == 1  # m was read by the scoped one
    assert whole.backup.changed == 2
    assert_same_tree(engine.project, restored(engine, whole.backup.id, tmp_path / "out"))


# --- rules ---


def test_default_exclusions_caches_and_git_directories_are_left_out_and_counted(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    signature = b"Signature: 8a477f597d28d172789f06886806bc55\n"
    make_tree(
        engine.project,
        {
            "__pycache__/x.pyc": b"1",
            "node_modules/m/i.js": b"1",
            "cache/CACHEDIR.TAG": signature,
            "cache/x": b"1",
            "fake/CACHEDIR.TAG": b"no",
            "a.pyc": b"1",
            "kept": b"1",
            "nested/.git/HEAD": "ref: refs/heads/main\n",
            "nested/file": b"1",
        },
    )
    report = engine.snapshot(SnapshotRequest())
    paths = {e.path for e in engine.entries(report.backup, "", recursive=True)}
    assert paths == {"fake", "fake/CACHEDIR.TAG", "kept", "nested", "nested/file"}
    assert (report.excluded.files, report.excluded.directories) == (1, 3)


def test_include_takes_a_file_out_of_an_excluded_directory(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"node_modules/keep/this": b"1", "node_modules/other/that": b"2", "venv/x": b"3"})
    backup = engine.snapshot(SnapshotRequest(include=("node_modules/keep/",))).backup
    paths = {e.path for e in engine.entries(backup, "", recursive=True)}
    assert paths == {"node_modules", "node_modules/keep", "node_modules/keep/this"}


def test_cronosignore_rules_its_directory_and_gitignore_only_when_asked(tmp_path: Path) -> None:
    tree = {
        ".gitignore": "*.log\n",
        "a.log": b"1",
        "d/.cronosignore": "*.tmp\n!keep.tmp\n",
        "d/x.tmp": b"1",
        "d/keep.tmp": b"1",
        "y.tmp": b"1",
    }
    plain = make_engine(tmp_path)
    make_tree(plain.project, tree)
    first = plain.snapshot(SnapshotRequest()).backup
    assert {e.path for e in plain.entries(first, "", recursive=True)} == {
        ".gitignore",
        "a.log",
        "d",
        "d/.cronosignore",
        "d/keep.tmp",
        "y.tmp",
    }
    obedient = make_engine(tmp_path, respect_gitignore=True)
    second = obedient.snapshot(SnapshotRequest()).backup
    assert (second.removed, second.added) == (1, 0)


def test_git_directories_are_stored_whole_when_asked(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, git_dirs="include")
    git("init", "--quiet", engine.project)
    (engine.project / "f").write_bytes(b"1")
    git("-C", engine.project, "add", "f")
    git("-C", engine.project, "commit", "--quiet", "-m", "x")
    backup = engine.snapshot(SnapshotRequest()).backup
    target = restored(engine, backup.id, tmp_path / "out")
    assert git("-C", target, "log", "--format=%s") == "x\n"
    assert git("-C", target, "status", "--porcelain") == ""
    assert_store_sound(engine.store_path, tmp_path)


def test_state_of_the_projects_repository_is_recorded_without_touching_it(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    git("init", "--quiet", "--initial-branch=trunk", engine.project)
    make_tree(engine.project, {"f": b"1"})
    git("-C", engine.project, "add", "f")
    git("-C", engine.project, "commit", "--quiet", "-m", "x")
    git("-C", engine.project, "remote", "add", "origin", "https://user:password@example.org/x.git")
    (engine.project / "f").write_bytes(b"2")
    index = (engine.project / ".git/index").read_bytes()
    before = sorted(p for p in (engine.project / ".git").rglob("*"))
    state: Any = engine.record(engine.snapshot(SnapshotRequest()).backup)["git"]
    assert state["branch"] == "trunk"
    assert state["dirty"] is True
    assert state["head"] == git("-C", engine.project, "rev-parse", "HEAD").strip()
    assert state["remotes"] == {"origin": "https://example.org/x.git"}
    assert (engine.project / ".git/index").read_bytes() == index
    assert sorted(p for p in (engine.project / ".git").rglob("*")) == before


# --- bad input, bad luck ---


def test_missing_project_is_an_error_and_makes_no_store(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    engine.project.rmdir()
    with pytest.raises(ProjectError):
        engine.snapshot(SnapshotRequest())
    assert not engine.store_path.exists()


def test_second_writer_is_told_that_the_store_is_locked(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": b"1"})
    engine.snapshot(SnapshotRequest())
    with engine.store.lock(), pytest.raises(StoreLockedError):
        make_engine(tmp_path).snapshot(SnapshotRequest())
    assert len(engine.backups()) == 1


def test_a_hundred_thousand_files_in_one_directory(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    fd = os.open(engine.project, os.O_RDONLY)
    for number in range(100_000):
        os.close(os.open(f"f{number}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=fd))
    os.close(fd)
    assert engine.snapshot(SnapshotRequest()).backup.files == 100_000
    (engine.project / "f77777").write_bytes(b"x")
    report = engine.snapshot(SnapshotRequest())
    assert (report.files_read, report.backup.changed) == (1, 1)


def test_hostile_git_environment_does_not_reach_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.git"
    git("init", "--quiet", "--bare", other)
    for name, value in {
        "GIT_DIR": str(other),
        "GIT_OBJECT_DIRECTORY": str(other / "objects"),
        "GIT_WORK_TREE": "/",
        "GIT_INDEX_FILE": str(other / "index"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "/nowhere",
        "GIT_QUARANTINE_PATH": "/nowhere",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.autocrlf",
        "GIT_CONFIG_VALUE_0": "true",
    }.items():
        monkeypatch.setenv(name, value)
    (Path(os.environ["HOME"]) / ".gitconfig").write_text("[core]\n\tautocrlf = true\n\thooksPath = /nowhere\n")
    before = sorted(other.rglob("*"))
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": b"line\n", "b": b"line\r\n"})
    backup = engine.snapshot(SnapshotRequest()).backup
    assert_same_tree(engine.project, restored(engine, backup.id, tmp_path / "out"))
    assert sorted(other.rglob("*")) == before


# --- durability ---


def test_order_of_durable_steps_is_pack_index_names_tag_timeline(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": b"1"})
    engine.snapshot(SnapshotRequest())
    (engine.project / "a").write_bytes(b"2")
    steps: list[tuple[str, str]] = []
    files.step = lambda name, path: steps.append((name, Path(path).name)) if name != "write" else None
    backup = engine.snapshot(SnapshotRequest()).backup
    kinds = [(name, re.sub(r".*[._](pack|idx|lock)$", r"\1", path)) for name, path in steps]
    assert kinds[:10] == [
        ("fsync", "pack"),
        ("fsync", "idx"),
        ("rename", "pack"),
        ("rename", "idx"),
        ("fsync_dir", "pack"),
        ("fsync", "lock"),
        ("rename", backup.id),
        ("fsync_dir", "backup"),
        ("fsync", "lock"),
        ("rename", "main"),
    ]


def test_progress_tells_phases_and_ends_at_the_totals(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {f"f{n}": b"x" * n for n in range(300)})
    events: list[Event] = []
    engine.snapshot(SnapshotRequest(), Run(emit=events.append))
    names = [type(event).__name__ for event in events]
    assert names[0] == "Started"
    assert names[-1] == "Finished"
    last: Any = [event for event in events if type(event).__name__ == "Advanced"][-1]
    assert (last.done_files, last.done_bytes) == (300, sum(range(300)))


def test_timeline_shows_history_to_stock_git(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    for number in range(3):
        make_tree(engine.project, {"story.txt": "".join(f"line {n}\n" for n in range(number + 1))})
        engine.snapshot(SnapshotRequest(message=f"step {number}"))
    shown = git("--git-dir", engine.store_path, "log", "-p", "--format=%s", "main", "--", "story.txt")
    assert [line for line in shown.splitlines() if line.startswith(("step", "+line"))] == [
        "step 2",
        "+line 2",
        "step 1",
        "+line 1",
        "step 0",
        "+line 0",
    ]
    blame = git("--git-dir", engine.store_path, "blame", "--line-porcelain", "main", "--", "story.txt")
    assert [line for line in blame.splitlines() if line.startswith("summary")] == [
        "summary step 0",
        "summary step 1",
        "summary step 2",
    ]
    assert_store_sound(engine.store_path, tmp_path)
    assert engine.verify(VerifyRequest()).damage == ()
