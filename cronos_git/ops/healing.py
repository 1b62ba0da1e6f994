"""Where objects that a store has lost are found again: the project's own files, as far as they are still what they were.

A look at the project makes the same blobs, chunks, trees and attribute records again that a backup of it would store, so what has
not changed since has the same ids. Nothing is written here; who needs which objects is `ops.repair`'s to tell. A remote is to be
another `ObjectSource`. Floor F7, below the verbs.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple, Protocol

from cronos_git.disk import contents
from cronos_git.disk.fingerprints import StatCache
from cronos_git.errors import DamageError, ObjectMissingError
from cronos_git.events import Run
from cronos_git.git.chunks import iter_chunks
from cronos_git.git.listing import ObjectReader
from cronos_git.git.pack import HashSink, object_id
from cronos_git.git.trees import parse_tree
from cronos_git.ops.capture import CaptureOptions, capture
from cronos_git.ops.captured import KeepingSink
from cronos_git.ops.subject import Subject


class Fetched(NamedTuple):
    """An object, and its name, which its source has checked."""

    name: bytes
    kind: str
    body: bytes


class ObjectSource(Protocol):
    """Another place that may have objects.

    Attributes:
        called: What it is, in words.
    """

    called: str

    def contains(self, name: bytes) -> bool:
        """Whether it has the object."""
        ...

    def fetch(self, names: Collection[bytes], take: Callable[[Fetched], object]) -> None:
        """Hand out those of the objects that it still has, one at a time, as they may be large in sum; one may come twice."""
        ...


class ProjectSource:
    """A project's files as they are now; see `look_at`."""

    def __init__(self, root: str, kept: dict[str, tuple[str, bytes]], sources: dict[str, str]) -> None:
        self.called = f"the files of {root}"
        self._root = root
        self._kept = kept
        self._paths = {bytes.fromhex(oid): path for oid, path in sources.items()}
        chunked = {oid: path for oid, path in sources.items() if kept.get(oid, ("", b""))[0] == "tree"}
        self._chunks = {entry.oid: path for oid, path in chunked.items() for entry in parse_tree(kept[oid][1])}

    def contains(self, name: bytes) -> bool:
        return name.hex() in self._kept or name in self._paths or name in self._chunks

    def fetch(self, names: Collection[bytes], take: Callable[[Fetched], object]) -> None:
        chunks: dict[str, set[bytes]] = defaultdict(set)
        for name in names:
            if name.hex() in self._kept:
                take(Fetched(name, *self._kept[name.hex()]))
            elif name in self._chunks:
                chunks[self._chunks[name]].add(name)
            elif name in self._paths:
                self._fetch_file(name, take)
        for path, wanted in chunks.items():
            self._fetch_chunks(path, wanted, take)

    def _fetch_file(self, name: bytes, take: Callable[[Fetched], object]) -> None:
        try:
            body = contents.read_now(self._root, self._paths[name])
        except OSError:
            return
        if object_id("blob", body) == name:
            take(Fetched(name, "blob", body))

    def _fetch_chunks(self, path: str, wanted: set[bytes], take: Callable[[Fetched], object]) -> None:
        """The chunks of one large file, which is read once, or twice should it change meanwhile."""

        def cut(pieces: Iterator[bytes]) -> None:
            for chunk in iter_chunks(pieces):
                name = object_id("blob", chunk)
                if name in wanted:
                    take(Fetched(name, "blob", chunk))

        with contextlib.suppress(OSError), contents.located(self._root, path) as (dir_fd, entry):
            contents.read_large_file(dir_fd, entry, cut)


def look_at(subject: Subject, run: Run) -> ProjectSource:
    """Make all objects of a project anew, storing none.

    Raises:
        ProjectError: It is gone, or cannot be read.
        InterruptedRunError: The run was cancelled.

    Cost: every file that the rules take is read. Memory: the trees and attribute records, and an entry for each file and chunk.
    """
    sink = KeepingSink(HashSink())
    options = CaptureOptions(
        rules=subject.rules,
        scope=subject.scope.paths,
        chunk_threshold=subject.chunk_threshold,
        trusted_before_ns=0,
        remember_sources=True,
    )
    captured = capture(subject.root, options, StatCache(), sink, run)
    return ProjectSource(subject.root, sink.kept, captured.sources)


class Pool:
    """The objects that are whole in the store, those that were made anew, and those that can be had from elsewhere.

    Attributes:
        sources: Where to look besides the store; may grow.
        made: Objects that were made anew, by name.
    """

    def __init__(self, objects: ObjectReader, contains: Callable[[bytes], bool]) -> None:
        self._objects = objects
        self._contains = contains
        self.sources: list[ObjectSource] = []
        self.made: dict[bytes, tuple[str, bytes]] = {}

    def add(self, kind: str, body: bytes) -> bytes:
        """Keep an object that was made anew, unless the store has it; its name."""
        name = object_id(kind, body)
        if not self._contains(name):
            self.made[name] = (kind, body)
        return name

    def read(self, oid: str, /) -> tuple[str, bytes]:
        """Kind and body of an object, as `ObjectReader`.

        Raises:
            DamageError: It is nowhere to be had.
        """
        name = bytes.fromhex(oid)
        if name in self.made:
            return self.made[name]
        if self.is_stored(name):
            return self._objects.read(oid)
        got: list[Fetched] = []
        for source in self.sources:
            if not got:
                source.fetch([name], got.append)
        if not got:
            raise ObjectMissingError(f"Object {oid} is lost.", oid=oid)
        return got[0].kind, got[0].body

    def is_stored(self, name: bytes) -> bool:
        """Whether the store has the object whole."""
        return self._contains(name)

    def contains(self, name: bytes) -> bool:
        """Whether the object can be had."""
        return name in self.made or self.is_stored(name) or any(source.contains(name) for source in self.sources)

    def sizes(self, names: Collection[bytes]) -> dict[bytes, int]:
        """Sizes in bytes of those of the objects that can be had.

        Cost: each is read; what is elsewhere in one go, as a large file is read whole for any of its chunks.
        """
        found = {}
        for name in names:
            if name in self.made or self.is_stored(name):
                with contextlib.suppress(DamageError):
                    found[name] = len(self.read(name.hex())[1])
        for source in self.sources:
            missing = [name for name in names if name not in found and source.contains(name)]
            if missing:
                source.fetch(missing, lambda fetched: found.__setitem__(fetched.name, len(fetched.body)))
        return found
