"""Hand-made records for what the command line shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cronos_git.model import Attributes, Backup, Entry, Excluded, RestoreChange, RestorePlan, RestoreReport, SnapshotReport

NOON = datetime(2026, 4, 1, 12, 0, 0, tzinfo=UTC)


def backup(sequence: int = 1, **changes: Any) -> Backup:
    created = NOON + timedelta(hours=sequence)
    made = Backup(
        id=f"backup_{created:%Y%m%d_%H%M%S}",
        name="backup",
        type="manual",
        scope="project",
        created=created,
        sequence=sequence,
        parent=None,
        message="backup",
        description="",
        labels=(),
        pinned=False,
        files=sequence * 10,
        size_bytes=sequence * 1000,
        added=sequence,
        changed=0,
        removed=0,
        metadata={},
        commit=f"{sequence:040x}",
        tag=f"{sequence + 0xA000:040x}",
    )
    return replace(made, **changes)


def entry(path: str, **changes: Any) -> Entry:
    own = Attributes(
        kind="file", name=path.rpartition("/")[2], mode=0o644, size_bytes=5, mtime_ns=1_700_000_000_123_456_789, uid=1, gid=2
    )
    return Entry(path=path, oid="e" * 40, attributes=replace(own, **changes))


def report(made: Backup, **changes: Any) -> SnapshotReport:
    plain = SnapshotReport(
        backup=made,
        unchanged=False,
        files_read=1,
        bytes_read=2,
        bytes_stored=3,
        objects_stored=4,
        excluded=Excluded(),
        problems=(),
        duration_s=0.5,
    )
    return replace(plain, **changes)


def restore_plan(*changes: RestoreChange, **others: Any) -> RestorePlan:
    """A plan of `replace` with these changes."""
    written = [change for change in changes if change.action in ("create", "update")]
    plain = RestorePlan(
        backup=backup(),
        strategy="replace",
        target="/project",
        paths=(),
        files=sum(change.kind != "directory" for change in written),
        directories=sum(change.kind == "directory" for change in written),
        size_bytes=sum(change.size_bytes for change in written),
        restore_point=True,
        changes=changes,
        state="s",
    )
    return replace(plain, **others)


def restore_report(plan: RestorePlan, **changes: Any) -> RestoreReport:
    plain = RestoreReport(plan=plan, files=plan.files, size_bytes=plan.size_bytes, problems=(), verified=0, duration_s=0.4)
    return replace(plain, **changes)
