"""One snapshot as a directory tree, and what differs between two: names unescaped, large files whole again.

Directories are read one at a time and nothing is kept, so a walk of a large project stays small; equal subtrees of two
snapshots are never read. What one directory holds, and the checks of it, are `git.listing`'s; what a difference looks like as
text is `ops.compare`'s. Floor F6.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from cronos_git.disk.owners import with_local_owner
from cronos_git.errors import BackupNotFoundError, UsageError
from cronos_git.git.listing import Directory, Listing, ListingReader, Member, ObjectReader, broken, decode, encode, naming
from cronos_git.git.trees import MODE_FILE, TreeEntry
from cronos_git.model import Change, ChangeKind, Entry
from cronos_git.rules.record import parse_commit


class SnapshotView:
    """Reads one snapshot commit.

    Every method raises DamageError (with the path) when an object is missing, does not match its name, or does not fit.

    Attributes:
        data_tree: Id of the tree `data/`.
        reader: Reads its directories.
        root: The project's directory.
    """

    def __init__(self, store: ObjectReader, commit: str) -> None:
        self._store = store
        self.reader = ListingReader(store)
        top = self._subtrees(parse_commit(self.reader.body(commit, "commit")).tree)
        self._meta = self._subtrees(_required(top, b"meta"))
        self.data_tree = _required(top, b"data")
        self.root = Directory("", self.data_tree, _required(self._meta, b"attributes"))

    def record(self) -> dict[str, Any]:
        """How the backup was made: `meta/snapshot.json`."""
        try:
            record = json.loads(self.reader.body(_required(self._meta, b"snapshot.json"), "blob"))
        except ValueError as error:
            raise broken("meta/snapshot.json is not JSON") from error
        if not isinstance(record, dict):
            raise broken("meta/snapshot.json is not a JSON object")
        return record

    @property
    def users(self) -> Mapping[int, str]:
        """Names of user numbers, as far as the directories read so far told them."""
        return self.reader.users

    @property
    def groups(self) -> Mapping[int, str]:
        """Names of group numbers, as far as the directories read so far told them."""
        return self.reader.groups

    def local(self, entry: Entry) -> Entry:
        """The entry with the numbers that its owner has on this machine."""
        attributes = with_local_owner(entry.attributes, self.users, self.groups)
        return entry if attributes is entry.attributes else replace(entry, attributes=attributes)

    # --- looking round ---

    def entry(self, path: str) -> Entry:
        """The entry at *path*, `""` for the project's root.

        Raises:
            BackupNotFoundError: The backup has no such path.
        """
        return self.complete(self.find(path))

    def children(self, path: str) -> list[Entry]:
        """What the directory at *path* holds, in the order of the names' bytes.

        Raises:
            BackupNotFoundError: The backup has no such path.
            UsageError: It is no directory.
        """
        directory = self.find(path)
        if not isinstance(directory, Directory):
            raise UsageError(f"{path!r} is not a directory in this backup.", path=path)
        return [self.complete(member) for member in self.listing(directory).members.values()]

    def walk(self, path: str = "", *, links: bool = False) -> Iterator[Entry]:
        """The entry at *path* and everything below it: a directory before what it holds, names in byte order.

        Args:
            links: Fill in where symlinks point, which reads one more object for each.

        Raises:
            BackupNotFoundError: The backup has no such path.

        Cost: three objects a directory; memory holds what is left to do in the directories on the way down.
        """
        pending: list[Member] = [self.find(path)]
        while pending:
            member = pending.pop()
            if isinstance(member, Directory):
                listing = self.listing(member)
                yield member.entry(listing.own)
                pending.extend(reversed(listing.members.values()))
            else:
                yield self.complete(member) if links else member

    def find(self, path: str) -> Member:
        """Like `entry`, but a directory is not looked into and a symlink's target is not read.

        Raises:
            BackupNotFoundError: The backup has no such path.
        """
        found = self.find_if_any(path)
        if found is None:
            raise BackupNotFoundError(
                f"This backup has no path {path!r}.", hint="See what it holds with `cronos ls BACKUP`.", path=path
            )
        return found

    def find_if_any(self, path: str) -> Member | None:
        """Like `find`, but None for a path that the backup does not have."""
        member: Member | None = self.root
        for part in path.split("/") if path else ():
            member = self._member(member, encode(part)) if isinstance(member, Directory) else None
            if member is None:
                return None
        return member

    def _member(self, directory: Directory, name: bytes) -> Member | None:
        """One member of a directory, without taking its neighbours apart."""
        return self.reader.part(directory, self.reader.unread(directory), frozenset((name,))).members.get(name)

    def listing(self, directory: Directory) -> Listing:
        """What *directory* holds; the step from which walks, searches and comparisons are made."""
        return self.reader.listing(directory)

    def complete(self, member: Member) -> Entry:
        """The entry of a member, with what a listing leaves out: a directory's own attributes, a symlink's target."""
        if isinstance(member, Directory):
            return member.entry(self.reader.own(member))
        if member.attributes.kind == "symlink" and member.oid:
            return replace(member, link_target=decode(b"".join(self.read(member))))
        return member

    # --- content ---

    def read(self, entry: Entry) -> Iterator[bytes]:
        """The content of a file; see `read_content`."""
        return read_content(self._store, entry)

    def _subtrees(self, oid: str) -> dict[bytes, str]:
        return {entry.stored: entry.oid.hex() for entry in self.reader.tree(oid)}


def read_content(store: ObjectReader, entry: Entry) -> Iterator[bytes]:
    """The content of a file in pieces, in order; a symlink's is its target.

    A piece is a whole small file or one chunk of a large one, so memory stays flat.

    Raises:
        UsageError: A directory, FIFO, socket or device.
        BackupNotFoundError: The file could not be read when the backup was made, or was lost to damage since.
        DamageError: While reading: an object is missing or damaged; it names the path.
    """
    if entry.attributes.kind not in ("file", "symlink"):
        raise UsageError(f"{entry.path!r} is a {entry.attributes.kind}; it has no content.", path=entry.path)
    if not entry.oid:
        why = "was lost to damage" if entry.attributes.changed else "could not be read when this backup was made"
        raise BackupNotFoundError(
            f"{entry.path!r} {why}, so the backup lacks its content.",
            hint="Another backup may hold it: `cronos find` lists the versions of a path.",
            path=entry.path,
        )
    return _read_pieces(ListingReader(store), entry)


def _read_pieces(reader: ListingReader, entry: Entry) -> Iterator[bytes]:
    with naming(entry.path):
        pieces = _chunk_ids(reader.tree(entry.oid)) if entry.chunked else [entry.oid]
    for piece in pieces:
        with naming(entry.path):
            body = reader.body(piece, "blob")
        yield body


def _required(entries: Mapping[bytes, str], name: bytes) -> str:
    if name not in entries:
        raise broken(f"there is no {name.decode()!r}, so this is no snapshot")
    return entries[name]


def _chunk_ids(chunks: list[TreeEntry]) -> list[str]:
    width = max(8, len(str(len(chunks) - 1)))
    for number, chunk in enumerate(chunks):
        if chunk.mode != MODE_FILE or chunk.stored != b"%0*d" % (width, number):
            raise broken(f"chunk {number} of {len(chunks)} is missing or misnamed")
    return [chunk.oid.hex() for chunk in chunks]


# --- what differs ---


Pair = tuple[Entry | None, Entry | None]
"""A path before and after; one of them may be absent."""


def diff_views(old: SnapshotView | None, new: SnapshotView, *, attributes: bool = True) -> Iterator[Change]:
    """What changed from *old* to *new*, in the order of `SnapshotView.walk`.

    Files, symlinks and special files count, and directories that are empty; the directories on the way to them do not.
    Content is compared by id, so a file that is stored whole in one and in chunks in the other has changed. That a file has
    several names is told where it had one before or has one after; which of several files a name shares is not compared.

    Args:
        old: None for nothing at all, so that everything is added.
        attributes: Tell of paths too, directories included, that differ in mode, time, owner or extended attributes only.

    Cost: three objects of each view for each directory that differs; equal subtrees cost nothing.
    """
    for before, after in diff_entries(old, new):
        change = change_of(before, after)
        if attributes or change.kind != "attributes":
            yield change


def diff_entries(old: SnapshotView | None, new: SnapshotView) -> Iterator[Pair]:
    """Like `diff_views` with attributes, but gives the entries before and after (symlinks without their target)."""
    for left, right in _differing(old, new, ("",)):
        pair = _own_pair(left, right)
        if pair != (None, None) and not _only_regrouped(*pair):
            yield pair


def diff_all(old: SnapshotView, new: SnapshotView, tops: Sequence[str]) -> Iterator[Pair]:
    """Like `diff_entries`, but tells of every directory that only one of the two has or whose contents or attributes differ.

    Only of what lies at or below *tops*; a directory comes before what it holds.

    Args:
        tops: Paths, none below another. One that neither has is passed over.
    """
    for left, right in _differing(old, new, tops):
        if left.entry != right.entry or left.entry is None:
            yield left.entry, right.entry


def _differing(old: SnapshotView | None, new: SnapshotView, tops: Sequence[str]) -> Iterator[tuple[_Opened, _Opened]]:
    pending: list[tuple[Member | None, Member | None]]
    pending = [(old.find_if_any(top) if old else None, new.find_if_any(top)) for top in reversed(tops)]
    while pending:
        before, after = pending.pop()
        if before == after:
            continue
        left, right = _open_both(old, new, before, after)
        yield left, right
        names = sorted(left.members.keys() | right.members.keys(), reverse=True)
        pending += [(left.members.get(name), right.members.get(name)) for name in names]


def change_of(before: Entry | None, after: Entry | None) -> Change:
    """What the difference between two entries of one path is called; at least one is given."""
    either = after or before
    assert either is not None
    kind: ChangeKind = "attributes"
    if before is None or after is None:
        kind = "removed" if after is None else "added"
    elif _identity(before) != _identity(after):
        kind = "changed"
    return Change(
        kind=kind,
        path=either.path,
        old_size=before.attributes.size_bytes if before else None,
        new_size=after.attributes.size_bytes if after else None,
    )


def _only_regrouped(before: Entry | None, after: Entry | None) -> bool:
    """Whether nothing differs but the number of a file with several names: the same names may be one file all the same."""
    if before is None or after is None or not (before.attributes.link_group and after.attributes.link_group):
        return False
    return replace(before.attributes, link_group="") == replace(after.attributes, link_group="")


def is_executable(entry: Entry) -> bool:
    """Whether Git would say 100755; a chunked file says so in its attributes only."""
    return entry.attributes.kind == "file" and bool(entry.attributes.mode & 0o100)


def _identity(entry: Entry) -> tuple[object, ...]:
    """What makes content differ; a directory's content is that of its members, told by them."""
    attributes = entry.attributes
    oid = "" if attributes.kind == "directory" else entry.oid
    return attributes.kind, oid, is_executable(entry), attributes.device


class _Opened(NamedTuple):
    """One side of a comparison: its entry, and its members if it is a directory."""

    entry: Entry | None
    members: Mapping[bytes, Member]


def _opened(view: SnapshotView | None, member: Member | None) -> _Opened:
    if view is not None and isinstance(member, Directory):
        listing = view.listing(member)
        return _Opened(member.entry(listing.own), listing.members)
    return _Opened(None if isinstance(member, Directory) else member, {})


def _open_both(
    old: SnapshotView | None, new: SnapshotView, before: Member | None, after: Member | None
) -> tuple[_Opened, _Opened]:
    """Both sides; of two directories only what differs between them."""
    if old is None or not isinstance(before, Directory) or not isinstance(after, Directory):
        return _opened(old, before), _opened(new, after)
    left, right = old.reader.unread(before), new.reader.unread(after)
    with naming(after.path):
        names = left.names_of_difference(right)
    parts = old.reader.part(before, left, names), new.reader.part(after, right, names)
    return _Opened(before.entry(parts[0].own), parts[0].members), _Opened(after.entry(parts[1].own), parts[1].members)


def _own_pair(left: _Opened, right: _Opened) -> Pair:
    """The difference of the two entries themselves, apart from what lies below; (None, None) when there is none."""
    before, after = left.entry, right.entry
    if before and after and before.attributes.kind == after.attributes.kind == "directory":
        return (before, after) if before.attributes != after.attributes else (None, None)
    return (None if left.members else before), (None if right.members else after)
