"""Refs of a store that may be damaged: all of them, each told for good or bad, and the packed ones written anew.

`git.refs` reads the refs of backups as long as they are sound, and refuses to rewrite packed refs with lines that are none; here
such lines are dropped, after the whole file has been kept elsewhere. Floor F6.

Source: gitrepository-layout(5); refs/packed-backend.c of git.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cronos_git.disk import files

_HEADER = "# pack-refs with: peeled fully-peeled sorted \n"
_OID = re.compile(r"[0-9a-f]{40}")
_LINE = re.compile(r"([0-9a-f]{40}) (refs/[^\s\0]+)")
_SYMBOLIC = re.compile(r"ref: refs/[^\s\0]+\s*")
_PACKED_MODE = 0o400
_LONGEST_REF_BYTES = 4096


@dataclass(slots=True)
class Refs:
    """All refs.

    Attributes:
        loose: Object id by name; symbolic refs are left out.
        bad: What is wrong with loose refs that hold no id, by name.
        packed: Object id by name, in `packed-refs`.
        peeled: The commits that packed tags are told to lead to.
        bad_lines: Lines of `packed-refs` that are no refs, or are out of order.
    """

    loose: dict[str, str] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    packed: dict[str, str] = field(default_factory=dict)
    peeled: dict[str, str] = field(default_factory=dict)
    bad_lines: list[str] = field(default_factory=list)

    def value(self, name: str) -> str | None:
        """What a ref holds; of a loose ref that is bad, the packed value."""
        return self.loose.get(name, self.packed.get(name))

    def names(self) -> set[str]:
        """The names of all, good or bad."""
        return self.loose.keys() | self.bad.keys() | self.packed.keys()


def read_refs(store: Path) -> Refs:
    """Every ref of the store.

    Raises:
        AccessError, HostError: The directory of refs or the packed refs cannot be read.
    """
    found = Refs()
    try:
        for name in _names(store):
            _read_loose(store, name, found)
        _read_packed(store, found)
    except OSError as error:
        raise files.host_error(error, "read the store's refs") from error
    return found


def rewrite_packed(store: Path, refs: Mapping[str, str], peeled: Mapping[str, str]) -> None:
    """Write the packed refs anew, with nothing else in them.

    Raises:
        StoreLockedError: A git at work has locked them.
        DiskFullError, AccessError, HostError: They are as they were.

    Durability: when this returns, they survive a power cut; if killed earlier, the old ones stand.
    """

    def line(name: str) -> str:
        return f"{refs[name]} {name}\n" + (f"^{peeled[name]}\n" if name in peeled else "")

    ordered = sorted(refs, key=os.fsencode)
    content = os.fsencode(_HEADER + "".join(map(line, ordered)))
    files.rewrite_durable(store / "packed-refs", lambda: content, mode=_PACKED_MODE)


def _names(store: Path) -> Iterator[str]:
    for directory, _, names in os.walk(store / "refs"):
        for name in names:
            if not name.endswith(".lock"):
                yield os.path.relpath(os.path.join(directory, name), store)


def _read_loose(store: Path, name: str, found: Refs) -> None:
    path = store / name
    if path.is_symlink() or not path.is_file():
        found.bad[name] = "is no regular file"
        return
    text = os.fsdecode(path.read_bytes()[:_LONGEST_REF_BYTES])
    if _OID.fullmatch(text.rstrip(" \t\r\n")):  # what Git takes for space
        found.loose[name] = text[:40]
    elif not _SYMBOLIC.fullmatch(text):
        found.bad[name] = "is empty" if not text.strip("\0 \n") else "holds no object id"


def _read_packed(store: Path, found: Refs) -> None:
    try:
        content = os.fsdecode((store / "packed-refs").read_bytes())
    except FileNotFoundError:
        return
    lines = content.removesuffix("\n").split("\n") if content else []
    header, last = lines[:1] == [_HEADER.rstrip("\n")], ""
    for line in lines[1:] if header else lines:
        match = _LINE.fullmatch(line)
        if match and os.fsencode(match[2]) > os.fsencode(last):
            last = match[2]
            found.packed[last] = match[1]
        elif line.startswith("^") and _OID.fullmatch(line[1:]) and last and last not in found.peeled:
            found.peeled[last] = line[1:]
        else:
            found.bad_lines.append(line)
    if content and (not header or not content.endswith("\n")):
        found.bad_lines.append(lines[0] if not header else lines[-1])
