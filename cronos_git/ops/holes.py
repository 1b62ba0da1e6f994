"""Makes a backup readable again from which objects are lost for good: the same snapshot, with a hole where each of them was.

A file or link whose content is lost stays listed, marked as one that could not be read, so that a restore reports it and leaves
alone what is there. What is left of a file in chunks stands beside it, in a new file (`ops.rests`). A directory whose list of
contents is lost stays listed as well, with all that its attributes name. Where attributes are lost, others stand in that open
nothing to anybody but the owner, and the directory is marked. The marks are `changed` and `unreadable`, as no backup sets them:
both for what is lost, `changed` alone for a directory without its attributes. What is whole keeps its ids, so a directory without
a loss below it costs nothing. Which objects can be had is told by the caller; commits, tags and refs are not this module's.
Floor F7, below the verbs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NamedTuple, cast

from cronos_git.errors import DamageError
from cronos_git.git.listing import decode
from cronos_git.git.trees import MODE_DIRECTORY, MODE_EXECUTABLE, MODE_FILE, MODE_SYMLINK, TreeEntry, format_tree, parse_tree
from cronos_git.model import Attributes, EntryKind
from cronos_git.ops import rests
from cronos_git.ops.healing import Pool
from cronos_git.ops.regrowing import Regrower
from cronos_git.ops.rests import Rest
from cronos_git.rules.attributes import AttributeTable, format_attributes, parse_attributes
from cronos_git.rules.names import ATTRIBUTES_NAME, decode_name

LostKind = Literal["content", "directory", "attributes"]

_CLOSED_MODES = {MODE_FILE: 0o600, MODE_EXECUTABLE: 0o700, MODE_SYMLINK: 0o777, MODE_DIRECTORY: 0o600}
"""What stands in for lost permissions, which may have been closed, by mode in the tree (there a directory: a file in chunks)."""


class Hole(NamedTuple):
    """Something that is lost, at a path below the directory that it is told of; and what is left of it, if anything."""

    path: str
    kind: LostKind
    rest: Rest | None = None


class Node(NamedTuple):
    """A directory of a snapshot: ids of its tree in `data/` and of its attribute tree; None where even the id is lost."""

    data: bytes | None
    attributes: bytes | None


class Patched(NamedTuple):
    """A directory as it can be had: ids of its two trees, and what is lost in and below it."""

    data: bytes
    attributes: bytes
    holes: tuple[Hole, ...]


@dataclass(frozen=True, slots=True)
class _Opened:
    """What can be read of a directory; None where it cannot be.

    Attributes:
        below: The directories in it, by stored name.
    """

    entries: list[TreeEntry] | None
    table: AttributeTable | None
    below: dict[bytes, Node]


class Patcher:
    """Patches the directories of one backup.

    Args:
        regrower: Makes lost trees anew where it can.
        created: Its time, which stands in for lost modification times.
        known: What patchers of other backups have done; equal directories are patched once.
    """

    def __init__(self, pool: Pool, regrower: Regrower, created: datetime, known: dict[Node, Patched]) -> None:
        self._pool = pool
        self._regrower = regrower
        self._created_ns = int(created.timestamp()) * 1_000_000_000
        self._known = known

    def patch(self, top: Node) -> Patched:
        """The project's directory as it can be had; works from the leaves up without recursion, as trees may be deep.

        Cost: each directory that was not met before is read once.
        """
        done: dict[Node, Patched] = {}
        opened: dict[Node, _Opened] = {}
        pending = [top]
        while pending:
            node = pending[-1]
            if self._find(node, done) is not None:
                pending.pop()
                continue
            here = opened.get(node) or opened.setdefault(node, self._open(node))
            missing = [child for child in here.below.values() if self._find(child, done) is None]
            if not missing:
                done[node] = self._assemble(node, here, {n: self._required(c, done) for n, c in here.below.items()})
                if None not in node:  # else it depends on the time of this backup
                    self._known[node] = done[node]
                del opened[node]
            pending += missing
        return self._required(top, done)

    def _find(self, node: Node, done: Mapping[Node, Patched]) -> Patched | None:
        return done.get(node) or self._known.get(node)

    def _required(self, node: Node, done: Mapping[Node, Patched]) -> Patched:
        found = self._find(node, done)
        assert found is not None
        return found

    # --- reading what is left ---

    def _open(self, node: Node) -> _Opened:
        entries, around = self._tree(node.data), self._tree(node.attributes)
        if around is None and entries is not None and node.attributes is not None:
            around = self._regrower.attributes(node.attributes, entries)
        meta = {entry.stored: entry.oid for entry in around or ()}
        table = self._table(meta.pop(ATTRIBUTES_NAME, None))
        if entries is None and table is not None and node.data is not None:
            entries = self._regrower.data(node.data, table, meta)
        if entries is None:
            below = {stored: Node(None, oid) for stored, oid in meta.items()}
        else:
            below = {entry.stored: Node(entry.oid, meta.get(entry.stored)) for entry in entries if _is_directory(entry)}
        return _Opened(entries, table, below)

    def _tree(self, name: bytes | None) -> list[TreeEntry] | None:
        try:
            return None if name is None else parse_tree(self._body(name, "tree"))
        except DamageError:
            return None

    def _table(self, name: bytes | None) -> AttributeTable | None:
        try:
            return None if name is None else parse_attributes(self._body(name, "blob"))
        except DamageError:
            return None

    def _body(self, name: bytes, kind: str) -> bytes:
        found, body = self._pool.read(name.hex())
        if found != kind:
            raise DamageError(f"Object {name.hex()} is a {found}, not a {kind}.")
        return body

    def _has_content(self, entry: TreeEntry) -> bool:
        if entry.mode != MODE_DIRECTORY:
            return self._pool.contains(entry.oid)
        chunks = self._tree(entry.oid)
        return chunks is not None and all(self._pool.contains(chunk.oid) for chunk in chunks)

    # --- putting it together ---

    def _assemble(self, node: Node, here: _Opened, below: Mapping[bytes, Patched]) -> Patched:
        contents = [entry for entry in here.entries or () if not _is_directory(entry)]
        kept, lost = _split(contents, self._has_content)
        left = self._rests(here, lost)
        holes = [Hole("", "directory")] if here.entries is None else []
        holes += [Hole("", "attributes")] if here.table is None else []
        holes += [Hole(_name(entry.stored), "content", left.get(_name(entry.stored))) for entry in lost]
        holes += _holes_of_records(here)
        inner = ((_name(stored), hole) for stored, child in below.items() for hole in child.holes)
        holes += [hole._replace(path=_join(name, hole.path)) for name, hole in inner]
        if not holes and node.data is not None and node.attributes is not None:
            return Patched(node.data, node.attributes, ())
        directories = [TreeEntry(MODE_DIRECTORY, stored, child.data) for stored, child in below.items()]
        data = format_tree([*kept, *directories, *(rest.entry for rest in left.values())])
        table = self._patched_table(here, kept, lost)
        beside = {rest.name: rests.attributes_of(rest, table.entries[name]) for name, rest in left.items()}
        record = format_attributes(replace(table, entries=table.entries | beside))
        meta = [TreeEntry(MODE_DIRECTORY, stored, child.attributes) for stored, child in below.items()]
        meta.append(TreeEntry(MODE_FILE, ATTRIBUTES_NAME, self._pool.add("blob", record)))
        return Patched(self._pool.add("tree", data), self._pool.add("tree", format_tree(meta)), tuple(holes))

    def _patched_table(self, here: _Opened, kept: Iterable[TreeEntry], lost: Iterable[TreeEntry]) -> AttributeTable:
        table = here.table
        if table is None:
            own = replace(self._default("directory", ".", 0o700, 0), changed=True)
            table = AttributeTable(own=own, entries={_name(entry.stored): self._guess(entry) for entry in (*kept, *lost)})
        without = {_name(entry.stored) for entry in lost}
        if here.entries is None:
            without = {hole.path for hole in _holes_of_records(here)}
        entries = {name: _lost(a) if name in without else a for name, a in table.entries.items()}
        own = _lost(table.own) if here.entries is None else table.own
        return replace(table, own=own, entries=entries)

    def _rests(self, here: _Opened, lost: Iterable[TreeEntry]) -> dict[str, Rest]:
        """What is left of lost files in chunks, by their names."""
        table = here.table.entries if here.table else {}
        taken = {_name(entry.stored) for entry in here.entries or ()} | table.keys()
        found = {}
        for entry in lost:
            name = _name(entry.stored)
            chunks = (self._tree(entry.oid) if entry.mode == MODE_DIRECTORY else None) or []
            whole_bytes = table[name].size_bytes if name in table and not table[name].changed else None
            rest = rests.join(self._pool, [chunk.oid for chunk in chunks], rests.free_name(name, taken), whole_bytes)
            if rest is not None:
                taken.add(rest.name)
                found[name] = rest
        return found

    # --- made-up attributes ---

    def _guess(self, entry: TreeEntry) -> Attributes:
        """Attributes of an entry of which only the tree tells."""
        kind = "symlink" if entry.mode == MODE_SYMLINK else "file"
        return self._default(kind, _name(entry.stored), _CLOSED_MODES[entry.mode], self._size(entry))

    def _size(self, entry: TreeEntry) -> int:
        if not self._has_content(entry):
            return 0
        pieces = [entry] if entry.mode != MODE_DIRECTORY else self._tree(entry.oid) or []
        sizes = self._pool.sizes({piece.oid for piece in pieces})
        return sum(sizes[piece.oid] for piece in pieces)

    def _default(self, kind: str, name: str, mode: int, size_bytes: int) -> Attributes:
        return Attributes(
            kind=cast("EntryKind", kind),
            name=name,
            mode=mode,
            size_bytes=size_bytes,
            mtime_ns=self._created_ns,
            uid=os.geteuid(),
            gid=os.getegid(),
        )


def _lost(attributes: Attributes) -> Attributes:
    return replace(attributes, changed=True, unreadable=True)


def _split(entries: Iterable[TreeEntry], test: Callable[[TreeEntry], bool]) -> tuple[list[TreeEntry], list[TreeEntry]]:
    """Those that pass, and those that do not."""
    passed: list[TreeEntry] = []
    failed: list[TreeEntry] = []
    for entry in entries:
        (passed if test(entry) else failed).append(entry)
    return passed, failed


def _holes_of_records(here: _Opened) -> list[Hole]:
    """The files and links that only the attributes name, as the directory's list of contents is lost."""
    if here.entries is not None or here.table is None:
        return []
    named = here.table.entries.items()
    return [Hole(name, "content") for name, a in named if a.kind in ("file", "symlink") and not a.unreadable]


def _is_directory(entry: TreeEntry) -> bool:
    """Whether it is a directory, and no file in chunks."""
    return entry.mode == MODE_DIRECTORY and not decode_name(entry.stored)[1]


def _name(stored: bytes) -> str:
    return decode(decode_name(stored)[0])


def _join(parent: str, path: str) -> str:
    return f"{parent}/{path}" if path else parent


def needed_below(pool: Pool, tops: Iterable[bytes]) -> Iterator[bytes]:
    """The names of all objects at and below some trees, each once; what lies below a tree that is lost cannot be told.

    Cost: each tree is read once. Memory: about 100 bytes an object.
    """
    pending = list(dict.fromkeys(tops))
    seen = set(pending)
    while pending:
        tree = pending.pop()
        yield tree
        try:
            entries = parse_tree(pool.read(tree.hex())[1])
        except DamageError:
            continue
        fresh = {entry.oid: entry.mode for entry in entries if entry.oid not in seen}
        seen |= fresh.keys()
        pending += [oid for oid, mode in fresh.items() if mode == MODE_DIRECTORY]
        yield from (oid for oid, mode in fresh.items() if mode != MODE_DIRECTORY)
