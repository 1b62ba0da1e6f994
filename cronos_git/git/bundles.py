"""Git bundles: written for others, and those of others looked into, unpacked apart from the store, checked, and only then let in.

Everything that comes in goes through a quarantine, a repository of its own inside the store that no reader of the store looks
into. There stock git checks each object and that all are there. What tags say is for the importing operation to read. Floor F6.

Source of the header: gitformat-bundle(5).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cronos_git.disk import files, stage
from cronos_git.disk.archives import damaged, open_archive
from cronos_git.errors import DiskFullError, GitCommandError, RefusedError
from cronos_git.git import layout
from cronos_git.git.incoming import Quarantine, borrowing, build
from cronos_git.git.refs import BACKUP_TAGS
from cronos_git.git.session import GitSession
from cronos_git.git.store import Store
from cronos_git.model import Backup

_HEADER_MAX_LINES = 100_000
_LINE_MAX_BYTES = 4096
_NO_SPACE = re.compile(r"no space left|disk quota|out of diskspace", re.IGNORECASE)
_REF = re.compile(rb"([0-9a-f]{40}) (\S+)\n")


def write_bundle(store: Store, backup: Backup, path: Path) -> None:
    """Write a bundle of one backup: its tag, and its snapshot as the branch `main`, so that `git clone` has what to check out.

    Git only puts refs into a bundle that a repository has. So one stands beside *path* for the time being, which borrows the
    store's objects and in which `main` is that snapshot; killed meanwhile, it is left there.

    Raises:
        OSError: The disk is full.
        AccessError, HostError: The file cannot be written.
        GitCommandError: git failed, as when an object is missing; it copies damaged ones without a word.
        GitVersionError: There is no git.

    Cost: every object of the backup is copied once.
    """
    place = path.with_name(path.name + ".git")
    refs = {"refs/heads/main": backup.commit, BACKUP_TAGS + backup.id: backup.tag}
    content: dict[str, bytes | None] = {name: f"{oid}\n".encode() for name, oid in refs.items()}
    content |= borrowing(store)
    try:
        build(place, {**layout.skeleton(b"{}\n"), **content})
        session = GitSession(place)
        session.run("bundle", "create", "--quiet", str(path), "HEAD", *refs)
        session.run("bundle", "verify", "--quiet", str(path))
    except (DiskFullError, GitCommandError) as error:
        if isinstance(error, DiskFullError) or _NO_SPACE.search(error.message):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            stage.remove_tree(place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a bundle says that it holds.

    Attributes:
        tags: Tag object ids of backups, by id.
        others: Its other refs.
    """

    path: Path
    tags: dict[str, str]
    others: tuple[str, ...]


def read_bundle(path: Path) -> Bundle:
    """Read the header of a bundle.

    Raises:
        ArchiveError: It cannot be read.
        RefusedError: It is of another object format, or rests on objects that are not in it.
        AccessError, HostError: The file cannot be read.
    """
    tags: dict[str, str] = {}
    others: list[str] = []
    with open_archive(path) as file:
        file.readline(_LINE_MAX_BYTES)
        for _ in range(_HEADER_MAX_LINES):
            line = file.readline(_LINE_MAX_BYTES)
            if line == b"\n":
                return Bundle(path=path, tags=tags, others=tuple(others))
            if line[:1] in (b"-", b"@") and line != b"@object-format=sha1\n":
                why = "rests on objects that are not in it" if line[:1] == b"-" else "is of a kind that CRONOS does not read"
                raise RefusedError(f"The bundle {path} {why}. Nothing was imported.", hint="Make it with `cronos export`.")
            match = _REF.fullmatch(line)
            if line[:1] != b"@" and match is None:
                break
            if match is not None:
                name = os.fsdecode(match[2])
                if name.startswith(BACKUP_TAGS):
                    tags[name.removeprefix(BACKUP_TAGS)] = match[1].decode()
                else:
                    others.append(name)
    raise damaged(path, "its header has no end")


@contextlib.contextmanager
def quarantine(store: Store, bundle: Bundle) -> Iterator[Quarantine]:
    """Unpack and check a bundle apart from the store, for the length of the block.

    Args:
        store: Locked exclusively by the caller.

    Raises:
        ArchiveError: An object is damaged, missing, or not as git wants it.
        DiskFullError: There is no space for it.
        AccessError, HostError, GitVersionError: It cannot be done.

    Cost: every object is read twice. Killed meanwhile, the next import removes what is left.
    """
    path = store.cronos_dir / layout.IMPORTING
    _refuse_large(bundle.path, store)
    try:
        remove_leftover(store)
        build(path, layout.skeleton(b"{}\n"))
        session = GitSession(path)
        source = str(bundle.path.resolve())
        refs = f"+{BACKUP_TAGS}*:{BACKUP_TAGS}*"
        try:
            session.run("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", source, refs)
            session.run("fsck", "--full", "--strict", "--no-dangling")
        except GitCommandError as error:
            raise damaged(bundle.path, error.message) from error
        yield Quarantine(path)
    finally:
        with contextlib.suppress(OSError):
            stage.remove_tree(path)


def remove_leftover(store: Store) -> None:
    """Delete the quarantine that a killed import left; for a caller who holds the store's exclusive lock.

    Raises:
        AccessError, HostError: It cannot be removed.
    """
    try:
        stage.remove_tree(store.cronos_dir / layout.IMPORTING)
    except OSError as error:
        raise files.host_error(error, "remove what an interrupted import left in the store") from error


def _refuse_large(path: Path, store: Store) -> None:
    size, free = path.stat().st_size, stage.free_bytes(store.path)
    if size > free:
        raise DiskFullError(
            f"The bundle has {size:,} bytes, and only {free:,} are free. Nothing was imported.",
            hint="Free space where the store lies.",
        )
