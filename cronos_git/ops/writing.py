"""Writes a backup, or some paths of it, into a staging directory; in threads, or in child processes when there is much to write.

The parent makes the directories and hands out batches of files; hard links and the directories' attributes come last. Owners are
set by their recorded names, as far as this machine has them. What cannot be applied or is not restored comes back as problems.
How the staging directory becomes the target is `restore`'s. Floor F7, below the verbs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from cronos_git.disk import contents, stage
from cronos_git.disk.children import Children, are_worthwhile
from cronos_git.disk.files import host_error
from cronos_git.disk.stage import opened
from cronos_git.disk.workers import run_batches
from cronos_git.errors import CronosError, DiskFullError
from cronos_git.events import Advanced, Finished, Run, Started
from cronos_git.git.listing import ObjectReader
from cronos_git.git.pack import object_id
from cronos_git.git.store import Store
from cronos_git.git.view import SnapshotView, read_content
from cronos_git.model import Attributes, Entry, Problem, RestorePlan
from cronos_git.rules.attributes import format_line, parse_line

BATCH_FILES = 256
"""Files in a batch, at most."""

_BATCH_BYTES = 8 << 20
_UNREAD_CONTENTS = "its contents could not be read when the backup was made"
_LOST_CONTENTS = "its contents were lost to damage"
_LOST_ATTRIBUTES = "modes, owners, times, extended attributes, hard links and special files in it were lost to damage"


@dataclass(slots=True)
class Written:
    """What a batch did; *path* is the last one."""

    files: int = 0
    size_bytes: int = 0
    path: str = ""
    problems: list[Problem] = field(default_factory=list)


class Writer:
    """Fills a staging directory with a backup, or with some paths of it.

    Attributes:
        done_files: Files written.
        done_bytes: Bytes of the regular files among them.
        problems: What could not be restored or applied.
    """

    def __init__(self, store: Store, view: SnapshotView, staging: Path, run: Run) -> None:
        self.store = store
        self.view = view
        self.staging = staging
        self.run = run
        self.root_fd = -1
        self.done_files = 0
        self.done_bytes = 0
        self.problems: list[Problem] = []
        self.directories: list[Entry] = []
        self.links: list[tuple[Entry, Entry]] = []

    def write(self, plan: RestorePlan) -> Attributes:
        """Write everything; the attributes of the top directory, which are applied last of all."""
        self.run.emit(Started("restore", plan.files, plan.size_bytes))
        self.root_fd = os.open(self.staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._write_files(plan)
            self._link()
            for directory in reversed(self.directories):
                with opened(self.root_fd, directory.path) as fd:
                    self.problems += attribute_problems(directory, stage.apply_attributes(fd, directory.attributes))
        finally:
            os.close(self.root_fd)
        self.run.emit(Finished("restore"))
        return self.directories[0].attributes

    def _write_files(self, plan: RestorePlan) -> None:
        place = Destination(self.store, self.staging, self.root_fd)
        write_batches(place, cut(self._files(plan.paths)), plan.files, plan.size_bytes, self._take, self.run)

    def _files(self, paths: Sequence[str]) -> Iterator[Entry]:
        """What is to be written, making directories as they come and putting hard links aside; runs on the main thread."""
        first_of_group: dict[tuple[str, str], Entry] = {}
        for entry in map(self.view.local, self._entries(paths)):
            if entry.attributes.kind == "directory":
                self._make_directory(entry)
                continue
            group = entry.attributes.link_group if is_restorable(entry.attributes) else ""
            first = first_of_group.setdefault((group, entry.oid), entry) if group else entry
            if first is not entry:
                self.links.append((first, entry))
            else:
                yield entry

    def _entries(self, paths: Sequence[str]) -> Iterator[Entry]:
        """What to restore: a directory before what it holds, with the directories that lead to the paths."""
        if not paths:
            yield from self.view.walk()
            return
        seen: set[str] = set()
        for path in sorted(paths, key=os.fsencode):
            for above in _parents(path):
                if above not in seen:
                    seen.add(above)
                    yield self.view.entry(above)
            for entry in self.view.walk(path):
                if entry.path not in seen:
                    seen.add(entry.path)
                    yield entry

    def _make_directory(self, entry: Entry) -> None:
        self.directories.append(entry)
        if entry.path:
            parent, _, name = entry.path.rpartition("/")
            with opened(self.root_fd, parent) as fd:
                stage.make_directory(fd, name)
        self.problems += directory_problems(entry)

    def _take(self, written: Written) -> None:
        self.done_files += written.files
        self.done_bytes += written.size_bytes
        self.problems += written.problems
        self.run.emit(Advanced(self.done_files, self.done_bytes, written.path))

    def _link(self) -> None:
        for first, entry in self.links:
            source_parent, _, source = first.path.rpartition("/")
            parent, _, name = entry.path.rpartition("/")
            with opened(self.root_fd, source_parent) as source_fd, opened(self.root_fd, parent) as fd:
                stage.make_hard_link(source_fd, source, fd, name)
            self.done_files += 1
            self.done_bytes += content_bytes(entry)


def _parents(path: str) -> Iterator[str]:
    """The directories above *path*, the top first."""
    if path:
        yield ""
    parts = path.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        yield "/".join(parts[:depth])


class Destination(NamedTuple):
    """Where files are written, and from which store.

    Attributes:
        contents: What no store has, by blob id.
    """

    store: Store
    root: Path
    root_fd: int
    contents: Mapping[str, bytes] = MappingProxyType({})

    def read(self, oid: str, /) -> tuple[str, bytes]:
        """Kind and body of an object, as `ObjectReader`."""
        return ("blob", self.contents[oid]) if oid in self.contents else self.store.read(oid)


def cut(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Entries in batches of a size that keeps a worker busy and memory small."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += entry.attributes.size_bytes
        if len(batch) >= BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def write_batches(
    where: Destination, batches: Iterable[list[Entry]], files: int, size_bytes: int, take: Callable[[Written], None], run: Run
) -> None:
    """Write every batch; in threads, or in child processes when there is much.

    Args:
        files, size_bytes: How much there is in all.
        take: Receives what each batch did.

    Raises:
        All errors of `write_batch`; ChildEndedError: A child process died.
    """
    if not where.contents and are_worthwhile(files, size_bytes):
        with Children("cronos_git.ops.writing:serve", str(where.store.path), str(where.root)) as children:
            run_batches(batches, lambda batch: write_in(children, batch), take, run)
    else:
        run_batches(batches, lambda batch: write_batch(where.root_fd, where, batch), take, run)


def reads_back(view: SnapshotView, root: str, entry: Entry) -> bool:
    """Whether the file or link at the entry's path below *root* has the entry's content.

    Raises:
        OSError: It cannot be read.
    """
    if not entry.chunked:
        return object_id("blob", contents.read_now(root, entry.path)).hex() == entry.oid
    return contents.equals(root, entry.path, view.read(entry))


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


def restore_error(error: OSError, target: str) -> CronosError:
    """What a failing write of a restore means; raise the result `from` the original, when the target is as it was."""
    translated = host_error(error, f"restore into {target}")
    if isinstance(translated, DiskFullError):
        return DiskFullError(
            f"No space left at {target} (or no more files can be made there). Nothing was restored.",
            hint="Free space there, restore only some paths, or choose another place with --to.",
        )
    hint = translated.hint and "Check its owner and permissions, and whether it is immutable, mounted or read-only."
    return type(translated)(f"{translated.message} Nothing was restored.", hint=hint, **translated.context)


def content_bytes(entry: Entry) -> int:
    """What counts as content, as in a backup's own figure: the bytes of regular files."""
    return entry.attributes.size_bytes if entry.attributes.kind == "file" else 0


def is_restorable(attributes: Attributes) -> bool:
    """Whether it can be made again: it was read, and is no socket or device."""
    return not attributes.unreadable and attributes.kind not in ("socket", "block", "char")


def attribute_problems(entry: Entry, failed: list[str]) -> list[Problem]:
    """Problems from what `stage` could not apply."""
    return [Problem(path=entry.path, code="attribute", text=text) for text in failed]


def directory_problems(entry: Entry) -> list[Problem]:
    """What the backup lacks of a directory: what it holds, or the attributes of that; `ops.holes` tells of the marks."""
    if entry.attributes.unreadable:
        text = _LOST_CONTENTS if entry.attributes.changed else _UNREAD_CONTENTS
        return [Problem(path=entry.path, code="not_restored", text=text)]
    return [Problem(path=entry.path, code="attribute", text=_LOST_ATTRIBUTES)] if entry.attributes.changed else []


def _write_entry(fd: int, store: ObjectReader, entry: Entry) -> list[Problem]:
    attributes = entry.attributes
    if not is_restorable(attributes):
        return [Problem(path=entry.path, code="not_restored", text=why_absent(attributes))]
    if attributes.kind == "fifo":
        failed = stage.make_fifo(fd, attributes)
    elif attributes.kind == "symlink":
        failed = stage.make_link(fd, attributes, b"".join(read_content(store, entry)))
    else:
        failed = stage.write_file(fd, attributes, read_content(store, entry))
    return attribute_problems(entry, failed)


def why_absent(attributes: Attributes) -> str:
    """Why an entry cannot be made again, in words."""
    if attributes.unreadable:
        return "lost to damage" if attributes.changed else "could not be read when the backup was made"
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
