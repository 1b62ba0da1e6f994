"""What backups hold, told as each object is met for the first time, and what each of them holds alone.

Every distinct tree is read once, and once more when it turns out that two backups share it: so 10,000 backups that share most of
their trees cost little more than what differs. Sizes on disk are `git.packsizes`', what the figures mean `ops.stats`' and
`ops.growth`'s. Floor F6.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cronos_git.errors import DamageError
from cronos_git.events import Advanced, Run
from cronos_git.git.listing import ObjectReader
from cronos_git.git.trees import EMPTY_TREE, MODE_DIRECTORY, MODE_SYMLINK, TreeEntry, parse_tree
from cronos_git.model import Backup
from cronos_git.rules.record import parse_commit

_SHARED = -1
_ANNOUNCED_OBJECTS = 1000
_CONTENT = b"data/"


class Found(NamedTuple):
    """An object that none of the backups visited before holds.

    Attributes:
        path: Stored names from the snapshot's top to it: `data/src/a.py`; empty for tag, commit and top.
        mode: As its tree tells, 0 for tag and commit.
        size_bytes: Bytes on disk, 0 when it is not there.
    """

    path: bytes
    mode: int
    oid: bytes
    size_bytes: int

    @property
    def is_content(self) -> bool:
        """Whether it is a file's content, or a chunk of one."""
        return self.mode not in (0, MODE_DIRECTORY, MODE_SYMLINK) and self.path.startswith(_CONTENT)


class Holdings:
    """Visits backups one after the other, each object once.

    Args:
        sizes: Bytes on disk of every object.
        alone: Find out what each backup holds alone, which takes the second reading of shared trees.

    Attributes:
        unreadable: Objects that are missing, and trees and commits that cannot be read; what lies below them is not told.

    Memory: some 150 bytes an object.
    """

    def __init__(self, store: ObjectReader, sizes: Mapping[bytes, int], run: Run, *, alone: bool = False) -> None:
        self._store = store
        self._sizes = sizes
        self._run = run
        self._tells_alone = alone
        self._owners: dict[bytes, int] = {}
        self._alone: list[int] = []
        self.unreadable: set[bytes] = set()

    def visit(self, backup: Backup) -> Iterator[Found]:
        """Everything that this backup holds and none visited before; to be exhausted before the next is visited.

        Raises:
            InterruptedRunError: The run was cancelled.

        Cost: reads the commit and the trees that are new, and those that only one backup had so far.
        """
        number = len(self._alone)
        self._alone.append(0)
        pending = self._claim(number, b"", self._tops(backup))
        while pending:
            found = pending.pop()
            yield found
            if found.mode == MODE_DIRECTORY:
                self._run.checkpoint()
                pending += self._claim(number, found.path, self._entries(found.oid))

    def alone_bytes(self) -> list[int]:
        """Bytes on disk of what each visited backup holds alone among them, in the order of the visits."""
        return list(self._alone)

    def _claim(self, number: int, path: bytes, entries: list[TreeEntry]) -> list[Found]:
        """What among *entries* is new, the last first; the rest is shared from now on."""
        new: list[Found] = []
        for entry in entries:
            owner = self._owners.get(entry.oid)
            if owner is None:
                self._owners[entry.oid] = number
                below = path + b"/" + entry.stored if path else entry.stored
                new.append(Found(below, entry.mode, entry.oid, self._size(entry.oid)))
            elif self._tells_alone and owner not in (_SHARED, number):
                self._share(entry)
        self._alone[number] += sum(found.size_bytes for found in new)
        new.reverse()
        return new

    def _share(self, top: TreeEntry) -> None:
        """Note that more than one backup holds *top*, and so everything below it."""
        pending = [top]
        while pending:
            entry = pending.pop()
            owner = self._owners.get(entry.oid, _SHARED)
            if owner != _SHARED:
                self._owners[entry.oid] = _SHARED
                self._alone[owner] -= self._sizes.get(entry.oid, 0)
                if entry.mode == MODE_DIRECTORY:
                    pending += self._entries(entry.oid)

    def _size(self, oid: bytes) -> int:
        if len(self._owners) % _ANNOUNCED_OBJECTS == 0:
            self._run.emit(Advanced(len(self._owners), 0))
        size = self._sizes.get(oid)
        if size is None and oid != EMPTY_TREE:  # Git knows it without storing it
            self.unreadable.add(oid)
        return size or 0

    def _tops(self, backup: Backup) -> list[TreeEntry]:
        """Tag, commit and tree of a backup, as entries without a name."""
        commit = bytes.fromhex(backup.commit)
        tops = [TreeEntry(0, b"", bytes.fromhex(backup.tag)), TreeEntry(0, b"", commit)]
        try:
            root = parse_commit(self._store.read(backup.commit)[1]).tree
        except DamageError:
            self.unreadable.add(commit)
            return tops
        return [*tops, TreeEntry(MODE_DIRECTORY, b"", bytes.fromhex(root))]

    def _entries(self, tree: bytes) -> list[TreeEntry]:
        try:
            return parse_tree(self._store.read(tree.hex())[1])
        except DamageError:
            self.unreadable.add(tree)
            return []
