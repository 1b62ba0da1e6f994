"""The options that choose backups, shared by `list` and `find`. Floor F11."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import typer

from cronos_git.cli.paths import inside
from cronos_git.cli.session import Session
from cronos_git.errors import UsageError
from cronos_git.model import Query

SortKey = Literal["sequence", "created", "name", "size", "files", "type"]

Types = Annotated[list[str] | None, typer.Option("--type", metavar="TYPE", help="Of this type; may be repeated.")]
Name = Annotated[str | None, typer.Option("--name", metavar="PATTERN", help="Shell pattern on the name or id.")]
Labels = Annotated[
    list[str] | None, typer.Option("--label", metavar="LABEL", help="With this label; may be repeated, all must hold.")
]
Module = Annotated[str | None, typer.Option("--module", metavar="MODULE", help="Of a scope with this module.")]
Metadata = Annotated[
    list[str] | None, typer.Option("--meta", metavar="KEY[=VALUE]", help="With this metadata; may be repeated, all must hold.")
]
Since = Annotated[str | None, typer.Option("--since", metavar="TIME", help="Made then or later: 2026-04-01, 10:30, 2 days ago.")]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Made then or earlier; a day or minute to its end.")]
Contains = Annotated[str | None, typer.Option("--contains", metavar="PATH", help="Holding this path.")]
Sort = Annotated[SortKey, typer.Option("--sort", metavar="KEY", help="sequence, created, name, size, files or type.")]
Reverse = Annotated[bool, typer.Option("--reverse", help="Turn the order round.")]
Limit = Annotated[int | None, typer.Option("-l", "--limit", metavar="N", min=1, help="At most so many of the newest.")]


def moment(session: Session, text: str | None, *, end: bool = False) -> datetime | None:
    """A time as users write it; UsageError when it is none."""
    if text is None:
        return None
    from cronos_git.rules.when import parse_when

    engine = session.engine()
    return parse_when(text, engine.clock.now(), engine.zone, end=end)


def scope_word(module: str) -> str:
    """A module as the names of scopes spell it."""
    from cronos_git.rules.names import slug

    return slug(module)


def query(
    session: Session,
    *,
    types: Sequence[str] | None,
    name: str | None,
    labels: Sequence[str] | None,
    module: str | None,
    metadata: Sequence[str] | None,
    since: str | None,
    until: str | None,
    contains: str | None,
    sort: SortKey = "sequence",
    reverse: bool = False,
    limit: int | None = None,
) -> Query:
    """The query that these options ask for.

    Raises:
        UsageError: One is empty, or no time.
    """
    if "" in (module, contains):
        raise UsageError("A module or path to look for cannot be empty.", hint="Give a name or path, or leave the option out.")
    return Query(
        types=tuple(types or ()),
        name=name,
        labels=tuple(labels or ()),
        module=None if module is None else scope_word(module),
        metadata={key: value for key, _, value in (pair.partition("=") for pair in metadata or ())},
        since=moment(session, since),
        until=moment(session, until, end=True),
        contains=None if contains is None else inside(session.engine().project, contains),
        sort=sort,
        reverse=reverse,
        limit=limit,
    )
