"""`init` makes a store, or takes over that of a project that has moved. Floor F11."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cronos_git.cli.command import command
from cronos_git.cli.render.text import plural, visible
from cronos_git.cli.session import session_of
from cronos_git.errors import UsageError


@command(
    "init",
    statuses=(10, 11, 13, 15, 16),
    examples=("cronos init", "cronos init --adopt ~/.local/share/cronos/shop-1f3c2a90.git"),
)
def init(
    context: typer.Context,
    adopt: Annotated[
        Path | None,
        typer.Option(
            "--adopt", metavar="STORE", show_default=False, help="Take over the store of a project that has moved here."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Adopt it although the project that it belongs to is still there.")
    ] = False,
) -> int:
    """Make the store of the project; `create` does so by itself. Where there is one, it stays as it is.

    A store belongs to one directory. When the project has been moved or renamed, --adopt lets its store follow it.
    """
    if force and adopt is None:
        raise UsageError("--force is for --adopt.", hint="A store that exists is never overwritten.")
    session = session_of(context)
    engine = session.engine()
    is_new = adopt is None and not engine.store_path.exists()
    store = engine.init() if adopt is None else engine.adopt(adopt, force=force)
    count = len(engine.backups())
    if session.options.json:
        session.output.json({"store": str(store.path), "project": str(engine.project), "new": is_new, "backups": count})
    else:
        what = "Adopted" if adopt is not None else "New store" if is_new else "Store"
        session.output.line(f"{what}: {visible(str(store.path))}, {plural(count, 'backup')} of {visible(str(engine.project))}.")
    return 0
