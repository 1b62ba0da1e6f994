"""Turns the members of an archive into the trees of a backup, without unpacking anything onto the disk.

    members, in any order -> blobs at once -> trees when all are there, from the leaves up

So a hostile archive has nothing to reach: no link is followed, no owner or mode has to be set, and everything that the archive
tells comes into the backup, whoever imports it. Members that contradict each other are refused; but in a tar, to which changed
files are appended, the last of several that are no directories takes the place of those before it. Reading archives is
`disk/`'s, and what a backup is called `snapshot`'s. Floor F7, below the verbs.

Memory: one record a member, and one piece of a file. Cost: one object for each file and two for each directory.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from cronos_git.disk.archives import Member, Room
from cronos_git.disk.scanned import Directory, Found, Scan
from cronos_git.errors import ArchiveError, RefusedError
from cronos_git.events import Advanced, Run
from cronos_git.git.chunks import add_chunks
from cronos_git.git.pack import ObjectSink
from cronos_git.git.trees import MODE_DIRECTORY, MODE_EXECUTABLE, MODE_FILE, MODE_SYMLINK, TreeEntry, format_tree
from cronos_git.model import Attributes, Problem
from cronos_git.ops.capture import Captured
from cronos_git.rules.attributes import AttributeTable, format_attributes
from cronos_git.rules.names import ATTRIBUTES_NAME, encode_name, is_inspected, passes_fsck


@dataclass(slots=True)
class _Node:
    """One path; *oid* is empty for what has no content."""

    attributes: Attributes
    user: str = ""
    group: str = ""
    oid: bytes = b""
    chunked: bool = False
    passes: bool = True
    children: dict[str, _Node] = field(default_factory=dict)
    told: bool = True


class Gathering:
    """Collects members; see the module.

    Args:
        default: Attributes of directories of which the archive tells nothing.
        room: For what may be gathered at all.
        chunk_threshold: Files of this many bytes or more are stored in chunks.
        last_wins: A name may come again, unless it is a directory in one place and none in the other.

    Attributes:
        repeated: Paths that came again.
    """

    def __init__(
        self, sink: ObjectSink, default: Attributes, chunk_threshold: int, room: Room, run: Run, *, last_wins: bool = False
    ) -> None:
        self._sink = sink
        self._default = default
        self._threshold = chunk_threshold
        self._room = room
        self._run = run
        self._top = _Node(default, told=False)
        self._groups = 0
        self._files = 0
        self._bytes = 0
        self._doubts: dict[str, tuple[str, ...]] = {}
        self._last_wins = last_wins
        self.repeated: set[str] = set()

    def add(self, member: Member) -> None:
        """Store the content of a member and remember the rest.

        Raises:
            RefusedError: It contradicts an earlier one, or is made to fill the disk.
            ArchiveError: Its content is longer or shorter than it was said to be.
            DiskFullError, AccessError, HostError: It cannot be stored.
        """
        self._run.checkpoint()
        parent, _, name = member.path.rpartition("/")
        if member.attributes.kind == "directory":
            self._add_directory(member)
        elif not member.path:
            raise _contradiction(".", "is no directory")
        else:
            siblings = self._directory(parent, member.path).children
            if name in siblings:
                self._repeat(siblings[name], member)
            siblings[name] = self._linked(member) if member.same_as is not None else self._stored(member)
            self._files += 1
        self._doubts.pop(member.path, None)
        if member.doubts:
            self._doubts[member.path] = member.doubts
        self._run.emit(Advanced(self._files, self._bytes, member.path))

    def _repeat(self, before: _Node, member: Member) -> None:
        """See whether a member may take the place of the one that stands there."""
        kind = before.attributes.kind
        if kind == "directory":
            raise _contradiction(member.path, f"stands there twice, as a directory and as a {member.attributes.kind}")
        if not self._last_wins:
            raise _contradiction(member.path, "stands there twice")
        self.repeated.add(member.path)

    def _add_directory(self, member: Member) -> None:
        node = self._directory(member.path, member.path)
        node.attributes, node.user, node.group, node.told = member.attributes, member.user, member.group, True

    def _directory(self, path: str, wanted_for: str) -> _Node:
        """The directory at *path*, which comes into being with those above it, for a member at or below it."""
        node, at = self._top, ""
        for name in path.split("/") if path else ():
            at = f"{at}/{name}" if at else name
            below = node.children.get(name)
            if below is None:
                below = node.children[name] = _Node(self._default, told=False)
            elif below.attributes.kind != "directory":
                kind = below.attributes.kind
                is_twice = at == wanted_for
                what = (
                    f"stands there twice, as a {kind} and as a directory" if is_twice else f"lies below {at!r}, which is a {kind}"
                )
                raise _contradiction(wanted_for, what)
            node = below
        return node

    def _stored(self, member: Member) -> _Node:
        attributes = member.attributes
        node = _Node(attributes, member.user, member.group)
        if attributes.kind == "symlink":
            if not member.target or b"\0" in member.target:
                raise _contradiction(member.path, "is a link to nothing")
            node.oid = self._sink.add("blob", member.target)
        elif attributes.kind == "file":
            self._reserve(attributes.size_bytes)
            if attributes.size_bytes >= self._threshold:
                node.oid, node.chunked = add_chunks(self._sink, _measured(member)), True
            else:
                body = b"".join(_measured(member))
                raw = os.fsencode(attributes.name)
                node.oid = self._sink.add_content(body)
                node.passes = not is_inspected(raw) or passes_fsck(raw, body)
        return node

    def _reserve(self, size_bytes: int) -> None:
        self._bytes += size_bytes
        self._room.require(self._bytes)

    def _linked(self, member: Member) -> _Node:
        """Another name of a file that came before; both get the number of their group."""
        assert member.same_as is not None
        first: _Node | None = self._top
        for name in member.same_as.split("/"):
            first = first.children.get(name) if first is not None else None
        if first is None or first.attributes.kind == "directory":
            raise _contradiction(member.path, f"is a hard link to {member.same_as!r}, which did not come before it")
        if not first.attributes.link_group:
            self._groups += 1
            first.attributes = replace(first.attributes, link_group=f"{self._groups:x}")
        attributes = replace(first.attributes, name=member.attributes.name)
        raw = os.fsencode(attributes.name)
        passes = first.passes and not is_inspected(raw)  # its content is not at hand any more, and an escape is never wrong
        return replace(first, attributes=attributes, passes=passes)

    # --- the end ---

    def top_directory(self) -> str | None:
        """The archive's only entry, when that is a directory."""
        names = list(self._top.children)
        is_only = len(names) == 1 and self._top.children[names[0]].attributes.kind == "directory"
        return names[0] if is_only else None

    def look_alikes(self) -> list[str]:
        """Paths that differ from another in upper and lower case only."""
        found = []
        for path, node in _walk(self._top, ""):
            seen: set[str] = set()
            for name in node.children:
                folded = name.casefold()
                if folded in seen:
                    found.append(f"{path}/{name}" if path else name)
                seen.add(folded)
        return found

    def finish(self, root: str) -> Captured:
        """Store the trees of the directory *root* of the archive, which becomes the top.

        Raises:
            RefusedError: There is no such directory.
        """
        node = self._top
        for name in root.split("/") if root else ():
            below = node.children.get(name)
            if below is None or below.attributes.kind != "directory":
                raise RefusedError(f"The archive has no directory {root!r}.", hint="Give another --root.")
            node = below
        if self.repeated:
            self._part_lone_names()
        captured = Captured(Scan(Directory("", _NOWHERE), device=0))
        captured.data, captured.attributes = self._trees(node, captured)
        above = f"{root}/" if root else ""
        for path, doubts in self._doubts.items():
            if path == root or path.startswith(above):
                own = path.removeprefix(root).lstrip("/")
                captured.problems += (Problem(path=own, code="attribute", text=doubt) for doubt in doubts)
        return captured

    def _part_lone_names(self) -> None:
        """Of a hard-linked file only one name may be left, when the others have been replaced."""
        named = [child for _, node in _walk(self._top, "") for child in node.children.values() if child.attributes.link_group]
        counts = Counter(node.attributes.link_group for node in named)
        for node in named:
            if counts[node.attributes.link_group] == 1:
                node.attributes = replace(node.attributes, link_group="")

    def _trees(self, top: _Node, captured: Captured) -> tuple[bytes, bytes]:
        trees: dict[str, tuple[bytes, bytes]] = {}
        for path, node in reversed(list(_walk(top, ""))):
            trees[path] = self._store_directory(path, node, trees)
            captured.directories += 1
            for child in node.children.values():
                if child.attributes.kind != "directory":
                    captured.files += 1
                    captured.size_bytes += child.attributes.size_bytes if child.attributes.kind == "file" else 0
        return trees[""]

    def _store_directory(self, path: str, node: _Node, trees: dict[str, tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
        data, meta = [], []
        entries: dict[str, _Node] = {}
        for name, child in node.children.items():
            raw = os.fsencode(name)
            if child.attributes.kind == "directory":
                stored = encode_name(raw, forced=is_inspected(raw))
                child_data, child_meta = trees.pop(f"{path}/{name}" if path else name)
                data.append(TreeEntry(MODE_DIRECTORY, stored, child_data))
                meta.append(TreeEntry(MODE_DIRECTORY, stored, child_meta))
            else:
                entries[name] = child
                if child.oid:
                    is_plain = child.attributes.kind == "file" and not child.chunked and child.passes
                    stored = encode_name(raw, chunked=child.chunked, forced=is_inspected(raw) and not is_plain)
                    data.append(TreeEntry(_mode(child), stored, child.oid))
        record = format_attributes(_table(node, entries))
        meta.append(TreeEntry(MODE_FILE, ATTRIBUTES_NAME, self._sink.add("blob", record)))
        return self._sink.add("tree", format_tree(data)), self._sink.add("tree", format_tree(meta))


_NOWHERE = Found(".", stat.S_IFDIR | 0o755, 0, 0, 0, 0, 0, 0, 1, 0, 0)


def _table(node: _Node, entries: dict[str, _Node]) -> AttributeTable:
    everyone = [node, *entries.values()]
    return AttributeTable(
        own=replace(node.attributes, name=".", size_bytes=0),
        entries={name: entry.attributes for name, entry in entries.items()},
        users={one.attributes.uid: one.user for one in everyone if one.user},
        groups={one.attributes.gid: one.group for one in everyone if one.group},
    )


def _mode(node: _Node) -> int:
    if node.chunked:
        return MODE_DIRECTORY
    if node.attributes.kind == "symlink":
        return MODE_SYMLINK
    return MODE_EXECUTABLE if node.attributes.mode & stat.S_IXUSR else MODE_FILE


def _walk(top: _Node, path: str) -> Iterator[tuple[str, _Node]]:
    """Every directory, before what it holds."""
    pending = [(path, top)]
    while pending:
        at, node = pending.pop()
        yield at, node
        pending += [
            (f"{at}/{name}" if at else name, child)
            for name, child in node.children.items()
            if child.attributes.kind == "directory"
        ]


def _measured(member: Member) -> Iterable[bytes]:
    """The content; an error when it is not as long as it is said to be."""
    left = member.attributes.size_bytes
    for piece in member.content:
        left -= len(piece)
        if left < 0:
            break
        yield piece
    if left:
        how = "longer" if left < 0 else "shorter"
        raise ArchiveError(
            f"{member.path!r} in the archive is {how} than it is said to be. Nothing was imported.",
            hint="Get another copy of the archive.",
            member=member.path,
        )


def _contradiction(path: str, what: str) -> RefusedError:
    return RefusedError(
        f"The archive contradicts itself: {path!r} {what}. Nothing was imported.",
        hint="If you trust the archive, unpack it yourself and import the directory with --created.",
        member=path,
    )
