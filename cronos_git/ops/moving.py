"""Changes a directory in place, all or nothing: the one applier of every restore that is not to a new place.

    stage -> flush -> read back -> journal "moving" -> move -> look again -> flush -> journal "moved" -> clean up -> journal gone

New content is written into hidden staging directories of the target, one on each file system concerned. Each file has a slot
there: an updated file changes places with what is in its slot, a created one leaves it, a deleted one enters it. So until the end
everything old is still there, and how far each move got can be seen from which file is where: the journal names both by inode.

Killed before "moving", the staging directories are removed; killed while moving, everything is moved back; killed after "moved",
only the staging directories, with the old files, are left to be removed: all that is `unwinding`'s. Floor F7, below the verbs.

Durability: when `carry_out` returns, the new state survives a power cut.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from cronos_git.disk import moves, stage
from cronos_git.disk.moves import Place, Stamp
from cronos_git.disk.scanned import Found, Scan, found
from cronos_git.disk.walk import STAGING_PREFIX
from cronos_git.errors import CronosError, DamageError, RefusedError
from cronos_git.events import Advanced, Finished, Noticed, Run, Started
from cronos_git.git.view import SnapshotView
from cronos_git.model import Entry, Problem
from cronos_git.ops.journal import Journal
from cronos_git.ops.places import ASIDE, Doors, Flush, Slots, at, flush_files, opened_file, put
from cronos_git.ops.steps import Steps, Write, host_of, join, name_of, parent_of
from cronos_git.ops.unwinding import finish, roll_back
from cronos_git.ops.writing import BATCH_FILES, Destination, Written, content_bytes, cut, reads_back, restore_error, write_batches
from cronos_git.rules.attributes import format_line


@dataclass(slots=True)
class Done:
    """What was done."""

    files: int = 0
    size_bytes: int = 0
    verified: int = 0
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The directory that is changed.

    Attributes:
        path: Its real path.
        fd: Open, and locked by the caller.
        scan: What it was like when the steps were planned.
    """

    path: str
    fd: int
    scan: Scan


def intent(target: Target, steps: Steps) -> dict[str, Any]:
    """What the journal must say before anything is written into the target.

    There is a staging directory at the top of the target, and at the top of each other file system that files move on.
    """
    name = f"{STAGING_PREFIX}{os.getpid()}-{os.urandom(4).hex()}"
    paths = [*(entry.path for entry in steps.deleted), *(write.after.path for write in steps.written)]
    hosts = sorted({"", *(host_of(target.scan, parent_of(path)) for path in paths)})
    before = {path: settling.before for path, settling in steps.settled.items()}
    return {
        "phase": "staging",
        "target": target.path,
        "inode": os.fstat(target.fd).st_ino,
        "stagings": [join(host, name) for host in hosts],
        "hosts": [[host, format_line(attributes)] for host in hosts if (attributes := before[host])],
    }


def carry_out(
    where: Destination,
    target: Target,
    steps: Steps,
    view: SnapshotView,
    log: Journal,
    start: Mapping[str, Any],
    run: Run,
    *,
    verify: bool,
    rolled_back: Callable[[], None],
) -> Done:
    """Do what was planned, or nothing.

    Args:
        where: The store, and the target as the place to write to.
        view: The desired tree, for the contents.
        log: Holds *start*, what `intent` gave. It is closed when this returns, and when everything is as it was.
        rolled_back: Called when everything is as it was after an error, before the journal is closed.

    Raises:
        RefusedError: The target has changed since it was looked at.
        DiskFullError, AccessError, HostError, DamageError, InterruptedRunError: The target is as it was.
    """
    moving = _Moving(where, target, steps, view, start, run)
    try:
        moving.stage(verify=verify)
        log.update(moving.record)
        moving.move()
        log.update(moving.conclusion())
    except BaseException as error:
        _take_back(target.fd, log, moving.record, run, rolled_back)
        if isinstance(error, OSError):
            raise _translated(error, target.path) from error
        raise
    _clean_up(target.fd, moving.conclusion(), log, run)
    return moving.done


def _take_back(root_fd: int, log: Journal, record: Mapping[str, Any], run: Run, rolled_back: Callable[[], None]) -> None:
    """Put everything back and close the journal; when that fails, the journal stays for the next command.

    A journal that says "moved" must not say so while things are moved back: the old files would be cleaned up.
    """
    try:
        if log.phase() == "moved":
            log.update(record)
        for text in roll_back(root_fd, record):
            run.emit(Noticed("warning", "restore.rescued", text))
        rolled_back()
        log.close()
    except (OSError, CronosError) as error:
        text = f"Not everything could be put back: {error}. `cronos recover` tries again; until then nothing is lost."
        run.emit(Noticed("warning", "restore.unrecovered", text))


def _clean_up(root_fd: int, record: Mapping[str, Any], log: Journal, run: Run) -> None:
    """The restore is done; what cannot be removed now is removed by the next command."""
    try:
        finish(root_fd, record)
        log.close()
    except (OSError, CronosError) as error:
        text = f"The restore is complete, but its staging directory could not be removed: {error}. The next command tries again."
        run.emit(Noticed("warning", "restore.uncleaned", text))


def _translated(error: OSError, target: str) -> CronosError:
    if error.errno in (errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENOTEMPTY):
        return changed_meanwhile(os.fsdecode(error.filename or "something"))
    if error.errno == errno.EXDEV:
        return RefusedError(
            f"{os.fsdecode(error.filename or target)} lies on a mount of its own. Nothing was restored.",
            hint="Unmount it, or restore the paths beside it.",
        )
    return restore_error(error, target)


def changed_meanwhile(what: str) -> RefusedError:
    """The error for a target that is not as it was when it was looked at."""
    return RefusedError(
        f"{what} has changed since the target was looked at. Nothing was restored.",
        hint="Run it again. If a program is writing there, stop it, or restore only other paths.",
        path=what,
    )


# --- forward ------------------------------------------------------------------------------------------------------


class _Moving:
    def __init__(
        self, where: Destination, target: Target, steps: Steps, view: SnapshotView, start: Mapping[str, Any], run: Run
    ) -> None:
        self.where = where
        self.target = target
        self.steps = steps
        self.view = view
        self.run = run
        self.done = Done()
        self.record: dict[str, Any] = dict(start)
        self.slots = Slots(target.scan, start["stagings"])
        self.slot_of = {write.after.path: self.slots.next(write.after.path) for write in steps.written}
        self.path_of = {slot: path for path, slot in self.slot_of.items()}

    # --- staging: nothing of the target changes ---

    def stage(self, *, verify: bool) -> None:
        """Write everything new into its slot, durably, and check it; then the record tells of all moves."""
        deleted = [(entry, self.slots.next(entry.path)) for entry in self.steps.deleted]
        with Doors(self.target.fd, opens=True) as doors:  # also where the top directory is read-only
            for staging in self.record["stagings"]:
                doors.open(parent_of(staging))
        with at(self.target.path):
            for path in self.slots.directories:
                stage.make_staging(self.target.fd, path)
        own = [write for write in self.steps.written if not write.source]
        size_bytes = sum(content_bytes(write.after) for write in own)
        self.run.emit(Started("restore", len(self.steps.written), size_bytes))
        try:
            write_batches(self.where, cut(map(self._at_slot, own)), len(own), size_bytes, self._take, self.run)
        except DamageError as error:
            raise self._at_path(error) from error
        self._require_unchanged()  # before links are made, as a file's change time tells of a new link too
        for write in self.steps.written:
            if write.source:
                self._link(write)
        self.run.emit(Finished("restore"))
        slots = [self.slot_of[write.after.path] for write in own]
        flush_files(self.target.fd, self.record["stagings"], slots, self.slots.directories)
        if verify:
            self._verify(own, size_bytes)
        self.record |= {"phase": "moving", **self._moves(deleted)}

    def _at_slot(self, write: Write) -> Entry:
        slot = self.slot_of[write.after.path]
        return replace(write.after, path=slot, attributes=replace(write.after.attributes, name=slot.rpartition("/")[2]))

    def _at_path(self, error: DamageError) -> DamageError:
        """The error with the path for which a slot stands."""
        slot = str(error.context.get("path"))
        path = self.path_of.get(slot, slot)
        return type(error)(error.message.replace(repr(slot), repr(path)), hint=error.hint, **{**error.context, "path": path})

    def _take(self, written: Written) -> None:
        self.done.files += written.files
        self.done.size_bytes += written.size_bytes
        self.done.problems += [replace(problem, path=self.path_of[problem.path]) for problem in written.problems]
        self.run.emit(Advanced(self.done.files, self.done.size_bytes, self.path_of.get(written.path, "")))

    def _link(self, write: Write) -> None:
        source = self.slot_of.get(write.source, write.source)
        slot = self.slot_of[write.after.path]
        with Doors(self.target.fd) as doors:
            first, second = doors.place(source), doors.place(slot)
            stage.make_hard_link(first.dir_fd, first.name, second.dir_fd, second.name)
        self.done.files += 1

    def _verify(self, own: Sequence[Write], total_bytes: int) -> None:
        self.run.emit(Started("verify", len(own), total_bytes))
        size = 0
        for write in own:
            self.run.checkpoint()
            if not write.after.oid:
                continue
            if not reads_back(self.view, self.target.path, self._at_slot(write)):
                raise DamageError(
                    f"{write.after.path} reads back otherwise than it was written. Nothing was restored.",
                    hint="Check the disk at the target; restore to another one.",
                )
            self.done.verified += 1
            size += content_bytes(write.after)
            self.run.emit(Advanced(self.done.verified, size, write.after.path))
        self.run.emit(Finished("verify"))

    def _require_unchanged(self) -> None:
        """Raise RefusedError when what is to be moved, changed or linked to is not as it was seen, to the nanosecond."""
        steps = self.steps
        going = (
            *steps.deleted,
            *(write.before for write in steps.written if write.before),
            *(before for before, _ in steps.touched),
        )
        linked = {write.source for write in steps.written if write.source} - self.slot_of.keys()
        with Doors(self.target.fd) as doors:
            for path in linked.union(entry.path for entry in going):
                info = moves.look(doors.place(path))
                if info is None or found(name_of(path), info) != self._seen(path):
                    raise changed_meanwhile(path)

    def _seen(self, path: str) -> Found:
        seen = self.target.scan.find(path)
        if seen is None:
            raise changed_meanwhile(path)
        return seen

    def _moves(self, deleted: Sequence[tuple[Entry, str]]) -> dict[str, Any]:
        """Everything that is going to happen, such that it can be taken back from this alone."""
        steps = self.steps
        with Doors(self.target.fd) as doors:
            new = {path: moves.look(doors.place(slot)) for path, slot in self.slot_of.items()}
        return {
            "deleted": [[entry.path, slot, self._stamp(entry.path)] for entry, slot in deleted],
            "written": [
                [
                    write.after.path,
                    self.slot_of[write.after.path],
                    info and moves.stamp_of(info),
                    write.before and self._stamp(write.after.path),
                ]
                for write in steps.written
                for info in (new[write.after.path],)
            ],
            "unmade": [[entry.path, format_line(entry.attributes)] for entry in steps.unmade],
            "made": [entry.path for entry in steps.made],
            "touched": [
                [before.path, format_line(before.attributes), was, was._replace(mtime_ns=after.attributes.mtime_ns)]
                for before, after in steps.touched
                for was in (self._stamp(before.path),)
            ],
            "settled": [[path, format_line(settling.before)] for path, settling in steps.settled.items() if settling.before],
        }

    def _stamp(self, path: str) -> Stamp:
        seen = self._seen(path)
        return Stamp(seen.inode, seen.mtime_ns, seen.size)

    # --- moving ---

    def move(self) -> None:
        """Change the target; every step can be taken back from the record."""
        record = self.record
        total = len(record["deleted"]) + len(record["written"])
        self.run.emit(Started("move", total))
        with Doors(self.target.fd, opens=True) as doors:
            for count, (path, slot, stamp) in enumerate(record["deleted"]):
                self._advance(count, path)
                with at(path):
                    moves.move(doors.place(path), doors.place(slot))
                _require(doors.place(slot), stamp, path)
            for entry in reversed(self.steps.unmade):
                doors.forget(entry.path)
                with at(entry.path):
                    moves.remove_directory(doors.place(entry.path))
            for entry in self.steps.made:
                with at(entry.path):
                    stage.make_directory(*doors.place(entry.path))
            for count, (path, slot, _, old) in enumerate(record["written"], len(record["deleted"])):
                self._advance(count, path)
                with at(path):
                    came = put(doors.place(path), doors.place(slot), replaces=old is not None)
                if old is not None:
                    _require(came, old, path)
            flush = Flush(len(self.steps.touched) + len(self.steps.settled))
            self._touch(flush)
            self._settle(doors, flush)
        flush.end(self.target.fd, record["stagings"])
        self._look_again()
        self.run.emit(Finished("move"))

    def _advance(self, count: int, path: str) -> None:
        if count % BATCH_FILES == 0:
            self.run.checkpoint()
            self.run.emit(Advanced(count, 0, path))

    def _touch(self, flush: Flush) -> None:
        with Doors(self.target.fd) as doors:  # their directories stay as they are
            for before, after in self.steps.touched:
                with opened_file(doors.place(after.path)) as fd:
                    if moves.stamp_of(os.fstat(fd)) != self._stamp(before.path):
                        raise changed_meanwhile(after.path)
                    self._note(after.path, stage.apply_attributes(fd, after.attributes, exact=True))
                    flush.one(fd, after.path)

    def _settle(self, doors: Doors, flush: Flush) -> None:
        """Last of all, as directories may shut us out then."""
        for path, settling in reversed(self.steps.settled.items()):
            fd = doors.open(path)
            self._note(path, stage.apply_attributes(fd, settling.after, exact=True))
            flush.one(fd, path)
            doors.forget(path)

    def _note(self, path: str, failed: Sequence[str]) -> None:
        self.done.problems += [Problem(path=path, code="attribute", text=text) for text in failed]

    def _look_again(self) -> None:
        """Whoever had an old file open may have written to it after it was backed up; then everything goes back."""
        with Doors(self.target.fd) as doors:
            for path, slot, new, old in self.record["written"]:
                with suppress(PermissionError):  # a directory that shuts us out, as it should
                    _require(doors.place(path), new, path)
                if old is not None:
                    aside = doors.place(slot + ASIDE)
                    _require(aside if moves.look(aside) else doors.place(slot), old, path)
            for path, slot, stamp in self.record["deleted"]:
                _require(doors.place(slot), stamp, path)

    def conclusion(self) -> dict[str, Any]:
        """What the journal must say when all is done but cleaning up."""
        record = self.record
        hosts = {path: self.steps.settled[path].after for path, _ in record["hosts"]}
        return {
            **{key: value for key, value in record.items() if key not in _MOVES},
            "phase": "moved",
            "hosts": [[path, format_line(after)] for path, after in hosts.items()],
        }


_MOVES = ("deleted", "written", "unmade", "made", "touched", "settled")


def _require(place: Place, stamp: Sequence[int], path: str) -> None:
    info = moves.look(place)
    if info is None or moves.stamp_of(info) != tuple(stamp):
        raise changed_meanwhile(path)
