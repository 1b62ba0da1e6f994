"""`diff` compares a backup with another one, or with the project as it is now. Floor F11."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from cronos_git.cli import candidates
from cronos_git.cli.command import command
from cronos_git.cli.create import change_line
from cronos_git.cli.paths import inside
from cronos_git.cli.render.tables import align
from cronos_git.cli.render.text import size, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.errors import AmbiguousBackupError, BackupNotFoundError, UsageError
from cronos_git.model import Backup, Change, FileDiff

_PATCH_STYLES = {"+": "green", "-": "red", "@": "cyan"}


@command(
    "diff",
    statuses=(6, 10, 12, 16),
    examples=("cronos diff latest", "cronos diff latest~1 latest --stat", "cronos diff -p deploy src/app.py | less -R"),
)
def diff(
    context: typer.Context,
    old: Annotated[str, typer.Argument(metavar="A", help="The backup to start from.", autocompletion=candidates.backups)],
    rest: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="B|PATH",
            show_default=False,
            help="The backup to compare with, then paths.",
            autocompletion=candidates.backups,
        ),
    ] = None,
    stat: Annotated[bool, typer.Option("--stat", help="Lines added and removed in each file.")] = False,
    patch: Annotated[bool, typer.Option("-p", "--patch", help="The differences themselves, as git apply takes them.")] = False,
) -> int:
    """Show what differs between two backups, or between a backup and the project now.

    Each path stands after what happened to it from A to B: + added, ~ changed, - removed. With -v also those whose attributes
    alone (times, modes, owners) differ, after a dot. A first word after A that is no backup is taken as a path; ./PATH always is
    one.
    """
    session = session_of(context)
    engine = session.engine()
    first = session.find(old, for_all=True)
    second, words = _second(session, first, list(rest or ()))
    paths = [inside(engine.project, word) for word in words]
    for path in paths:
        _require_path(session, path, [backup for backup in (first, second) if backup is not None])
    differences = engine.diff(first, second, paths, stat=stat, patch=patch)
    _show(session, differences, stat=stat, patch=patch)
    return 0


# --- which backups, which paths -----------------------------------------------------------------------------------


def _second(session: Session, first: Backup, words: list[str]) -> tuple[Backup | None, list[str]]:
    if not words:
        return None, []
    if words[0].startswith(("/", "./", "../")):
        return None, words
    try:
        return session.find(words[0], for_all=True), words[1:]
    except (BackupNotFoundError, AmbiguousBackupError, UsageError):
        path = inside(session.engine().project, words[0])
        if not _exists(session, path, [first]):
            raise
        return None, words


def _exists(session: Session, path: str, backups: Sequence[Backup]) -> bool:
    return os.path.lexists(session.engine().project / path) or any(_holds(session, backup, path) for backup in backups)


def _holds(session: Session, backup: Backup, path: str) -> bool:
    try:
        session.engine().view(backup).find(path)
    except BackupNotFoundError:
        return False
    return True


def _require_path(session: Session, path: str, backups: Sequence[Backup]) -> None:
    if not _exists(session, path, backups):
        where = " or ".join([backup.id for backup in backups] + ["the project"])
        raise BackupNotFoundError(f"There is no {path!r} in {where}.", hint="Paths are given from the project's root.", path=path)


# --- results ------------------------------------------------------------------------------------------------------


def _show(session: Session, differences: Iterable[FileDiff], *, stat: bool, patch: bool) -> None:
    output = session.output
    if session.options.json:
        output.json_lines(differences)
        return
    if not session.options.verbose:
        differences = (difference for difference in differences if difference.change.kind != "attributes")
    if stat:
        differences = list(differences)
        output.lines(_stat_lines(session, differences))
    if stat and patch and differences:
        output.line()
    if patch:
        for difference in differences:
            _show_patch(session, difference)
    elif not stat:
        output.lines(change_line(session, difference.change) for difference in differences)


def _show_patch(session: Session, difference: FileDiff) -> None:
    output, patch = session.output, difference.patch or b""
    if output.terminal:
        output.lines(patch_line(session, line) for line in patch.decode("utf-8", "surrogateescape").split("\n")[:-1])
    else:
        output.content((patch,))


def patch_line(session: Session, line: str) -> str:
    """A line of a patch for a terminal, coloured and safe."""
    safe = "\t".join(map(visible, line.split("\t")))
    style = _PATCH_STYLES.get(line[:1])
    return session.output.paint(safe, style) if style else safe


def _stat_lines(session: Session, differences: Sequence[FileDiff]) -> Iterable[str]:
    if not differences:
        return []
    rows = [(*_figures(difference), change_line(session, difference.change)) for difference in differences]
    return align(rows, [True, True, False])


def _figures(difference: FileDiff) -> tuple[str, str]:
    if difference.insertions is None or difference.deletions is None:
        return "binary", _growth(difference.change)
    return f"+{difference.insertions}", f"-{difference.deletions}"


def _growth(change: Change) -> str:
    grown = (change.new_size or 0) - (change.old_size or 0)
    return ("+" if grown >= 0 else "") + size(grown)
