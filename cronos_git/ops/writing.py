"""Writes batches of restored entries into a staging directory; in threads, or in child processes when there is much to write.

Owners in the entries are the numbers to set on this machine; that recorded names stand behind them is `restore`'s business. What
cannot be applied or is not restored comes back as problems. Floor F7, below the verbs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cronos_git.disk import stage
from cronos_git.disk.children import Children
from cronos_git.disk.stage import opened
from cronos_git.git.listing import ObjectReader
from cronos_git.git.store import Store
from cronos_git.git.view import read_content
from cronos_git.model import Attributes, Entry, Problem
from cronos_git.rules.attributes import format_line, parse_line


@dataclass(slots=True)
class Written:
    """What a batch did; *path* is the last one."""

    files: int = 0
    size_bytes: int = 0
    path: str = ""
    problems: list[Problem] = field(default_factory=list)


def write_batch(root_fd: int, store: ObjectReader, batch: list[Entry]) -> Written:
    """Create every entry of *batch*, none of them a directory, below *root_fd*, where their directories are.

    Raises:
        FileExistsError: Two names are one on this file system.
        OSError: It cannot be written.
        DamageError: An object is missing or damaged.
    """
    written = Written()
    for parent, entries in _by_directory(batch):
        with opened(root_fd, parent) as fd:
            for entry in entries:
                written.problems += _write_entry(fd, store, entry)
                written.path = entry.path
                if is_restorable(entry.attributes):
                    written.files += 1
                    written.size_bytes += content_bytes(entry)
    return written


def write_in(children: Children, batch: list[Entry]) -> Written:
    """Have *batch* written by a child; errors as `write_batch`, and ChildEndedError when the child died."""
    lines = [(entry.path, entry.oid, entry.chunked, format_line(entry.attributes)) for entry in batch]
    files, size_bytes, path, problems = children.call(lines)
    return Written(files, size_bytes, path, [Problem(path=at, code=code, text=text) for at, code, text in problems])


def serve(store_path: str, staging: str) -> Callable[[Any], Any]:
    """What a child does with the messages of `write_in`."""
    store = Store.open(Path(store_path))
    root_fd = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def answer(message: Any) -> Any:
        batch = [Entry(path=path, oid=oid, chunked=chunked, attributes=parse_line(line)) for path, oid, chunked, line in message]
        written = write_batch(root_fd, store, batch)
        problems = [(problem.path, problem.code, problem.text) for problem in written.problems]
        return written.files, written.size_bytes, written.path, problems

    return answer


def content_bytes(entry: Entry) -> int:
    """What counts as content, as in a backup's own figure: the bytes of regular files."""
    return entry.attributes.size_bytes if entry.attributes.kind == "file" else 0


def is_restorable(attributes: Attributes) -> bool:
    """Whether it can be made again: it was read, and is no socket or device."""
    return not attributes.unreadable and attributes.kind not in ("socket", "block", "char")


def attribute_problems(entry: Entry, failed: list[str]) -> list[Problem]:
    """Problems from what `stage` could not apply."""
    return [Problem(path=entry.path, code="attribute", text=text) for text in failed]


def _write_entry(fd: int, store: ObjectReader, entry: Entry) -> list[Problem]:
    attributes = entry.attributes
    if not is_restorable(attributes):
        return [Problem(path=entry.path, code="not_restored", text=_why_absent(attributes))]
    if attributes.kind == "fifo":
        failed = stage.make_fifo(fd, attributes)
    elif attributes.kind == "symlink":
        failed = stage.make_link(fd, attributes, b"".join(read_content(store, entry)))
    else:
        failed = stage.write_file(fd, attributes, read_content(store, entry))
    return attribute_problems(entry, failed)


def _why_absent(attributes: Attributes) -> str:
    if attributes.unreadable:
        return "could not be read when the backup was made"
    return f"a {attributes.kind} device" if attributes.kind in ("block", "char") else "a socket; its program makes it anew"


def _by_directory(batch: list[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    group: list[Entry] = []
    at = ""
    for entry in batch:
        parent = entry.path.rpartition("/")[0]
        if group and parent != at:
            yield at, group
            group = []
        at = parent
        group.append(entry)
    if group:
        yield at, group
