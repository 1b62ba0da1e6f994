"""`repair`: makes a damaged store whole again, as far as what it needs is to be had anywhere; what is not is told.

    report of what will be -> new pack with all that was found -> indexes -> packed refs -> old refs aside -> timelines
    -> damaged files, journals, lines of the operation log aside -> report finished

What was found and what is to be done is `ops.findings`'s. Every object is durable and read back before anything is moved; nothing
is deleted but what is derived, so a killed repair leaves the store no worse, and the next one finishes, and tells what the killed
one did not come to tell. The caller holds the store's exclusive lock for `apply`. Floor F7.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cronos_git.disk import files
from cronos_git.disk.directories import make_directory
from cronos_git.errors import CronosError, DiskFullError, HostError
from cronos_git.events import Run
from cronos_git.git import furniture
from cronos_git.git.furniture import Flaw
from cronos_git.git.layout import FORMAT
from cronos_git.git.quarantine import Quarantine
from cronos_git.git.refmending import rewrite_packed
from cronos_git.git.refs import has_backup_tags
from cronos_git.git.replacement import Replacement
from cronos_git.git.store import Store
from cronos_git.model import Backup, Loss, RepairPlan, RepairStep
from cronos_git.ops import oplog, paperwork
from cronos_git.ops.findings import Findings, SubjectOf, examine
from cronos_git.ops.healing import Fetched
from cronos_git.ops.returning import METADATA_KEY
from cronos_git.rules.record import format_json

__all__ = [
    "Findings",
    "SubjectOf",
    "apply",
    "complete",
    "examine",
    "find_flaws",
    "restore_files",
    "retold",
    "steps_of",
    "telling_space",
    "unfinished_reports",
    "write_report",
]

Reports = Mapping[Path, dict[str, Any]]
"""What reports of repairs tell, by their path."""


# --- the files without which it is no store -----------------------------------------------------------------------


def find_flaws(path: Path, project: Path, now: datetime, tool_version: str) -> list[Flaw]:
    """What is missing or damaged of the files that make a directory a store; nothing when it never was one.

    Raises:
        AccessError, HostError, GitVersionError: It cannot be told.
    """
    stamp = now.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
    told = {"format": FORMAT, "project_root": str(project), "created_at": stamp, "tool_version": tool_version}
    try:
        if not ((path / "objects" / "pack").is_dir() or (path / "cronos").is_dir() or has_backup_tags(path)):
            return []
        flaws = furniture.find_flaws(path, format_json(told))
        noted = _noted_remotes(Store(path, str(project)))
        return [furniture.with_remotes(path, flaw, noted) if flaw.name == "config" else flaw for flaw in flaws]
    except OSError as error:
        raise files.host_error(error, f"look into the store {path}") from error


def _noted_remotes(store: Store) -> dict[str, str]:
    """The remotes of which the operation log tells, URLs by name; not those with a secret, which the log does not know."""
    found: dict[str, str] = {}
    for record in oplog.read(store):
        name, url = str(record.get("remote")), record.get("url")
        if (record["verb"], record.get("result")) == ("remote remove", "done"):
            found.pop(name, None)
        elif (record["verb"], record.get("result")) == ("remote add", "done") and isinstance(url, str):
            found[name] = url
    return {name: url for name, url in found.items() if "***" not in url}


def restore_files(path: Path, flaws: list[Flaw], quarantine: Quarantine, now: datetime, *, wait_s: float) -> None:
    """Put these files back, under the store's exclusive lock, since it cannot be opened without them.

    Args:
        wait_s: How long to try for the lock, in seconds.

    Raises:
        StoreLockedError: Somebody is at work in the store.
        DiskFullError, AccessError, HostError: What was not put back is as it was.

    Durability: when this returns, they survive a power cut.
    """
    if flaws:
        make_directory(path / "cronos")
        with Store(path, "").lock(wait_s=wait_s):
            write_report(quarantine, RepairPlan(steps=steps_of(flaws), lost=()), {}, now, finished=False)
            furniture.mend(path, flaws, quarantine)


def steps_of(flaws: Iterable[Flaw]) -> tuple[RepairStep, ...]:
    """How a plan tells of them."""
    return tuple(RepairStep(action="restore", subject=flaw.name, text=f"it is {flaw.what}") for flaw in flaws)


# --- everything else ----------------------------------------------------------------------------------------------


def apply(store: Store, found: Findings, quarantine: Quarantine, run: Run) -> None:
    """Do what was found to be needed, under the same lock.

    Raises:
        HostError: The project changed since, or the disk does not give back what was written; nothing was moved.
        DiskFullError, AccessError, StoreLockedError, InterruptedRunError: The store is no worse than it was.

    Durability: when this returns, the store is repaired also after a power cut. If killed earlier, everything that could be read
    before can be read, and the next repair finishes.
    Cost: what is whole in damaged packs is written again.
    """
    if not found.steps:
        return
    _store_objects(found, run)
    for pack in found.remains.broken:
        if pack.lacks_only_index and pack.scanned is not None:
            index = pack.stem.with_suffix(".idx")
            if index.exists():
                quarantine.copy(index, index.read_bytes())
            pack.scanned.write_index()
    _write_refs(store, found, quarantine)
    _move_aside(store, found, quarantine)
    paperwork.set_aside(store, found.papers, quarantine)
    store.reopen()


def _store_objects(found: Findings, run: Run) -> None:
    """One pack with all that is whole in damaged ones, was fetched from elsewhere, or made anew."""
    replacement = Replacement(found.remains)
    try:
        for name in found.remains.salvageable():
            run.checkpoint()
            _put(replacement, name, *found.remains.read(name.hex()))
        _fetch(found, replacement)
        for name, (kind, body) in found.pool.made.items():
            _put(replacement, name, kind, body)
        replacement.publish(run)
    except BaseException:
        replacement.abort()
        raise


def _fetch(found: Findings, replacement: Replacement) -> None:
    missing = set(found.refetch)

    def take(fetched: Fetched) -> None:
        _put(replacement, fetched.name, fetched.kind, fetched.body)
        missing.discard(fetched.name)

    for source in found.pool.sources:
        if missing:
            source.fetch(sorted(missing), take)
    if missing:
        raise HostError(
            "Files of the project that would have healed the store changed while it was being repaired. Nothing was changed.",
            hint="Run it again.",
        )


def _put(replacement: Replacement, name: bytes, kind: str, body: bytes) -> None:
    if replacement.writer.add(kind, body) != name:
        raise HostError(f"Object {name.hex()} changed while it was being read. Nothing was changed.", hint="Check the disk.")


def _write_refs(store: Store, found: Findings, quarantine: Quarantine) -> None:
    """What changes goes into the packed refs in one step; after that the loose ones that say otherwise are moved away."""
    values, peeled = found.packed()
    old = store.path / "packed-refs"
    if found.refs.bad_lines or (values, peeled) != (found.refs.packed, found.refs.peeled):
        if old.exists():
            quarantine.copy(old, old.read_bytes())
        rewrite_packed(store.path, values, peeled)
    stale = found.refs.bad.keys() | found.dropped | found.values.keys()
    quarantine.move([store.path / name for name in sorted(stale)])
    for name, tip in found.branches.items():
        if (store.path / name).is_dir():  # which no rename goes over
            quarantine.move([store.path / name])
        store.set_ref(name, tip)


def _move_aside(store: Store, found: Findings, quarantine: Quarantine) -> None:
    """What is damaged, now that all that was whole in it is elsewhere; what rests on it first."""
    if found.drops_statcache:
        try:
            files.unlink(store.statcache)
        except OSError as error:
            raise files.host_error(error, "remove the stat cache") from error
    quarantine.move(found.remains.derived)
    for pack in found.remains.broken:
        if not pack.lacks_only_index:
            quarantine.move(pack.files)
    quarantine.move(found.remains.bad_loose)


# --- the report ---------------------------------------------------------------------------------------------------


def write_report(quarantine: Quarantine, plan: RepairPlan, tags: Mapping[str, str], now: datetime, *, finished: bool) -> None:
    """Tell beside what is moved away what is done, and what is lost; errors and durability as `Quarantine.write_report`.

    Args:
        tags: Texts of the tags of backups that are given up, by id.
        finished: Whether it is done; before that, the next repair has to tell of it.
    """
    told = {
        "schema_version": 1,
        "time": now.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z",
        "finished": finished,
        "steps": [asdict(step) for step in plan.steps],
        "lost": [asdict(loss) for loss in plan.lost],
        "notes": list(plan.notes),
        "tags": dict(tags),
    }
    quarantine.write_report(format_json(told))


def unfinished_reports(quarantine: Quarantine) -> Reports:
    """The reports of earlier repairs that did not come to their end. One that cannot be read is passed over.

    Raises:
        AccessError, HostError: It cannot be told.
    """
    found = {}
    for path in quarantine.earlier_reports():
        with contextlib.suppress(ValueError, OSError):
            told = json.loads(path.read_bytes())
            if isinstance(told, dict) and told.get("finished") is False:
                found[path] = told
    return found


def retold(plan: RepairPlan, earlier: Reports, backups: Sequence[Backup]) -> RepairPlan:
    """The plan with the losses that nobody was told of, as the repair that caused them was killed.

    Args:
        backups: As they will be; a loss that none of them shows never came about.
    """
    places = {backup.id: backup for backup in backups}
    told = [loss for report in earlier.values() for loss in _losses(report) if _came_about(loss, places.get(loss.backup))]
    known = {(loss.backup, loss.path, loss.kind) for loss in plan.lost}
    fresh = {(loss.backup, loss.path, loss.kind): loss for loss in told}
    lost = (*plan.lost, *(loss for key, loss in fresh.items() if key not in known))
    text = "the repair that wrote it was killed; its losses are told again"
    steps = [RepairStep(action="rebuild", subject="/".join(path.parts[-4:]), text=text) for path in earlier]
    return replace(plan, steps=(*plan.steps, *steps), lost=lost)


def _losses(report: Mapping[str, Any]) -> Iterator[Loss]:
    for told in report.get("lost", ()):
        with contextlib.suppress(TypeError):
            yield Loss(**{**told, "gaps": tuple(told.get("gaps", ()))})


def _came_about(loss: Loss, backup: Backup | None) -> bool:
    if loss.kind == "backup" or backup is None:
        return backup is None
    return loss.kind == "tag" or METADATA_KEY in backup.metadata


def complete(earlier: Reports) -> None:
    """Mark reports as finished, once what they tell has been told.

    Raises:
        DiskFullError, AccessError, HostError: Those that were not marked are told again by the next repair.

    Durability: when this returns, the marks survive a power cut.
    """
    for path, told in earlier.items():
        files.write_durable(path, format_json({**told, "finished": True}))


# --- space --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def telling_space(found: Callable[[], Findings | None]) -> Iterator[None]:
    """Let a disk that is full during a repair be told with how much the repair may take.

    Args:
        found: What is to be written; None while that is not known.
    """
    try:
        yield
    except DiskFullError as error:
        size_bytes = _size_to_write(found())
        need = f"; the repair writes up to {size_bytes:,} bytes there" if size_bytes else ""
        hint = f"Free space where the store lies{need}. Then run `cronos repair` again."
        raise DiskFullError(error.message, hint=hint, needed_bytes=size_bytes, **error.context) from error


def _size_to_write(found: Findings | None) -> int:
    """Bytes of the objects to be written, before they are compressed; 0 when that cannot be told."""
    if found is None:
        return 0
    sizes: list[int] = []
    with contextlib.suppress(CronosError, OSError):
        sizes += (len(found.remains.read(name.hex())[1]) for name in found.remains.salvageable())
        sizes += (len(body) for _, body in found.pool.made.values())
        sizes += found.pool.sizes(found.refetch).values()
    return sum(sizes)
