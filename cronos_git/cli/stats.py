"""`stats` tells what the backups take: the store as a whole, each backup, single paths. Floor F11."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import Annotated, Literal

import typer

from cronos_git.cli import candidates, filters
from cronos_git.cli.command import command
from cronos_git.cli.render.tables import Column, Table
from cronos_git.cli.render.text import local, plural, size, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.errors import UsageError
from cronos_git.model import BackupsStats, BackupStats, PathsStats, StoreStats

_PLAIN_ROWS = 20
_PATHS = 10
_BACKUP_COLUMNS = (
    Column(title="ID", style="bold"),
    Column(title="CREATED", drop=2),
    Column(title="FILES", right=True, drop=3),
    Column(title="SIZE", right=True, drop=1),
    Column(title="ADDED", right=True),
    Column(title="UNIQUE", right=True),
)
_BIGGEST_COLUMNS = (
    Column(title="SIZE", right=True),
    Column(title="ON DISK", right=True),
    Column(title="BIGGEST FILES", style="bold"),
)
_GROWN_COLUMNS = (
    Column(title="GROWN", right=True),
    Column(title="ON DISK", right=True, drop=2),
    Column(title="VERSIONS", right=True, drop=1),
    Column(title="FASTEST GROWING", style="bold"),
)
_SortKey = Literal["created", "unique", "added", "total"]
_KEYS: dict[_SortKey, Callable[[BackupStats], int]] = {
    "created": lambda one: one.backup.sequence,
    "unique": lambda one: one.unique_bytes,
    "added": lambda one: one.added_bytes,
    "total": lambda one: one.backup.size_bytes,
}


@command(
    "stats",
    statuses=(6, 10, 12, 16),
    examples=(
        "cronos stats",
        "cronos stats --backups --sort unique -l 10",
        "cronos stats latest~5 latest~4",
        "cronos stats --paths --since '2 weeks ago'",
        "cronos stats --json",
    ),
)
def stats(
    context: typer.Context,
    backups: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BACKUP",
            show_default=False,
            help="Tell of these; with --paths, of one [all, latest].",
            autocompletion=candidates.backups,
        ),
    ] = None,
    each: Annotated[bool, typer.Option("--backups", help="What each backup takes.")] = False,
    paths: Annotated[bool, typer.Option("--paths", help="The biggest files, and the paths that the store grows by.")] = False,
    sort: Annotated[
        _SortKey | None, typer.Option("--sort", metavar="KEY", help="Of --backups: created, unique, added or total.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Of --paths: growth since then: 2026-04-01, 2 days ago.")
    ] = None,
    limit: Annotated[int | None, typer.Option("-l", "--limit", metavar="N", min=1, help="At most so many rows.")] = None,
) -> int:
    """Show how much the backups hold, what they take on the disk, and how that grew.

    UNIQUE is what only that backup holds: the disk space that comes free when it alone is deleted and has left the trash. ADDED
    is what no earlier backup holds. On a terminal the growth is drawn; a pipe gets rows of times and bytes.
    """
    session = session_of(context)
    _check_options(backups or (), each=each, paths=paths, sort=sort, since=since, limit=limit)
    if paths:
        _paths(session, backups[0] if backups else "latest", since, limit or _PATHS)
    elif each or backups:
        _backups(session, backups, sort or "created", limit)
    else:
        _summary(session)
    return 0


def _check_options(
    backups: Sequence[str], *, each: bool, paths: bool, sort: str | None, since: str | None, limit: int | None
) -> None:
    if paths and (each or len(backups) > 1 or sort):
        raise UsageError("--paths tells of one backup, and not of each.", hint="Leave out --backups and --sort, or --paths.")
    if since and not paths:
        raise UsageError("--since goes with --paths.", hint="`cronos stats --paths --since TIME`")
    if (sort or limit) and not (paths or each or backups):
        raise UsageError("--sort and --limit go with --backups or --paths.", hint="`cronos stats --backups --sort unique`")


# --- the store ----------------------------------------------------------------------------------------------------


def _summary(session: Session) -> None:
    engine, output = session.engine(), session.output
    with session.running() as run:
        figures = engine.stats(run)
    _warn(session, figures.unreadable)
    if session.options.json:
        output.json(figures)
        return
    output.pairs(_figures(figures, engine.zone))
    if not session.options.quiet:
        _show_growth(session, figures, engine.zone)


def _figures(stats: StoreStats, zone: tzinfo) -> list[tuple[str, str]]:
    types = ", ".join(f"{number:,} {visible(name)}" for name, number in sorted(stats.by_type.items()))
    span = f"{local(stats.oldest, zone)} to {local(stats.newest, zone)}" if stats.oldest and stats.newest else "-"
    found = [
        ("Store", visible(stats.path)),
        ("Backups", f"{stats.backups:,}" + (f" ({types})" if types else "")),
        ("Made", span),
        ("Latest", f"{plural(stats.files_latest, 'file')}, {size(stats.bytes_latest)}"),
        ("Content", f"{size(stats.content_bytes)} in all backups"),
        ("Distinct", size(stats.distinct_bytes) + _smaller(stats.dedup_ratio, " as each content counts once")),
        ("Packed", size(stats.packed_bytes) + _smaller(stats.compression_ratio, "")),
        ("Records", f"{size(stats.record_bytes)} of directories, attributes and tags"),
        ("Trash", f"{size(stats.trash_bytes)} that only {plural(stats.trash, 'deleted backup')} need{'s' * (stats.trash == 1)}"),
        ("Other", f"{size(stats.other_bytes)} of indexes, timelines, caches, and what nothing needs"),
        ("On disk", size(stats.store_bytes) + _smaller(stats.total_ratio, " than the content")),
        ("Objects", f"{stats.objects:,} in {plural(stats.packs, 'pack')}"),
    ]
    return [(name, text) for name, text in found if name != "Trash" or stats.trash]


def _smaller(ratio: float | None, than: str) -> str:
    return f" ({ratio:.1f} times smaller{than})" if ratio and ratio >= 1.05 else ""


def _show_growth(session: Session, figures: StoreStats, zone: tzinfo) -> None:
    from cronos_git.cli.render import plot

    output = session.output
    points = [(point.created, point.added_bytes) for point in figures.growth]
    if output.terminal:
        output.lines(["", *drawn] if (drawn := plot.draw(points, output.console.width, zone, sys.stdout.encoding)) else [])
    elif points:
        told = [(local(step.when, zone), f"{step.total_bytes}") for step in plot.rows(points, _PLAIN_ROWS)]
        output.line()
        output.table(Table(columns=(Column(title="TIME"), Column(title="BYTES", right=True)), rows=told))


# --- each backup --------------------------------------------------------------------------------------------------


def _backups(session: Session, identifiers: Sequence[str] | None, sort: _SortKey, limit: int | None) -> None:
    engine, output = session.engine(), session.output
    chosen = [session.find(identifier) for identifier in identifiers] if identifiers else None
    with session.running() as run:
        found = engine.backup_stats(chosen, run)
    _warn(session, found.unreadable)
    rows = sorted(found.backups, key=_KEYS[sort], reverse=True)[:limit]
    if session.options.json:
        output.json_lines(rows)
    elif session.options.quiet:
        output.lines(one.backup.id for one in rows)
    elif rows:
        output.table(Table(columns=_BACKUP_COLUMNS, rows=[_backup_row(one, engine.zone) for one in rows]))
    output.note(_sums(found))


def _backup_row(one: BackupStats, zone: tzinfo) -> tuple[str, ...]:
    backup = one.backup
    created = local(backup.created, zone)[:16]
    return backup.id, created, f"{backup.files}", size(backup.size_bytes), size(one.added_bytes), size(one.unique_bytes)


def _sums(found: BackupsStats) -> str:
    content = size(sum(one.backup.size_bytes for one in found.backups))
    added = size(sum(one.added_bytes for one in found.backups))
    together = size(found.together_bytes)
    return f"{plural(len(found.backups), 'backup')}: {content} of content, {added} added; {together} that no other backup holds."


# --- paths --------------------------------------------------------------------------------------------------------


def _paths(session: Session, identifier: str, since: str | None, limit: int) -> None:
    engine, output = session.engine(), session.output
    backup, begin = session.find(identifier), filters.moment(session, since)
    with session.running() as run:
        found = engine.path_stats(backup, since=begin, limit=limit, run=run)
    _warn(session, found.unreadable)
    if session.options.json:
        output.json(found)
    elif session.options.quiet:
        paths = [one.path for one in found.biggest] + [one.path for one in found.grown]
        output.lines(dict.fromkeys(map(visible, paths)))
    else:
        _show_paths(session, found)


def _show_paths(session: Session, found: PathsStats) -> None:
    output = session.output
    if found.biggest:
        rows = [(size(one.size_bytes), size(one.stored_bytes), visible(one.path)) for one in found.biggest]
        output.table(Table(columns=_BIGGEST_COLUMNS, rows=rows))
    if found.grown:
        output.line()
        grown = [(size(one.grown_bytes), size(one.stored_bytes), f"{one.versions}", visible(one.path)) for one in found.grown]
        output.table(Table(columns=_GROWN_COLUMNS, rows=grown))
    else:
        output.note("Nothing has grown" + (" since then." if found.since else " since the first backup."))


def _warn(session: Session, unreadable: int) -> None:
    if unreadable:
        text = f"{plural(unreadable, 'object')} cannot be read and are left out of the figures; run `cronos verify`."
        session.output.warning(text)
