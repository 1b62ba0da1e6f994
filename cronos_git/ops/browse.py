"""Looking into backups: list a directory, read a file, find a path in all of them.

Nothing is written and no project is needed. Which backups there are is the catalog's, what differs between two is `compare`'s.
Floor F7.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from cronos_git.errors import PatternError
from cronos_git.git.listing import Directory, ObjectReader
from cronos_git.git.view import SnapshotView
from cronos_git.model import Backup, Entry, FoundEntry


def entries(view: SnapshotView, path: str = "", *, recursive: bool = False) -> list[Entry]:
    """What a directory of a backup holds, in the order of the names' bytes; for any other path its own entry.

    Args:
        path: `/` at the ends does not matter.
        recursive: Everything below, each directory before what it holds.

    Raises:
        BackupNotFoundError: The backup has no such path.
    """
    path = path.strip("/")
    entry = view.entry(path)
    if entry.attributes.kind != "directory":
        return [entry]
    if not recursive:
        return view.children(path)
    return list(view.walk(path, links=True))[1:]


def read(view: SnapshotView, path: str) -> Iterator[bytes]:
    """The content of the file at *path*, in pieces; a symlink's is its target.

    Raises:
        BackupNotFoundError: The backup has no such path, or could not read the file when it was made.
        UsageError: A directory, FIFO, socket or device.
    """
    return view.read(view.entry(path.strip("/")))


def find(store: ObjectReader, backups: Iterable[Backup], patterns: Sequence[str]) -> list[FoundEntry]:
    """Every version of the paths that match, sorted by path, then by the first backup that holds it.

    Two backups hold the same version when content and attributes are equal.

    Args:
        backups: Where to look, oldest first.
        patterns: Shell patterns (`*`, `?`, `[…]`), any of which may match the name; one with a slash must match the whole path
            from the project's root, where `*` stays within a name and `**` stands for any number of directories.

    Raises:
        PatternError: An empty pattern.

    Cost: a directory is read once for each state it had, however many backups hold that state; memory holds one small record
    for each such state.
    """
    search = _Search([_Glob.parse(pattern) for pattern in patterns])
    for backup in backups:
        for entry in search.matches(SnapshotView(store, backup.commit)):
            search.versions.setdefault(entry, []).append(backup.id)
    found = [FoundEntry(entry=entry, backups=tuple(ids)) for entry, ids in search.versions.items()]
    return sorted(found, key=lambda version: version.entry.path.encode("utf-8", "surrogateescape").split(b"/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Glob:
    """A pattern in parts; `whole` when it is for the path, not for the name alone."""

    parts: tuple[str, ...]
    whole: bool

    @classmethod
    def parse(cls, pattern: str) -> _Glob:
        parts = tuple(pattern.strip("/").split("/"))
        if parts == ("",):
            raise PatternError(f"The pattern {pattern!r} matches nothing.", hint="Give a name such as '*.py' or a path.")
        return cls(parts=parts, whole="/" in pattern)

    def matches(self, path: str) -> bool:
        names = tuple(path.split("/"))
        return _match_parts(names, self.parts) if self.whole else fnmatchcase(names[-1], self.parts[0])


def _match_parts(names: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    if not parts:
        return not names
    if parts[0] == "**":
        return any(_match_parts(names[skipped:], parts[1:]) for skipped in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], parts[0]) and _match_parts(names[1:], parts[1:])


@dataclass(slots=True)
class _Search:
    """Matches of all backups so far, and what is known of every directory state that they held."""

    globs: list[_Glob]
    versions: dict[Entry, list[str]] = field(default_factory=dict)
    known: dict[Directory, tuple[Entry, ...]] = field(default_factory=dict)

    def matches(self, view: SnapshotView) -> tuple[Entry, ...]:
        """All matches in one snapshot; reads only directory states not met before."""
        fresh: list[tuple[Directory, list[Entry], list[Directory]]] = []
        pending = [view.root]
        while pending:
            directory = pending.pop()
            if directory not in self.known:
                own, below = self._look(view, directory)
                fresh.append((directory, own, below))
                pending += below
        # A directory was met before those below it, so from the back each finds theirs known.
        for directory, own, below in reversed(fresh):
            self.known[directory] = (*own, *(entry for inner in below for entry in self.known[inner]))
        return self.known[view.root]

    def _look(self, view: SnapshotView, directory: Directory) -> tuple[list[Entry], list[Directory]]:
        """The matches among *directory* itself and its members, and the directories in it."""
        listing = view.listing(directory)
        candidates = [directory.entry(listing.own)] if directory.path else []
        candidates += [member for member in listing.members.values() if isinstance(member, Entry)]
        below = [member for member in listing.members.values() if isinstance(member, Directory)]
        found = [entry for entry in candidates if any(glob.matches(entry.path) for glob in self.globs)]
        return [view.complete(entry) for entry in found], below
