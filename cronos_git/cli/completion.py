"""`completion` prints the script that makes a shell complete `cronos` command lines. Floor F11."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cronos_git.cli.command import command
from cronos_git.cli.session import session_of


@command(
    "completion",
    examples=(
        "cronos completion bash > ~/.local/share/bash-completion/completions/cronos",
        "cronos completion zsh > ~/.zfunc/_cronos",
        "cronos completion fish > ~/.config/fish/completions/cronos.fish",
    ),
)
def completion(
    context: typer.Context,
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> int:
    """Print the completion script for a shell."""
    from typer._completion_shared import get_completion_script

    script = get_completion_script(prog_name="cronos", complete_var="_CRONOS_COMPLETE", shell=shell)
    session = session_of(context)
    if session.options.json:
        session.output.json({"shell": shell, "script": script})
    else:
        session.output.line(script)
    return 0
