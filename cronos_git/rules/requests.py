"""What a request must not say: names, types, labels, modules and keys of which nothing can be seen.

Taken as they are they would vanish on the way into a record or match nothing, mostly where a shell variable was empty. Messages
and descriptions may be empty, which asks for the name and for none. Floor F4: pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import get_args

from cronos_git.errors import UsageError
from cronos_git.model import Deletions, ImportRequest, OnConflict, Query, RestoreRequest, SnapshotRequest, Strategy
from cronos_git.rules.identify import RESTORE_POINT
from cronos_git.rules.record import clean_line


def check_snapshot(request: SnapshotRequest) -> None:
    """Refuse what a backup cannot be called.

    Raises:
        UsageError: A name, type, label, module or metadata key is empty.
    """
    check_name(request.name)
    _refuse_blank("The type", [request.type])
    check_labels(request.labels)
    check_metadata(request.metadata)
    _refuse_empty("A module", request.modules)


def check_restore(request: RestoreRequest) -> None:
    """Refuse words that mean nothing for a restore.

    Raises:
        UsageError: There is no such strategy, or way with conflicts or deletions.
    """
    _refuse_unknown("restore strategy", request.strategy, get_args(Strategy))
    _refuse_unknown("way with conflicts", request.on_conflict, get_args(OnConflict))
    _refuse_unknown("way with deletions", request.deletions, get_args(Deletions))


def check_import(request: ImportRequest) -> None:
    """Refuse what an import cannot be called.

    Raises:
        UsageError: Its path, a name or a label is empty.
    """
    _refuse_empty("The path to import", [request.path])
    check_name(request.name)
    check_labels(request.labels)


def check_type(word: str) -> str:
    """*word*, unless it is a type that no backup can be given.

    Raises:
        UsageError: It is no word, or the one for restore points.
    """
    if word == RESTORE_POINT:
        raise UsageError(f"The type {word} is for the backups that CRONOS makes before a restore.", hint="Choose another word.")
    if not re.fullmatch("[a-z0-9._-]+", word):
        raise UsageError(f"{word!r} cannot be a type.", hint="A type is a word of lower-case letters, digits, '.', '_' and '-'.")
    return word


def check_query(query: Query) -> None:
    """Refuse a condition that no backup can meet.

    Raises:
        UsageError: A type, name, label, module or metadata key is empty.
    """
    _refuse_blank("A type to look for", query.types)
    _refuse_blank("A name to look for", _given(query.name))
    _refuse_blank("A module to look for", _given(query.module))
    check_labels(query.labels)
    check_metadata(query.metadata)


def check_name(name: str | None) -> None:
    """Raise UsageError for an empty name; None leaves the choice to others."""
    _refuse_blank("A name", _given(name))


def check_labels(labels: Iterable[str]) -> None:
    """Raise UsageError when a label is empty."""
    _refuse_blank("A label", labels)


def check_metadata(keys: Iterable[str]) -> None:
    """Raise UsageError when a key of metadata is empty."""
    _refuse_blank("A key of metadata", (key for key in keys if isinstance(key, str)))  # of others JSON tells


def _given(text: str | None) -> tuple[str, ...]:
    return () if text is None else (text,)


def _refuse_blank(what: str, texts: Iterable[str]) -> None:
    _refuse_empty(what, map(_visible, texts))


def _visible(text: str) -> str:
    """*text* without what takes no room on a screen, such as a zero width space."""
    return "".join(char for char in clean_line(text) if unicodedata.category(char) != "Cf").strip()


def _refuse_empty(what: str, texts: Iterable[str]) -> None:
    if "" in texts:
        raise UsageError(f"{what} cannot be empty.", hint="Give it at least one visible character.")


def _refuse_unknown(what: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise UsageError(f"Unknown {what} {word!r}.", hint=f"This version has: {', '.join(known)}.")
