"""Which backups there ought to be: the refs that are sound, and for the others what the operation log, the timelines and the tag
objects in the packs tell.

A ref is brought back to the newest tag object of its backup; where every tag object of a backup is lost, its snapshot commit
tells enough for a new one. What nobody says should exist (a backup that was compacted away, an older version of a tag) is left
alone. Nothing is written here. Floor F7, below the verbs.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from cronos_git.errors import DamageError
from cronos_git.git.listing import ObjectReader
from cronos_git.git.pack import object_id
from cronos_git.git.refmending import Refs
from cronos_git.git.refs import BACKUP_TAGS, TRASH
from cronos_git.git.remains import Remains
from cronos_git.git.view import SnapshotView
from cronos_git.model import SCOPE_PROJECT, Backup
from cronos_git.ops.chronicle import History
from cronos_git.ops.healing import Fetched, ObjectSource
from cronos_git.rules.record import Identity, format_tag, parse_commit, parse_tag

LABEL = "damaged"
"""The label of backups that are not what they were."""

METADATA_KEY = "repair"
"""Under this key of its metadata such a backup tells what became of it."""

_PLACES = (BACKUP_TAGS, TRASH)
_ID = re.compile(r"(.+)_\d{8}_\d{6}(?:_\d+)?")
_COMMIT_TRAILER = re.compile(r"\n\nCronos-Id: (\S+)\n?\Z")
_COMMITTED = re.compile(rb".* (\d+) [+-]\d{4}")
_TAGGER = re.compile(rb"(?m)^tagger [^\n]*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """A ref that is brought back.

    Attributes:
        place: Below which of `refs.BACKUP_TAGS` and `refs.TRASH`.
        body: The tag object's body where it had to be made anew; empty when the store has it.
        text: Why, in words.
        lost: What of the tag may be lost, in words; empty when nothing is.
    """

    place: str
    backup: Backup
    body: bytes = b""
    text: str = ""
    lost: str = ""


@dataclass(slots=True)
class Returning:
    """What ought to be.

    Attributes:
        kept: Backups that exist, once the refs are brought back.
        trash: Those in the trash.
        returns: Refs to be set.
        gone: Why backups cannot be brought back, by the name of their ref.
        notes: What was found and is left alone.
    """

    kept: list[Backup] = field(default_factory=list)
    trash: list[Backup] = field(default_factory=list)
    returns: list[Return] = field(default_factory=list)
    gone: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def find(
    remains: Remains, objects: ObjectReader, refs: Refs, history: History, elsewhere: Sequence[ObjectSource] = ()
) -> Returning:
    """What ought to be, and what it takes.

    Args:
        objects: Gives objects that are whole.
        elsewhere: Where tag objects that are lost are looked for.

    Cost: every tag object and every commit of the store is read.
    """
    return _Finder(remains, objects, refs, history, elsewhere).find()


class _Finder:
    def __init__(
        self, remains: Remains, objects: ObjectReader, refs: Refs, history: History, elsewhere: Sequence[ObjectSource]
    ) -> None:
        self._remains = remains
        self._objects = objects
        self._refs = refs
        self._history = history
        self._elsewhere = elsewhere
        self._versions = self._tag_versions()
        self._commits: dict[str, list[str]] | None = None
        self._found = Returning()

    def find(self) -> Returning:
        """Go through every backup that anything tells of."""
        timelines = self._on_timelines()
        silent = not self._history.places and not timelines
        for backup_id in sorted(self._ids() | self._history.places.keys() | timelines | self._versions.keys()):
            places = [place for place in _PLACES if place + backup_id in self._refs.names()]
            told = self._history.places.get(backup_id, BACKUP_TAGS if silent or backup_id in timelines else None)
            if places and not self._is_misnamed(backup_id, places):
                self._settle(backup_id, places)
            elif told and (backup_id not in self._history.doubtful or self._has_snapshot(backup_id)):
                self._bring_back(backup_id, told, "its ref is gone")
            elif told is None and not places:
                self._found.notes.append(
                    f"{backup_id} has a tag object, but nothing tells that it should exist; it is left alone."
                )
        for backups in (self._found.kept, self._found.trash):
            backups.sort(key=lambda backup: backup.sequence)
        return self._found

    def _is_misnamed(self, backup_id: str, places: Sequence[str]) -> bool:
        """Whether nothing else tells of a backup, and its refs lead to the tags of others: their names were garbled."""
        if backup_id in self._history.places or backup_id in self._versions:
            return False
        tags = set(self._history.tags.values()) | {one.tag for versions in self._versions.values() for one in versions}
        return all(self._refs.value(place + backup_id) in tags for place in places)

    def _has_snapshot(self, backup_id: str) -> bool:
        """Whether a backup of which the log is in doubt can be had at all."""
        return any(self._remains.contains(bytes.fromhex(backup.commit)) for backup in self._versions.get(backup_id, ()))

    def _ids(self) -> set[str]:
        found = {name.removeprefix(place) for name in self._refs.names() for place in _PLACES if name.startswith(place)}
        return {backup_id for backup_id in found if "/" not in backup_id}

    def _tag_versions(self) -> dict[str, list[Backup]]:
        """The tag objects that are whole by backup, the oldest first."""
        versions: dict[str, list[Backup]] = {}
        for name in self._remains.of_kind("tag"):
            with contextlib.suppress(DamageError):
                backup = parse_tag(self._remains.read(name.hex())[1], name.hex())
                versions.setdefault(backup.id, []).append(backup)
        return versions

    def _on_timelines(self) -> set[str]:
        """The backups that the timelines chain, as far as they can be followed."""
        found: set[str] = set()
        seen: set[str] = set()
        for name in self._refs.names():
            tip = self._refs.value(name) if name.startswith("refs/heads/") else None
            pending = [tip] if tip else []
            while pending and pending[0] not in seen:
                oid = pending.pop()
                seen.add(oid)
                with contextlib.suppress(DamageError):
                    commit = parse_commit(self._objects.read(oid)[1])
                    match = _COMMIT_TRAILER.search(commit.message)
                    found |= {match[1]} if match else set()
                    pending = list(commit.parents[:1])
        return found

    # --- one backup ---

    def _settle(self, backup_id: str, places: list[str]) -> None:
        """A backup with a ref: with one in both places it exists."""
        place = places[0]
        held = self._refs.value(place + backup_id)
        current = self._version(backup_id, held)
        is_sound = current is not None and place + backup_id not in self._refs.bad
        if is_sound and current is not None:
            self._keep(place, current)
        else:
            what = self._refs.bad.get(place + backup_id) or "leads to nothing that can be read"
            self._bring_back(backup_id, place, f"its ref {what}")

    def _version(self, backup_id: str, oid: str | None) -> Backup | None:
        return next((backup for backup in self._versions.get(backup_id, ()) if backup.tag == oid), None)

    def _fetched_version(self, backup_id: str, place: str) -> Backup | None:
        """The tag that the log or the ref tells, from elsewhere."""
        got: list[Fetched] = []
        for oid in filter(None, (self._history.tags.get(backup_id), self._refs.value(place + backup_id))):
            for source in self._elsewhere:
                source.fetch([bytes.fromhex(oid)], got.append)
        for one in got:
            with contextlib.suppress(DamageError):
                backup = parse_tag(one.body, one.name.hex())
                if backup.id == backup_id:
                    return backup
        return None

    def _bring_back(self, backup_id: str, place: str, why: str) -> None:
        versions = self._versions.get(backup_id, [])
        told = self._version(backup_id, self._history.tags.get(backup_id)) or self._fetched_version(backup_id, place)
        if told or versions:
            chosen = told or versions[-1]
            is_sure = told is not None or (len(versions) == 1 and backup_id not in self._history.tags)
            lost = "" if is_sure else "the newest version of its tag is lost; an older one stands in for it"
            self._return(Return(place=place, backup=chosen, text=why, lost=lost))
            return
        made = self._make_tag(backup_id)
        if made is None:
            self._found.gone[place + backup_id] = f"{why}, and neither its tag nor its snapshot can be found"
        else:
            lost = "its tag is lost: type, labels, pin and metadata are unknown"
            self._return(Return(place=place, backup=made[0], body=made[1], text=f"{why}, and its tag is lost", lost=lost))

    def _return(self, found: Return) -> None:
        self._found.returns.append(found)
        self._keep(found.place, found.backup)

    def _keep(self, place: str, backup: Backup) -> None:
        (self._found.kept if place == BACKUP_TAGS else self._found.trash).append(backup)

    # --- a tag from its snapshot ---

    def _make_tag(self, backup_id: str) -> tuple[Backup, bytes] | None:
        """A new tag for the snapshot of a backup, as far as the snapshot tells what was in it."""
        for oid in self._snapshots().get(backup_id, ()):
            with contextlib.suppress(DamageError, KeyError, TypeError, ValueError, AttributeError):
                backup = self._describe(backup_id, oid)
                body = _format_as_by(parse_commit(self._objects.read(oid)[1]).committer, backup)
                return parse_tag(body, object_id("tag", body).hex()), body
        return None

    def _snapshots(self) -> dict[str, list[str]]:
        """Parentless commits by the id in their message."""
        if self._commits is None:
            self._commits = {}
            for name in self._remains.of_kind("commit"):
                with contextlib.suppress(DamageError):
                    commit = parse_commit(self._remains.read(name.hex())[1])
                    match = _COMMIT_TRAILER.search(commit.message)
                    if match and not commit.parents:
                        self._commits.setdefault(match[1], []).append(name.hex())
        return self._commits

    def _describe(self, backup_id: str, oid: str) -> Backup:
        """The record of a backup by its snapshot; KeyError and the like when that does not tell."""
        commit = parse_commit(self._objects.read(oid)[1])
        told = SnapshotView(self._objects, oid).record()
        match, committed = _ID.fullmatch(backup_id), _COMMITTED.fullmatch(commit.committer)
        if match is None or committed is None or told["id"] != backup_id:
            raise ValueError(backup_id)
        created = datetime.fromtimestamp(int(committed[1]), UTC)
        message, _, description = _COMMIT_TRAILER.sub("", commit.message).partition("\n\n")
        return Backup(
            id=backup_id,
            name=match[1],
            type="recovered",
            scope=str(told["scope"]["name"]) or SCOPE_PROJECT,
            created=created,
            sequence=self._free_sequence(created),
            parent=None,
            message=message,
            description=description,
            labels=(LABEL,),
            pinned=False,
            files=int(told["counts"]["files"]),
            size_bytes=int(told["counts"]["bytes"]),
            added=0,
            changed=0,
            removed=0,
            metadata={METADATA_KEY: {"lost": ["tag"]}},
            commit=oid,
            tag="",
        )

    def _free_sequence(self, created: datetime) -> int:
        """A number that no backup has, the next after those made before: the numbers of lost tags are never given again."""
        known = [version for versions in self._versions.values() for version in versions]
        known += [found.backup for found in self._found.returns]
        taken = {backup.sequence for backup in known}
        number = 1 + max((b.sequence for b in known if b.created.replace(microsecond=0) < created), default=0)
        while number in taken:
            number += 1
        return number


def _format_as_by(committer: bytes, backup: Backup) -> bytes:
    """The body of a tag that says it was made by *committer*."""
    body = format_tag(backup, Identity(user="", host=""))
    return _TAGGER.sub(lambda _match: b"tagger " + committer, body, count=1)


def with_note(backup: Backup, note: Mapping[str, object]) -> Backup:
    """The backup with the label of damaged ones, and with *note* in its metadata."""
    labels = backup.labels if LABEL in backup.labels else (*backup.labels, LABEL)
    return replace(backup, labels=labels, metadata={**backup.metadata, METADATA_KEY: note})
