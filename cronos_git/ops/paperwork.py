"""What is damaged of CRONOS's own papers, journals of restores and the operation log: what that means, how it is set aside.

Nothing of a backup is in them, and nothing in them can be made anew. So a journal is moved into the quarantine, and a repair says
where the restore before may have left off; lines of the log are copied there and blanked where they stand, as others may append
to the log at any time. Floor F7, below the verbs.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cronos_git.disk import files
from cronos_git.disk.walk import STAGING_PREFIX
from cronos_git.git.quarantine import Quarantine
from cronos_git.git.store import Store
from cronos_git.model import Backup, RepairStep
from cronos_git.ops import journal, oplog
from cronos_git.ops.journal import Garbled
from cronos_git.ops.oplog import BadLine
from cronos_git.ops.undoing import taken_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """What is damaged.

    Attributes:
        journals: Journals of dead restores that cannot be read.
        lines: Lines of the operation log that cannot be read.
    """

    journals: Sequence[Garbled]
    lines: Sequence[BadLine]


def look(store: Store) -> Papers:
    """Find what is damaged.

    Raises:
        AccessError, HostError: The journals or the log cannot be read at all.
    """
    return Papers(journals=journal.garbled(store), lines=oplog.bad_lines(store, torn=True))


def steps(store: Store, papers: Papers, backups: Sequence[Backup]) -> list[RepairStep]:
    """What is to be done, and what it means.

    Args:
        backups: Those that exist, among them the restore points.
    """
    found = []
    for one in papers.journals:
        subject = one.path.relative_to(store.path).as_posix()
        found.append(RepairStep(action="set aside", subject=subject, text=_meaning(store, one, backups)))
    if papers.lines:
        text = f"{oplog.told_lines(papers.lines)}; what was done then is not known, and which backups there are is noted anew"
        subject = oplog.log_path(store).relative_to(store.path).as_posix()
        found.append(RepairStep(action="set aside", subject=subject, text=text))
    return found


def set_aside(store: Store, papers: Papers, quarantine: Quarantine) -> None:
    """Do it.

    Raises:
        DiskFullError, AccessError, HostError: Some may be where they were.

    Durability: when this returns, it is done also after a power cut; if killed earlier, nothing is lost, and what is left to be
    done is found again.
    """
    for one in papers.journals:
        quarantine.move([one.path])
        files.unlink(journal.lock_path(one.path))
    if papers.lines:
        quarantine.copy(oplog.log_path(store), b"".join(line.raw + b"\n" for line in papers.lines))
        oplog.blank(store, papers.lines)


# --- what a garbled journal means ---------------------------------------------------------------------------------------


def _meaning(store: Store, one: Garbled, backups: Iterable[Backup]) -> str:
    """Which target may be half restored, and how to get back what was there."""
    target = one.told.get("target")
    point = _point(store, one.told, backups)
    if point is not None:
        target = taken_of(point) or target
    where = target or "a directory that it does not tell any more"
    text = f"an interrupted restore into {where} cannot be undone by itself: this journal of it is damaged"
    if point is None:
        return f"{text}. No restore point of it is known: if its target was new, restore there again, to an empty directory"
    into = "" if target == store.project_root else f" --to {shlex.quote(str(target))}"
    return (
        f"{text}. `cronos restore {point.id} --strategy replace{into}` brings back what was there before; "
        f"{STAGING_PREFIX}* directories in it hold what had been moved, and are of no use then"
    )


def _point(store: Store, told: Mapping[str, str], backups: Iterable[Backup]) -> Backup | None:
    """The restore point that the journal names, or else the newest that no restore has told of as its own."""
    points = {backup.id: backup for backup in backups if taken_of(backup) is not None}
    if "restore_point" in told:
        return points.get(told["restore_point"])
    ended = {record.get("restore_point") for record in oplog.read(store)}
    target = told.get("target")
    is_open = [point for name, point in points.items() if name not in ended and target in (None, taken_of(point))]
    return max(is_open, key=lambda point: point.sequence, default=None)
