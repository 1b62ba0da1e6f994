"""Refs as Git keeps them in files: loose ones, and the one file of packed ones.

Read here and not through a library because every command reads them, and starting a library costs more than the reading. A
broken ref is told by name and hides no other. Writing follows Git's own protocol (`<ref>.lock`, rename), so stock git beside
CRONOS sees a ref whole or not at all. Who may write when is `git.store`'s to say. Floor F6.

Source: gitrepository-layout(5); refs/files-backend.c and refs/packed-backend.c of git.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from cronos_git.disk import files
from cronos_git.disk.directories import make_directory
from cronos_git.errors import DamageError

BACKUP_TAGS = "refs/tags/backup/"

_LOOSE = re.compile(rb"([0-9a-f]{40})\s*")
_PACKED_BACKUP = re.compile(r"^([0-9a-f]{40}) refs/tags/backup/([^/\n]+)$", re.MULTILINE)
_NOT_PACKED = re.compile(r"^(?!#|\^[0-9a-f]{40}$|[0-9a-f]{40} refs/\S+$|\Z).*", re.MULTILINE)


def read_ref(repository: Path, name: str) -> str | None:
    """The object id that a ref holds, None when there is no such ref.

    Raises:
        DamageError: Its file is empty or holds anything but an object id.
        AccessError, HostError: Its file cannot be read.
    """
    try:
        content = (repository / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        packed = re.search(rf"^([0-9a-f]{{40}}) {re.escape(name)}$", _packed(repository), re.MULTILINE)
        return packed[1] if packed else None
    except OSError as error:
        raise files.host_error(error, f"read {name}") from error
    match = _LOOSE.fullmatch(content)
    if match is None:
        raise DamageError(f"The ref {name} {_what_is_wrong(content)}.", hint="Run `cronos verify` to see what is hit.", ref=name)
    return match[1].decode()


def backup_tags(repository: Path) -> dict[str, str]:
    """Tag object id of every backup, by backup id.

    Of a damaged loose ref the packed value, if there is one, is given: an older record of a backup is better than none.

    Raises:
        AccessError, HostError: The directory of refs or the packed refs cannot be read.

    Cost: an open and a read for each loose ref (about 10 microseconds), 1 microsecond for each packed one.
    """
    # Loose first, packed last: git removes a loose ref only after it has packed it, so in this order none can be missed.
    loose, _damaged = _loose_tags(repository / BACKUP_TAGS)
    return {name: oid for oid, name in _PACKED_BACKUP.findall(_packed(repository))} | loose


def damaged_backup_tags(repository: Path) -> dict[str, str]:
    """What is wrong, by backup id; by `packed-refs` when it is a line of that file.

    Raises:
        AccessError, HostError: As for `backup_tags`.
    """
    _good, damaged = _loose_tags(repository / BACKUP_TAGS)
    line = _NOT_PACKED.search(_packed(repository))
    if line is not None:
        damaged["packed-refs"] = f"has a line that is no ref: {line[0][:80]!r}"
    return damaged


def write_ref(repository: Path, name: str, oid: str) -> None:
    """Let a ref hold *oid*.

    Raises:
        StoreLockedError: Another writer has the ref's lock file.
        DiskFullError, AccessError, HostError: The ref stands as it was.

    Durability: when this returns, the ref survives a power cut; if killed earlier, the old value stands.
    """
    path = repository / name
    make_directory(path.parent)
    files.write_durable(path, oid.encode() + b"\n", lock_suffix=".lock")


def break_lock(repository: Path, name: str) -> None:
    """Remove the lock file of a ref, if there is one; for a caller who knows that its writer is gone."""
    lock = repository / f"{name}.lock"
    if lock.exists():
        files.unlink(lock)


def _loose_tags(directory: Path) -> tuple[dict[str, str], dict[str, str]]:
    good: dict[str, str] = {}
    damaged: dict[str, str] = {}
    for name in _file_names(directory):
        try:
            content = _read_small(f"{directory}/{name}")
        except FileNotFoundError:
            continue  # packed since the directory was read
        except OSError as error:
            damaged[name] = f"cannot be read: {error.strerror}"
            continue
        match = _LOOSE.fullmatch(content)
        if match is None:
            damaged[name] = _what_is_wrong(content)
        else:
            good[name] = match[1].decode()
    return good, damaged


def _file_names(directory: Path) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries if not entry.name.endswith(".lock") and not entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise files.host_error(error, "read the refs of the backups") from error


def _read_small(path: str) -> bytes:
    # O_NONBLOCK, for a FIFO in the place of a ref must not stop every command.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def _packed(repository: Path) -> str:
    try:
        return os.fsdecode((repository / "packed-refs").read_bytes())
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise files.host_error(error, "read the packed refs") from error


def _what_is_wrong(content: bytes) -> str:
    return f"holds no object id but {content[:80]!r}" if content.strip(b"\0 \n") else "is empty"
