from __future__ import annotations

import itertools
import os
import stat
from pathlib import Path

import pytest

from cronos_git.disk import files
from cronos_git.errors import AccessError, DiskFullError, UsageError
from cronos_git.git.store import Store
from cronos_git.ops import oplog
from tests.support.faults import run_and_kill
from tests.support.stores import make_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "s.git")


def test_a_new_store_has_an_empty_log(store: Store) -> None:
    assert oplog.read(store) == []


def test_records_come_back_in_order_and_say_their_version(store: Store) -> None:
    oplog.append(store, {"verb": "create", "paths": ["caf\udce9", "a\nb"]})
    oplog.append(store, {"verb": "restore", "counts": {"files": 3}})
    assert oplog.read(store) == [
        {"schema_version": 1, "verb": "create", "paths": ["caf\udce9", "a\nb"]},
        {"schema_version": 1, "verb": "restore", "counts": {"files": 3}},
    ]
    log = store.cronos_dir / "operations.jsonl"
    assert len(log.read_bytes().splitlines()) == 2
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.parametrize("torn", [b'{"verb": "cre', b"\0\0\0", b"[1]", b'{"a":"\xff'])
def test_a_torn_line_costs_no_other(store: Store, torn: bytes) -> None:
    oplog.append(store, {"verb": "one"})
    with (store.cronos_dir / "operations.jsonl").open("ab") as log:
        log.write(torn)
    assert [record["verb"] for record in oplog.read(store)] == ["one"]
    oplog.append(store, {"verb": "two"})
    assert [record["verb"] for record in oplog.read(store)] == ["one", "two"]


def test_killed_at_any_step_the_log_can_be_read_and_continued(store: Store) -> None:
    for number in itertools.count(1):
        ended = run_and_kill(lambda: oplog.append(store, {"verb": "in child"}), number)
        oplog.append(store, {"verb": "after"})
        assert oplog.read(store)[-1]["verb"] == "after"
        if ended:
            break
    assert oplog.read(store)[-2]["verb"] == "in child"


def test_what_is_no_json_is_refused_before_anything_is_written(store: Store) -> None:
    with pytest.raises(UsageError):
        oplog.append(store, {"verb": {1, 2}})
    assert oplog.read(store) == []


def test_a_full_disk_is_reported(store: Store) -> None:
    def fail(_name: str, path: str) -> None:
        raise OSError(28, "No space left on device", path)

    files.step = fail
    with pytest.raises(DiskFullError):
        oplog.append(store, {"verb": "create"})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_log_that_may_not_be_read_is_an_access_error(store: Store) -> None:
    oplog.append(store, {"verb": "create"})
    (store.cronos_dir / "operations.jsonl").chmod(0)
    with pytest.raises(AccessError):
        oplog.read(store)


# --- lines that cannot be read ---


def test_bad_lines_are_told_with_number_and_place(store: Store) -> None:
    oplog.append(store, {"verb": "one"})
    log = store.cronos_dir / "operations.jsonl"
    first = log.read_bytes()
    with log.open("ab") as file:
        file.write(b"\0\0\n\n[1]\n" + b"[" * 100_000 + b'\n{"no": "verb"}\n{"verb": "two"}\n{"verb": "being wri')
    found = oplog.bad_lines(store)
    assert [line.number for line in found] == [2, 4, 5, 6]
    assert found[0] == (2, len(first), b"\0\0")
    assert [record["verb"] for record in oplog.read(store)] == ["one", "two"]
    assert oplog.told_lines(found) == "lines 2, 4, 5, 6 cannot be read"
    assert oplog.told_lines(found[:1]) == "line 2 cannot be read"


def test_blanked_lines_leave_all_others_in_their_place(store: Store) -> None:
    log = store.cronos_dir / "operations.jsonl"
    log.write_bytes(b'garbled\n{"verb": "one"}\ntorn{\n{"verb": "two"}\n')
    found = oplog.bad_lines(store)
    oplog.append(store, {"verb": "three"})  # by somebody else, meanwhile
    oplog.blank(store, found)
    assert log.read_bytes().startswith(b" " * 7 + b'\n{"verb": "one"}\n' + b" " * 5 + b'\n{"verb": "two"}\n')
    assert oplog.bad_lines(store) == []
    assert [record["verb"] for record in oplog.read(store)] == ["one", "two", "three"]


def test_what_is_no_longer_what_it_was_is_not_blanked(store: Store) -> None:
    log = store.cronos_dir / "operations.jsonl"
    log.write_bytes(b"garbled\n")
    found = oplog.bad_lines(store)
    log.write_bytes(b'{"verb": "other"}\n')
    oplog.blank(store, found)
    assert log.read_bytes() == b'{"verb": "other"}\n'
