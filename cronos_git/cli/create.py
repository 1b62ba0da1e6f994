"""`create` makes a backup; `status` says what one would hold now. Floor F11."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from cronos_git.cli.command import command
from cronos_git.cli.dependencies import WithDependencies, reasons, require_part
from cronos_git.cli.render.text import age, changes, duration, local, plural, size, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.errors import UsageError
from cronos_git.model import Change, Excluded, SnapshotPlan, SnapshotReport, SnapshotRequest
from cronos_git.rules.requests import check_type

_UNSENT_STATUS = 14
_MARKS = {"added": ("+", "green"), "changed": ("~", "yellow"), "removed": ("-", "red"), "attributes": (".", "cyan")}
_CHANGES_SHOWN = 100


@command(
    "create",
    statuses=(3, 11, 13, 14, 15, 16, 20),
    examples=("cronos create", "cronos create deploy --type pre-deploy -m 'before 2.0' --label release", "cronos create -n"),
)
def create(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", show_default=False, help="Stem of the id [backup].")] = None,
    message: Annotated[str, typer.Option("-m", "--message", metavar="TEXT", show_default=False, help="One line about it.")] = "",
    description: Annotated[str, typer.Option("--description", metavar="TEXT", show_default=False, help="More than a line.")] = "",
    backup_type: Annotated[
        str, typer.Option("--type", metavar="TYPE", help="manual, auto, pre-deploy or a word of yours.")
    ] = "manual",
    labels: Annotated[list[str] | None, typer.Option("--label", metavar="LABEL", help="Label it; may be repeated.")] = None,
    pin: Annotated[bool, typer.Option("--pin", help="Pin it: retention never drops it.")] = False,
    metadata: Annotated[
        list[str] | None, typer.Option("--meta", metavar="KEY=VALUE", help="Metadata; VALUE is JSON or text; may be repeated.")
    ] = None,
    include: Annotated[
        list[str] | None, typer.Option("--include", metavar="PATTERN", help="Take what a rule leaves out; may be repeated.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="PATTERN", help="Leave this out too; may be repeated.")
    ] = None,
    modules: Annotated[
        list[str] | None, typer.Option("--module", metavar="MODULE", help="Only this module or path; may be repeated.")
    ] = None,
    with_dependencies: WithDependencies = False,
    skip_if_unchanged: Annotated[
        bool, typer.Option("--skip-if-unchanged", help="No backup when nothing differs from the last.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Only show what would be saved.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even when the project is / or your home.")] = False,
) -> int:
    """Save the project's state as a new backup.

    The first backup of a project makes its store. Nothing in the project is changed, and nothing is reported as saved before it
    is on the disk.
    """
    session = session_of(context)
    if with_dependencies:
        require_part(modules or (), "Choose modules with --module, or leave it out.")
    request = SnapshotRequest(
        name=name,
        type=check_type(backup_type),
        message=legible(message),
        description=legible(description),
        labels=tuple(map(legible, labels or ())),
        pinned=pin,
        metadata=parse_metadata(metadata or ()),
        modules=tuple(modules or ()),
        with_dependencies=with_dependencies,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        skip_if_unchanged=skip_if_unchanged,
    )
    engine = session.engine(force=force)
    if dry_run:
        with session.running() as run:
            plan = engine.plan_snapshot(request, run)
        _show_plan(session, plan)
        return session.foresee(plan, request) or (3 if plan.problems else 0)
    with session.running() as run:
        report = engine.snapshot(request, run)
    _show_report(session, report)
    if report.push_failed:
        return _UNSENT_STATUS
    return 3 if report.problems else 0


@command("status", statuses=(11, 14, 16), examples=("cronos status", "cronos -C ~/work/site status --json"))
def status(context: typer.Context) -> int:
    """Show what changed since the last backup.

    Each path stands after what happened to it: + added, ~ changed, - removed. With -v also those whose attributes alone (times,
    modes, owners) differ, after a dot.
    """
    session = session_of(context)
    if session.options.via is not None:
        from cronos_git.cli.elsewhere import show_status

        return show_status(session)
    with session.running() as run:
        plan = session.engine().plan_snapshot(SnapshotRequest(), run)
    _show_plan(session, plan)
    return 0


def parse_metadata(pairs: Sequence[str]) -> dict[str, object]:
    """What `--meta KEY=VALUE` says; a value that is no JSON is text."""
    found: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key.strip() or not equals:
            raise UsageError(f"--meta {pair!r} is not KEY=VALUE.", hint="Write it like --meta ticket=OPS-1.")
        found[key] = _metadata_value(value)
    return found


def _metadata_value(text: str) -> object:
    """The JSON that *text* is; *text* itself when it is none, or one that cannot be stored as such (NaN, 1e999)."""
    try:
        value: object = json.loads(text)
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return text
    return value


def legible(text: str) -> str:
    r"""*text* with bytes that are no UTF-8 written as `\xff`; the record of a backup holds only text."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


# --- results ------------------------------------------------------------------------------------------------------


def _show_report(session: Session, report: SnapshotReport) -> None:
    output, backup = session.output, report.backup
    if session.options.json:
        output.json(report)
    elif session.options.quiet:
        output.line(backup.id)
    elif report.unchanged:
        output.line(f"Nothing has changed since {backup.id}; no backup was made.")
    else:
        holds = f"{plural(backup.files, 'file')}, {size(backup.size_bytes)}, {changes(backup)}"
        output.line(f"Saved {backup.id}: {holds}. Stored {size(report.bytes_stored)} in {duration(report.duration_s)}.")
        if backup.sequence == 1:
            output.note(f"New store: {session.engine().store_path}")
        if report.pruned:
            output.note(f"Retention moved {plural(len(report.pruned), 'backup')} to the trash; `cronos undelete` lists it.")
        if report.dropped:
            gone = f"{plural(len(report.dropped), 'deleted backup')} for good ({', '.join(report.dropped)})"
            output.note(f"Compacted the store: dropped {gone}, freed {size(report.freed_bytes)}.")
        if report.pushed:
            output.note(f"Sent {plural(len(report.pushed), 'backup')} to {session.engine().settings.auto_push}.")
    if not session.options.json:
        for line in reasons(report.dependencies):
            output.note(line)
        _note_excluded(session, report.excluded)
    output.problems(report.problems)


def _note_excluded(session: Session, excluded: Excluded) -> None:
    if excluded.files or excluded.directories:
        left = f"{plural(excluded.directories, 'directory', 'directories')} and {plural(excluded.files, 'file')}"
        session.output.note(f"The rules left out {left}.")


def _show_plan(session: Session, plan: SnapshotPlan) -> None:
    output = session.output
    if session.options.json:
        output.json(plan)
    elif not session.options.quiet:
        output.line(_headline(session, plan))
        if plan.against is not None:
            show_changes(session, plan.changes)
        output.lines(reasons(plan.dependencies))
        _note_excluded(session, plan.excluded)
    output.problems(plan.problems)


def _headline(session: Session, plan: SnapshotPlan) -> str:
    holds = f"{plural(plan.files, 'file')}, {size(plan.size_bytes)}"
    last = plan.against
    if last is None:
        return f"No backup yet; the first would save {holds}."
    engine = session.engine()
    when = f"{last.id} ({local(last.created, engine.zone)}, {age(last.created, engine.clock.now())})"
    if not plan.changes:
        return f"Nothing has changed since {when}: {holds}."
    return f"Since {when}: {_summary(plan.changes)}. A backup would hold {holds}."


def _summary(changes: Sequence[Change]) -> str:
    numbers = Counter(change.kind for change in changes)
    told = [f"{numbers[kind]:,} {kind}" for kind in ("added", "changed", "removed") if numbers[kind]]
    if numbers["attributes"]:
        told.append(f"{numbers['attributes']:,} with other attributes")
    return ", ".join(told)


def show_changes(session: Session, changes: Sequence[Change]) -> None:
    """One line a path; without --verbose none for attributes alone, and on a terminal only the first of many."""
    output = session.output
    wanted = [change for change in changes if session.options.verbose or change.kind != "attributes"]
    cut = output.terminal and not session.options.verbose
    shown = wanted[:_CHANGES_SHOWN] if cut else wanted
    output.lines(change_line(session, change) for change in shown)
    if len(shown) < len(wanted):
        output.note(f"… and {len(wanted) - len(shown):,} more; -v shows them all.")


def change_line(session: Session, change: Change) -> str:
    """`+ path`, `~ path`, `- path` or `. path`, coloured on a terminal."""
    mark, style = _MARKS[change.kind]
    return f"{session.output.paint(mark, style)} {visible(change.path) or '.'}"
