"""`pin`, `unpin`, `label` and `describe` change what is said of existing backups, never what they hold. Floor F11."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from cronos_git.cli import candidates
from cronos_git.cli.command import command
from cronos_git.cli.create import legible, parse_metadata
from cronos_git.cli.render.text import visible
from cronos_git.cli.session import Session, session_of
from cronos_git.errors import UsageError
from cronos_git.model import Amendment, AmendReport, AmendRequest

_STATUSES = (6, 10, 11, 12, 13, 15, 16)
_Backups = Annotated[list[str], typer.Argument(metavar="BACKUP", help="The backups.", autocompletion=candidates.backups)]
_Label = Annotated[str, typer.Argument(metavar="LABEL", help="The label.")]
_DryRun = Annotated[bool, typer.Option("-n", "--dry-run", help="Only show what would be changed.")]


@dataclass(frozen=True, slots=True)
class _Words:
    """Sentences with `{ids}` in them: what was done, what would be, and what needs no change."""

    done: str
    would: str
    same: str


@command("pin", statuses=_STATUSES, examples=("cronos pin latest", "cronos pin deploy_20260401_120000 latest~3"))
def pin(context: typer.Context, backups: _Backups, dry_run: _DryRun = False) -> int:
    """Pin backups: retention never drops them, and `delete` refuses them."""
    words = _Words("Pinned {ids}.", "Would pin {ids}.", "Pinned already: {ids}.")
    return _amend(session_of(context), backups, AmendRequest(backups=(), pinned=True), words, dry_run=dry_run)


@command("unpin", statuses=_STATUSES, examples=("cronos unpin deploy_20260401_120000", "cronos unpin latest -n"))
def unpin(context: typer.Context, backups: _Backups, dry_run: _DryRun = False) -> int:
    """Take the pin off backups."""
    words = _Words("Unpinned {ids}.", "Would unpin {ids}.", "Not pinned: {ids}.")
    return _amend(session_of(context), backups, AmendRequest(backups=(), pinned=False), words, dry_run=dry_run)


@command("label add", statuses=_STATUSES, examples=("cronos label add release latest", "cronos label add keep 20260401 latest~2"))
def label_add(context: typer.Context, label: _Label, backups: _Backups, dry_run: _DryRun = False) -> int:
    """Put a label on backups."""
    words = _Words("Labelled {ids}.", "Would label {ids}.", "Labelled so already: {ids}.")
    return _amend(session_of(context), backups, AmendRequest(backups=(), add_labels=(legible(label),)), words, dry_run=dry_run)


@command("label remove", statuses=_STATUSES, examples=("cronos label remove release latest", "cronos label remove keep 20260401"))
def label_remove(context: typer.Context, label: _Label, backups: _Backups, dry_run: _DryRun = False) -> int:
    """Take a label off backups."""
    words = _Words("Took the label off {ids}.", "Would take the label off {ids}.", "Without that label: {ids}.")
    return _amend(session_of(context), backups, AmendRequest(backups=(), remove_labels=(legible(label),)), words, dry_run=dry_run)


@command(
    "describe",
    statuses=_STATUSES,
    examples=(
        "cronos describe latest -m 'before the upgrade'",
        "cronos describe deploy_20260401_120000 --meta ticket=OPS-1 --unset draft",
        "cronos describe latest --description ''",
    ),
)
def describe(
    context: typer.Context,
    backup: Annotated[str, typer.Argument(metavar="BACKUP", help="The backup.", autocompletion=candidates.backups)],
    message: Annotated[
        str | None, typer.Option("-m", "--message", metavar="TEXT", help="One line about it; '' for its name.")
    ] = None,
    description: Annotated[
        str | None, typer.Option("--description", metavar="TEXT", help="More than a line; '' for none.")
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option("--meta", metavar="KEY=VALUE", help="Set metadata; VALUE is JSON or text; may be repeated."),
    ] = None,
    unset: Annotated[list[str] | None, typer.Option("--unset", metavar="KEY", help="Remove metadata; may be repeated.")] = None,
    dry_run: _DryRun = False,
) -> int:
    """Change a backup's message, description or metadata.

    What is not named stays as it is. What a restore point says under `restore` cannot be changed: `undo` goes by it.
    """
    request = AmendRequest(
        backups=(),
        message=None if message is None else legible(message),
        description=None if description is None else legible(description),
        metadata=parse_metadata(metadata or ()),
        remove_metadata=tuple(unset or ()),
    )
    if request == AmendRequest(backups=()):
        raise UsageError("There is nothing to change.", hint="Give -m, --description, --meta or --unset.")
    words = _Words("Changed {what} of {ids}.", "Would change {what} of {ids}.", "Says so already: {ids}.")
    return _amend(session_of(context), [backup], request, words, dry_run=dry_run)


def _amend(session: Session, identifiers: Sequence[str], request: AmendRequest, words: _Words, *, dry_run: bool) -> int:
    asked = replace(request, backups=tuple(session.find(identifier).id for identifier in identifiers))
    if dry_run:
        _show(session, session.engine().plan_amend(asked), words.would, words.same)
        return 0
    with session.running() as run:
        report = session.engine().amend(asked, run)
    _show(session, report, words.done, words.same)
    return 0


def _show(session: Session, report: AmendReport, told: str, same: str) -> None:
    output = session.output
    if session.options.json:
        output.json(report)
        return
    if session.options.quiet:
        output.lines(one.after.id for one in report.changed)
    elif report.changed:
        what = ", ".join(report.changed[0].changed)
        output.line(told.format(ids=_ids(report.changed), what=what))
    unchanged = [one for one in report.amendments if not one.changed]
    if unchanged:
        output.note(same.format(ids=_ids(unchanged)))


def _ids(amendments: Sequence[Amendment]) -> str:
    return ", ".join(visible(one.after.id) for one in amendments)
