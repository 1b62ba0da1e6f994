"""Brings a backup, or some paths of it, back into a new place: the restore strategy `new_location`.

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
from pathlib import Path
from typing import Any

from cronos_git.disk import files, stage
from cronos_git.disk.walk import STAGING_PREFIX
from cronos_git.errors import CronosError, DamageError, DiskFullError, HostError, RefusedError
from cronos_git.events import Advanced, Finished, Run, Started, tolerating
from cronos_git.git.store import Store
from cronos_git.git.view import SnapshotView
from cronos_git.model import Backup, RestorePlan, RestoreReport
from cronos_git.ops import journal
from cronos_git.ops.unfolding import move_into_place
from cronos_git.ops.writing import Writer, content_bytes, reads_back, restore_error
from cronos_git.rules.attributes import format_line


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
            writer = Writer(store, view, staging, run)
            os.mkdir(staging, 0o700)
            own = writer.write(plan)
            verified = _verify(view, plan, staging, run) if verify else 0
            moving = {**intent, "phase": "moving", "own": format_line(own), "modes": stage.read_only_directories(staging)}
            if staging.parent != target:
                move_into_place(moving)
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
        move_into_place(moving)
    except OSError as error:
        raise HostError(
            f"Everything was restored, but not all of it could be moved into {moving['target']}: {error.strerror}.",
            hint=f"The next create or restore of this project finishes it; until then the rest lies in {moving['staging']}.",
        ) from error


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
        missing = [directory for directory in target.parents if not directory.exists()]
        for directory in reversed(missing):  # Path.mkdir calls itself for each, which a thousand are too many for
            directory.mkdir(exist_ok=True)
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


def _translated(error: OSError, target: str) -> CronosError:
    if error.errno == errno.EEXIST:
        return RefusedError(
            f"The file system at {target} takes two names of the backup for one ({os.fsdecode(error.filename or '')}). "
            "Nothing was restored.",
            hint="Restore to a file system that distinguishes upper and lower case.",
        )
    return restore_error(error, target)


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
            if not reads_back(view, str(staging), entry):
                raise DamageError(
                    f"{entry.path} reads back otherwise than it was written. Nothing was restored.",
                    hint="Check the disk at the target; restore to another one.",
                )
            count += 1
            size += entry.attributes.size_bytes
            run.emit(Advanced(count, size, entry.path))
    run.emit(Finished("verify"))
    return count
