"""Which parts of the packs were read, and in which run: so that checks of a share of the store reach all of it in turn.

Packs never change, so what was read of one stays known until it is gone. Every run of a check has a number, and each part of a
pack (`PackTable.parts`) the number of the run that read it last; the order of reading goes by these numbers and never by the
clock. What was read and found damaged does not count as read. The file is disposable: when it is missing, damaged, of another
version or not ours, everything counts as never read. Floor F7, below the verbs.

Format: docs/reference/store-format.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from cronos_git.disk import files
from cronos_git.events import Run, tolerating
from cronos_git.git import packtable
from cronos_git.git.packtable import PackPart, PackTable
from cronos_git.model import VerifyProgress
from cronos_git.rules.record import format_json

NAME = "verified.json"
"""Name of the file in the store's `cronos` directory."""

_FORMAT = 1
_LARGEST_BYTES = 64 << 20
_SAVED_EVERY_S = 10.0


def damaged_packs(directory: Path) -> list[str]:
    """Names of the packs in which the last check of some part found damage, be they still there or not."""
    packs = _load(directory / NAME).get("packs", {})
    return sorted(name for name, told in packs.items() if any(number < 0 for _, number in told["read"]))


class Slice(NamedTuple):
    """A part of one pack."""

    table: PackTable
    part: PackPart


class Rotation:
    """What was read of the packs so far; this run is the next one.

    Args:
        directory: Where the file lies; None keeps no count beyond this run.
        tables: The packs that there are; what was known of others is dropped.
        now: When this run takes place.

    Attributes:
        total_bytes: Packed bytes of all parts.

    Cost: 8 bytes of memory for each part.
    """

    def __init__(self, directory: Path | None, tables: Sequence[PackTable], now: datetime | None, run: Run) -> None:
        self._path = directory / NAME if directory and now else None
        self._tables = tables
        self._run = run
        state = _load(self._path) if self._path else {}
        self._times: dict[int, datetime] = state.get("runs", {})
        self._full: int = state.get("full", 0)
        self._number = 1 + max(self._times, default=0)
        known = state.get("packs", {})
        self._read = {table.path.stem: _known_parts(known.get(table.path.stem), table, self._times) for table in tables}
        if now:
            self._times[self._number] = now
        self._saved_s = time.monotonic()
        self._is_noted = self._path is not None
        self.total_bytes = sum(part.size_bytes for table in tables for part in table.parts)

    # --- what to read ---

    def everything(self) -> list[Slice]:
        """All parts, in the order of their packs; a full check begins."""
        self._full = self._number
        return list(self._slices())

    def unfinished(self) -> list[Slice]:
        """The parts that were not read since the last full check began, those in which damage was found apart."""
        return [slice_ for slice_ in self._slices() if 0 <= self._run_of(slice_) < max(self._full, 1)]

    def damaged(self) -> list[Slice]:
        """The parts in which damage was found when they were last read, which every check must tell again."""
        return [slice_ for slice_ in self._slices() if self._run_of(slice_) < 0]

    def due(self, budget_bytes: int) -> list[Slice]:
        """The other parts, those first that were not read for the longest time, up to *budget_bytes*; at least one."""
        chosen: list[Slice] = []
        sound = (slice_ for slice_ in self._slices() if self._run_of(slice_) >= 0)
        for slice_ in sorted(sound, key=self._run_of):
            if chosen and budget_bytes <= 0:
                break
            chosen.append(slice_)
            budget_bytes -= slice_.part.size_bytes
        return chosen

    def _slices(self) -> Iterator[Slice]:
        return (Slice(table, part) for table in self._tables for part in table.parts)

    def _run_of(self, slice_: Slice) -> int:
        return self._read[slice_.table.path.stem][slice_.part.number]

    # --- what was read ---

    def note(self, table: PackTable, part: PackPart, is_sound: bool) -> None:
        """A part was read whole in this run; saved now and then."""
        self._read[table.path.stem][part.number] = self._number if is_sound else -self._number
        if time.monotonic() >= self._saved_s + _SAVED_EVERY_S:
            self.save()

    def save(self) -> None:
        """Write the file; when that cannot be, it is told once, and the next run begins where this one did.

        Durability: when this returns, the file survives a power cut; if killed earlier, the old one stands.
        """
        self._saved_s = time.monotonic()
        if self._path is not None and self._is_noted:
            self._is_noted = False
            meaning = "So the next run begins where this one did; what was found holds all the same."
            with tolerating(self._run, "verify.unnoted", "How much was read could not be noted", meaning):
                _remove_leftovers(self._path)
                files.write_durable(self._path, _format(self._state()))
                self._is_noted = True

    def progress(self) -> VerifyProgress:
        """How much of the packs was read, in this run and those before."""
        read = [slice_ for slice_ in self._slices() if self._run_of(slice_) > 0]
        times = [self._times[number] for number in {self._run_of(slice_) for slice_ in read}]
        return VerifyProgress(
            total_bytes=self.total_bytes,
            sound_bytes=sum(slice_.part.size_bytes for slice_ in read),
            since=min(times, default=None),
            noted=self._is_noted,
        )

    def _state(self) -> dict[str, Any]:
        used = {abs(number) for numbers in self._read.values() for number in numbers} | {self._full, self._number}
        return {
            "part_bytes": packtable.PART_BYTES,
            "full": self._full,
            "runs": {str(number): when.astimezone(UTC).isoformat() for number, when in self._times.items() if number in used},
            "packs": {
                table.path.stem: {
                    "digest": table.digest.hex(),
                    "read": [[len(list(same)), number] for number, same in groupby(self._read[table.path.stem])],
                }
                for table in self._tables
            },
        }


def by_pack(slices: Iterable[Slice]) -> Iterator[tuple[PackTable, list[PackPart]]]:
    """Slices with their neighbours of the same pack taken together, in ascending order."""
    for _path, same in groupby(slices, key=lambda slice_: slice_.table.path):
        found = list(same)
        yield found[0].table, sorted(slice_.part for slice_ in found)


# --- the file -------------------------------------------------------------------------------------------------------


def _format(state: Mapping[str, Any]) -> bytes:
    return format_json({"format": _FORMAT, "digest": _digest(state), "state": state})


def _digest(state: Mapping[str, Any]) -> str:
    return hashlib.sha256(format_json(state)).hexdigest()


def _load(path: Path) -> dict[str, Any]:
    """What the file says; nothing unless it is as it was written, by this version."""
    try:
        record = json.loads(_content(path))
        state = record["state"]
        if record["format"] != _FORMAT or record["digest"] != _digest(state) or state["part_bytes"] != packtable.PART_BYTES:
            return {}
        times = {int(number): datetime.fromisoformat(when).astimezone(UTC) for number, when in state["runs"].items()}
        if state["full"] and state["full"] not in times:
            return {}
        return {"full": int(state["full"]), "runs": times, "packs": dict(state["packs"])}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError):
        return {}


def _content(path: Path) -> bytes:
    """The file's bytes; what is no plain file is neither followed nor waited for."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(fd, min(os.fstat(fd).st_size, _LARGEST_BYTES))
    finally:
        os.close(fd)


def _known_parts(told: object, table: PackTable, times: Mapping[int, datetime]) -> list[int]:
    """The number of the run that read each part last, negative when it found damage; 0 for never."""
    unknown = [0] * len(table.parts)
    if not isinstance(told, dict) or told.get("digest") != table.digest.hex():
        return unknown
    runs = told.get("read")
    if not isinstance(runs, list) or not all(_is_run(run, times) for run in runs):
        return unknown
    if sum(count for count, _ in runs) != len(unknown):
        return unknown
    return [number for count, number in runs for _ in range(count)]


def _is_run(run: object, times: Mapping[int, datetime]) -> bool:
    if not isinstance(run, list) or [type(field) for field in run] != [int, int]:
        return False
    count, number = run
    return count > 0 and (number == 0 or abs(number) in times)


def _remove_leftovers(path: Path) -> None:
    """Remove what runs that were killed while they wrote the file have left."""
    with contextlib.suppress(OSError):
        for leftover in path.parent.glob(f".{path.name}.*.tmp"):
            files.unlink(leftover)
