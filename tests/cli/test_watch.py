"""`cronos watch` as a process of its own, beside which files really change."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronos_git.bootstrap import open_engine
from cronos_git.cli import watch
from cronos_git.cli.app import run
from cronos_git.git.store import store_path
from tests.support.hooks import Desk

PATIENCE_S = 30
FAST = ("--settle", "100ms", "--min-gap", "0")


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
    """A `cronos watch` that runs."""

    def __init__(self, desk: Desk, project: Path, *words: str, before: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [*before, str(desk.bin / "cronos"), "-C", str(project), "watch", *words],
            cwd=desk.base,
            env={**desk.env, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def line(self, of_error: bool = False) -> str:
        """The next line that it says."""
        stream = self.process.stderr if of_error else self.process.stdout
        assert stream is not None
        found = b""
        while not found.endswith(b"\n"):
            ready, _, _ = select.select([stream], [], [], PATIENCE_S)
            piece = os.read(stream.fileno(), 1) if ready else b""
            assert piece, (found, self.process.poll())
            found += piece
        return found.decode().rstrip("\n")

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Exit status, and what it said since."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, (out + err).decode()


@pytest.fixture
def watchers() -> Iterator[list[Watching]]:
    started: list[Watching] = []
    yield started
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def begin(watchers: list[Watching], desk: Desk, project: Path, *words: str, before: tuple[str, ...] = ()) -> Watching:
    watchers.append(Watching(desk, project, *words, before=before))
    return watchers[-1]


def test_changes_that_matter_are_saved_and_others_wake_nobody(desk: Desk, shop: Path, watchers: list[Watching]) -> None:
    watching = begin(watchers, desk, shop, *FAST, "--label", "w", "--json")
    first = json.loads(watching.line())
    assert (first["backup"]["type"], first["backup"]["labels"]) == ("auto", ["w"])
    (shop / "node_modules/x").write_text("x")
    (shop / "f").write_text("2\n")
    second = json.loads(watching.line())
    assert (second["backup"]["changed"], second["files_read"]) == (1, 1)
    (shop / "f").unlink()
    (shop / "new").mkdir()
    (shop / "new/g").write_text("3\n")
    while (last := json.loads(watching.line()))["backup"]["added"] == 0:  # deletion and creation may be two backups
        pass
    assert last["backup"]["files"] == 1
    assert watching.end() == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_well(desk: Desk, shop: Path, watchers: list[Watching], number: signal.Signals) -> None:
    watching = begin(watchers, desk, shop)
    assert re.fullmatch(r"Saved backup_\S+: 1 file, \+1 ~0 -0\. Stored .*\.", watching.line())
    assert watching.end(number) == (0, "")


def test_a_project_that_goes_away_ends_it(desk: Desk, shop: Path, watchers: list[Watching]) -> None:
    watching = begin(watchers, desk, shop, *FAST)
    watching.line()
    shutil.move(shop, desk.base / "elsewhere")
    out, err = watching.process.communicate(timeout=PATIENCE_S)
    assert (watching.process.returncode, out) == (1, b"")
    assert b"is gone" in err


def test_a_locked_store_is_told_and_tried_again(desk: Desk, shop: Path, watchers: list[Watching]) -> None:
    engine = open_engine(project=str(shop))
    engine.snapshot(watch.SnapshotRequest())
    with engine.store.lock():
        watching = begin(watchers, desk, shop, *FAST)
        told = watching.line(of_error=True)
    assert re.search(r"No backup: The store is in use by process \d+ .*The next try is in 1 min 0 s\.", told)
    assert watching.end() == (0, "")


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
def test_too_many_directories_are_looked_at_instead_of_listened_to(desk: Desk, shop: Path, watchers: list[Watching]) -> None:
    limited = ("unshare", "-Ur", "sh", "-c", 'echo 1 > /proc/sys/user/max_inotify_watches && exec "$@"', "sh")
    watching = begin(watchers, desk, shop, *FAST, before=limited)
    told = watching.line(of_error=True)
    assert "OS file watch limit reached. So the whole project is looked at every 1 min 0 s instead." in told
    assert "sysctl fs.inotify.max_user_watches" in told
    assert watching.line().startswith("Saved ")
    assert watching.end() == (0, "")


def test_a_backup_under_way_is_given_up_whole(desk: Desk, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_engine(project=str(shop)).snapshot(watch.SnapshotRequest()).backup.id
    (shop / "f").write_text("2\n")

    def interrupt(_watcher: object, _event: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("cronos_git.cli.render.progress.Watcher.receive", interrupt)
    monkeypatch.chdir(shop)
    assert run(["watch", *FAST]) == 0
    assert [backup.id for backup in open_engine(project=str(shop)).backups()] == [before]


@pytest.mark.parametrize("text", ["", "x", "2 s", "-1s", "25h", "1e9", "nan"])
def test_a_length_of_time_that_makes_no_sense_is_refused(desk: Desk, shop: Path, text: str) -> None:
    told = desk.cronos("watch", "--settle", text, cwd=shop, status=2)
    assert "--settle" in told.err
