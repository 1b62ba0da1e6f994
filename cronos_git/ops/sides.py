"""What a merge works on and what it yields: the words between `merging` and those that ask it. Floor F7, below the verbs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cronos_git.git.view import SnapshotView
from cronos_git.model import Conflict, Entry, OnConflict


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The three trees, and how to read a file of ours.

    Attributes:
        base: None when the two have nothing in common.
        read_ours: The content of a file as it is in the target now.
        is_there: Whether anything stands at a path of the target, also what the rules exclude.
    """

    base: SnapshotView | None
    ours: SnapshotView
    theirs: SnapshotView
    read_ours: Callable[[Entry], bytes]
    is_there: Callable[[str], bool] = lambda _path: False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How to merge.

    Attributes:
        tops: What is merged; `("",)` for everything.
        applies_deletions: Strict three-way merge.
        on_conflict: What becomes of a path whose sides contradict each other; `abort` leaves ours.
        base_name: Id of the base, for the markers.
        name: Id of the backup, for the markers and for the names of versions that are written beside.
    """

    tops: tuple[str, ...]
    applies_deletions: bool
    on_conflict: OnConflict
    base_name: str
    name: str


@dataclass(slots=True)
class Merged:
    """The result of a merge.

    Attributes:
        results: What shall stand at each path that is concerned; None for nothing. All other paths stay as they are.
        contents: Merged texts by blob id: no store has them.
        lines: Paths of the files whose lines were merged.
        fresh: Paths of the files whose content is neither ours nor theirs, so that their time is that of the merge.
        notes: What was made of a path, in words.
        lacking: Paths that theirs lacks although the base had them, and that stay.
        conflicts: In the order of paths.
        added: New paths that the backup does not have.
        declined: Paths that only the backup has, and that stay absent.
    """

    results: dict[str, Entry | None] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    fresh: set[str] = field(default_factory=set)
    notes: dict[str, str] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()
    conflicts: list[Conflict] = field(default_factory=list)
    added: tuple[str, ...] = ()
    declined: tuple[str, ...] = ()
