"""`export` writes a backup into a file that needs no CRONOS; `import` makes backups of such files and of copies. Floor F11."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import IO, Annotated, cast

import typer

from cronos_git.cli import candidates
from cronos_git.cli.command import command
from cronos_git.cli.listing import show_new
from cronos_git.cli.paths import inside, not_empty
from cronos_git.cli.render.tables import Column, Table
from cronos_git.cli.render.text import duration, local, plural, size, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.errors import UsageError
from cronos_git.model import (
    ExportFormat,
    ExportPlan,
    ExportReport,
    ExportRequest,
    ImportPlan,
    ImportReport,
    ImportRequest,
)

_STREAM = "-"
_COLUMNS = (
    Column(title="CREATED"),
    Column(title="NAME", style="bold"),
    Column(title="TYPE", drop=2),
    Column(title="KIND", drop=1),
    Column(title="PATH", flexible=True),
)


@command(
    "export",
    statuses=(6, 10, 11, 12, 13, 15, 16),
    examples=(
        "cronos export latest ~/site.zip",
        "cronos export deploy_20260401_120000 site.tar.zst",
        "cronos export latest docs.tar.gz docs README.md",
        "cronos export latest - | ssh host tar -x -C /srv/site",
        "cronos export latest site.bundle",
    ),
)
def export(
    context: typer.Context,
    backup: Annotated[str, typer.Argument(metavar="BACKUP", help="The backup.", autocompletion=candidates.backups)],
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to write; - writes a tar to stdout.")],
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", show_default=False, help="Only these paths of the backup [all].")
    ] = None,
    chosen: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="zip, tar, tar.gz, tar.zst or bundle [as the file's name ends]."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Only show what would be written.")] = False,
) -> int:
    """Write a backup into an archive or a Git bundle.

    A tar carries everything: times, owners, links, extended attributes. What a zip leaves out is said. A bundle is for
    `git clone`, where the project lies in data/, and `cronos import`. The file appears when it is complete and on the disk.
    """
    session = session_of(context)
    request = ExportRequest(
        backup=session.find(backup).id,
        file=file,
        paths=tuple(inside(session.engine().project, path) for path in not_empty(paths or ())),
        format=cast(ExportFormat | None, chosen),
        force=force,
    )
    if dry_run:
        plan = session.engine().plan_export(request)
        _show_export(session, plan, plan, f"Would write {visible(file)}")
        return 0
    if file == _STREAM and sys.stdout.isatty():
        raise UsageError("A tar is nothing for a terminal.", hint="Name a file, or send the output to another program.")
    with session.running() as run:
        report = session.engine().export(request, run, out=cast("IO[bytes]", _Stdout(session)))
    if file == _STREAM:
        _tell(session, report.plan)
    else:
        written = f"Wrote {visible(file)} ({size(report.archive_bytes)} in {duration(report.duration_s)})"
        _show_export(session, report.plan, report, written)
    return 0


class _Stdout:
    """Standard output as an archive is written to it; a reader that goes away ends the command quietly."""

    def __init__(self, session: Session) -> None:
        self._output = session.output

    def write(self, data: bytes) -> int:
        self._output.content((data,))
        return len(data)

    def flush(self) -> None:
        self._output.flush()


def _show_export(session: Session, plan: ExportPlan, record: ExportPlan | ExportReport, done: str) -> None:
    if session.options.json:
        session.output.json(record)
    elif not session.options.quiet:
        holds = f"{plural(plan.files, 'file')}, {size(plan.size_bytes)}"
        session.output.line(f"{done}: {plan.backup.id} as {plan.format}, {holds}.")
    _tell(session, plan)


def _tell(session: Session, plan: ExportPlan) -> None:
    for note in plan.notes:
        session.output.note(note)


@command(
    "import",
    statuses=(3, 10, 11, 13, 15, 16),
    examples=(
        "cronos import egos_backup_manual_site_20250401_120000.zip",
        "cronos import ~/old-backups -n",
        "cronos import site.bundle --pin",
        "cronos import ~/copies/site --created 2024-01-02 --name site",
    ),
)
def import_(
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH", help="Zip, tar, bundle, or directory of dated copies or archives.")],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Stem of the ids.")] = None,
    message: Annotated[str, typer.Option("-m", "--message", metavar="TEXT", show_default=False, help="One line about it.")] = "",
    labels: Annotated[list[str] | None, typer.Option("--label", metavar="LABEL", help="Label it; may be repeated.")] = None,
    created: Annotated[
        str | None, typer.Option("--created", metavar="DATE", help="When it is from; of a directory: import it as one.")
    ] = None,
    root: Annotated[
        str | None, typer.Option("--root", metavar="DIR", help="Directory in the archive that is the project; . is its top.")
    ] = None,
    pin: Annotated[bool, typer.Option("--pin", help="Pin what is imported, so that no prune drops it.")] = False,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Only show what would be imported.")] = False,
) -> int:
    """Make backups of archives (EGOS zips, zips, tars), Git bundles, or directories of dated copies, oldest first.

    Each keeps the date that it tells. Nothing is unpacked, no exclusion rule applies, and nothing is pruned. Once backups have
    been made here, imports have a scope of their own: `latest`, `status` and the timeline stay as they are.
    """
    session = session_of(context)
    engine = session.engine()
    request = ImportRequest(
        path=path,
        name=name,
        message=message,
        labels=tuple(labels or ()),
        created=_parse_date(session, created),
        root=root,
        pinned=pin,
    )
    if dry_run:
        plan = engine.plan_import(request)
        _show_plan(session, plan)
        return 3 if plan.skipped else 0
    with session.running() as run:
        report = engine.import_(request, run)
    _show_report(session, report)
    return 3 if report.problems else 0


def _parse_date(session: Session, text: str | None) -> datetime | None:
    from cronos_git.rules.when import parse_when

    engine = session.engine()
    return None if text is None else parse_when(text, engine.clock.now(), engine.zone)


def _show_plan(session: Session, plan: ImportPlan) -> None:
    output, zone = session.output, session.engine().zone
    if session.options.json:
        output.json(plan)
    elif not session.options.quiet:
        rows = [
            (local(item.created, zone), visible(item.name), visible(item.type), item.kind, visible(item.path))
            for item in plan.items
        ]
        output.table(Table(columns=_COLUMNS, rows=rows))
    for note in plan.notes:
        output.note(note)
    output.problems(plan.skipped)
    output.note(f"Would import {plural(len(plan.items), 'backup')}.")


def _show_report(session: Session, report: ImportReport) -> None:
    output = session.output
    show_new(session, report)
    for backup in report.known:
        output.note(f"{backup.id} is here already, with the same content, attributes and date.")
    _warn_of_undone(session, report)
    for note in report.notes:
        output.note(note)
    output.problems(report.problems)
    _warn_of_prune(session, report)
    stored = f"stored {size(report.bytes_stored)} in {duration(report.duration_s)}"
    output.note(f"Imported {plural(len(report.backups), 'backup')}, {stored}.")


def _warn_of_undone(session: Session, report: ImportReport) -> None:
    """Tell what was asked for and not done to backups that were there."""
    from cronos_git.rules.names import slug
    from cronos_git.rules.record import clean_line

    asked, known = report.plan.request, report.known
    undone = [("pinned", "`cronos pin {}` does it", [one for one in known if asked.pinned and not one.pinned])]
    for label in asked.labels:
        lacking = [one for one in known if label not in one.labels]
        undone.append((f"labelled {visible(label)}", f"`cronos label add {visible(label)} {{}}` does it", lacking))
    if asked.message:
        others = [one for one in known if one.message != clean_line(asked.message)]
        undone.append(("given the message", "`cronos describe {} -m TEXT` does it", others))
    if asked.name:
        others = [one for one in known if one.name != slug(asked.name or "")]
        undone.append((f"named {visible(asked.name)}", "`cronos delete {}`, and then import again", others))
    for what, how, backups in undone:
        if backups:
            ids = " ".join(one.id for one in backups)
            was = "was" if len(backups) == 1 else "were"
            session.output.warning(f"Here already, and so {was} not {what}: {ids}; {how.replace('{}', ids)}.")


def _warn_of_prune(session: Session, report: ImportReport) -> None:
    if report.prunable:
        which = "it" if len(report.prunable) == 1 else "them"
        session.output.warning(
            f"The next prune would drop {plural(len(report.prunable), 'backup')} of these by the retention rules,"
            f" such as {report.prunable[0]}; `cronos pin` keeps {which}."
        )
