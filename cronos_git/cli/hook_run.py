"""What a hook does when it runs: finds the tree, takes the backup within its time, and tells the way back.

What is said, and whether a failure stops git, is `hooks`'. Floor F11.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cronos_git.cli.create import legible
from cronos_git.cli.session import Session
from cronos_git.errors import CronosError, InterruptedRunError, ProjectError
from cronos_git.events import Run
from cronos_git.model import HookReport, Query, SnapshotReport, SnapshotRequest
from cronos_git.rules.hooks import HOOKS, told_facts

if TYPE_CHECKING:
    from cronos_git.git.hookdirs import Whereabouts


@dataclass(frozen=True, slots=True, kw_only=True)
class HookCall:
    """How a hook was called.

    Attributes:
        arguments: What git gave it.
        tree: The directory to back up, when it was named.
        metadata: More metadata for the backup.
        budget_s: Time limit in seconds; None for the configured one.
    """

    name: str
    arguments: Sequence[str] = ()
    tree: str | None = None
    message: str = ""
    metadata: Mapping[str, object]
    budget_s: float | None = None


def perform(session: Session, call: HookCall) -> HookReport:
    """Take the backup of a hook.

    Raises:
        CronosError: There is none; the error says why.
    """
    from cronos_git.surroundings import find_repository, hook_arguments

    kind = HOOKS[call.name]
    place = None if kind.manual else find_repository()
    if call.name == "post-commit" and place is not None and place.is_rebasing:
        return HookReport(hook=call.name, backup=None, made=False, text="a rebase is under way")
    tree = _tree(session, call, place)
    if tree is not None:
        if kind.server and not os.path.lexists(tree):
            return HookReport(hook=call.name, backup=None, made=False, text=f"{tree} does not exist yet")
        session.options.project = tree
    facts = told_facts(call.name, hook_arguments(call.name, call.arguments), _stdin() if kind.refs else "")
    return _report(session, call, _snapshot(session, call, facts), facts)


def _stdin() -> str:
    """What git says on standard input; nothing when that is closed or somebody's terminal."""
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    return sys.stdin.buffer.read().decode("utf-8", "surrogateescape")


def _tree(session: Session, call: HookCall, place: Whereabouts | None) -> str | None:
    """The directory to back up; None leaves it to the rules that hold for every command."""
    from cronos_git.surroundings import find_deploy_tree

    if call.tree is not None:
        return os.path.abspath(call.tree)
    if session.options.project is not None:
        return session.options.project
    if HOOKS[call.name].server:
        named = find_deploy_tree()
        if named is not None:
            return os.path.abspath(named)
    top = place and (place.top or (place.git_dir.parent if not place.bare and place.git_dir.name == ".git" else None))
    if top is None and HOOKS[call.name].server:
        raise ProjectError(
            "It is not known where this repository deploys to.",
            hint="Run `git config cronos.deployTree DIR` in it, or install the hook with --tree DIR.",
        )
    return None if top is None else str(top)


def _snapshot(session: Session, call: HookCall, facts: Mapping[str, object]) -> SnapshotReport:
    from cronos_git.ops.hooks import project_facts

    kind = HOOKS[call.name]
    engine = session.engine()
    engine.face = "hook"
    known = {**project_facts(engine.project), **facts, **call.metadata}
    request = SnapshotRequest(
        name=call.name,
        type=kind.type,
        message=legible(call.message),
        metadata={key: legible_value(value) for key, value in known.items()},
        skip_if_unchanged=not kind.always,
    )
    budget_s = engine.settings.hook_budget_s if call.budget_s is None else call.budget_s
    with session.running() as run, _within(budget_s, run):
        return engine.snapshot(request, run)


def legible_value(value: object) -> object:
    """*value* with every text in it made fit for a record."""
    if isinstance(value, str):
        return legible(value)
    if isinstance(value, Mapping):
        return {key: legible_value(one) for key, one in value.items()}
    return [legible_value(one) for one in value] if isinstance(value, list) else value


@contextlib.contextmanager
def _within(budget_s: float, run: Run) -> Iterator[None]:
    """Cancel *run* when the block takes longer; 0 sets no limit."""
    if not budget_s:
        yield
        return

    def cancel() -> None:
        run.cancelled = True

    timer = threading.Timer(budget_s, cancel)
    timer.daemon = True
    timer.start()
    try:
        yield
    except InterruptedRunError as error:
        raise CronosError(
            f"The backup took longer than {budget_s:g} seconds and was given up; nothing is half-done.",
            hint="Allow more with `hook_budget_s` or --budget, or leave large files out with `exclude`.",
        ) from error
    finally:
        timer.cancel()


def _report(session: Session, call: HookCall, report: SnapshotReport, facts: Mapping[str, object]) -> HookReport:
    before = report.backup.id if call.name == "pre-receive" else None
    if call.name == "post-receive":
        query = Query(metadata={"hook": "pre-receive"}, limit=1)
        last = next(iter(session.engine().backups(query)), None)
        before = last.id if last and last.metadata.get("refs") == facts.get("refs") else None
    return HookReport(
        hook=call.name,
        backup=report.backup.id,
        made=not report.unchanged,
        rollback=rollback_command(session, before) if before else "",
        problems=len(report.problems),
    )


def rollback_command(session: Session, backup: str) -> str:
    """The command line that makes the project what it is in *backup*, from any directory and without a question."""
    from cronos_git.surroundings import command_word

    project = str(session.engine().project)
    words = [command_word(), *general_options(session), "-C", project, "restore", backup, "--strategy", "replace", "--yes"]
    return shlex.join(words)


def general_options(session: Session) -> tuple[str, ...]:
    """The options given to this command line that tell where backups lie; paths are made absolute."""
    options = session.options
    named = (("--backup-dir", options.backup_dir), ("--config", options.config))
    words = [word for name, path in named if path is not None for word in (name, os.path.abspath(os.path.expanduser(path)))]
    return tuple(words if options.lock_wait is None else [*words, "--lock-wait", f"{options.lock_wait:g}"])
