from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

import pytest

from cronos_git.disk import files
from cronos_git.errors import DiskFullError, RecordFormatError
from cronos_git.git.store import Store
from cronos_git.ops.journal import abandoned, discard, garbled, open_journal
from tests.support.faults import run_and_kill
from tests.support.stores import make_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "s.git")


def step(number: int, **facts: object) -> dict[str, object]:
    """A record as a restore writes it, with a number."""
    return {"verb": "restore", "phase": "staging", "target": "/t", "staging": "/s", "step": number, **facts}


def _records(store: Store) -> list[object]:
    return [record["step"] for _path, record in abandoned(store)]


def _left_in(store: Store) -> list[str]:
    return [path.name for path in (store.cronos_dir / "journal").iterdir()]


def test_a_finished_restore_leaves_nothing(store: Store) -> None:
    with open_journal(store, step(1)) as journal:
        journal.update(step(2))
        journal.close()
    assert abandoned(store) == []
    assert _left_in(store) == []


def test_the_journal_of_a_living_owner_is_not_abandoned(store: Store) -> None:
    with open_journal(store, step(1)), open_journal(store, step(2)) as other:
        assert abandoned(store) == []
        assert _in_child_abandoned(store) == 0
        other.close()
    assert _records(store) == [1]


def _in_child_abandoned(store: Store) -> int:
    child = os.fork()
    if child == 0:
        count = 99
        try:
            count = len(abandoned(store))
        finally:
            os._exit(count)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_an_error_leaves_the_last_record_behind_until_it_is_discarded(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), open_journal(store, step(1)) as journal:
        journal.update(step(2, path="caf\udce9"))
        raise ZeroDivisionError
    ((path, record),) = abandoned(store)
    assert record == step(2, path="caf\udce9")
    assert _records(store) == [2], "looking must not take it away"
    discard(path)
    assert abandoned(store) == []
    assert _left_in(store) == []


def test_the_journal_of_a_killed_process_is_found_at_once(store: Store) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with open_journal(store, step(1)):
            os.write(write, b"x")
            signal.pause()
    os.read(read, 1)
    assert abandoned(store) == []
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert _records(store) == [1]


def test_killed_at_any_step_the_record_is_absent_old_or_new(store: Store) -> None:
    def work() -> None:
        with open_journal(store, step(1)) as journal:
            journal.update(step(2))
            journal.close()

    seen = []
    for number in itertools.count(1):
        ended = run_and_kill(work, number)
        found = abandoned(store)
        seen.append([record["step"] for _path, record in found])
        for path, _record in found:
            discard(path)
        if ended:
            break
    assert [steps for steps, _group in itertools.groupby(seen)] == [[], [1], [2], []]


def test_a_full_disk_keeps_the_old_record(store: Store) -> None:
    def fail(_name: str, path: str) -> None:
        raise OSError(28, "No space left on device", path)

    with open_journal(store, step(1)) as journal:
        files.step = fail
        with pytest.raises(DiskFullError):
            journal.update(step(2))
    files.step = files._no_step
    assert _records(store) == [1]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"[" * 100_000, b'{"phase":"staging","target":"/t","verb":"restore"}']
)
def test_a_damaged_journal_is_not_passed_over(store: Store, content: bytes) -> None:
    with open_journal(store, step(1)) as journal:
        pass
    journal.path.write_bytes(content)
    with pytest.raises(RecordFormatError, match=journal.path.name):
        abandoned(store)


def test_a_journal_directory_that_was_lost_is_made_again(store: Store) -> None:
    (store.cronos_dir / "journal").rmdir()
    assert abandoned(store) == []
    with open_journal(store, step(1)):
        pass
    assert _records(store) == [1]


def test_of_a_garbled_journal_is_told_what_can_be_made_out(store: Store) -> None:
    with open_journal(store, step(1, target='/a "b"\\c', restore_point="p_20400101_120000")) as journal:
        whole = journal.path.read_bytes()
        journal.path.write_bytes(whole.replace(b'"phase"', b'"ph\xff'))
        assert garbled(store) == [], "its owner lives"
    (found,) = garbled(store)
    assert (found.path, found.told) == (journal.path, {"target": '/a "b"\\c', "restore_point": "p_20400101_120000"})
    journal.path.write_bytes(bytes(len(whole)))
    assert garbled(store)[0].told == {}
    journal.path.write_bytes(whole.replace(b"staging", b"nothing"))
    assert garbled(store)[0].told["target"] == '/a "b"\\c'


def test_a_whole_journal_is_not_garbled(store: Store) -> None:
    with open_journal(store, step(1)):
        pass
    assert garbled(store) == []
