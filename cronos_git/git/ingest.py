"""Reads files of a project and makes packed blobs of them, a batch at a time: all the work that can be done beside the store.

The same function works in threads and in child processes (`disk.children`). What is stored already, and where packed objects go,
is the store's business. Each file is read, hashed and deflated before the next, while its
bytes are still in the processor's cache. Floor F6.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from cronos_git.disk import contents, walk
from cronos_git.disk.children import Children
from cronos_git.disk.contents import Reading
from cronos_git.disk.walk import Found
from cronos_git.git.pack import object_id, pack_object
from cronos_git.git.trees import MODE_DIRECTORY, MODE_EXECUTABLE, MODE_FILE, MODE_SYMLINK
from cronos_git.rules.attributes import format_xattrs
from cronos_git.rules.names import encode_name, is_inspected, passes_fsck

Batch = list[tuple[str, list[Found]]]
"""Directories, by path, with the entries to read in each."""


class Ingested(NamedTuple):
    """What came of one entry.

    Attributes:
        directory: Path of the directory it is in.
        entry: The entry as it was after the last reading.
        status: `whole`, `changed`, `vanished` or `unreadable`.
        why: Reason in words when the status is not `whole`.
        tree_mode: Mode of its entry in the Git tree; 0 when it has none.
        stored: Its stored name, empty when that is the plain name.
        oid: 20-byte id of its blob, or of its tree of chunks.
        xattrs: As the attribute record writes them.
        packed: The blob as it stands in a pack; empty when it was only named.
    """

    directory: str
    entry: Found
    status: str
    why: str
    tree_mode: int
    stored: bytes
    oid: bytes
    xattrs: str
    packed: bytes

    @property
    def path(self) -> str:
        """Path in the project."""
        return f"{self.directory}/{self.entry.name}" if self.directory else self.entry.name


def ingest(root_fd: int, batch: Batch, *, pack: bool) -> list[Ingested]:
    """Read every entry of *batch*; expected trouble is a status, never an error.

    Args:
        pack: Whether to deflate, or only to name, as a dry run does.

    Memory: one file's content, and the packed blobs of the batch.
    """
    return [done for directory, entries in batch for done in _ingest_directory(root_fd, directory, entries, pack)]


def ingest_in(children: Children, batch: Batch) -> list[Ingested]:
    """Have *batch* ingested and packed by a child.

    Raises:
        ChildEndedError: The child died.
    """
    answers = children.call([(directory, list(map(tuple, entries))) for directory, entries in batch])
    places = ((directory, entry) for directory, entries in batch for entry in entries)
    return [
        Ingested(directory, Found(*new) if new else entry, *rest)
        for (directory, entry), (new, *rest) in zip(places, answers, strict=True)
    ]


def serve(root: str) -> Callable[[Any], Any]:
    """What a child does with the messages of `ingest_in`; the project at *root* is its work."""
    root_fd = walk.open_project(root)

    def answer(message: Any) -> Any:
        batch = [(directory, [Found(*fields) for fields in entries]) for directory, entries in message]
        sent = (entry for _, entries in batch for entry in entries)
        done = ingest(root_fd, batch, pack=True)
        # An entry travels back only where it is no longer what the parent saw.
        return [(None if item.entry == entry else tuple(item.entry), *item[2:]) for entry, item in zip(sent, done, strict=True)]

    return answer


def _ingest_directory(root_fd: int, directory: str, entries: list[Found], pack: bool) -> Iterator[Ingested]:
    try:
        fd = walk.open_beneath(root_fd, directory)
    except OSError as error:
        why = f"its directory can no longer be opened: {error.strerror}"
        yield from (ingested(directory, Reading(entry, "vanished", why=why)) for entry in entries)
        return
    try:
        for entry in entries:
            reading = _read(fd, entry)
            if not has_content(reading):
                yield ingested(directory, reading)
            elif pack:
                yield ingested(directory, reading, *pack_object("blob", reading.body))
            else:
                yield ingested(directory, reading, object_id("blob", reading.body))
    finally:
        os.close(fd)


def _read(fd: int, entry: Found) -> Reading:
    if stat.S_ISREG(entry.mode):
        return contents.read_file(fd, entry)
    if stat.S_ISLNK(entry.mode):
        return contents.read_link(fd, entry)
    return Reading(entry, xattrs=contents.xattrs_beneath(fd, entry.name))


def has_content(reading: Reading) -> bool:
    """Whether it gives a blob; FIFOs, sockets and devices do not."""
    mode = reading.entry.mode
    return reading.status in ("whole", "changed") and (stat.S_ISREG(mode) or stat.S_ISLNK(mode))


def ingested(directory: str, reading: Reading, oid: bytes = b"", packed: bytes = b"", *, chunked: bool = False) -> Ingested:
    """The outcome of a reading; without *oid* it has no content."""
    return Ingested(
        directory,
        reading.entry,
        reading.status,
        reading.why,
        _tree_mode(reading.entry.mode, chunked) if oid else 0,
        _stored_name(reading, chunked) if oid else b"",
        oid,
        format_xattrs(reading.xattrs) if reading.xattrs else "",
        packed,
    )


def _tree_mode(mode: int, chunked: bool) -> int:
    if chunked:
        return MODE_DIRECTORY
    if stat.S_ISLNK(mode):
        return MODE_SYMLINK
    return MODE_EXECUTABLE if mode & stat.S_IXUSR else MODE_FILE


def _stored_name(reading: Reading, chunked: bool) -> bytes:
    """The stored name, empty when it is the plain one."""
    raw = os.fsencode(reading.entry.name)
    plain = stat.S_ISREG(reading.entry.mode) and not chunked
    forced = is_inspected(raw) and not (plain and passes_fsck(raw, reading.body))
    stored = encode_name(raw, chunked=chunked, forced=forced)
    return b"" if stored == raw else stored
