"""`verify`: are the backups whole? Every object they need is there, every byte hashes to its name, all of it fits together.

Damage is data, never an exception: each finding names the object, the paths it takes away, and the backups hit. Where objects
are read and how they are found is left to `git.packcheck` and `git.needs`; mending is not done here. Floor F7.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence

from cronos_git.errors import DamageError, ObjectMissingError, RecordFormatError
from cronos_git.events import Finished, Noticed, Run, Started
from cronos_git.git.listing import Directory, ListingReader, broken, naming
from cronos_git.git.needs import CheckedObjects, Needs, Whereabouts
from cronos_git.git.packcheck import PackCheck, PackProblem, PackTable, cut_short, read_tables
from cronos_git.git.store import Store
from cronos_git.git.trees import MODE_FILE
from cronos_git.git.view import SnapshotView
from cronos_git.model import Backup, Damage, Entry, VerifyReport, VerifyRequest

_PHASE = "verify"


def verify(
    store: Store, backups: Sequence[Backup], damaged_tags: Sequence[Damage], request: VerifyRequest, run: Run
) -> VerifyReport:
    """Check that backups are whole.

    Quick: no pack was cut short, every object is there; commits, trees and attribute records, which tell what follows, are read
    and hashed. A damaged copy of an object does not count when another pack has it whole: it is read from there.
    Else every byte of every pack is read and hashed as well, and what is stored is checked to fit together. With backups named
    in the request only what these need is read, and not the packs around it.

    Args:
        store: Locked against removal of objects by the caller (a shared lock will do).
        backups: Those that the request names; all that can be read when it names none.
        damaged_tags: As `catalog.read` tells of them; they become part of the report.

    Raises:
        AccessError, HostError: The store cannot be read at all.
        InterruptedRunError: The run was cancelled.

    Cost: in proportion to the objects, not to the backups that share them. Memory: some 200 bytes an object, the trees of one
    directory, and a few batches of 4 MiB.
    """
    started = time.monotonic()
    tables, problems = read_tables(store.pack_dir)
    whole_store = not request.quick and not request.backups
    check = _Check(store, tables, problems, run)
    run.emit(_started(tables) if whole_store else Started(_PHASE))
    if whole_store:
        check.read_packs()
    else:
        check.look_at_packs()
    ordered = sorted(backups, key=lambda backup: backup.sequence)
    check.visit(ordered, quick=request.quick, announced=not whole_store)
    damage = (*damaged_tags, *check.damage(ordered, damaged_tags))
    run.emit(Finished(_PHASE))
    return VerifyReport(
        backups=len(backups),
        objects=len(check.needed),
        bytes_read=check.bytes_read,
        damage=damage,
        duration_s=time.monotonic() - started,
    )


def _started(tables: Sequence[PackTable]) -> Started:
    return Started(_PHASE, sum(len(table.names) for table in tables), sum(table.size_bytes for table in tables))


class _Check:
    """One run: the state of the objects, and all that was found."""

    def __init__(self, store: Store, tables: Sequence[PackTable], problems: Sequence[PackProblem], run: Run) -> None:
        self._run = run
        self._tables = tables
        self._problems = list(problems)
        self._objects = CheckedObjects(store, tables)
        self._packs_read = 0
        self._misfits: Mapping[bytes, DamageError] = {}
        self.needed: set[bytes] = set()

    @property
    def bytes_read(self) -> int:
        """Bytes of packs read whole; when none was, bytes of bodies."""
        return self._packs_read or self._objects.bytes_read

    def read_packs(self) -> None:
        """Read and hash every byte of every pack."""
        packs = PackCheck(self._objects.read_stored, self._run)
        for table in self._tables:
            packs.check(table)
        faults = self._objects.forgive(packs.faults)
        if len(faults) < len(packs.faults):
            self._notice(f"Damaged copies of objects that other packs have whole: {len(packs.faults) - len(faults)}.")
        self._objects.faults |= faults
        self._problems += packs.problems
        self._packs_read = packs.bytes_read

    def look_at_packs(self) -> None:
        """See whether packs were cut short, which takes no more than was read already."""
        self._problems += cut_short(self._tables)

    def visit(self, backups: Sequence[Backup], *, quick: bool, announced: bool) -> None:
        """Visit all that the backups need, and unless *quick* see whether it fits together."""
        needs = Needs(self._objects, self._run, quick=quick, announced=announced)
        fit = _Fit(self._objects, self._run)
        for backup in backups:
            needs.visit(backup)
            if not quick:
                fit.check(backup)
        self.needed = needs.seen
        self._misfits = fit.misfits

    def damage(self, backups: Sequence[Backup], damaged_tags: Sequence[Damage]) -> Iterator[Damage]:
        """What was found, pack by pack and path by path; what hits no backup is only told as an event."""
        lost = [backup for tag in damaged_tags if tag.code == "missing" for backup in tag.backups]
        for problem in self._problems:
            yield from self._pack_damage(problem, backups, () if problem.table else lost)
        found = {name: error for name, error in self._objects.faults.items() if name in self.needed}
        unreached = len(self._objects.faults) - len(found)
        if unreached:
            self._notice(f"Damaged objects in the store to which none of these backups leads: {unreached}.")
        found |= self._misfits
        for (path, name), ids in sorted(self._hits(found, backups).items()):
            yield self._object_damage(name, found[name], path, ids)

    def _hits(self, found: Mapping[bytes, DamageError], backups: Sequence[Backup]) -> dict[tuple[str, bytes], list[str]]:
        """Ids of the backups, oldest first, by each path and object that is hit."""
        hits: dict[tuple[str, bytes], list[str]] = {}
        where = Whereabouts(self._objects, found)
        for backup in backups if found else ():
            for hit in dict.fromkeys(where.paths(backup)):
                hits.setdefault(hit, []).append(backup.id)
        return hits

    def _pack_damage(self, problem: PackProblem, backups: Sequence[Backup], lost: Sequence[str]) -> Iterator[Damage]:
        """Damage of a pack as a whole; the tags of *lost* backups may have been in it, as nobody can tell what it holds."""
        where = Whereabouts(self._objects, self._only_in(problem.table) if problem.table else self._objects.outside)
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
        hidden = " What lies below it cannot be checked." if name in self._objects.blind else ""
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

    def __init__(self, objects: CheckedObjects, run: Run) -> None:
        self._objects = objects
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
        sizes = [self._objects.blob_size(piece) for piece in (self._chunks(entry.oid) if entry.chunked else [content])]
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
