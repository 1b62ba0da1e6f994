"""`verify` checks that the backups are whole. Floor F11."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from cronos_git.cli.command import command
from cronos_git.cli.render.tables import Column, Table
from cronos_git.cli.render.text import duration, plural, size, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.model import Damage, VerifyReport, VerifyRequest

_DAMAGED_STATUS = 6
_COLUMNS = (
    Column(title="DAMAGE", style="red"),
    Column(title="OBJECT", drop=1),
    Column(title="BACKUPS"),
    Column(title="PATH", style="bold"),
    Column(title="TEXT", flexible=True, drop=2),
)


@command(
    "verify", statuses=(6, 10, 11, 12, 16), examples=("cronos verify", "cronos verify latest --quick", "cronos verify --json")
)
def verify(
    context: typer.Context,
    backups: Annotated[
        list[str] | None, typer.Argument(metavar="BACKUP", show_default=False, help="Which backups [all].")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only check that nothing is missing; read no content.")] = False,
) -> int:
    """Check that the backups are whole: every object is there, and every byte hashes to its name.

    Damage is listed with the backups and paths it hits, and ends with exit status 6.
    """
    session = session_of(context)
    ids = tuple(session.find(identifier).id for identifier in backups or ())
    with session.running() as run:
        report = session.engine().verify(VerifyRequest(backups=ids, quick=quick), run)
    _show(session, report)
    return _DAMAGED_STATUS if report.damage else 0


def _show(session: Session, report: VerifyReport) -> None:
    output = session.output
    if session.options.json:
        output.json(report)
        return
    if report.damage:
        found = _by_path(report.damage)
        output.table(Table(columns=_COLUMNS, rows=[_row(damage) for damage in found]))
        output.warning(f"Damaged: {_counts(found)}. Restore what is whole, and keep the store as it is.")
    elif not session.options.quiet:
        read = f"{plural(report.objects, 'object')}, {size(report.bytes_read)} read"
        output.line(f"Verified {plural(report.backups, 'backup')}: {read} in {duration(report.duration_s)}. No damage.")


def _by_path(damage: Sequence[Damage]) -> list[list[Damage]]:
    """All damage of one path together (the chunks of a file, its versions); what hits no single path by itself."""
    found: dict[object, list[Damage]] = {}
    for one in damage:
        found.setdefault(one.path or (one.oid, one.text), []).append(one)
    return list(found.values())


def _counts(found: Sequence[Sequence[Damage]]) -> str:
    paths = sum(bool(damage[0].path) for damage in found)
    parts = (paths, "path", "paths"), (len(found) - paths, "tag, commit or pack", "tags, commits or packs")
    return ", ".join(plural(number, one, many) for number, one, many in parts if number)


def _row(damage: Sequence[Damage]) -> tuple[str, ...]:
    first, more = damage[0], len(damage) - 1
    codes = "+".join(dict.fromkeys(one.code for one in damage))
    backups = list(dict.fromkeys(backup for one in damage for backup in one.backups))
    text = first.text + (f" And {plural(more, 'object')} more." if more else "")
    return (codes, first.oid, _span(backups), visible(first.path), visible(text))


def _span(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{ids[0]} … {ids[-1]} ({len(ids)})" if ids else ""
