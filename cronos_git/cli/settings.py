"""`config` shows the configuration in force, says which files it is read from, and starts one. Floor F11."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cronos_git.cli.command import command
from cronos_git.cli.render.tables import align
from cronos_git.cli.render.text import visible
from cronos_git.cli.session import Session, session_of
from cronos_git.errors import RefusedError

if TYPE_CHECKING:
    from cronos_git.bootstrap import Configuration


@command("config show", examples=("cronos config show", "cronos config show --origin", "cronos config show --json"))
def show(
    context: typer.Context,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
) -> int:
    """Show every setting with the value in force, as TOML."""
    session = session_of(context)
    output = session.output
    resolved = _configuration(session).resolved
    if session.options.json:
        output.json({"settings": resolved.settings, "origins": resolved.origins, "ignored": resolved.ignored})
        return 0
    rows = [(f"{key} = {visible(value)}", f"# {visible(where)}") for key, value, where in resolved.rows()]
    output.lines(align(rows, (False, False)) if origin else (setting for setting, _ in rows))
    for ignored in resolved.ignored:
        output.note(f"{ignored.key} of {ignored.origin} is passed over: {ignored.reason}.")
    return 0


@command("config path", examples=("cronos config path", "cronos config path -q"))
def path(context: typer.Context) -> int:
    """Show the files that the configuration is read from, later ones over earlier ones; -q only those that exist."""
    session = session_of(context)
    output = session.output
    files = _configuration(session).files
    if session.options.json:
        output.json_lines(files)
    elif session.options.quiet:
        output.lines(visible(str(file.path)) for file in files if file.found)
    else:
        rows = [("read" if file.found else "absent", file.layer, visible(str(file.path))) for file in files]
        output.lines(align(rows, (False, False, False)))
    return 0


@command("config init", statuses=(13,), examples=("cronos config init", "cronos config init --user"))
def init(
    context: typer.Context,
    user: Annotated[bool, typer.Option("--user", help="Your own file, for all projects, instead of the project's.")] = False,
) -> int:
    """Write a configuration file with its settings explained and commented out: `cronos.toml` in the project.

    A file that exists is never overwritten.
    """
    from cronos_git.disk.files import host_error, write_durable
    from cronos_git.rules.config_page import sample_toml

    session = session_of(context)
    file = _file_to_start(_configuration(session), user=user)
    if os.path.lexists(file):
        raise RefusedError(f"{file} exists already.", hint="Edit it, or remove it first.", path=str(file))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise host_error(error, f"make the directory {file.parent}") from error
    write_durable(file, sample_toml(project=not user).encode(), mode=0o644)
    if session.options.json:
        session.output.json({"path": str(file)})
    else:
        session.output.line(visible(str(file)) if session.options.quiet else f"Wrote {visible(str(file))}.")
    return 0


def _configuration(session: Session) -> Configuration:
    from cronos_git.bootstrap import resolve

    options = session.options
    return resolve(project=options.project, backup_dir=options.backup_dir, config=options.config, lock_wait_s=options.lock_wait)


def _file_to_start(configuration: Configuration, *, user: bool) -> Path:
    own = [file.path for file in configuration.files if file.layer in ("user", "file")]
    return own[-1] if user else configuration.project / "cronos.toml"
