"""Git tree objects as raw bytes: parse and format, nothing else.

Names stay the stored bytes (libgit2's TreeBuilder cannot hold names that are not UTF-8); what an escaped name means is told by
`rules.names`. Only the four modes that CRONOS writes are known, so a tree with a submodule or a group-writable file is damage
here. Reading and writing objects is left to `git.store` and `git.pack`. Floor F6.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from cronos_git.errors import RecordFormatError

MODE_FILE = 0o100644
MODE_EXECUTABLE = 0o100755
MODE_SYMLINK = 0o120000
MODE_DIRECTORY = 0o40000

EMPTY_TREE = bytes.fromhex("4b825dc642cb6eb9a060e54bf8d69288fbee4904")
"""Binary id of the tree without entries."""

_MODES = {b"%o" % mode: mode for mode in (MODE_FILE, MODE_EXECUTABLE, MODE_SYMLINK, MODE_DIRECTORY)}
_PREFIXES = {mode: text + b" " for text, mode in _MODES.items()}
_ENTRY = re.compile(rb"(100644|100755|120000|40000) ([^\0/]+)\0(.{20})", re.DOTALL)
_FIXED_BYTES = 22  # a space, a NUL and the binary id


class TreeEntry(NamedTuple):
    """One entry: mode as Git writes it, stored name, binary id of 20 bytes."""

    mode: int
    stored: bytes
    oid: bytes


def parse_tree(body: bytes) -> list[TreeEntry]:
    """The entries of a tree object's body, in their (Git's) order.

    Raises:
        RecordFormatError: Not a tree that CRONOS or Git would write: trailing or broken bytes, an unknown mode, a name that is
            empty, `.`, `..`, holds a slash or stands twice, or entries out of order.

    Cost: about a microsecond an entry; one regular expression does the scanning.
    """
    found = _ENTRY.findall(body)
    # findall skips what does not match, so only a sum that reaches the end proves that nothing was skipped.
    if sum([len(mode) + len(stored) for mode, stored, _ in found]) + _FIXED_BYTES * len(found) != len(body):
        raise _broken("bytes that are no entry, or an unknown mode")
    _check_names([stored + b"/" if mode == b"40000" else stored for mode, stored, _ in found])
    return [TreeEntry(_MODES[mode], stored, oid) for mode, stored, oid in found]


def _check_names(keys: list[bytes]) -> None:
    """Refuse what would fall on another path; *keys* are names with a slash after those of directories, as Git sorts them."""
    if sorted(keys) != keys:
        raise _broken("entries out of order")
    names = {key.rstrip(b"/") for key in keys}
    if len(names) != len(keys):
        raise _broken("a name that stands twice")
    if b"." in names or b".." in names:
        raise _broken("an entry named '.' or '..'")


def _broken(what: str) -> RecordFormatError:
    return RecordFormatError(
        f"A directory listing (Git tree) holds {what}. What lies below it cannot be read.",
        hint="Run `cronos verify` to see which backups are hit.",
    )


def format_tree(entries: Iterable[TreeEntry]) -> bytes:
    """The body of a tree object with these entries, put into Git's order. Names must differ."""
    ordered = sorted(entries, key=_sort_key)
    return b"".join([_PREFIXES[mode] + stored + b"\0" + oid for mode, stored, oid in ordered])


def _sort_key(entry: TreeEntry) -> bytes:
    """Git compares a directory's name as if a slash followed it."""
    return entry.stored + b"/" if entry.mode == MODE_DIRECTORY else entry.stored
