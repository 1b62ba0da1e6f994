"""Write-ahead journals of unfinished restores: what was going on, for whoever finds it after a crash.

A journal is `cronos/journal/<id>.json`, replaced whole at each step, and beside it `<id>.lock`, flocked by its owner from before
the journal exists until after it is gone. So a journal whose lock is free was left by a dead process. What is to be done about
it is the restore's to know. Floor F7, below the verbs.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from cronos_git.disk import files
from cronos_git.disk.directories import make_directory
from cronos_git.errors import CronosError, RecordFormatError, StoreLockedError
from cronos_git.git.store import Store
from cronos_git.rules.record import format_json


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
    with files.locked(_lock_path(path)):
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
    for path in sorted((store.cronos_dir / "journal").glob("*.json")):
        # Shared, so that two processes that look at once do not take each other for the owner.
        with contextlib.suppress(StoreLockedError), files.locked(_lock_path(path), shared=True):
            record = _read(path)
            if record is not None:
                found.append((path, record))
    return found


def discard(path: Path) -> None:
    """Remove an abandoned journal when what it told of is finished or undone. Durable when this returns.

    Raises:
        AccessError, HostError: It could not be removed and will be found again.
    """
    try:
        files.unlink(path)
        files.fsync_directory(path.parent)
        files.unlink(_lock_path(path))
    except OSError as error:
        raise files.host_error(error, f"remove the journal {path}") from error


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def _read(path: Path) -> dict[str, object] | None:
    """The record; None when the owner finished between listing and locking, in which case the lock made here goes too."""
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        discard(path)
        return None
    except ValueError as error:
        raise RecordFormatError(
            f"The journal {path} of an unfinished restore cannot be read: {error}.",
            hint="Look at the restore's target by hand, then delete the journal.",
        ) from error
    except OSError as error:
        raise files.host_error(error, f"read the journal {path}") from error
    if not isinstance(record, dict):
        raise RecordFormatError(
            f"The journal {path} holds no record.", hint="Look at the restore's target by hand, then delete it."
        )
    return record
