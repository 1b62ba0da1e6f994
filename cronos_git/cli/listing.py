"""`list` shows the backups, `stats` what they take. Floor F11."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

import typer

from cronos_git.cli import filters
from cronos_git.cli.command import command
from cronos_git.cli.render.tables import Column, Table
from cronos_git.cli.render.text import changes, local, plural, size, visible
from cronos_git.cli.session import session_of
from cronos_git.model import Backup, Query, StoreStats

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
    statuses=(10, 12, 16),
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


@command("stats", statuses=(10, 16), examples=("cronos stats", "cronos stats --json"))
def stats(context: typer.Context) -> int:
    """Show how much the backups hold and what they take on the disk."""
    session = session_of(context)
    engine = session.engine()
    figures = engine.stats()
    if session.options.json:
        session.output.json(figures)
    else:
        session.output.pairs(_figures(figures, engine.zone))
    return 0


def _figures(stats: StoreStats, zone: tzinfo) -> list[tuple[str, str]]:
    types = ", ".join(f"{number:,} {visible(name)}" for name, number in sorted(stats.by_type.items()))
    span = f"{local(stats.oldest, zone)} to {local(stats.newest, zone)}" if stats.oldest and stats.newest else "-"
    saved = (
        f" ({stats.content_bytes / stats.store_bytes:.1f} times smaller)" if stats.content_bytes > stats.store_bytes > 0 else ""
    )
    return [
        ("Store", visible(stats.path)),
        ("Backups", f"{stats.backups:,}" + (f" ({types})" if types else "")),
        ("Made", span),
        ("Latest", f"{plural(stats.files_latest, 'file')}, {size(stats.bytes_latest)}"),
        ("Content", f"{size(stats.content_bytes)} in all backups"),
        ("On disk", f"{size(stats.store_bytes)}{saved}"),
        ("Objects", f"{stats.objects:,} in {plural(stats.packs, 'pack')}"),
    ]
