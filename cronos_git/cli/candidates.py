"""What a shell may offer for a word of a command line that means a backup, or a path in one.

Asked while somebody types: whatever goes wrong there is nothing to offer, and nothing is told or changed. The parser hands over
only what stands before the word, global options included. The shells' own scripts are `completion`'s. Floor F11.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import typer

from cronos_git.cli.session import session_of

if TYPE_CHECKING:
    from cronos_git.engine import Cronos
    from cronos_git.model import Backup

_LATEST = "latest"
_PLAIN = r"[\w%+,./:@=~-]+"


def backups(context: typer.Context, incomplete: str) -> list[str]:
    """`latest`, `latest:TYPE`, names and ids that begin so."""
    return _found(context, lambda engine: _words(engine.backups(), incomplete))


def trash(context: typer.Context, incomplete: str) -> list[str]:
    """Names and ids of deleted backups that begin so."""
    return _found(context, lambda engine: _names(engine.trash(), incomplete))


def places(context: typer.Context, incomplete: str) -> list[str]:
    """As `backups`; and after `BACKUP:` the paths in it that begin so, one directory at a time.

    Paths that a shell would take apart are left out.
    """
    return _found(context, lambda engine: [*_words(engine.backups(), incomplete), *_paths(engine, incomplete)])


def _found(context: typer.Context, offer: Callable[[Cronos], list[str]]) -> list[str]:
    session = session_of(context)
    if session.options.via is not None:
        return []  # what a service elsewhere has would take too long to ask
    try:
        engine = session.engine()
        engine.notice = lambda _noticed: None
        return offer(engine)
    except Exception:  # whatever it is: a message or a trace would land in the middle of the line that is being typed
        return []


def _words(known: Sequence[Backup], start: str) -> list[str]:
    types = sorted({backup.type for backup in known})
    latest = [_LATEST, *(f"{_LATEST}:{kind}" for kind in types)] if known else []
    return [*_beginning(latest, start), *_names(known, start)]


def _names(known: Sequence[Backup], start: str) -> list[str]:
    return [*_beginning(sorted({backup.name for backup in known}), start), *_beginning((backup.id for backup in known), start)]


def _beginning(words: Iterable[str], start: str) -> list[str]:
    return [word for word in words if word.startswith(start) and re.fullmatch(_PLAIN, word)]


def _paths(engine: Cronos, start: str) -> list[str]:
    from cronos_git.rules.identify import split_path

    identifier, path = split_path(start)
    if path is None:
        return []
    above, _, name = path.rpartition("/")
    before = start.removesuffix(name)
    entries = engine.entries(engine.resolve(identifier).backup, above)
    names = (entry.path.rpartition("/")[2] + "/" * (entry.attributes.kind == "directory") for entry in entries)
    return _beginning((before + name for name in names), start)
