"""`hooks` installs, lists, removes and runs the hooks through which git takes backups. Floor F11."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cronos_git.cli.command import command
from cronos_git.cli.create import parse_metadata
from cronos_git.cli.hook_run import HookCall, general_options, perform
from cronos_git.cli.render.tables import Column, Table
from cronos_git.cli.render.text import plural, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.errors import CronosError, ProjectError, UsageError
from cronos_git.model import Hook, HookChange, HookOptions, HookReport
from cronos_git.rules.hooks import HOOKS, KEPT_SUFFIX, default_hooks, stops

if TYPE_CHECKING:
    from cronos_git.git.hookdirs import Whereabouts

_STATES = {"cronos": "installed", "changed": "edited", "other": "not ours", "absent": "-"}
_DEEDS = {
    "install": ("Installed {path}.", "Would install {path}."),
    "update": ("Updated {path}.", "Would update {path}."),
    "remove": ("Removed {path}.", "Would remove {path}."),
    "put back": (
        "Removed {path}; the hook that was there before is back.",
        "Would remove {path} and put the hook back that was there before.",
    ),
    "none": ("{path}: nothing to do.", "{path}: nothing to do."),
}
_COLUMNS = (
    Column(title="HOOK", style="bold"),
    Column(title="STATE"),
    Column(title="CALLS FIRST", flexible=True),
    Column(title="OPTIONS", flexible=True),
)
_Names = Annotated[list[str] | None, typer.Argument(metavar="HOOK", show_default=False, help=f"Any of {', '.join(HOOKS)}.")]
_DryRun = Annotated[bool, typer.Option("-n", "--dry-run", help="Only show what would be done.")]
_Force = Annotated[bool, typer.Option("--force", help="Also hooks of ours that were edited.")]
_Tree = Annotated[str | None, typer.Option("--tree", metavar="DIR", help="Back up this directory [the work tree].")]
_FailClosed = Annotated[
    bool | None,
    typer.Option(
        "--fail-closed/--fail-open", show_default=False, help="Without a backup, stop git, or let it go on [by hook_failure]."
    ),
]
_Budget = Annotated[
    float | None, typer.Option("--budget", metavar="SECONDS", min=0.0, help="Give the backup up after that long; 0: never.")
]


# --- install, list, remove ----------------------------------------------------------------------------------------


@command(
    "hooks install",
    statuses=(13,),
    examples=(
        "cronos hooks install",
        "cronos hooks install pre-push pre-rebase --fail-closed --budget 30",
        "cronos -C /srv/shop.git hooks install --tree /srv/www/shop",
    ),
)
def install(
    context: typer.Context,
    names: _Names = None,
    tree: _Tree = None,
    fail_closed: _FailClosed = None,
    budget: _Budget = None,
    force: _Force = False,
    dry_run: _DryRun = False,
) -> int:
    """Install hooks into the repository here, or at -C.

    Without names those that git calls: pre-push, post-commit, post-merge and pre-rebase, or pre-receive and post-receive in a
    bare repository, which deploys to --tree or to what `git config cronos.deployTree` names. They go where git looks for them
    (core.hooksPath). A hook that is there already is kept and called first. --backup-dir, --config and --lock-wait are noted in
    them.
    """
    from cronos_git.ops import hooks
    from cronos_git.surroundings import command_path

    session = session_of(context)
    place = _place(session)
    wanted = _checked(names) or default_hooks(bare=place.bare)
    _require_tree(place, wanted, tree)
    options = HookOptions(
        general=general_options(session),
        tree=None if tree is None else os.path.abspath(tree),
        fail_closed=fail_closed,
        budget_s=budget,
    )
    changes = hooks.plan_install(place.hooks, wanted, options, command_path(), force=force)
    if not dry_run:
        hooks.install(changes, options, command_path())
    _show_changes(session, changes, dry_run)
    if place.shared:
        session.output.note(
            f"{visible(str(place.hooks))} is outside this repository: other repositories may call these hooks too."
        )
    return 0


@command("hooks list", examples=("cronos hooks list", "cronos -C /srv/shop.git hooks list --json"))
def list_hooks(context: typer.Context) -> int:
    """List the hooks of the repository here, or at -C; -q only the installed ones."""
    from cronos_git.ops import hooks

    session = session_of(context)
    output = session.output
    found = hooks.find(_place(session).hooks)
    if session.options.json:
        output.json_lines(found)
    elif session.options.quiet:
        output.lines(hook.name for hook in found if hook.state in ("cronos", "changed"))
    else:
        output.table(Table(columns=_COLUMNS, rows=[_row(hook) for hook in found]))
    return 0


@command("hooks remove", statuses=(13,), examples=("cronos hooks remove", "cronos hooks remove post-commit -n"))
def remove(context: typer.Context, names: _Names = None, force: _Force = False, dry_run: _DryRun = False) -> int:
    """Remove our hooks, all or those named, and put back those that were there before."""
    from cronos_git.ops import hooks

    session = session_of(context)
    directory = _place(session).hooks
    changes = hooks.plan_remove(directory, _checked(names) or tuple(HOOKS), force=force)
    if not dry_run:
        hooks.remove(changes)
    if names is None:
        changes = [change for change in changes if change.action != "none"]
    _show_changes(session, changes, dry_run)
    if not changes:
        session.output.note(f"There are no hooks of CRONOS in {visible(str(directory))}.")
    return 0


def _place(session: Session) -> Whereabouts:
    from cronos_git.surroundings import find_repository

    directory = session.options.project or os.curdir
    place = find_repository(directory)
    if place is None:
        raise ProjectError(f"{os.path.abspath(directory)} is in no Git repository.", hint="Name one with -C DIR.")
    return place


def _checked(names: Sequence[str] | None) -> tuple[str, ...]:
    for name in names or ():
        if name not in HOOKS:
            raise UsageError(f"There is no hook {name!r}.", hint=f"There are: {', '.join(HOOKS)}.")
    return tuple(dict.fromkeys(names or ()))


def _require_tree(place: Whereabouts, names: Sequence[str], tree: str | None) -> None:
    from cronos_git.surroundings import find_deploy_tree

    if place.bare and tree is None and any(HOOKS[name].server for name in names) and not find_deploy_tree(str(place.git_dir)):
        raise UsageError(
            f"{place.git_dir} is a bare repository, and it is not known where it deploys to.",
            hint="Give --tree DIR, or run `git config cronos.deployTree DIR` in it.",
        )


def _show_changes(session: Session, changes: Sequence[HookChange], dry_run: bool) -> None:
    output = session.output
    if session.options.json:
        output.json_lines(changes)
        return
    if session.options.quiet:
        output.lines(change.hook.name for change in changes if change.action != "none")
        return
    for change in changes:
        output.line(_DEEDS[change.action][dry_run].format(path=visible(change.hook.path)))
        if change.keeps:
            name = change.hook.name
            output.note(f"The {name} hook that was there is kept as {name}{KEPT_SUFFIX} and called first.")


def _row(hook: Hook) -> tuple[str, ...]:
    first = f"{hook.name}{KEPT_SUFFIX}" if hook.kept and hook.state in ("cronos", "changed") else ""
    return hook.name, _STATES[hook.state], first, visible(hook.options)


# --- run ----------------------------------------------------------------------------------------------------------


@command(
    "hooks run",
    statuses=(10, 11, 13, 15, 16, 20),
    examples=("cronos hooks run pre-deploy --meta version=2.1", 'cronos hooks run pre-push -- "$@"'),
)
def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="HOOK", help=f"Any of {', '.join(HOOKS)}.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[-- ARGUMENT]", show_default=False, help="What git gave the hook.")
    ] = None,
    message: Annotated[str, typer.Option("-m", "--message", metavar="TEXT", show_default=False, help="One line about it.")] = "",
    metadata: Annotated[
        list[str] | None, typer.Option("--meta", metavar="KEY=VALUE", help="Metadata; VALUE is JSON or text; may be repeated.")
    ] = None,
    tree: _Tree = None,
    fail_closed: _FailClosed = None,
    budget: _Budget = None,
) -> int:
    """Do what a hook does: take a backup that notes commit, branch and what git told.

    A backup that fails ends in an error only where it is to stop git: before deploys, unless configured otherwise. pre-deploy
    prints the id. Only deploys make a backup when nothing has changed.
    """
    from cronos_git.surroundings import enter_hook

    session = session_of(context)
    _checked([name])
    call = HookCall(
        name=name,
        arguments=arguments or (),
        tree=tree,
        message=message,
        metadata=parse_metadata(metadata or ()),
        budget_s=budget,
    )
    if not enter_hook():
        return 0  # called by what a hook has started
    try:
        _show_report(session, perform(session, call))
    except CronosError as error:
        return _failed(session, call, error, error.code, fail_closed)
    except Exception as bug:  # a hook that lets git go on must do so here too
        if session.options.verbose > 1:
            raise
        told = CronosError(f"Internal error: {type(bug).__name__}: {bug}", hint="This is a bug; -vv shows its trace.")
        return _failed(session, call, told, "internal", fail_closed)
    return 0


def _show_report(session: Session, report: HookReport) -> None:
    if session.options.json:
        session.output.json(report)
        return
    if report.hook == "pre-deploy":
        session.output.line(report.backup or "")
    if session.options.quiet or (report.hook == "pre-deploy" and not report.problems):
        return
    session.output.raw_error(f"cronos: {visible(_sentence(report))}\n")


def _sentence(report: HookReport) -> str:
    if report.backup is None:
        return f"no backup: {report.text}."
    if report.rollback:
        return f"{'saved' if report.made else 'kept'} {report.backup}{_flaw(report)}; go back with: {report.rollback}"
    return f"saved {report.backup}{_flaw(report)}" if report.made else f"nothing has changed since {report.backup}"


def _flaw(report: HookReport) -> str:
    return f", but {plural(report.problems, 'path')} not fully" if report.problems else ""


def _failed(session: Session, call: HookCall, error: CronosError, code: str, fail_closed: bool | None) -> int:
    """Tell that there is no backup, and let git go on or not."""
    is_closed = _configured(session, call.name) if fail_closed is None else fail_closed
    when, _, deed = call.name.partition("-")
    if when == "post":
        what = f"No backup after this {deed}"
    else:
        deed = "push" if deed == "receive" else deed
        what = f"No backup, so this {deed} is stopped" if is_closed else f"No backup, but this {deed} goes on"
    status = error.exit_status if is_closed else 0
    told = CronosError(f"{what}: {error.message}", hint=error.hint, **error.context)
    session.output.error(told, code=code, status=status)
    return status


def _configured(session: Session, name: str) -> bool:
    """Whether the configuration lets a failure stop git; the hook's own rule where it cannot be read."""
    try:
        return stops(name, session.engine().settings.hook_failure)
    except CronosError:
        return stops(name, "by_hook")
