"""One project and its store: what everything that writes needs. The lock, the recovery of killed restores, the operation log.

Floor F8, between `historian.Historian` and the classes that write.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from functools import cached_property
from pathlib import Path

from cronos_git import __version__
from cronos_git.errors import CronosError, InterruptedRunError, RefusedError, StoreLockedError
from cronos_git.events import Noticed, Run, tolerating
from cronos_git.git.store import Store
from cronos_git.historian import Historian
from cronos_git.model import Backup, Operation, Recovery
from cronos_git.ops import oplog


class Keeper(Historian):
    """Keeps a store in order; the arguments are `Reader`'s.

    Attributes:
        face: Which face works with it, for the operation log: `cli`, `library`, `service`, `hook` or `schedule`.
    """

    face = "library"

    @cached_property
    def store(self) -> Store:
        """As `Reader.store`; restores that were killed are cleaned up first, when that is safe and nobody is at work."""
        store = super().store  # from here on `self.store` is this, also in what is called below
        self._recover_if_free(Run(emit=lambda event: self.notice(event) if isinstance(event, Noticed) else None))
        return store

    def init(self) -> Store:
        """The project's store, made when there is none; what stands in it stays.

        Raises:
            All errors of `store` but StoreMissingError; DiskFullError, AccessError, HostError: There is none.

        Durability: when this returns, it survives a power cut.
        """
        self._make_store()
        return self.store

    def adopt(self, source: Path, *, force: bool = False) -> Store:
        """Take over the store of a project that has moved here: it is renamed, and belongs to this project from now on.

        Args:
            force: Also when the project that it belongs to is still there.

        Raises:
            StoreMissingError, StoreFormatError: *source* is no store.
            RefusedError: This project has a store already, or the other project is still there.
            StoreLockedError, DiskFullError, AccessError, HostError: The store stands where it stood.

        Durability: when this returns, it survives a power cut; if killed earlier, the same call again finishes.
        """
        store = Store.open(Path(os.path.realpath(source)))
        before = store.project_root
        if self.store_path.exists():
            raise RefusedError(
                f"{self.project} has a store already, {self.store_path}; two cannot become one.",
                hint="`cronos fetch` can bring the backups of the other one here: add it as a remote.",
            )
        if before != str(self.project) and Path(before).is_dir() and not force:
            raise RefusedError(
                f"The store {store.path} holds the backups of {before}, which is still there.",
                hint="If that is another copy of the project, leave it its store; with --force it is taken all the same.",
            )
        store.move(self.store_path, project_root=str(self.project))
        self._log("adopt", {"source": str(source), "from": before}, Run())
        return self.store

    def _make_store(self) -> None:
        """Make the store when the project has none."""
        if self._store_if_any() is None:
            Store.create(self.store_path, project_root=str(self.project), created=self.clock.now(), tool_version=__version__)

    # --- the operation log ---

    def operations(self, limit: int | None = None) -> list[Operation]:
        """What was done to the store and to targets of restores, newest first.

        Raises:
            StoreMissingError: The project has no store yet.
            AccessError, HostError: The log cannot be read.
        """
        found = oplog.operations(self.store)[::-1]
        return found if limit is None else found[:limit]

    @contextlib.contextmanager
    def _operation(self, verb: str, run: Run, **facts: object) -> Iterator[dict[str, object]]:
        """Note how the block ends, with the facts and what it adds to them; nothing when it sets the fact `unlogged`."""
        told = dict(facts)
        result = "interrupted"
        try:
            yield told
            result = "done"
        except CronosError as error:
            result = "interrupted" if isinstance(error, InterruptedRunError) else "failed"
            told |= {"error": error.message, "code": error.code}
            raise
        finally:
            if not told.pop("unlogged", False) and self.store_path.exists():
                self._log(verb, told, run, result)

    def _log(self, verb: str, facts: Mapping[str, object], run: Run, result: str = "done") -> None:
        """Note what was done. It is done already, so a log that cannot be written is a notice, not a failure."""
        entry = {
            **facts,
            "verb": verb,
            "time": self.clock.now().astimezone(UTC).isoformat().removesuffix("+00:00") + "Z",
            "result": result,
            "face": self.face,
            "user": self.identity.user,
            "host": self.identity.host,
        }
        with tolerating(run, "oplog.unwritten", "The operation log was not written"):
            oplog.append(self.store, entry)

    # --- the lock, and recovery ---

    @contextlib.contextmanager
    def _writing(self, run: Run) -> Iterator[None]:
        """Hold the store's exclusive lock, with what killed runs left cleaned up."""
        from cronos_git.git import maintenance

        with self.store.lock(wait_s=self.settings.lock_wait):
            self.store.reopen()
            maintenance.clean(self.store)
            self._recover(run)
            yield

    def recover(self, run: Run | None = None) -> list[Recovery]:
        """Clean up after restores that were killed, also where somebody has changed files since, whose versions are kept beside.

        Raises:
            StoreMissingError, StoreLockedError: There is no store, or somebody is at work in it.
            RecordFormatError, AccessError, HostError: A journal cannot be read.
        """
        run = run or Run()
        self.store  # noqa: B018 - opening it recovers what is safe
        with self.store.lock(wait_s=self.settings.lock_wait):
            return self._told_recoveries(run, insist=True)

    def _recover_if_free(self, run: Run) -> None:
        """Clean up after dead restores, unless somebody is at work in the store; then that one does it, or the next command."""
        if self._has_abandoned(run):
            with contextlib.suppress(StoreLockedError), self.store.lock():
                self._recover(run)

    def _recover(self, run: Run) -> None:
        """Clean up where it is safe, and tell of it; a failure must not stand in the way of a backup."""
        if self._has_abandoned(run):
            with tolerating(run, "restore.unrecovered", "An interrupted restore was not cleaned up"):
                for recovery in self._told_recoveries(run, insist=False):
                    is_left = recovery.result == "left"
                    level, code = ("warning", "restore.unrecovered") if is_left else ("info", "restore.recovered")
                    run.emit(Noticed(level, code, f"{recovery.target}: {recovery.text}"))

    def _told_recoveries(self, run: Run, *, insist: bool) -> list[Recovery]:
        from cronos_git.git import maintenance
        from cronos_git.ops import recovery

        maintenance.clean(self.store)  # a lock of packed refs that a killed one left would keep its restore point

        def conclude(one: recovery.Recovered) -> None:
            point = one.record.get("restore_point")
            if one.recovery.result == "rolled back" and isinstance(point, str):
                self._drop_point(point, run)
            facts = {"target": one.recovery.target, "backup": one.record.get("backup"), "restore_point": point}
            self._log("recover", facts, run, one.recovery.result)

        return [one.recovery for one in recovery.recover(self.store, insist=insist, conclude=conclude)]

    def _has_abandoned(self, run: Run) -> bool:
        """Whether there are dead restores. A journal that cannot be read is told, and must not stand in the way of a backup."""
        from cronos_git.ops import journal

        with tolerating(run, "restore.unrecovered", "Interrupted restores were not cleaned up"):
            return bool(journal.abandoned(self.store))
        return False

    def _drop_point(self, point: str, run: Run) -> None:
        """Move the restore point of a restore that did not happen to the trash, so that `undo` finds the one before."""
        from cronos_git.ops import catalog, prune

        with tolerating(run, "restore_point.kept", f"The restore point {point} stays although nothing was restored"):
            prune.delete(self.store, [backup for backup in catalog.read(self.store).backups if backup.id == point])

    def _log_each(self, verb: str, backups: Sequence[Backup], run: Run) -> None:
        if backups:
            self._log(verb, {"backups": [backup.id for backup in backups]}, run)
