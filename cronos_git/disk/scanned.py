"""What a walk saw: entries as `lstat` tells of them, in directories, with look-ups by path.

Filling it is `walk`'s. Floor F5.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import NamedTuple

from cronos_git.model import Problem


class Found(NamedTuple):
    """One entry of a directory that is not a directory. Times in nanoseconds, size in bytes."""

    name: str
    mode: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    uid: int
    gid: int
    links: int
    device: int
    special: int

    def link_group(self, root_device: int) -> str:
        """What a backup calls the file that this is a name of; empty when it has one name."""
        if self.links < 2:
            return ""
        return f"{self.inode:x}" if self.device == root_device else f"{self.device:x}-{self.inode:x}"


@dataclass(slots=True)
class Directory:
    """One directory that belongs in the backup.

    Attributes:
        path: From the project's root, `""` for the root.
        info: Its own entry, named `.`.
        entries: What it holds besides directories, in name order.
        children: Its directories, in name order.
        fingerprint: 16 bytes over the rules in force and everything the walk took here, but not below.
        complete: False for a directory that was not looked through: only what a scope names, or what is forced, was taken.
        unreadable: Its contents could not be listed.
    """

    path: str
    info: Found
    entries: list[Found] = field(default_factory=list)
    children: list[Directory] = field(default_factory=list)
    fingerprint: bytes = b""
    complete: bool = True
    unreadable: bool = False

    def entry(self, name: str) -> Found | None:
        """The entry of that name, directories apart."""
        at = bisect_left(self.entries, name, key=itemgetter(0))
        return self.entries[at] if at < len(self.entries) and self.entries[at].name == name else None

    def child(self, path: str) -> Directory | None:
        """The directory in it that has this path from the project's root."""
        at = bisect_left(self.children, path, key=attrgetter("path"))
        return self.children[at] if at < len(self.children) and self.children[at].path == path else None

    def is_bare(self) -> bool:
        """Whether nothing of it is taken but itself."""
        return not self.entries and not self.children and not self.unreadable


@dataclass(slots=True)
class Scan:
    """What the walk found.

    Attributes:
        repositories: Directories that hold a `.git`, the root included.
        caches: Directories left out for their `CACHEDIR.TAG`.
        outer_rules: Contents of the ignore files that were obeyed but not taken, by path.
        directories: Number of directories taken, the root included.
    """

    top: Directory
    device: int
    problems: list[Problem] = field(default_factory=list)
    repositories: list[str] = field(default_factory=list)
    caches: list[str] = field(default_factory=list)
    outer_rules: dict[str, bytes] = field(default_factory=dict)
    excluded_files: int = 0
    excluded_directories: int = 0
    directories: int = 1
    files: int = 0

    def directory(self, path: str) -> Directory | None:
        """The directory at *path*, as far as the walk took it.

        Cost: a binary search for each part of the path; so for all look-ups here.
        """
        node: Directory | None = self.top
        reached = ""
        for name in path.split("/") if path else ():
            reached = f"{reached}/{name}" if reached else name
            node = node.child(reached) if node is not None else None
        return node

    def find(self, path: str) -> Found | None:
        """What the walk saw at *path*: an entry, or a directory's `info`; None where it took nothing."""
        directory = self.directory(path)
        if directory is not None:
            return directory.info
        parent, _, name = path.rpartition("/")
        above = self.directory(parent)
        return above.entry(name) if above is not None else None

    def names(self, path: str) -> set[str] | None:
        """Names of all that the walk took in the directory *path*; None when it took no such directory."""
        directory = self.directory(path)
        if directory is None:
            return None
        return {entry.name for entry in directory.entries} | {child.path.rpartition("/")[2] for child in directory.children}


def found(name: str, info: os.stat_result) -> Found:
    """The part of a `stat` result that matters."""
    # Past NamedTuple's own constructor, which costs twice as much: this runs for every entry of every walk.
    return tuple.__new__(
        Found,
        (
            name,
            info.st_mode,
            info.st_ino,
            info.st_size,
            info.st_mtime_ns,
            info.st_ctime_ns,
            info.st_uid,
            info.st_gid,
            info.st_nlink,
            info.st_dev,
            info.st_rdev,
        ),
    )
