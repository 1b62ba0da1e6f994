"""One directory of a snapshot: its tree in `data/` joined with its attributes, every name and every pair checked.

What does not fit together is damage, named with its path: a content without attributes, attributes without content, a name that
leads elsewhere. Trees of directories are `git.view`'s. Floor F6.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from cronos_git.errors import DamageError, RecordFormatError
from cronos_git.git.trees import EMPTY_TREE, MODE_DIRECTORY, MODE_EXECUTABLE, MODE_FILE, MODE_SYMLINK, TreeEntry, parse_tree
from cronos_git.model import Attributes, Entry
from cronos_git.rules.attributes import AttributeTable, parse_attributes, record_name, split_records
from cronos_git.rules.names import ATTRIBUTES_NAME, decode_name

_KINDS = {
    (MODE_FILE, False): "file",
    (MODE_EXECUTABLE, False): "file",
    (MODE_SYMLINK, False): "symlink",
    (MODE_DIRECTORY, True): "file",
}
_RECENT = 16
_SPECIAL_KINDS = ("fifo", "socket", "block", "char")


class ObjectReader(Protocol):
    """What reading a snapshot needs of a store."""

    def read(self, oid: str, /) -> tuple[str, bytes]:
        """Kind and body of an object, its hash checked."""
        ...


class Directory(NamedTuple):
    """A directory of a snapshot, not yet read; equal ones hold the same content and attributes.

    Attributes:
        data: Id of its tree in `data/`.
        attributes: Id of its tree in `meta/attributes/`.
    """

    path: str
    data: str
    attributes: str

    def entry(self, own: Attributes) -> Entry:
        """The entry that stands for it, given its own attributes."""
        return Entry(path=self.path, oid=self.data, attributes=own)


Member = Entry | Directory


class Unread(NamedTuple):
    """The objects of one directory as they are stored, for comparing two directories before reading either.

    Attributes:
        head: Lines of the attribute record before those of the entries.
        records: Lines of the entries.
        below: Attribute trees of the directories in it.
        data: Entries of its tree in `data/`.
    """

    head: list[bytes]
    records: list[bytes]
    below: list[TreeEntry]
    data: list[TreeEntry]

    def only(self, names: frozenset[bytes]) -> Unread:
        """The part that tells of *names* (as on disk)."""
        return Unread(
            self.head,
            [line for line in self.records if record_name(line) in names],
            [entry for entry in self.below if decode_name(entry.stored)[0] in names],
            [entry for entry in self.data if decode_name(entry.stored)[0] in names],
        )

    def names_of_difference(self, other: Unread) -> frozenset[bytes]:
        """Names under which the two hold something else; most of two versions of a directory is equal, line for line."""
        records = set(self.records) ^ set(other.records)
        entries = (set(self.below) ^ set(other.below)) | (set(self.data) ^ set(other.data))
        return frozenset((*map(record_name, records), *(decode_name(entry.stored)[0] for entry in entries)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What one directory holds.

    Attributes:
        own: The directory's own attributes.
        members: Its entries by name on disk, in the order of the names' bytes; symlinks without their target.
    """

    own: Attributes
    members: dict[bytes, Member]


class ListingReader:
    """Reads directories of snapshots.

    Attributes:
        users: Names of user numbers, as far as the directories read so far told them.
        groups: The same for groups.
    """

    def __init__(self, store: ObjectReader) -> None:
        self._store = store
        self.users: dict[int, str] = {}
        self.groups: dict[int, str] = {}
        self._recent: dict[Directory, Unread] = {}

    def listing(self, directory: Directory) -> Listing:
        """What *directory* holds.

        Raises:
            DamageError: Something is missing or does not fit; it names the directory.

        Cost: three objects, and time in proportion to the entries.
        """
        with naming(directory.path):
            return _listing(directory, self._read(self.unread(directory)))

    def part(self, directory: Directory, unread: Unread, names: frozenset[bytes]) -> Listing:
        """What *directory* holds under these names; errors as `listing`."""
        with naming(directory.path):
            return _listing(directory, self._read(unread.only(names)))

    def unread(self, directory: Directory) -> Unread:
        """The objects of one directory, not yet taken apart; those of the last few are kept, for look-ups of many paths."""
        if directory not in self._recent:
            if len(self._recent) >= _RECENT:
                del self._recent[next(iter(self._recent))]
            self._recent[directory] = self._unread(directory)
        return self._recent[directory]

    def _unread(self, directory: Directory) -> Unread:
        with naming(directory.path):
            entries = self.tree(directory.attributes)
            blobs = [entry for entry in entries if entry.stored == ATTRIBUTES_NAME and entry.mode == MODE_FILE]
            if not blobs:
                raise broken("its attributes are missing")
            head, records = split_records(self.body(blobs[0].oid.hex(), "blob"))
            below = [entry for entry in entries if entry.mode == MODE_DIRECTORY]
            return Unread(head, records, below, self.tree(directory.data))

    def own(self, directory: Directory) -> Attributes:
        """The directory's own attributes, without looking at what it holds."""
        with naming(directory.path):
            return self._read(self.unread(directory).only(frozenset()))[0].own

    def _read(self, unread: Unread) -> _Read:
        table = parse_attributes(b"\n".join([*unread.head, *unread.records, b""]))
        self.users.update(table.users)
        self.groups.update(table.groups)
        return table, {entry.stored: entry.oid.hex() for entry in unread.below}, unread.data

    def tree(self, oid: str) -> list[TreeEntry]:
        """The entries of a tree object."""
        if oid == EMPTY_TREE.hex():  # spares the reading; many directories may be empty
            return []
        return parse_tree(self.body(oid, "tree"))

    def body(self, oid: str, kind: str) -> bytes:
        """The body of an object that must be of *kind*."""
        found, body = self._store.read(oid)
        if found != kind:
            raise broken(f"object {oid} is a {found}, not a {kind}")
        return body


_Read = tuple[AttributeTable, dict[bytes, str], list[TreeEntry]]
"""Attributes, attribute trees of the directories by stored name, and the entries of the tree."""


def _listing(directory: Directory, read: _Read) -> Listing:
    table, below, data = read
    members: dict[bytes, Member] = {}
    for stored in data:
        raw, chunked = decode_name(stored.stored)
        if raw in members:
            raise broken(f"two entries are named {decode(raw)!r}")
        place = _Place(decode(raw), chunked, table.entries, below)
        members[raw] = _stored_member(directory.path, stored, place)
    for name, attributes in table.entries.items():
        if (raw := encode(name)) not in members:
            members[raw] = _contentless_member(directory.path, attributes)
    return Listing(own=table.own, members=dict(sorted(members.items())))


class _Place(NamedTuple):
    """What is known beside a tree entry: its name on disk, whether it is in chunks, and the attributes of all neighbours."""

    name: str
    chunked: bool
    attributes: Mapping[str, Attributes]
    below: Mapping[bytes, str]


def _stored_member(parent: str, stored: TreeEntry, place: _Place) -> Member:
    path = _join(parent, place.name)
    oid = stored.oid.hex()
    if stored.mode == MODE_DIRECTORY and not place.chunked:
        below = place.below.get(stored.stored)
        if below is None:
            raise broken(f"the attributes of the directory {place.name!r} are missing")
        return Directory(path, oid, below)
    attributes = place.attributes.get(place.name)
    if attributes is None:
        raise broken(f"the attributes of {place.name!r} are missing")
    if attributes.kind != _KINDS.get((stored.mode, place.chunked)):
        raise broken(f"{place.name!r} is stored with mode {stored.mode:o}, but its attributes say {attributes.kind}")
    return Entry(path=path, oid=oid, attributes=attributes, chunked=place.chunked)


def _contentless_member(parent: str, attributes: Attributes) -> Entry:
    """A member that stands in the attributes only, so no stored name vouches for its name."""
    name = attributes.name
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise broken(f"an entry is named {name!r}")
    if attributes.kind not in _SPECIAL_KINDS and not (attributes.unreadable and attributes.kind != "directory"):
        raise broken(f"the content of {name!r} is missing")
    return Entry(path=_join(parent, name), oid="", attributes=attributes)


def _join(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name


def encode(name: str) -> bytes:
    """The bytes on disk of a name as CRONOS carries it."""
    return name.encode("utf-8", "surrogateescape")


def decode(raw: bytes) -> str:
    """A name as CRONOS carries it, from its bytes on disk."""
    return raw.decode("utf-8", "surrogateescape")


def name_to_show(stored: bytes) -> tuple[str, bool]:
    """Name on disk, and whether it is a file in chunks; a name that cannot be decoded is shown as it is stored."""
    try:
        raw, chunked = decode_name(stored)
    except RecordFormatError:
        return decode(stored), False
    return decode(raw), chunked


def broken(what: str) -> RecordFormatError:
    """The error for stored data that contradicts itself."""
    return RecordFormatError(f"Stored data does not fit together: {what}.", hint="Run `cronos verify` to see what is hit.")


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Put *path* into every report of damage from the block."""
    try:
        yield
    except DamageError as error:
        context = {**error.context, "path": path}
        raise type(error)(f"{path or 'The top directory'!r}: {error.message}", hint=error.hint, **context) from error
