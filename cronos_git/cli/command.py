"""How a command is declared: its function, the exit statuses it can end with, and examples.

A command's function takes the `typer.Context` first (its `obj` is the Session) and gives its exit status. Declaring registers it
in `COMMANDS`; `app` builds the parser from there. Floor F11.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

STATUSES = {
    0: "done",
    1: "failed",
    2: "wrong usage",
    4: "merge conflicts, nothing changed",
    3: "done, but some files could not be treated fully (they are listed)",
    6: "damage found",
    10: "no store",
    11: "the store is locked",
    12: "backup not found or ambiguous",
    13: "refused for safety",
    14: "remote failed, local result safe",
    15: "disk full, nothing changed",
    16: "store format or git version not supported",
    20: "denied by the policy",
    130: "interrupted, nothing half-done (143 by SIGTERM)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of the command line.

    Attributes:
        function: Does it; its docstring is the help, its result the exit status.
        statuses: Exit statuses beyond 0, 1, 2 and 130.
        examples: Command lines for the help.
        passthrough: Every word after the name belongs to another program.
    """

    function: Callable[..., int]
    statuses: tuple[int, ...]
    examples: tuple[str, ...]
    passthrough: bool = False

    @property
    def epilog(self) -> str:
        """The end of the help: exit statuses, then examples."""
        statuses = ", ".join(f"{status} {STATUSES[status]}" for status in sorted({0, 1, 2, 130, *self.statuses}))
        examples = "\n".join(f"  {example}" for example in self.examples)
        return (
            f"Every command also takes the options of `cronos --help`.\n\nExit status: {statuses}.\n\n\b\nExamples:\n{examples}"
        )


COMMANDS: dict[str, Command] = {}
"""Every command whose module has been imported, by name; a space parts a group from its command."""

Function = Callable[..., int]


def command(
    name: str, *, statuses: tuple[int, ...] = (), examples: tuple[str, ...], passthrough: bool = False
) -> Callable[[Function], Function]:
    """Declare the decorated function as the command *name*."""

    def register(function: Function) -> Function:
        COMMANDS[name] = Command(function=function, statuses=statuses, examples=examples, passthrough=passthrough)
        return function

    return register
