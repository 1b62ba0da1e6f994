"""Write-ahead journals of unfinished restores: what was going on, for whoever finds it after a crash.

A journal is `cronos/journal/<id>.json`, replaced whole at each step, and beside it `<id>.lock`, flocked by its owner from before
the journal exists until after it is gone. So a journal whose lock is free was left by a dead process. What is to be done about
it is the restore's to know. Floor F7, below the verbs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cronos_git.disk import files
from cronos_git.disk.directories import make_directory
from cronos_git.errors import CronosError, RecordFormatError, StoreLockedError
from cronos_git.git.store import Store
from cronos_git.rules.record import format_json

_NEEDED = frozenset(("verb", "phase", "target"))
_NEEDED_ELSEWHERE = frozenset(("staging",))
_NEEDED_MOVING_ELSEWHERE = frozenset(("own", "modes"))
_NEEDED_IN_PLACE = frozenset(("backup", "restore_point", "stagings", "hosts", "inode"))
_NEEDED_MOVING_IN_PLACE = frozenset(("deleted", "written", "made", "unmade", "touched", "settled"))
_TOLD = re.compile(rb'"(target|restore_point)":("(?:[^"\\]|\\.)*")')


class Journal:
    """A journal of this process; see `open_journal`.

    Attributes:
        path: Its file.
    """

    def __init__(self, path: Path, record: Mapping[str, object]) -> None:
        self.path = path
        self.update(record)

    def update(self, record: Mapping[str, object]) -> None:
        """Replace the record.

        Raises:
            UsageError: The record cannot be said in JSON.
            DiskFullError, AccessError, HostError: The old record stands.

        Durability: when this returns, the new record survives a power cut; if killed earlier, the old one stands.
        """
        files.write_durable(self.path, format_json(record))

    def phase(self) -> object:
        """What the record says about its `phase`, as it stands on disk.

        Raises:
            RecordFormatError, AccessError, HostError: It cannot be read.
        """
        record = _read(self.path)
        return record and record.get("phase")

    def close(self) -> None:
        """Remove the journal: what it told of is finished or undone. Durable when this returns."""
        discard(self.path)


@contextlib.contextmanager
def open_journal(store: Store, record: Mapping[str, object]) -> Iterator[Journal]:
    """Keep a journal for the length of the block.

    The journal stays behind, as one of a dead owner, unless `Journal.close` was called in the block.

    Raises:
        UsageError: The record cannot be said in JSON.
        DiskFullError, AccessError, HostError: The journal could not be made.

    Durability: when the block begins, the record survives a power cut.
    """
    directory = store.cronos_dir / "journal"
    make_directory(directory)
    path = directory / f"{os.urandom(8).hex()}.json"
    with files.locked(lock_path(path)):
        try:
            journal = Journal(path, record)
        except BaseException:
            with contextlib.suppress(CronosError):  # then it is found again, as one of a restore that did nothing
                discard(path)
            raise
        yield journal


def abandoned(store: Store) -> list[tuple[Path, dict[str, object]]]:
    """Journals whose owner is dead, with their last records.

    To act on one, hold the store's exclusive lock while asking here, acting, and calling `discard`, so that nobody else does.

    Raises:
        RecordFormatError: A journal cannot be read; as journals are replaced whole, the disk or a person has damaged it.
        AccessError, HostError: A journal's lock or content cannot be opened.
    """
    found = []
    for path in _journals(store):
        # Shared, so that two processes that look at once do not take each other for the owner.
        with contextlib.suppress(StoreLockedError), files.locked(lock_path(path), shared=True):
            record = _read(path)
            if record is not None:
                found.append((path, record))
    return found


@dataclass(frozen=True, slots=True)
class Garbled:
    """A journal of a dead owner that cannot be read.

    Attributes:
        told: What can still be made out of `target` and `restore_point`.
    """

    path: Path
    told: Mapping[str, str]


def garbled(store: Store) -> list[Garbled]:
    """The journals for which `abandoned` raises RecordFormatError; other errors as there."""
    found = []
    for path in _journals(store):
        with contextlib.suppress(StoreLockedError), files.locked(lock_path(path), shared=True):
            try:
                _read(path)
            except RecordFormatError:
                found.append(Garbled(path, _made_out(path.read_bytes())))
    return found


def _made_out(raw: bytes) -> dict[str, str]:
    found = {}
    for key, value in _TOLD.findall(raw):
        with contextlib.suppress(ValueError):
            found[key.decode()] = str(json.loads(value))
    return found


def _journals(store: Store) -> list[Path]:
    return sorted((store.cronos_dir / "journal").glob("*.json"))


def discard(path: Path) -> None:
    """Remove an abandoned journal when what it told of is finished or undone. Durable when this returns.

    Raises:
        AccessError, HostError: It could not be removed and will be found again.
    """
    try:
        files.unlink(path)
        files.fsync_directory(path.parent)
        files.unlink(lock_path(path))
    except OSError as error:
        raise files.host_error(error, f"remove the journal {path}") from error


def lock_path(path: Path) -> Path:
    """The file that the owner of a journal has locked."""
    return path.with_suffix(".lock")


def _read(path: Path) -> dict[str, object] | None:
    """The record; None when the owner finished between listing and locking, in which case the lock made here goes too."""
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        discard(path)
        return None
    except (ValueError, RecursionError) as error:
        raise _damaged(path) from error
    except OSError as error:
        raise files.host_error(error, f"read the journal {path}") from error
    if not isinstance(record, dict) or not _is_whole(record):
        raise _damaged(path)
    return record


def _is_whole(record: Mapping[str, object]) -> bool:
    """Whether nothing is missing that a recovery needs."""
    is_in_place = "stagings" in record or "restore_point" in record
    needed = _NEEDED | (_NEEDED_IN_PLACE if is_in_place else _NEEDED_ELSEWHERE)
    if record.get("phase") == "moving":
        needed |= _NEEDED_MOVING_IN_PLACE if is_in_place else _NEEDED_MOVING_ELSEWHERE
    return needed <= record.keys() and record["verb"] == "restore" and record["phase"] in ("staging", "moving", "moved")


def _damaged(path: Path) -> RecordFormatError:
    return RecordFormatError(
        f"The journal {path} of an unfinished restore is damaged, so that restore cannot be undone by itself; "
        "`cronos repair -n` tells what that means.",
        hint="`cronos repair` moves the journal aside, so that it is in the way of nothing.",
    )
