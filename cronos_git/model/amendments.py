"""Requests and reports of amending backups: pin, labels, texts, metadata. Floor F1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cronos_git.model.records import Backup


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendRequest:
    """What to change of which backups; what is None or empty stays as it is.

    Attributes:
        backups: Identifiers.
        pinned: Pin them, or take the pin off.
        add_labels: Put on after those that are there; one that is there already stays where it is.
        remove_labels: Taken off where they are.
        message: One line for people; an empty text gives the name, as `create` does.
        description: Text below the message; an empty text removes it.
        metadata: Values to set, by key.
        remove_metadata: Keys to remove where they are.
    """

    backups: tuple[str, ...]
    pinned: bool | None = None
    add_labels: tuple[str, ...] = ()
    remove_labels: tuple[str, ...] = ()
    message: str | None = None
    description: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    remove_metadata: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """One backup before and after.

    Attributes:
        changed: Which of `pinned`, `labels`, `message`, `description`, `metadata` differ; empty when nothing does, and then
            nothing is written.
    """

    before: Backup
    after: Backup
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendReport:
    """What amending did, or would do: every backup that was asked for, in the order given."""

    amendments: tuple[Amendment, ...]

    @property
    def changed(self) -> tuple[Amendment, ...]:
        """Those of which something differs."""
        return tuple(amendment for amendment in self.amendments if amendment.changed)
