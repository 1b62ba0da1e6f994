"""Which backups there ought to be, as the operation log tells, so that a list of thousands need not read the log from its start.

The log is only ever appended to, so what was read of it holds as long as it is the same file and what stands before the place
read to is the same. Disposable: when this file is missing, damaged, of another version or of another log, the log is read.
Whoever must be sure (verifying, deleting, compacting, repairing) does not ask here. Floor F7, below the verbs.

Format: magic line; 32 hex digits of the BLAKE2b digest of all that follows, line feed; marshal version 2 of `(inode of the log,
offset read to, what stands before that offset, {place: ids}, doubtful ids)`.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
from pathlib import Path
from typing import NamedTuple

from cronos_git.disk import files
from cronos_git.errors import CronosError
from cronos_git.git.refs import BACKUP_TAGS
from cronos_git.git.store import Store
from cronos_git.ops import oplog
from cronos_git.ops.chronicle import History, replay

_MAGIC = b"cronos-log 1\n"
_BODY_START = len(_MAGIC) + 33
_MARK_BYTES = 512
_MANY_BYTES = 64 << 10
"""So much of the log that was not known is worth remembering: some hundred records, which take a millisecond."""


class _Read(NamedTuple):
    """What was read of the log.

    Attributes:
        mark: What stands before `offset`.
        ids: Where each backup was last, as `History.places`, by place.
        doubtful: As in `History`.
    """

    inode: int
    offset: int
    mark: bytes
    ids: dict[str, list[str]]
    doubtful: list[str]


def kept(store: Store) -> set[str]:
    """The ids of the backups that exist, as the log tells, but for those of which it is in doubt.

    Raises:
        AccessError, HostError: The log cannot be read.

    Cost: some 0.1 microseconds for each backup that there ever was, and a read of what is new in the log.
    """
    read = _load(store)
    lines = oplog.content(store, read.offset)
    whole = lines[: lines.rfind(b"\n") + 1]  # a last line without its end is read when it has one
    if whole:
        read = _read_on(read, whole)
    if len(whole) >= _MANY_BYTES:
        _save(store, read)
    return set(read.ids.get(BACKUP_TAGS, ())).difference(read.doubtful)


def _read_on(read: _Read, lines: bytes) -> _Read:
    before = History({name: place for place, names in read.ids.items() for name in names}, doubtful=set(read.doubtful))
    history = replay(oplog.records_in(lines), before)
    ids: dict[str, list[str]] = {}
    for name, place in history.places.items():
        ids.setdefault(place, []).append(name)
    mark = (read.mark + lines)[-_MARK_BYTES:]
    return _Read(read.inode, read.offset + len(lines), mark, ids, sorted(history.doubtful))


def _load(store: Store) -> _Read:
    """What is remembered of this log; nothing when that cannot be believed."""
    log = oplog.log_path(store)
    inode = 0
    with contextlib.suppress(OSError):
        inode = log.stat().st_ino
        raw = _path(store).read_bytes()
        if raw[:_BODY_START] == _MAGIC + _digest(raw[_BODY_START:]) + b"\n":
            read = _Read(*marshal.loads(raw[_BODY_START:]))  # noqa: S302 - our own file, and its digest is right
            with log.open("rb") as file:
                file.seek(read.offset - len(read.mark))
                if read.inode == inode and file.read(len(read.mark)) == read.mark:
                    return read
    return _Read(inode, 0, b"", {}, [])


def _save(store: Store, read: _Read) -> None:
    body = marshal.dumps(tuple(read), 2)
    with contextlib.suppress(CronosError):
        files.write_disposable(_path(store), _MAGIC + _digest(body) + b"\n" + body)


def _path(store: Store) -> Path:
    return store.cronos_dir / "logged"


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).hexdigest().encode()
