"""Searches the contents of backups: each content once, however many backups and paths hold it.

First the versions of files are collected, reading every state of a directory once; then their contents are searched in batches,
by `git.grep`; last it is told which of the backups hold a version that matches. Floor F7.

Cost: three objects for each distinct directory; every distinct content once. Memory: one small record for each version of a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cronos_git.errors import BackupNotFoundError, GitCommandError
from cronos_git.git.grep import Grep, Hit
from cronos_git.git.listing import Directory, Member, encode, naming
from cronos_git.git.store import Store
from cronos_git.git.view import SnapshotView, read_content
from cronos_git.model import Backup, Entry, GrepMatch, GrepRequest
from cronos_git.ops.lineage import PathReader

_BATCH_FILES = 1000
_BATCH_BYTES = 16 << 20


def grep(store: Store, backups: Sequence[Backup], request: GrepRequest) -> Iterator[GrepMatch]:
    """Every version of a file in which the pattern is found, by path.

    Only regular files are searched. Contents that stand at several paths are told once for each, one after the other.

    Args:
        backups: Where to search, oldest first; the request's backup does not count.

    Raises:
        PatternError: The pattern cannot be understood.
        BackupNotFoundError: None of the backups has one of the paths.
        DamageError: A directory or a content cannot be read; it names the path.
        GitVersionError: There is no git.
    """
    search = Grep(store.path, request.pattern, ignore_case=request.ignore_case, fixed=request.fixed)
    reader = PathReader(store)
    for entries in _batches(_contents(store, backups, request.paths)):
        hits = _search(store, search, [same[0] for same in entries])
        for same in entries:
            hit = hits.get(same[0].oid)
            for entry in same if hit else ():
                assert hit is not None
                holding = tuple(backup.id for backup in backups if _holds(reader.find(backup, entry.path), entry))
                yield GrepMatch(path=entry.path, backups=holding, binary=hit.binary, lines=hit.lines)


def _holds(member: Member | None, entry: Entry) -> bool:
    return isinstance(member, Entry) and (member.oid, member.chunked) == (entry.oid, entry.chunked)


# --- what there is to search --------------------------------------------------------------------------------------


class _Collector:
    """Every version of a file met so far, by content, in order of the first path."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.met: dict[tuple[str, str], Entry] = {}
        self.seen: set[Directory] = set()

    def look(self, backup: Backup, tops: Iterable[str]) -> set[str]:
        """Take in what a backup holds at or below *tops*; those of them that it has."""
        view = SnapshotView(self.store, backup.commit)
        found = {top: member for top in tops if (member := view.find_if_any(top)) is not None}
        pending: list[Member] = list(found.values())
        while pending:
            member = pending.pop()
            if isinstance(member, Entry):
                if member.attributes.kind == "file" and member.oid and member.attributes.size_bytes:
                    self.met.setdefault((member.path, member.oid), member)
            elif member not in self.seen:
                self.seen.add(member)
                pending += view.listing(member).members.values()
        return set(found)


def _contents(store: Store, backups: Iterable[Backup], paths: Sequence[str]) -> list[list[Entry]]:
    collector = _Collector(store)
    tops = paths or ("",)
    found = {top for backup in backups for top in collector.look(backup, tops)}
    for top in tops:
        if top not in found:
            raise BackupNotFoundError(
                f"There is no {top!r} where it is searched.",
                hint="Paths are given from the project's root; --all searches all backups.",
                path=top,
            )
    by_content: dict[str, list[Entry]] = {}
    for entry in sorted(collector.met.values(), key=lambda entry: encode(entry.path).split(b"/")):
        by_content.setdefault(entry.oid, []).append(entry)
    return list(by_content.values())


def _batches(contents: Iterable[list[Entry]]) -> Iterator[list[list[Entry]]]:
    """Contents that are searched at once: files stored whole, as long as they are not too many, or one in chunks."""
    batch: list[list[Entry]] = []
    size = 0
    for same in contents:
        entry = same[0]
        if batch and (entry.chunked or len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        if entry.chunked:
            yield [same]
        else:
            batch.append(same)
            size += entry.attributes.size_bytes
    if batch:
        yield batch


def _search(store: Store, search: Grep, entries: Sequence[Entry]) -> dict[str, Hit]:
    if entries[0].chunked:
        hit = search.in_pieces(read_content(store, entries[0]))
        return {entries[0].oid: hit} if hit else {}
    try:
        return search.in_blobs([entry.oid for entry in entries])
    except GitCommandError:
        for entry in entries:
            with naming(entry.path):
                store.read(entry.oid)  # raises DamageError for the one that git could not read
        raise
