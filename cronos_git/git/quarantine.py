"""Where a repair puts what it takes out of a store: `cronos/quarantine/<UTC time>/`, under the same relative paths.

Nothing in there is read again by CRONOS or Git, and nothing is ever deleted from it; the user does, when all is well. Floor F6.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cronos_git.disk import files
from cronos_git.disk.directories import make_directory

REPORT = "report.json"


class Quarantine:
    """One repair's place for what it moves away; made when the first thing goes there.

    Attributes:
        path: The directory.

    Raises:
        AccessError, HostError: It cannot be told whether it is there.
    """

    def __init__(self, store: Path, now: datetime) -> None:
        self._store = store
        try:
            self.path = _free(store / "cronos" / "quarantine" / f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
        except OSError as error:
            raise files.host_error(error, f"look into the store {store}") from error

    def move(self, paths: Sequence[Path]) -> None:
        """Move files of the store here, one after the other; those that are gone are passed over.

        Raises:
            DiskFullError, AccessError, HostError: Some may have been moved.

        Durability: when this returns, they are here also after a power cut; if killed earlier, each is here or there.
        """
        try:
            for path in paths:
                if os.path.lexists(path):
                    target = self._place(path)
                    files.rename(path, target)
                    files.fsync_directory(target.parent)
                    files.fsync_directory(path.parent)
        except OSError as error:
            raise files.host_error(error, "move damaged files of the store aside") from error

    def copy(self, path: Path, content: bytes) -> None:
        """Keep a copy of a file that will be replaced in one step.

        Raises:
            DiskFullError, AccessError, HostError: There is no copy.

        Durability: when this returns, the copy survives a power cut.
        """
        files.write_durable(self._place(path), content)

    def write_report(self, content: bytes) -> None:
        """Write `report.json`, or replace it; errors and durability as `copy`."""
        make_directory(self.path)
        files.write_durable(self.path / REPORT, content)

    def earlier_reports(self) -> list[Path]:
        """The reports of earlier repairs, the oldest first.

        Raises:
            AccessError, HostError: It cannot be told.
        """
        try:
            return sorted(path for path in self.path.parent.glob(f"*/{REPORT}") if path.parent != self.path)
        except OSError as error:
            raise files.host_error(error, f"read {self.path.parent}") from error

    def _place(self, path: Path) -> Path:
        target = self.path / path.relative_to(self._store)
        make_directory(target.parent)
        return target


def _free(path: Path) -> Path:
    """*path*, or with `_2`, `_3` … while an earlier repair has it."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}_{number}")
    return candidate
