"""`prune` drops old backups by rule, `delete` those that are named; `undelete` brings them back. Floor F11."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Annotated, Any

import typer

from cronos_git.cli import candidates
from cronos_git.cli.command import command
from cronos_git.cli.listing import backup_table
from cronos_git.cli.render.tables import Column, Table
from cronos_git.cli.render.text import local, plural, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.errors import BackupNotFoundError, RefusedError
from cronos_git.model import Backup, Decision, PrunePlan, PruneReport, PruneRequest

_COLUMNS = (
    Column(title="ID", style="bold"),
    Column(title="SCOPE", silent="project", drop=1),
    Column(title="CREATED", drop=2),  # the id tells it too
    Column(title="DECISION"),
    Column(title="WHY", folds=True),
)


def _limit(name: str, text: str) -> Any:
    return typer.Option(name, metavar="N", min=0, show_default=False, help=text)


_Days = Annotated[int | None, _limit("--retention-days", "Drop what is older than N days; 0: no limit.")]
_Backups = Annotated[int | None, _limit("--max-backups", "Drop all but the N newest; 0: no limit.")]
_Last = Annotated[int | None, _limit("--keep-last", "Keep the N newest.")]
_Hourly = Annotated[int | None, _limit("--keep-hourly", "Keep the newest of each of N hours.")]
_Daily = Annotated[int | None, _limit("--keep-daily", "Keep the newest of each of N days.")]
_Weekly = Annotated[int | None, _limit("--keep-weekly", "Keep the newest of each of N weeks.")]
_Monthly = Annotated[int | None, _limit("--keep-monthly", "Keep the newest of each of N months.")]
_Yearly = Annotated[int | None, _limit("--keep-yearly", "Keep the newest of each of N years.")]
_Within = Annotated[
    str | None,
    typer.Option("--keep-within", metavar="TIME", show_default=False, help="Keep all made within 1y6m14d12h of the newest."),
]
_PointDays = Annotated[int | None, _limit("--restore-point-days", "Drop restore points older than N days; 0: keep all.")]


@command(
    "prune",
    statuses=(6, 10, 11, 13, 15, 16, 20),
    examples=(
        "cronos prune -n",
        "cronos prune --retention-days 0 --max-backups 0 --keep-daily 7 --keep-monthly 12",
        "cronos prune",
    ),
)
def prune(
    context: typer.Context,
    retention_days: _Days = None,
    max_backups: _Backups = None,
    keep_last: _Last = None,
    keep_hourly: _Hourly = None,
    keep_daily: _Daily = None,
    keep_weekly: _Weekly = None,
    keep_monthly: _Monthly = None,
    keep_yearly: _Yearly = None,
    keep_within: _Within = None,
    restore_point_days: _PointDays = None,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Only show what would be dropped.")] = False,
) -> int:
    """Drop old backups by the retention rules, and say why each stays or goes.

    The options replace configured rules. What is dropped goes to the trash, from where `cronos undelete` brings it back until
    `cronos compact` frees its space, which no sooner happens than `trash_days` later.
    """
    given = {
        "retention_days": retention_days,
        "max_backups": max_backups,
        "keep_last": keep_last,
        "keep_hourly": keep_hourly,
        "keep_daily": keep_daily,
        "keep_weekly": keep_weekly,
        "keep_monthly": keep_monthly,
        "keep_yearly": keep_yearly,
        "keep_within": keep_within,
        "restore_point_days": restore_point_days,
    }
    session = session_of(context)
    plan = session.engine().plan_prune(PruneRequest(limits=_given(given)))
    if dry_run:
        _show_plan(session, plan, plan, "Would move")
        return session.foresee(plan)
    with session.running() as run:
        report = session.engine().apply_prune(plan, run)
    _show_plan(session, plan, report, "Moved")
    return 0


@command(
    "delete",
    statuses=(6, 10, 11, 12, 13, 15, 16, 20),
    examples=("cronos delete deploy_20260401_120000", "cronos delete latest latest~1 --yes", "cronos delete latest -n"),
)
def delete(
    context: typer.Context,
    backups: Annotated[list[str], typer.Argument(metavar="BACKUP", help="The backups.", autocompletion=candidates.backups)],
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Only show which backups these are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> int:
    """Move backups to the trash.

    Pinned ones are refused. `cronos undelete` brings them back, and until then they take their space. Where nobody can be asked
    it needs --yes.
    """
    session = session_of(context)
    chosen = list({found.id: found for found in map(session.find, backups)}.values())
    if dry_run:
        _show_backups(session, chosen)
        return session.foresee(chosen)
    if not yes and not _agreed(session, chosen):
        session.output.note("Nothing was changed.")
        return 1
    with session.running() as run:
        gone = session.engine().delete([backup.id for backup in chosen], run)
    _show_done(session, gone, "Moved", " to the trash; `cronos undelete` lists it.")
    return 0


@command("undelete", statuses=(6, 10, 11, 12, 15, 16), examples=("cronos undelete", "cronos undelete deploy_20260401_120000"))
def undelete(
    context: typer.Context,
    backups: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BACKUP", show_default=False, help="Backups in the trash; none lists them.", autocompletion=candidates.trash
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Only show which backups these are.")] = False,
) -> int:
    """Bring deleted backups back, or list the trash."""
    session = session_of(context)
    engine = session.engine()
    trash = engine.trash()
    if not backups:
        _show_backups(session, trash)
        if not trash:
            session.output.note("The trash is empty.")
        return 0
    chosen = _in_trash(session, backups, trash)
    if dry_run:
        _show_backups(session, chosen)
        return 0
    with session.running() as run:
        back = engine.undelete([backup.id for backup in chosen], run)
    _show_done(session, back, "Brought back", ".")
    return 0


def _given(limits: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in limits.items() if value is not None}


def _in_trash(session: Session, identifiers: Sequence[str], trash: Sequence[Backup]) -> list[Backup]:
    from cronos_git.rules.identify import resolve

    engine = session.engine()
    chosen: dict[str, Backup] = {}
    for identifier in identifiers:
        try:
            found = resolve(identifier, trash, engine.clock.now(), engine.zone)
        except BackupNotFoundError as error:
            hint = "`cronos undelete` lists the trash."
            raise BackupNotFoundError(f"Nothing in the trash matches {identifier!r}.", hint=hint) from error
        if found.note:
            session.output.note(found.note)
        chosen[found.backup.id] = found.backup
    return list(chosen.values())


def _agreed(session: Session, backups: Sequence[Backup]) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()) or session.options.json:
        raise RefusedError("There is nobody to ask whether to delete.", hint="Give --yes.")
    session.output.raw_error("".join(f"  {backup.id}\n" for backup in backups))
    return session.agrees(f"Move {plural(len(backups), 'backup')} to the trash?")


# --- results ------------------------------------------------------------------------------------------------------


def _show_plan(session: Session, plan: PrunePlan, record: PrunePlan | PruneReport, done: str) -> None:
    output, zone = session.output, session.engine().zone
    if session.options.json:
        output.json(record)
    elif session.options.quiet:
        output.lines(backup.id for backup in plan.dropped)
    elif plan.decisions:
        output.table(Table(columns=_COLUMNS, rows=[_row(decision, zone) for decision in plan.decisions]))
    gone = len(plan.dropped)
    output.note(f"{done} {plural(gone, 'backup')} to the trash; {plural(len(plan.decisions) - gone, 'backup')} kept.")


def _row(decision: Decision, zone: tzinfo) -> tuple[str, ...]:
    backup = decision.backup
    verdict = "keep" if decision.keep else "drop"
    return backup.id, visible(backup.scope), local(backup.created, zone)[:16], verdict, "; ".join(decision.reasons)


def _show_backups(session: Session, backups: Sequence[Backup]) -> None:
    if session.options.json:
        session.output.json_lines(backups)
    elif session.options.quiet:
        session.output.lines(backup.id for backup in backups)
    elif backups:
        session.output.table(backup_table(backups, session.engine().zone))


def _show_done(session: Session, backups: Sequence[Backup], done: str, rest: str) -> None:
    if session.options.json or session.options.quiet:
        _show_backups(session, backups)
    else:
        session.output.line(f"{done} {', '.join(backup.id for backup in backups)}{rest}")
