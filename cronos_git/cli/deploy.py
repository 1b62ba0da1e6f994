"""`deploy` runs a command with a way back: a backup before, its exit status noted after, a rollback when it fails. Floor F11."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import typer

from cronos_git.cli.command import command
from cronos_git.cli.create import legible, parse_metadata
from cronos_git.cli.hook_run import legible_value, rollback_command
from cronos_git.cli.render.text import duration, plural, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.errors import CronosError, UsageError
from cronos_git.model import AmendRequest, DeployReport, RestoreRequest, SnapshotRequest
from cronos_git.rules.hooks import stops, without_credentials

OnFailure = Literal["ask", "rollback", "keep"]

_LOCK_WAIT_S = 30.0
"""How long to wait, at least, for another command before the end of a deploy cannot be recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Deploy:
    """A deploy as it was asked for."""

    words: Sequence[str]
    request: SnapshotRequest
    on_failure: OnFailure
    fail_closed: bool | None


@command(
    "deploy",
    statuses=(3, 11, 13, 15, 16, 20),
    examples=(
        "cronos deploy -- make deploy",
        "cronos deploy --on-failure rollback --meta version=2.1 -- ./deploy.sh production",
    ),
)
def deploy(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="-- COMMAND…", show_default=False, help="What to run.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Stem of the id of the backup.")] = "pre-deploy",
    message: Annotated[
        str, typer.Option("-m", "--message", metavar="TEXT", show_default=False, help="One line about it [the command].")
    ] = "",
    metadata: Annotated[
        list[str] | None, typer.Option("--meta", metavar="KEY=VALUE", help="Metadata; VALUE is JSON or text; may be repeated.")
    ] = None,
    on_failure: Annotated[
        OnFailure, typer.Option("--on-failure", metavar="HOW", help="ask, rollback or keep; ask needs a terminal.")
    ] = "ask",
    fail_closed: Annotated[
        bool | None,
        typer.Option(
            "--fail-closed/--fail-open",
            show_default=False,
            help="Without a backup, do not run COMMAND, or run it [by hook_failure].",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Only show what would be done.")] = False,
) -> int:
    """Back up, run a command, note how it ended, and go back if it failed.

    The command has the terminal, the environment and the signals to itself. Its words, exit status and duration are noted on the
    backup, so keep secrets out of its command line. A rollback makes the project exactly what it was, and takes a restore point
    first. The exit status is the command's: 128 and the number of the signal that ended it. The others below are for a backup
    that could not be made; the command was not run then.
    """
    session = session_of(context)
    if shutil.which(words[0]) is None:
        raise UsageError(f"There is no command {words[0]!r}.", hint="Put the command after --: cronos deploy -- COMMAND.")
    shown = [legible(without_credentials(word)) for word in words]
    asked = _Deploy(
        words=words,
        request=SnapshotRequest(
            name=name,
            type="pre-deploy",
            message=legible(message) or f"Before {shlex.join(shown)}",
            metadata={**_facts(session), **parse_metadata(metadata or ()), "deploy": {"command": shown}},
        ),
        on_failure=on_failure,
        fail_closed=fail_closed,
    )
    return _plan(session, asked) if dry_run else _carry_out(session, asked, shown)


def _facts(session: Session) -> Mapping[str, object]:
    from cronos_git.ops.hooks import project_facts

    return {key: legible_value(value) for key, value in project_facts(session.engine().project).items()}


def _plan(session: Session, asked: _Deploy) -> int:
    with session.running() as run:
        plan = session.engine().plan_snapshot(asked.request, run)
    if session.options.json:
        session.output.json(plan)
    else:
        session.output.line(f"Would save {plural(plan.files, 'file')}, then run: {visible(shlex.join(asked.words))}")
    denied = session.foresee(plan, asked.request)
    if denied and _is_closed(session, asked):
        return denied
    return 3 if plan.problems else 0


def _carry_out(session: Session, asked: _Deploy, shown: Sequence[str]) -> int:
    from cronos_git.disk.commands import run_command

    backup = _backup(session, asked)
    session.output.flush()
    started = time.monotonic()
    status = run_command(asked.words, os.environ)  # noqa: TID251 - handed on as it is, not read
    report = DeployReport(
        backup=backup,
        command=tuple(shown),
        exit_code=status,
        duration_s=round(time.monotonic() - started, 3),
        rollback=rollback_command(session, backup) if backup else "",
    )
    engine = session.engine()
    engine.settings = replace(engine.settings, lock_wait=max(engine.settings.lock_wait, _LOCK_WAIT_S))
    _record(session, report)
    if status and backup:
        report = _after_failure(session, report, asked.on_failure)
    if session.options.json:
        session.output.json(report)
    return status


def _backup(session: Session, asked: _Deploy) -> str | None:
    """The id of the backup before the deploy; None when there is none and it is to go on all the same."""
    try:
        with session.running() as run:
            report = session.engine().snapshot(asked.request, run)
    except CronosError as error:
        if _is_closed(session, asked):
            error.hint = error.hint or "Without a backup the command is not run; --fail-open runs it all the same."
            raise
        session.output.warning(f"No backup, but the deploy goes on: {error.message}")
        return None
    session.output.note(f"Saved {report.backup.id}.")
    session.output.problems(report.problems)
    return report.backup.id


def _is_closed(session: Session, asked: _Deploy) -> bool:
    """Whether the command is not to be run without a backup."""
    return stops("pre-deploy", session.engine().settings.hook_failure) if asked.fail_closed is None else asked.fail_closed


def _record(session: Session, report: DeployReport) -> None:
    """Note on the backup how the deploy ended; the operation log tells it with that."""
    if report.backup is None:
        return
    told = {"command": list(report.command), "exit_code": report.exit_code, "duration_s": report.duration_s}
    try:
        session.engine().amend(AmendRequest(backups=(report.backup,), metadata={"deploy": told}))
    except CronosError as error:
        session.output.warning(f"How the deploy ended was not noted on {report.backup}: {error.message}")


def _after_failure(session: Session, report: DeployReport, on_failure: OnFailure) -> DeployReport:
    failed = f"The command ended with {report.exit_code} after {duration(report.duration_s)}."
    session.output.note(failed)
    if on_failure == "rollback" or (on_failure == "ask" and _agrees(session, report)):
        return _roll_back(session, report)
    session.output.note(f"To go back: {visible(report.rollback)}")
    return report


def _agrees(session: Session, report: DeployReport) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()) or session.options.json:
        return False
    return session.agrees(f"Make the project what it was in {report.backup}?")


def _roll_back(session: Session, report: DeployReport) -> DeployReport:
    request = RestoreRequest(backup=report.backup or "", strategy="replace", restore_point=True)
    try:
        with session.running() as run:
            done = session.engine().restore(request, run)
    except CronosError as error:
        told = CronosError(f"The rollback failed: {error.message}", hint=f"{error.hint} Again: {report.rollback}".strip())
        session.output.error(told, code=error.code, status=report.exit_code)
        return report
    point = f" `cronos undo` takes that back (restore point {done.restore_point})." if done.restore_point else ""
    session.output.note(f"Rolled back to {report.backup}: {plural(done.files, 'file')} written.{point}")
    session.output.problems(done.problems)
    return replace(report, rolled_back=True, restore_point=done.restore_point)
