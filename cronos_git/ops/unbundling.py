"""Brings the backups of a Git bundle into the store: unpacked and checked apart from it, and only then let in.

What becomes of their tags is `ops.adopting`'s. The caller holds the store's exclusive lock. Floor F7.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cronos_git.errors import ArchiveError, DamageError
from cronos_git.events import Run
from cronos_git.git.bundles import quarantine, read_bundle
from cronos_git.git.store import Store
from cronos_git.model import Backup, ImportRequest
from cronos_git.ops import adopting, catalog


@dataclass(frozen=True, slots=True)
class Unbundled:
    """What came of it: the new backups by sequence, those that were there already, and the growth of the store."""

    backups: tuple[Backup, ...]
    known: tuple[Backup, ...]
    bytes_stored: int


def unbundle(store: Store, path: Path, request: ImportRequest, run: Run) -> Unbundled:
    """Bring in all backups of a bundle.

    Args:
        store: Locked exclusively by the caller.

    Raises:
        ArchiveError: The bundle is damaged, or what is in it are no backups.
        RefusedError, DiskFullError, AccessError, HostError, GitVersionError: Nothing was imported.

    Durability: when this returns, the backups survive a power cut; if killed earlier, all of them exist or none.
    """
    existing = catalog.read(store).backups
    by_commit = {backup.commit: backup for backup in existing}
    bundle = read_bundle(path)
    with quarantine(store, bundle) as isolated:
        found = adopting.examine(isolated, bundle.tags, run, partial(_refusal, path))
        known = tuple(by_commit[one.backup.commit] for one in found if one.backup.commit in by_commit)
        new = [one for one in found if one.backup.commit not in by_commit]
        if not new:
            return Unbundled((), known, 0)
        origin = adopting.Origin(facts={"file": path.name}, labels=request.labels, pinned=request.pinned)
        before = adopting.stored_bytes(store)
        backups = adopting.adopt(store, isolated, new, origin, run)
    return Unbundled(tuple(backups), known, adopting.stored_bytes(store) - before)


def _refusal(path: Path, backup_id: str, error: DamageError) -> ArchiveError:
    return ArchiveError(
        f"{backup_id} in the bundle {path.name} is no whole backup: {error.message} Nothing was imported.",
        hint="Get another copy of the bundle.",
    )
