"""One project and its store: everything that checks whether backups are whole, and can be restored.

Owns the order of things: lock, look, do. Each step is `ops/`'s. Floor F8, between `curator.Curator` and `engine.Cronos`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from cronos_git.curator import Curator
from cronos_git.errors import CronosError
from cronos_git.events import Run
from cronos_git.model import Check, Damage, DrillReport, VerifyReport, VerifyRequest
from cronos_git.ops import catalog
from cronos_git.ops.absence import missing_refs, unread_lines
from cronos_git.ops.catalog import Catalog

_NEEDED_BY_GIT = frozenset(("HEAD", "config", "objects", "objects/pack", "refs"))


class Inspector(Curator):
    """Verifies, and restores on trial; the arguments are `Reader`'s."""

    def verify(self, request: VerifyRequest | None = None, run: Run | None = None) -> VerifyReport:
        """Check stored data; damage is in the report, not an error. Works on a store that cannot be written, too.

        Raises:
            UsageError: The request contradicts itself.
            BackupNotFoundError, AmbiguousBackupError: A backup that was asked for does not exist.
            DamageError: A backup that was asked for cannot be told for sure, as others cannot be read.
            StoreLockedError: Somebody writes to the store.
            InterruptedRunError: The run was cancelled; what was read until then is noted.

        Durability, cost: as for `ops.verify`. Backups wait until it is done, as they need the lock alone; give it a time.
        """
        from cronos_git.ops import verify

        request, run = request or VerifyRequest(), run or Run()
        with self.store.lock(shared=True, wait_s=self.settings.lock_wait, checkpoint=run.checkpoint):
            trash = self._trash_to_check(request)
            kept = catalog.read(self.store) if request.trash is not True else Catalog(backups=[], damaged=[])
            absent = [] if request.backups or request.trash else [*missing_refs(self.store), *unread_lines(self.store)]
            found = Catalog(backups=[*kept.backups, *trash.backups], damaged=[*kept.damaged, *trash.damaged, *absent])
            wanted = self._choose(request.backups, found) if request.backups else found.backups
            damaged = [*found.damaged, *(self._damaged_files() if not request.backups else ())]
            report = verify.verify(self.store, wanted, damaged, request, run, now=self.clock.now())
        in_trash = [backup.id for backup in wanted if backup in trash.backups]
        return replace(report, trash=(*in_trash, *(name for damage in trash.damaged for name in damage.backups)))

    def checks(self) -> list[Check]:
        """As `Reader.checks`; of a store that opens, also whether the files are sound without which git takes it for none."""
        found = super().checks()
        if not any(check.name == "store" and check.ok for check in found) or not self.store_path.exists():
            return found
        try:
            damaged = [damage.text for damage in self._damaged_files()]
            hint = "`cronos repair -n` tells what can be mended."
        except CronosError as error:
            damaged, hint = [error.message], error.hint
        text = damaged[0] if damaged else "as git wants them"
        return [*found, Check(name="files", ok=not damaged, text=text, hint=hint if damaged else "")]

    def _damaged_files(self) -> list[Damage]:
        """The files that CRONOS can do without for a while, and git cannot: it takes the store for no repository.

        Cost: a few small files; git is asked only about a configuration that is not as it was made.
        """
        from cronos_git.git import furniture

        text = "{name} of the store is {what}, so git does not take it for a repository; no backup is hit."
        return [
            Damage(backups=(), path="", oid="", code="record", text=text.format(name=flaw.name, what=flaw.what))
            for flaw in furniture.find_flaws(self.store_path, b"")
            if flaw.name in _NEEDED_BY_GIT
        ]

    def _trash_to_check(self, request: VerifyRequest) -> Catalog:
        """The trash, as far as the request asks for it: backups in it are promised to come back, too."""
        is_wanted = request.trash if request.trash is not None else not request.backups
        return catalog.read_trash(self.store) if is_wanted else Catalog(backups=[], damaged=[])

    def drill(self, identifier: str = "latest", scratch: Path | None = None, run: Run | None = None) -> DrillReport:
        """Restore a backup on trial into a directory that is removed afterwards, and compare what is there with the backup.

        It is restored as `restore` does it, and read back by what takes backups; nothing that the restore believes is asked.

        Args:
            scratch: Where the private directory for it is made; None for the system's place for temporary files.

        Raises:
            BackupNotFoundError, AmbiguousBackupError: There is no such backup.
            RefusedError: The directory for it lies in the store or in the project, or is none.
            DiskFullError: It would not fit there; nothing was written.
            DamageError: The backup is damaged: it cannot be restored. So says `verify` in detail.
            AccessError, HostError, InterruptedRunError: The trial did not come to its end; what it wrote is gone.

        Cost: a whole restore, and a read of all that it wrote.
        """
        from cronos_git.ops import drill, extract, snapshot

        run = run or Run()
        backup = self.resolve(identifier).backup
        view = self.view(backup)
        place = drill.choose_place(scratch, (self.store_path, self.project))
        waiting = self.store.lock(shared=True, wait_s=self.settings.lock_wait, checkpoint=run.checkpoint)
        with waiting, drill.scratch_directory(place) as root:
            plan = extract.plan(view, backup, (), str(root / "restored"))
            drill.refuse_small_disk(place, plan)
            restored = extract.apply(self.store, view, plan, verify=False, run=run)
            started_s = time.monotonic()
            looked = snapshot.look(None, (), drill.subject(plan.target, view), self._circumstances(), run)
            return drill.report(view, looked.view, restored, looked.captured.problems, started_s)
