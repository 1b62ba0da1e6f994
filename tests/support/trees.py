"""Directory trees as literals: make them, read them back whole, compare them."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Link:
    """A symlink to *target*."""

    target: str


@dataclass(frozen=True)
class Special:
    """A `fifo` or a `socket`."""

    kind: str


@dataclass(frozen=True)
class File:
    """A file with more than content; `hard` names the path (from the tree's root) that it is a hard link to."""

    content: bytes = b""
    mode: int = 0o644
    mtime_ns: int | None = None
    xattrs: tuple[tuple[str, bytes], ...] = ()
    hard: str | None = None


Node = bytes | str | Link | Special | File | Mapping[str, Any]


def make_tree(root: Path, tree: Mapping[str, Node]) -> Path:
    """Write *tree* below *root*: bytes or text are files, mappings directories, keys may hold slashes."""
    root.mkdir(parents=True, exist_ok=True)
    for name, node in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(node, Mapping):
            make_tree(path, node)
        else:
            _make_leaf(root, path, node)
    return root


def _make_leaf(root: Path, path: Path, node: Any) -> None:
    if isinstance(node, Link):
        path.symlink_to(node.target)
    elif isinstance(node, Special):
        if node.kind == "fifo":
            os.mkfifo(path)
        else:
            _make_socket(path)
    elif isinstance(node, File):
        if node.hard is not None:
            os.link(root / node.hard, path)
            return
        path.write_bytes(node.content)
        for name, value in node.xattrs:
            os.setxattr(path, name, value)
        path.chmod(node.mode)
        if node.mtime_ns is not None:
            os.utime(path, ns=(node.mtime_ns, node.mtime_ns))
    else:
        path.write_bytes(node.encode() if isinstance(node, str) else node)


def _make_socket(path: Path) -> None:
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(path.parent)  # a socket's path may have no more than 107 bytes
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


def read_tree(root: Path, *, mtimes: bool = True, ignore: tuple[str, ...] = ()) -> dict[str, tuple[Any, ...]]:
    """Everything that a restore must bring back, by path: kind, mode, owner, time, xattrs, content, hard-link group."""
    found: dict[str, tuple[Any, ...]] = {}
    groups: dict[tuple[int, int], str] = {}
    for path in sorted([root, *root.rglob("*")], key=os.fspath):
        relative = "" if path == root else os.fspath(path.relative_to(root))
        if relative and relative.split("/")[0] in ignore:
            continue
        info = path.lstat()
        xattrs = tuple(
            sorted((n, os.getxattr(path, n, follow_symlinks=False)) for n in os.listxattr(path, follow_symlinks=False))
        )
        content: Any = None
        group = ""
        if stat.S_ISLNK(info.st_mode):
            content = os.readlink(path)
        elif stat.S_ISREG(info.st_mode):
            content = path.read_bytes()
            if info.st_nlink > 1:
                group = groups.setdefault((info.st_dev, info.st_ino), relative)
        time = info.st_mtime_ns if mtimes else None
        found[relative] = (
            stat.S_IFMT(info.st_mode),
            stat.S_IMODE(info.st_mode),
            info.st_uid,
            info.st_gid,
            time,
            xattrs,
            content,
            group,
        )
    return found


def assert_same_tree(expected: Path, actual: Path, *, ignore: tuple[str, ...] = ()) -> None:
    """Fail with the differing paths unless both trees are equal in every attribute."""
    left, right = read_tree(expected, ignore=ignore), read_tree(actual, ignore=ignore)
    wrong = [
        f"{p!r}: {left.get(p)!r:.300} != {right.get(p)!r:.300}"
        for p in sorted(left.keys() | right.keys())
        if left.get(p) != right.get(p)
    ]
    assert not wrong, "\n".join(wrong[:20])
