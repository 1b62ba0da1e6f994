"""The trees that a restore in place can desire: a backup, or what a merge makes of the target. Floor F7, below the verbs."""

from __future__ import annotations

from collections.abc import Iterator

from cronos_git.git.view import Pair, SnapshotView, diff_all
from cronos_git.model import Entry
from cronos_git.ops.sides import Merged
from cronos_git.ops.steps import ways_to


class MergedTree:
    """What a merge makes of the target; see `steps.Desired`."""

    def __init__(self, merged: Merged, ours: SnapshotView) -> None:
        self._results = merged.results
        self._ours = ours

    def differing(self, ours: SnapshotView, _tops: tuple[str, ...]) -> Iterator[Pair]:
        """What the merge changes."""
        for path in sorted(self._results, key=lambda path: path.split("/") if path else []):
            found = ours.find_if_any(path)
            before = found if found is None or isinstance(found, Entry) else ours.complete(found)
            if before != self._results[path]:
                yield before, self._results[path]

    def find(self, path: str) -> Entry | None:
        """What the merge leaves there."""
        found = self._results[path] if path in self._results else self._ours.find_if_any(path)
        return found if isinstance(found, Entry) else None


class BackupTree:
    """The tree of a backup, as a restore desires it; see `steps.Desired`."""

    def __init__(self, view: SnapshotView) -> None:
        self._view = view

    def differing(self, ours: SnapshotView, tops: tuple[str, ...]) -> Iterator[Pair]:
        """What differs from the backup."""
        for before, after in (*self._ways(ours, tops), *diff_all(ours, self._view, tops)):
            yield before, after and self._view.local(after)

    def find(self, path: str) -> Entry | None:
        """What the backup has there."""
        found = self._view.find_if_any(path)
        return self._view.local(found) if isinstance(found, Entry) else None

    def _ways(self, ours: SnapshotView, tops: tuple[str, ...]) -> Iterator[Pair]:
        """The directories above the restored paths that are no directories yet."""
        above = {way for top in tops if self._view.find_if_any(top) is not None for way in ways_to(top)}
        for path in sorted(above, key=lambda path: path.split("/")):
            before = ours.find_if_any(path)
            if before is None or isinstance(before, Entry):
                yield before, self._view.entry(path)
