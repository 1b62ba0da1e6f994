"""Snapshot commits as literals: built object by object, without the code that makes backups."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pygit2
from pygit2.enums import ObjectType

from cronos_git.errors import ObjectMissingError
from cronos_git.git.trees import MODE_DIRECTORY, MODE_EXECUTABLE, MODE_FILE, MODE_SYMLINK, TreeEntry, format_tree
from cronos_git.model import Attributes
from cronos_git.rules.attributes import AttributeTable, format_attributes
from cronos_git.rules.names import ATTRIBUTES_NAME, encode_name
from tests.support.trees import File, Link, Special

_KINDS = {"commit": ObjectType.COMMIT, "tree": ObjectType.TREE, "blob": ObjectType.BLOB}


@dataclass(frozen=True)
class Chunked:
    """A large file in pieces."""

    pieces: tuple[bytes, ...]
    mode: int = 0o644


@dataclass(frozen=True)
class Unreadable:
    """A file whose content the backup could not read."""


class SnapshotStore:
    """A bare repository that snapshots are put into by hand; `reads` tells which objects were read back.

    `format_attributes` may be replaced to write damaged records.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reads: list[str] = []
        self.format_attributes = format_attributes
        self._repository = pygit2.init_repository(os.fspath(path), bare=True)

    def read(self, oid: str) -> tuple[str, bytes]:
        self.reads.append(oid)
        try:
            kind, body = self._repository.odb.read(oid)
        except KeyError as error:
            raise ObjectMissingError(f"Object {oid} is missing.", oid=oid) from error
        return {int(number): name for name, number in _KINDS.items()}[int(kind)], body

    def write(self, kind: str, body: bytes) -> bytes:
        return self._repository.odb.write(_KINDS[kind], body).raw

    def tree(self, *entries: tuple[int, bytes, bytes]) -> bytes:
        return self.write("tree", format_tree(TreeEntry(*entry) for entry in entries))

    def commit(self, tree: Mapping[str, Any], record: Mapping[str, Any] | None = None) -> str:
        """A snapshot of *tree*, whose values are what `make_tree` takes, Chunked or Unreadable."""
        data, attributes = self._directory(tree)
        snapshot = self.write("blob", json.dumps(record or {"format": 1}).encode())
        meta = self.tree((MODE_FILE, b"snapshot.json", snapshot), (MODE_DIRECTORY, b"attributes", attributes))
        return self.raw_commit(self.tree((MODE_DIRECTORY, b"data", data), (MODE_DIRECTORY, b"meta", meta)))

    def raw_commit(self, tree: bytes) -> str:
        who = b"t <t@t> 1764000000 +0000"
        return self.write("commit", b"tree %b\nauthor %b\ncommitter %b\n\nm\n" % (tree.hex().encode(), who, who)).hex()

    def _directory(self, tree: Mapping[str, Any]) -> tuple[bytes, bytes]:
        data: list[tuple[int, bytes, bytes]] = []
        below: list[tuple[int, bytes, bytes]] = []
        records: dict[str, Attributes] = {}
        for name, node in tree.items():
            stored = encode_name(os.fsencode(name), chunked=isinstance(node, Chunked))
            if isinstance(node, Mapping):
                inner_data, inner_attributes = self._directory(node)
                data.append((MODE_DIRECTORY, stored, inner_data))
                below.append((MODE_DIRECTORY, stored, inner_attributes))
                continue
            records[name] = attributes_of(name, node)
            if not isinstance(node, Special | Unreadable):
                mode, oid = self._content(node)
                data.append((mode, stored, oid))
        own = Attributes(kind="directory", name=".", mode=0o755, size_bytes=0, mtime_ns=7, uid=1000, gid=100)
        table = AttributeTable(own=own, entries=records, users={1000: "alice"}, groups={100: "users"})
        blob = self.write("blob", self.format_attributes(table))
        return self.tree(*data), self.tree((MODE_FILE, ATTRIBUTES_NAME, blob), *below)

    def _content(self, node: Any) -> tuple[int, bytes]:
        if isinstance(node, Chunked):
            pieces = enumerate(node.pieces)
            return MODE_DIRECTORY, self.tree(*((MODE_FILE, b"%08d" % n, self.write("blob", piece)) for n, piece in pieces))
        if isinstance(node, Link):
            return MODE_SYMLINK, self.write("blob", os.fsencode(node.target))
        executable = isinstance(node, File) and node.mode & 0o100
        return MODE_EXECUTABLE if executable else MODE_FILE, self.write("blob", content_of(node))


def content_of(node: Any) -> bytes:
    """The bytes of a regular file's node."""
    if isinstance(node, Chunked):
        return b"".join(node.pieces)
    if isinstance(node, File):
        return node.content
    return node.encode() if isinstance(node, str) else bytes(node)


def attributes_of(name: str, node: Any) -> Attributes:
    """The attributes that such a node gets, owned by alice and made at a fixed time unless it says otherwise."""
    kind, size_bytes, mode, mtime_ns = "file", 0, 0o644, 5
    if isinstance(node, Special):
        kind = node.kind
    elif isinstance(node, Link):
        kind, size_bytes, mode = "symlink", len(os.fsencode(node.target)), 0o777
    elif not isinstance(node, Unreadable):
        size_bytes = len(content_of(node))
        mode = getattr(node, "mode", mode)
    if isinstance(node, File) and node.mtime_ns is not None:
        mtime_ns = node.mtime_ns
    return Attributes(
        kind=kind,  # type: ignore[arg-type]
        name=name,
        mode=mode,
        size_bytes=size_bytes,
        mtime_ns=mtime_ns,
        uid=1000,
        gid=100,
        xattrs=node.xattrs if isinstance(node, File) else (),
        unreadable=isinstance(node, Unreadable),
    )
