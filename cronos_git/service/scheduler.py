"""The clock of `auto_backup`: takes backups by itself while the service runs.

It rests on APScheduler; when something is due is `rules/cron.py`'s, and the backups are `BackupManager`'s, which also tells the
Mycelium how they ended. Counted from the last automatic backup in the store, so that what fell due while nobody served is made
up for, once. Floor F10.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, tzinfo

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from cronos_git.errors import CronosError
from cronos_git.integrations.koios import python_logger
from cronos_git.manager import BackupManager
from cronos_git.model import SCOPE_PROJECT, SnapshotReport, SnapshotRequest
from cronos_git.rules.cron import next_due, parse_cron
from cronos_git.rules.schema import Settings

REQUEST = SnapshotRequest(type="auto")

_LOOK_AGAIN_S = 60.0
"""A machine that slept, or whose clock was set, is noticed after so long."""

logger = python_logger("CRONOS.Scheduler")


class Scheduler:
    """Takes automatic backups as the configuration says. Belongs to one event loop.

    Args:
        manager: Takes them.
        settings: Say when, by `auto_backup_hours`, `auto_backup_cron` and `auto_backup_min_changes`.
        zone: The clock that `auto_backup_cron` is meant by.
    """

    def __init__(self, manager: BackupManager, settings: Settings, zone: tzinfo) -> None:
        self._manager = manager
        self._settings = settings
        self._zone = zone
        self._cron = parse_cron(settings.auto_backup_cron) if settings.auto_backup_cron else None
        self._scheduler: AsyncIOScheduler | None = None
        self._trigger: _Due | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def next_run(self) -> datetime | None:
        """When it looks next whether a backup is to be taken; None when it never does."""
        job = self._scheduler.get_job("auto_backup") if self._scheduler else None
        return job.next_run_time if job else None

    async def start(self) -> None:
        """Begin; nothing when the configuration wants no automatic backups, or it has begun already.

        Raises:
            CronosError: The store cannot be read.
        """
        if self._scheduler is not None or not (self._settings.auto_backup_hours or self._cron):
            return
        taken = await self._manager.query(types=REQUEST.type)
        last = next((backup.created for backup in taken if backup.scope == SCOPE_PROJECT), None)
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._trigger = _Due(self._due, last)
        # The job only starts a task, so that stopping the scheduler does not cancel a backup: that is its manager's to do.
        self._scheduler.add_job(self._begin, self._trigger, id="auto_backup", coalesce=True, misfire_grace_time=None)
        self._scheduler.start()
        self._look_again()
        logger.info("Next automatic backup: %s.", self.next_run)

    def stop(self) -> None:
        """Begin no more backups. One that is being taken goes on until its manager is closed."""
        if self._timer:
            self._timer.cancel()
        if self._scheduler:
            self._scheduler.shutdown(wait=False)
        self._scheduler = self._timer = None

    def _due(self, since: datetime | None, now: datetime) -> datetime | None:
        return next_due(self._settings.auto_backup_hours, self._cron, since, now, self._zone)

    def _look_again(self) -> None:
        if self._scheduler:
            self._scheduler.reschedule_job("auto_backup", trigger=self._trigger)
            self._timer = asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, self._look_again)

    async def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._back_up())

    async def _back_up(self) -> None:
        try:
            report = await self.back_up()
        except CronosError as error:  # the manager has told the Mycelium; the next time is the next time
            logger.error("The automatic backup failed: %s %s", error.message, error.hint)
        except Exception:
            logger.exception("The automatic backup failed.")
        else:
            told = f"saved {report.backup.id}" if report else "too little has changed"
            logger.info("Automatic backup: %s. Next: %s.", told, self.next_run)

    async def back_up(self) -> SnapshotReport | None:
        """Take an automatic backup now, unless fewer paths than `auto_backup_min_changes` differ from the last backup.

        Raises:
            As for `BackupManager.snapshot`.
        """
        least = self._settings.auto_backup_min_changes
        if least and await self._fewer_changes_than(least):
            return None
        report = await self._manager.snapshot(replace(REQUEST, skip_if_unchanged=least > 0))
        return None if report.unchanged else report

    async def _fewer_changes_than(self, least: int) -> bool:
        try:
            plan = await self._manager.status(REQUEST)
        except CronosError:  # a backup fails with the same error, and tells it to the Mycelium too
            return False
        return plan.against is not None and len(plan.changes) < least


class _Due(BaseTrigger):  # type: ignore[misc]  # APScheduler tells no types
    """Fires when something is due; at once when that was in the past. A clock that is put back does not put it off."""

    def __init__(self, due: Callable[[datetime | None, datetime], datetime | None], last: datetime | None) -> None:
        self._due = due
        self._last = last

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        last = previous_fire_time or self._last
        due = self._due(last, now)
        if last or (due and due > now):  # asked again before it fires, it counts from the same moment
            self._last = min(last or now, now)
        return max(due, now) if due else None
