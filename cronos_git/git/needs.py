"""What snapshots need: each object once however many share it, known to be whole or remembered with what is wrong.

`CheckedObjects` knows the state of objects, `Needs` walks from snapshots to all that they need, `Whereabouts` finds the paths
that lead to certain objects and is asked only when some are damaged. What a finding means for a backup is told by `ops.verify`;
the bytes of packs are `git.packtable`'s. Floor F6.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Container, Iterator, Mapping, Sequence

from cronos_git.errors import DamageError, HashMismatchError, RecordFormatError
from cronos_git.events import Advanced, Run
from cronos_git.git.listing import broken, name_to_show
from cronos_git.git.packtable import Packed, PackTable, damaged
from cronos_git.git.store import Store
from cronos_git.git.trees import EMPTY_TREE, MODE_DIRECTORY, TreeEntry, parse_tree
from cronos_git.model import Backup
from cronos_git.rules.names import ATTRIBUTES_NAME
from cronos_git.rules.record import parse_commit

_ALWAYS_READ = (ATTRIBUTES_NAME, b"snapshot.json")
"""Blobs that even a quick check reads: small, and nothing comes back as it was without them."""
_ANNOUNCED_OBJECTS = 1000


class CheckedObjects:
    """The objects of a store, whatever their bytes are like.

    Args:
        tables: The packs whose indexes are sound; every other object is asked of the store.

    Attributes:
        faults: What is wrong with an object: it is missing, damaged, or not what it should be.
        blind: The commits and trees among them: nobody can tell what lies below.
        outside: Objects asked for that no sound index lists.
        bytes_read: Bytes of bodies read.
    """

    def __init__(self, store: Store, tables: Sequence[PackTable]) -> None:
        self._store = store
        self._tables = tables
        self._sizes_outside: dict[bytes, int] = {}
        self.faults: dict[bytes, DamageError] = {}
        self.blind: set[bytes] = set()
        self.outside: set[bytes] = set()
        self.bytes_read = 0

    def read(self, oid: str, /) -> tuple[str, bytes]:
        """Kind and body of an object, its hash checked.

        Raises:
            HashMismatchError: It has a fault that is remembered.
            DamageError: It has a fault that was not known.
        """
        name = bytes.fromhex(oid)
        if name in self.faults:
            raise HashMismatchError(self.faults[name].message, oid=oid)
        kind, body = self._read_packed(name) or self.read_stored(name)
        self.bytes_read += len(body)
        return kind, body

    def _read_packed(self, name: bytes) -> tuple[str, bytes] | None:
        """From the first pack that has it undamaged; None when no sound index lists it, or as a delta."""
        failure: HashMismatchError | None = None
        for table, position in self._places(name):
            try:
                kind, body = table.read(position) or self.read_stored(name)
            except HashMismatchError as error:
                failure = failure or error
            else:
                table.learn(position, Packed(kind, len(body)))
                return kind, body
        if failure is not None:
            raise failure
        return None

    def forgive(self, faults: Mapping[bytes, DamageError]) -> dict[bytes, DamageError]:
        """The *faults* of packs without those of objects of which another pack has a whole copy; it is read, if it was not."""
        return {name: error for name, error in faults.items() if not self._has_whole_copy(name)}

    def _has_whole_copy(self, name: bytes) -> bool:
        places = self._places(name)
        if len(places) > 1 and not any(table.known(position) for table, position in places):
            with contextlib.suppress(DamageError):
                self._read_packed(name)
        return any(table.known(position) for table, position in places)

    def read_stored(self, name: bytes) -> tuple[str, bytes]:
        """Kind and body of an object that no table can give: a delta, a loose object, one in a pack with a damaged index.

        Raises:
            DamageError: It cannot be had.
        """
        try:
            return self._store.read(name.hex())
        except (OSError, IndexError, ValueError, struct.error) as error:  # a damaged index may lead anywhere
            raise damaged(name, f"the store cannot read it ({error})") from error

    def body(self, name: bytes, kind: str) -> bytes | None:
        """The body of an object that must be of *kind*; None when it has a fault, which is remembered."""
        if name not in self.faults:
            try:
                found, body = self.read(name.hex())
                if found == kind:
                    return body
                self.faults[name] = broken(f"object {name.hex()} is a {found}, not a {kind}")
            except DamageError as error:
                self.faults[name] = error
        if kind in ("commit", "tree"):
            self.blind.add(name)
        return None

    def entries(self, name: bytes) -> list[TreeEntry]:
        """The entries of a tree; nothing when it has a fault, which is remembered."""
        body = self.body(name, "tree")
        try:
            return parse_tree(body) if body else []
        except RecordFormatError as error:
            self._give_up(name, error)
            return []

    def root(self, commit: str) -> bytes | None:
        """The tree of a commit; None when the commit has a fault, which is remembered."""
        name = bytes.fromhex(commit)
        body = self.body(name, "commit")
        try:
            return bytes.fromhex(parse_commit(body).tree) if body is not None else None
        except RecordFormatError as error:
            self._give_up(name, error)
            return None

    def _give_up(self, name: bytes, error: DamageError) -> None:
        self.faults[name] = error
        self.blind.add(name)

    def has_blob(self, name: bytes) -> bool:
        """Whether a blob is there. Its content is read only when no sound index lists it; a fault is remembered."""
        return bool(self._places(name)) or self.blob_size(name) is not None

    def blob_size(self, name: bytes) -> int | None:
        """Size in bytes of a whole blob, which is read unless that is known; None when it has a fault, which is remembered."""
        size = self.known_size(name)
        if size is None and name not in self.faults:
            body = self.body(name, "blob")
            if body is None:
                return None
            size = self._sizes_outside[name] = len(body)
        return size

    def known_size(self, name: bytes) -> int | None:
        """Size in bytes of a blob that was read and found whole; None of every other."""
        if name in self.faults:
            return None
        for table, position in self._places(name):
            known = table.known(position)
            if known is not None and known.kind == "blob":
                return known.size_bytes
        return self._sizes_outside.get(name)

    def _places(self, name: bytes) -> list[tuple[PackTable, int]]:
        """The packs that have an object, and where it stands among their names."""
        places = [(table, position) for table in self._tables if (position := table.position(name)) is not None]
        if not places and name != EMPTY_TREE:  # Git knows it without storing it
            self.outside.add(name)
        return places


class Needs:
    """Visits all that snapshots need.

    Args:
        quick: Of blobs, only look whether they are there.
        announced: Tell of the progress.

    Attributes:
        seen: Every object that was visited.

    Cost: one read of each tree and each attribute record, however many snapshots share it. Memory: about 100 bytes an object.
    """

    def __init__(self, objects: CheckedObjects, run: Run, *, quick: bool, announced: bool) -> None:
        self._objects = objects
        self._run = run
        self._quick = quick
        self._announced = announced
        self._told = 0
        self.seen: set[bytes] = set()

    def visit(self, backup: Backup) -> None:
        """Visit the tag of a backup, its commit, and everything below that was not visited before.

        Raises:
            InterruptedRunError: The run was cancelled.
        """
        tag, commit = bytes.fromhex(backup.tag), bytes.fromhex(backup.commit)
        self.seen.update((tag, commit))
        self._objects.body(tag, "tag")
        root = self._objects.root(backup.commit)
        pending = [root] if root is not None and root not in self.seen else []
        self.seen.update(pending)
        while pending:
            self._run.checkpoint()
            pending += self._visit_tree(pending.pop())
            self._announce()

    def _visit_tree(self, tree: bytes) -> list[bytes]:
        """Visit the blobs of a tree; its subtrees that are new."""
        fresh = {entry.oid: entry for entry in self._objects.entries(tree) if entry.oid not in self.seen}
        self.seen.update(fresh)
        for entry in fresh.values():
            if entry.mode != MODE_DIRECTORY:
                self._visit_blob(entry)
        return [entry.oid for entry in fresh.values() if entry.mode == MODE_DIRECTORY]

    def _visit_blob(self, entry: TreeEntry) -> None:
        if self._quick and entry.stored not in _ALWAYS_READ:
            self._objects.has_blob(entry.oid)
        else:
            self._objects.blob_size(entry.oid)

    def _announce(self) -> None:
        if self._announced and len(self.seen) >= self._told + _ANNOUNCED_OBJECTS:
            self._told = len(self.seen)
            self._run.emit(Advanced(self._told, self._objects.bytes_read))


class Whereabouts:
    """Finds where certain objects stand in snapshots; subtrees without one are read once and then passed over.

    Args:
        wanted: Ids of the objects to find.
    """

    def __init__(self, objects: CheckedObjects, wanted: Container[bytes]) -> None:
        self._objects = objects
        self._wanted = wanted
        self._leads_there: dict[bytes, bool] = {}

    def is_hit(self, backup: Backup) -> bool:
        """Whether the backup needs one of the objects."""
        root = self._objects.root(backup.commit)
        return any(name in self._wanted for name in _tops(backup, root)) or (root is not None and self._leads(root))

    def paths(self, backup: Backup) -> Iterator[tuple[str, bytes]]:
        """Each path of the backup at which one of the objects stands, with the object.

        Paths are as in `model.Damage`; the chunks of a file all stand at the file's path.
        """
        root = self._objects.root(backup.commit)
        yield from (("", name) for name in _tops(backup, root) if name in self._wanted)
        pending = [(root, "", False)] if root is not None and self._leads(root) else []
        while pending:
            tree, path, holds_chunks = pending.pop()
            for entry in self._objects.entries(tree):
                name, chunked = name_to_show(entry.stored)
                below = path if holds_chunks else _join(path, name)
                if entry.oid in self._wanted:
                    yield below, entry.oid
                if entry.mode == MODE_DIRECTORY and self._leads(entry.oid):
                    pending.append((entry.oid, below, chunked))

    def _leads(self, root: bytes) -> bool:
        """Whether one of the objects lies below a tree; found from the bottom up without recursion, as trees may be deep."""
        pending = [root]
        while pending:
            tree = pending[-1]
            entries = self._objects.entries(tree) if tree not in self._leads_there else []
            below = [entry.oid for entry in entries if entry.mode == MODE_DIRECTORY]
            unknown = [name for name in below if name not in self._leads_there]
            pending += unknown
            if not unknown:
                pending.pop()
                found = any(entry.oid in self._wanted for entry in entries) or any(self._leads_there[name] for name in below)
                self._leads_there.setdefault(tree, found)
        return self._leads_there[root]


def _tops(backup: Backup, root: bytes | None) -> list[bytes]:
    """The objects that stand above every path."""
    return [bytes.fromhex(backup.tag), bytes.fromhex(backup.commit), *([root] if root is not None else [])]


def _join(path: str, name: str) -> str:
    if not path:
        return f"{name}:"
    return path + name if path in ("data:", "meta:") else f"{path}/{name}"
