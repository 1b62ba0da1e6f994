from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.errors import UsageError
from cronos_git.git.store import Store
from cronos_git.model import Backup, Query
from cronos_git.ops.catalog import Catalog, load, read, select
from tests.support.git import git
from tests.support.stores import NOON, make_backup, make_store, put_backups

BACKUPS = [
    make_backup(1, name="nightly", type="auto", size_bytes=30, files=3),
    make_backup(
        2, name="deploy", type="pre-deploy", size_bytes=10, files=9, labels=("release", "web"), metadata={"ticket": "OPS-1"}
    ),
    make_backup(3, name="nightly", type="auto", size_bytes=20, files=1, scope="atlas+ethik", metadata={"runs": 3, "ok": True}),
    make_backup(4, name="work", size_bytes=20, files=2, labels=("release",), scope="ethik", created=NOON),
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "s.git")


def _never(_backup: Backup, _path: str) -> bool:
    raise AssertionError("not asked for")


def _found(query: Query, holds: Callable[[Backup, str], bool] = _never) -> list[int]:
    return [backup.sequence for backup in select(BACKUPS, query, holds)]


# --- reading ---


def test_an_empty_store_has_no_backups(store: Store) -> None:
    assert read(store) == Catalog(backups=[], damaged=[])


def test_backups_come_by_sequence_as_they_were_stored(store: Store) -> None:
    stored = put_backups(store, BACKUPS)
    assert load(store) == stored
    git("--git-dir", store.path, "pack-refs", "--all")
    git("--git-dir", store.path, "repack", "-adfq")
    assert load(Store.open(store.path)) == stored


def test_damaged_tags_are_named_and_hide_no_other(store: Store) -> None:
    good, other = put_backups(store, [make_backup(1), make_backup(2)])
    with store.lock():
        store.create_tag_ref("commit_20260401_120000", good.commit)
        store.create_tag_ref("missing_20260401_120000", "f" * 40)
        store.create_tag_ref("renamed_20260401_120000", good.tag)
    (store.path / "refs/tags/backup/zero_20260401_120000").write_bytes(b"")
    git("--git-dir", store.path, "tag", "-a", "-m", "by hand", "backup/hand_20260401_120000", good.commit)
    assert load(store) == [good, other]
    assert [(damage.backups[0].split("_")[0], damage.code) for damage in read(store).damaged] == [
        ("commit", "record"),
        ("hand", "record"),
        ("missing", "missing"),
        ("renamed", "record"),
        ("zero", "record"),
    ]


def test_a_tag_whose_bytes_rotted_is_corrupt(store: Store) -> None:
    (backup,) = put_backups(store, [make_backup()])
    (pack,) = store.pack_dir.glob("*.pack")
    content = bytearray(pack.read_bytes())
    content[-40] ^= 0xFF  # the tag was added last
    pack.chmod(0o600)
    pack.write_bytes(content)
    reopened = Store.open(store.path)
    assert load(reopened) == []
    assert [(damage.backups, damage.oid, damage.code) for damage in read(reopened).damaged] == [
        ((backup.id,), backup.tag, "corrupt")
    ]


# --- choosing ---


def test_without_conditions_all_come_newest_first() -> None:
    assert _found(Query()) == [4, 3, 2, 1]
    assert _found(Query(reverse=True)) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(types=("auto", "manual")), [4, 3, 1]),
        (Query(name="night*"), [3, 1]),
        (Query(name="work_*"), [4]),
        (Query(name="NIGHTLY"), []),
        (Query(labels=("release",)), [4, 2]),
        (Query(labels=("release", "web")), [2]),
        (Query(module="ethik"), [4, 3]),
        (Query(module="eth"), []),
        (Query(metadata={"ticket": "OPS-1"}), [2]),
        (Query(metadata={"ticket": ""}), [2]),
        (Query(metadata={"ticket": "OPS"}), []),
        (Query(metadata={"runs": "3", "ok": "true"}), [3]),
        (Query(since=NOON + timedelta(hours=2)), [3, 2]),
        (Query(until=NOON + timedelta(hours=2)), [4, 2, 1]),
        (Query(types=("auto",), module="ethik"), [3]),
        (Query(limit=2), [4, 3]),
        (Query(limit=2, sort="size"), [4, 3]),
        (Query(limit=0), []),
    ],
)
def test_every_condition_must_hold(query: Query, expected: list[int]) -> None:
    assert _found(query) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("sequence", [4, 3, 2, 1]),
        ("created", [3, 2, 1, 4]),
        ("size", [1, 4, 3, 2]),
        ("files", [2, 1, 4, 3]),
        ("name", [2, 3, 1, 4]),
        ("type", [3, 1, 4, 2]),
    ],
)
def test_numbers_go_down_words_go_up_and_equal_ones_newest_first(order: str, expected: list[int]) -> None:
    assert _found(Query(sort=order)) == expected


def test_an_unknown_order_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="colour") as caught:
        _found(Query(sort="colour"))
    assert "size" in caught.value.hint
    with pytest.raises(UsageError):
        _found(Query(limit=-1))


def test_contents_are_looked_at_last_and_only_as_far_as_needed() -> None:
    asked: list[int] = []

    def holds(backup: Backup, path: str) -> bool:
        asked.append(backup.sequence)
        return path == "a" and backup.sequence != 3

    assert _found(Query(contains="a", limit=2), holds) == [4, 2]
    assert asked == [4, 3, 2]
    asked.clear()
    assert _found(Query(contains="a", types=("pre-deploy",)), holds) == [2]
    assert asked == [2]


QUERIES = st.builds(
    Query,
    types=st.sampled_from([(), ("auto",), ("auto", "manual")]),
    labels=st.sampled_from([(), ("release",)]),
    sort=st.sampled_from(["sequence", "created", "name", "size", "files", "type"]),
    reverse=st.booleans(),
    limit=st.none() | st.integers(0, 5),
)


@given(QUERIES, st.permutations(BACKUPS))
def test_choosing_is_a_subset_that_no_order_of_the_input_changes(query: Query, backups: list[Backup]) -> None:
    chosen = select(backups, query, _never)
    assert chosen == select(BACKUPS, query, _never)
    everything = select(backups, Query(types=query.types, labels=query.labels), _never)
    assert sorted(backup.sequence for backup in chosen) == sorted(
        backup.sequence for backup in itertools.islice(everything, query.limit)
    )
