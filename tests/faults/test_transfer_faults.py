"""Transfers that are killed, cancelled or without space: all or nothing of each backup, and the next one goes on."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import InterruptedRunError, RemoteError
from cronos_git.events import Run
from cronos_git.git import receiving, session
from cronos_git.model import CompactRequest, FetchRequest, PushRequest, SnapshotRequest
from cronos_git.ops import push
from tests.support.faults import run_and_fail, run_and_kill
from tests.support.git import git
from tests.support.remotes import assert_sound, hook, listed, machine, make_remote, names, object_count, saved
from tests.support.trees import make_tree

Fault = Callable[[Callable[[], object], int], bool]


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path / "remote.git", "receive.fsckObjects", "receive.denyNonFastForwards")


@pytest.fixture
def engine(tmp_path: Path, remote: Path) -> Cronos:
    """A machine that has the backups a to e, and knows the remote."""
    made = machine(tmp_path)
    made.add_remote("origin", str(remote))
    for name in "abcde":
        saved(made, name)
    return made


def stride(request: pytest.FixtureRequest, short: int) -> int:
    return 1 if request.config.getoption("--long") else short


def git_call(number: int, word: str) -> Callable[[list[str]], None]:
    """Kills this process when it starts git with *word* for that time."""
    count = itertools.count(1)

    def start(argv: list[str]) -> None:
        if word in argv and next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return start


def working_in(place: Path) -> list[str]:
    """The processes whose working directory that is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == place:
                found.append((process / "cmdline").read_text())
    return found


# --- remotes ---


def test_adding_a_remote_killed_at_any_step_can_be_repeated(tmp_path: Path) -> None:
    saved(machine(tmp_path), "a")
    for at in itertools.count(1):
        name = f"r{at}"
        ended = run_and_kill(lambda name=name: machine(tmp_path).add_remote(name, "/x"), at)  # type: ignore[misc]
        engine = machine(tmp_path)
        if name not in {remote.name for remote in engine.remotes()}:
            engine.add_remote(name, "/x")
        assert [remote.name for remote in engine.remotes()] == sorted(f"r{number}" for number in range(1, at + 1))
        if ended:
            break
    assert at > 4
    assert git("--git-dir", engine.store_path, "config", "core.bare").strip() == "true"


# --- pushes ---


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_push_killed_between_batches_is_completed_by_the_next(
    engine: Cronos, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(push, "_BATCH", 2)
    if os.fork() == 0:
        session.on_start = git_call(number, "push")  # type: ignore[assignment]
        machine(tmp_path).push()
        os._exit(0)
    os.wait()
    there = "abcde"[: 2 * number - 2]
    assert names(remote) == there
    assert machine(tmp_path).verify().damage == ()
    report = machine(tmp_path).push()
    assert "".join(backup_id[0] for backup_id in report.pushed) == "abcde"[len(there) :]
    assert names(remote) == "abcde"
    assert "main" in listed(remote, "refs/heads/")
    assert not list((engine.store.cronos_dir).glob("known.*"))
    assert_sound(remote)


def test_a_push_that_is_killed_while_the_remote_is_at_work(engine: Cronos, remote: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    waiting = hook(remote, "pre-receive", f"touch {here}; exec sleep 30 >/dev/null 2>&1\n")
    script = f"from tests.support.remotes import machine; from pathlib import Path; machine(Path({str(tmp_path)!r})).push()"
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL) as process:
        while not here.exists():
            time.sleep(0.02)
        machine(tmp_path).snapshot(SnapshotRequest(name="meanwhile"))
        process.kill()
    waiting.unlink()
    assert listed(remote) == {}
    assert len(machine(tmp_path).push().pushed) == 6
    machine(tmp_path).compact(CompactRequest(trash_days=0))
    assert_sound(remote)


def test_a_push_that_is_cancelled_ends_git_and_goes_on_the_next_time(engine: Cronos, remote: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    waiting = hook(remote, "pre-receive", f"touch {here}; exec sleep 30\n")
    run = Run()

    def cancel() -> None:
        while not here.exists():
            time.sleep(0.02)
        run.cancelled = True

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(InterruptedRunError):
        engine.push(run=run)
    thread.join()
    assert not [words for words in working_in(engine.store_path) if "\0push\0" in words]  # the receiving end goes on
    assert engine.operations()[0].result == "interrupted"
    waiting.unlink()
    assert len(engine.push().pushed) == 5


def test_renaming_killed_at_any_step_leaves_nothing_that_hinders(
    tmp_path: Path, remote: Path, request: pytest.FixtureRequest
) -> None:
    one = machine(tmp_path, "one")
    one.add_remote("origin", str(remote))
    saved(one, "nightly", "one")
    one.push()
    for at in itertools.count(1, stride(request, 6)):
        host = f"m{at}"
        two = machine(tmp_path, host)
        two.add_remote("origin", str(remote))
        saved(two, "nightly", host)
        ended = run_and_kill(lambda host=host: machine(tmp_path, host).push(), at)  # type: ignore[misc]
        two = machine(tmp_path, host)
        two.push()
        assert two.push().plan.there == 1
        saved(two, "next", host)
        assert not list(two.store.pack_dir.glob("*.keep"))
        assert two.verify().damage == ()
        if ended:
            break
    assert at > 6
    assert_sound(remote)


# --- fetches ---


@pytest.fixture
def other(engine: Cronos, tmp_path: Path, remote: Path) -> Callable[[], Cronos]:
    """Another machine, which has a backup of its own; each call opens it anew."""
    engine.push()
    made = machine(tmp_path, "other")
    made.add_remote("origin", str(remote))
    saved(made, "mine")
    return lambda: machine(tmp_path, "other")


def test_a_fetch_killed_between_batches_is_completed_with_what_has_come(
    other: Callable[[], Cronos], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "_BATCH", 2)
    if os.fork() == 0:
        session.on_start = git_call(3, "fetch")  # type: ignore[assignment]
        other().fetch()
        os._exit(0)
    os.wait()
    place = other().store.cronos_dir / "fetch"
    kept = {path.name for path in (place / "objects/pack").glob("*.pack")}
    assert len(kept) == 2
    assert len(other().backups()) == 1
    assert "".join(backup.name for backup in other().fetch().backups) == "abcde"
    assert kept <= {path.name for path in other().store.pack_dir.glob("*.pack")}
    assert not place.exists()
    assert other().verify().damage == ()


def test_what_an_interrupted_fetch_left_is_not_used_for_another_remote(
    other: Callable[[], Cronos], engine: Cronos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise InterruptedRunError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr(receiving, "_check", broken)
        with pytest.raises(InterruptedRunError):
            other().fetch()
    make_remote(tmp_path / "usb.git")
    other().add_remote("usb", str(tmp_path / "usb.git"))
    assert other().fetch(FetchRequest(remote="usb")).backups == ()
    engine.add_remote("usb", str(tmp_path / "usb.git"))
    engine.push(PushRequest(remote="usb", backups=("a",)))
    assert [backup.name for backup in other().fetch(FetchRequest(remote="usb")).backups] == ["a"]
    assert not (other().store.cronos_dir / "fetch").exists()
    assert len(other().fetch(FetchRequest(remote="origin")).backups) == 4


def test_what_an_interrupted_fetch_left_may_rest_on_what_is_gone_since(
    other: Callable[[], Cronos], engine: Cronos, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise InterruptedRunError("stopped")

    make_tree(other().project, {f"f{number}": str(number) for number in range(20)})
    saved(other(), "big")
    other().push()
    engine.fetch()
    make_tree(engine.project, {f"f{number}": str(number) for number in range(20)})
    saved(engine, "f")
    engine.push()
    with monkeypatch.context() as patched:
        patched.setattr(receiving, "_check", broken)
        with pytest.raises(InterruptedRunError):
            other().fetch()
    other().delete(["big"])
    other().compact(CompactRequest(trash_days=0))
    assert [backup.name for backup in other().fetch().backups] == list("abcdef")
    assert other().verify().damage == ()


@pytest.mark.parametrize("fault", [run_and_kill, run_and_fail])
def test_a_fault_at_any_step_of_a_fetch_leaves_all_of_it_or_nothing(
    other: Callable[[], Cronos], tmp_path: Path, fault: Fault, request: pytest.FixtureRequest
) -> None:
    place = tmp_path / "other"
    shutil.copytree(place, tmp_path / "saved")
    seen = set()
    for at in itertools.count(1, stride(request, 11)):
        ended = fault(lambda: other().fetch(), at)
        count = len(other().backups())
        seen.add(count)
        assert other().verify().damage == ()
        if at % 2:  # what nothing names goes with a compaction, also what an interrupted fetch may rest on
            other().compact(CompactRequest(trash_days=0))
        other().fetch()
        assert "".join(sorted(backup.name for backup in other().backups())) == "abcdemine"
        assert not (other().store.cronos_dir / "fetch").exists()
        assert other().verify().damage == ()
        assert not list(other().store.pack_dir.glob("*.keep"))
        if ended:
            break
        shutil.rmtree(place)
        shutil.copytree(tmp_path / "saved", place)
    assert at > 15
    assert seen == {1, 6}
    assert_sound(other().store_path)


def test_no_space_for_what_comes_is_told_and_nothing_changes(other: Callable[[], Cronos]) -> None:
    assert not run_and_fail(lambda: other().fetch(), 1, errno.ENOSPC)
    assert len(other().backups()) == 1


def test_a_clone_killed_while_it_receives_is_completed_by_the_same_command(
    engine: Cronos, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.push()
    monkeypatch.setattr(receiving, "_BATCH", 2)
    if os.fork() == 0:
        session.on_start = git_call(2, "fetch")  # type: ignore[assignment]
        machine(tmp_path, "new").clone(str(remote))
        os._exit(0)
    os.wait()
    new = machine(tmp_path, "new")
    assert new.store_path.exists()
    assert new.clone(str(remote)).backups == tuple(engine.backups()[::-1])
    assert_sound(new.store_path)


def test_a_fetch_from_a_remote_that_hangs_up_changes_nothing(other: Callable[[], Cronos], remote: Path) -> None:
    blob = git("--git-dir", remote, "rev-parse", f"{list(listed(remote).values())[-1]}:data/which").strip()
    loose = remote / "objects" / blob[:2] / blob[2:]
    loose.chmod(0o600)
    loose.write_bytes(loose.read_bytes()[:-3])
    before = object_count(other().store_path)
    with pytest.raises(RemoteError):
        other().fetch()
    assert len(other().backups()) == 1
    assert object_count(other().store_path) == before
    git("--git-dir", other().store_path, "fsck", "--full", "--strict")
