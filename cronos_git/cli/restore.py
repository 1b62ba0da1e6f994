"""`restore` brings a backup back, beside the project or in place; `undo` takes the last restore in place back. Floor F11."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from cronos_git.cli import candidates
from cronos_git.cli.command import command
from cronos_git.cli.dependencies import WithDependencies, require_part
from cronos_git.cli.paths import inside, not_empty
from cronos_git.cli.restoring import carry_out
from cronos_git.cli.session import Session, session_of
from cronos_git.errors import UsageError
from cronos_git.model import IN_PLACE, SCOPE_PROJECT, Deletions, OnConflict, RestoreRequest, Strategy

_DryRun = Annotated[bool, typer.Option("-n", "--dry-run", help="Only show what would be done.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@command(
    "restore",
    statuses=(3, 4, 6, 10, 11, 12, 13, 14, 15, 16, 20),
    examples=(
        "cronos restore latest --to /tmp/look",
        "cronos restore deploy src docs --to ../before --verify",
        "cronos restore latest --strategy replace -n",
        "cronos restore '@2 hours ago' src --strategy overwrite",
        "cronos restore before-refactoring --strategy merge -n",
    ),
)
def restore(
    context: typer.Context,
    backup: Annotated[
        str,
        typer.Argument(metavar="BACKUP[:PATH]", help="A backup, perhaps with one path in it.", autocompletion=candidates.places),
    ],
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", show_default=False, help="Only these files and directories.")
    ] = None,
    strategy: Annotated[
        Strategy, typer.Option("--strategy", metavar="STRATEGY", help="new_location, overwrite, replace or merge.")
    ] = "new_location",
    target: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="DIR", help="Where to [new_location: <project>-<id> beside the project; else: the project]."
        ),
    ] = None,
    modules: Annotated[
        list[str] | None, typer.Option("--module", metavar="MODULE", help="Only this module or path; may be repeated.")
    ] = None,
    with_dependencies: WithDependencies = False,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="BACKUP",
            help="merge: what both sides come from [found by itself].",
            autocompletion=candidates.backups,
        ),
    ] = None,
    on_conflict: Annotated[
        OnConflict, typer.Option("--on-conflict", metavar="HOW", help="merge: abort, ours, theirs, markers or both.")
    ] = "abort",
    deletions: Annotated[
        Deletions, typer.Option("--deletions", metavar="HOW", help="merge: keep, or apply what either side deleted.")
    ] = "keep",
    dry_run: _DryRun = False,
    yes: _Yes = False,
    no_restore_point: Annotated[
        bool, typer.Option("--no-restore-point", help="Do not save the present state first; then nothing can be undone.")
    ] = False,
    verify: Annotated[
        bool | None,
        typer.Option("--verify/--no-verify", show_default=False, help="Read back and compare [in place: yes; else: no]."),
    ] = None,
) -> int:
    """Bring a backup back, whole or in part.

    \b
    --strategy new_location  into a new or empty directory; the project is not touched
    --strategy overwrite     laid over what is there; files that the backup lacks stay
    --strategy replace       exactly the backup; files that it lacks are deleted
    --strategy merge         what changed in the backup and what changed here, both

    The last three work in place. Only what differs is written, what the rules exclude stays, and a restore point is taken first,
    so that `cronos undo` takes it back. A merge with conflicts lists them and changes nothing, unless --on-conflict says how to
    solve them. A restore into a directory that exists shows its plan and asks first; where nobody can be asked it needs --yes.
    """
    from cronos_git.rules.identify import split_path

    if no_restore_point and strategy not in IN_PLACE:
        raise UsageError(
            "--no-restore-point does not go with new_location: nothing is changed there that a restore point could save.",
            hint="Leave it out, or give --strategy overwrite, replace or merge.",
        )
    if strategy != "merge" and (base, on_conflict, deletions) != (None, "abort", "keep"):
        raise UsageError(
            f"--base, --on-conflict and --deletions go with merge, not with {strategy}.", hint="Add --strategy merge."
        )
    session = session_of(context)
    engine = session.engine()
    identifier, path = split_path(backup)
    found = session.find(identifier, for_all=True)
    if with_dependencies and found.scope == SCOPE_PROJECT:
        require_part([path or "", *(paths or ()), *(modules or ())], "Choose modules with --module, or paths, or leave it out.")
    request = RestoreRequest(
        backup=found.id,
        paths=_wanted(session, [*([] if path is None else [path]), *not_empty(paths or ())]),
        modules=tuple(modules or ()),
        with_dependencies=with_dependencies,
        target=None if target is None else _absolute(target),
        strategy=strategy,
        restore_point=False if no_restore_point else None,
        verify=verify,
        base=None if base is None else session.find(base).id,
        on_conflict=on_conflict,
        deletions=deletions,
    )
    if session.options.via is not None:
        from cronos_git.cli import elsewhere

        return elsewhere.restore(session, request, yes=yes)
    return carry_out(
        session,
        lambda run: engine.plan_restore(request, run),
        lambda run: engine.restore(request, run),
        dry_run=dry_run,
        yes=yes,
        verify=verify,
    )


def _wanted(session: Session, words: Sequence[str]) -> tuple[str, ...]:
    """The paths that were asked for; none, which means everything, when the root is among them."""
    project = session.engine().project
    found = tuple(inside(project, word) for word in words)
    return () if "" in found else found


def _absolute(target: str) -> str:
    if not target:
        raise UsageError("--to names no directory.", hint="Without --to the target is the project, or a new place beside it.")
    return os.path.abspath(target)


@command(
    "undo",
    statuses=(3, 6, 10, 11, 12, 13, 15, 16, 20),
    examples=("cronos undo -n", "cronos undo", "cronos undo --yes"),
)
def undo(
    context: typer.Context,
    dry_run: _DryRun = False,
    yes: _Yes = False,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Do not read back what was written.")] = False,
) -> int:
    """Undo the last restore in place: make its target as it was before.

    The state now is saved in a restore point too, so that an undo can be undone. It shows its plan and asks first; where nobody
    can be asked it needs --yes.
    """
    session = session_of(context)
    engine = session.engine()
    verify = False if no_verify else None
    return carry_out(
        session,
        engine.plan_undo,
        lambda run: engine.undo(run, verify=verify),
        dry_run=dry_run,
        yes=yes,
        verify=verify,
    )
