"""A backup that is killed, or that meets a full disk, at every durable step: nothing lost, nothing half there."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.model import RestoreRequest, SnapshotRequest
from tests.support.engine import make_engine
from tests.support.faults import run_and_fail, run_and_kill
from tests.support.git import assert_store_sound, git
from tests.support.trees import assert_same_tree, make_tree

TREE = {"a": b"1", "d/b": b"2" * 3000, "d/e": {}, "big": bytes(range(256)) * 8192}


def prepared(tmp_path: Path) -> Cronos:
    """A project with one backup, changed since."""
    engine = make_engine(tmp_path, chunk_threshold=1 << 20)
    make_tree(engine.project, TREE)
    engine.snapshot(SnapshotRequest(name="first"))
    (engine.project / "a").write_bytes(b"changed")
    make_tree(engine.project, {"new/file": b"n"})
    return engine


def check_after(tmp_path: Path, scratch: Path, expected: set[str]) -> None:
    """What is listed restores whole, git finds nothing wrong, and the next backup works."""
    engine = make_engine(tmp_path, chunk_threshold=1 << 20)
    scratch.mkdir()
    names = {backup.name for backup in engine.backups()}
    assert names in ({"first"}, expected)
    git("--git-dir", engine.store_path, "fsck", "--full", "--strict", "--no-dangling")
    backup = engine.snapshot(SnapshotRequest(name="after")).backup
    engine.apply_restore(engine.plan_restore(RestoreRequest(backup=backup.id, target=str(scratch / "out"))))
    assert_same_tree(engine.project, scratch / "out")
    assert {path.suffix for path in (engine.store_path / "objects/pack").iterdir()} == {".pack", ".idx"}
    timeline = git("--git-dir", engine.store_path, "log", "--format=%s", "main").split()
    assert timeline == [backup.name for backup in engine.backups()]
    assert_store_sound(engine.store_path, scratch)


def test_kill_at_every_step_of_a_backup(tmp_path: Path) -> None:
    for at in itertools.count(1):
        room = tmp_path / str(at)
        room.mkdir()
        engine = prepared(room)
        ended = run_and_kill(lambda engine=engine: engine.snapshot(SnapshotRequest(name="second")), at)  # type: ignore[misc]
        check_after(room, room / "scratch", {"first", "second"})
        if ended:
            break
    assert at > 15


def test_kill_at_every_step_of_the_first_backup(tmp_path: Path) -> None:
    for at in itertools.count(1):
        room = tmp_path / str(at)
        room.mkdir()
        engine = make_engine(room)
        make_tree(engine.project, TREE)
        ended = run_and_kill(lambda engine=engine: engine.snapshot(SnapshotRequest(name="first")), at)  # type: ignore[misc]
        fresh = make_engine(room)
        backup = fresh.snapshot(SnapshotRequest(name="after")).backup
        assert {b.name for b in fresh.backups()} in ({"after"}, {"first", "after"})
        fresh.apply_restore(fresh.plan_restore(RestoreRequest(backup=backup.id, target=str(room / "out"))))
        assert_same_tree(fresh.project, room / "out")
        if ended:
            break
    assert at > 15


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_every_write_failing_from_each_step_on(tmp_path: Path, error: int) -> None:
    for at in itertools.count(1):
        room = tmp_path / str(at)
        room.mkdir()
        engine = prepared(room)
        ended = run_and_fail(lambda engine=engine: engine.snapshot(SnapshotRequest(name="second")), at, error)  # type: ignore[misc]
        names = {backup.name for backup in make_engine(room).backups()}
        assert ended is ("second" in names) or names == {"first", "second"}
        check_after(room, room / "scratch", {"first", "second"})
        if ended and at > 15:
            break


def test_sigkill_at_random_moments_of_a_real_process(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {f"d{n % 40}/f{n}": os.urandom(2000) for n in range(2000)})
    engine.snapshot(SnapshotRequest(name="first"))
    script = (
        "import sys; from pathlib import Path; from tests.support.engine import make_engine\n"
        "from cronos_git.model import SnapshotRequest\n"
        "make_engine(Path(sys.argv[1])).snapshot(SnapshotRequest(name='second'))"
    )
    for delay_ms in range(150, 950, 100):
        for path in sorted(engine.project.rglob("f*"))[:: 1 + delay_ms % 7]:
            path.write_bytes(os.urandom(2000))
        child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=Path(__file__).parents[2])
        time.sleep(delay_ms / 1000)
        child.send_signal(signal.SIGKILL)
        child.wait()
        git("--git-dir", engine.store_path, "fsck", "--full", "--strict", "--no-dangling")
    backup = make_engine(tmp_path).snapshot(SnapshotRequest(name="after")).backup
    engine.apply_restore(engine.plan_restore(RestoreRequest(backup=backup.id, target=str(tmp_path / "out"))))
    assert_same_tree(engine.project, tmp_path / "out")


def test_files_closed_to_the_user_are_reported_and_the_rest_is_saved(tmp_path: Path) -> None:
    """As an ordinary user, since root may read everything."""
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if parent == Path("/tmp"):
            break
        parent.chmod(parent.stat().st_mode | 0o055)

    def as_nobody() -> None:
        os.setgid(65534)
        os.setuid(65534)
        engine = make_engine(tmp_path)
        make_tree(engine.project, {"closed/a": b"1", "open/b": b"2", "shut": b"3"})
        (engine.project / "closed").chmod(0)
        (engine.project / "shut").chmod(0)
        report = engine.snapshot(SnapshotRequest())
        assert sorted((p.path, p.code) for p in report.problems) == [("closed", "unreadable"), ("shut", "unreadable")]
        entries = {e.path: e.attributes.unreadable for e in engine.entries(report.backup, "", recursive=True)}
        assert entries == {"closed": True, "open": False, "open/b": False, "shut": True}
        assert engine.plan_snapshot().problems == report.problems
        target = str(tmp_path / "out")
        restored = engine.apply_restore(engine.plan_restore(RestoreRequest(backup="latest", target=target)))
        assert {p.code for p in restored.problems} == {"not_restored"}
        assert (tmp_path / "out/open/b").read_bytes() == b"2"

    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    assert run_and_kill(as_nobody, at=0)
