"""One project and its store: everything that other repositories have a part in.

Owns the order of things: ask the remote, lock, do, log. Each step is `ops/`'s. While something is under way over the network the
store is locked against compaction only, so backups go on. Floor F8, between `carrier.Carrier` and `engine.Cronos`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from cronos_git.carrier import Carrier
from cronos_git.errors import CronosError, RefusedError, RemoteError, UsageError
from cronos_git.events import Noticed, Run
from cronos_git.model import (
    Backup,
    FetchPlan,
    FetchReport,
    FetchRequest,
    PushPlan,
    PushReport,
    PushRequest,
    Remote,
    RemoteBackup,
    RemoteReport,
)
from cronos_git.ops import catalog, oplog
from cronos_git.rules import remotes as rules


class Courier(Carrier):
    """Pushes and fetches; the arguments are `Reader`'s."""

    # --- remotes ---

    def remotes(self) -> list[Remote]:
        """The remotes of the store, by name.

        Raises:
            StoreMissingError: The project has no store yet.
            GitCommandError, GitVersionError: The store's configuration cannot be read.
        """
        from cronos_git.git import remotes

        return remotes.remotes(self.store)

    def add_remote(self, name: str, url: str, run: Run | None = None) -> Remote:
        """Let a remote be known; makes the store when the project has none. The remote is not asked yet.

        Args:
            url: A path is to be absolute.

        Raises:
            UsageError: It cannot be called so, or the name is taken.
            RefusedError: The URL could run commands, or is of a kind that is not known.
            StoreLockedError, GitCommandError, GitVersionError: Nothing was changed.
        """
        from cronos_git.git import remotes

        run = run or Run()
        remote = Remote(name=rules.check_name(name), url=rules.shown(rules.check_url(url)))
        self._make_store()
        with self._operation("remote add", run, remote=name, url=remote.url), self._writing(run):
            if name in {one.name for one in remotes.remotes(self.store)}:
                raise UsageError(f"There is a remote {name} already.", hint=f"`cronos remote remove {name}` removes it first.")
            remotes.add(self.store, name, url)
        return remote

    def remove_remote(self, name: str, run: Run | None = None) -> Remote:
        """Forget a remote; what it holds stays there.

        Raises:
            UsageError: There is no such remote.
            StoreMissingError, StoreLockedError, GitCommandError, GitVersionError: Nothing was changed.
        """
        from cronos_git.git import encrypted, remotes

        run = run or Run()
        with self._operation("remote remove", run, remote=name), self._writing(run):
            remote = rules.choose(remotes.remotes(self.store), name)
            remotes.remove(self.store, name)
            if rules.is_encrypted(remote.url):
                encrypted.forget(self.store)
        return remote

    # --- push ---

    def plan_push(self, request: PushRequest | None = None, run: Run | None = None) -> PushPlan:
        """What a push would send; asks the remote, writes nothing.

        Raises:
            StoreMissingError, UsageError: There is no store, or no such remote.
            BackupNotFoundError, AmbiguousBackupError: An identifier means no one backup.
            RemoteError: The remote cannot be reached.
        """
        return self._planned_push(request or PushRequest(), run or Run())[0]

    def push(self, request: PushRequest | None = None, run: Run | None = None) -> PushReport:
        """Send to a remote the backups that it lacks; changes and removes nothing there unless asked to.

        Backups can be made meanwhile. Interrupted, it goes on where it stopped when it is called again.

        Raises:
            All errors of `plan_push`.
            RemoteError: Something was not taken; what was taken is there, and the backups here are safe.
            StoreLockedError: A compaction, or another push to that remote, is going on.

        Durability: when this returns, the remote has said that it has the backups.
        Cost: what the remote lacks, once; a few requests for each 50 backups.
        """
        from cronos_git.git.encrypted import connect
        from cronos_git.ops import push

        request, run, started = request or PushRequest(), run or Run(), time.monotonic()
        plan, refs = self._planned_push(request, run)
        facts = {"remote": plan.remote.name, "url": plan.remote.url}
        with self.store.objects_stay(), self._operation("push", run, **facts) as told:
            told["commits"] = {backup.commit: backup.id for backup in plan.missing}
            tags: dict[str, str] = {}
            writer = None
            if plan.names:
                with self._writing(run):
                    tags, writer = push.renamed_tags(self.store, plan)
            try:
                transfer = connect(self.store, plan.remote, run, self.settings.lock_wait)
                pushing = push.Pushing(
                    store=self.store,
                    plan=plan,
                    refs=refs,
                    tags=tags,
                    machine=self.identity.host,
                    branches=self._branches(plan),
                    transfer=transfer,
                    wait_s=self.settings.lock_wait,
                )
                report = replace(pushing.apply(), duration_s=time.monotonic() - started)
            finally:
                if writer is not None:
                    writer.release()
            told |= {"pushed": list(report.pushed), "amended": list(report.amended), "removed": list(report.removed)}
            told |= {"sent_bytes": report.sent_bytes}
            told["unlogged"] = not (report.pushed or report.amended or report.removed or report.branches)
        return report

    def _auto_push(self, run: Run) -> tuple[tuple[str, ...], str]:
        """Push after a backup, which is made already, so that a failure is a notice; ids of what was sent, and what failed."""
        try:
            return self.push(PushRequest(remote=self.settings.auto_push), run).pushed, ""
        except CronosError as error:
            text = f"The backup is safe here, but was not sent: {error.message} `cronos push` sends it."
            run.emit(Noticed("warning", "push.failed", text))
            return (), error.message

    def _planned_push(self, request: PushRequest, run: Run) -> tuple[PushPlan, dict[str, str]]:
        """The plan, and what the remote has."""
        from cronos_git.git.receiving import refs_of
        from cronos_git.ops import push
        from cronos_git.ops.chronicle import replay

        remote = rules.choose(self.remotes(), request.remote)
        found = self._catalog()
        backups = self._choose(request.backups, found) if request.backups else found.backups
        refs = refs_of(self.store, remote, run, wait_s=self.settings.lock_wait)
        return push.plan(remote, request, backups, refs, replay(oplog.read(self.store))), refs

    def _branches(self, plan: PushPlan) -> dict[str, str]:
        """The timelines by ref, if all that they chain is to be there."""
        from cronos_git.git import timeline

        if plan.request.backups:
            return {}
        refs = {timeline.ref_name(backup.scope) for backup in catalog.load(self.store)}
        return {ref: tip for ref in sorted(refs) if (tip := self.store.ref(ref))}

    # --- fetch and clone ---

    def plan_fetch(self, request: FetchRequest | None = None, run: Run | None = None) -> FetchPlan:
        """What a fetch would bring; asks the remote, writes nothing.

        Raises:
            StoreMissingError, UsageError: There is no store, or no such remote.
            BackupNotFoundError, AmbiguousBackupError: The remote has no such backup, or several.
            RemoteError: The remote cannot be reached.
        """
        return self._planned_fetch(request or FetchRequest(), run or Run())[0]

    def fetch(self, request: FetchRequest | None = None, run: Run | None = None) -> FetchReport:
        """Get from a remote the backups that this store never had.

        Backups can be made meanwhile. Interrupted, it goes on with what has come when it is called again.

        Raises:
            All errors of `plan_fetch`.
            RemoteError: Nothing here was changed.
            StoreLockedError: A compaction, a fetch or, at the end, something that writes is going on.
            DiskFullError, AccessError, HostError, InterruptedRunError: Nothing here was changed.

        Durability: when this returns, the new backups survive a power cut; if killed earlier, all or none exist.
        """
        from cronos_git.git.receiving import discard, receiving
        from cronos_git.ops import adopting, fetch
        from cronos_git.ops.chronicle import replay

        run, started = run or Run(), time.monotonic()
        plan, refs = self._planned_fetch(request or FetchRequest(), run)
        if not plan.missing:
            discard(self.store)
            return FetchReport(plan=plan, backups=(), bytes_stored=0, duration_s=time.monotonic() - started)
        history = replay(oplog.read(self.store))
        custom = fetch.Custom(history=history, is_new=not history.places and not self._catalog().backups, host=self.identity.host)
        facts = {"remote": plan.remote.name, "url": plan.remote.url}
        with self.store.objects_stay(), self._operation("fetch", run, **facts) as told:
            there = {copy.commit for copy in rules.backups_of(refs)}
            known = [one.commit for one in self._catalog().backups[::-1] if one.commit in there]
            with receiving(self.store, plan.remote, plan.missing, known, run) as isolated, self._writing(run):
                before = adopting.stored_bytes(self.store)
                backups, passed_over = fetch.let_in(self.store, isolated, plan, custom, run)
                told |= {"backups": [backup.id for backup in backups], "tags": {one.id: one.tag for one in backups}}
                told["commits"] = {one.commit: one.id for one in backups}
                told["bytes_stored"] = adopting.stored_bytes(self.store) - before
                told["unlogged"] = not backups
        notes = (*passed_over, *_renamings(backups, plan))
        return FetchReport(
            plan=plan,
            backups=tuple(backups),
            bytes_stored=int(str(told["bytes_stored"])),
            notes=notes,
            duration_s=time.monotonic() - started,
        )

    def _planned_fetch(self, request: FetchRequest, run: Run) -> tuple[FetchPlan, dict[str, str]]:
        """The plan, and what the remote has."""
        from cronos_git.git.receiving import refs_of
        from cronos_git.ops import fetch
        from cronos_git.ops.chronicle import replay

        remote = rules.choose(self.remotes(), request.remote)
        refs = refs_of(self.store, remote, run, wait_s=self.settings.lock_wait, will_fetch=True)
        return fetch.plan(self.store, remote, request, refs, replay(oplog.read(self.store))), refs

    def clone(self, url: str, name: str = rules.DEFAULT_NAME, run: Run | None = None) -> FetchReport:
        """Make the project's store from a remote, with all backups as they were; called again, it goes on.

        Raises:
            RefusedError: The project has backups already, or another remote of that name; or the URL is not let through.
            All errors of `fetch`: The store is there with what came; where nothing could be asked, it is not.
        """
        from cronos_git.disk import stage

        is_new = not self.store_path.exists()
        if not is_new:
            held = {one.name: one.url for one in self.remotes()}
            if self._catalog().backups or held.get(name) not in (None, rules.shown(url)):
                raise RefusedError(
                    f"{self.project} has a store already, {self.store_path}.",
                    hint="`cronos remote add` and `cronos fetch` bring backups of another store into it.",
                )
        if is_new or name not in held:
            self.add_remote(name, url, run)
        try:
            return self.fetch(FetchRequest(remote=name), run)
        except RemoteError:
            if is_new and not self._catalog().backups and not (self.store.cronos_dir / "fetch").exists():
                stage.remove_tree(self.store_path)
                del self.store
            raise

    # --- comparing ---

    def check_remote(self, name: str | None = None, run: Run | None = None, *, read: bool = False) -> RemoteReport:
        """Whether a remote has every backup as it is here, by the ids of tags and commits.

        Args:
            read: Also get everything from there, and check that all of it is whole.

        Raises:
            All errors of `plan_push`.
            DiskFullError, AccessError, HostError, StoreLockedError: There is no place for it, or a fetch is going on.

        Cost: one request; with *read* all that the remote's backups consist of, over the network and onto the disk.
        """
        run = run or Run()
        plan, refs = self._planned_push(PushRequest(remote=name), run)
        here = {backup.commit for backup in self._catalog().backups}
        there = rules.backups_of(refs)
        faults, read_bytes = self._read_remote(plan.remote, there, run) if read else ((), 0)
        return RemoteReport(
            remote=plan.remote,
            same=plan.there - len(plan.amended),
            missing=tuple(backup.id for backup in plan.missing),
            amended=tuple(backup.id for backup in plan.amended),
            others=tuple(copy.id for copy in there if copy.commit not in here),
            faults=faults,
            read_bytes=read_bytes,
        )

    def _read_remote(self, remote: Remote, there: Sequence[RemoteBackup], run: Run) -> tuple[tuple[str, ...], int]:
        """What is wrong with the backups of a remote, all of which are got and read; and their size."""
        from cronos_git.git import receiving

        damaged: list[str] = []
        with receiving.mirrored(self.store, remote, there, run, damaged) as path:
            faults = (*dict.fromkeys(damaged), *receiving.faults_of(path))
            size_bytes = sum(pack.stat().st_size for pack in (path / "objects" / "pack").glob("*.pack"))
        return faults, size_bytes


def _renamings(backups: Sequence[Backup], plan: FetchPlan) -> tuple[str, ...]:
    """What is told of backups whose ids were taken."""
    there = rules.by_commit(plan.missing)
    copies = ((one, rules.counterpart(one, there)) for one in backups)
    return tuple(f"{copy.id} is called {one.id} here, as its id was taken." for one, copy in copies if copy and copy.id != one.id)
