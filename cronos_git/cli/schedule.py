"""`schedule` has the machine's own timers take backups: systemd, crontab or launchd. Floor F11."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cronos_git.cli.command import command
from cronos_git.cli.hook_run import general_options
from cronos_git.cli.render.tables import Column, Table
from cronos_git.cli.render.text import age, local, plural, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.cli.unattended import (
    Exclude,
    Include,
    Labels,
    MinChanges,
    Modules,
    Stem,
    Type,
    let_it_wait,
    request_for,
)
from cronos_git.errors import CronosError, UsageError
from cronos_git.model import (
    Schedule,
    ScheduleChange,
    ScheduleRun,
    ScheduleStatus,
    SnapshotReport,
    SnapshotRequest,
    TimerKind,
)

if TYPE_CHECKING:
    from cronos_git.rules.cron import Cron

_UNSENT_STATUS = 14
_COLUMNS = (
    Column(title="NAME", style="bold"),
    Column(title="TIMER"),
    Column(title="WHEN"),
    Column(title="NEXT"),
    Column(title="LAST", flexible=True),
    Column(title="PROJECT", flexible=True),
)
_Name = Annotated[str, typer.Argument(metavar="NAME", help="What the schedule is called.")]
_DryRun = Annotated[bool, typer.Option("-n", "--dry-run", help="Only show what would be done.")]


# --- add ----------------------------------------------------------------------------------------------------------


@command(
    "schedule add",
    statuses=(13,),
    examples=(
        "cronos schedule add nightly --cron '30 3 * * *'",
        "cronos schedule add ethik --every 6h --module ETHIK --min-changes 10 --install",
        "cronos schedule add nightly --every daily --kind systemd -n",
    ),
)
def add(
    context: typer.Context,
    name: _Name,
    every: Annotated[
        str | None, typer.Option("--every", metavar="TIME", show_default=False, help="15m, 6h, hourly, daily, weekly or monthly.")
    ] = None,
    cron: Annotated[
        str | None, typer.Option("--cron", metavar="FIELDS", show_default=False, help="Five fields as in a crontab.")
    ] = None,
    kind: Annotated[
        TimerKind | None,
        typer.Option("--kind", metavar="KIND", show_default=False, help="systemd, crontab or launchd [what is there]."),
    ] = None,
    stem: Stem = None,
    backup_type: Type = "auto",
    labels: Labels = None,
    modules: Modules = None,
    include: Include = None,
    exclude: Exclude = None,
    min_changes: MinChanges = None,
    install: Annotated[bool, typer.Option("--install", help="Install it without asking.")] = False,
    dry_run: _DryRun = False,
) -> int:
    """Show the timer that would take backups, and install it.

    It is installed with --install or after a yes on the terminal. Times are local time. --backup-dir, --config, --lock-wait and
    the environment that decides about the configuration are noted in it. The timer calls `cronos schedule run NAME`.
    """
    from cronos_git.rules.schedules import check_schedule_name
    from cronos_git.surroundings import schedule_files

    session = session_of(context)
    request = request_for(
        name=stem or check_schedule_name(name),
        backup_type=backup_type,
        labels=labels,
        modules=modules,
        include=include,
        exclude=exclude,
    )
    _check_request(session, request)
    schedule = _schedule(session, name, _calendar(every, cron).text, kind, request, min_changes)
    if schedule_files().find(schedule.project, name) is not None:
        raise UsageError(f"This project has a schedule {name} already.", hint=f"Remove it first: cronos schedule remove {name}")
    return _propose(session, schedule, install=install, dry_run=dry_run)


def _calendar(every: str | None, cron: str | None) -> Cron:
    from cronos_git.rules.cron import parse_cron, parse_every

    if (every is None) == (cron is None):
        raise UsageError("Say when: with --every or with --cron.", hint="Such as --every 6h, or --cron '30 3 * * *'.")
    option, text = ("--every", every) if every is not None else ("--cron", cron)
    try:
        return parse_every(text or "") if every is not None else parse_cron(text or "")
    except ValueError as error:
        hint = "Minutes that an hour, or hours that a day is a multiple of; else see --cron." if every is not None else ""
        raise UsageError(f"{option} {text!r}: {error}.", hint=hint or "Such as '30 3 * * 1-5': at 3:30 on weekdays.") from error


def _check_request(session: Session, request: SnapshotRequest) -> None:
    """Fail now, not at night, where the request cannot be met."""
    from cronos_git.ops.subject import describe

    engine = session.engine()
    describe(str(engine.project), engine.settings, request)


def _schedule(
    session: Session, name: str, cron: str, kind: TimerKind | None, request: SnapshotRequest, min_changes: int | None
) -> Schedule:
    from cronos_git.disk.timers import choose_kind
    from cronos_git.surroundings import command_path, timer_surroundings

    program = command_path()
    if program is None:
        raise UsageError("The `cronos` command cannot be found, so no timer could call it.", hint="Install CRONOS, or set PATH.")
    around = timer_surroundings()
    project = str(session.engine().project)
    return Schedule(
        name=name,
        project=project,
        kind=kind or choose_kind(around),
        cron=cron,
        command=(program, *general_options(session), "-C", project, "schedule", "run", name),
        environment=around.carried,
        request=request,
        min_changes=min_changes,
    )


def _propose(session: Session, schedule: Schedule, *, install: bool, dry_run: bool) -> int:
    from cronos_git.disk.timers import timer_of
    from cronos_git.surroundings import timer_surroundings

    around = timer_surroundings()
    change = ScheduleChange(schedule=schedule, parts=timer_of(schedule.kind, around).parts(schedule), done=False)
    if not session.options.json:
        _show_parts(session, change)
    wanted = not dry_run and (install or _agrees(session))
    if wanted:
        _install(session, schedule)
        change = replace(change, done=True)
    if session.options.json:
        session.output.json(change)
    elif not dry_run and not wanted:
        session.output.note("Nothing was installed; --install does it.")
    if wanted and schedule.kind == "systemd" and not around.lingering.exists():
        session.output.note("It runs while you are logged in; `loginctl enable-linger` lets it run always.")
    return 0


def _show_parts(session: Session, change: ScheduleChange) -> None:
    for part in change.parts if not session.options.quiet else ():
        session.output.line(session.output.paint(f"==> {visible(part.path)} <==", "bold"))
        session.output.lines(map(visible, part.text.expandtabs(2).splitlines()))


def _agrees(session: Session) -> bool:
    is_asked = sys.stdin.isatty() and sys.stderr.isatty() and not session.options.json
    return is_asked and session.agrees("Install it?")


def _install(session: Session, schedule: Schedule) -> None:
    """Keep the schedule, then install its timer; a timer that cannot be installed leaves none of the two."""
    from cronos_git.disk.timers import timer_of
    from cronos_git.surroundings import schedule_files, timer_surroundings

    files = schedule_files()
    files.save(schedule)
    try:
        timer_of(schedule.kind, timer_surroundings()).install(schedule)
    except BaseException:
        files.remove(schedule)
        raise
    session.output.note(f"Installed the schedule {schedule.name} ({schedule.kind}).")


# --- list, remove -------------------------------------------------------------------------------------------------


@command("schedule list", examples=("cronos schedule list", "cronos schedule list --all --json"))
def list_schedules(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Those of every project.")] = False,
) -> int:
    """List the schedules of the project: when they run next, and how they ran last; -q only their names."""
    from cronos_git.surroundings import schedule_files

    session = session_of(context)
    output = session.output
    project = None if everything else _project(session)
    found = [schedule for schedule in schedule_files().all() if project in (None, schedule.project)]
    if session.options.quiet and not session.options.json:
        output.lines(schedule.name for schedule in found)
        return 0
    statuses = [_status(session, schedule) for schedule in found]
    if session.options.json:
        output.json_lines(statuses)
    else:
        columns = _COLUMNS if everything else _COLUMNS[:-1]
        output.table(Table(columns=columns, rows=[_row(status)[: len(columns)] for status in statuses]))
    return 0


def _status(session: Session, schedule: Schedule) -> ScheduleStatus:
    from cronos_git.clock import LocalZone
    from cronos_git.disk.timers import timer_of
    from cronos_git.rules.cron import next_after, parse_cron
    from cronos_git.surroundings import schedule_files, timer_surroundings

    try:
        installed = timer_of(schedule.kind, timer_surroundings()).is_installed(schedule)
    except CronosError as error:  # the others can be told all the same
        session.output.warning(f"{schedule.name}: {error.message}")
        installed = False
    return ScheduleStatus(
        schedule=schedule,
        installed=installed,
        next=next_after(parse_cron(schedule.cron), _now(), LocalZone()) if installed else None,
        last=schedule_files().last_run(schedule),
    )


def _row(status: ScheduleStatus) -> tuple[str, ...]:
    from cronos_git.clock import LocalZone

    schedule, last = status.schedule, status.last
    following = "not installed" if status.next is None else local(status.next, LocalZone())
    ended = f"{last.backup or last.result}, {age(last.time, _now())}{_shortfall(last)}" if last else ""
    return schedule.name, schedule.kind, schedule.cron, following, ended, visible(schedule.project)


def _shortfall(last: ScheduleRun) -> str:
    problems = f", {plural(last.problems, 'problem')}" if last.problems else ""
    return problems + (", not sent" if last.backup and last.text else "")


@command("schedule remove", examples=("cronos schedule remove nightly", "cronos -C /srv/gone schedule remove nightly"))
def remove(context: typer.Context, name: _Name, dry_run: _DryRun = False) -> int:
    """Remove a schedule and its timer; the backups stay."""
    from cronos_git.disk.timers import timer_of
    from cronos_git.surroundings import schedule_files, timer_surroundings

    session = session_of(context)
    schedule = _found(session, name)
    timer = timer_of(schedule.kind, timer_surroundings())
    parts = timer.parts(schedule) if timer.is_installed(schedule) else ()
    if not dry_run:
        timer.remove(schedule)
        schedule_files().remove(schedule)
    if session.options.json:
        session.output.json(ScheduleChange(schedule=schedule, parts=parts, done=not dry_run))
    else:
        session.output.line(f"{'Would remove' if dry_run else 'Removed'} the schedule {name} ({schedule.kind}).")
    return 0


def _found(session: Session, name: str) -> Schedule:
    from cronos_git.surroundings import schedule_files

    project = _project(session)
    schedule = schedule_files().find(project, name)
    if schedule is None:
        raise UsageError(f"{project} has no schedule {name!r}.", hint="`cronos schedule list --all` shows all of yours.")
    return schedule


def _project(session: Session) -> str:
    """Real path of the project; of one that was named and is gone too, as its schedules may be left."""
    named = session.options.project
    if named is not None and not os.path.lexists(named):
        return os.path.realpath(named)
    return str(session.engine().project)


# --- run ----------------------------------------------------------------------------------------------------------


@command("schedule run", statuses=(3, 11, 13, 14, 15, 16, 20), examples=("cronos schedule run nightly",))
def run(context: typer.Context, name: _Name) -> int:
    """Take the backup of a schedule, as its timer does.

    Takes none when less has changed than the schedule asks for. Says nothing when all is well, but with -v or on a terminal.
    """
    session = session_of(context)
    schedule = _found(session, name)
    try:
        report = _take(session, schedule)
    except Exception as error:
        _note(session, schedule, ScheduleRun(schedule=name, time=_now(), result="failed", text=str(error)))
        raise
    told = ScheduleRun(
        schedule=name,
        time=_now(),
        result="saved" if report else "unchanged",
        backup=report.backup.id if report else None,
        problems=len(report.problems) if report else 0,
        text=report.push_failed if report else "",
    )
    _note(session, schedule, told)
    return _show_run(session, told, report)


def _now() -> datetime:
    from cronos_git.clock import SystemClock

    return SystemClock().now()


def _take(session: Session, schedule: Schedule) -> SnapshotReport | None:
    engine = session.engine()
    engine.face = "schedule"
    let_it_wait(engine)
    request = replace(schedule.request, metadata={**schedule.request.metadata, "schedule": schedule.name})
    with session.running() as run:
        return engine.auto_snapshot(request, run, min_changes=schedule.min_changes)


def _note(session: Session, schedule: Schedule, told: ScheduleRun) -> None:
    from cronos_git.surroundings import schedule_files

    try:
        schedule_files().note_run(schedule, told)
    except CronosError as error:
        session.output.warning(f"How the schedule ran was not noted: {error.message}")


def _show_run(session: Session, told: ScheduleRun, report: SnapshotReport | None) -> int:
    output, options = session.output, session.options
    if options.json:
        output.json(told)
    elif not options.quiet and (options.verbose or output.terminal):
        output.line(f"Saved {told.backup}." if report else "Too little has changed; no backup was made.")
    if report is None:
        return 0
    output.problems(report.problems)
    if report.push_failed:
        return _UNSENT_STATUS
    return 3 if report.problems else 0
