"""Requests, plans and reports of what goes to other repositories and comes from them. Floor F1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cronos_git.model.records import Backup


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Another Git repository that holds copies of backups.

    Attributes:
        url: As it was added, with a password in it hidden.
    """

    name: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteBackup:
    """A backup as a remote lists it.

    Attributes:
        id: The name that it has there.
        tag: Id of its tag object.
        commit: Id of its snapshot, which says whether two backups are the same one.
    """

    id: str
    tag: str
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRequest:
    """What to send.

    Attributes:
        remote: Name; None for the only one, or `origin`.
        backups: Identifiers; empty for all.
        amended: Also replace there what was pinned, labelled or described anew here.
        prune: Also remove there what this store had and has dropped.
    """

    remote: str | None = None
    backups: tuple[str, ...] = ()
    amended: bool = False
    prune: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PushPlan:
    """What a push would do.

    Attributes:
        missing: What is to be sent, oldest first.
        names: Under which id each of these goes there, where its own is taken by another backup.
        there: How many of the backups that were asked for are there already.
        amended: Those of them that are pinned, labelled or described otherwise there.
        dropped: What is there and was dropped here.
    """

    remote: Remote
    request: PushRequest
    missing: tuple[Backup, ...]
    names: Mapping[str, str]
    there: int
    amended: tuple[Backup, ...]
    dropped: tuple[RemoteBackup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReport:
    """What a push did.

    Attributes:
        pushed: Ids here of what was sent and is there now, as the remote says when asked again.
        amended, removed: Ids of what was replaced and removed there.
        branches: The timelines that were moved there, by the name that they have there.
        objects, sent_bytes: What git says it sent; bytes are rounded to git's three digits.
        notes: What the remote did not take, in words, without harm to the backups.
    """

    plan: PushPlan
    pushed: tuple[str, ...]
    amended: tuple[str, ...]
    removed: tuple[str, ...]
    branches: tuple[str, ...]
    objects: int
    sent_bytes: int
    notes: tuple[str, ...]
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """What to get.

    Attributes:
        remote: Name; None for the only one, or `origin`.
        backups: Ids as the remote has them; empty for all that this store never had.
        dropped: Also those that this store had and has dropped.
    """

    remote: str | None = None
    backups: tuple[str, ...] = ()
    dropped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPlan:
    """What a fetch would do.

    Attributes:
        missing: What would come, by id.
        there: How many of the remote's backups are here already.
        dropped: What is there, was dropped here, and is not asked for.
    """

    remote: Remote
    request: FetchRequest
    missing: tuple[RemoteBackup, ...]
    there: int
    dropped: tuple[RemoteBackup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReport:
    """What a fetch did.

    Attributes:
        backups: The new backups, by sequence.
        bytes_stored: Growth of the store.
        notes: What became of ids that were taken, in words.
    """

    plan: FetchPlan
    backups: tuple[Backup, ...]
    bytes_stored: int
    notes: tuple[str, ...] = ()
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteReport:
    """How a remote compares with the store.

    Attributes:
        same: How many backups are there as they are here.
        missing: Ids of those that are not there.
        amended: Ids of those that are pinned, labelled or described otherwise there.
        others: Ids of what is there and not here.
        faults: What is wrong there, a line each; nothing is read unless asked for.
        read_bytes: Size of what was read.
    """

    remote: Remote
    same: int
    missing: tuple[str, ...]
    amended: tuple[str, ...]
    others: tuple[str, ...]
    faults: tuple[str, ...] = ()
    read_bytes: int = 0
