"""`restore` brings a backup back. Floor F11."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from cronos_git.cli.command import command
from cronos_git.cli.paths import inside
from cronos_git.cli.render.text import duration, plural, size, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.errors import RefusedError
from cronos_git.model import RestorePlan, RestoreReport, RestoreRequest


@command(
    "restore",
    statuses=(3, 6, 10, 11, 12, 13, 15, 16),
    examples=(
        "cronos restore latest --to /tmp/look",
        "cronos restore deploy src docs --to ../before --verify",
        "cronos restore latest -n",
    ),
)
def restore(
    context: typer.Context,
    backup: Annotated[str, typer.Argument(metavar="BACKUP[:PATH]", help="A backup, perhaps with one path in it.")],
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", show_default=False, help="Only these files and directories.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--to", metavar="DIR", help="Absent or empty directory [<project>-<id> beside the project].")
    ] = None,
    strategy: Annotated[
        Literal["new_location"], typer.Option("--strategy", metavar="STRATEGY", help="new_location: into a directory of its own.")
    ] = "new_location",
    verify: Annotated[bool, typer.Option("--verify", help="Read every restored file back and compare it.")] = False,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Only show what would be written.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> int:
    """Bring a backup back, whole or in part, into a new or empty directory.

    The project itself is not touched. A restore into a directory that exists shows its plan and asks first; where nobody can be
    asked it needs --yes.
    """
    from cronos_git.rules.identify import split_path

    session = session_of(context)
    identifier, path = split_path(backup)
    found = session.find(identifier, for_all=True)
    wanted = _wanted(session, [*([] if path is None else [path]), *(paths or ())])
    where = None if target is None else os.path.abspath(target)
    request = RestoreRequest(backup=found.id, paths=wanted, target=where, strategy=strategy, verify=verify)
    plan = session.engine().plan_restore(request)
    if dry_run:
        _show_plan(session, plan)
        return 0
    if os.path.lexists(plan.target) and not yes and not _agreed(session, plan):
        session.output.note("Nothing was changed.")
        return 1
    with session.running() as run:
        report = session.engine().apply_restore(plan, run, verify=verify)
    _show_report(session, report)
    return 3 if report.problems else 0


def _wanted(session: Session, words: Sequence[str]) -> tuple[str, ...]:
    """The paths that were asked for; none, which means everything, when the root is among them."""
    project = session.engine().project
    found = tuple(inside(project, word) for word in words)
    return () if "" in found else found


def _agreed(session: Session, plan: RestorePlan) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()) or session.options.json:
        raise RefusedError(
            f"{plan.target} exists, and there is nobody to ask.", hint="Give --yes to restore into it.", path=plan.target
        )
    session.output.raw_error(_sentence(plan) + "\n")
    return session.agrees("Go on?")


def _sentence(plan: RestorePlan) -> str:
    what = f"{plural(plan.files, 'file')} and {plural(plan.directories, 'directory', 'directories')}, {size(plan.size_bytes)}"
    return f"Would restore {plan.backup.id} into {visible(plan.target)}: {what}."


def _show_plan(session: Session, plan: RestorePlan) -> None:
    if session.options.json:
        session.output.json(plan)
    else:
        session.output.line(_sentence(plan))


def _show_report(session: Session, report: RestoreReport) -> None:
    output, plan = session.output, report.plan
    if session.options.json:
        output.json(report)
    elif session.options.quiet:
        output.line(visible(plan.target))
    else:
        what = f"{plural(report.files, 'file')}, {size(report.size_bytes)}"
        checked = f" Read back and compared: {plural(report.verified, 'file')}." if report.verified else ""
        output.line(f"Restored {plan.backup.id} into {visible(plan.target)}: {what} in {duration(report.duration_s)}.{checked}")
    output.problems(report.problems)
