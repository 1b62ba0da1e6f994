"""What backups have in common that nobody asks for in the moment: their options, and how long they wait for others. Floor F11."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from cronos_git.cli.create import legible
from cronos_git.model import SnapshotRequest
from cronos_git.rules.requests import check_type

if TYPE_CHECKING:
    from cronos_git.engine import Cronos

Stem = Annotated[str | None, typer.Option("--name", metavar="NAME", show_default=False, help="Stem of the ids.")]
Type = Annotated[str, typer.Option("--type", metavar="TYPE", help="auto or a word of yours.")]
Labels = Annotated[list[str] | None, typer.Option("--label", metavar="LABEL", help="Label them; may be repeated.")]
Modules = Annotated[
    list[str] | None, typer.Option("--module", metavar="MODULE", help="Only this module or path; may be repeated.")
]
Include = Annotated[
    list[str] | None, typer.Option("--include", metavar="PATTERN", help="Take what a rule leaves out; may be repeated.")
]
Exclude = Annotated[list[str] | None, typer.Option("--exclude", metavar="PATTERN", help="Leave this out too; may be repeated.")]
MinChanges = Annotated[
    int | None,
    typer.Option(
        "--min-changes",
        metavar="N",
        min=0,
        show_default=False,
        help="No backup before N paths differ; 0: always one [auto_backup_min_changes].",
    ),
]

_LOCK_WAIT_S = 600.0
"""How long a backup waits, at least, for another command: nobody is there to try again."""


def request_for(
    *,
    name: str | None,
    backup_type: str,
    labels: list[str] | None,
    modules: list[str] | None,
    include: list[str] | None,
    exclude: list[str] | None,
) -> SnapshotRequest:
    """The request that these options say."""
    return SnapshotRequest(
        name=name,
        type=check_type(backup_type),
        labels=tuple(map(legible, labels or ())),
        modules=tuple(modules or ()),
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
    )


def let_it_wait(engine: Cronos) -> None:
    """Have *engine* wait for other commands."""
    engine.settings = replace(engine.settings, lock_wait=max(engine.settings.lock_wait, _LOCK_WAIT_S))
