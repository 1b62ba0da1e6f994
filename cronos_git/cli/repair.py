"""`repair` makes a damaged store whole again, as far as that is possible. Floor F11."""

from __future__ import annotations

from typing import Annotated

import typer

from cronos_git.cli.command import command
from cronos_git.cli.render.tables import Column, Table
from cronos_git.cli.render.text import duration, plural, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.model import RepairPlan, RepairReport

_LOST_STATUS = 6
_STEPS = (Column(title="ACTION", style="bold"), Column(title="WHAT"), Column(title="WHY", flexible=True))
_LOSSES = (
    Column(title="LOST", style="red"),
    Column(title="BACKUP"),
    Column(title="PATH", style="bold"),
    Column(title="MEANING", flexible=True, drop=1),
)


@command("repair", statuses=(6, 10, 11, 13, 14, 15, 16), examples=("cronos repair -n", "cronos repair", "cronos repair --json"))
def repair(
    context: typer.Context,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no remote for what is lost.")] = False,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Only show what would be done.")] = False,
) -> int:
    """Make a damaged store whole again.

    Indexes, refs and timelines are made anew from what is whole; lost objects are looked for in other packs, in the project's
    files, and then on the remotes. What is damaged is moved to cronos/quarantine in the store, never deleted: packs, refs,
    journals of restores, lines of the operation log. A backup of which something is lost for good keeps the rest; what is
    missing is listed, and ends with exit status 6. What is left of a large file stands beside it in the backup, in
    NAME.damaged.
    """
    session = session_of(context)
    engine = session.engine()
    with session.running() as run:
        report = None if dry_run else engine.repair(run, offline=offline)
        plan = report.plan if report else engine.plan_repair(run, offline=offline)
    _show(session, plan, report)
    return _LOST_STATUS if plan.lost or (report and report.remaining) else 0


def _show(session: Session, plan: RepairPlan, report: RepairReport | None) -> None:
    output = session.output
    if session.options.json:
        output.json(report or plan)
        return
    if plan.steps and not session.options.quiet:
        rows = [(step.action, visible(step.subject), visible(step.text)) for step in plan.steps]
        output.table(Table(columns=_STEPS, rows=rows))
    if plan.lost:
        lost = [(loss.kind, loss.backup, visible(loss.path), visible(loss.text)) for loss in plan.lost]
        output.table(Table(columns=_LOSSES, rows=lost))
    for note in plan.notes:
        output.note(visible(note))
    _conclude(session, plan, report)


def _conclude(session: Session, plan: RepairPlan, report: RepairReport | None) -> None:
    """How it ended, in a line or two."""
    output, hit = session.output, len({loss.backup for loss in plan.lost})
    done = "Would do" if report is None else "Did"
    if not plan.steps:
        output.note("Nothing is damaged; nothing to repair.")
    else:
        took = "" if report is None else f" in {duration(report.duration_s)}"
        output.note(f"{done} {plural(len(plan.steps), 'step')}{took}.")
    if report and report.quarantine:
        output.note(f"What was damaged, and a report, lie in {report.quarantine}; delete that when all is well.")
    if plan.lost:
        what = f"{plural(len(plan.lost), 'path or part', 'paths or parts')} of {plural(hit, 'backup')}"
        output.warning(f"Lost for good: {what}. Other backups may have them: see `cronos find`.")
    if report and report.remaining:
        output.warning(f"Still damaged: {report.remaining[0].text} Run `cronos verify` to see all.")
