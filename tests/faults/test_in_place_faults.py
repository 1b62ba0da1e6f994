"""A restore in place that is killed, or whose writes fail, at every durable step, and what others do to its target meanwhile.

The normal run takes some steps of each sweep, `--long` every one.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cronos_git.disk import files, moves
from cronos_git.disk.moves import Place
from cronos_git.errors import DiskFullError, HostError, RefusedError
from cronos_git.model import SnapshotRequest
from tests.support.engine import make_engine
from tests.support.faults import fail_at, run_and_kill, steps_of
from tests.support.git import assert_store_sound
from tests.support.in_place import (
    VERBS,
    Scene,
    Verb,
    copy,
    empty,
    make_scene,
    overwrite,
    replace,
    some_paths,
    undo,
    without_point,
)
from tests.support.restoring import NOBODY
from tests.support.trees import make_tree, read_tree

Choose = Callable[[Scene, int], list[int]]

verbs = pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)


@pytest.fixture
def some(request: pytest.FixtureRequest) -> Choose:
    """The steps to disturb: so many, from the first to one beyond the last, or all when the run is a long one."""

    def choose(scene: Scene, number: int) -> list[int]:
        scene.reset()
        beyond = len(steps_of(scene.work)) + 1
        if request.config.getoption("--long"):
            return list(range(1, beyond + 1))
        shift = VERBS.index(scene.verb)
        return [*range(1 + shift, beyond, max(1, beyond // number)), beyond]

    return choose


def rename_without(monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    """A file system or kernel that cannot swap, or that has no `renameat2` at all."""
    real = moves._rename

    def rename(source: Place, target: Place, flags: int) -> None:
        if lacking == "renameat2" or flags == moves._EXCHANGE:
            number = errno.ENOSYS if lacking == "renameat2" else errno.EINVAL
            raise OSError(number, os.strerror(number))
        real(source, target, flags)

    monkeypatch.setattr(moves, "_rename", rename)


def sweep(scene: Scene, steps: list[int]) -> dict[str, int]:
    """Kill the restore before each of the steps, then let another command do what it must; how often which state was left."""
    seen = {"old": 0, "new": 0}
    for at in steps:
        scene.reset()
        ended = run_and_kill(scene.work, at)
        if at % 2:
            scene.engine().recover()
        points = scene.count_points()
        state = scene.check()
        seen[state] += 1
        assert state == "new" or not ended
        assert points == (state == "new" and scene.verb is not without_point)
    return seen


# --- killed ---------------------------------------------------------------------------------------------------------


@verbs
def test_kill_at_every_step_leaves_old_or_new_after_the_next_command(tmp_path: Path, verb: Verb, some: Choose) -> None:
    scene = make_scene(tmp_path, verb)
    seen = sweep(scene, some(scene, 20))
    assert min(seen.values()) >= 1
    assert_store_sound(scene.engine().store_path, tmp_path)


@pytest.mark.parametrize("lacking", ["swap", "renameat2"])
@verbs
def test_kill_at_every_step_where_nothing_can_be_swapped(
    tmp_path: Path, verb: Verb, lacking: str, some: Choose, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename_without(monkeypatch, lacking)
    scene = make_scene(tmp_path, verb)
    assert min(sweep(scene, some(scene, 7)).values()) >= 1


# --- killed while putting back ----------------------------------------------------------------------------------------


def moving_steps(scene: Scene) -> list[int]:
    """Steps at which half of everything is in place: one in the midst of each kind of change, and the last ones."""
    scene.reset()
    names = steps_of(scene.work)
    swaps = [number for number, name in enumerate(names, 1) if name == "swap"]
    removals = [number for number, name in enumerate(names, 1) if name == "rmdir"]
    return [removals[-1], swaps[len(swaps) // 2], swaps[-1] + 9, len(names) - 12]


def until_it_ends(request: pytest.FixtureRequest, stride: int, disturbed: Callable[[int], bool]) -> int:
    """Call *disturbed* with rising numbers until it says that the work ended; how often that was."""
    numbers = range(1, 1000, 1 if request.config.getoption("--long") else stride)
    for runs, number in enumerate(numbers, 1):
        if disturbed(number):
            return runs
    raise AssertionError("it never ended")


@pytest.mark.parametrize("phase", range(4), ids=["removing", "swapping", "settling", "concluding"])
@pytest.mark.parametrize("lacking", ["", "swap"])
def test_kill_at_every_step_of_a_recovery(
    tmp_path: Path, phase: int, lacking: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene(tmp_path, replace)
    killed_at = moving_steps(scene)[phase]
    if lacking:
        rename_without(monkeypatch, lacking)

    def recovery_killed(at: int) -> bool:
        scene.reset()
        assert not run_and_kill(scene.work, killed_at)
        ended = run_and_kill(lambda: scene.engine().recover(), at)
        assert scene.check() == "old"
        return ended

    assert until_it_ends(request, 11, recovery_killed) > 4


@pytest.mark.parametrize("phase", range(4), ids=["removing", "swapping", "settling", "concluding"])
def test_kill_at_every_step_of_a_rollback(tmp_path: Path, phase: int, request: pytest.FixtureRequest) -> None:
    scene = make_scene(tmp_path, undo)
    failing = moving_steps(scene)[phase]

    def rollback_killed(after: int) -> bool:
        scene.reset()
        status = fail_at(scene.work, failing, errno.EIO, once=True, then_kill=after)
        assert scene.check() == "old"
        return status == HostError.exit_status

    assert until_it_ends(request, 11, rollback_killed) > 4


# --- writes that fail -------------------------------------------------------------------------------------------------


FAILURES = {errno.ENOSPC: DiskFullError.exit_status, errno.EIO: HostError.exit_status}


@pytest.mark.parametrize("error", FAILURES, ids=["ENOSPC", "EIO"])
@verbs
def test_every_write_failing_from_each_step_on(tmp_path: Path, verb: Verb, error: int, some: Choose) -> None:
    scene = make_scene(tmp_path, verb)
    for at in some(scene, 6):
        scene.reset()
        status = fail_at(scene.work, at, error, once=False)
        assert status in (0, FAILURES[error])
        assert scene.check() == "new" or status == FAILURES[error]


@pytest.mark.parametrize("error", FAILURES, ids=["ENOSPC", "EIO"])
@verbs
def test_one_write_failing_is_rolled_back_at_once(tmp_path: Path, verb: Verb, error: int, some: Choose) -> None:
    scene = make_scene(tmp_path, verb)
    for at in some(scene, 6):
        scene.reset()
        status = fail_at(scene.work, at, error, once=True)
        assert status in (0, FAILURES[error])
        is_uncleaned = status == 0 and scene.journals() != []  # the next command sets the time of the top directory
        assert is_uncleaned or scene.state() == ("old" if status else "new")
        assert not status or (scene.staging(), scene.journals()) == ([], [])
        assert scene.count_points() == (status == 0 and verb is not without_point)
        assert scene.check() == ("old" if status else "new")


# --- signals to a real process ----------------------------------------------------------------------------------------

STOPPING = """
import os, sys, time
from cronos_git.disk import files

stops = {words.split("=")[0]: words.split("=")[1] for words in sys.argv.pop(1).split(",")}
room, seen = sys.argv.pop(1), {}

def step(name, _path):
    seen[name] = seen.get(name, 0) + 1
    if stops.get(name) == str(seen[name]):
        open(f"{room}/reached {name}", "w").close()
        for _ in range(2000):
            if os.path.exists(f"{room}/go on {name}"):
                break
            time.sleep(0.01)

files.step = step
from cronos_git.cli import main
sys.argv[0] = "cronos"
sys.exit(main())
"""
"""The real command, but it waits in the given steps until it is told to go on."""


def start(scene: Scene, stops: str) -> subprocess.Popen[bytes]:
    for mark in scene.room.glob("* on *"):
        mark.unlink()
    config = scene.room / "config.yaml"
    config.write_text("exclude: ['*.cache']\n")
    options = ["-C", str(scene.project), "--backup-dir", str(scene.room / "stores"), "--config", str(config)]
    words = [
        sys.executable,
        "-c",
        STOPPING,
        stops,
        str(scene.room),
        *options,
        "restore",
        "then",
        "--strategy",
        "replace",
        "--yes",
    ]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def await_mark(room: Path, step: str) -> None:
    for _ in range(2000):
        if (room / f"reached {step}").exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"never came to {step}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize(("stop", "again"), [("create=9", ""), ("swap=5", ""), ("swap=5", "rmdir=7"), ("swap=5", "sync=1")])
def test_signal_puts_everything_back_and_a_second_one_does_not_break_that(
    tmp_path: Path, number: signal.Signals, stop: str, again: str
) -> None:
    scene = make_scene(tmp_path, replace)
    scene.reset()
    first, second = stop.partition("=")[0], again.partition("=")[0]
    child = start(scene, ",".join(filter(None, (stop, again))))
    await_mark(scene.room, first)
    child.send_signal(number)
    if second:
        await_mark(scene.room, second)
        child.send_signal(signal.SIGINT)
        (scene.room / f"go on {second}").touch()
    (scene.room / f"go on {first}").touch()
    told = child.communicate(timeout=60)[1]
    assert child.returncode == 128 + number, told
    assert scene.state() == "old"
    assert (scene.staging(), scene.journals()) == ([], [])
    assert scene.count_points() == 0
    scene.check()


# --- others at work ---------------------------------------------------------------------------------------------------


def killed_while_swapping(scene: Scene) -> Scene:
    scene.reset()
    names = steps_of(scene.work)
    scene.reset()
    assert not run_and_kill(scene.work, [at for at, name in enumerate(names, 1) if name == "swap"][-1] + 2)
    return scene


def replace_file(path: Path) -> None:
    (path.parent / "elsewhere").write_bytes(b"somebody else's")
    (path.parent / "elsewhere").rename(path)


def write_file(path: Path) -> None:
    path.write_bytes(b"somebody else's")


@pytest.mark.parametrize("lacking", ["", "swap"])
@pytest.mark.parametrize("change", [write_file, replace_file])
@pytest.mark.parametrize("name", ["same size", "back/again/file", "new", "hard/2", "mode"])
def test_changes_after_a_kill_are_left_alone_until_recover_keeps_both(
    tmp_path: Path, name: str, change: Callable[[Path], None], lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lacking:
        rename_without(monkeypatch, lacking)
    scene = killed_while_swapping(make_scene(tmp_path, replace))
    change(scene.project / name)
    before = read_tree(scene.project)
    engine = scene.engine()
    told: list[str] = []
    engine.notice = lambda notice: told.append(notice.text)
    engine.backups()
    assert read_tree(scene.project) == before
    assert f"{name} changed since" in told[0]
    (recovery,) = engine.recover()
    assert recovery.result == "rolled back"
    assert name in recovery.text
    theirs = [path for path in scene.project.rglob("*") if path.is_file() and path.read_bytes() == b"somebody else's"]
    assert theirs
    assert all(path == scene.project / name or ".rescued-" in str(path) for path in theirs)
    for path in theirs:
        if path != scene.project / name:
            path.unlink()
    tree = read_tree(scene.project)
    wrong = {path for path in scene.old | tree if scene.old.get(path) != tree.get(path)}
    above = {os.fspath(path) for path in Path(name).parents} | {""}
    assert wrong <= above | ({name} if name == "mode" else set())
    assert (scene.staging(), scene.journals()) == ([], [])


@pytest.mark.parametrize("gone", ["deep", "hard", "sealed", "back"])
def test_directory_that_somebody_removed_after_a_kill_comes_back_with_what_the_restore_had_changed(
    tmp_path: Path, gone: str
) -> None:
    scene = killed_while_swapping(make_scene(tmp_path, replace))
    changed = [path for path, node in scene.old.items() if path.startswith(f"{gone}/") and scene.new.get(path) != node]
    empty(scene.project / gone)
    (scene.project / gone).rmdir()
    scene.engine().recover()
    tree = read_tree(scene.project)
    assert (scene.staging(), scene.journals()) == ([], [])
    for path in changed:
        if scene.old[path][6] is not None:
            assert tree[path][6] == scene.old[path][6]


def test_target_that_is_gone_is_told_and_other_commands_work(tmp_path: Path) -> None:
    scene = killed_while_swapping(make_scene(tmp_path, replace))
    scene.project.rename(tmp_path / "moved away")
    (tmp_path / "project").mkdir()
    for _ in range(2):
        engine = scene.engine()
        told: list[str] = []
        engine.notice = lambda notice, told=told: told.append(notice.text)  # type: ignore[misc]
        assert engine.backups()
        assert "Another directory is there now" in told[0]
        assert [recovery.result for recovery in engine.recover()] == ["left"]
    assert list(scene.project.iterdir()) == []
    scene.project.rmdir()
    engine = scene.engine()
    scene.project.rmdir()
    assert engine.backups()
    assert [recovery.result for recovery in engine.recover()] == ["left"]
    (tmp_path / "moved away").rename(scene.project)
    assert scene.check() == "old"


@pytest.mark.parametrize("when", ["staged", "moving", "swapping", "settling"])
@pytest.mark.parametrize("change", [write_file, replace_file])
@pytest.mark.parametrize("name", ["same size", "new", "hard/2", "mode", "to directory"])
def test_bytes_written_while_a_file_is_restored_are_never_lost(
    tmp_path: Path, name: str, change: Callable[[Path], None], when: str
) -> None:
    """By whoever held it open from before (`write_file`), or puts another file in its place."""
    scene = make_scene(tmp_path, replace)
    scene.reset()
    names = steps_of(scene.work)
    removing, swapping = names.index("rmdir"), names.index("swap")
    at = {"staged": removing - 9, "moving": removing - 4, "swapping": swapping, "settling": swapping + 28}[when]
    scene.reset()
    held = os.open(scene.project / name, os.O_WRONLY)
    number, happened = 0, False

    def step(_name: str, _path: str) -> None:
        nonlocal number, happened
        number += 1
        if number == at and change is write_file:
            happened = os.pwrite(held, b"somebody else's", 0) > 0
        elif number == at and (scene.project / name).is_file():
            change(scene.project / name)
            happened = True

    files.step = step
    is_refused = False
    try:
        scene.work()
    except RefusedError:
        is_refused = True
    finally:
        files.step = files._no_step
        os.close(held)
    assert (scene.staging(), scene.journals()) == ([], [])
    contents = [path.read_bytes() for path in scene.project.rglob("*") if path.is_file()]
    assert (b"somebody else's" in contents) is happened
    assert is_refused is (happened and (name, when) != ("mode", "settling"))  # there the file stays, only its mode was set
    if is_refused:
        tree = read_tree(scene.project)
        wrong = {path for path in scene.old | tree if scene.old.get(path) != tree.get(path) and ".rescued-" not in path}
        assert wrong <= {name, name.rpartition("/")[0]}
        assert scene.count_points() == 0


# --- several file systems -------------------------------------------------------------------------------------------


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in the project."""
    place = tmp_path / "project/mounted"
    place.mkdir(parents=True)
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "cronos-test", place], capture_output=True, check=False).returncode
    ):
        pytest.skip("cannot mount")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def grow_mounted(project: Path, when: str) -> None:
    make_tree(project / "mounted", {"changed": when, "deep/changed": when, f"only {when}/file": when, f"{when}": when})


@pytest.mark.parametrize("verb", [replace, undo, overwrite, some_paths], ids=lambda verb: verb.__name__)
def test_kill_at_every_step_with_another_file_system_in_the_target(
    tmp_path: Path, mounted: Path, verb: Verb, some: Choose
) -> None:
    scene = make_scene(tmp_path, verb, grow_mounted)
    assert (scene.old["mounted/changed"] != scene.new["mounted/changed"]) is (verb is not some_paths)
    assert min(sweep(scene, some(scene, 8)).values()) >= 1


# --- many directories, and ordinary users -----------------------------------------------------------------------------


def grow_many(project: Path, when: str) -> None:
    """More read-only directories than are kept open at once, in an order that comes back to early ones."""
    for number in range(40):
        make_tree(project, {f"many/{number:02}/file": when, f"many/{number:02}/mode {when}": when})
    make_tree(project, {"many/last": when})
    for path in (project / "many").iterdir():
        if path.is_dir():
            path.chmod(0o555)


@pytest.mark.parametrize("lacking", ["", "swap"])
def test_kill_with_more_read_only_directories_than_are_kept_open(
    tmp_path: Path, lacking: str, some: Choose, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lacking:
        rename_without(monkeypatch, lacking)
    scene = make_scene(tmp_path, replace, grow_many)
    assert scene.new["many/39"][1] == 0o555
    assert min(sweep(scene, some(scene, 5)).values()) >= 1


def as_user(work: Callable[[], object]) -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    work()


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user can reach, as pytest's own cannot be."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_ordinary_user_gets_everything_back_from_directories_that_shut_everybody_out(public: Path) -> None:
    """Recorded by root, closed by the restore of a user, and to be opened again for the rollback."""
    engine = make_engine(public)
    make_tree(engine.project, {"closed/deep/file": "then", "file": "then"})
    shutil.chown(engine.project / "closed", NOBODY, NOBODY)
    (engine.project / "closed").chmod(0o000)
    engine.snapshot(SnapshotRequest(name="then"))
    (engine.project / "closed").chmod(0o755)
    make_tree(engine.project, {"closed/deep/file": "now", "file": "now"})
    for path in (engine.store_path, engine.project, *engine.store_path.rglob("*"), *engine.project.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    os.chown(public / "stores", NOBODY, NOBODY)
    old = read_tree(engine.project)
    moves._library()  # the user may not read where Python lies

    def work() -> None:
        replace(make_engine(public))

    room = public / "saved"
    room.mkdir()
    ended, at = False, 0
    while not ended:
        at += 7
        for name in ("project", "stores"):
            copy(public / name, room / name) if at == 7 else None
            empty(public / name)
            copy(room / name, public / name)
        ended = run_and_kill(lambda: as_user(work), at)
        assert run_and_kill(lambda: as_user(lambda: make_engine(public).recover()), 0)
        tree = read_tree(engine.project)
        is_new = tree["file"][6] == b"then"
        assert tree["closed"][1] == (0o000 if is_new else 0o755)
        assert is_new or (tree == old and not ended)
