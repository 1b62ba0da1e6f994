"""Plan and report of a repair. Floor F1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cronos_git.model.upkeep import Damage

RepairAction = Literal["restore", "reindex", "salvage", "refetch", "bring back", "rewrite", "give up", "rebuild", "set aside"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairStep:
    """One thing that a repair does.

    Attributes:
        action: `restore` a file of the store itself, `reindex` a pack, `salvage` what is whole in a damaged pack, `refetch`
            objects from elsewhere, `bring back` a ref, `rewrite` a backup without what is lost, `give up` a backup that nothing
            is left of, `rebuild` what is derived, `set aside` what is damaged or of no use, into the quarantine.
        subject: What it is done to: a file of the store, a ref, the id of a backup.
        text: Why, in words.
    """

    action: RepairAction
    subject: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What cannot be healed of one backup.

    Attributes:
        backup: Its id.
        path: Where; empty for the whole backup.
        kind: `content` of a file or link, `directory` (its list of contents), `attributes` (modes, owners, times, special files
            in a directory; closed modes stand in), `record` (how the backup was made), `tag` (its labels and texts as far as only
            the tag held them), or `backup` (all of it).
        text: What that means.
        left_in: Path in the rewritten backup of a new file that holds what is left of the content, joined; empty when nothing is.
        left_bytes: Its size.
        lost_bytes: How much of the content is lost; None when that is not known.
        gaps: Where bytes are missing in that file, as offsets in it. With a single gap, that is also where they were in the
            lost file.
    """

    backup: str
    path: str
    kind: Literal["content", "directory", "attributes", "record", "tag", "backup"]
    text: str
    left_in: str = ""
    left_bytes: int = 0
    lost_bytes: int | None = None
    gaps: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairPlan:
    """What a repair would do, in its order.

    Attributes:
        lost: What cannot be healed; empty when every backup will be as it was.
        notes: What was found and is left as it is, in words.
    """

    steps: tuple[RepairStep, ...]
    lost: tuple[Loss, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairReport:
    """What a repair did.

    Attributes:
        quarantine: Directory with everything that was moved out of the way, and `report.json`; empty when there was nothing.
        remaining: Damage that a check after the repair still finds.
        duration_s: Wall time in seconds.
    """

    plan: RepairPlan
    quarantine: str
    remaining: tuple[Damage, ...]
    duration_s: float
