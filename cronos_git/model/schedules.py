"""Schedules as they are kept, what a timer of the machine is given for them, and how their runs ended. Floor F1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from cronos_git.model.snapshots import SnapshotRequest

TimerKind = Literal["systemd", "crontab", "launchd"]
ScheduleResult = Literal["saved", "unchanged", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A backup that is to be taken again and again.

    Attributes:
        project: Real path of the project.
        kind: Which timer of the machine calls it.
        cron: When, as five fields of a crontab line.
        command: What the timer runs, the program's absolute path first.
        environment: What the timer sets besides; it decides which configuration and which store are meant.
        request: The backup.
        min_changes: Take none as long as fewer paths differ; None for the configuration to say.
    """

    name: str
    project: str
    kind: TimerKind
    cron: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    request: SnapshotRequest = field(default_factory=SnapshotRequest)
    min_changes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerPart:
    """One thing that a timer consists of: a file, or lines of the crontab.

    Attributes:
        path: Where it stands; `crontab` for the user's crontab.
    """

    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRun:
    """How a schedule ran.

    Attributes:
        schedule: Its name.
        result: `saved`; `unchanged` when too little had changed for a backup; `failed`.
        backup: Id of the backup; None when there is none.
        problems: How many paths could not be saved fully.
        text: What went wrong; empty when nothing did.
    """

    schedule: str
    time: datetime
    result: ScheduleResult
    backup: str | None = None
    problems: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleChange:
    """What adding or removing a schedule does.

    Attributes:
        parts: What the timer consists of.
        done: Whether it was done, or only shown.
    """

    schedule: Schedule
    parts: tuple[TimerPart, ...]
    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleStatus:
    """A schedule and how it fares.

    Attributes:
        installed: Whether the machine's timer is there.
        next: When it runs next; a timer may be some minutes late. None when it is not installed.
        last: How it ran last; None when it has not run yet.
    """

    schedule: Schedule
    installed: bool
    next: datetime | None
    last: ScheduleRun | None
