"""Writes the backup's version of a path beside the path, as `path.<id>`, over nothing that exists. Floor F7, below the verbs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterator

from cronos_git.git.view import SnapshotView
from cronos_git.model import Entry
from cronos_git.ops.steps import join, name_of, parent_of
from cronos_git.rules.merge import alone, content_of, has_content_of, is_directory, moved_to

_LONGEST_NAME_BYTES = 255


class Beside:
    """Finds names for the backup's versions.

    Args:
        ours: The target.
        theirs: The backup.
        name: Id of the backup.
        is_taken: Whether a path that *ours* does not know is taken all the same.
    """

    def __init__(self, ours: SnapshotView, theirs: SnapshotView, name: str, is_taken: Callable[[str], bool]) -> None:
        self._ours = ours
        self._theirs = theirs
        self._name = name
        self._is_taken_too = is_taken

    def place(self, path: str, theirs: Entry, chosen: Container[str]) -> dict[str, Entry]:
        """What is to be written beside *path*: nothing when an earlier merge has written it already.

        Args:
            theirs: What the backup has at *path*, or at the path that *path* was renamed from.
            chosen: New paths of the merge so far.
        """
        for beside in self._names(path):
            if self._holds(beside, path, theirs):
                return {}
            if beside not in chosen and not self._is_taken(beside):
                return {beside: alone(moved_to(beside, theirs))} | self._below(path, theirs, beside)
        raise AssertionError("names never end")

    def _below(self, path: str, theirs: Entry, beside: str) -> dict[str, Entry]:
        if not is_directory(theirs):
            return {}
        moved = {beside + entry.path[len(path) :]: entry for entry in self._theirs.walk(path) if entry.path != path}
        return {to: alone(moved_to(to, self._theirs.local(self._theirs.complete(entry)))) for to, entry in moved.items()}

    def _holds(self, beside: str, path: str, theirs: Entry) -> bool:
        """Whether the target has the content of *theirs* at *beside*."""
        found = self._ours.find_if_any(beside)
        if found is None or isinstance(found, Entry) or not is_directory(theirs):
            return isinstance(found, Entry) and has_content_of(found, theirs)
        return _contents_below(self._ours, beside) == _contents_below(self._theirs, path)

    def _is_taken(self, path: str) -> bool:
        return self._ours.find_if_any(path) is not None or self._is_taken_too(path)

    def _names(self, path: str) -> Iterator[str]:
        """`path.<id>`, and with numbers; cut where names may not be that long."""
        for number in itertools.count(1):
            suffix = f".{self._name}" if number == 1 else f".{self._name}.{number}"
            stem = name_of(path)
            while len(f"{stem}{suffix}".encode("utf-8", "surrogateescape")) > _LONGEST_NAME_BYTES:
                stem = stem[:-1]
            yield join(parent_of(path), stem + suffix)


def _contents_below(view: SnapshotView, top: str) -> dict[str, tuple[object, ...]]:
    return {entry.path[len(top) :]: (entry.attributes.kind, content_of(entry)) for entry in view.walk(top)}
