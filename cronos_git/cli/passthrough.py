"""`git` runs stock git on the store. Floor F11."""

from __future__ import annotations

import os
import signal

import typer

from cronos_git.cli.command import command
from cronos_git.cli.session import session_of
from cronos_git.errors import StoreMissingError


@command(
    "git",
    statuses=(10, 16),
    examples=("cronos git log --oneline", "cronos git log --stat -- src/app.py", "cronos git show backup/ID:data/README.md"),
    passthrough=True,
)
def git(context: typer.Context) -> int:
    """Run stock git on the store; everything after `git` is git's own."""
    from cronos_git.git.session import exec_git, require_git

    require_git()
    session = session_of(context)
    store = session.engine().store_path
    if not store.is_dir():
        raise StoreMissingError(f"There is no backup store at {store}.", hint="Make the first backup with `cronos create`.")
    session.output.flush()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and git would inherit that
    exec_git(store, context.args, os.environ)  # noqa: TID251 - handed on as it is, not read
