"""Turns a directory on disk into `data/` and `meta/attributes/` trees: the way every backup and every dry run goes.

    walk -> fingerprints -> read only what changed -> blobs -> trees, from the leaves up

The objects go to an ObjectSink: a pack, or a hash that stores nothing. Reading runs in a few threads, or in child processes when
there is much to read; trees are made here. What a backup is called and when it counts is `snapshot`'s. Floor F7, below the verbs.

Cost: one walk; one open and read for each file that the stat cache does not vouch for; one tree and one attribute blob for each
directory with a change below it. Memory: one tuple an entry, and the contents of a few batches.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from cronos_git.disk import contents, owners, walk
from cronos_git.disk.children import Children, are_worthwhile
from cronos_git.disk.fingerprints import KnownDirectory, KnownFile, StatCache, pack_files
from cronos_git.disk.walk import Directory, Found, Scan, WalkRules
from cronos_git.disk.workers import run_batches
from cronos_git.errors import ChildEndedError
from cronos_git.events import Advanced, Finished, Run, Started
from cronos_git.git.chunks import add_chunks
from cronos_git.git.ingest import Batch, Ingested, has_content, ingest, ingest_in, ingested
from cronos_git.git.pack import ObjectSink
from cronos_git.git.trees import MODE_DIRECTORY, MODE_FILE, TreeEntry, format_tree
from cronos_git.model import Problem
from cronos_git.rules.attributes import format_record, format_xattrs, join_extras, join_lines, owner_lines
from cronos_git.rules.names import ATTRIBUTES_NAME, encode_name, is_inspected

_BATCH_FILES = 128
_BATCH_BYTES = 8 << 20

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFLNK: "symlink",
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block",
    stat.S_IFCHR: "char",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureOptions:
    """How to capture.

    Attributes:
        scope: Paths to take, `("",)` for everything.
        chunk_threshold: Files of this many bytes or more are stored in chunks.
        trusted_before_ns: Files changed at or after this moment (ns since the epoch) are read again next time.
        remember_sources: Keep which file gave which blob, so that a comparison can read it from the project.
    """

    rules: WalkRules
    scope: tuple[str, ...]
    chunk_threshold: int
    trusted_before_ns: int
    remember_sources: bool = False


@dataclass(slots=True)
class Captured:
    """What came of it.

    Attributes:
        data: 20-byte id of the tree for `data/`.
        attributes: The same for `meta/attributes/`.
        cache: What the next run may trust, by directory.
        sources: Paths by blob id, when asked for.
    """

    scan: Scan
    data: bytes = b""
    attributes: bytes = b""
    files: int = 0
    size_bytes: int = 0
    directories: int = 0
    files_read: int = 0
    bytes_read: int = 0
    problems: list[Problem] = field(default_factory=list)
    cache: dict[str, KnownDirectory] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """An entry that is to be stored; *flag* is `changed`, `unreadable` or empty."""

    entry: Found
    known: KnownFile
    flag: str = ""


_Outcomes = dict[str, _Outcome]


def capture(root: str, options: CaptureOptions, cache: StatCache, sink: ObjectSink, run: Run) -> Captured:
    """Capture the project at *root*.

    Raises:
        ProjectError: The root cannot be read.
        DiskFullError, AccessError, HostError: The sink cannot store.
        InterruptedRunError: The run was cancelled.
    """
    root_fd = walk.open_project(root)
    try:
        run.emit(Started("scan"))
        scanned = walk.scan(root_fd, options.rules, walk.branches(options.scope), run)
        run.emit(Finished("scan"))
        capturer = _Capturer(root, root_fd, options, cache, sink, run, Captured(scanned, problems=list(scanned.problems)))
        return capturer.capture()
    finally:
        os.close(root_fd)


class _Capturer:
    def __init__(
        self, root: str, root_fd: int, options: CaptureOptions, cache: StatCache, sink: ObjectSink, run: Run, result: Captured
    ) -> None:
        self.root = root
        self.root_fd = root_fd
        self.options = options
        self.cache = cache.directories
        self.sink = sink
        self.run = run
        self.result = result
        self.outcomes: dict[str, _Outcomes] = {}
        self.nodes: dict[str, Directory] = {}
        self.missing: dict[str, int] = {}
        self.trees: dict[str, tuple[bytes, bytes]] = {}

    def capture(self) -> Captured:
        """Read and store every file that the cache does not vouch for, and the trees as soon as all they need is there."""
        changed = list(self._survey())
        total_bytes = sum(entry.size for _, entries in changed for entry in entries)
        self.run.emit(Started("store", sum(len(entries) for _, entries in changed), total_bytes))
        for path in [path for path, missing in self.missing.items() if not missing]:
            self._complete(self.nodes[path])
        small = [(path, rest) for path, entries in changed if (rest := [e for e in entries if not self._is_large(e)])]
        self._ingest(list(_batches(small)))
        large = [(path, entry) for path, entries in changed for entry in entries if self._is_large(entry)]
        run_batches(large, self._read_large, self._take, self.run)
        self.run.emit(Finished("store"))
        self.result.data, self.result.attributes = self.trees[""]
        return self.result

    # --- reading ---

    def _survey(self) -> Iterator[tuple[str, list[Found]]]:
        """What is to be read, by directory; counts for each directory what it waits for: entries, and directories in it."""
        for node in _preorder(self.result.scan.top):
            fresh = self._unknown(node)
            self.nodes[node.path] = node
            self.missing[node.path] = len(fresh) + len(node.children)
            if fresh:
                yield node.path, fresh

    def _ingest(self, batches: list[Batch]) -> None:
        """Small files: by child processes when there are many, else by threads."""
        entries = [entry for batch in batches for _, group in batch for entry in group]
        if self.sink.stores and are_worthwhile(len(entries), sum(entry.size for entry in entries)):
            with Children("cronos_git.git.ingest:serve", self.root) as children:
                run_batches(batches, lambda batch: self._ingest_shared(children, batch), self._take, self.run)
        else:
            run_batches(batches, self._ingest_here, self._take, self.run)

    def _ingest_here(self, batch: Batch) -> list[Ingested]:
        return ingest(self.root_fd, batch, pack=self.sink.stores)

    def _ingest_shared(self, children: Children, batch: Batch) -> list[Ingested]:
        try:
            return ingest_in(children, batch)
        except ChildEndedError:  # killed for want of memory, say; children are a matter of speed only
            return self._ingest_here(batch)

    def _unknown(self, node: Directory) -> list[Found]:
        """Entries to read; those that are known go to the outcomes at once."""
        known = self.cache.get(node.path)
        if known is not None and _is_same(known, node):
            return []
        files = known.known_files() if known is not None else {}
        outcomes = self.outcomes[node.path] = {}
        fresh = []
        for entry in node.entries:
            file = files.get(entry.name)
            if file is not None and file.matches(entry):
                outcomes[entry.name] = _Outcome(entry, file)
            else:
                fresh.append(entry)
        return fresh

    def _take(self, batch: list[Ingested]) -> None:
        """Store and account for what a batch gave; runs on the main thread only."""
        self.sink.add_packed((done.oid, done.packed) for done in batch if done.packed)
        result = self.result
        for done in batch:
            if stat.S_ISREG(done.entry.mode) and done.status in ("whole", "changed"):
                result.files_read += 1
                result.bytes_read += done.entry.size
            if done.status != "whole":
                result.problems.append(Problem(path=done.path, code=done.status, text=done.why))
            if done.status != "vanished":
                self.outcomes[done.directory][done.entry.name] = _outcome(done)
            if self.options.remember_sources and done.oid:
                result.sources[done.oid.hex()] = done.path
            self._arrived(done.directory)
        self.run.emit(Advanced(result.files_read, result.bytes_read, batch[-1].path))

    def _is_large(self, entry: Found) -> bool:
        return entry.size >= self.options.chunk_threshold and stat.S_ISREG(entry.mode)

    def _read_large(self, place: tuple[str, Found]) -> list[Ingested]:
        """Store one large file in chunks; its content never lies in memory whole."""
        directory, entry = place
        tree = b""

        def take(pieces: Iterator[bytes]) -> None:
            nonlocal tree
            tree = add_chunks(self.sink, map(self._checked, pieces))

        try:
            fd = walk.open_beneath(self.root_fd, directory)
        except OSError as error:
            why = f"its directory can no longer be opened: {error.strerror}"
            return [ingested(directory, contents.Reading(entry, "vanished", why=why))]
        try:
            reading = contents.read_large_file(fd, entry, take)
        finally:
            os.close(fd)
        return [ingested(directory, reading, tree if has_content(reading) else b"", chunked=True)]

    def _checked(self, piece: bytes) -> bytes:
        self.run.checkpoint()  # a large file takes long
        return piece

    # --- trees ---

    def _arrived(self, path: str) -> None:
        """One of the things that the directory *path* waits for is there."""
        self.missing[path] -= 1
        if not self.missing[path]:
            self._complete(self.nodes[path])

    def _complete(self, node: Directory) -> None:
        """Store the trees of *node*, for which everything is there, and of those above it that waited for nothing else."""
        while True:
            self.result.directories += 1
            self.trees[node.path] = self._assemble(node)
            if not node.path:
                return
            above = node.path.rpartition("/")[0]
            self.missing[above] -= 1
            if self.missing[above]:
                return
            node = self.nodes[above]

    def _assemble(self, node: Directory) -> tuple[bytes, bytes]:
        """The ids of the trees of *node* in `data/` and in `meta/attributes/`."""
        children = [(_stored_directory(child.path), *self.trees.pop(child.path)) for child in node.children]
        below = hashlib.blake2b(b"".join(part for child in children for part in child), digest_size=16).digest()
        known = self.cache.get(node.path)
        if known is None or not _is_same(known, node):
            outcomes = self.outcomes.pop(node.path)
        elif known.below == below:
            self._keep(node, known)
            return known.data, known.attributes
        else:
            files = known.known_files()
            outcomes = {entry.name: _Outcome(entry, files[entry.name]) for entry in node.entries}
        ordered = [outcomes[entry.name] for entry in node.entries if entry.name in outcomes]
        data, attributes = self._store_directory(node, ordered, children)
        held = [outcome.entry for outcome in ordered if outcome.flag != "unreadable"]
        size = sum(entry.size for entry in held if stat.S_ISREG(entry.mode))
        fingerprint, trusted = self._trusted(node, ordered)
        self._keep(node, KnownDirectory(fingerprint, below, data, attributes, len(held), size, pack_files(trusted)))
        return data, attributes

    def _keep(self, node: Directory, known: KnownDirectory) -> None:
        """Count a directory, and let the next run know of it, unless a scoped backup took only a part."""
        self.result.files += known.entry_count
        self.result.size_bytes += known.size_bytes
        if node.complete:
            self.result.cache[node.path] = known

    def _store_directory(
        self, node: Directory, outcomes: list[_Outcome], children: list[tuple[bytes, bytes, bytes]]
    ) -> tuple[bytes, bytes]:
        data = [TreeEntry(MODE_DIRECTORY, stored, tree) for stored, tree, _ in children]
        for outcome in outcomes:
            known = outcome.known
            if known.tree_mode and known.oid:
                data.append(TreeEntry(known.tree_mode, known.stored or os.fsencode(outcome.entry.name), known.oid))
        record = self.sink.add("blob", self._attributes(node, outcomes))
        meta = [TreeEntry(MODE_DIRECTORY, stored, tree) for stored, _, tree in children]
        meta.append(TreeEntry(MODE_FILE, ATTRIBUTES_NAME, record))
        return self.sink.add("tree", format_tree(data)), self.sink.add("tree", format_tree(meta))

    def _attributes(self, node: Directory, outcomes: list[_Outcome]) -> bytes:
        """The attribute blob of one directory."""
        info = node.info
        own_extras = join_extras("", None, format_xattrs(self._directory_xattrs(node)), *["unreadable"] * node.unreadable)
        mode = stat.S_IMODE(info.mode)
        lines = [format_record("directory", mode, 0, info.mtime_ns, info.uid, info.gid, own_extras, ".")]
        ordered = sorted(outcomes, key=lambda outcome: os.fsencode(outcome.entry.name))
        lines += [_line(outcome, self.result.scan.device) for outcome in ordered]
        entries = [info, *(outcome.entry for outcome in outcomes)]
        users = {uid: name for uid in {e.uid for e in entries} if (name := owners.user_name(uid))}
        groups = {gid: name for gid in {e.gid for e in entries} if (name := owners.group_name(gid))}
        return join_lines(owner_lines(users, groups), lines)

    def _directory_xattrs(self, node: Directory) -> contents.Xattrs:
        try:
            fd = walk.open_beneath(self.root_fd, node.path)
        except OSError:
            return ()  # unreadable or gone: already reported by the walk or the reading
        try:
            return contents.read_xattrs(fd)
        finally:
            os.close(fd)

    def _trusted(self, node: Directory, outcomes: list[_Outcome]) -> tuple[bytes, dict[str, KnownFile]]:
        """The fingerprint and the files that the next run may trust: what cannot have changed unseen."""
        limit = self.options.trusted_before_ns
        trusted = {o.entry.name: o.known for o in outcomes if not o.flag and o.entry.ctime_ns < limit}
        return node.fingerprint if len(trusted) == len(node.entries) else b"", trusted


def _is_same(known: KnownDirectory, node: Directory) -> bool:
    return node.complete and bool(node.fingerprint) and known.fingerprint == node.fingerprint


def _preorder(top: Directory) -> Iterator[Directory]:
    pending = [top]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(node.children))


def _batches(changed: list[tuple[str, list[Found]]]) -> Iterator[Batch]:
    """Cut the work into pieces of about equal cost."""
    batch: Batch = []
    files = size = 0
    for path, entries in changed:
        start = 0
        for position, entry in enumerate(entries, 1):
            files += 1
            size += entry.size
            if files >= _BATCH_FILES or size >= _BATCH_BYTES:
                yield [*batch, (path, entries[start:position])]
                batch, files, size, start = [], 0, 0, position
        if start < len(entries):
            batch.append((path, entries[start:]))
    if batch:
        yield batch


def _outcome(done: Ingested) -> _Outcome:
    entry = done.entry
    known = KnownFile(
        entry.mode,
        entry.inode,
        entry.size,
        entry.mtime_ns,
        entry.ctime_ns,
        entry.device,
        done.tree_mode,
        done.stored,
        done.oid,
        done.xattrs,
    )
    return _Outcome(entry, known, "" if done.status == "whole" else done.status)


def _stored_directory(path: str) -> bytes:
    raw = os.fsencode(path.rpartition("/")[2])
    return encode_name(raw, forced=is_inspected(raw))


def _line(outcome: _Outcome, root_device: int) -> str:
    entry = outcome.entry
    kind = _KINDS[stat.S_IFMT(entry.mode)]
    size = entry.size if kind in ("file", "symlink") else 0
    group = entry.link_group(root_device)
    device = (os.major(entry.special), os.minor(entry.special)) if kind in ("block", "char") else None
    extras = "-"
    if group or device or outcome.known.xattrs or outcome.flag:
        extras = join_extras(group, device, outcome.known.xattrs, *([outcome.flag] if outcome.flag else []))
    mode = stat.S_IMODE(entry.mode)
    return format_record(kind, mode, size, entry.mtime_ns, entry.uid, entry.gid, extras, entry.name)
