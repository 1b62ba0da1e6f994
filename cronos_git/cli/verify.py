"""`verify` checks that the backups are whole, or, as a drill, that one can be restored. Floor F11."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cronos_git.cli import candidates
from cronos_git.cli.command import command
from cronos_git.cli.remote import check_remote
from cronos_git.cli.render.tables import Column, Table
from cronos_git.cli.render.text import age, duration, local, plural, size, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.errors import UsageError
from cronos_git.model import Damage, DrillReport, VerifyProgress, VerifyReport, VerifyRequest

_DAMAGED_STATUS = 6
_INCOMPLETE_STATUS = 3
_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600}
_COLUMNS = (
    Column(title="DAMAGE", style="red"),
    Column(title="OBJECT", drop=1),
    Column(title="BACKUPS"),
    Column(title="PATH", style="bold"),
    Column(title="TEXT", flexible=True, drop=2),
)
_PATHS_SHOWN = 20
_DIFFERENCES = (
    Column(title="DIFFERENCE", style="red"),
    Column(title="PATH", style="bold"),
    Column(title="TEXT", flexible=True, drop=1),
)

_Read = Annotated[
    str | None,
    typer.Option("--read", metavar="SHARE", show_default=False, help="Read 10% or 500MiB of what is stored, in turn."),
]
_MaxTime = Annotated[
    str | None,
    typer.Option("--max-time", metavar="TIME", show_default=False, help="Stop reading after 90s, 5m or 1h."),
]
_Trash = Annotated[
    bool | None,
    typer.Option("--trash/--no-trash", show_default=False, help="Only backups in the trash, or none of them [with all others]."),
]
_Scratch = Annotated[
    Path | None,
    typer.Option("--scratch", metavar="DIR", show_default=False, help="Where the drill restores to [temporary files]."),
]
_Remote = Annotated[
    str | None,
    typer.Option("--remote", metavar="NAME", show_default=False, help="Check what this remote has; all of it is got for that."),
]


@command(
    "verify",
    statuses=(3, 6, 10, 11, 12, 13, 14, 15, 16),
    examples=(
        "cronos verify",
        "cronos verify latest --quick",
        "cronos verify --read 10%",
        "cronos verify --max-time 5m",
        "cronos verify --drill",
        "cronos verify --remote origin",
        "cronos verify --json",
    ),
)
def verify(
    context: typer.Context,
    backups: Annotated[
        list[str] | None,
        typer.Argument(metavar="BACKUP", show_default=False, help="Which backups [all].", autocompletion=candidates.backups),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only check that nothing is missing; read no content.")] = False,
    read: _Read = None,
    max_time: _MaxTime = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted full check.")] = False,
    trash: _Trash = None,
    drill: Annotated[bool, typer.Option("--drill", help="Restore a backup on trial, compare, remove it again.")] = False,
    scratch: _Scratch = None,
    remote: _Remote = None,
) -> int:
    """Check that the backups are whole: every object is there, and every byte hashes to its name.

    With --read or --max-time it checks that nothing is missing and reads a part of what is stored: what was not read for the
    longest time, so that run after run all of it is read. Backups in the trash are checked too. With --drill it restores a backup
    (the latest) into a private directory, compares what is there with the backup, and removes it. With --remote it checks that a
    remote has every backup as it is here, and that all it has is whole; with --quick too it only compares ids.

    Damage is listed with the backups and paths it hits, and ends with exit status 6. Of much damage the list tells the counts and
    the first paths; -v and --json name every object and path.
    """
    session = session_of(context)
    if remote is not None:
        if read or max_time or resume or trash is not None or drill or backups or scratch:
            raise UsageError("A remote is checked as a whole.", hint="Give --remote alone, or with --quick.")
        return check_remote(session, remote, read=not quick)
    if drill:
        if quick or read or max_time or resume or trash is not None or len(backups or ()) > 1:
            raise UsageError(
                "A drill is of one backup and reads all of it.", hint="Give --drill alone, or with BACKUP and --scratch."
            )
        return _drill(session, (backups or ["latest"])[0], scratch)
    if scratch is not None:
        raise UsageError("--scratch is for a drill.", hint="Give --drill, too.")
    share, amount = _parse_read(read) if read is not None else (None, None)
    time_s = _parse_time(max_time) if max_time is not None else None
    found = backups or [] if trash else [session.find(identifier).id for identifier in backups or ()]
    request = VerifyRequest(
        backups=tuple(found),
        quick=quick,
        read_percent=share,
        read_bytes=amount,
        max_time_s=time_s,
        resume=resume,
        trash=trash,
    )
    with session.running() as run:
        report = session.engine().verify(request, run)
    _show(session, report, request)
    return _DAMAGED_STATUS if report.damage else 0


def _parse_read(text: str) -> tuple[float | None, int | None]:
    """A share in percent, or an amount in bytes."""
    from cronos_git.rules.schema import parse_size

    match = re.fullmatch(r"\s*(\d{1,3}(?:\.\d{1,9})?)\s*%\s*", text, re.ASCII)
    if match and 0 < float(match[1]) <= 100:
        return float(match[1]), None
    try:
        return None, parse_size(text)
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is no share of the store.", hint="Write 10% (up to 100%) or 500MiB.") from None


def _parse_time(text: str) -> float:
    match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*(s|m|min|h)\s*", text.lower(), re.ASCII)
    if match is None:
        raise UsageError(f"{text!r} is no length of time.", hint="Write 90s, 5m or 1h.")
    return float(match[1]) * _UNITS_S[match[2]]


# --- what was found -------------------------------------------------------------------------------------------------


def _show(session: Session, report: VerifyReport, request: VerifyRequest) -> None:
    output = session.output
    if session.options.json:
        output.json(report)
        return
    if report.damage:
        found = _by_path(report.damage)
        shown = found if session.options.verbose else _condensed(found)
        output.table(Table(columns=_COLUMNS, rows=[_row(damage, report.trash) for damage in shown]))
        if hidden := sum(map(len, found)) - sum(map(len, shown)):
            output.note(f"{plural(hidden, 'finding')} more; -v lists all.")
        output.warning(f"Damaged: {_counts(found)}. `cronos repair -n` tells what can be mended.")
        if all(damage.backups and set(damage.backups) <= set(report.trash) for damage in report.damage):
            output.note("Only backups in the trash are hit; `cronos verify --no-trash` leaves them out.")
    elif not session.options.quiet:
        in_trash = f" ({len(report.trash):,} in the trash)" if report.trash else ""
        amount = size(report.bytes_read)
        if request.is_partial and report.progress is not None:
            amount += f" of {size(report.progress.total_bytes)}"
        read = f"{plural(report.objects, 'object')}, {amount} read"
        output.line(f"Verified {plural(report.backups, 'backup')}{in_trash}: {read} in {duration(report.duration_s)}. No damage.")
    if request.is_partial and report.progress is not None:
        output.note(_told(session, report.progress))


def _told(session: Session, progress: VerifyProgress) -> str:
    """How much was read, and since when."""
    if progress.since is None:
        return "Nothing of what is stored has been read and found whole so far."
    engine = session.engine()
    since = f"{local(progress.since, engine.zone)[:16]} ({age(progress.since, engine.clock.now())})"
    if progress.is_complete:
        return f"All that is stored has been read since {since}."
    read = f"{size(progress.sound_bytes)} of {size(progress.total_bytes)}"
    percent = int(100 * progress.sound_bytes / progress.total_bytes)
    return f"Read and found whole since {since}: {read} ({percent}%)."


def _by_path(damage: Sequence[Damage]) -> list[list[Damage]]:
    """All damage of one path together (the chunks of a file, its versions); what hits no single path by itself."""
    found: dict[object, list[Damage]] = {}
    for one in damage:
        found.setdefault(one.path or (one.oid, one.text), []).append(one)
    return list(found.values())


def _condensed(found: Sequence[Sequence[Damage]]) -> list[list[Damage]]:
    """A damaged index takes thousands of objects away: the first paths, and what hits no path as one row for each kind."""
    rows: dict[object, list[Damage]] = {}
    paths = 0
    for damage in found:
        paths += bool(damage[0].path)
        if damage[0].path and paths <= _PATHS_SHOWN:
            rows[paths] = list(damage)
        elif not damage[0].path:
            rows.setdefault(damage[0].code if damage[0].oid else damage[0].text, []).extend(damage)
    return list(rows.values())


def _counts(found: Sequence[Sequence[Damage]]) -> str:
    paths = sum(bool(damage[0].path) for damage in found)
    parts = (paths, "path", "paths"), (len(found) - paths, "tag, commit, pack or file", "tags, commits, packs or files")
    return ", ".join(plural(number, one, many) for number, one, many in parts if number)


def _row(damage: Sequence[Damage], trash: Sequence[str]) -> tuple[str, ...]:
    first, more = damage[0], len(damage) - 1
    codes = "+".join(dict.fromkeys(one.code for one in damage))
    backups = list(dict.fromkeys(backup for one in damage for backup in one.backups))
    text = first.text + (f" And {plural(more, 'object')} more." if more else "")
    in_trash = " in the trash" if backups and set(backups) <= set(trash) else ""
    return (codes, first.oid, _span(backups) + in_trash, visible(first.path), visible(text))


def _span(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{ids[0]} … {ids[-1]} ({len(ids)})" if ids else ""


# --- the drill ------------------------------------------------------------------------------------------------------


def _drill(session: Session, identifier: str, scratch: Path | None) -> int:
    backup = session.find(identifier, for_all=True)
    with session.running() as run:
        report = session.engine().drill(backup.id, scratch, run)
    _show_drill(session, report)
    if any(difference.is_damage for difference in report.differences):
        return _DAMAGED_STATUS
    return _INCOMPLETE_STATUS if report.differences or report.problems else 0


def _show_drill(session: Session, report: DrillReport) -> None:
    output = session.output
    if session.options.json:
        output.json(report)
        return
    output.problems(report.problems)
    if report.differences:
        rows = [("+".join(found.what), visible(found.path or "."), visible(found.text)) for found in report.differences]
        output.table(Table(columns=_DIFFERENCES, rows=rows))
        output.warning(f"{plural(len(report.differences), 'path')} of {report.backup.id} did not come back as in the backup.")
    elif not session.options.quiet:
        what = f"{plural(report.files, 'file')}, {size(report.size_bytes)}"
        times = f"restored in {duration(report.restore_s)}, compared in {duration(report.compare_s)}"
        output.line(f"{report.backup.id} can be restored: {what}, {times}. Nothing differs.")
