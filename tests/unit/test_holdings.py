from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.errors import InterruptedRunError, ObjectMissingError
from cronos_git.events import Advanced, Event, Run
from cronos_git.git.holdings import Holdings
from cronos_git.git.trees import EMPTY_TREE, MODE_DIRECTORY, MODE_FILE, MODE_SYMLINK, TreeEntry, format_tree, parse_tree
from cronos_git.model import Backup
from cronos_git.rules.record import parse_commit
from tests.support.stores import make_backup
from tests.support.trees import Link

Tree = Mapping[str, Any]


class Memory:
    """Objects in memory; tells how often each was read. Every object takes other bytes "on disk" than its own."""

    def __init__(self) -> None:
        self.objects: dict[bytes, tuple[str, bytes]] = {}
        self.sizes: dict[bytes, int] = {}
        self.reads: Counter[str] = Counter()

    def read(self, oid: str, /) -> tuple[str, bytes]:
        self.reads[oid] += 1
        if bytes.fromhex(oid) not in self.objects:
            raise ObjectMissingError("gone", oid=oid)
        return self.objects[bytes.fromhex(oid)]

    def add(self, kind: str, body: bytes) -> bytes:
        name = hashlib.sha1(b"%s %d\0%s" % (kind.encode(), len(body), body)).digest()
        self.objects[name] = kind, body
        self.sizes[name] = 1 + name[0]
        return name

    def tree(self, tree: Tree) -> bytes:
        entries = [self._entry(name.encode(), node) for name, node in tree.items()]
        return self.add("tree", format_tree(entries))

    def _entry(self, name: bytes, node: Any) -> TreeEntry:
        if isinstance(node, Mapping):
            return TreeEntry(MODE_DIRECTORY, name, self.tree(node))
        if isinstance(node, Link):
            return TreeEntry(MODE_SYMLINK, name, self.add("blob", node.target.encode()))
        return TreeEntry(MODE_FILE, name, self.add("blob", node))

    def backup(self, sequence: int, tree: Tree) -> Backup:
        root = self.tree({"data": tree, "meta": {"snapshot.json": b"%d" % sequence}})
        who = b"t <t@t> 1764000000 +0000"
        commit = self.add("commit", b"tree %b\nauthor %b\ncommitter %b\n\nm\n" % (root.hex().encode(), who, who))
        return make_backup(sequence, commit=commit.hex(), tag=self.add("tag", b"%d" % sequence).hex())

    def held(self, backup: Backup) -> set[bytes]:
        """Everything that a backup holds, by plain recursion."""
        found = {bytes.fromhex(backup.tag), bytes.fromhex(backup.commit)}

        def take(tree: bytes) -> None:
            found.add(tree)
            for entry in parse_tree(self.objects[tree][1]):
                found.add(entry.oid)
                if entry.mode == MODE_DIRECTORY:
                    take(entry.oid)

        take(bytes.fromhex(parse_commit(self.objects[bytes.fromhex(backup.commit)][1]).tree))
        return found

    def weigh(self, names: set[bytes]) -> int:
        return sum(self.sizes[name] for name in names)

    @property
    def tree_reads(self) -> list[int]:
        return [count for oid, count in self.reads.items() if self.objects[bytes.fromhex(oid)][0] == "tree"]


_NAMES = st.sampled_from("abc")
_TREES = st.recursive(
    st.dictionaries(_NAMES, st.sampled_from([b"1", b"2", b"3"]), max_size=3),
    lambda inner: st.dictionaries(_NAMES, st.one_of(inner, st.sampled_from([b"1", b"2"])), max_size=3),
    max_leaves=8,
)


@given(st.lists(_TREES, min_size=1, max_size=6))
def test_what_is_added_and_held_alone_is_what_plain_sets_tell(trees: list[Tree]) -> None:
    store = Memory()
    backups = [store.backup(number, tree) for number, tree in enumerate(trees)]
    held = [store.held(backup) for backup in backups]
    holdings = Holdings(store, store.sizes, Run(), alone=True)
    added = [[found.oid for found in holdings.visit(backup)] for backup in backups]
    for number, names in enumerate(added):
        assert len(names) == len(set(names))
        assert set(names) == held[number].difference(*held[:number])
    alone = [own.difference(*held[:number], *held[number + 1 :]) for number, own in enumerate(held)]
    assert holdings.alone_bytes() == [store.weigh(names) for names in alone]
    assert max(store.tree_reads) <= 2
    assert holdings.unreadable == set()


def test_shared_trees_are_read_once_however_many_backups_share_them() -> None:
    store = Memory()
    common = {f"d{number}": {"sub": {"f": b"%d" % number}} for number in range(20)}
    backups = [store.backup(number, {**common, "changes": {"f": b"version %d" % number}}) for number in range(30)]
    distinct = {name for backup in backups for name in store.held(backup) if store.objects[name][0] == "tree"}
    store.reads.clear()
    once = Holdings(store, store.sizes, Run())
    for backup in backups:
        list(once.visit(backup))
    assert sum(store.tree_reads) == len(distinct)
    store.reads.clear()
    twice = Holdings(store, store.sizes, Run(), alone=True)
    for backup in backups:
        list(twice.visit(backup))
    # Of the second reading, only the 40 directories that are shared; the rest of each backup is its own.
    assert sum(store.tree_reads) == len(distinct) + 40


def test_paths_lead_from_the_top_of_the_snapshot_and_content_is_told_from_records() -> None:
    store = Memory()
    backup = store.backup(1, {"src": {"a.py": b"x"}, "b": b"y", "link": Link("target")})
    found = {one.path: one for one in Holdings(store, store.sizes, Run()).visit(backup)}
    assert set(found) == {b"", b"data", b"meta", b"meta/snapshot.json", b"data/src", b"data/src/a.py", b"data/b", b"data/link"}
    assert {path for path, one in found.items() if one.is_content} == {b"data/src/a.py", b"data/b"}


def test_what_is_missing_is_told_and_hides_nothing_else() -> None:
    store = Memory()
    backup = store.backup(1, {"gone": {"x": b"1"}, "kept": {"y": b"2"}, "lost": b"3"})
    other = store.backup(2, {"z": b"4"})
    gone, lost = store.tree({"x": b"1"}), store.add("blob", b"3")
    for name in (gone, lost, bytes.fromhex(other.commit)):
        del store.objects[name], store.sizes[name]
    holdings = Holdings(store, store.sizes, Run())
    assert b"data/kept/y" in {found.path for found in holdings.visit(backup)}
    assert [found.path for found in holdings.visit(other)] == [b"", b""]
    assert holdings.unreadable == {gone, lost, bytes.fromhex(other.commit)}


def test_the_empty_tree_need_not_be_stored() -> None:
    store = Memory()
    backup = store.backup(1, {"empty": {}})
    del store.sizes[EMPTY_TREE]
    holdings = Holdings(store, store.sizes, Run())
    assert [found.size_bytes for found in holdings.visit(backup) if found.oid == EMPTY_TREE] == [0]
    assert holdings.unreadable == set()


def test_a_run_hears_of_the_progress_and_can_stop_it() -> None:
    store = Memory()
    backup = store.backup(1, {f"f{number}": b"%d" % number for number in range(2500)})
    events: list[Event] = []
    list(Holdings(store, store.sizes, Run(emit=events.append)).visit(backup))
    assert events == [Advanced(1000, 0), Advanced(2000, 0)]
    with pytest.raises(InterruptedRunError):
        list(Holdings(store, store.sizes, Run(cancelled=True)).visit(backup))
