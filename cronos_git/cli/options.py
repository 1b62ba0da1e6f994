"""The options that every command has, as the user gave them.

They may stand before or after the command. `remember` puts each into the session's `Options`. Floor F11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

ColorChoice = Literal["auto", "always", "never"]


@dataclass(slots=True, kw_only=True)
class Options:
    """Values of the global options.

    Attributes:
        json: Results as JSON on stdout.
        quiet: No notes and no progress; lists shrink to ids.
        verbose: 1 tells more, 2 shows the trace of an error.
        no_progress: No progress bars.
        lock_wait: Seconds to wait for the store's lock; None for the configured time.
        via: Address of the bus on which a service does the work instead.
    """

    project: str | None = None
    backup_dir: str | None = None
    config: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: int = 0
    color: ColorChoice = "auto"
    no_progress: bool = False
    lock_wait: float | None = None
    via: str | None = None


def remember(context: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
    """Store a global option in the session when it was really given, so that a default never undoes an earlier one."""
    source = context.get_parameter_source(param.name or "")
    if source is not None and source.name == "COMMANDLINE":
        if value == "":  # an unset variable, mostly; as a path it would be the working directory
            raise typer.BadParameter("it is empty.")
        setattr(context.obj.options, param.name or "", value)
    return value


def print_version(context: typer.Context, value: bool) -> None:
    """Print the version and stop."""
    if value and not context.resilient_parsing:
        from cronos_git import __version__

        output = context.obj.output
        if output.options.json:
            output.json({"version": __version__})
        else:
            output.line(f"cronos {__version__}")
        raise typer.Exit


def declare(
    project: Annotated[
        str | None, typer.Option("-C", "--project", metavar="DIR", help="The project [here].", callback=remember)
    ] = None,
    backup_dir: Annotated[
        str | None, typer.Option("--backup-dir", metavar="DIR", help="Where the stores are kept.", callback=remember)
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", metavar="FILE", help="Read this configuration file too.", callback=remember)
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", is_eager=True, help="Print JSON: one object, or one a line for lists.", callback=remember)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="No notes, no progress; lists print ids only.", callback=remember)
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "-v",
            "--verbose",
            count=True,
            show_default=False,
            help="Tell more; -vv shows the trace of an error.",
            callback=remember,
        ),
    ] = 0,
    color: Annotated[
        ColorChoice, typer.Option("--color", metavar="WHEN", help="auto, always or never.", callback=remember)
    ] = "auto",
    no_progress: Annotated[bool, typer.Option("--no-progress", help="No progress bars.", callback=remember)] = False,
    lock_wait: Annotated[
        float | None,
        typer.Option("--lock-wait", metavar="SECONDS", min=0.0, help="Wait so long for another cronos.", callback=remember),
    ] = None,
    via: Annotated[
        str | None,
        typer.Option("--via", metavar="URL", help="Ask the service there: nats://HOST:PORT/PROJECT.", callback=remember),
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=print_version)] = False,
) -> None:
    """Snapshots of a project directory, and every way back.

    Backups are commits in a Git store outside the project; stock git reads them all. Start with `cronos create`. The options
    below may stand before or after the command.
    """
