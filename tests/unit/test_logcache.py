"""The log read from where it was read last gives what the whole log gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.git.refs import BACKUP_TAGS
from cronos_git.git.store import Store
from cronos_git.ops import logcache, oplog
from cronos_git.ops.chronicle import replay
from tests.support.stores import make_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "s.git")


@pytest.fixture(autouse=True)
def remembers_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every record is worth remembering."""
    monkeypatch.setattr(logcache, "_MANY_BYTES", 1)


def told_by_all(store: Store) -> set[str]:
    history = replay(oplog.read(store))
    return {name for name, place in history.places.items() if place == BACKUP_TAGS} - history.doubtful


def created(store: Store, *names: str) -> None:
    for name in names:
        oplog.append(store, {"verb": "create", "result": "done", "backup": name})


_IDS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=2)
_RECORDS = st.one_of(
    st.builds(lambda ids: {"verb": "create", "result": "done", "backup": ids[0]}, _IDS),
    st.builds(lambda verb, ids: {"verb": verb, "result": "done", "backups": ids}, st.sampled_from(("delete", "undelete")), _IDS),
    st.builds(
        lambda result, ids: {"verb": "compact", "result": result, "backups": ids},
        st.sampled_from(("begun", "done", "failed")),
        _IDS,
    ),
    st.builds(lambda ids: {"verb": "recover", "result": "rolled back", "restore_point": ids[0]}, _IDS),
)


@given(parts=st.lists(st.lists(_RECORDS, max_size=4), max_size=4))
def test_read_in_parts_the_log_tells_what_it_tells_as_a_whole(
    parts: list[list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = make_store(tmp_path_factory.mktemp("parts") / "s.git")
    for records in parts:
        for record in records:
            oplog.append(store, record)
        assert logcache.kept(store) == told_by_all(store)


def test_what_was_read_is_not_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    created(store, "a", "b")
    logcache.kept(store)
    size_bytes = oplog.log_path(store).stat().st_size
    created(store, "c")
    offsets: list[int] = []
    content = oplog.content

    def noted(store: Store, offset: int) -> bytes:
        offsets.append(offset)
        return content(store, offset)

    monkeypatch.setattr(oplog, "content", noted)
    assert logcache.kept(store) == {"a", "b", "c"}
    assert offsets == [size_bytes]


def test_a_line_that_is_still_being_written_is_read_when_it_is_whole(store: Store) -> None:
    created(store, "a", "b")
    log = oplog.log_path(store)
    whole = log.read_bytes()
    log.write_bytes(whole[:-5])
    assert logcache.kept(store) == {"a"}
    with log.open("ab") as file:
        file.write(whole[-5:])
    assert logcache.kept(store) == {"a", "b"}


@pytest.mark.parametrize("content", [b"", b"cronos-log 1\n", b"\0" * 900])
def test_a_damaged_cache_counts_as_none(store: Store, content: bytes) -> None:
    created(store, "a")
    logcache.kept(store)
    (store.cronos_dir / "logged").write_bytes(content)
    assert logcache.kept(store) == {"a"}


def test_of_another_log_nothing_is_remembered(store: Store) -> None:
    created(store, "a", "b")
    logcache.kept(store)
    log = oplog.log_path(store)
    raw = log.read_bytes().replace(b'"b"', b'"x"')
    log.write_bytes(raw)  # the same file, other content
    assert logcache.kept(store) == {"a", "x"}
    log.unlink()
    created(store, "c")
    assert logcache.kept(store) == {"c"}
    log.unlink()
    assert logcache.kept(store) == set()
