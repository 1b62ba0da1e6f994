"""Which paths take the most: the biggest files of a backup, and those that new versions are stored of again and again.

Every object counts once, for the path at which it was met first, with its bytes on disk. What a whole backup takes is
`ops.stats`'. Floor F7.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from cronos_git.events import Finished, Run, Started
from cronos_git.git.holdings import Found, Holdings
from cronos_git.git.listing import name_to_show
from cronos_git.git.packsizes import packed_sizes
from cronos_git.git.store import Store
from cronos_git.git.trees import MODE_DIRECTORY
from cronos_git.git.view import SnapshotView
from cronos_git.model import Backup, BigFile, Entry, GrownPath
from cronos_git.ops.undoing import taken_of
from cronos_git.rules.names import ATTRIBUTES_NAME


def biggest(store: Store, view: SnapshotView, limit: int) -> tuple[BigFile, ...]:
    """The largest files of a backup, by content.

    Raises:
        DamageError: A directory of the backup cannot be read.

    Cost: three objects a directory, and the index of every pack.
    """
    sizes = packed_sizes(store)
    files = (entry for entry in view.walk() if entry.attributes.kind == "file")
    largest = heapq.nsmallest(limit, files, key=lambda entry: (-entry.attributes.size_bytes, entry.path))
    return tuple(
        BigFile(path=entry.path, size_bytes=entry.attributes.size_bytes, stored_bytes=_stored_bytes(view, entry, sizes))
        for entry in largest
    )


def _stored_bytes(view: SnapshotView, entry: Entry, sizes: Mapping[bytes, int]) -> int:
    pieces = {chunk.oid for chunk in view.reader.tree(entry.oid)} if entry.chunked else set()
    return sum(sizes.get(oid, 0) for oid in {*pieces, bytes.fromhex(entry.oid)})


def fastest(
    store: Store, backups: Sequence[Backup], since: datetime | None, limit: int, run: Run
) -> tuple[tuple[GrownPath, ...], int]:
    """The paths that the store grew by, fastest first, and how many objects could not be read.

    The first backup of each scope brings no growth: it is what all else is compared to. A directory is left out when a single
    path in it makes more than half of its growth, as that one tells more.

    Args:
        backups: All backups of the store, by sequence.
        since: Count only what backups brought that were made then or later.

    Raises:
        AccessError, HostError: The store's directory cannot be read.
        InterruptedRunError: The run was cancelled.

    Cost: a read of each distinct tree. Memory: some 300 bytes an object, and 300 for each path that ever was.
    """
    run.emit(Started("measure"))
    holdings = Holdings(store, packed_sizes(store), run)
    paths = _Paths()
    scopes: set[str] = set()
    for backup in backups:
        grows = backup.scope in scopes and (since is None or backup.created >= since)
        scopes.add(backup.scope)
        paths.enter(_root_of(backup, store.project_root))
        for found in holdings.visit(backup):
            paths.count(found, grows=grows)
    run.emit(Finished("measure"))
    rows = _tell(_summed(paths.tallies))
    first = heapq.nsmallest(limit, rows, key=lambda row: (-row.grown_bytes, -row.stored_bytes, row.path))
    return tuple(first), len(holdings.unreadable)


@dataclass(slots=True)
class _Tally:
    """Bytes on disk of one path, and how many contents the backups in question brought."""

    grown_bytes: int = 0
    stored_bytes: int = 0
    versions: int = 0


class _Place(NamedTuple):
    """Where a stored tree stands: the path of a directory, ending with a slash (the project's root is `""`), or of a file."""

    path: str
    is_file: bool


class _Paths:
    """Counts objects for the paths that they stand at.

    Attributes:
        tallies: By path; that of a directory counts only its own listings.
    """

    def __init__(self) -> None:
        self.tallies: dict[str, _Tally] = {}
        self._root = ""
        self._trees: dict[bytes, _Place | None] = {}
        self.enter("")

    def enter(self, root: str) -> None:
        """Take what follows for parts of the directory *root*, `""` for the project."""
        if root != self._root or not self._trees:
            top = _Place(root, False)
            self._root, self._trees = root, {b"": None, b"meta": None, b"data": top, b"meta/attributes": top}

    def count(self, found: Found, *, grows: bool) -> None:
        """Count an object for its path; what belongs to the whole snapshot, for none."""
        place, is_version = self._place(found)
        if place is not None:
            tally = self.tallies.setdefault(place.path, _Tally())
            tally.stored_bytes += found.size_bytes
            if grows:
                tally.grown_bytes += found.size_bytes
                tally.versions += is_version

    def _place(self, found: Found) -> tuple[_Place | None, bool]:
        """Where an object counts, and whether it is a whole content: a blob, or the list of the chunks of one."""
        if found.mode == MODE_DIRECTORY:
            place = self._tree(found.path)
            return place, place is not None and place.is_file
        above, _, stored = found.path.rpartition(b"/")
        parent = self._tree(above)
        if parent is None or parent.is_file or stored == ATTRIBUTES_NAME:
            return parent, False
        return _Place(parent.path + name_to_show(stored)[0], True), True

    def _tree(self, path: bytes) -> _Place | None:
        if path not in self._trees:
            above, _, stored = path.rpartition(b"/")
            parent = self._tree(above)  # which was met before, so that this goes one step deep
            self._trees[path] = parent if parent is None or parent.is_file else _below(parent, stored)
        return self._trees[path]


def _below(parent: _Place, stored: bytes) -> _Place:
    name, chunked = name_to_show(stored)
    return _Place(parent.path + name, True) if chunked else _Place(f"{parent.path}{name}/", False)


def _root_of(backup: Backup, project_root: str) -> str:
    """What stands before the paths of a backup: of another directory than the project, that directory."""
    target = taken_of(backup) or project_root
    return "" if target == project_root else f"{target.rstrip('/')}/"


def _summed(own: Mapping[str, _Tally]) -> dict[str, _Tally]:
    """The tallies with those of directories taking in everything below them."""
    total: dict[str, _Tally] = {}
    for path, tally in own.items():
        for each in (path, *_directories_of(path)):
            sum_of_it = total.setdefault(each, _Tally())
            sum_of_it.grown_bytes += tally.grown_bytes
            sum_of_it.stored_bytes += tally.stored_bytes
            sum_of_it.versions += tally.versions
    return total


def _directories_of(path: str) -> Iterator[str]:
    """The directories above a path, the nearest first; at last the root."""
    while path:
        above, slash, _ = path.rstrip("/").rpartition("/")
        path = above + slash
        yield path


def _tell(total: Mapping[str, _Tally]) -> Iterator[GrownPath]:
    """What has grown, without the root and without directories of which one path in them tells more."""
    most: dict[str, int] = {}
    for path, tally in total.items():
        above = next(_directories_of(path), "")
        most[above] = max(most.get(above, 0), tally.grown_bytes)
    for path, tally in total.items():
        if path and tally.grown_bytes and 2 * most.get(path, 0) <= tally.grown_bytes:
            yield GrownPath(path=path, grown_bytes=tally.grown_bytes, stored_bytes=tally.stored_bytes, versions=tally.versions)
