"""`cronos watch` as a process of its own, beside which files really change."""

from __future__ import annotations

import io
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronos_git.bootstrap import open_engine
from cronos_git.cli import watch
from cronos_git.cli.app import run
from cronos_git.disk import watching
from cronos_git.git.store import store_path
from cronos_git.model import SnapshotRequest
from tests.support.hooks import Desk

PATIENCE_S = 30
FAST = ("--settle", "50ms", "--min-gap", "0")


@pytest.fixture
def desk(tmp_path: Path, hermetic: Path) -> Desk:
    return Desk(tmp_path, hermetic)


@pytest.fixture
def shop(desk: Desk) -> Path:
    project = desk.base / "shop"
    (project / "node_modules").mkdir(parents=True)
    (project / "f").write_text("1\n")
    return project


class Watching:
    """A `cronos watch` that runs in a process of its own: forked, which spares its start."""

    def __init__(self, project: Path, *words: str) -> None:
        (self._out, out), (self._err, err) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _become_watch(["-C", str(project), "watch", *words], out, err)
        os.close(out)
        os.close(err)
        self._status: int | None = None

    def line(self, of_error: bool = False) -> str:
        """The next line that it says."""
        found = b""
        while not found.endswith(b"\n"):
            piece = self._read(self._err if of_error else self._out, 1)
            assert piece, (found, self._read(self._err, 9999))
            found += piece
        return found.decode().rstrip("\n")

    def rest(self) -> tuple[int, str]:
        """Exit status when it has ended, and what it said since."""
        said = b""
        for stream in (self._out, self._err):
            while piece := self._read(stream, 9999):
                said += piece
        return self._wait(), said.decode()

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Have it end; the same as `rest`."""
        os.kill(self.pid, number)
        return self.rest()

    def clear(self) -> None:
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            self._wait()
        os.close(self._out)
        os.close(self._err)

    def _wait(self) -> int:
        self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status

    def _read(self, stream: int, most: int) -> bytes:
        ready, _, _ = select.select([stream], [], [], PATIENCE_S)
        assert ready, "it says nothing, and does not end"
        return os.read(stream, most)


def _become_watch(words: list[str], out: int, err: int) -> None:
    status = 99
    try:
        sys.stdout, sys.stderr = (io.TextIOWrapper(os.fdopen(fd, "wb", 0), "utf-8", write_through=True) for fd in (out, err))
        status = run(words)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


@pytest.fixture
def watchers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Watching]]:
    """Those that were begun; they look and try again sooner than usual, and are ended after the test."""
    for module, name, value in ((watching, "TICK_S", 0.05), (watching, "_STEP_MS", 20), (watch, "_RETRY_S", 0.1)):
        monkeypatch.setattr(module, name, value)
    started: list[Watching] = []
    yield started
    for one in started:
        one.clear()


def begin(watchers: list[Watching], project: Path, *words: str) -> Watching:
    watchers.append(Watching(project, *words))
    return watchers[-1]


def test_changes_that_matter_are_saved_and_others_wake_nobody(shop: Path, watchers: list[Watching]) -> None:
    watched = begin(watchers, shop, *FAST, "--label", "w", "--json")
    first = json.loads(watched.line())
    assert (first["backup"]["type"], first["backup"]["labels"]) == ("auto", ["w"])
    (shop / "node_modules/x").write_text("x")
    (shop / "f").write_text("2\n")
    second = json.loads(watched.line())
    assert (second["backup"]["changed"], second["files_read"]) == (1, 1)
    (shop / "f").unlink()
    (shop / "new").mkdir()
    (shop / "new/g").write_text("3\n")
    while (last := json.loads(watched.line()))["backup"]["added"] == 0:  # deletion and creation may be two backups
        pass
    assert last["backup"]["files"] == 1
    assert watched.end() == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_well(shop: Path, watchers: list[Watching], number: signal.Signals) -> None:
    watched = begin(watchers, shop)
    assert re.fullmatch(r"Saved backup_\S+: 1 file, \+1 ~0 -0\. Stored .*\.", watched.line())
    assert watched.end(number) == (0, "")


def test_a_project_that_goes_away_ends_it(desk: Desk, shop: Path, watchers: list[Watching]) -> None:
    watched = begin(watchers, shop, *FAST)
    watched.line()
    shutil.move(shop, desk.base / "elsewhere")
    status, said = watched.rest()
    assert (status, said.startswith("error: ")) == (1, True)
    assert "is gone" in said


def test_a_locked_store_is_told_and_tried_again(shop: Path, watchers: list[Watching]) -> None:
    watched = begin(watchers, shop, *FAST)
    watched.line()
    with open_engine(project=str(shop)).store.lock():
        (shop / "f").write_text("2\n")
        told = watched.line(of_error=True)
        assert re.search(r"No backup: The store is in use by process \d+ .*The next try is in 0\.1 s\.", told)
    assert "+0 ~1 -0" in watched.line()
    assert watched.end(signal.SIGINT)[0] == 0


def test_the_first_backup_says_what_waiting_would_not_mend(desk: Desk, shop: Path) -> None:
    store = store_path(desk.home / ".local/share/cronos", shop)
    store.parent.mkdir(parents=True)
    store.write_text("no store")
    told = desk.cronos("-C", shop, "watch", cwd=desk.base, status=None)
    assert told.status != 0
    assert told.err.startswith("error: ")


@pytest.mark.skipif(
    subprocess.run(["unshare", "-Ur", "sh", "-c", "echo 9 > /proc/sys/user/max_inotify_watches"], check=False).returncode != 0,
    reason="no namespace of our own for users",
)
def test_too_many_directories_are_looked_at_instead_of_listened_to(desk: Desk, shop: Path) -> None:
    limited = ["unshare", "-Ur", "sh", "-c", 'echo 1 > /proc/sys/user/max_inotify_watches && exec "$@"', "sh"]
    words = [*limited, str(desk.bin / "cronos"), "-C", str(shop), "watch", *FAST]
    with subprocess.Popen(words, cwd=desk.base, env=desk.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as begun:
        assert begun.stdout is not None
        assert begun.stdout.readline().startswith("Saved ")
        begun.terminate()
        told = begun.communicate(timeout=PATIENCE_S)[1]
    assert begun.returncode == 0
    assert "OS file watch limit reached. So the whole project is looked at every 1 min 0 s instead." in told
    assert "sysctl fs.inotify.max_user_watches" in told


def test_a_backup_under_way_is_given_up_whole(desk: Desk, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_engine(project=str(shop)).snapshot(SnapshotRequest()).backup.id
    (shop / "f").write_text("2\n")

    def interrupt(_watcher: object, _event: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("cronos_git.cli.render.progress.Watcher.receive", interrupt)
    monkeypatch.setattr(watching, "TICK_S", 0.05)
    monkeypatch.chdir(shop)
    assert run(["watch", *FAST]) == 0
    assert [backup.id for backup in open_engine(project=str(shop)).backups()] == [before]


@pytest.mark.parametrize("text", ["", "x", "2 s", "-1s", "25h", "1e9", "nan"])
def test_a_length_of_time_that_makes_no_sense_is_refused(desk: Desk, shop: Path, text: str) -> None:
    told = desk.cronos("watch", "--settle", text, cwd=shop, status=2)
    assert "--settle" in told.err
