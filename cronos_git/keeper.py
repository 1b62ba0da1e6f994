"""One project and its store: what everything that writes needs. The lock, the recovery of killed restores, the operation log.

Floor F8, between `historian.Historian` and the classes that write.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cronos_git import __version__
from cronos_git.errors import CronosError, InterruptedRunError, PolicyDeniedError, RefusedError, StoreLockedError
from cronos_git.events import Noticed, Run, tolerating
from cronos_git.git.store import Store
from cronos_git.historian import Historian
from cronos_git.model import Action, Backup, Operation, Recovery, Touched, Verdict
from cronos_git.ops import oplog
from cronos_git.ports import Enricher, OperationSink, PolicyGate

if TYPE_CHECKING:  # imported where used
    from cronos_git.ops.proposals import Asker

_RESULTS: dict[type[CronosError], str] = {InterruptedRunError: "interrupted", PolicyDeniedError: "denied"}


class Keeper(Historian):
    """Keeps a store in order; the arguments are `Reader`'s.

    Attributes:
        face: Which face works with it, for the operation log: `cli`, `library`, `service`, `hook` or `schedule`.
        gate: Judges what is about to be done; None lets everything pass.
        enrichers: Are told of each backup.
        sinks: Get each record of the operation log too.
    """

    face = "library"
    gate: PolicyGate | None = None
    enrichers: tuple[Enricher, ...] = ()
    sinks: tuple[OperationSink, ...] = ()

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
            result = _RESULTS.get(type(error), "failed")
            told |= {"error": error.message, "code": error.code}
            raise
        finally:
            if not told.pop("unlogged", False) and self.store_path.exists():
                self._log(verb, told, run, result)

    def note_request(self, facts: Mapping[str, object], result: str, run: Run | None = None) -> None:
        """Note that somebody elsewhere asked for something; nothing while the project has no store.

        Args:
            facts: Who asked on which topic, and what came of it.
            result: `begun`, `done`, `failed` or `interrupted`.
        """
        if self.store_path.exists():
            self._log("request", facts, run or Run(), result)

    def _judge(self, action: Action, told: dict[str, object], run: Run) -> Verdict | None:
        """Ask the gate whether *action* may be done, and note in *told* what it says; None when there is no gate.

        Raises:
            PolicyDeniedError: It may not, or the gate had to say so and did not.
        """
        if self.gate is None:
            return None
        from cronos_git.rules import policy

        verdict = self.gate.judge(replace(action, touched=lambda: _stoppable(action.touched(), run)))
        told["policy"] = policy.facts(verdict)
        for violation in policy.warnings(verdict):
            run.emit(Noticed("warning", "policy.warned", f"{violation.rule}: {violation.text}", violation.path))
        if (denied := policy.denial(action, verdict)) is not None:
            raise denied
        if verdict.decision == "unchecked":
            run.emit(Noticed("warning", "policy.unchecked", f"{verdict.text} The backup is made all the same."))
        run.checkpoint()
        return verdict

    def _judged(self, action: Action, run: Run) -> dict[str, object]:
        """What the log is to tell of a verdict, for verbs that are only logged when they are done; a denial is logged here."""
        with self._operation(action.verb, run, backups=list(action.backups)) as told:
            self._judge(action, told, run)
            told["unlogged"] = True
        return {"policy": told["policy"]} if "policy" in told else {}

    def _asker(self, *, is_rehearsal: bool = False) -> Asker:
        from cronos_git.ops.proposals import Asker

        return Asker(project=str(self.project), face=self.face, is_rehearsal=is_rehearsal)

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
        for sink in self.sinks:
            with tolerating(run, "log.unwritten", "What was done does not stand in the log file"):
                sink.record(entry)

    # --- the lock, and recovery ---

    @contextlib.contextmanager
    def _writing(self, run: Run) -> Iterator[None]:
        """Hold the store's exclusive lock, with what killed runs left cleaned up."""
        from cronos_git.git import maintenance

        with self.store.lock(wait_s=self.settings.lock_wait, checkpoint=run.checkpoint):
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

    def _log_each(self, verb: str, backups: Sequence[Backup], run: Run, facts: Mapping[str, object] | None = None) -> None:
        if backups:
            self._log(verb, {"backups": [backup.id for backup in backups], **(facts or {})}, run)


def _stoppable(touched: Iterable[Touched], run: Run) -> Iterator[Touched]:
    """*touched*, until the run is cancelled: to look at the contents of many files takes long."""
    for one in touched:
        run.checkpoint()
        yield one
