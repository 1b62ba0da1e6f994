"""What a restore in place is to reach, and the steps to it: the words between deciding and doing. Floor F7, below the verbs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from cronos_git.disk.scanned import Scan
from cronos_git.git.view import Pair, SnapshotView
from cronos_git.model import Attributes, Entry, Problem, RestoreChange


class Desired(Protocol):
    """The tree that a restore is to reach. Owners of its entries are numbers of this machine."""

    def differing(self, ours: SnapshotView, tops: tuple[str, ...]) -> Iterable[Pair]:
        """What differs from *ours* at or below *tops*, and the directories that lead there and are not there yet.

        A directory comes before what it holds, also one in which only something differs.
        """
        ...

    def find(self, path: str) -> Entry | None:
        """What shall stand at *path*; only asked for what is no directory."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a restore is to reach.

    Attributes:
        desired: The desired tree.
        tops: The paths that are restored, none below another; `("",)` for everything.
        keeps_extra: Leave alone what the desired tree lacks.
        knows: Whether a path that the desired tree lacks was really absent: its path, and whether it is a directory.
        forced: Paths that the look at the target took in whatever the rules say.
        obstructing: Those of them that stand in the way.
        settles_all: Set also the attributes of directories that the rules exclude now, where they lead to what is forced.
    """

    desired: Desired
    tops: tuple[str, ...]
    keeps_extra: bool
    knows: Callable[[str, bool], bool]
    forced: frozenset[str] = frozenset()
    obstructing: frozenset[str] = frozenset()
    settles_all: bool = False

    def covers(self, path: str) -> bool:
        """Whether *path* is restored."""
        return any(is_at_or_below(path, top) for top in self.tops)


@dataclass(frozen=True, slots=True)
class Write:
    """A file, link or FIFO to be written anew.

    Attributes:
        before: What stands there, None for nothing.
        source: Path of the file that it becomes another name of, or empty.
    """

    before: Entry | None
    after: Entry
    source: str = ""


@dataclass(frozen=True, slots=True)
class Settling:
    """A directory whose attributes are set in the end, as something in it changed or they shall differ.

    Attributes:
        before: None for a directory that is made.
    """

    before: Attributes | None
    after: Attributes


@dataclass(slots=True)
class Steps:
    """What is to be done, in this order; each list in the order of paths, parents before what they hold.

    Attributes:
        deleted: Entries, not directories, that go.
        unmade: Directories that go, when they are empty then.
        made: Directories that come.
        written: Entries, not directories, that are written.
        touched: Files of which only attributes are set: before and after.
        found: Directories that were to come, and are there though the rules exclude them; they stay as they are.
        settled: Directories by path.
        changes: All of that, and what is kept, for people.
        state: Identifies what was seen at every path concerned.
    """

    deleted: list[Entry] = field(default_factory=list)
    unmade: list[Entry] = field(default_factory=list)
    made: list[Entry] = field(default_factory=list)
    written: list[Write] = field(default_factory=list)
    touched: list[tuple[Entry, Entry]] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    settled: dict[str, Settling] = field(default_factory=dict)
    changes: list[RestoreChange] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    state: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.deleted or self.unmade or self.made or self.written or self.touched or self.settled)


@dataclass(frozen=True, slots=True)
class Planned:
    """Steps, or the paths that must be looked at too before there can be any."""

    steps: Steps
    obstructing: frozenset[str]


# --- paths ---


def host_of(scan: Scan, path: str) -> str:
    """The topmost directory on the file system that *path*, or what of it is there, lies on."""
    while path and scan.directory(path) is None:
        path = parent_of(path)
    while path and device_of(scan, path) == device_of(scan, parent_of(path)):
        path = parent_of(path)
    return path


def device_of(scan: Scan, path: str) -> int:
    """The file system that a directory of the target lies on; the top's when it is not there."""
    directory = scan.directory(path)
    return directory.info.device if directory else scan.device


def is_at_or_below(path: str, top: str) -> bool:
    """Whether *path* is *top* or lies in it."""
    return not top or path == top or path.startswith(top + "/")


def parent_of(path: str) -> str:
    """The directory that *path* lies in."""
    return path.rpartition("/")[0]


def ways_to(path: str) -> list[str]:
    """The directories above *path*, the top one not among them, from the top down."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def join(parent: str, name: str) -> str:
    """The path of a name in a directory."""
    return f"{parent}/{name}" if parent else name


def name_of(path: str) -> str:
    """The last part of a path."""
    return path.rpartition("/")[2]


def without_nested(paths: Iterable[str]) -> tuple[str, ...]:
    """The paths that lie in none of the others, sorted."""
    kept: list[str] = []
    for path in sorted(set(paths), key=lambda path: path.split("/") if path else []):
        if not kept or not is_at_or_below(path, kept[-1]):  # in this order what lies in a directory follows it at once
            kept.append(path)
    return tuple(kept)
