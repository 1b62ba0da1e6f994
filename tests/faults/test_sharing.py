"""Work shared among processes: children that die, writers and readers at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cronos_git.disk import children
from cronos_git.engine import Cronos
from cronos_git.errors import ChildEndedError
from cronos_git.events import Advanced, Event, Run
from cronos_git.model import RestoreRequest, SnapshotRequest, VerifyRequest
from tests.support.engine import make_engine
from tests.support.git import assert_store_sound
from tests.support.trees import assert_same_tree, make_tree

ROOT = Path(__file__).parents[2]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The children, which are started for the smallest work and on one processor too."""
    found: list[subprocess.Popen[bytes]] = []
    real = children._start

    def start(server: str, arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
        found.append(real(server, arguments))
        return found[-1]

    monkeypatch.setattr(children, "WORTHWHILE_FILES", 1)
    monkeypatch.setattr(children, "WORKERS", 2)
    monkeypatch.setattr(children, "_start", start)
    return found


def many_files(engine: Cronos) -> None:
    make_tree(engine.project, {f"d{n % 20}/f{n}": f"{n}" * (n % 50) for n in range(1500)})


def once_advanced(act: Callable[[], None]) -> Run:
    done: list[int] = []

    def emit(event: Event) -> None:
        if isinstance(event, Advanced) and event.done_bytes and not done:
            done.append(1)
            act()

    return Run(emit=emit)


def kill_all(started: list[subprocess.Popen[bytes]]) -> None:
    for child in started:
        child.send_signal(signal.SIGKILL)
        child.wait()


def test_children_make_the_same_backup_and_restore_as_threads(
    tmp_path: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(tmp_path)
    many_files(engine)
    os.link(engine.project / "d1/f1", engine.project / "d2/again")
    (engine.project / "link").symlink_to("d1")
    by_children = engine.snapshot(SnapshotRequest()).backup
    engine.apply_restore(engine.plan_restore(RestoreRequest(backup="latest", target=str(tmp_path / "out"))), verify=True)
    assert len(started) == 4
    assert all(child.poll() == 0 for child in started)
    assert_same_tree(engine.project, tmp_path / "out")
    (engine.store_path / "cronos/statcache").unlink()
    monkeypatch.setattr(children, "WORTHWHILE_FILES", 10_000)
    by_threads = engine.snapshot(SnapshotRequest()).backup
    assert engine.view(by_threads).root == engine.view(by_children).root


def test_backup_goes_on_when_all_children_are_killed(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    engine = make_engine(tmp_path)
    many_files(engine)
    report = engine.snapshot(SnapshotRequest(), once_advanced(lambda: kill_all(started)))
    assert report.files_read == 1500
    assert engine.verify(VerifyRequest()).damage == ()


def test_restore_is_rolled_back_when_the_children_are_killed(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    engine = make_engine(tmp_path)
    many_files(engine)
    engine.snapshot(SnapshotRequest())
    started.clear()
    plan = engine.plan_restore(RestoreRequest(backup="latest", target=str(tmp_path / "out")))
    with pytest.raises(ChildEndedError):
        engine.apply_restore(plan, once_advanced(lambda: kill_all(started)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["project", "stores"]


def test_damage_found_by_a_child_is_told_as_damage(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    from cronos_git.errors import HashMismatchError

    engine = make_engine(tmp_path)
    many_files(engine)
    engine.snapshot(SnapshotRequest())
    (pack,) = (engine.store_path / "objects/pack").glob("*.pack")
    body = bytearray(pack.read_bytes())
    for position in range(2000, len(body) // 2, 997):
        body[position] ^= 0x55
    pack.chmod(0o600)
    pack.write_bytes(body)
    with pytest.raises(HashMismatchError):
        plan = engine.plan_restore(RestoreRequest(backup="latest", target=str(tmp_path / "out")))
        engine.apply_restore(plan)
    assert not (tmp_path / "out").exists()


def test_children_run_no_code_of_the_project(
    tmp_path: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python looks for modules in the working directory, which mostly is the project."""
    engine = make_engine(tmp_path)
    many_files(engine)
    for name in ("pickle", "queue", "signal", "stat", "hashlib", "cronos_git"):
        (engine.project / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    monkeypatch.chdir(engine.project)
    engine.snapshot(SnapshotRequest())
    assert len(started) == 2
    assert not (tmp_path / "ran").exists()


def test_many_writers_and_readers_at_once_lose_nothing(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {f"f{n}": f"{n}" for n in range(50)})
    engine.snapshot(SnapshotRequest(name="first"))
    script = """
import sys
from pathlib import Path
from cronos_git.model import RestoreRequest, SnapshotRequest, VerifyRequest
from tests.support.engine import make_engine
root, who = Path(sys.argv[1]), sys.argv[2]
engine = make_engine(root, lock_wait=120)
for turn in range(4):
    if who.startswith("w"):
        (engine.project / f"of-{who}").write_text(f"{who} {turn}")
        engine.snapshot(SnapshotRequest(name=f"{who}-{turn}"))
    else:
        assert engine.verify(VerifyRequest()).damage == ()
        plan = engine.plan_restore(RestoreRequest(backup="first", target=str(root / f"{who}-{turn}")))
        engine.apply_restore(plan)
        assert sorted(p.name for p in (root / f"{who}-{turn}").iterdir()) == sorted(f"f{n}" for n in range(50))
"""
    people = [f"w{n}" for n in range(5)] + [f"r{n}" for n in range(3)]
    running: list[Any] = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), who], cwd=ROOT, stderr=subprocess.PIPE) for who in people
    ]
    for process in running:
        _, errors = process.communicate(timeout=180)
        assert process.returncode == 0, errors.decode()
    names = {backup.name for backup in engine.backups()}
    assert names == {"first"} | {f"w{n}-{turn}" for n in range(5) for turn in range(4)}
    assert sorted(backup.sequence for backup in engine.backups()) == list(range(1, 22))
    assert_store_sound(engine.store_path, tmp_path)
