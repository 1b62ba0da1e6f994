"""What a store consists of on disk, and the checks before one is opened.

A store is recognised by `cronos/format.json`. What could make it unsafe or unreadable is refused here, in a few system calls and
without any library, so that every command can afford it. Opening, locking and reading are `git.store`'s. Floor F6.

Format: docs/reference/store-format.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import stat
from pathlib import Path

from cronos_git.errors import RecordFormatError, RefusedError, StoreFormatError, StoreMissingError
from cronos_git.git.refs import has_backup_tags

FORMAT = 1
"""The store format that this CRONOS writes, and the newest that it reads (docs/reference/store-format.md)."""

IMPORTING = "import"
"""Below `cronos/`: where what comes from elsewhere is examined before it is let in."""

# Memory: git streams what is above bigFileThreshold, and maps packs in windows of 1 MiB instead of whole. The rest keeps git from
# changing bytes, running hooks, tidying up on its own, and exploding fetched packs into loose objects.
_CONFIG = b"""\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tautocrlf = false
\thooksPath = /dev/null
\tlogAllRefUpdates = false
\tfsync = all
\tbigFileThreshold = 32m
\tpackedGitLimit = 32m
\tpackedGitWindowSize = 1m
[gc]
\tauto = 0
[maintenance]
\tauto = false
[transfer]
\tunpackLimit = 1
[fetch]
\tunpackLimit = 1
[receive]
\tunpackLimit = 1
"""

# Wins over every .gitattributes, so that even a checkout or an archive by stock git gives the bytes that were backed up.
_ATTRIBUTES = b"* -text -eol -ident -filter -working-tree-encoding -export-ignore -export-subst\n"

_REPAIR_HINT = "Leave the store where it is: `cronos repair -n` tells what can be mended, `cronos repair` mends it."

_EXTENSION = re.compile(r"^\s*(objectformat|refstorage)\s*=\s*\"?(\w+)", re.IGNORECASE | re.MULTILINE)


def skeleton(format_record: bytes) -> dict[str, bytes | None]:
    """Everything in a new store by relative path, for `disk.directories.build_directory`; *format_record* is its format.json."""
    return {
        "HEAD": b"ref: refs/heads/main\n",
        "config": _CONFIG,
        "info/attributes": _ATTRIBUTES,
        "objects/info": None,
        "objects/pack": None,
        "refs/heads": None,
        "refs/tags/backup": None,
        "cronos/format.json": format_record,
        "cronos/journal": None,
    }


def inspect(path: Path) -> str:
    """Check that *path* is a store that may be opened.

    Returns:
        The project's root, as the store records it.

    Raises:
        StoreMissingError: There is no store.
        RefusedError: It belongs to another user, others may write in it, or it borrows objects from another repository.
        StoreFormatError: It is no store, or one that this CRONOS does not know.
        RecordFormatError: Its `cronos/format.json` cannot be read, or is gone while backups are there.
        OSError: The system refuses to tell.
    """
    if not path.is_dir() or not any(path.iterdir()):
        raise StoreMissingError(f"There is no backup store at {path}.", hint="Make the first backup with `cronos create`.")
    _refuse_other_owner(path)
    _refuse_open_to_others(path)
    _refuse_alternates(path)
    _refuse_other_git_format(path)
    return _read_project_root(path)


def _refuse_other_owner(path: Path) -> None:
    """Git and libgit2 look at the top directory only; a foreign `config` or `objects` in it would be obeyed."""
    found = {path.stat().st_uid, path.lstat().st_uid}
    for name in ("config", "objects", "cronos"):
        with contextlib.suppress(FileNotFoundError):
            found.add((path / name).lstat().st_uid)
    strangers = found - {os.geteuid()}
    if strangers:
        owner = strangers.pop()
        raise RefusedError(
            f"The store {path} belongs to user {owner}, but cronos runs as user {os.geteuid()}. It is not opened: files of two "
            "users would mix in it.",
            hint=f"Run cronos as the store's owner: without sudo, or with `sudo -u '#{owner}' cronos …`.",
            owner=owner,
        )


def _refuse_open_to_others(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise RefusedError(
            f"Others than you may write in the store {path} (mode {mode:03o}), so anybody could change or delete backups in it. "
            "It is not opened.",
            hint=f"Close it with `chmod 700 {shlex.quote(str(path))}`, then run `cronos verify` to see whether all is well.",
            mode=f"{mode:03o}",
        )


def _refuse_alternates(path: Path) -> None:
    if (path / "objects" / "info" / "alternates").exists():
        raise RefusedError(
            f"The store {path} borrows objects from another repository (objects/info/alternates): backups would die with that.",
            hint=f"Copy them in with `git --git-dir {path} repack -a -d`, then delete objects/info/alternates.",
        )


def _refuse_other_git_format(path: Path) -> None:
    try:
        config = (path / "config").read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        if has_backup_tags(path):
            raise StoreFormatError(
                f"The store {path} has no config, so git does not take it for a repository. The backups in it are untouched.",
                hint=_REPAIR_HINT,
            ) from None
        raise _no_store(path) from None
    for name, value in _EXTENSION.findall(config):
        if value.lower() not in ("sha1", "files"):
            raise StoreFormatError(
                f"The store {path} is a Git repository with {name} {value}, which CRONOS does not read.",
                hint="Give another place with --backup-dir; the repository is left as it is.",
            )


def _read_project_root(path: Path) -> str:
    try:
        record = json.loads((path / "cronos" / "format.json").read_bytes())
        number, root = int(record["format"]), str(record["project_root"])
    except FileNotFoundError:
        if has_backup_tags(path):
            raise _no_record(path, "is gone") from None
        raise _no_store(path) from None
    except (ValueError, KeyError, TypeError) as error:
        raise _no_record(path, "is damaged") from error
    if number != FORMAT:
        raise StoreFormatError(
            f"The store {path} has format {number}; this CRONOS knows format {FORMAT}. Nothing was changed.",
            hint="Use the CRONOS that wrote it, or a newer one.",
            found=number,
            supported=FORMAT,
        )
    return root


def _no_record(path: Path, what: str) -> RecordFormatError:
    return RecordFormatError(
        f"{path}/cronos/format.json {what}, so it cannot be told whose store this is. The backups in it are untouched.",
        hint=_REPAIR_HINT,
    )


def _no_store(path: Path) -> StoreFormatError:
    if (path / "cronos").is_dir() or any((path / "objects" / "pack").glob("*.pack")):
        return StoreFormatError(
            f"{path} looks like a damaged store (it has no config or no cronos/format.json). Nothing was changed.",
            hint=_REPAIR_HINT,
        )
    return StoreFormatError(
        f"{path} exists, but is no CRONOS store (it has no config or no cronos/format.json).",
        hint="Move it away, or give another place with --backup-dir.",
    )
