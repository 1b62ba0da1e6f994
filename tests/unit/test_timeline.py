from __future__ import annotations

from pathlib import Path

import pytest

from cronos_git.git import timeline
from cronos_git.git.pack import PackWriter
from cronos_git.git.store import Store
from cronos_git.git.trees import EMPTY_TREE
from cronos_git.model import Backup
from cronos_git.rules.record import format_commit, identity_line
from tests.support.git import assert_store_sound, git
from tests.support.stores import IDENTITY, make_backup, make_store, put_backups

MAIN = "refs/heads/main"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "s.git")


def _rebuild(store: Store, backups: list[Backup]) -> str | None:
    writer = PackWriter(store.pack_dir, lambda _oid: False)
    tip = timeline.rebuild(writer.add, store, backups)
    writer.finish()
    writer.release()
    store.refresh()
    return tip


def _rebuild_to(store: Store, backups: list[Backup], ref: str = MAIN) -> str:
    tip = _rebuild(store, backups)
    assert tip is not None
    store.set_ref(ref, tip)
    return tip


def test_stock_git_shows_the_history_of_a_file(store: Store, tmp_path: Path) -> None:
    backups = put_backups(store, [make_backup(number) for number in range(1, 5)])
    _rebuild_to(store, backups)
    log = git("--git-dir", store.path, "log", "--format=%s|%an <%ae>|%ct", "main", "--", "file.txt").splitlines()
    expected = [f"number {backup.sequence}|alice <alice@host>|{int(backup.created.timestamp())}" for backup in reversed(backups)]
    assert log == expected
    assert git("--git-dir", store.path, "show", "main~1:file.txt") == "3\n"
    assert_store_sound(store.path, tmp_path)


def test_rebuilt_from_the_tags_alone_it_is_the_same(store: Store) -> None:
    backups = put_backups(store, [make_backup(number) for number in range(1, 5)])
    assert _rebuild(store, backups) == _rebuild(store, backups[::-1])


def test_appended_one_by_one_it_is_the_same_as_rebuilt(store: Store) -> None:
    backups = put_backups(store, [make_backup(number) for number in range(1, 4)])
    writer = PackWriter(store.pack_dir, lambda _oid: False)
    tip = None
    for backup in backups:
        data = git("--git-dir", store.path, "rev-parse", f"{backup.commit}:data").strip()
        tip = timeline.append(writer.add, tip, backup, data, identity_line(IDENTITY, backup.created))
    writer.abort()
    assert tip == _rebuild(store, backups)


def test_order_is_the_sequence_and_not_the_clock(store: Store) -> None:
    late = make_backup(9).created
    backups = put_backups(store, [make_backup(1, created=late, name="first"), make_backup(2, name="second")])
    _rebuild_to(store, backups)
    assert git("--git-dir", store.path, "log", "--topo-order", "--format=%s", "main").split("\n")[:2] == ["number 2", "number 1"]


def test_each_scope_has_a_branch_that_git_accepts(store: Store) -> None:
    assert timeline.ref_name("project") == MAIN
    for scope in ("ethik", "atlas+ethik", "project+"):
        ref = timeline.ref_name(scope)
        assert ref == f"refs/heads/module/{scope}"
        git("check-ref-format", ref)


def test_the_tip_tells_its_backup(store: Store) -> None:
    assert timeline.tip_backup(store, MAIN) is None
    backups = put_backups(store, [make_backup(1), make_backup(2, message="Cronos-Id: forged_20260401_120000")])
    _rebuild_to(store, backups)
    assert timeline.tip_backup(store, MAIN) == backups[1].id


def test_a_timeline_that_is_damaged_or_not_ours_has_no_tip(store: Store) -> None:
    (backup,) = put_backups(store, [make_backup()])
    for wrong in ("f" * 40, backup.tag):
        store.set_ref(MAIN, wrong)
        assert timeline.tip_backup(store, MAIN) is None
    writer = PackWriter(store.pack_dir, lambda _oid: False)
    who = identity_line(IDENTITY, backup.created)
    foreign = writer.add(
        "commit", format_commit(tree=EMPTY_TREE.hex(), parents=(), identity_line=who, message="Cronos-Id: x\n\nno\n")
    )
    writer.finish()
    store.refresh()
    store.set_ref(MAIN, foreign.hex())
    assert timeline.tip_backup(store, MAIN) is None
    (store.path / MAIN).write_bytes(b"")
    assert timeline.tip_backup(store, MAIN) is None


def test_no_backups_make_no_timeline(store: Store) -> None:
    assert _rebuild(store, []) is None


def test_a_damaged_backup_is_left_out_and_the_others_are_chained(store: Store) -> None:
    one, two, three = put_backups(store, [make_backup(number) for number in (1, 2, 3)])
    lost = Backup(**{name: getattr(two, name) for name in Backup.__slots__} | {"commit": "f" * 40})
    assert _rebuild(store, [one, lost, three]) == _rebuild(store, [one, three])
