"""Reads packs, or parts of them, from end to end: every byte once, in the order in which they lie on the disk.

What a pack holds is told by its `git.packtable.PackTable`; which parts are due is the caller's to know (`ops.rotation`). A pack
that another program folds into a new one meanwhile is no damage: its bytes are read elsewhere. Floor F6.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from cronos_git.disk.workers import run_batches
from cronos_git.errors import DamageError, HashMismatchError
from cronos_git.events import Advanced, Run
from cronos_git.git.packtable import Packed as Packed
from cronos_git.git.packtable import PackPart as PackPart
from cronos_git.git.packtable import PackProblem as PackProblem
from cronos_git.git.packtable import PackTable as PackTable
from cronos_git.git.packtable import cut_short as cut_short
from cronos_git.git.packtable import damaged as damaged
from cronos_git.git.packtable import outside_objects
from cronos_git.git.packtable import read_tables as read_tables

_HEADER_BYTES = 12
_BATCH_BYTES = 4 << 20
_BATCH_OBJECTS = 256

Done = Callable[[PackTable, PackPart, bool], None]
"""Is told of a part that was read whole, and whether it was sound."""


def _note_nothing(_table: PackTable, _part: PackPart, _is_sound: bool) -> None:
    """Nobody keeps count."""


def _always() -> bool:
    return True


class _Batch(NamedTuple):
    """Objects of one part by position: their packed bytes, or why they cannot be had."""

    part: PackPart
    objects: list[tuple[int, bytes | HashMismatchError]]


class _Checked(NamedTuple):
    """What was found, by position: the object is whole, it is damaged, or (None) it is a delta."""

    part: PackPart
    objects: list[tuple[int, Packed | HashMismatchError | None]]


class PackCheck:
    """Reads packs, or parts of them, one after the other.

    Args:
        read_delta: Kind and body of an object that is stored as a delta; raises DamageError. Called on the calling thread.
        done: Called on the calling thread for each part.

    Attributes:
        faults: What is wrong, by object.
        problems: What is wrong with packs apart from their objects.
        bytes_read: Bytes of packs read so far.

    Memory: a few batches of 4 MiB packed, and their contents.
    """

    def __init__(self, read_delta: Callable[[bytes], tuple[str, bytes]], run: Run, done: Done = _note_nothing) -> None:
        self._read_delta = read_delta
        self._done = done
        self._run = run
        self._objects = 0
        self.faults: dict[bytes, DamageError] = {}
        self.problems: list[PackProblem] = []
        self.bytes_read = 0

    def check(self, table: PackTable, parts: Sequence[PackPart] | None = None, goes_on: Callable[[], bool] = _always) -> None:
        """Read a pack, or parts of it; the table learns which objects are whole.

        Args:
            parts: Which, in order and at least one; None for all.
            goes_on: Asked before each part; the rest is left when it says no.

        Raises:
            InterruptedRunError: The run was cancelled.
        """
        parts = parts or table.parts
        try:
            fd = os.open(table.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            if not table.is_gone:
                self._give_up(table, parts, error)
            return
        try:
            self._read(fd, table, parts, goes_on)
        finally:
            os.close(fd)

    def _give_up(self, table: PackTable, parts: Sequence[PackPart], error: OSError) -> None:
        for part in parts:
            for position in table.by_offset[part.first : part.end]:
                self.faults[table.names[position]] = table.unreadable(position, error)
            self._done(table, part, False)

    def _read(self, fd: int, table: PackTable, parts: Sequence[PackPart], goes_on: Callable[[], bool]) -> None:
        header = _header(fd)
        is_headed = header == struct.pack(">4sII", b"PACK", 2, len(table.names))
        tally = _Tally(table, self._done, hurt=set() if is_headed else {parts[0].number})
        digest = hashlib.sha1(header, usedforsecurity=False)
        batches = self._batches(fd, table, (part for part in parts if goes_on()), digest.update)
        run_batches(batches, lambda batch: _check_batch(table, batch), lambda found: self._take(table, found, tally), self._run)
        is_as_written = tally.whole < len(table.parts) or digest.digest() == table.digest
        if not (table.is_whole and is_headed and is_as_written):
            self.problems.append(outside_objects(table))
            self._done(table, parts[0], False)

    def _batches(
        self, fd: int, table: PackTable, parts: Iterator[PackPart], hash_bytes: Callable[[bytes], None]
    ) -> Iterator[_Batch]:
        """The objects of the parts, some at a time."""
        for part in parts:
            batch, size = _Batch(part, []), 0
            for position in table.by_offset[part.first : part.end]:
                raw = _packed(fd, table, position)
                batch.objects.append((position, raw))
                if isinstance(raw, bytes):
                    hash_bytes(raw)
                    self.bytes_read += len(raw)
                    size += len(raw)
                if size >= _BATCH_BYTES or len(batch.objects) >= _BATCH_OBJECTS:
                    yield batch
                    batch, size = _Batch(part, []), 0
            yield batch

    def _take(self, table: PackTable, batch: _Checked, tally: _Tally) -> None:
        is_sound = True
        for position, found in batch.objects:
            self._objects += 1
            try:
                table.learn(position, self._settle(table.names[position], found))
            except DamageError as error:
                self.faults[table.names[position]] = error
                is_sound = False
        tally.add(batch.part, len(batch.objects), is_sound)
        self._run.emit(Advanced(self._objects, self.bytes_read))

    def _settle(self, name: bytes, found: Packed | HashMismatchError | None) -> Packed:
        if isinstance(found, HashMismatchError):
            raise found
        if found is not None:
            return found
        kind, body = self._read_delta(name)
        return Packed(kind, len(body))


class _Tally:
    """Counts the objects of parts, whose batches come back in any order, and tells of each part that is complete.

    Attributes:
        whole: How many parts were read and found sound.
    """

    def __init__(self, table: PackTable, done: Done, hurt: set[int]) -> None:
        self._table = table
        self._done = done
        self._hurt = hurt
        self._counted = Counter[int]()
        self.whole = 0

    def add(self, part: PackPart, objects: int, is_sound: bool) -> None:
        """Count objects of a part; an empty batch ends a part too."""
        if not is_sound:
            self._hurt.add(part.number)
        self._counted[part.number] += objects
        if self._counted[part.number] == part.end - part.first:
            self._counted[part.number] += 1  # so that a part is complete once
            self.whole += part.number not in self._hurt
            self._done(self._table, part, part.number not in self._hurt)


def _header(fd: int) -> bytes:
    """The first bytes of a pack, which belong to no object; nothing where the disk refuses."""
    try:
        return os.pread(fd, _HEADER_BYTES, 0)
    except OSError:
        return b""


def _packed(fd: int, table: PackTable, position: int) -> bytes | HashMismatchError:
    try:
        return table.take(fd, position)
    except OSError as error:
        return table.unreadable(position, error)


def _check_batch(table: PackTable, batch: _Batch) -> _Checked:
    return _Checked(batch.part, [(position, _check(table, position, raw)) for position, raw in batch.objects])


def _check(table: PackTable, position: int, raw: bytes | HashMismatchError) -> Packed | HashMismatchError | None:
    if isinstance(raw, HashMismatchError):
        return raw
    try:
        found = table.decode(position, raw)
    except HashMismatchError as error:
        return error
    return Packed(found[0], len(found[1])) if found else None
