"""Fetches and clones from real repositories: what comes, what it is here, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import AmbiguousBackupError, BackupNotFoundError, RefusedError, RemoteError, StoreLockedError
from cronos_git.events import Advanced, Event, Run, Started
from cronos_git.model import (
    AmendRequest,
    Backup,
    CompactRequest,
    FetchRequest,
    PruneRequest,
    PushRequest,
    RestoreRequest,
    SnapshotRequest,
)
from cronos_git.ops import fetch
from tests.support.git import git
from tests.support.remotes import APPEND_ONLY, assert_sound, machine, make_remote, object_count, put_hostile, saved
from tests.support.trees import assert_same_tree, make_tree


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path / "remote.git", *APPEND_ONLY)


@pytest.fixture
def one(tmp_path: Path, remote: Path) -> Cronos:
    """A machine whose backups a and b are at the remote."""
    made = machine(tmp_path, "one")
    made.add_remote("origin", str(remote))
    make_tree(made.project, {f"d{number % 5}/f{number}": str(number) for number in range(60)})
    saved(made, "a")
    saved(made, "b")
    made.push()
    return made


@pytest.fixture
def two(tmp_path: Path, remote: Path, one: Cronos) -> Cronos:
    """Another machine with the same files and the backup mine, which knows the remote."""
    made = machine(tmp_path, "two")
    made.add_remote("origin", str(remote))
    shutil.copytree(one.project, made.project, dirs_exist_ok=True)
    saved(made, "mine")
    return made


def names(engine: Cronos) -> list[str]:
    return [backup.name for backup in engine.backups()[::-1]]


# --- clone ---


def test_a_clone_brings_everything_back_as_it_was(one: Cronos, remote: Path, tmp_path: Path) -> None:
    one.amend(AmendRequest(backups=("a",), pinned=True, add_labels=("rel",)))
    saved(one, "m", modules=("d1",))
    one.push(PushRequest(amended=True))
    new = machine(tmp_path, "new")
    report = new.clone(str(remote))
    assert report.backups == tuple(one.backups()[::-1])
    assert new.backups() == one.backups()
    new.restore(RestoreRequest(backup="b", target=str(tmp_path / "out")))
    assert_same_tree(one.project, tmp_path / "out", ignore=("which", "."))
    assert (tmp_path / "out/which").read_text() == "b"
    for branch in ("main", "module/d1"):
        assert new.store.ref(f"refs/heads/{branch}") == one.store.ref(f"refs/heads/{branch}")
    assert new.verify().damage == ()
    assert_sound(new.store_path)
    assert new.push().pushed == ()
    assert sorted(path.name for path in (new.store.cronos_dir).iterdir() if path.is_dir()) == sorted(
        path.name for path in (one.store.cronos_dir).iterdir() if path.is_dir()
    )
    assert saved(new, "next").sequence == 4


def test_a_clone_over_file_url(one: Cronos, remote: Path, tmp_path: Path) -> None:
    new = machine(tmp_path, "new")
    assert len(new.clone(f"file://{remote}").backups) == 2


def test_a_clone_of_what_two_machines_sent_is_ordered_by_time(one: Cronos, two: Cronos, remote: Path, tmp_path: Path) -> None:
    two.push()
    new = machine(tmp_path, "new")
    report = new.clone(str(remote))
    assert [backup.name for backup in report.backups] == ["a", "mine", "b"]
    assert [backup.sequence for backup in report.backups] == [1, 2, 3]
    assert {backup.scope for backup in report.backups} == {"project"}
    assert git("--git-dir", new.store_path, "log", "--format=%s", "main").split() == ["b", "mine", "a"]
    again = new.push(PushRequest(amended=True))
    assert (again.pushed, again.amended, new.fetch().backups) == ((), (), ())
    assert_sound(new.store_path, remote)


def test_a_clone_into_a_store_with_backups_is_refused(two: Cronos, remote: Path) -> None:
    with pytest.raises(RefusedError):
        two.clone(str(remote))
    assert names(two) == ["mine"]


def test_a_clone_that_cannot_start_leaves_nothing_and_can_be_repeated(one: Cronos, remote: Path, tmp_path: Path) -> None:
    new = machine(tmp_path, "new")
    with pytest.raises(RemoteError):
        new.clone(str(tmp_path / "nowhere"))
    assert not new.store_path.exists()
    new.add_remote("usb", str(tmp_path / "usb"))
    assert len(new.clone(str(remote)).backups) == 2
    with pytest.raises(RefusedError):
        machine(tmp_path, "new").clone(str(remote))


# --- fetch ---


def test_what_another_machine_made_comes_as_an_import_beside_ones_own(one: Cronos, two: Cronos, remote: Path) -> None:
    head = two.store.ref("refs/heads/main")
    (latest,) = two.backups()
    report = two.fetch()
    assert [backup.name for backup in report.backups] == ["a", "b"]
    assert {backup.scope for backup in report.backups} == {"imported"}
    assert report.backups[0].metadata["import"] == {"id": report.backups[0].id, "remote": "origin", "type": "manual"}
    assert two.resolve("latest").backup == latest
    assert two.store.ref("refs/heads/main") == head
    assert two.plan_snapshot().changes == ()
    assert two.verify().damage == ()
    assert_sound(two.store_path)
    assert two.fetch().backups == ()
    assert [operation.verb for operation in two.operations()].count("fetch") == 1
    two.push()
    assert [backup.name for backup in one.fetch().backups] == ["mine"]
    assert [one.push().pushed, two.push().pushed, one.fetch().backups, two.fetch().backups] == [()] * 4


def test_only_what_the_store_lacks_comes(one: Cronos, two: Cronos, remote: Path) -> None:
    two.push()
    events: list[Event] = []
    before = object_count(two.store_path)
    two.fetch(run=Run(emit=events.append))
    assert Started("fetch") in events
    counts = [event.done_files for event in events if isinstance(event, Advanced)]
    assert 0 < max(counts) < 60
    assert object_count(two.store_path) - before < 60
    make_tree(one.project, {"d1/f1": "changed"})
    saved(one, "c")
    one.push()
    before = object_count(two.store_path)
    events.clear()
    two.fetch(run=Run(emit=events.append))
    assert max(event.done_files for event in events if isinstance(event, Advanced)) <= 14
    assert object_count(two.store_path) - before <= 16  # with the tag and the timeline of here


def test_some_backups_are_asked_for_by_their_ids(one: Cronos, two: Cronos) -> None:
    b, a = one.backups()
    assert [copy.id for copy in two.plan_fetch(FetchRequest(backups=("b_",))).missing] == [b.id]
    assert [backup.id for backup in two.fetch(FetchRequest(backups=(a.id,))).backups] == [a.id]
    with pytest.raises(BackupNotFoundError):
        two.fetch(FetchRequest(backups=("zzz",)))
    saved(one, "bb")
    one.push()
    with pytest.raises(AmbiguousBackupError):
        two.fetch(FetchRequest(backups=("b",)))


def test_an_id_that_is_taken_gets_a_number_here_and_the_two_are_not_mixed_up(one: Cronos, tmp_path: Path, remote: Path) -> None:
    three = machine(tmp_path, "three")
    three.add_remote("origin", str(remote))
    own = saved(three, "a", "of three")
    report = three.fetch()
    assert [backup.id for backup in report.backups] == [f"{own.id}_2", one.backups()[0].id]
    assert report.notes == (f"{own.id} is called {own.id}_2 here, as its id was taken.",)
    pushed = three.push()
    assert pushed.plan.names == {own.id: f"{own.id}_2"}
    assert (three.fetch().backups, three.push().pushed) == ((), ())
    assert one.fetch().notes == ()
    three.delete([f"{own.id}_2"])
    assert (three.fetch().backups, [copy.id for copy in three.plan_fetch().dropped]) == ((), [])
    three.compact(CompactRequest(trash_days=0))
    assert [copy.id for copy in three.plan_fetch().dropped] == [own.id]
    (back,) = three.fetch(FetchRequest(dropped=True)).backups
    assert back.id == f"{own.id}_2"


def test_what_was_dropped_here_comes_back_only_when_asked_for_and_as_it_was(one: Cronos) -> None:
    before = one.backups()
    one.delete(["a"])
    assert (one.fetch().backups, one.plan_fetch().dropped) == ((), ())  # it is in the trash
    one.compact(CompactRequest(trash_days=0))
    report = one.fetch()
    assert (report.backups, [copy.id for copy in report.plan.dropped]) == ((), [before[1].id])
    assert one.fetch(FetchRequest(dropped=True)).backups == (before[1],)
    assert one.backups() == before
    assert git("--git-dir", one.store_path, "log", "--format=%s", "main").split() == ["b", "a"]


def test_what_was_lost_here_comes_back_as_it_was(one: Cronos, tmp_path: Path) -> None:
    before = one.backups()
    git("--git-dir", one.store_path, "update-ref", "-d", f"refs/tags/backup/{before[0].id}")
    again = machine(tmp_path, "one")
    assert again.verify().damage
    report = again.fetch()
    assert report.backups == (before[0],)
    assert again.backups() == before
    assert again.verify().damage == ()


def test_what_was_lost_comes_back_beside_when_its_number_was_given_again(one: Cronos, tmp_path: Path) -> None:
    lost = one.backups()[0]
    git("--git-dir", one.store_path, "update-ref", "-d", f"refs/tags/backup/{lost.id}")
    again = machine(tmp_path, "one")
    again.clock.time += timedelta(hours=1)  # type: ignore[attr-defined]
    newest = saved(again, "c")
    assert newest.sequence == lost.sequence
    (back,) = again.fetch().backups
    assert (back.id, back.commit, back.scope, back.sequence) == (lost.id, lost.commit, "imported", newest.sequence + 1)
    assert again.resolve("latest").backup == newest
    assert again.verify().damage == ()


def test_a_backup_that_was_fetched_is_looked_after_like_any_other(two: Cronos, tmp_path: Path) -> None:
    fetched = two.fetch().backups
    two.amend(AmendRequest(backups=(fetched[0].id,), add_labels=("kept",)))
    plan = two.plan_prune(PruneRequest(limits={"max_backups": 1}))
    assert {backup.name for backup in plan.dropped} == {"a"}
    git("--git-dir", two.store_path, "update-ref", "-d", f"refs/tags/backup/{fetched[1].id}")
    again = machine(tmp_path, "two")
    damage = again.verify().damage
    assert any(fetched[1].id in str(one) for one in damage)
    again.repair()
    assert again.resolve(fetched[1].id).backup == fetched[1]
    assert again.verify().damage == ()
    again.restore(RestoreRequest(backup=fetched[1].id, target=str(tmp_path / "out")))
    assert (tmp_path / "out/which").read_text() == "b"


def test_restore_points_of_another_machine_are_no_restore_points_here(one: Cronos, two: Cronos) -> None:
    make_tree(one.project, {"which": "changed"})
    one.restore(RestoreRequest(backup="a", strategy="replace"))
    one.push()
    assert "import" in {backup.type for backup in two.fetch().backups}
    with pytest.raises(BackupNotFoundError):
        two.plan_undo()


# --- at the same time ---


def test_two_fetches_at_once_bring_each_backup_once(two: Cronos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = fetch.plan

    def slow(*arguments: object) -> object:
        found = plain(*arguments)  # type: ignore[arg-type]
        monkeypatch.undo()
        machine(tmp_path, "two").fetch()
        return found

    monkeypatch.setattr(fetch, "plan", slow)
    assert two.fetch().backups == ()
    assert names(two) == ["mine", "a", "b"]


def test_backups_can_be_made_while_a_fetch_goes_on_and_compactions_cannot(
    two: Cronos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cronos_git.git import receiving

    plain = receiving._check

    def busy(*arguments: object) -> None:
        other = machine(tmp_path, "two")
        make_tree(other.project, {"which": "meanwhile"})
        other.snapshot(SnapshotRequest(name="meanwhile"))
        with pytest.raises(StoreLockedError):
            other.compact(CompactRequest(trash_days=0))
        with pytest.raises(StoreLockedError):
            other.fetch()
        plain(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(receiving, "_check", busy)
    two.fetch()
    assert names(two) == ["mine", "meanwhile", "a", "b"]
    assert two.verify().damage == ()


# --- what is no backup, or not whole ---


def unchanged(engine: Cronos, before: list[Backup], packs: set[str]) -> bool:
    return engine.backups() == before and {path.name for path in engine.store.pack_dir.iterdir()} == packs


def test_what_is_no_backup_is_passed_over(one: Cronos, two: Cronos, remote: Path) -> None:
    commit = one.backups()[0].commit
    git("--git-dir", remote, "tag", "v1", commit)
    git("--git-dir", remote, "tag", "-a", "-m", "x", "v2", commit)
    git("--git-dir", remote, "tag", "backup/light_20240101_000000", commit)
    git("--git-dir", remote, "branch", "topic", commit)
    assert [backup.name for backup in two.fetch().backups] == ["a", "b"]
    assert sorted(two.store.tags().oids) == sorted(backup.id for backup in two.backups())
    assert two.push().pushed


def test_tags_that_tell_of_no_backup_are_passed_over_and_told(one: Cronos, two: Cronos, remote: Path, tmp_path: Path) -> None:
    b, a = one.backups()
    git("--git-dir", remote, "update-ref", "refs/tags/backup/other_20240101_000000", b.tag)
    for name in ("c/d", "--x", "x_20240101_000000/y", "Ünï_20240101_000000"):
        git("--git-dir", remote, "update-ref", f"refs/tags/backup/{name}", b.tag)
    git("--git-dir", remote, "update-ref", "-d", f"refs/tags/backup/{b.id}")
    git("--git-dir", remote, "tag", "-a", "-m", "x", "backup/plain_20240101_000000", a.commit)
    git("--git-dir", remote, "tag", "-a", "-m", "x", "backup/tree_20240101_000000", f"{a.commit}^{{tree}}")
    report = two.fetch()
    assert [backup.name for backup in report.backups] == ["a"]
    assert [note.partition(" ")[0] for note in report.notes] == [
        "other_20240101_000000",
        "plain_20240101_000000",
        "tree_20240101_000000",
    ]
    operations = len(two.operations())
    assert two.fetch().backups == ()
    assert len(two.operations()) == operations
    with pytest.raises(RemoteError, match="no whole backup") as caught:
        two.fetch(FetchRequest(backups=("other",)))
    assert caught.value.exit_status == 14
    assert len(machine(tmp_path, "new").clone(str(remote)).backups) == 1
    assert two.push().plan.names == {}


def test_a_remote_that_lost_an_object_gives_nothing_and_nothing_changes(one: Cronos, two: Cronos, tmp_path: Path) -> None:
    make_tree(one.project, {"new": "only there"})
    lost = saved(one, "c")
    one.push()
    blob = git("--git-dir", one.store_path, "rev-parse", f"{lost.commit}:data/new").strip()
    remote = tmp_path / "remote.git"
    for pack in (remote / "objects/pack").glob("*.pack"):
        moved = pack.rename(tmp_path / pack.name)
        with moved.open("rb") as file:
            subprocess.run(["git", "--git-dir", remote, "unpack-objects", "-q"], stdin=file, check=True)
    (remote / "objects" / blob[:2] / blob[2:]).unlink()
    before, packs = two.backups(), {path.name for path in two.store.pack_dir.iterdir()}
    with pytest.raises(RemoteError) as caught:
        two.fetch()
    assert caught.value.exit_status == 14
    assert unchanged(two, before, packs)
    assert len(two.fetch(FetchRequest(backups=("a_", "b_"))).backups) == 2


@pytest.mark.parametrize("entry", [b"..", b".git", b"a/b", b".", b""])
def test_hostile_names_in_trees_are_refused(one: Cronos, two: Cronos, remote: Path, entry: bytes) -> None:

    put_hostile(remote, entry)
    before, packs = two.backups(), {path.name for path in two.store.pack_dir.iterdir()}
    with pytest.raises(RemoteError):
        two.fetch()
    assert unchanged(two, before, packs)
    assert not list(two.project.parent.glob("evil*"))
