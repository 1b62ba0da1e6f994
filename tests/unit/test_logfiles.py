from __future__ import annotations

import errno
import fcntl
import itertools
import json
import multiprocessing
import os
import stat
import threading
from pathlib import Path

import pytest

from cronos_git.disk import files, logfiles
from cronos_git.disk.logfiles import LogFile
from cronos_git.errors import CronosError, DiskFullError, HostError
from tests.support.faults import run_and_kill


def lines_of(directory: Path) -> list[bytes]:
    """All lines in all files of the log."""
    return [line for path in sorted(directory.iterdir()) for line in path.read_bytes().splitlines(keepends=True)]


def test_the_first_line_makes_the_directory_and_a_private_file(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a" / "b" / "cronos.log", size_bytes=100, keep=1)
    log.append(b"one\n")
    log.append(b"two\n")
    assert log.path.read_bytes() == b"one\ntwo\n"
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def test_a_line_without_room_begins_a_new_file_and_the_oldest_goes(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", size_bytes=8, keep=2)
    for number in range(7):
        log.append(b"l%d.\n" % number)
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {"log": b"l6.\n", "log.1": b"l4.\nl5.\n", "log.2": b"l2.\nl3.\n"}


def test_a_line_larger_than_the_limit_stands_alone(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", size_bytes=8, keep=1)
    log.append(b"a\n")
    log.append(b"much longer than that\n")
    assert (tmp_path / "log").read_bytes() == b"much longer than that\n"
    assert (tmp_path / "log.1").read_bytes() == b"a\n"


def test_with_nothing_to_keep_the_file_is_emptied(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", size_bytes=4, keep=0)
    for text in (b"one\n", b"two\n"):
        log.append(text)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert log.path.read_bytes() == b"two\n"


def test_a_torn_line_costs_no_other(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", size_bytes=100, keep=1)
    log.path.write_bytes(b'{"half')
    log.append(b"whole\n")
    assert log.path.read_bytes() == b'{"half\nwhole\n'


def _write_many(path: Path, writer: int, count: int) -> None:
    log = LogFile(path, size_bytes=400, keep=200)
    for number in range(count):
        log.append(json.dumps({"writer": writer, "number": number}).encode() + b"\n")


def test_processes_that_write_and_rotate_at_once_lose_no_line_and_tear_none(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_write_many, args=(tmp_path / "log", writer, 150)) for writer in range(4)]
    for process in writers:
        process.start()
    for process in writers:
        process.join(30)
    found = [json.loads(line) for line in lines_of(tmp_path)]
    longest = max(len(line) for line in lines_of(tmp_path))
    older = [path for path in tmp_path.iterdir() if path.name != "log"]
    assert len(older) > 20
    assert all(400 - longest < path.stat().st_size <= 400 for path in older)  # none was moved away before it was full
    assert sorted((line["writer"], line["number"]) for line in found) == list(itertools.product(range(4), range(150)))


def test_killed_while_it_rotates_no_line_is_lost(tmp_path: Path) -> None:
    for step in itertools.count(1):
        place = tmp_path / f"{step}"
        log = LogFile(place / "log", size_bytes=4, keep=9)
        for number in range(3):
            log.append(b"%d..\n" % number)
        ended = run_and_kill(lambda log=log: log.append(b"new\n"), step)  # type: ignore[misc]
        log.append(b"end\n")
        assert set(lines_of(place)) >= {b"0..\n", b"1..\n", b"2..\n", b"end\n"}
        if ended:
            break
    assert step > 3


def test_whoever_waited_while_the_file_was_moved_away_writes_to_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, has_tried = fcntl.flock, threading.Event()

    def seen(fd: int, operation: int) -> None:
        try:
            flock(fd, operation)
        finally:
            has_tried.set()

    log = LogFile(tmp_path / "log", size_bytes=100, keep=1)
    log.append(b"old\n")
    holder = os.open(log.path, os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    monkeypatch.setattr("cronos_git.disk.logfiles.fcntl.flock", seen)
    waiting = threading.Thread(target=log.append, args=(b"new\n",))
    waiting.start()
    assert has_tried.wait(10)
    log.path.rename(tmp_path / "moved")
    os.close(holder)
    waiting.join(10)
    assert (log.path.read_bytes(), (tmp_path / "moved").read_bytes()) == (b"new\n", b"old\n")


def test_a_holder_that_has_stopped_does_not_stop_others_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "_WAIT_S", 0.03)
    log = LogFile(tmp_path / "log", size_bytes=100, keep=1)
    log.append(b"old\n")
    holder = os.open(log.path, os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(HostError, match="Another process has held"):
        log.append(b"new\n")
    os.close(holder)


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_what_is_no_plain_file_is_neither_followed_nor_waited_for(tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / "log", tmp_path / "other"
    other.write_bytes(b"mine")
    if kind == "link":
        path.symlink_to(other)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(CronosError):
        LogFile(path, size_bytes=100, keep=1).append(b"line\n")
    assert other.read_bytes() == b"mine"


def test_a_full_disk_is_an_error_of_the_family(tmp_path: Path) -> None:
    def fail(name: str, path: str) -> None:
        if name == "write":
            raise OSError(errno.ENOSPC, "No space left on device", path)

    log = LogFile(tmp_path / "log", size_bytes=100, keep=1)
    log.append(b"one\n")
    files.step = fail
    with pytest.raises(DiskFullError):
        log.append(b"two\n")
    files.step = files._no_step
    assert log.path.read_bytes() == b"one\n"
