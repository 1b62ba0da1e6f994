"""`operations` shows what was done to the store and to targets; `recover` cleans up after restores that died. Floor F11."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo

import typer

from cronos_git.cli import filters
from cronos_git.cli.command import command
from cronos_git.cli.render.tables import Column, Table
from cronos_git.cli.render.text import local, plural, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.model import Operation, Recovery

_COLUMNS = (
    Column(title="WHEN"),
    Column(title="VERB", style="bold"),
    Column(title="RESULT"),
    Column(title="BY", drop=1),
    Column(title="WHAT", flexible=True),
)
_IDS_SHOWN = 3
_STYLES = {"rolled back": "yellow", "finished": "green", "left": "red"}


@command(
    "operations", statuses=(10, 16), examples=("cronos operations", "cronos operations --limit 5", "cronos operations --json")
)
def operations(context: typer.Context, limit: filters.Limit = None) -> int:
    """List what was done, newest first.

    Backups, restores, deletions: when (your local time), how it ended, by which face (cli, library, service, hook, schedule) and
    user. Of requests over the bus only those that failed; -v and --json list all.
    """
    session = session_of(context)
    engine, output = session.engine(), session.output
    is_whole = session.options.json or session.options.verbose
    done = [one for one in engine.operations(limit if is_whole else None) if is_whole or not _was_answered(one)][:limit]
    if session.options.json:
        output.json_lines(done)
    elif done:
        output.table(operation_table(done, engine.zone))
    else:
        output.note("No operations yet.")
    return 0


def _was_answered(operation: Operation) -> bool:
    """Whether this is a request that led to nothing but an answer, or to an operation that is listed itself."""
    return operation.verb == "request" and operation.result in ("begun", "done")


def operation_table(done: Sequence[Operation], zone: tzinfo) -> Table:
    """One row an operation, in the order given."""
    return Table(columns=_COLUMNS, rows=[_row(operation, zone) for operation in done])


def _row(operation: Operation, zone: tzinfo) -> tuple[str, ...]:
    who = f"{operation.face} {operation.user}".strip()
    words = operation.verb, operation.result, who, _what(operation.facts)
    return (local(operation.time, zone), *map(visible, words))


def _what(facts: Mapping[str, object]) -> str:
    """The facts in short. Any may be missing or of another type: older and newer versions write the log too."""
    ids, target, point = _ids(facts), facts.get("target"), facts.get("restore_point")
    parts = [f"{ids} into {target}" if ids and target else ids or str(target or "")]
    if facts.get("topic"):
        parts.insert(0, f"{facts['topic']} by {facts.get('sender') or 'somebody'}")
    if point:
        parts.append(f"restore point {point}")
    problems = facts.get("problems")
    if isinstance(problems, int) and problems:
        parts.append(plural(problems, "problem"))
    if facts.get("error"):
        parts.append(str(facts["error"]))
    return "; ".join(part for part in parts if part)


def _ids(facts: Mapping[str, object]) -> str:
    several = facts.get("backups")
    if not isinstance(several, Sequence) or isinstance(several, str):
        return str(facts.get("backup") or "")
    shown = ", ".join(map(str, several[:_IDS_SHOWN]))
    return shown + (f" and {len(several) - _IDS_SHOWN:,} more" if len(several) > _IDS_SHOWN else "")


@command("recover", statuses=(10, 11, 15, 16), examples=("cronos recover", "cronos recover --json"))
def recover(context: typer.Context) -> int:
    """Clean up after restores that were killed.

    They are rolled back, or finished when they were all but done. Every command that writes does this by itself when
    it is safe. Ends with exit status 1 when one had to be left as it is.
    """
    session = session_of(context)
    with session.running() as run:
        found = session.engine().recover(run)
    _show_recovered(session, found)
    return 1 if any(recovery.result == "left" for recovery in found) else 0


def _show_recovered(session: Session, found: Sequence[Recovery]) -> None:
    output = session.output
    if session.options.json:
        output.json_lines(found)
    elif found:
        for recovery in found:
            result = output.paint(recovery.result, _STYLES[recovery.result])
            output.line(f"{result}: {visible(recovery.target)}: {visible(recovery.text)}")
    elif not session.options.quiet:
        output.line("Nothing to recover.")
