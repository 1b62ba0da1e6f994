"""Brings a backup, or some paths of it, back into a new place.

    plan -> journal -> stage -> attributes of directories, children first -> (verify) -> move into place -> journal closed

Everything is written into a hidden staging directory first: beside a target that does not exist, inside one that does (somebody
may stand in it). It becomes visible by one rename, or by one rename for each top-level name. Killed before, the target is as
it was and the next command removes the staging directory; killed while moving, the next command finishes the move. Floor F7.

Durability: contents are in the kernel's hands when this returns, not yet on the disk, as with `cp`; nothing that existed is at
risk, and the backup stays. Cost: one object and one file creation for each file. Memory: a few batches.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cronos_git.disk import contents, files, stage
from cronos_git.disk.children import Children, are_worthwhile
from cronos_git.disk.stage import opened
from cronos_git.disk.workers import run_batches
from cronos_git.errors import CronosError, DamageError, DiskFullError, HostError, RefusedError
from cronos_git.events import Advanced, Finished, Noticed, Run, Started, tolerating
from cronos_git.git.pack import object_id
from cronos_git.git.store import Store
from cronos_git.git.view import SnapshotView
from cronos_git.model import Attributes, Backup, Entry, Problem, RestorePlan, RestoreReport
from cronos_git.ops import journal
from cronos_git.ops.writing import Written, attribute_problems, content_bytes, is_restorable, write_batch, write_in
from cronos_git.rules.attributes import format_line, parse_line

STAGING_PREFIX = ".cronos-restore-"

_BATCH_FILES = 256
_BATCH_BYTES = 8 << 20


def plan(view: SnapshotView, backup: Backup, paths: Sequence[str], target: str) -> RestorePlan:
    """What a restore into *target* would write; reads only.

    Raises:
        BackupNotFoundError: The backup has no such path.
        RefusedError: The target is not an absent or empty directory.

    Cost: for a whole backup one look at its record, else one walk below the paths.
    """
    _refuse_occupied(Path(target))
    if paths:
        entries = [entry for path in paths for entry in view.walk(path)]
        directories = sum(entry.attributes.kind == "directory" for entry in entries)
        count, size = len(entries) - directories, sum(map(content_bytes, entries))
    else:
        count, size = backup.files, backup.size_bytes
        directories = int(view.record()["counts"]["directories"])
    return RestorePlan(
        backup=backup,
        strategy="new_location",
        target=target,
        paths=tuple(paths),
        files=count,
        directories=directories,
        size_bytes=size,
    )


def apply(store: Store, view: SnapshotView, plan: RestorePlan, *, verify: bool, run: Run) -> RestoreReport:
    """Do what the plan says.

    Args:
        store: Locked at least shared by the caller.
        verify: Read every restored file back and compare.

    Raises:
        RefusedError: The target has been filled meanwhile, or its file system takes two names of the backup for one.
        DiskFullError, AccessError, HostError: The target is as it was.
        DamageError: An object is damaged; the target is as it was.
        InterruptedRunError: The target is as it was.
    """
    started = time.monotonic()
    target = Path(plan.target)
    _refuse_occupied(target)
    staging = _staging_path(target)
    _refuse_small_disk(staging.parent, plan)
    intent = {"verb": "restore", "phase": "staging", "staging": str(staging), "target": plan.target}
    with _journalled(store, intent, run) as log:
        try:
            writer = _Writer(store, view, staging, run)
            os.mkdir(staging, 0o700)
            own = writer.write(plan)
            verified = _verify(view, plan, staging, run) if verify else 0
            moving = {**intent, "phase": "moving", "own": format_line(own), "modes": stage.read_only_directories(staging)}
            if staging.parent != target:
                _move_into_place(moving)
            elif log is not None:
                log.update(moving)
        except BaseException as error:
            _roll_back(staging, log)
            if isinstance(error, OSError):
                raise _translated(error, plan.target) from error
            raise
        if staging.parent == target:
            _fill(moving)
        with contextlib.suppress(CronosError):  # the restore is done; a journal without its staging directory is dropped later
            if log is not None:
                log.close()
    return RestoreReport(
        plan=plan,
        files=writer.done_files,
        size_bytes=writer.done_bytes,
        problems=tuple(writer.problems),
        verified=verified,
        duration_s=time.monotonic() - started,
    )


@contextlib.contextmanager
def _journalled(store: Store, intent: Mapping[str, Any], run: Run) -> Iterator[journal.Journal | None]:
    """A journal, or None with a warning where none can be written: a store on a full or read-only disk must still give back."""
    with contextlib.ExitStack() as stack:
        log = None
        meaning = f"If this restore is killed, {intent['staging']} is left for you to remove."
        with tolerating(run, "restore.unjournalled", "There is no journal of this restore", meaning):
            log = stack.enter_context(journal.open_journal(store, intent))
        yield log


def _roll_back(staging: Path, log: journal.Journal | None) -> None:
    """Remove what was staged. When even that fails, the journal stays, and the next command does it."""
    with contextlib.suppress(OSError, CronosError):
        stage.remove_tree(staging)
        if log is not None:
            log.close()


def _fill(moving: Mapping[str, Any]) -> None:
    """Move what was staged into the existing target; there is no way back from here, only forward."""
    try:
        _move_into_place(moving)
    except OSError as error:
        raise HostError(
            f"Everything was restored, but not all of it could be moved into {moving['target']}: {error.strerror}.",
            hint=f"The next create or restore of this project finishes it; until then the rest lies in {moving['staging']}.",
        ) from error


def recover(store: Store, run: Run) -> None:
    """Undo or finish restores whose process died; those of living processes are left alone.

    What cannot be cleaned up now is told and tried again next time: it must not stand in the way of a backup.

    Args:
        store: Locked exclusively by the caller.
    """
    for path, record in journal.abandoned(store):
        if record.get("verb") != "restore":
            continue
        try:
            _recover_one(record)
            journal.discard(path)
        except (OSError, CronosError) as error:
            text = f"An interrupted restore into {record['target']} could not be cleaned up: {error}"
            run.emit(Noticed("warning", "restore.unrecovered", text))
        else:
            text = f"Cleaned up after an interrupted restore into {record['target']}."
            run.emit(Noticed("info", "restore.recovered", text))


def _recover_one(record: Mapping[str, Any]) -> None:
    staging = Path(record["staging"])
    if not staging.name.startswith(STAGING_PREFIX) or not os.path.lexists(staging):
        return
    if record["phase"] == "moving":
        _move_into_place(record)
    else:
        stage.remove_tree(staging)


# --- where it goes ---


def _refuse_occupied(target: Path) -> None:
    try:
        with os.scandir(target) as listing:
            occupied = any(True for _ in listing)
    except FileNotFoundError:
        if target.is_symlink():
            occupied = True
        else:
            return
    except NotADirectoryError:
        occupied = os.path.lexists(target)
        if not occupied:
            raise RefusedError(
                f"The target {target} cannot be made: a part of the path before it is a file. Nothing was written.",
                hint="Choose another directory with --to.",
            ) from None
    except OSError as error:
        raise files.host_error(error, f"look into {target}") from error
    if occupied:
        raise RefusedError(
            f"The target {target} must not exist or be empty. Nothing was written.",
            hint="Choose another directory with --to.",
            target=str(target),
        )


def _staging_path(target: Path) -> Path:
    """Inside an existing directory, else beside the target; the missing directories above it are made."""
    name = f"{STAGING_PREFIX}{os.getpid()}-{os.urandom(4).hex()}"
    if target.is_dir():
        return target / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.host_error(error, f"make {target.parent}") from error
    return target.parent / name


def _refuse_small_disk(where: Path, plan: RestorePlan) -> None:
    free = stage.free_bytes(where)
    if free < plan.size_bytes:
        raise DiskFullError(
            f"{plan.size_bytes:,} bytes are to be restored, but only {free:,} are free at {where}. Nothing was written.",
            hint="Free space there, restore only some paths, or choose another place with --to.",
        )


def _move_into_place(moving: Mapping[str, Any]) -> None:
    """The last step, from the journal's record alone; may be repeated after a crash."""
    staging, target = Path(moving["staging"]), Path(moving["target"])
    if staging.parent != target:
        files.rename(staging, target)
        files.fsync_directory(target.parent)
        return
    stage.move_contents(staging, target, moving["modes"])
    fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        stage.apply_attributes(fd, parse_line(moving["own"]))
    finally:
        os.close(fd)
    files.fsync_directory(target)


def _translated(error: OSError, target: str) -> CronosError:
    if error.errno == errno.EEXIST:
        return RefusedError(
            f"The file system at {target} takes two names of the backup for one ({os.fsdecode(error.filename or '')}). "
            "Nothing was restored.",
            hint="Restore to a file system that distinguishes upper and lower case.",
        )
    translated = files.host_error(error, f"restore into {target}")
    if isinstance(translated, DiskFullError):
        return DiskFullError(
            f"No space left at {target} (or no more files can be made there). Nothing was restored.",
            hint="Free space there, restore only some paths, or choose another place with --to.",
        )
    return translated


# --- writing ---


class _Writer:
    """Fills the staging directory."""

    def __init__(self, store: Store, view: SnapshotView, staging: Path, run: Run) -> None:
        self.store = store
        self.view = view
        self.staging = staging
        self.run = run
        self.root_fd = -1
        self.done_files = 0
        self.done_bytes = 0
        self.problems: list[Problem] = []
        self.directories: list[Entry] = []
        self.links: list[tuple[Entry, Entry]] = []

    def write(self, plan: RestorePlan) -> Attributes:
        """Write everything; the attributes of the top directory, which are applied last of all."""
        self.run.emit(Started("restore", plan.files, plan.size_bytes))
        self.root_fd = os.open(self.staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._write_files(plan)
            self._link()
            for directory in reversed(self.directories):
                with opened(self.root_fd, directory.path) as fd:
                    self.problems += attribute_problems(directory, stage.apply_attributes(fd, directory.attributes))
        finally:
            os.close(self.root_fd)
        self.run.emit(Finished("restore"))
        return self.directories[0].attributes

    def _write_files(self, plan: RestorePlan) -> None:
        batches = self._batches(plan.paths)
        if are_worthwhile(plan.files, plan.size_bytes):
            with Children("cronos_git.ops.writing:serve", str(self.store.path), str(self.staging)) as children:
                run_batches(batches, lambda batch: write_in(children, batch), self._take, self.run)
        else:
            run_batches(batches, lambda batch: write_batch(self.root_fd, self.store, batch), self._take, self.run)

    def _batches(self, paths: Sequence[str]) -> Iterator[list[Entry]]:
        """Make directories as they come and cut the files into batches; runs on the main thread."""
        first_of_group: dict[tuple[str, str], Entry] = {}
        batch: list[Entry] = []
        size = 0
        for entry in map(self._localised, self._entries(paths)):
            if entry.attributes.kind == "directory":
                self._make_directory(entry)
                continue
            group = entry.attributes.link_group if is_restorable(entry.attributes) else ""
            first = first_of_group.setdefault((group, entry.oid), entry) if group else entry
            if first is not entry:
                self.links.append((first, entry))
                continue
            batch.append(entry)
            size += entry.attributes.size_bytes
            if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _localised(self, entry: Entry) -> Entry:
        """The entry with the owner's numbers on this machine."""
        attributes = stage.with_local_owner(entry.attributes, self.view.users, self.view.groups)
        return entry if attributes is entry.attributes else replace(entry, attributes=attributes)

    def _entries(self, paths: Sequence[str]) -> Iterator[Entry]:
        """What to restore: a directory before what it holds, with the directories that lead to the paths."""
        if not paths:
            yield from self.view.walk()
            return
        seen: set[str] = set()
        for path in sorted(paths, key=os.fsencode):
            for above in _parents(path):
                if above not in seen:
                    seen.add(above)
                    yield self.view.entry(above)
            for entry in self.view.walk(path):
                if entry.path not in seen:
                    seen.add(entry.path)
                    yield entry

    def _make_directory(self, entry: Entry) -> None:
        self.directories.append(entry)
        if entry.path:
            parent, _, name = entry.path.rpartition("/")
            with opened(self.root_fd, parent) as fd:
                stage.make_directory(fd, name)
        if entry.attributes.unreadable:
            text = "its contents could not be read when the backup was made"
            self.problems.append(Problem(path=entry.path, code="not_restored", text=text))

    def _take(self, written: Written) -> None:
        self.done_files += written.files
        self.done_bytes += written.size_bytes
        self.problems += written.problems
        self.run.emit(Advanced(self.done_files, self.done_bytes, written.path))

    def _link(self) -> None:
        for first, entry in self.links:
            source_parent, _, source = first.path.rpartition("/")
            parent, _, name = entry.path.rpartition("/")
            with opened(self.root_fd, source_parent) as source_fd, opened(self.root_fd, parent) as fd:
                stage.make_hard_link(source_fd, source, fd, name)
            self.done_files += 1
            self.done_bytes += content_bytes(entry)


def _parents(path: str) -> Iterator[str]:
    """The directories above *path*, the top first."""
    if path:
        yield ""
    parts = path.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        yield "/".join(parts[:depth])


# --- checking ---


def _verify(view: SnapshotView, plan: RestorePlan, staging: Path, run: Run) -> int:
    """Read every restored file back and compare it with the backup; how many there were.

    Raises:
        DamageError: A file reads back otherwise than it was written.
    """
    run.emit(Started("verify", plan.files, plan.size_bytes))
    count = size = 0
    for top in plan.paths or ("",):
        for entry in view.walk(top):
            run.checkpoint()
            if entry.attributes.kind not in ("file", "symlink") or not entry.oid:
                continue
            if not _reads_back(view, staging, entry):
                raise DamageError(
                    f"{entry.path} reads back otherwise than it was written. Nothing was restored.",
                    hint="Check the disk at the target; restore to another one.",
                )
            count += 1
            size += entry.attributes.size_bytes
            run.emit(Advanced(count, size, entry.path))
    run.emit(Finished("verify"))
    return count


def _reads_back(view: SnapshotView, staging: Path, entry: Entry) -> bool:
    if not entry.chunked:
        return object_id("blob", contents.read_now(str(staging), entry.path)).hex() == entry.oid
    return contents.equals(str(staging), entry.path, view.read(entry))
