"""What the tags of backups say, so that a list of thousands need not read each from its pack.

A tag is named by its content, so an entry never grows old, and the store still has it as long as it has the packs that were there
when the entry was written; once packs have been folded, the tags are looked for again. Disposable: when the file is missing,
damaged or of another version, the tags are read. Whoever must be sure that tags are whole (deleting, verifying, compacting)
does not ask here. Floor F7, below the verbs.

Format: magic line; 32 hex digits of the BLAKE2b digest of all that follows, line feed; marshal version 2 of `(names of packs,
{tag id: fields})`.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cronos_git.disk import files
from cronos_git.errors import CronosError
from cronos_git.model import Backup

_MAGIC = b"cronos-tags 1\n"
_BODY_START = len(_MAGIC) + 33
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NAMES = tuple(each.name for each in fields(Backup) if each.name != "tag")


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the cache holds.

    Attributes:
        backups: By the id of their tag.
        packs: The packs that hold these tags.
    """

    backups: Mapping[str, Backup] = field(default_factory=dict)
    packs: frozenset[str] = frozenset()


def load(path: Path) -> Remembered:
    """Read the cache; nothing when there is no such file, or it cannot be believed.

    Cost: some 6 microseconds a backup, when it is asked for.
    """
    try:
        raw = path.read_bytes()
    except OSError:
        return Remembered()
    if raw[:_BODY_START] != _MAGIC + _digest(raw[_BODY_START:]) + b"\n":
        return Remembered()
    packs, told = marshal.loads(raw[_BODY_START:])  # noqa: S302 - our own file, and its digest is right
    return Remembered(_Known(told), frozenset(packs))


def save(path: Path, backups: Iterable[Backup], packs: Iterable[str]) -> None:
    """Remember what these tags say, all of which lie in *packs*. Should it not be written, the tags are read."""
    body = marshal.dumps((list(packs), {backup.tag: _fields(backup) for backup in backups}), 2)
    with contextlib.suppress(CronosError):
        files.write_disposable(path, _MAGIC + _digest(body) + b"\n" + body)


class _Known(dict[str, Any]):
    """Makes the backup of an entry when it is asked for."""

    def __getitem__(self, tag: str) -> Backup:
        told = dict(zip(_NAMES, super().__getitem__(tag), strict=True))
        told["created"] = _EPOCH + timedelta(microseconds=told["created"])
        return Backup(**told, tag=tag)


def _fields(backup: Backup) -> tuple[Any, ...]:
    told = {name: getattr(backup, name) for name in _NAMES}
    return (*(told | {"created": (backup.created - _EPOCH) // _MICROSECOND, "metadata": dict(backup.metadata)}).values(),)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).hexdigest().encode()
