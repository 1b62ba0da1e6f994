"""Conflicts of a merge on a real terminal: what of the table fits, what hostile names do to it, and that nobody is asked."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import traceback
from pathlib import Path
from typing import NamedTuple

import pytest

from cronos_git.cli.app import run
from cronos_git.cli.render.tables import width_of
from tests.cli.test_transcripts import World
from tests.support.trees import File, read_tree

FIRST = "first_20260401_120000"
MERGE = ("restore", "second", "--strategy", "merge", "--base", "first")
HOSTILE = "evil\x1b]0;owned\x07\x1b[2J\r\nline\u202e"
LONG = "d/" + "a name of many words " * 8
WIDE = "日本" * 20
PATIENCE_S = 60


class Seen(NamedTuple):
    """What a terminal got.

    Attributes:
        raw: Every byte.
        lines: The same as text without colours.
    """

    status: int
    raw: bytes
    lines: list[str]


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    """Conflicts of several kinds under names that a terminal minds, or that do not fit into it."""
    made = World(tmp_path, capsys)
    made.write({"f": "1\n", HOSTILE: b"\0", LONG: "1\n", WIDE: "1\n", "mode": "same"})
    made("create", "first")
    made.clock.advance(hours=1)
    made.write({"f": "t\x1b[2J\n", HOSTILE: b"\0t", LONG: "2\n", WIDE: "2\n", "mode": File(b"same", mode=0o600)})
    made("create", "second")
    made.write({"f": "o\n", HOSTILE: b"\0o", LONG: "3\n", WIDE: "3\n", "mode": File(b"same", mode=0o755)})
    return made


def on_terminal(world: World, columns: int, *words: str, typed: bytes = b"") -> Seen:
    """Run the command in a child whose terminal has that many columns, and at which nobody types anything else."""
    pid, master = pty.fork()
    if pid == 0:
        _be_the_command(world, columns, words)
    os.write(master, typed)
    raw = _read_all(pid, master)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw.decode())
    return Seen(status, raw, text.replace("\r\n", "\n").splitlines())


def _be_the_command(world: World, columns: int, words: tuple[str, ...]) -> None:
    try:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        os.environ["TERM"] = "xterm-256color"
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 - for as long as the child lives
        status = run(words, open_engine=world.open_engine)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    except BaseException:
        traceback.print_exc()
        os._exit(70)


def _read_all(pid: int, master: int) -> bytes:
    raw = b""
    with open(master, "rb", buffering=0) as terminal:
        while True:
            if not select.select([terminal], [], [], PATIENCE_S)[0]:
                os.kill(pid, signal.SIGKILL)
                return raw
            try:
                piece = terminal.read(4096)
            except OSError:  # the last one has closed it
                return raw
            raw += piece


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200])
def test_what_fits_of_the_conflicts_is_whole_and_says_what_and_where(world: World, columns: int) -> None:
    told = on_terminal(world, columns, *MERGE, "-n")
    titles, *rows = told.lines[:16]
    assert told.status == 4
    assert max(map(width_of, [titles, *rows])) <= columns
    shown = {40: ["SIZE"], 60: ["SIZE", "MODIFIED"]}.get(columns, ["SIZE", "MODIFIED", "HASH"])
    assert titles.split()[: 3 + len(shown)] == ["CONFLICT", "PATH", "SIDE", *shown]
    assert [row.split()[0] for row in rows[::3]] == ["content", "binary", "content", "mode", "content"]
    assert [row.split()[1][:4] for row in rows[::3]] == ["d/a", "evil", "f", "mode", "日本日本"]
    if "HASH" in shown:
        assert all(re.search(r"\b2026-03-31 20:00:00  [0-9a-f]{8}(?!\S)", row) for row in rows)
    assert told.lines[16] == f"5 conflicts: nothing would be changed. Base: {FIRST}."


@pytest.mark.parametrize("words", [MERGE, (*MERGE, "--yes"), ("-v", *MERGE)], ids=["plain", "yes", "verbose"])
def test_a_restore_with_conflicts_asks_nothing_and_changes_nothing(world: World, words: tuple[str, ...]) -> None:
    before = read_tree(world.project)
    told = on_terminal(world, 100, *words)
    assert told.status == 4
    assert told.lines[0].split()[:3] == ["CONFLICT", "PATH", "SIDE"]
    assert [line for line in told.lines if line.startswith("error:")] == [
        f"error: 5 paths in conflict ({LONG} and others). Nothing was changed."
    ]
    assert told.lines[-1].startswith("hint: Take one side with --on-conflict ours or theirs")
    assert not any("Go on?" in line for line in told.lines)
    assert read_tree(world.project) == before


def test_hostile_names_and_lines_do_nothing_to_the_terminal(world: World) -> None:
    told = on_terminal(world, 200, "-v", *MERGE, "-n")
    assert any(r"evil\x1b]0;owned\x07\x1b[2J\r\nline\u202e " in line for line in told.lines)
    assert r"t\x1b[2J" in told.lines
    assert set(re.findall(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", re.sub(rb"\x1b\[[0-9;]*m", b"", told.raw))) == set()


def test_solved_conflicts_are_asked_about_before_anything_is_written(world: World) -> None:
    before = read_tree(world.project)
    told = on_terminal(world, 100, *MERGE, "--on-conflict", "both", typed=b"n\n")
    assert told.status == 1
    assert [line.split()[:2] for line in told.lines if line.startswith("CONFLICT")] == [["CONFLICT", "PATH"]]
    assert any("Solved with both: 5 conflicts." in line for line in told.lines)
    assert any("Go on?" in line for line in told.lines)
    assert told.lines[-1] == "note: Nothing was changed."
    assert read_tree(world.project) == before


def test_the_project_itself_in_conflict_is_a_dot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path, capsys)
    world.write({"f": "same"})
    for name, mode in (("first", 0o755), ("second", 0o711)):
        world.project.chmod(mode)
        world("create", name)
        world.clock.advance(hours=1)
    world.project.chmod(0o700)
    told = on_terminal(world, 120, *MERGE)
    assert told.lines[2].split()[:3] == ["mode", ".", "current"]
    assert told.lines[2].split()[-2:] == ["mode", "0700"]
    assert "error: 1 path in conflict (.). Nothing was changed." in told.lines
