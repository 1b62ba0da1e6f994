"""The top of a snapshot, from its commit to the trees of `data/` and `meta/attributes/`, where some of it is lost.

Three of these objects say nothing but the ids of others, and a commit nothing that the tag does not tell too. So a lost one is
made anew from what else is in the store, and counts when it hashes to its id. Where it does not, what was found still leads to
the project's files. Floor F7, below the verbs.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from cronos_git.errors import DamageError
from cronos_git.git.pack import object_id
from cronos_git.git.remains import Remains
from cronos_git.git.trees import MODE_DIRECTORY, MODE_FILE, TreeEntry, format_tree, parse_tree
from cronos_git.model import Backup
from cronos_git.ops.healing import Pool
from cronos_git.rules.names import ATTRIBUTES_NAME
from cronos_git.rules.record import format_commit, parse_commit, snapshot_message, tagger_line

_TRAILER = re.compile(r"\n\nCronos-Id: (\S+)\n?\Z")
_RECORD_START = b'{"counts":'
_SNAPSHOT, _ATTRIBUTES, _DATA, _META = b"snapshot.json", b"attributes", b"data", b"meta"


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """What the top of a snapshot leads to; None for what is lost.

    Attributes:
        is_whole: Commit, root and `meta/` can be had just as they were.
        data: Id of the tree of `data/`.
        attributes: Id of the tree of `meta/attributes/`.
        snapshot: Id of `meta/snapshot.json`.
    """

    is_whole: bool
    data: bytes | None
    attributes: bytes | None
    snapshot: bytes | None


class Tops:
    """Finds the tops of snapshots.

    Args:
        pool: Objects that were made anew are added to it.
    """

    def __init__(self, remains: Remains, pool: Pool) -> None:
        self._remains = remains
        self._pool = pool

    def find(self, backup: Backup) -> Top:
        """The top of a backup.

        Cost: three objects; when one of them is lost, once for all backups every commit, tree and record of the store.
        """
        root = self._root_by_commit(backup)
        if root is None:
            return self._without_commit(backup)
        top = self._entries(root)
        if top is None:
            top = self._make(root, _top_entries(self._data_by_timeline.get(backup.id, ()), self._metas.get(backup.id, ())))
        if top is None:
            return self._without_root(backup)
        meta = self._entries(top.get(_META))
        if meta is None and _META in top:
            meta = self._make(top[_META], _meta_entries(self._records.get(backup.id, ()), self._attribute_trees))
        return self._top(top.get(_DATA), meta, is_whole=meta is not None, backup=backup)

    def _root_by_commit(self, backup: Backup) -> bytes | None:
        with contextlib.suppress(DamageError):
            return bytes.fromhex(parse_commit(self._pool.read(backup.commit)[1]).tree)
        return None

    def _without_commit(self, backup: Backup) -> Top:
        """The commit made anew from the tag, for the root that says it is of this backup."""
        for root, top in self._roots.get(backup.id, ()):
            with contextlib.suppress(DamageError):
                line = tagger_line(self._pool.read(backup.tag)[1])
                body = format_commit(tree=root.hex(), parents=(), identity_line=line, message=snapshot_message(backup))
                is_same = object_id("commit", body).hex() == backup.commit
                if is_same:
                    self._pool.add("commit", body)
                return self._top(top.get(_DATA), self._entries(top.get(_META)), is_whole=is_same, backup=backup)
        return self._without_root(backup)

    def _without_root(self, backup: Backup) -> Top:
        """What the timeline and the record of the backup lead to."""
        data = next(iter(self._data_by_timeline.get(backup.id, ())), None)
        meta = self._entries(next(iter(self._metas.get(backup.id, ())), None))
        return self._top(data, meta, is_whole=False, backup=backup)

    def _top(self, data: bytes | None, meta: dict[bytes, bytes] | None, *, is_whole: bool, backup: Backup) -> Top:
        found = meta or {}
        snapshot = found.get(_SNAPSHOT) or next(iter(self._records.get(backup.id, ())), None)
        return Top(is_whole=is_whole, data=data, attributes=found.get(_ATTRIBUTES), snapshot=snapshot)

    def _make(self, name: bytes, candidates: Iterable[list[TreeEntry]]) -> dict[bytes, bytes] | None:
        """The entries of a lost tree, when one of the candidates is it."""
        for entries in candidates:
            if self._pool_name(entries) == name:
                self._pool.add("tree", format_tree(entries))
                return {entry.stored: entry.oid for entry in entries}
        return None

    def _pool_name(self, entries: list[TreeEntry]) -> bytes:
        return object_id("tree", format_tree(entries))

    def _entries(self, name: bytes | None) -> dict[bytes, bytes] | None:
        if name is not None:
            with contextlib.suppress(DamageError):
                kind, body = self._pool.read(name.hex())
                return {entry.stored: entry.oid for entry in parse_tree(body)} if kind == "tree" else None
        return None

    # --- what the store has that may be meant; each is looked through once, and only when something is lost ---

    @cached_property
    def _trees(self) -> dict[bytes, dict[bytes, bytes]]:
        """The trees that may stand near a top: roots, `meta/`, and those with attributes."""
        marks = ({_DATA, _META}, {_SNAPSHOT, _ATTRIBUTES})
        found = ((name, self._entries(name)) for name in self._remains.of_kind("tree"))
        return {name: entries for name, entries in found if entries and (ATTRIBUTES_NAME in entries or entries.keys() in marks)}

    @cached_property
    def _attribute_trees(self) -> list[bytes]:
        return [name for name, entries in self._trees.items() if ATTRIBUTES_NAME in entries]

    @cached_property
    def _records(self) -> dict[str, list[bytes]]:
        """Blobs that are the record of a backup, by its id."""
        found: dict[str, list[bytes]] = {}
        for name in self._remains.of_kind("blob"):
            with contextlib.suppress(DamageError, ValueError, KeyError, TypeError, RecursionError):
                body = self._pool.read(name.hex())[1]
                if body.startswith(_RECORD_START):
                    found.setdefault(str(json.loads(body)["id"]), []).append(name)
        return found

    @cached_property
    def _metas(self) -> dict[str, list[bytes]]:
        """Trees of `meta/` by the id in their record."""
        of_record = {name: backup_id for backup_id, names in self._records.items() for name in names}
        found: dict[str, list[bytes]] = {}
        for name, entries in self._trees.items():
            if entries.get(_SNAPSHOT) in of_record:
                found.setdefault(of_record[entries[_SNAPSHOT]], []).append(name)
        return found

    @cached_property
    def _roots(self) -> dict[str, list[tuple[bytes, dict[bytes, bytes]]]]:
        """Top trees by the id in the record that they lead to."""
        of_meta = {name: backup_id for backup_id, names in self._metas.items() for name in names}
        found: dict[str, list[tuple[bytes, dict[bytes, bytes]]]] = {}
        for name, entries in self._trees.items():
            if _DATA in entries and entries.get(_META) in of_meta:
                found.setdefault(of_meta[entries[_META]], []).append((name, entries))
        return found

    @cached_property
    def _data_by_timeline(self) -> dict[str, list[bytes]]:
        """Trees of `data/` by backup, as the commits of timelines tell."""
        found: dict[str, list[bytes]] = {}
        roots = {name for named in self._roots.values() for name, _ in named}
        for name in self._remains.of_kind("commit"):
            with contextlib.suppress(DamageError):
                commit = parse_commit(self._pool.read(name.hex())[1])
                match = _TRAILER.search(commit.message)
                if match and bytes.fromhex(commit.tree) not in roots and self._entries(bytes.fromhex(commit.tree)) is not None:
                    found.setdefault(match[1], []).append(bytes.fromhex(commit.tree))
        return found


def _top_entries(data: Iterable[bytes], metas: Iterable[bytes]) -> Iterator[list[TreeEntry]]:
    for tree in data:
        for meta in metas:
            yield [TreeEntry(MODE_DIRECTORY, _DATA, tree), TreeEntry(MODE_DIRECTORY, _META, meta)]


def _meta_entries(records: Iterable[bytes], attributes: Iterable[bytes]) -> Iterator[list[TreeEntry]]:
    for record in records:
        for tree in attributes:
            yield [TreeEntry(MODE_FILE, _SNAPSHOT, record), TreeEntry(MODE_DIRECTORY, _ATTRIBUTES, tree)]
