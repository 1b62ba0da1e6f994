"""A backup of which something is lost, made anew: the same id and number, a commit with holes, a tag that tells of them.

Where its commit or top trees could be made anew just as they were, and nothing below is lost, it stays what it was. Floor F7,
below the verbs.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cronos_git.errors import DamageError
from cronos_git.git.pack import object_id
from cronos_git.git.remains import Remains
from cronos_git.git.trees import MODE_DIRECTORY, MODE_FILE, TreeEntry, format_tree
from cronos_git.model import SCOPE_PROJECT, Backup, Loss
from cronos_git.ops.healing import Pool
from cronos_git.ops.holes import Hole, Node, Patched, Patcher
from cronos_git.ops.regrowing import Regrower
from cronos_git.ops.rests import Rest
from cronos_git.ops.returning import METADATA_KEY, with_note
from cronos_git.ops.tops import Top, Tops
from cronos_git.rules.record import amend_tag, format_commit, format_json, parse_tag, snapshot_message, tagger_line

_TOLD_PATHS = 100
_TOLD_GAPS = 5
_TEXTS = {
    "content": "its content is lost; it stays listed, and a restore leaves alone what is there",
    "directory": "its list of contents is lost; what its attributes name stays listed",
    "attributes": "FIFOs, sockets, devices, hard links, modes, times, owners and extended attributes in it are lost; what is "
    "left is restored for its owner alone",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """What became of a backup.

    Attributes:
        before: The backup as its tag tells.
        after: The backup made anew; None when nothing is left to make it of.
        lost: What is not in it any more; empty when only its commit had to be made in another way.
    """

    before: Backup
    after: Backup | None
    lost: tuple[Loss, ...]


class Rewriter:
    """Rewrites backups.

    Args:
        pool: Every object made is added to it.
    """

    def __init__(self, remains: Remains, pool: Pool) -> None:
        self._pool = pool
        self._tops = Tops(remains, pool)
        self._regrower = Regrower(remains, pool)
        self._known: dict[Node, Patched] = {}
        self._paths_by_scope: dict[str, list[str]] = {SCOPE_PROJECT: [""]}

    def rewrite(self, backup: Backup) -> Rewritten | None:
        """The backup without what is lost; None when it is whole, or could be made whole again.

        Cost: as `holes.Patcher.patch`, and `tops.Tops.find`.
        """
        top = self._tops.find(backup)
        if top.data is None:
            text = "neither its commit nor a timeline leads to its files any more"
            return Rewritten(before=backup, after=None, lost=(Loss(backup=backup.id, path="", kind="backup", text=text),))
        patched = Patcher(self._pool, self._regrower, backup.created, self._known).patch(Node(top.data, top.attributes))
        record = self._record(top)
        if top.is_whole and record is not None and not patched.holes:
            return None
        lost = _losses(backup, patched.holes, record is None)
        after = self._tagged(backup, self._commit(backup, top, patched, record), lost)
        return Rewritten(before=backup, after=after, lost=lost)

    def _record(self, top: Top) -> bytes | None:
        """Id of the record of how the backup was made, None when that is lost."""
        if top.snapshot is not None:
            with contextlib.suppress(DamageError, ValueError, KeyError, TypeError):
                scope = json.loads(self._pool.read(top.snapshot.hex())[1])["scope"]
                self._paths_by_scope[scope["name"]] = list(scope["paths"])
                return top.snapshot
        return None

    def _commit(self, backup: Backup, top: Top, patched: Patched, record: bytes | None) -> str:
        add = self._pool.add
        record = record or add("blob", format_json(self._stand_in(backup)))
        meta = [
            TreeEntry(MODE_FILE, b"snapshot.json", record),
            TreeEntry(MODE_DIRECTORY, b"attributes", patched.attributes),
        ]
        root = [
            TreeEntry(MODE_DIRECTORY, b"data", patched.data),
            TreeEntry(MODE_DIRECTORY, b"meta", add("tree", format_tree(meta))),
        ]
        line = tagger_line(self._pool.read(backup.tag)[1])
        tree = add("tree", format_tree(root)).hex()
        body = format_commit(tree=tree, parents=(), identity_line=line, message=snapshot_message(backup))
        return add("commit", body).hex()

    def _tagged(self, backup: Backup, commit: str, lost: Sequence[Loss]) -> Backup:
        """The backup with a new tag: what its tag says, and of which commit and with which losses."""
        after = replace(backup, commit=commit)
        if lost:
            after = with_note(after, _note(backup, lost))
        raw = self._pool.read(backup.tag)[1]
        raw = raw.replace(f"object {backup.commit}\n".encode(), f"object {commit}\n".encode(), 1)
        body = amend_tag(raw, after)
        self._pool.add("tag", body)
        return parse_tag(body, object_id("tag", body).hex())

    def _stand_in(self, backup: Backup) -> dict[str, object]:
        """A record for a backup whose own is lost.

        Its rules leave out everything, so that no restore takes for gone what is not in the backup: perhaps it was excluded.
        """
        return {
            "format": 1,
            "id": backup.id,
            "scope": {"name": backup.scope, "paths": self._paths_by_scope.get(backup.scope, [""])},
            "rules": {
                "exclude": ["*"],
                "request_exclude": ["*"],
                "include": [],
                "defaults": True,
                "respect_gitignore": True,
                "git_dirs": "skip",
                "cachedir_tags": True,
                "chunk_threshold": 32 << 20,
            },
            "counts": {
                "files": backup.files,
                "directories": 0,
                "bytes": backup.size_bytes,
                "excluded_files": 0,
                "excluded_directories": 0,
                "problems": 0,
            },
            "problems": [],
            "host": "",
            "user": "",
            "tool_version": "",
            "project_root": "",
            "git": None,
            "nested_git": {},
        }


def _losses(backup: Backup, holes: Sequence[Hole], is_record_lost: bool) -> tuple[Loss, ...]:
    lost = [_loss(backup, hole) for hole in holes]
    if is_record_lost:
        text = "the record of how it was made is lost; a restore takes nothing for deleted that it lacks"
        lost.append(Loss(backup=backup.id, path="", kind="record", text=text))
    return tuple(lost)


def _loss(backup: Backup, hole: Hole) -> Loss:
    rest = hole.rest
    if rest is None:
        return Loss(backup=backup.id, path=hole.path, kind=hole.kind, text=_TEXTS[hole.kind])
    parent, slash, _ = hole.path.rpartition("/")
    return Loss(
        backup=backup.id,
        path=hole.path,
        kind=hole.kind,
        text=f"{_told(rest)}; a restore leaves alone what is there",
        left_in=parent + slash + rest.name,
        left_bytes=rest.size_bytes,
        lost_bytes=rest.lost_bytes,
        gaps=rest.gaps,
    )


def _told(rest: Rest) -> str:
    """What is lost of a file and what is left, in words; bytes are counted from 0."""
    total = rest.size_bytes + (rest.lost_bytes or 0)
    if rest.lost_bytes and len(rest.gaps) == 1:
        [first] = rest.gaps
        last = first + rest.lost_bytes - 1
        return f"its bytes {first:,} to {last:,} of {total:,} are lost; the others stand in {rest.name}"
    lost = f"{rest.lost_bytes:,} of its {total:,} bytes are lost" if rest.lost_bytes else "some of it is lost"
    gaps = ", ".join(f"{gap:,}" for gap in rest.gaps[:_TOLD_GAPS]) + (" …" if len(rest.gaps) > _TOLD_GAPS else "")
    return f"{lost}; {rest.size_bytes:,} others stand one after another in {rest.name}, where some are missing at byte {gaps}"


def _note(backup: Backup, lost: Sequence[Loss]) -> dict[str, object]:
    """What the metadata tells, together with what an earlier repair told."""
    earlier = backup.metadata.get(METADATA_KEY)
    told = [str(path) for path in earlier.get("lost", ())] if isinstance(earlier, dict) else []
    paths = list(dict.fromkeys([*told, *(f"{loss.kind}: {loss.path}" if loss.path else loss.kind for loss in lost)]))
    return {"tag": backup.tag, "lost": paths[:_TOLD_PATHS], "count": len(paths)}
