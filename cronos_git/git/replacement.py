"""A new pack that takes the place of damaged ones: written aside, read back, and only then moved among the others.

It has a name of its own even where it holds the very objects of a damaged pack, so that nothing is ever renamed over that. A
killed run leaves at most a copy aside, which the next one removes. Floor F6.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from cronos_git.disk import files
from cronos_git.disk.directories import make_directory
from cronos_git.errors import HostError
from cronos_git.events import Run
from cronos_git.git.pack import PackWriter
from cronos_git.git.packcheck import PackCheck, read_tables
from cronos_git.git.remains import Remains

_ASIDE = "mending"


class Replacement:
    """Collects objects that no sound pack has; `publish` or `abort` ends it.

    Args:
        remains: What the store has; objects that only its damaged packs have are taken again.
    """

    def __init__(self, remains: Remains) -> None:
        self._store = remains.store
        self._aside = self._store.cronos_dir / _ASIDE
        make_directory(self._aside)
        self._clear()
        self.writer = PackWriter(self._aside, remains.is_safe)

    def publish(self, run: Run) -> None:
        """Make the pack durable, read it back, and move it among the others.

        Raises:
            DiskFullError, AccessError, HostError: It is not among them, or without its index, which the next repair makes.

        Durability: when this returns, its objects survive a power cut.
        """
        result = self.writer.finish()
        if result is not None:
            self._read_back(run)
            stem = self._free_stem(result.path.stem)
            try:
                for suffix in (".pack", ".idx"):
                    files.rename(result.path.with_suffix(suffix), stem.with_suffix(suffix))
                    files.fsync_directory(stem.parent)
            except OSError as error:
                raise files.host_error(error, "move the new pack into the store") from error
        self._clear()
        self._aside.rmdir()

    def abort(self) -> None:
        """Drop what was collected."""
        self.writer.abort()
        with contextlib.suppress(OSError):
            self._clear()
            self._aside.rmdir()

    def _read_back(self, run: Run) -> None:
        tables, problems = read_tables(self._aside)
        check = PackCheck(_no_delta, run)
        for table in tables:
            check.check(table)
        if problems or check.problems or check.faults or len(tables) != 1:
            raise HostError(
                "What was written to the store's disk did not come back as it was written. Nothing was moved or removed.",
                hint="Check the disk and the memory of this machine before anything else.",
            )

    def _free_stem(self, name: str) -> Path:
        while True:
            name = f"pack-{hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()}"
            stem = self._store.pack_dir / name
            if not any(stem.with_suffix(suffix).exists() for suffix in (".pack", ".idx", ".keep")):
                return stem

    def _clear(self) -> None:
        try:
            for path in self._aside.iterdir():
                files.unlink(path)
        except OSError as error:
            raise files.host_error(error, "remove what an interrupted repair left") from error


def _no_delta(name: bytes) -> tuple[str, bytes]:
    raise HostError(f"Object {name.hex()} was written whole and came back as a delta.")
