"""What a repair would do, found by reading alone: what is whole, what can be had again, what is lost, what follows from that.

    packs and loose objects -> refs and tags -> what backups need -> other places -> holes -> timelines -> refs to be written
    -> journals and operation log

Every decision is made here, so that what `repair -n` shows is what `ops.repair` does. Floor F7, below the verbs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cronos_git.disk import fingerprints
from cronos_git.errors import CronosError, DamageError, InterruptedRunError, RemoteError
from cronos_git.events import Run
from cronos_git.git import remains as remaining
from cronos_git.git import timeline
from cronos_git.git.refmending import Refs, read_refs
from cronos_git.git.refs import BACKUP_TAGS, TRASH
from cronos_git.git.remains import BrokenPack, Remains
from cronos_git.git.store import Store
from cronos_git.git.trees import EMPTY_TREE
from cronos_git.git.view import SnapshotView
from cronos_git.model import SCOPE_PROJECT, Backup, Loss, RepairAction, RepairPlan, RepairStep, Scope
from cronos_git.ops import oplog, paperwork, returning
from cronos_git.ops.chronicle import replay
from cronos_git.ops.healing import ObjectSource, Pool, look_at
from cronos_git.ops.holes import needed_below
from cronos_git.ops.paperwork import Papers
from cronos_git.ops.refetching import RemoteSource
from cronos_git.ops.rewriting import Rewriter
from cronos_git.ops.subject import Subject
from cronos_git.rules.record import parse_commit

_TIMELINES = (timeline.ref_name(SCOPE_PROJECT), timeline.ref_name(""))

SubjectOf = Callable[[Scope], Subject]
"""What a backup of a scope would cover now; raises ProjectError when there is no project any more."""


@dataclass(slots=True)
class Findings:
    """All that a repair needs to know.

    Attributes:
        remains: What is whole in the store.
        pool: That, what can be had from elsewhere, and what was made anew.
        refetch: Objects to be stored that only elsewhere has.
        backups: Those that exist and those in the trash, as they will be.
        refs: All refs as they are.
        values: What refs of backups will hold.
        dropped: Refs that will be no more.
        branches: Where timelines will end, as far as they do not yet.
        drops_statcache: The stat cache does not hold any more.
        tags: Texts of the tags of backups that are given up, by id.
        papers: Journals and lines of the operation log that are damaged.
    """

    remains: Remains
    pool: Pool
    refs: Refs
    papers: Papers
    refetch: set[bytes] = field(default_factory=set)
    backups: list[Backup] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    branches: dict[str, str] = field(default_factory=dict)
    drops_statcache: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    steps: list[RepairStep] = field(default_factory=list)
    lost: list[Loss] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def plan(self) -> RepairPlan:
        """What is shown of it."""
        return RepairPlan(steps=tuple(self.steps), lost=tuple(self.lost), notes=tuple(self.notes))

    def packed(self) -> tuple[dict[str, str], dict[str, str]]:
        """What `packed-refs` is to hold: values, and the commits that tags lead to.

        What is changed is written there, as it takes one step however much it is.
        """
        kept = {name: oid for name, oid in self.refs.packed.items() if name not in self.dropped}
        whole = {name: oid for name, oid in kept.items() if self.pool.contains(bytes.fromhex(oid))}
        values = whole | self.values
        commits = {backup.tag: backup.commit for backup in self.backups}
        peeled = {name: commits.get(oid, self.refs.peeled.get(name, "")) for name, oid in values.items()}
        return values, {name: commit for name, commit in peeled.items() if commit}


def examine(store: Store, subject_of: SubjectOf, remotes: Sequence[RemoteSource], run: Run) -> Findings:
    """Look at all of a store and decide; writes nothing.

    Args:
        remotes: Are asked for what neither the store nor the project has.

    Raises:
        AccessError, HostError: The store cannot be read at all.
        RemoteError: Something is lost for good unless a remote has it that could not be asked, or gave nothing.
        InterruptedRunError: The run was cancelled.

    Cost: every byte of the store is read and hashed; where something is lost, every file of the project too.
    """
    return _Examination(store, subject_of, remotes, run).examine()


class _Examination:
    def __init__(self, store: Store, subject_of: SubjectOf, remotes: Sequence[RemoteSource], run: Run) -> None:
        self._store = store
        self._subject_of = subject_of
        self._remotes = remotes
        self._run = run
        remains = remaining.look(store, run)
        self._found = Findings(remains, Pool(remains, remains.contains), read_refs(store.path), paperwork.look(store))
        self._places: dict[str, str] = {}
        self._branches: set[str] = set()

    def examine(self) -> Findings:
        found = self._found
        self._tell_of_objects()
        self._settle_refs()
        lost = self._look_elsewhere(self._needs())
        if EMPTY_TREE in found.pool.made:
            self._tell("rebuild", EMPTY_TREE.hex(), "the empty tree, which backups name, is lost")
        if lost:
            self._rewrite()
            lost = self._needs()
        for source, count in self._shares():
            self._tell("refetch", source.called, f"it still has {count} lost object{'' if count == 1 else 's'}")
        self._settle_branches()
        self._settle_others()
        self._settle_statcache()
        found.steps += paperwork.steps(self._store, found.papers, found.backups)
        self._refuse_hasty_loss()
        return found

    def _refuse_hasty_loss(self) -> None:
        """What is given up is never looked for again, so a remote that may have it is to be asked, or left out on purpose."""
        unasked = next((remote for remote in self._remotes if remote.fault), None)
        if self._found.lost and unasked is not None:
            backups = sorted({loss.backup for loss in self._found.lost})
            more = f" and {len(backups) - 1} more" if len(backups) > 1 else ""
            raise RemoteError(
                f"Something of {backups[0]}{more} is lost here that {unasked.called} may have. {unasked.fault}",
                hint="Run it again when the remote is all right. --offline goes on without it, and what is lost stays lost.",
            )

    def _tell(self, action: RepairAction, subject: str, text: str) -> None:
        self._found.steps.append(RepairStep(action=action, subject=subject, text=text))

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._store.path).as_posix()

    # --- objects ---

    def _tell_of_objects(self) -> None:
        remains = self._found.remains
        for pack in remains.broken:
            name = self._relative(pack.stem) + ".pack"
            if pack.lacks_only_index:
                self._tell("reindex", name, pack.what)
            else:
                self._tell("salvage", name, f"{pack.what}; {_count(pack)} are whole")
        for path in (*remains.bad_loose, *remains.derived):
            what = "it is damaged" if path in remains.bad_loose else "it tells of packs or commits that are damaged or gone"
            self._tell("set aside", self._relative(path), what)

    # --- refs of backups ---

    def _settle_refs(self) -> None:
        found = self._found
        history = replay(oplog.read(self._store))
        ought = returning.find(found.remains, found.pool, found.refs, history, self._remotes)
        found.notes += ought.notes
        found.backups = [*ought.kept, *ought.trash]
        self._places = {b.id: BACKUP_TAGS for b in ought.kept} | {b.id: TRASH for b in ought.trash}
        for one in ought.returns:
            name = one.place + one.backup.id
            found.values[name] = found.pool.add("tag", one.body).hex() if one.body else one.backup.tag
            self._tell("bring back", name, one.text)
            if one.lost:
                found.lost.append(Loss(backup=one.backup.id, path="", kind="tag", text=one.lost))
        for name, text in ought.gone.items():
            self._give_up(name, text)

    def _give_up(self, name: str, text: str) -> None:
        backup_id = name.rpartition("/")[2]
        self._found.dropped.add(name)
        self._found.values.pop(name, None)
        self._found.lost.append(Loss(backup=backup_id, path="", kind="backup", text=text))
        self._tell("give up", backup_id, text)

    # --- what the backups need ---

    def _needs(self) -> set[bytes]:
        """What is lost of all that the backups need; notes what only other places have."""
        pool, lost = self._found.pool, set[bytes]()
        self._found.refetch = set()
        roots = []
        for backup in self._found.backups:
            commit, tag = bytes.fromhex(backup.commit), bytes.fromhex(backup.tag)
            if not self._can_have(tag):
                lost.add(tag)
            with contextlib.suppress(DamageError):
                roots.append(bytes.fromhex(parse_commit(pool.read(backup.commit)[1]).tree))
            if not self._can_have(commit):
                lost.add(commit)
        for name in needed_below(pool, roots):
            self._run.checkpoint()
            if name == EMPTY_TREE and not pool.contains(name):
                pool.add("tree", b"")
            if not self._can_have(name):
                lost.add(name)
        return lost

    def _can_have(self, name: bytes) -> bool:
        pool = self._found.pool
        if pool.is_stored(name) or name in pool.made:
            return True
        if not pool.contains(name):
            return False
        self._found.refetch.add(name)
        return True

    def _look_elsewhere(self, lost: set[bytes]) -> set[bytes]:
        """Look at the project, at each scope of it, and at the remotes, until nothing is lost any more; what still is."""
        for scope in self._scopes() if lost else ():
            source = self._look_at(scope) if lost else None
            if source is not None and any(source.contains(name) for name in lost):
                self._found.pool.sources.append(source)
                lost = self._needs()
        for remote in self._remotes:
            if lost and any(remote.contains(name) for name in lost):
                self._found.pool.sources.append(remote)
                lost = self._needs()
            if remote.faults:
                text = f"{len(remote.faults)} of the backups of {remote.called} are damaged there, too: {remote.faults[0]}"
                self._found.notes.append(text)
        return lost

    def _look_at(self, scope: Scope) -> ObjectSource | None:
        try:
            return look_at(self._subject_of(scope), self._run)
        except InterruptedRunError:
            raise
        except CronosError as error:
            self._found.notes.append(f"Lost objects could not be looked for in the project: {error.message}")
            return None

    def _scopes(self) -> Iterator[Scope]:
        """The whole project, and then what scoped backups cover, as their trees are other ones."""
        yield Scope(name=SCOPE_PROJECT, paths=("",))
        seen = {SCOPE_PROJECT}
        for backup in self._found.backups:
            if backup.scope not in seen:
                with contextlib.suppress(DamageError, KeyError, TypeError):
                    paths = SnapshotView(self._found.pool, backup.commit).record()["scope"]["paths"]
                    seen.add(backup.scope)
                    yield Scope(name=backup.scope, paths=tuple(paths))

    def _shares(self) -> list[tuple[ObjectSource, int]]:
        """How much of what is to be fetched each source gives: the first that has an object."""
        counts = dict.fromkeys(range(len(self._found.pool.sources)), 0)
        for name in self._found.refetch:
            counts[next(at for at, source in enumerate(self._found.pool.sources) if source.contains(name))] += 1
        return [(self._found.pool.sources[at], count) for at, count in counts.items() if count]

    # --- backups with holes ---

    def _rewrite(self) -> None:
        found = self._found
        rewriter = Rewriter(found.remains, found.pool)
        backups, found.backups = found.backups, []
        for backup in backups:
            made = len(found.pool.made)
            done = rewriter.rewrite(backup)
            name = self._places[backup.id] + backup.id
            after = backup if done is None else done.after
            if after is not None:
                found.backups.append(after)
            if done is None and len(found.pool.made) > made:
                self._tell("rebuild", backup.id, "a commit or trees of it are lost, and could be made anew just as they were")
            if done is None:
                continue
            if after is None:
                with contextlib.suppress(DamageError):
                    found.tags[backup.id] = found.pool.read(backup.tag)[1].decode(errors="replace")
                self._give_up(name, done.lost[0].text)
                continue
            found.values[name] = after.tag
            found.lost += done.lost
            self._tell("rewrite", backup.id, _told(done.lost))

    # --- timelines, other refs, the stat cache ---

    def _settle_branches(self) -> None:
        """Make all timelines anew in memory; what of that the store lacks is made."""
        found = self._found
        kept = [backup for backup in found.backups if self._places[backup.id] == BACKUP_TAGS]
        for scope in sorted({backup.scope for backup in kept}):
            made = len(found.pool.made)
            name = timeline.ref_name(scope)
            self._branches.add(name)
            tip = timeline.rebuild(found.pool.add, found.pool, [backup for backup in kept if backup.scope == scope])
            is_moved = tip is not None and (found.refs.value(name) != tip or name in found.refs.bad)
            if tip is not None and is_moved:
                found.branches[name] = tip
            if is_moved or len(found.pool.made) > made:
                self._tell("rebuild", name, "it is not what the backups make it" if is_moved else "commits of it are lost")

    def _settle_others(self) -> None:
        """Refs that are of no backup, and lead nowhere; what `packed-refs` says and should not."""
        found = self._found
        settled = found.values.keys() | found.dropped | self._branches
        for name in sorted(found.refs.names() - settled):
            value = found.refs.value(name)
            what = found.refs.bad.get(name, "")
            if _lies_below_backup(name):
                what = "it is no ref of a backup"
            elif name.startswith((BACKUP_TAGS, TRASH)) and name.rpartition("/")[2] not in self._places:
                what = "its name is garbled: it leads to another backup"
            elif name.startswith(_TIMELINES):
                what = "no backup of it is left"
            elif value is None or not found.pool.contains(bytes.fromhex(value)):
                what = what or "it leads to nothing that is whole"
            if what:
                found.dropped.add(name)
                self._tell("set aside", name, what)
        if found.refs.bad_lines or found.packed() != (found.refs.packed, found.refs.peeled):
            self._tell("rebuild", "packed-refs", "it has lines that are no refs" if found.refs.bad_lines else "refs in it change")

    def _settle_statcache(self) -> None:
        found, path = self._found, self._store.statcache
        recorded = set(fingerprints.recorded_packs(path))
        is_true = recorded and recorded <= {table.path.stem for table in found.remains.sound}
        if path.exists() and (found.steps or not is_true):
            found.drops_statcache = True
            self._tell("rebuild", self._relative(path), "it rests on packs that are gone; the next backup reads every file")


def _count(pack: BrokenPack) -> str:
    count = sum(1 for _ in pack.names())
    return f"{count} of its objects"


def _lies_below_backup(name: str) -> bool:
    """Whether a ref's name is that of a backup's ref and more."""
    return any(name.startswith(place) and "/" in name.removeprefix(place) for place in (BACKUP_TAGS, TRASH))


def _told(lost: Sequence[Loss]) -> str:
    if not lost:
        return "its commit is lost; it gets a new one of the same content"
    paths = [loss.path or loss.kind for loss in lost]
    return f"lost: {', '.join(paths[:3])}" + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
