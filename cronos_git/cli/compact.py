"""`compact` frees what no backup needs any more. Floor F11."""

from __future__ import annotations

from typing import Annotated

import typer

from cronos_git.cli.command import command
from cronos_git.cli.listing import backup_table
from cronos_git.cli.render.text import duration, plural, size
from cronos_git.cli.session import Session, session_of
from cronos_git.model import CompactPlan, CompactReport, CompactRequest


@command(
    "compact",
    statuses=(6, 10, 11, 13, 15, 16, 20),
    examples=("cronos compact -n", "cronos compact", "cronos compact --trash-days 0"),
)
def compact(
    context: typer.Context,
    trash_days: Annotated[
        int | None,
        typer.Option(
            "--trash-days",
            metavar="N",
            min=0,
            show_default=False,
            help="Drop for good what was deleted more than N days ago; 0: all that is in the trash.",
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Look for similar contents anew everywhere: slower, smaller.")] = False,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Only show what would be dropped and freed.")] = False,
) -> int:
    """Free space: drop for good what has lain in the trash long enough, and pack all else more tightly.

    What is kept is read back in full before anything old is removed. Needs as much free space as the result takes.
    """
    session = session_of(context)
    request = CompactRequest(trash_days=trash_days, full=full)
    if dry_run:
        plan = session.engine().plan_compact(request)
        _show_plan(session, plan)
        return session.foresee(plan)
    with session.running() as run:
        report = session.engine().compact(request, run)
    _show_report(session, report)
    return 0


def _show_plan(session: Session, plan: CompactPlan) -> None:
    output = session.output
    if session.options.json:
        output.json(plan)
    elif session.options.quiet:
        output.lines(backup.id for backup in plan.expired)
    else:
        if plan.expired:
            output.table(backup_table(plan.expired, session.engine().zone))
        output.line(
            f"Would drop {_dropped(plan)} for good and free at least {size(plan.unneeded_bytes)} of {size(plan.packed_bytes)}."
        )
        if plan.waiting:
            output.note(f"{plural(len(plan.waiting), 'deleted backup')} can still be brought back; --trash-days 0 drops all.")


def _show_report(session: Session, report: CompactReport) -> None:
    output = session.output
    if session.options.json:
        output.json(report)
    elif report.plan.idle and not session.options.quiet:
        output.line(f"Nothing to compact: {size(report.packed_bytes)} in one pack, and all of it is needed.")
    elif not session.options.quiet:
        grew = f"took {size(-report.freed_bytes)} more" if report.freed_bytes < 0 else f"freed {size(report.freed_bytes)}"
        left = f"{plural(report.objects, 'object')} in {size(report.packed_bytes)}"
        output.line(f"Compacted in {duration(report.duration_s)}: dropped {_dropped(report.plan)}, {grew}; {left} are left.")


def _dropped(plan: CompactPlan) -> str:
    return plural(len(plan.expired), "deleted backup")
