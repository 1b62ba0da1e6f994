"""How what modules need is asked for and told, the same for `create` and `restore`. Floor F11."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import typer

from cronos_git.cli.render.text import visible
from cronos_git.errors import UsageError
from cronos_git.model import Dependency

WithDependencies = Annotated[
    bool, typer.Option("--with-dependencies", help="Also what these modules need, by their Python imports.")
]


def require_part(part: Sequence[str], how: str) -> None:
    """Refuse to add to everything.

    Args:
        part: What is chosen of the project.
        how: How to choose.

    Raises:
        UsageError: Nothing is.
    """
    if not any(part):
        raise UsageError("--with-dependencies adds to a part of the project; everything is taken already.", hint=how)


def reasons(dependencies: Iterable[Dependency]) -> Iterator[str]:
    """One line for each thing that is taken along, with the reason."""
    for one in dependencies:
        paths = visible(", ".join(one.module.paths))
        name = visible(one.module.name)
        yield f"With {name if paths == name else f'{name} ({paths})'}: {visible(one.reason)}."
