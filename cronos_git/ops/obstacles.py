"""What stands in the way of new files in a target: unknown entries, and names that its file system takes for one.

Nothing is written. What is done about it is `planning`'s. Floor F7, below the verbs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from cronos_git.disk import files, moves, stage
from cronos_git.disk.moves import Place
from cronos_git.disk.scanned import Scan
from cronos_git.errors import RefusedError
from cronos_git.model import Entry
from cronos_git.ops.steps import join, name_of, parent_of


@dataclass(slots=True)
class InTheWay:
    """What stands where something new must go.

    Attributes:
        directories: Paths of directories that will do as they are, where directories were to come.
        others: Paths of everything else.
    """

    directories: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)


def look_in(root_fd: int, parent: str, entries: Sequence[Entry], going: Collection[str]) -> InTheWay:
    """Look where *entries* must go in the existing directory *parent*.

    Args:
        going: Paths that will be gone by then.

    Raises:
        RefusedError: Two names are one to the file system.
        AccessError, HostError: The directory cannot be looked into.
    """
    found = InTheWay()
    with looking(root_fd, parent) as fd:
        other = moves.spelled_otherwise(fd, [name_of(entry.path) for entry in entries])
        for name, spelling in other.items():
            if join(parent, spelling) not in going:
                raise _clash(join(parent, name), join(parent, spelling))
        _refuse_clashes(entries, lambda: moves.folds_names(fd))
        for entry in entries:
            name = name_of(entry.path)
            info = None if entry.path in going or name in other else moves.look(Place(fd, name))
            if info is not None:
                is_fit = stat.S_ISDIR(info.st_mode) and entry.attributes.kind == "directory"
                (found.directories if is_fit else found.others).add(entry.path)
    return found


def is_there(root_fd: int, path: str) -> bool:
    """Whether anything stands at a path of the target now; errors as `looking`, but for a directory that is not there."""
    try:
        with stage.opened(root_fd, parent_of(path)) as fd:
            return moves.look(Place(fd, name_of(path))) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise files.host_error(error, f"look into {parent_of(path)}") from error


def refuse_clashes(root_fd: int, scan: Scan, parent: str, entries: Sequence[Entry]) -> None:
    """Raise RefusedError when two of *entries* are one name in the directory *parent*, which is yet to be made."""
    _refuse_clashes(entries, lambda: _folds(root_fd, scan, parent))


def names_in(root_fd: int, path: str) -> set[str]:
    """Everything that is in a directory of the target now; errors as `looking`."""
    with looking(root_fd, path) as fd:
        return set(os.listdir(fd))


def _refuse_clashes(entries: Sequence[Entry], folds: Callable[[], bool]) -> None:
    first_by_fold: dict[str, str] = {}
    for entry in entries:
        first = first_by_fold.setdefault(moves.folded(name_of(entry.path)), entry.path)
        if first != entry.path and folds():
            raise _clash(first, entry.path)


def _folds(root_fd: int, scan: Scan, path: str) -> bool:
    """Whether the directory that *path* will be made in takes upper and lower case for one."""
    while path and scan.directory(path) is None:
        path = parent_of(path)
    with looking(root_fd, path) as fd:
        return moves.folds_names(fd)


def _clash(one: str, other: str) -> RefusedError:
    return RefusedError(
        f"The file system takes {one} and {other} for one name. Nothing was changed.",
        hint="Restore to a file system that tells them apart, or only one of them.",
        paths=[one, other],
    )


@contextmanager
def looking(root_fd: int, path: str) -> Iterator[int]:
    """A directory of the target, for the length of the block.

    Raises:
        RefusedError: It is not there any more.
        AccessError, HostError: It cannot be opened.
    """
    try:
        with stage.opened(root_fd, path) as fd:
            yield fd
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RefusedError(
            f"{path} changed while it was looked at. Nothing was changed.", hint="Run it again.", path=path
        ) from error
    except OSError as error:
        raise files.host_error(error, f"look into {path}") from error
