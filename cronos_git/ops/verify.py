"""`verify`: are the backups whole? Every object they need is there, every byte hashes to its name, all of it fits together.

Damage is data, never an exception: each finding names the object, the paths it takes away, and the backups hit. Where objects
are read and how they are found is left to `git.packcheck` and `git.needs`, which parts of packs are due to `rotation`; mending
is not done here. Floor F7.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from cronos_git.errors import DamageError, ObjectMissingError, RecordFormatError, UsageError
from cronos_git.events import Finished, Noticed, Run, Started
from cronos_git.git.listing import Directory, ListingReader, broken, naming
from cronos_git.git.needs import CheckedObjects, Needs, Whereabouts
from cronos_git.git.packcheck import PackCheck
from cronos_git.git.packtable import PackProblem, PackTable, cut_short, read_tables
from cronos_git.git.store import Store
from cronos_git.git.trees import MODE_FILE
from cronos_git.git.view import SnapshotView
from cronos_git.model import Backup, Damage, Entry, VerifyReport, VerifyRequest
from cronos_git.ops.rotation import Rotation, Slice, by_pack

_PHASE = "verify"


def verify(
    store: Store,
    backups: Sequence[Backup],
    damaged_tags: Sequence[Damage],
    request: VerifyRequest,
    run: Run,
    *,
    now: datetime | None = None,
) -> VerifyReport:
    """Check that backups are whole.

    Quick: no pack was cut short, every object is there; commits, trees and attribute records, which tell what follows, are read
    and hashed. A damaged copy of an object does not count when another pack has it whole: it is read from there.
    In part (a share, an amount, a time, or what is left of an interrupted check): the same, and the parts of packs whose turn
    it is are read and hashed.
    Else every byte of every pack is read and hashed as well, and what is stored is checked to fit together. With backups named
    in the request only what these need is read, and not the packs around it.

    Args:
        store: Locked against removal of objects by the caller (a shared lock will do); other programs may repack it.
        backups: Those that the request names; all that can be read when it names none.
        damaged_tags: As `catalog.read` tells of them; they become part of the report.
        now: When this is, to be noted in the store with what was read; None notes nothing, and begins anew.

    Raises:
        UsageError: The request contradicts itself.
        AccessError, HostError: The store cannot be read at all.
        InterruptedRunError: The run was cancelled; what was read until then is noted.

    Cost: in proportion to the objects, not to the backups that share them. Memory: some 200 bytes an object, the trees of one
    directory, and a few batches of 4 MiB.
    Durability: what was read is noted durably, now and then and in the end.
    """
    _refuse_contradiction(request)
    started = time.monotonic()
    tables, problems = read_tables(store.pack_dir)
    check = _Check(store, tables, problems, run)
    rotation = Rotation(store.cronos_dir, tables, now, run) if request.is_of_all and not request.quick else None
    ordered = sorted(backups, key=lambda backup: backup.sequence)
    check.look(ordered, request, rotation, started)
    damage = (*damaged_tags, *check.damage(ordered, damaged_tags))
    run.emit(Finished(_PHASE))
    return VerifyReport(
        backups=len(backups),
        objects=len(check.needed),
        bytes_read=check.objects.bytes_read if rotation is None else check.packed_bytes_read,
        damage=damage,
        duration_s=time.monotonic() - started,
        progress=rotation.progress() if rotation is not None and now else None,
    )


def _refuse_contradiction(request: VerifyRequest) -> None:
    if request.is_partial and (request.quick or not request.is_of_all):
        raise UsageError(
            "A check of a share of the store is of all backups, and reads what is stored.",
            hint="Leave out the names of backups, --trash and --quick; or --read, --max-time and --resume.",
        )
    if request.resume and (request.read_percent, request.read_bytes) != (None, None):
        raise UsageError(
            "A check is resumed to its end, or until its time is up.",
            hint="Give --resume, with or without --max-time, or --read.",
        )
    limits = (request.read_percent, request.read_bytes, request.max_time_s)
    if any(limit is not None and not 0 < limit < math.inf for limit in limits):
        raise UsageError("A check must read something.", hint="Give --read and --max-time more than 0.")


class _Check:
    """One run: the state of the objects, and all that was found."""

    def __init__(self, store: Store, tables: Sequence[PackTable], problems: Sequence[PackProblem], run: Run) -> None:
        self._run = run
        self._tables = tables
        self._problems = list(problems)
        self.objects = CheckedObjects(store, tables)
        self._misfits: Mapping[bytes, DamageError] = {}
        self.needed: set[bytes] = set()
        self.packed_bytes_read = 0

    def look(self, backups: Sequence[Backup], request: VerifyRequest, rotation: Rotation | None, started_s: float) -> None:
        """Look as deep as the request says.

        Args:
            rotation: Which parts of packs are due; None when packs are not to be read as such.
            started_s: When the run began, by `time.monotonic`.
        """
        if rotation is not None and not request.is_partial:
            self.read_packs(rotation, rotation.everything(), [])
            self.visit(backups, quick=False, announced=False)
            return
        self.look_at_packs()
        self.visit(backups, quick=request.quick or rotation is not None, announced=True)
        if rotation is not None:
            self.read_share(rotation, request, started_s)
            if request.resume:
                self.fit(backups, self.objects.known_size)

    def read_share(self, rotation: Rotation, request: VerifyRequest, started_s: float) -> None:
        """Read the parts of packs whose turn it is, and those that were damaged before, so that this is told again."""
        budget = request.read_bytes if request.read_bytes is not None else rotation.total_bytes
        if request.read_percent is not None:
            budget = min(budget, math.ceil(rotation.total_bytes * request.read_percent / 100))
        damaged = rotation.damaged()
        due = rotation.unfinished() if request.resume else rotation.due(budget)
        deadline = started_s + (request.max_time_s if request.max_time_s is not None else math.inf)
        self.read_packs(rotation, [*damaged, *due[:1]], due[1:], lambda: time.monotonic() < deadline)

    def read_packs(
        self, rotation: Rotation, first: Sequence[Slice], then: Sequence[Slice], goes_on: Callable[[], bool] = lambda: True
    ) -> None:
        """Read and hash every byte of some parts of packs.

        Args:
            first: Those that are read in any case.
            then: Those that are read as long as it *goes_on*.
        """
        parts = [slice_.part for slice_ in (*first, *then)]
        total_bytes = sum(part.size_bytes for part in parts)
        self._run.emit(Started(_PHASE, sum(part.end - part.first for part in parts), total_bytes))
        packs = PackCheck(self.objects.read_stored, self._run, rotation.note)
        try:
            for table, same in by_pack(first):
                packs.check(table, same)
            for table, same in by_pack(then):
                if goes_on():
                    packs.check(table, same, goes_on)
        finally:
            rotation.save()
        self._remember(packs)

    def _remember(self, packs: PackCheck) -> None:
        faults = self.objects.forgive(packs.faults)
        if len(faults) < len(packs.faults):
            self._notice(f"Damaged copies of objects that other packs have whole: {len(packs.faults) - len(faults)}.")
        self.objects.faults |= faults
        told = [problem.table for problem in self._problems]
        self._problems += {id(p.table): p for p in packs.problems if p.table not in told}.values()
        self.packed_bytes_read = packs.bytes_read

    def look_at_packs(self) -> None:
        """See whether packs were cut short, which takes no more than was read already."""
        self._problems += cut_short(self._tables)

    def visit(self, backups: Sequence[Backup], *, quick: bool, announced: bool) -> None:
        """Visit all that the backups need, and unless *quick* see whether it fits together."""
        if announced:
            self._run.emit(Started(_PHASE))
        needs = Needs(self.objects, self._run, quick=quick, announced=announced)
        for backup in backups:
            needs.visit(backup)
        self.needed = needs.seen
        if not quick:
            self.fit(backups, self.objects.blob_size)

    def fit(self, backups: Sequence[Backup], size_of: Callable[[bytes], int | None]) -> None:
        """See whether what is stored fits together.

        Args:
            size_of: Size of a blob, None where it is not known.
        """
        fit = _Fit(self.objects, size_of, self._run)
        for backup in backups:
            fit.check(backup)
        self._misfits = fit.misfits

    def damage(self, backups: Sequence[Backup], damaged_tags: Sequence[Damage]) -> Iterator[Damage]:
        """What was found, pack by pack and path by path; what hits no backup is only told as an event."""
        lost = [backup for tag in damaged_tags if tag.code == "missing" for backup in tag.backups]
        for problem in self._problems:
            yield from self._pack_damage(problem, backups, () if problem.table else lost)
        found = {name: error for name, error in self.objects.faults.items() if name in self.needed}
        unreached = len(self.objects.faults) - len(found)
        if unreached:
            self._notice(f"Damaged objects in the store to which none of these backups leads: {unreached}.")
        found |= self._misfits
        for (path, name), ids in sorted(self._hits(found, backups).items()):
            yield self._object_damage(name, found[name], path, ids)

    def _hits(self, found: Mapping[bytes, DamageError], backups: Sequence[Backup]) -> dict[tuple[str, bytes], list[str]]:
        """Ids of the backups, oldest first, by each path and object that is hit."""
        hits: dict[tuple[str, bytes], list[str]] = {}
        where = Whereabouts(self.objects, found)
        for backup in backups if found else ():
            for hit in dict.fromkeys(where.paths(backup)):
                hits.setdefault(hit, []).append(backup.id)
        return hits

    def _pack_damage(self, problem: PackProblem, backups: Sequence[Backup], lost: Sequence[str]) -> Iterator[Damage]:
        """Damage of a pack as a whole; the tags of *lost* backups may have been in it, as nobody can tell what it holds."""
        where = Whereabouts(self.objects, self._only_in(problem.table) if problem.table else self.objects.outside)
        ids = (*(backup.id for backup in backups if where.is_hit(backup)), *lost)
        if ids:
            yield Damage(backups=ids, path="", oid="", code="corrupt", text=problem.text)
        else:
            self._notice(f"{problem.text} None of these backups needs it.")

    def _only_in(self, table: PackTable) -> set[bytes]:
        """The objects of a damaged pack that no undamaged one has."""
        damaged = {problem.table.path for problem in self._problems if problem.table}
        sound = [other for other in self._tables if other.path not in damaged]
        return {name for name in table.names if all(other.position(name) is None for other in sound)}

    def _object_damage(self, name: bytes, error: DamageError, path: str, ids: Sequence[str]) -> Damage:
        hidden = " What lies below it cannot be checked." if name in self.objects.blind else ""
        return Damage(backups=tuple(ids), path=path, oid=name.hex(), code=_code(error), text=error.message + hidden)

    def _notice(self, text: str) -> None:
        self._run.emit(Noticed("warning", "verify.unneeded", text))


def _code(error: DamageError) -> str:
    if isinstance(error, ObjectMissingError):
        return "missing"
    return "record" if isinstance(error, RecordFormatError) else "corrupt"


class _Fit:
    """Sees whether what is stored fits together: names, kinds, attributes, sizes, the record of the backup.

    Objects with faults are passed over; those are told already.

    Attributes:
        misfits: What does not fit: by commit what concerns the whole backup, by attribute tree what concerns a directory.

    Cost: a parse of each attribute record, however many snapshots share it.
    """

    def __init__(self, objects: CheckedObjects, size_of: Callable[[bytes], int | None], run: Run) -> None:
        self._objects = objects
        self._size_of = size_of
        self._reader = ListingReader(objects)
        self._run = run
        self._seen: set[tuple[str, str]] = set()
        self.misfits: dict[bytes, DamageError] = {}

    def check(self, backup: Backup) -> None:
        """Check one backup, but for the directories that an earlier one had just so."""
        with self._collecting(bytes.fromhex(backup.commit)):
            view = SnapshotView(self._objects, backup.commit)
            self._check_directories(view.root)
            view.record()

    def _check_directories(self, root: Directory) -> None:
        pending = [root]
        while pending:
            directory = pending.pop()
            if (directory.data, directory.attributes) not in self._seen:
                self._seen.add((directory.data, directory.attributes))
                self._run.checkpoint()
                with self._collecting(bytes.fromhex(directory.attributes)):
                    pending += self._check_directory(directory)

    def _check_directory(self, directory: Directory) -> list[Directory]:
        """Check what one directory holds; the directories in it."""
        members = self._reader.listing(directory).members.values()
        below = [member for member in members if isinstance(member, Directory)]
        with naming(directory.path), self._collecting(bytes.fromhex(directory.attributes)):
            for member in members:
                if isinstance(member, Entry) and member.oid:
                    self._check_size(member)
        return below

    def _check_size(self, entry: Entry) -> None:
        content = bytes.fromhex(entry.oid)
        sizes = [self._size_of(piece) for piece in (self._chunks(entry.oid) if entry.chunked else [content])]
        size, told = sum(size or 0 for size in sizes), entry.attributes.size_bytes
        # A file that changed while it was read may have been longer or shorter a moment later.
        if None not in sizes and size != told and not entry.attributes.changed:
            raise broken(f"{entry.path!r} has {size} bytes, its attributes say {told}")

    def _chunks(self, oid: str) -> list[bytes]:
        chunks = self._reader.tree(oid)
        width = max(8, len(str(len(chunks) - 1)))
        if [(chunk.mode, chunk.stored) for chunk in chunks] != [(MODE_FILE, b"%0*d" % (width, n)) for n in range(len(chunks))]:
            raise broken(f"a chunk of {oid} is missing or misnamed")
        return [chunk.oid for chunk in chunks]

    @contextlib.contextmanager
    def _collecting(self, name: bytes) -> Iterator[None]:
        """Remember a misfit under *name*; what could not be read is remembered by the objects."""
        try:
            yield
        except RecordFormatError as error:
            self.misfits.setdefault(name, error)
        except DamageError:
            pass
