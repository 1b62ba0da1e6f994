"""The cache of tags: it never changes what a list says, and is only believed while the packs that hold the tags are there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cronos_git.git.store import Store
from cronos_git.model import Backup
from cronos_git.ops import catalog, tagcache
from tests.support.git import git
from tests.support.stores import make_backup, make_store, put_backups


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Three backups whose tags have been remembered."""
    monkeypatch.setattr(catalog, "_MANY", 3)
    made = make_store(tmp_path / "store.git")
    odd = {"labels": ("a", "b"), "metadata": {"x": [1, {"y": None}]}, "message": "\udcff", "pinned": True, "parent": "before"}
    backups = [make_backup(1), make_backup(2, **odd), make_backup(3, created=make_backup(1).created + timedelta(microseconds=7))]
    put_backups(made, backups)
    made = Store.open(made.path)
    assert not made.tag_cache.exists()
    catalog.read(made, sure=False)
    assert made.tag_cache.exists()
    yield made


def listed(store: Store, *, sure: bool = False) -> list[Backup]:
    return catalog.read(Store.open(store.path), sure=sure).backups


@pytest.fixture
def tags_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the backups whose tags are read from the store."""
    seen: list[str] = []
    read = catalog._read
    monkeypatch.setattr(catalog, "_read", lambda store, name, oid: (seen.append(name), read(store, name, oid))[1])
    return seen


def test_the_list_is_the_same_and_no_tag_is_read(store: Store, tags_read: list[str]) -> None:
    found = listed(store)
    assert tags_read == []
    assert found == listed(store, sure=True)
    assert len(tags_read) == 3


def test_only_new_tags_are_read(store: Store, tags_read: list[str]) -> None:
    put_backups(store, [make_backup(4)])
    assert [backup.sequence for backup in listed(store)] == [1, 2, 3, 4]
    assert tags_read == [make_backup(4).id]


def test_after_folding_the_tags_are_looked_for_once(store: Store, tags_read: list[str]) -> None:
    put_backups(store, [make_backup(4)])
    git("--git-dir", store.path, "repack", "-adq")
    assert len(listed(store)) == 4
    remembered = tagcache.load(store.tag_cache)
    assert remembered.packs == set(Store.open(store.path).whole_packs)
    assert tags_read == [make_backup(4).id]


def test_a_tag_that_was_lost_is_not_vouched_for(store: Store) -> None:
    for path in store.pack_dir.iterdir():
        path.unlink()
    found = catalog.read(Store.open(store.path), sure=False)
    assert found.backups == []
    assert [damage.code for damage in found.damaged] == ["missing"] * 3


def test_a_ref_that_leads_to_the_tag_of_another_backup_is_damage(store: Store, tags_read: list[str]) -> None:
    old, other, _ = listed(store)
    (store.path / f"refs/tags/backup/{old.id}").write_text(f"{other.tag}\n")
    assert catalog.read(Store.open(store.path), sure=False).damaged[0].backups == (old.id,)
    assert tags_read == [old.id]


@pytest.mark.parametrize("damage", [b"", b"cronos-tags 1\n", b"cronos-tags 0\n" + b"0" * 500])
def test_a_cache_that_cannot_be_believed_is_passed_over(store: Store, damage: bytes, tags_read: list[str]) -> None:
    store.tag_cache.write_bytes(damage)
    assert len(listed(store)) == 3
    assert len(tags_read) == 3
    assert len(tagcache.load(store.tag_cache).backups) == 3


def test_every_flipped_byte_is_noticed(store: Store) -> None:
    raw = store.tag_cache.read_bytes()
    for position in range(0, len(raw), 7):
        store.tag_cache.write_bytes(raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :])
        assert tagcache.load(store.tag_cache).backups == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_cannot_be_written_is_listed(store: Store) -> None:
    store.tag_cache.unlink()
    store.cronos_dir.chmod(0o500)
    assert len(listed(store)) == 3
    store.cronos_dir.chmod(0o700)
