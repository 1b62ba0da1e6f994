"""Sends backups to a remote: what it lacks, oldest first, in batches; then the timelines; then it is asked what it has.

Nothing is changed or removed there unless asked for. Two machines may push to one remote: a backup is known by its commit, and
goes under another id where its own is taken; a timeline that is another machine's goes under a name of this one. Floor F7.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cronos_git.disk import files
from cronos_git.errors import RemoteError
from cronos_git.git import remotes
from cronos_git.git.pack import PackWriter
from cronos_git.git.refs import TRASH
from cronos_git.git.store import Store
from cronos_git.git.transfer import RefAnswer, Transfer, known_parents
from cronos_git.model import Backup, PushPlan, PushReport, PushRequest, Remote, RemoteBackup
from cronos_git.ops import adopting, catalog
from cronos_git.ops.chronicle import History
from cronos_git.rules.identify import IMPORT
from cronos_git.rules.names import make_id, slug
from cronos_git.rules.record import format_tag, parse_commit
from cronos_git.rules.remotes import BACKUPS, backups_of, by_commit, counterpart

_BATCH = 50
"""Backups sent at a time; what came before an interruption has not to be sent again."""

_NO_REWRITING = "non-fast-forward"
_REFUSED = "refused "
"""Before a branch in what is remembered: where it was there when it could not be moved."""


def plan(
    remote: Remote,
    request: PushRequest,
    backups: Sequence[Backup],
    refs: Mapping[str, str],
    history: History,
) -> PushPlan:
    """What a push would do.

    Args:
        backups: Those that are to be there.
        refs: What the remote has.
        history: What was dropped here.
    """
    listed = backups_of(refs)
    there = by_commit(listed)
    taken = {name.removeprefix(BACKUPS) for name in refs if name.startswith(BACKUPS)}  # also what is no backup
    missing, names, amended = [], {}, []
    for backup in sorted(backups, key=lambda backup: backup.sequence):
        copy = counterpart(backup, there)
        if copy is None:
            missing.append(backup)
            if backup.id in taken:
                names[backup.id] = make_id(backup.name, backup.created, taken)
            taken.add(names.get(backup.id, backup.id))
        elif copy.id == backup.id and copy.tag != backup.tag and not _came_from(backup, remote):
            amended.append(backup)
    return PushPlan(
        remote=remote,
        request=request,
        missing=tuple(missing),
        names=names,
        there=len(backups) - len(missing),
        amended=tuple(amended),
        dropped=tuple(copy for copy in listed if _was_dropped(copy, history)),
    )


def _came_from(backup: Backup, remote: Remote) -> bool:
    """Whether another machine made *backup*, and *remote* has it as that one tells of it."""
    origin = backup.metadata.get(IMPORT)
    return isinstance(origin, Mapping) and origin.get("remote") == remote.name


def _was_dropped(copy: RemoteBackup, history: History) -> bool:
    """Whether this store sent this very backup, and has pruned or deleted it."""
    if copy.commit in history.sent and copy.commit not in history.fetched:
        return history.places.get(history.sent[copy.commit]) in ("", TRASH)
    return history.tags.get(copy.id) == copy.tag and history.places.get(copy.id) in ("", TRASH)


def renamed_tags(store: Store, plan: PushPlan) -> tuple[dict[str, str], PackWriter]:
    """Store the tags of backups that go under another id; their ids by the backup's own.

    Returns:
        Also the writer of the pack, which protects it until it is released: no ref will lead to these tags.

    Args:
        store: Locked exclusively by the caller.
    """
    writer = PackWriter(store.pack_dir, store.index.contains)
    tags = {}
    for backup in plan.missing:
        if backup.id in plan.names:
            maker = adopting.maker(store.read(backup.tag)[1])
            tags[backup.id] = writer.add("tag", format_tag(replace(backup, id=plan.names[backup.id]), maker)).hex()
    writer.finish()
    store.refresh()
    return tags, writer


@dataclass(slots=True, kw_only=True)
class Pushing:
    """One push under way.

    Attributes:
        store: Its objects must stay (`Store.objects_stay`).
        refs: What the remote had when it was asked.
        tags: Tag objects to send in place of a backup's own, by its id.
        machine: Name of this machine, for branches.
        branches: The timelines that are to be there, by ref.
        wait_s: How long to wait for another push to this remote, in seconds.
    """

    store: Store
    plan: PushPlan
    refs: Mapping[str, str]
    tags: Mapping[str, str]
    machine: str
    branches: Mapping[str, str]
    transfer: Transfer
    wait_s: float = 0.0
    notes: list[str] = field(default_factory=list)

    def apply(self) -> PushReport:
        """Carry the plan out.

        Raises:
            StoreLockedError: Another push to this remote is going on.
            RemoteError: Something was not taken; what was taken is there.
            InterruptedRunError: As before.
        """
        with files.locked(self._path("push", ".lock"), wait_s=self.wait_s):
            return self._apply()

    def _path(self, name: str, suffix: str = "") -> Path:
        """A file of pushes to this remote. One that a killed push has left is replaced by the next."""
        return self.store.cronos_dir / f"{name}.{self.plan.remote.name}{suffix}"

    def _apply(self) -> PushReport:
        held = (*catalog.load(self.store), *catalog.read_trash(self.store, sure=False).backups)
        known = sorted({backup.commit for backup in held} & by_commit(backups_of(self.refs)).keys())
        refused = self._send_missing(known)
        amended = self._send_amended(known)
        removed = self._remove_dropped()
        branches = () if refused else self._send_branches(known)
        traffic = self.transfer.traffic
        return PushReport(
            plan=self.plan,
            pushed=self._confirmed(refused),
            amended=amended,
            removed=removed,
            branches=branches,
            objects=traffic.objects,
            sent_bytes=traffic.size_bytes,
            notes=tuple(self.notes),
            duration_s=0.0,
        )

    def _send_missing(self, known: list[str]) -> dict[str, str]:
        """Send what is missing, and add to *known* what is there then; why the remote refused others, by id."""
        refused: dict[str, str] = {}
        for start in range(0, len(self.plan.missing), _BATCH):
            batch = self.plan.missing[start : start + _BATCH]
            names = {BACKUPS + self.plan.names.get(backup.id, backup.id): backup for backup in batch}
            refspecs = [f"{self.tags.get(backup.id, backup.tag)}:{ref}" for ref, backup in names.items()]
            for answer in self._push(refspecs, batch[0].commit, known, {}):
                backup = names[answer.ref]
                if answer.is_taken:
                    known.append(backup.commit)
                else:
                    refused[backup.id] = answer.said
        return refused

    def _send_amended(self, known: Sequence[str]) -> tuple[str, ...]:
        """Replace the tags that say something else there, if that is asked for."""
        if not self.plan.request.amended:
            return ()
        refspecs = {BACKUPS + backup.id: f"+{backup.tag}:{BACKUPS}{backup.id}" for backup in self.plan.amended}
        child = self.plan.amended[0].commit if self.plan.amended else ""
        return self._replace(refspecs, child, known, "was not amended")

    def _remove_dropped(self) -> tuple[str, ...]:
        """Remove what was dropped here, if that is asked for."""
        if not self.plan.request.prune:
            return ()
        refspecs = {BACKUPS + copy.id: f":{BACKUPS}{copy.id}" for copy in self.plan.dropped}
        return self._replace(refspecs, "", (), "was not removed")

    def _replace(self, refspecs: Mapping[str, str], child: str, known: Sequence[str], what: str) -> tuple[str, ...]:
        """Push changes of refs, each only if it still is what it was; the ids of what was changed."""
        done = []
        if refspecs:
            for answer in self._push(list(refspecs.values()), child, known, {ref: self.refs[ref] for ref in refspecs}):
                backup_id = answer.ref.removeprefix(BACKUPS)
                if answer.is_taken:
                    done.append(backup_id)
                else:
                    self.notes.append(f"{backup_id} {what} there: {answer.said}.")
        return tuple(done)

    def _send_branches(self, known: Sequence[str]) -> tuple[str, ...]:
        """Offer the timelines, so that web front ends and plain clones show history; a remote may refuse."""
        remembered = remotes.pushed_branches(self.store, self.plan.remote.name)
        named = {self._branch_there(ref, remembered): tip for ref, tip in self.branches.items()}
        wanted = {ref: tip for ref, tip in named.items() if not self._is_futile(ref, tip, remembered)}
        moved = {ref: tip for ref, tip in wanted.items() if self.refs.get(ref) != tip}
        taken = []
        if moved:
            leases = {ref: self.refs.get(ref, "") for ref in moved}
            refspecs = [f"+{tip}:{ref}" for ref, tip in moved.items()]
            child = next((tip for tip in moved.values() if tip not in self.refs.values()), "")
            for answer in self._push(refspecs, child, known, leases):
                if answer.is_taken:
                    taken.append(answer.ref)
                else:
                    del wanted[answer.ref]
                    if _NO_REWRITING in answer.said:
                        wanted[_REFUSED + answer.ref] = self.refs.get(answer.ref, "")
                    self.notes.append(f"The branch {_short(answer.ref)} was not moved there, the backups are: {answer.said}.")
        remotes.remember_branches(self.store, self.plan.remote.name, wanted)
        return tuple(_short(ref) for ref in taken)

    def _is_futile(self, ref: str, tip: str, remembered: Mapping[str, str]) -> bool:
        """Whether a remote has refused to have this branch rewritten, so that its commits need not be sent each time."""
        there = self.refs.get(ref)
        return there is not None and remembered.get(_REFUSED + ref) == there and not self._is_part_of(tip, there)

    def _branch_there(self, ref: str, remembered: Mapping[str, str]) -> str:
        """The name of a timeline there: its own, unless another machine's is there."""
        tip = self.refs.get(ref)
        if tip is None or tip == remembered.get(ref) or self._is_part_of(self.branches[ref], tip):
            return ref
        return ref.replace("refs/heads/", f"refs/heads/machine/{slug(self.machine)}/", 1)

    def _is_part_of(self, timeline: str, tip: str) -> bool:
        """Whether a timeline goes on from *tip*. To have it tells nothing: another machine's, fetched, has the same commits."""
        at: str | None = timeline
        while at is not None and at != tip:
            at = next(iter(parse_commit(self.store.read(at)[1]).parents), None)
        return at is not None

    def _push(self, refspecs: Sequence[str], child: str, known: Sequence[str], leases: Mapping[str, str]) -> list[RefAnswer]:
        """Push, with the remote's backups told as parents of *child*, which is sent: git then leaves out all that they have."""
        path = self._path("known")
        own = parse_commit(self.store.read(child)[1]).parents if child else ()
        parents = [*own, *(commit for commit in known if commit != child)]
        try:
            return self.transfer.push(refspecs, known=known_parents(path, child, parents), leases=leases)
        finally:
            with contextlib.suppress(OSError):
                files.unlink(path)

    def _confirmed(self, refused: Mapping[str, str]) -> tuple[str, ...]:
        """The ids of what was sent, once the remote has said that it has them."""
        if not self.plan.missing:
            return ()
        now = self.transfer.refs()
        there = by_commit(backups_of(now))
        pushed = tuple(backup.id for backup in self.plan.missing if counterpart(backup, there))
        lacking = [backup.id for backup in self.plan.missing if backup.id not in pushed]
        if lacking:
            remote = self.plan.remote
            why = refused.get(lacking[0], "it did not say why")
            raise RemoteError(
                f"The remote {remote.name} ({remote.url}) has not taken {len(lacking)} of {len(self.plan.missing)} "
                f"backups, such as {lacking[0]}: {why}. They are safe here.",
                hint="See to what the remote says, and push again: only these are sent then.",
                remote=remote.name,
                missing=lacking,
                pushed=list(pushed),
            )
        return pushed


def _short(ref: str) -> str:
    return ref.removeprefix("refs/heads/")
