"""Refs as Git keeps them in files: loose ones, and the one file of packed ones.

Read here and not through a library because every command reads them, and starting a library costs more than the reading. A
broken ref is told by name and hides no other. Writing follows Git's own protocol (`<ref>.lock`, rename), so stock git beside
CRONOS sees a ref whole or not at all. Many refs at once are written and removed in the packed file, which is one durable step.
Who may write when is `git.store`'s to say. Floor F6.

Source: gitrepository-layout(5); refs/files-backend.c and refs/packed-backend.c of git.
"""

from __future__ import annotations

import functools
import os
import re
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from cronos_git.disk import files
from cronos_git.disk.directories import make_directory
from cronos_git.errors import DamageError

BACKUP_TAGS = "refs/tags/backup/"
TRASH = "refs/cronos/trash/"

_PACKED_HEADER = "# pack-refs with: peeled fully-peeled sorted \n"
_PACKED_MODE = 0o400
_LOOSE = re.compile(rb"([0-9a-f]{40})[ \t\r\n]*")
_PACKED = re.compile(r"^[0-9a-f]{40} (refs/\S+)\n(?:\^[0-9a-f]{40}\n)?", re.MULTILINE)
_NOT_PACKED = re.compile(r"^(?!#|\^[0-9a-f]{40}$|[0-9a-f]{40} refs/\S+$|\Z).*", re.MULTILINE)


class TagRef(NamedTuple):
    """What a ref of a tag holds: ids of the tag object and of the commit that it leads to."""

    tag: str
    commit: str


def read_ref(repository: Path, name: str) -> str | None:
    """The object id that a ref holds, None when there is no such ref.

    Raises:
        DamageError: Its file is empty or holds anything but an object id.
        AccessError, HostError: Its file cannot be read.
    """
    try:
        content = (repository / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return _parse_packed(_packed(repository), name.rpartition("/")[0] + "/")[0].get(name.rpartition("/")[2])
    except OSError as error:
        raise files.host_error(error, f"read {name}") from error
    match = _LOOSE.fullmatch(content)
    if match is None:
        raise DamageError(f"The ref {name} {_what_is_wrong(content)}.", hint="Run `cronos verify` to see what is hit.", ref=name)
    return match[1].decode()


class BackupTags(NamedTuple):
    """The refs of backups.

    Attributes:
        oids: Tag object id, by backup id. Of a damaged loose ref the packed value, if there is one: an older record of a backup
            is better than none.
        damaged: What is wrong, by backup id; by `packed-refs` when it is a line of that file.
    """

    oids: dict[str, str]
    damaged: dict[str, str]


def backup_tags(repository: Path, below: str = BACKUP_TAGS) -> BackupTags:
    """The refs of every backup; *below* TRASH, of every deleted one.

    Raises:
        AccessError, HostError: The directory of refs or the packed refs cannot be read.

    Cost: an open and a read for each loose ref (about 10 microseconds), 1 microsecond for each packed one.
    """
    # Loose first, packed last: git removes a loose ref only after it has packed it, so in this order none can be missed.
    loose, damaged = _loose_tags(repository / below)
    packed, line = _parse_packed(_packed(repository), below)
    if line is not None:
        damaged["packed-refs"] = f"has a line that is no ref: {line[:80]!r}"
    return BackupTags({**packed, **loose}, damaged)


@functools.lru_cache(maxsize=8)  # one command asks many times, and thousands of refs take milliseconds to read
def _parse_packed(text: str, below: str) -> tuple[Mapping[str, str], str | None]:
    """Object ids of the packed refs just *below*, by the last part of their names; and a line of the file that is no ref."""
    packed = re.findall(rf"^([0-9a-f]{{40}}) {re.escape(below)}([^/\n]+)$", text, re.MULTILINE)
    line = _NOT_PACKED.search(text)
    return {name: oid for oid, name in packed}, line[0] if line else None


def has_backup_tags(repository: Path) -> bool:
    """Whether there are refs of backups, readable or not."""
    return bool(_file_names(repository / BACKUP_TAGS)) or BACKUP_TAGS in _packed(repository)


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


def add_tag_refs(repository: Path, added: Mapping[str, TagRef]) -> None:
    """Let refs exist, all of them in one step.

    Raises:
        DamageError: The packed refs have a line that is none.
        StoreLockedError: A git at work, or one that was killed, has locked the packed refs.
        DiskFullError, AccessError, HostError: They could not be written.

    Durability: when this returns, they survive a power cut; if killed earlier, all or none exist.
    """
    _rewrite_packed(repository, added, removed=())


def remove_refs(repository: Path, names: Collection[str]) -> None:
    """Remove refs; those that do not exist are passed over.

    Raises:
        All errors of `add_tag_refs`.

    Durability: when this returns, they stay away after a power cut; if killed earlier, some may stand, each as it was or with
    the value that was packed last.
    """
    if not names:
        return
    loose = [repository / name for name in names if os.path.lexists(repository / name)]
    # The packed ones first, as git does: else a packed value would show that the loose one has replaced long ago.
    _rewrite_packed(repository, {}, removed=names)
    try:
        for path in loose:
            files.unlink(path)
        for directory in {path.parent for path in loose}:
            files.fsync_directory(directory)
    except OSError as error:
        raise files.host_error(error, "remove a ref") from error


def _rewrite_packed(repository: Path, added: Mapping[str, TagRef], removed: Collection[str]) -> None:
    def rewrite() -> bytes:
        text = _packed(repository)
        header, lines = _packed_lines(text)
        kept = {name: line for name, line in lines.items() if name not in removed}
        new = {name: f"{ref.tag} {name}\n^{ref.commit}\n" for name, ref in added.items()}
        entries = sorted((kept | new).items(), key=lambda item: os.fsencode(item[0]))
        return os.fsencode(header + "".join(line for _name, line in entries))

    files.rewrite_durable(repository / "packed-refs", rewrite, mode=_PACKED_MODE)


def _packed_lines(text: str) -> tuple[str, dict[str, str]]:
    """The header of the packed refs, and the lines of each ref by its name."""
    header = text[: text.find("\n") + 1] if text.startswith("#") else ""
    lines = {match[1]: match[0] for match in _PACKED.finditer(text)}
    if len(header) + sum(map(len, lines.values())) != len(text):
        raise DamageError(
            "The packed refs have lines that are no refs, so they are not rewritten. Nothing was changed.",
            hint="Run `cronos verify` to see what is hit.",
        )
    return header or ("" if text else _PACKED_HEADER), lines


def break_lock(repository: Path, name: str) -> None:
    """Remove the lock file of a ref, if there is one; for a caller who knows that its writer is gone."""
    lock = repository / f"{name}.lock"
    if lock.exists():
        files.unlink(lock)


def break_tag_locks(repository: Path) -> None:
    """Remove the lock files of all backups' refs; as `break_lock`. One that is left would keep git from packing refs."""
    for lock in (repository / BACKUP_TAGS).glob("*.lock"):
        files.unlink(lock)


def break_packed_lock(repository: Path) -> None:
    """Remove the lock of the packed refs if a killed CRONOS left it; for a caller who knows that no other is at work.

    It is told by its mode, which no git gives: a git that is packing refs would overwrite what was written without its lock.
    """
    lock = repository / "packed-refs.lock"
    try:
        ours = stat.S_IMODE(lock.lstat().st_mode) == _PACKED_MODE
    except FileNotFoundError:
        return
    if ours:
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
            return [
                entry.name for entry in entries if not entry.name.endswith(".lock") and not entry.is_dir(follow_symlinks=False)
            ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise files.host_error(error, "read the refs of the backups") from error


def _read_small(path: str) -> bytes:
    # O_NONBLOCK, for a FIFO in the place of a ref must not stop every command.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
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
