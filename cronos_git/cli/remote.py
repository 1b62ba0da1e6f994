"""`remote add`, `list`, `remove`, `show`: the other repositories that hold copies. Floor F11."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cronos_git.cli.command import command
from cronos_git.cli.render.tables import Column, Table
from cronos_git.cli.render.text import plural, size, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.model import Remote, RemoteReport
from cronos_git.rules.remotes import is_path

_COLUMNS = (Column(title="NAME", style="bold"), Column(title="URL", flexible=True))
_ENCRYPTED = "gcrypt::"
_INCOMPLETE_STATUS = 3
_DAMAGED_STATUS = 6

Name = Annotated[str | None, typer.Argument(metavar="REMOTE", show_default=False, help="Its name [the only one, or origin].")]


def absolute(url: str) -> str:
    """*url*, whose path, if it is one, starts at the root; others are as they are, and what looks like an option too."""
    prefix = _ENCRYPTED if url.startswith(_ENCRYPTED) else ""
    plain = url.removeprefix(_ENCRYPTED)
    return (
        prefix + os.path.normpath(Path(plain).expanduser().absolute())
        if plain.strip() and is_path(plain) and not plain.startswith("-")
        else url
    )


@command(
    "remote add",
    statuses=(11, 13),
    examples=(
        "cronos remote add origin backup@nas:shop.git",
        "cronos remote add usb /media/usb/shop.git",
        "cronos remote add cloud gcrypt::ssh://backup@example.org/~/shop.git",
    ),
)
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is to be called here.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="A path, file://, ssh://, user@host:path or https://.")],
) -> int:
    """Let a remote be known: a bare Git repository that `cronos push` sends copies to.

    The remote is not asked yet. With `gcrypt::` before the URL the copies are encrypted there (git-remote-gcrypt).
    """
    session = session_of(context)
    remote = session.engine().add_remote(name, absolute(url))
    _show(context, [remote])
    session.output.note(f"`cronos push {remote.name}` sends the backups there.")
    return 0


@command("remote list", statuses=(10,), examples=("cronos remote list", "cronos remote list --json"))
def list_remotes(context: typer.Context) -> int:
    """List the remotes; passwords in URLs are hidden."""
    remotes = session_of(context).engine().remotes()
    _show(context, remotes)
    if not remotes:
        session_of(context).output.note("No remotes; `cronos remote add NAME URL` adds one.")
    return 0


@command("remote remove", statuses=(10, 11), examples=("cronos remote remove usb",))
def remove(context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME", help="Its name.")]) -> int:
    """Forget a remote. The copies there stay."""
    session = session_of(context)
    remote = session.engine().remove_remote(name)
    session.output.note(f"Forgot {remote.name} ({visible(remote.url)}); what it holds stays there.")
    return 0


@command("remote show", statuses=(3, 10, 14), examples=("cronos remote show", "cronos remote show usb --json"))
def show(context: typer.Context, name: Name = None) -> int:
    """Compare a remote with the store: what it has, lacks, and has besides. Exit status 3 when it lacks backups."""
    return check_remote(session_of(context), name, read=False)


def check_remote(session: Session, name: str | None, *, read: bool) -> int:
    """Compare a remote with the store, tell the result, give the exit status."""
    with session.running() as run:
        report = session.engine().check_remote(name, run, read=read)
    if session.options.json:
        session.output.json(report)
    else:
        _show_report(session, report, read=read)
    if report.faults:
        return _DAMAGED_STATUS
    return _INCOMPLETE_STATUS if report.missing else 0


def _show_report(session: Session, report: RemoteReport, *, read: bool) -> None:
    output = session.output
    if not session.options.quiet:
        whole = f"; {size(report.read_bytes)} were read and are whole" if read and not report.faults else ""
        place = f"{report.remote.name} ({visible(report.remote.url)})"
        output.line(f"{place} has {plural(report.same, 'backup')} as here{whole}.")
        for title, ids in (
            ("Lacks", report.missing),
            ("Labelled, pinned or described otherwise there", report.amended),
            ("Only there", report.others),
        ):
            output.lines(f"{title}: {backup_id}" for backup_id in ids)
    for fault in report.faults:
        output.warning(f"Damaged there: {visible(fault)}")
    if report.missing:
        output.note(f"`cronos push {report.remote.name}` sends what it lacks.")


def _show(context: typer.Context, remotes: list[Remote]) -> None:
    session = session_of(context)
    rows = [(remote.name, visible(remote.url)) for remote in remotes]
    if session.options.json:
        session.output.json_lines({"name": name, "url": url} for name, url in rows)
    elif not session.options.quiet:
        session.output.table(Table(columns=_COLUMNS, rows=rows))
