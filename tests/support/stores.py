"""Stores and the backups in them, made without walking a project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cronos_git.git.pack import PackWriter
from cronos_git.git.store import Store
from cronos_git.git.trees import MODE_DIRECTORY, MODE_FILE, TreeEntry, format_tree
from cronos_git.model import SCOPE_PROJECT, Backup
from cronos_git.rules.record import Identity, format_commit, format_tag, identity_line, snapshot_message

NOON = datetime(2026, 4, 1, 12, 0, 0, tzinfo=UTC)
IDENTITY = Identity(user="alice", host="host")


def make_store(path: Path, project_root: str = "/project") -> Store:
    return Store.create(path, project_root=project_root, created=NOON, tool_version="0.0")


def make_backup(sequence: int = 1, **fields: Any) -> Backup:
    """The record of a backup, one hour after the one before; its commit and tag are in no store."""
    created = NOON + timedelta(hours=sequence)
    name = fields.get("name", "work")
    default: dict[str, Any] = {
        "id": f"{name}_{created:%Y%m%d_%H%M%S}",
        "name": name,
        "type": "manual",
        "scope": SCOPE_PROJECT,
        "created": created,
        "sequence": sequence,
        "parent": None,
        "message": f"number {sequence}",
        "description": "",
        "labels": (),
        "pinned": False,
        "files": 1,
        "size_bytes": 5,
        "added": 1,
        "changed": 0,
        "removed": 0,
        "metadata": {},
        "commit": f"{sequence:040x}",
        "tag": "",
    }
    return Backup(**(default | fields))


def put_backups(store: Store, backups: Sequence[Backup], content: Mapping[str, bytes] | None = None) -> list[Backup]:
    """Store *backups* in one pack, each with a snapshot of one file; as they are then, with commit and tag.

    The file `file.txt` holds the backup's sequence number, or what *content* says for its id.
    """
    stored = []
    with store.lock():
        writer = PackWriter(store.pack_dir, lambda _oid: False)
        for backup in backups:
            text = (content or {}).get(backup.id, b"%d\n" % backup.sequence)
            commit = _put_snapshot(writer, backup, text)
            tagged = Backup(**{name: getattr(backup, name) for name in Backup.__slots__} | {"commit": commit})
            tag = writer.add("tag", format_tag(tagged, IDENTITY)).hex()
            stored.append(Backup(**{name: getattr(tagged, name) for name in Backup.__slots__} | {"tag": tag}))
        writer.finish()
        for backup in stored:
            store.create_tag_ref(backup.id, backup.tag)
        writer.release()
    store.refresh()
    return stored


def _put_snapshot(writer: PackWriter, backup: Backup, text: bytes) -> str:
    def tree(*entries: tuple[int, bytes, bytes]) -> bytes:
        return writer.add("tree", format_tree(TreeEntry(*entry) for entry in entries))

    data = tree((MODE_FILE, b"file.txt", writer.add("blob", text)))
    meta = tree((MODE_FILE, b"snapshot.json", writer.add("blob", b"{}\n")), (MODE_DIRECTORY, b"attributes", tree()))
    root = tree((MODE_DIRECTORY, b"data", data), (MODE_DIRECTORY, b"meta", meta))
    who = identity_line(IDENTITY, backup.created)
    message = snapshot_message(backup)
    return writer.add("commit", format_commit(tree=root.hex(), parents=(), identity_line=who, message=message)).hex()
