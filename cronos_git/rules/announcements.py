"""What the Mycelium is told of backups and restores: payloads of events and alerts, ready for JSON.

Topics and shapes are EGOS's. Who publishes them, and how, is the manager's and the service's. Floor F4: pure.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar

from cronos_git.errors import CronosError
from cronos_git.events import Advanced, Event, Finished, Noticed, Started
from cronos_git.model import Backup, RestoreReport, SnapshotReport

ALERT = "cronos.alert"
"""Topic of alerts, progress among them."""

Level = Literal["info", "warning", "success", "error"]
Announcement = tuple[str, dict[str, Any]]
"""Topic and payload."""

Report = TypeVar("Report")

_SAME = tuple(name for name in Backup.__dataclass_fields__ if name not in ("created", "files", "labels", "metadata"))


def rfc3339(when: datetime) -> str:
    """A moment in UTC to the microsecond."""
    return when.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def record_of(backup: Backup) -> dict[str, Any]:
    """A backup as messages tell of it; nothing of it is shared, as who is told may change what it gets."""
    return {name: getattr(backup, name) for name in _SAME} | {
        "created_at": rfc3339(backup.created),
        "file_count": backup.files,
        "labels": list(backup.labels),
        "metadata": copy.deepcopy(dict(backup.metadata)),
    }


def alert(level: Level, message: str, details: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """An alert, for the topic `ALERT`."""
    return {"level": level, "message": message, "details": dict(details), "timestamp": rfc3339(now)}


def backup_made(report: SnapshotReport, now: datetime) -> Iterator[Announcement]:
    """What is told when a backup is there."""
    backup = report.backup
    record = record_of(backup)
    yield (
        "event.cronos.backup_completed",
        record | {"timestamp": record["created_at"], "backup_type": backup.type, "unchanged": report.unchanged},
    )
    text = f"Nothing has changed since {backup.id}; no backup was made." if report.unchanged else f"Saved {backup.id}."
    details = {"backup_id": backup.id, "backup_name": backup.name, "files_added": backup.files, "problems": len(report.problems)}
    yield ALERT, alert("success", text, details, now)


def restored(report: RestoreReport, now: datetime) -> Iterator[Announcement]:
    """What is told when a restore is done."""
    plan = report.plan
    details = {
        "backup_id": plan.backup.id,
        "restore_target_path": plan.target,
        "strategy": plan.strategy,
        "file_count": report.files,
        "size_bytes": report.size_bytes,
        "restore_point": report.restore_point,
    }
    yield "event.cronos.restore_completed", details | {"timestamp": rfc3339(now)}
    text = f"Successfully restored {plan.backup.id} to {plan.target}."
    yield ALERT, alert("success", text, details | {"problems": len(report.problems)}, now)


@dataclass(frozen=True, slots=True)
class Story(Generic[Report]):
    """What is told of one job.

    Attributes:
        what: What is being done.
        about: Facts about the request that all alerts carry, and the event of a failure: `{"name": "nightly"}`.
        end: What is told when it is done.
    """

    what: Literal["backup", "restore"]
    about: Mapping[str, Any]
    end: Callable[[Report, datetime], Iterator[Announcement]]

    def failed(self, error: CronosError, now: datetime) -> Iterator[Announcement]:
        """What is told when it could not be done."""
        details = {**self.about, "error": error.message, "code": error.code}
        yield f"event.cronos.{self.what}_failed", details | {"timestamp": rfc3339(now)}
        yield ALERT, alert("error", error.message, details | {"hint": error.hint}, now)


class Narrator:
    """Tells the events of a job as alerts."""

    def __init__(self, story: Story[Any]) -> None:
        self._story = story
        self._phase = Started("")

    def tell(self, event: Event, now: datetime) -> Announcement | None:
        """The alert for *event*; None when there is nothing to tell."""
        if isinstance(event, Started):
            self._phase = event
        elif isinstance(event, Noticed):
            level: Level = "warning" if event.level == "warning" else "info"
            details = {**self._story.about, "code": event.code, "path": event.path}
            return ALERT, alert(level, event.text, details, now)
        elif not isinstance(event, Finished):
            return ALERT, alert("info", self._progress(event), self._details(event), now)
        return None

    def _progress(self, event: Advanced) -> str:
        total = self._phase.total_files
        of = f" of {total:,}" if total is not None else ""
        return f"{self._story.what.capitalize()} progress: {self._phase.phase}, {event.done_files:,}{of}."

    def _details(self, event: Advanced) -> dict[str, Any]:
        return {
            **self._story.about,
            "phase": self._phase.phase,
            "files_processed": event.done_files,
            "total_files": self._phase.total_files,
            "bytes_processed": event.done_bytes,
            "total_bytes": self._phase.total_bytes,
        }
