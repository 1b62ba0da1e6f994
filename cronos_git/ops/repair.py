"""`repair`: makes a damaged store whole again, as far as what it needs is to be had anywhere; what is not is told.

    new pack with all that was found -> indexes -> packed refs -> old refs aside -> timelines -> damaged files aside -> report

What was found and what is to be done is `ops.findings`'s. Every object is durable and read back before anything is moved; nothing
is deleted but what is derived, so a killed repair leaves the store no worse, and the next one finishes. The caller holds the
store's exclusive lock for `apply`. Floor F7.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from cronos_git.disk import files
from cronos_git.disk.directories import make_directory
from cronos_git.errors import HostError
from cronos_git.events import Run
from cronos_git.git import furniture
from cronos_git.git.furniture import Flaw
from cronos_git.git.layout import FORMAT
from cronos_git.git.quarantine import Quarantine
from cronos_git.git.refmending import rewrite_packed
from cronos_git.git.replacement import Replacement
from cronos_git.git.store import Store
from cronos_git.model import RepairPlan, RepairStep
from cronos_git.ops.findings import Findings, SubjectOf, examine
from cronos_git.ops.healing import Fetched
from cronos_git.rules.record import format_json

__all__ = ["Findings", "SubjectOf", "apply", "examine", "find_flaws", "restore_files", "steps_of", "write_report"]


# --- the files without which it is no store -----------------------------------------------------------------------


def find_flaws(path: Path, project: Path, now: datetime, tool_version: str) -> list[Flaw]:
    """What is missing or damaged of the files that make a directory a store; nothing when it never was one."""
    if not (path / "objects" / "pack").is_dir() and not (path / "cronos").is_dir():
        return []
    stamp = now.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
    told = {"format": FORMAT, "project_root": str(project), "created_at": stamp, "tool_version": tool_version}
    return furniture.find_flaws(path, format_json(told))


def restore_files(path: Path, flaws: list[Flaw], quarantine: Quarantine, wait_s: float) -> None:
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


def write_report(quarantine: Quarantine, plan: RepairPlan, found: Findings | None, now: datetime) -> None:
    """Tell beside what was moved away what was done, and what is lost; errors and durability as `Quarantine.write_report`."""
    told = {
        "schema_version": 1,
        "time": now.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z",
        "steps": [asdict(step) for step in plan.steps],
        "lost": [asdict(loss) for loss in plan.lost],
        "notes": list(plan.notes),
        "tags": found.tags if found else {},
    }
    quarantine.write_report(format_json(told))
