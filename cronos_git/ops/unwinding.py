"""Takes a restore in place back, or to its end, from the journal's record alone; again and again if need be.

How far each move got is seen from which file is where, by inode. What somebody else has changed meanwhile is kept, under a name
beside it. Floor F7, below the verbs.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cronos_git.disk import moves, stage
from cronos_git.disk.moves import Place
from cronos_git.ops.places import ASIDE, Doors, Flush, is_there, look_at, opened_file, sync_all
from cronos_git.ops.steps import join, parent_of
from cronos_git.rules.attributes import parse_line

_EMPTIED = "-emptied"
"""Ends the name of a staging directory that holds nothing of the old state any more."""


_RESCUED_BYTES = 200
"""So much of a name is kept where something is put beside."""


def disturbed(root_fd: int, record: Mapping[str, Any]) -> list[str]:
    """Paths that somebody changed after a killed restore had changed them, so that they should not be put back unasked."""
    with Doors(root_fd) as doors:
        return [*_overwritten(doors, record), *_filled(doors, record), *_edited(doors, record)]


def _overwritten(doors: Doors, record: Mapping[str, Any]) -> Iterator[str]:
    for path, slot, new, old in record.get("written", ()):
        here = look_at(doors, path)
        if here is not None and moves.stamp_of(here) != tuple(new) and _has_moved(doors, slot, new, old):
            yield path


def _filled(doors: Doors, record: Mapping[str, Any]) -> Iterator[str]:
    taken = {path for path, *_ in record.get("written", ())} | set(record.get("made", ()))
    for path, slot, _ in record.get("deleted", ()):
        if path not in taken and look_at(doors, slot) is not None and look_at(doors, path) is not None:
            yield path


def _edited(doors: Doors, record: Mapping[str, Any]) -> Iterator[str]:
    for path, _, *stamps in record.get("touched", ()):
        here = look_at(doors, path)
        if here is not None and list(moves.stamp_of(here)) not in stamps:
            yield path


def _has_moved(doors: Doors, slot: str, new: Sequence[int], old: Sequence[int] | None) -> bool:
    """Whether what was in a slot has left it, or has at least been given the place that it is to take.

    Once everything is back, the staging directories lose their names before they are removed: no slot, nothing has moved.
    """
    if not is_there(doors, parent_of(slot)):
        return False
    there = look_at(doors, slot)
    if old is None:
        return there is None
    return look_at(doors, slot + ASIDE) is not None or (there is not None and there.st_ino != new[0])


def roll_back(root_fd: int, record: Mapping[str, Any]) -> list[str]:
    """Bring the target back to what it was before the restore.

    Returns:
        What could not be as it was, since somebody else had changed it; in words. Nothing of theirs is lost.

    Raises:
        OSError: It can be tried again.
    """
    told: list[str] = []
    if record["phase"] == "moving" and _has_stagings(root_fd, record):
        told = _move_back(root_fd, record)
        sync_all(root_fd, record["stagings"])
        _rename_stagings(root_fd, record)
    _end(root_fd, record, [*record.get("unmade", ()), *record.get("settled", ()), *record["hosts"]])
    return told


def _has_stagings(root_fd: int, record: Mapping[str, Any]) -> bool:
    with Doors(root_fd) as doors:
        return any(look_at(doors, staging) is not None for staging in record["stagings"])


def _move_back(root_fd: int, record: Mapping[str, Any]) -> list[str]:
    told: list[str] = []
    with Doors(root_fd, opens=True) as doors:
        for path, slot, new, old in reversed(record["written"]):
            told += _put_back(doors, path, slot, new, old)
        for path in reversed(record["made"]):
            told += _unmake(doors, path)
        for path, _ in record["unmade"]:
            told += _remake(doors, path)
        for path, slot, _ in reversed(record["deleted"]):
            if look_at(doors, slot) is not None:
                told += _return(doors, slot, path, slot, is_ours=False)
    with Doors(root_fd) as doors:
        for path, line, *stamps in record["touched"]:
            told += _untouch(doors, path, line, stamps)
    return told


def _rename_stagings(root_fd: int, record: Mapping[str, Any]) -> None:
    with Doors(root_fd, opens=True) as doors:
        for staging in record["stagings"]:
            if look_at(doors, staging) is not None:
                moves.move(doors.place(staging), doors.place(staging + _EMPTIED))


def finish(root_fd: int, record: Mapping[str, Any]) -> None:
    """Remove what a completed restore left over; raises OSError when that must be tried again."""
    _end(root_fd, record, record["hosts"])


def _end(root_fd: int, record: Mapping[str, Any], settled: Sequence[tuple[str, str]]) -> None:
    """Remove the staging directories, set the attributes of directories, and make all that durable."""
    lines = dict(settled)
    flush = Flush(len(lines))
    with Doors(root_fd, opens=True) as doors:
        for staging in record["stagings"]:
            if is_there(doors, parent_of(staging)):
                stage.remove_beneath(root_fd, staging)
                stage.remove_beneath(root_fd, staging + _EMPTIED)
        for path in sorted(lines, key=lambda path: path.split("/") if path else [], reverse=True):
            if is_there(doors, path):
                stage.apply_attributes(doors.open(path), parse_line(lines[path]), exact=True)
                flush.one(doors.open(path), path)
                doors.forget(path)
    flush.end(root_fd, record["stagings"])


def _put_back(doors: Doors, path: str, slot: str, new: Sequence[int], old: Sequence[int] | None) -> list[str]:
    """Take one written path back, however far it got."""
    if not _has_moved(doors, slot, new, old):
        return []
    here = look_at(doors, path)
    is_ours = here is not None and moves.stamp_of(here) == tuple(new)
    if old is None:
        return [] if here is None else _clear(doors, path, slot, is_ours=is_ours)
    aside = slot + ASIDE
    if look_at(doors, aside) is None:
        if is_ours and moves.swap(doors.place(slot), doors.place(path)):
            return []
        moves.move(doors.place(slot), doors.place(aside))
    return _return(doors, aside, path, slot, is_ours=is_ours)


def _return(doors: Doors, aside: str, path: str, slot: str, *, is_ours: bool) -> list[str]:
    """Move the old file to its place, and make room for it there."""
    told = _remake(doors, parent_of(path))
    if look_at(doors, path) is not None:
        told += _clear(doors, path, slot, is_ours=is_ours)
    moves.move(doors.place(aside), doors.place(path))
    return told


def _remake(doors: Doors, path: str) -> list[str]:
    """Make a directory again that the restore, or somebody else, has removed; nothing when it is there."""
    if not path or is_there(doors, path):
        return []
    told = _remake(doors, parent_of(path))
    if look_at(doors, path) is not None:
        told += _clear(doors, path, "", is_ours=False)
    stage.make_directory(*doors.place(path))
    return told


def _untouch(doors: Doors, path: str, line: str, stamps: Sequence[Sequence[int]]) -> list[str]:
    """Give a file its attributes again, unless somebody has written to it, or replaced it."""
    here = look_at(doors, path)
    if here is None:
        return []
    if tuple(moves.stamp_of(here)) not in map(tuple, stamps):
        return [f"{path} was changed by somebody else meanwhile and stays as it is."]
    with opened_file(doors.place(path)) as fd:
        stage.apply_attributes(fd, parse_line(line), exact=True)
    return []


def _clear(doors: Doors, path: str, slot: str, *, is_ours: bool) -> list[str]:
    """Make room: what the restore put there goes back to its slot, what somebody else put there goes beside."""
    if is_ours:
        moves.move(doors.place(path), doors.place(slot))
        return []
    place = doors.place(path)
    name = os.fsdecode(os.fsencode(place.name)[:_RESCUED_BYTES])  # the longest names leave no room for an ending
    rescued = Place(place.dir_fd, f"{name}.rescued-{os.urandom(4).hex()}")
    moves.move(place, rescued)
    return [f"{path} was changed by somebody else meanwhile; that version is now {join(parent_of(path), rescued.name)}."]


def _unmake(doors: Doors, path: str) -> list[str]:
    doors.forget(path)
    try:
        moves.remove_directory(doors.place(path))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        return [f"The directory {path} stays, as somebody else put something into it."]
    return []
