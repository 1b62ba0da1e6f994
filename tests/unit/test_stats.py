from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pygit2
import pytest

from cronos_git.disk.usage import tree_size
from cronos_git.errors import HostError
from cronos_git.model import Backup
from cronos_git.ops.stats import collect
from tests.support.git import git
from tests.support.trees import Link, Special, make_tree


@dataclass
class Place:
    path: Path

    @property
    def pack_dir(self) -> Path:
        return self.path / "objects" / "pack"


def backup(sequence: int, kind: str, *, files: int, size_bytes: int) -> Backup:
    created = datetime(2026, 4, sequence, tzinfo=UTC)
    return Backup(
        id=f"b_202604{sequence:02d}_000000",
        name="b",
        type=kind,
        scope="project",
        created=created,
        sequence=sequence,
        parent=None,
        message="b",
        description="",
        labels=(),
        pinned=False,
        files=files,
        size_bytes=size_bytes,
        added=0,
        changed=0,
        removed=0,
        metadata={},
        commit="0" * 40,
        tag="0" * 40,
    )


def test_figures_come_from_backups_packs_and_files(tmp_path: Path) -> None:
    store = Place(tmp_path / "store.git")
    repository = pygit2.init_repository(str(store.path), bare=True)
    for pack in (b"1", b"2"):
        builder = pygit2.PackBuilder(repository)
        for number in range(3):
            builder.add(repository.create_blob(pack + bytes([number])))
        builder.write()
    counted = dict(line.split(": ") for line in git("--git-dir", store.path, "count-objects", "-v").splitlines())
    backups = [backup(1, "manual", files=5, size_bytes=50), backup(2, "auto", files=7, size_bytes=70)]
    backups.append(backup(3, "manual", files=6, size_bytes=60))
    found = collect(store, backups)
    assert (found.packs, found.objects) == (int(counted["packs"]), int(counted["in-pack"])) == (2, 6)
    assert (found.backups, found.by_type) == (3, {"auto": 1, "manual": 2})
    assert (found.files_latest, found.bytes_latest, found.content_bytes) == (6, 60, 180)
    assert (found.oldest, found.newest) == (backups[0].created, backups[2].created)
    assert found.store_bytes == sum(path.stat().st_size for path in store.path.rglob("*") if path.is_file())


def test_store_without_backups_has_no_dates(tmp_path: Path) -> None:
    pygit2.init_repository(str(tmp_path / "s.git"), bare=True)
    found = collect(Place(tmp_path / "s.git"), [])
    assert (found.backups, found.packs, found.objects, found.oldest, found.newest) == (0, 0, 0, None, None)
    assert found.store_bytes > 0


def test_size_counts_regular_files_once_and_follows_no_link(tmp_path: Path) -> None:
    outside = make_tree(tmp_path / "outside", {"f": b"x" * 1000})
    root = make_tree(tmp_path / "root", {"a": b"12", "d": {"b": b"345"}, "p": Special("fifo")})
    make_tree(root, {"link": Link(str(outside)), "d/link": Link(str(outside / "f"))})
    assert tree_size(root) == 5


def test_size_of_an_unreadable_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(HostError):
        tree_size(tmp_path / "file")
