"""The versions of one path from backup to backup, renames followed back.

A path that is not in the backup before is looked for there among what went away at that moment: equal contents first, then
similar ones, as `git log --follow` does. A directory counts as renamed when at least half of its files came from the same other
directory, which is gone. What differs inside two versions is `patches`'s. Floor F7, below the verbs.

Cost: that of `lineage.PathReader` for the path; where it appears or goes away, one comparison of the two neighbouring backups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from cronos_git.git.view import SnapshotView, diff_entries
from cronos_git.model import Backup, Entry, PathVersion, VersionKind
from cronos_git.ops.lineage import PathReader, Witness
from cronos_git.rules.similarity import Candidate, pair_renames

_RENAME_LIMIT = 300
"""When more than its square of pairs would have to be compared, only equal contents are followed."""


def versions(reader: PathReader, among: Sequence[Witness], path: str) -> Iterator[PathVersion]:
    """Every version of *path*, the newest first; nothing when it is in none of the backups.

    A version is what stands there, and its permissions; times, owners and extended attributes make no new one. The same state
    after another one is a version of its own.

    Args:
        among: The backups that tell of it, oldest first.

    Raises:
        DamageError: A backup cannot be read as far as it is needed.
    """
    end = len(among)
    while end:
        entry, start = _run(reader, among, path, end)
        run = tuple(witness.backup for witness in among[start:end])
        if entry is None and not start:
            return  # that is how it began
        kind, other = _origin(reader, among, path, start, entry)
        yield PathVersion(
            kind=kind,
            path=path,
            previous_path=other if kind == "renamed" else None,
            renamed_to=other if kind == "removed" else None,
            entry=entry,
            backups=tuple(backup.id for backup in run),
            first=run[0],
            last=run[-1],
        )
        path = other if kind == "renamed" and other is not None else path
        end = start


def _run(reader: PathReader, among: Sequence[Witness], path: str, end: int) -> tuple[Entry | None, int]:
    """What stands at *path* before *end*, and since when."""
    entry = _entry(reader, among[end - 1].backup, path)
    start = end - 1
    while start and _state(_entry(reader, among[start - 1].backup, path)) == _state(entry):
        start -= 1
    return _entry(reader, among[start].backup, path), start


def _entry(reader: PathReader, backup: Backup, path: str) -> Entry | None:
    member = reader.find(backup, path)
    return None if member is None else reader.entry(member)


def _content(entry: Entry) -> tuple[object, ...]:
    return entry.attributes.kind, entry.oid, entry.attributes.device


def _state(entry: Entry | None) -> tuple[object, ...] | None:
    return None if entry is None else (*_content(entry), entry.attributes.mode)


def _origin(
    reader: PathReader, among: Sequence[Witness], path: str, start: int, entry: Entry | None
) -> tuple[VersionKind, str | None]:
    """What led to the version that begins at *start*, and the other path of a rename."""
    before = _entry(reader, among[start - 1].backup, path) if start else None
    if before is not None and entry is not None:
        return ("mode" if _content(before) == _content(entry) else "changed"), None
    if not start:
        return "added", None
    step = _Step.between(reader, among[start - 1], among[start])
    if entry is None:
        return "removed", step.counterpart(path, gone=True)
    source = step.counterpart(path, gone=False)
    return ("renamed" if source is not None else "added"), source


class _Step(NamedTuple):
    """What went away and what came from one backup to the next, as far as both tell of it."""

    old: SnapshotView
    new: SnapshotView
    gone: list[Entry]
    come: list[Entry]

    @classmethod
    def between(cls, reader: PathReader, before: Witness, after: Witness) -> _Step:
        old, new = reader.view(before.backup), reader.view(after.backup)
        pairs = list(diff_entries(old, new))
        gone = [left for left, right in pairs if left is not None and right is None and after.covers(left.path)]
        come = [right for left, right in pairs if right is not None and left is None and before.covers(right.path)]
        return cls(old, new, gone, come)

    def counterpart(self, path: str, *, gone: bool) -> str | None:
        """The path in the one backup of what stands at *path* in the other only: in *new*, if it is *gone*."""
        own_side, other_side = (self.gone, self.come) if gone else (self.come, self.gone)
        own = [entry for entry in own_side if entry.path == path or entry.path.startswith(f"{path}/")]
        own, others = _comparable(own, other_side)
        if not own or not others:
            return None
        old, new = (own, others) if gone else (others, own)
        pairs = pair_renames(_candidates(old), _candidates(new), self._reading(old, new), limit=_RENAME_LIMIT)
        moved = list(pairs.items()) if gone else [(here, there) for there, here in pairs.items()]
        exact = dict(moved).get(path)
        return exact if exact is not None else self._directory(path, moved, len(own), gone=gone)

    def _directory(self, path: str, moved: list[tuple[str, str]], files: int, *, gone: bool) -> str | None:
        """Where most of what lay below *path* has its counterpart under the same names."""
        tops: Counter[str] = Counter()
        for here, there in moved:
            rest = here[len(path) :]
            if there.endswith(rest) and len(there) > len(rest):
                tops[there.removesuffix(rest)] += 1
        top, count = tops.most_common(1)[0] if tops else ("", 0)
        elsewhere = self.old if gone else self.new
        return top if count and 2 * count >= files and elsewhere.find_if_any(top) is None else None

    def _reading(self, old: list[Entry], new: list[Entry]) -> Callable[[Candidate], bytes]:
        known = {(entry.path, entry.oid): (view, entry) for view, side in ((self.old, old), (self.new, new)) for entry in side}

        def read(candidate: Candidate) -> bytes:
            view, entry = known[candidate.path, candidate.oid]
            return b"" if entry.chunked else b"".join(view.read(entry))

        return read


def _comparable(own: list[Entry], others: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    """What may be each other's counterpart: files stored whole, and of the others (links, files in chunks) equal ones."""
    kinds, equal = {entry.attributes.kind for entry in own}, {entry.oid for entry in own} & {entry.oid for entry in others}
    wanted = [entry for entry in others if entry.attributes.kind in kinds and (_is_plain(entry) or entry.oid in equal)]
    return [entry for entry in own if _is_plain(entry) or entry.oid in equal], [entry for entry in wanted if entry.oid]


def _is_plain(entry: Entry) -> bool:
    return entry.attributes.kind == "file" and not entry.chunked and bool(entry.oid)


def _candidates(entries: list[Entry]) -> list[Candidate]:
    return [Candidate(path=entry.path, oid=entry.oid, size_bytes=entry.attributes.size_bytes) for entry in entries]
