"""`list` shows the backups. Floor F11."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

import typer

from cronos_git.cli import filters
from cronos_git.cli.command import command
from cronos_git.cli.render.tables import Column, Table
from cronos_git.cli.render.text import changes, local, size, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.model import Backup, FetchReport, ImportReport, Query

_COLUMNS = (
    Column(title="ID", style="bold"),
    Column(title="TYPE", silent="manual", drop=4),
    Column(title="SCOPE", silent="project", drop=2),
    Column(title="CREATED"),
    Column(title="FILES", right=True, drop=5),
    Column(title="SIZE", right=True, drop=3),
    Column(title="CHANGES", right=True, drop=6),
    Column(title="PIN", style="yellow", drop=1),
    Column(title="LABELS", style="cyan", flexible=True, drop=1),
    Column(title="MESSAGE", flexible=True),
)


@command(
    "list",
    statuses=(10, 12, 14, 16),
    examples=("cronos list", "cronos list --type auto --since '2 weeks ago' -l 5", "cronos list --json"),
)
def list_backups(
    context: typer.Context,
    types: filters.Types = None,
    name: filters.Name = None,
    labels: filters.Labels = None,
    module: filters.Module = None,
    metadata: filters.Metadata = None,
    since: filters.Since = None,
    until: filters.Until = None,
    contains: filters.Contains = None,
    sort: filters.Sort = "sequence",
    reverse: filters.Reverse = False,
    limit: filters.Limit = None,
) -> int:
    """List the backups, newest first.

    CREATED is your local time. CHANGES counts paths against the backup before: +added ~changed -removed. A narrow terminal shows
    fewer columns; a pipe gets all of them, and -q gives only the ids.
    """
    session = session_of(context)
    query = filters.query(
        session,
        types=types,
        name=name,
        labels=labels,
        module=module,
        metadata=metadata,
        since=since,
        until=until,
        contains=contains,
        sort=sort,
        reverse=reverse,
        limit=limit,
    )
    engine, output = session.engine(), session.output
    backups = engine.backups(query)
    if session.options.json:
        output.json_lines(backups)
    elif session.options.quiet:
        output.lines(backup.id for backup in backups)
    elif backups:
        output.table(backup_table(backups, engine.zone))
    elif not engine.damaged():
        output.note("No backups yet. Make one: cronos create" if query == Query() else "No backup matches.")
    return 0


def backup_table(backups: Sequence[Backup], zone: tzinfo) -> Table:
    """The columns of `list`."""
    return Table(columns=_COLUMNS, rows=[_row(backup, zone) for backup in backups])


def show_new(session: Session, report: FetchReport | ImportReport) -> None:
    """The backups that came from elsewhere: the whole report with `--json`, their ids with `-q`, else as `list` does."""
    output = session.output
    if session.options.json:
        output.json(report)
    elif session.options.quiet:
        output.lines(backup.id for backup in report.backups)
    elif report.backups:
        output.table(backup_table(report.backups, session.engine().zone))


def _row(backup: Backup, zone: tzinfo) -> tuple[str, ...]:
    return (
        backup.id,
        visible(backup.type),
        visible(backup.scope),
        local(backup.created, zone)[:16],
        f"{backup.files}",
        size(backup.size_bytes),
        changes(backup),
        "pinned" if backup.pinned else "",
        visible(",".join(backup.labels)),
        "" if backup.message == backup.name else visible(backup.message),
    )
