"""Pushes to real repositories: what is sent, what is not, and what two machines make of one remote."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import RemoteError, StoreLockedError, StoreMissingError, UsageError
from cronos_git.events import Advanced, Event, Finished, Run, Started
from cronos_git.model import AmendRequest, CompactRequest, PushRequest, RestoreRequest, SnapshotRequest
from cronos_git.ops import push
from tests.support.engine import make_engine
from tests.support.git import git
from tests.support.remotes import (
    APPEND_ONLY,
    assert_sound,
    hook,
    listed,
    machine,
    make_remote,
    names,
    object_count,
    saved,
)
from tests.support.trees import make_tree


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path / "remote.git", *APPEND_ONLY)


@pytest.fixture
def engine(tmp_path: Path, remote: Path) -> Cronos:
    """An engine that knows the remote as origin."""
    made = machine(tmp_path)
    made.add_remote("origin", str(remote))
    return made


def forget(engine: Cronos, *backups: str) -> None:
    """Delete backups for good."""
    engine.delete(backups)
    engine.compact(CompactRequest(trash_days=0))


# --- what is sent ---


def test_a_push_sends_what_is_missing_and_a_second_one_nothing(engine: Cronos, remote: Path) -> None:
    first = saved(engine, "a")
    saved(engine, "b")
    plan = engine.plan_push()
    assert ([backup.name for backup in plan.missing], plan.there, listed(remote)) == (["a", "b"], 0, {})
    report = engine.push()
    assert report.pushed == tuple(backup.id for backup in plan.missing)
    assert (report.branches, report.notes) == (("main",), ())
    assert listed(remote)[first.id] == first.tag
    assert git("--git-dir", remote, "log", "--format=%s", "main").split() == ["b", "a"]
    again = engine.push()
    assert (again.pushed, again.branches, again.objects, again.plan.there) == ((), (), 0, 2)
    assert_sound(remote, engine.store_path)
    (operation,) = [one for one in engine.operations() if one.verb == "push"]
    assert operation.result == "done"


def test_only_what_is_asked_for_is_sent_and_the_timeline_is_not(engine: Cronos, remote: Path) -> None:
    saved(engine, "a")
    saved(engine, "b")
    report = engine.push(PushRequest(backups=("a",)))
    assert (names(remote), report.branches) == ("a", ())
    assert engine.push(PushRequest(backups=("latest",))).pushed
    assert names(remote) == "ab"


@pytest.mark.parametrize("files", [20, 200])
def test_a_change_sends_the_same_few_objects_however_large_the_project_is(engine: Cronos, remote: Path, files: int) -> None:
    make_tree(engine.project, {f"d{number % 5}/f{number}": str(number) for number in range(files)})
    saved(engine, "a")
    assert engine.push().objects > files
    make_tree(engine.project, {"d1/f1": "changed"})
    saved(engine, "b")
    before = object_count(remote)
    report = engine.push()
    assert (report.objects, object_count(remote) - before) == (14, 14)


def test_after_local_pruning_and_compaction_no_more_is_sent(engine: Cronos, remote: Path) -> None:
    make_tree(engine.project, {f"d{number % 5}/f{number}": str(number) for number in range(100)})
    first = saved(engine, "a")
    saved(engine, "b")
    engine.push()
    make_tree(engine.project, {"d1/f1": "changed"})
    saved(engine, "c")
    forget(engine, first.id)
    before = object_count(remote)
    report = engine.push()
    assert (names(remote), report.branches) == ("abc", ())
    assert "The branch main was not moved there" in report.notes[0]
    assert report.objects <= 20
    assert object_count(remote) - before <= 20
    saved(engine, "d")
    engine.amend(AmendRequest(backups=("c",), pinned=True))
    again = engine.push()
    assert (again.objects <= 16, again.notes) == (True, ())  # the timeline is not offered again
    assert engine.push().objects == 0
    git("--git-dir", remote, "update-ref", "-d", "refs/heads/main")
    assert engine.push().branches == ("main",)
    assert_sound(remote)


def test_a_backup_of_a_module_sends_only_what_is_new_in_it(engine: Cronos, remote: Path) -> None:
    make_tree(engine.project, {f"docs/{number}": str(number) for number in range(50)})
    saved(engine, "a")
    engine.push()
    make_tree(engine.project, {"docs/1": "changed"})
    saved(engine, "m", modules=("docs",))
    report = engine.push()
    assert report.branches == ("module/docs",)
    assert report.objects <= 16
    assert_sound(remote)


def test_a_push_is_told_as_it_goes(engine: Cronos) -> None:
    saved(engine, "a")
    events: list[Event] = []
    engine.push(run=Run(emit=events.append))
    assert [type(event) for event in events if not isinstance(event, Advanced)] == [Started, Finished] * 2
    assert any(isinstance(event, Advanced) and event.done_files for event in events)


# --- what a remote refuses ---


def test_a_remote_that_only_takes_new_tags_refuses_amendments_and_removals_with_a_note(engine: Cronos, remote: Path) -> None:
    saved(engine, "a")
    saved(engine, "b")
    engine.push()
    hook(remote, "update", 'case "$1 $2" in refs/tags/*" 00000"*) ;; refs/tags/*) echo only new tags >&2; exit 1;; esac\n')
    before = listed(remote)
    engine.amend(AmendRequest(backups=("b",), pinned=True))
    engine.delete(["a"])
    plain = engine.push()
    assert ([one.name for one in plain.plan.amended], [one.id[0] for one in plain.plan.dropped]) == (["b"], ["a"])
    report = engine.push(PushRequest(amended=True, prune=True))
    assert (report.amended, report.removed, listed(remote)) == ((), (), before)
    assert re.fullmatch("b_.* was not amended there: .*only new tags.*", report.notes[0])
    assert re.fullmatch("a_.* was not removed there: .*only new tags.*", report.notes[1])


def test_a_remote_that_allows_it_is_amended_and_pruned_when_asked(engine: Cronos, tmp_path: Path) -> None:
    remote = make_remote(tmp_path / "free.git")
    engine.add_remote("free", str(remote))
    saved(engine, "a")
    saved(engine, "b")
    engine.push(PushRequest(remote="free"))
    engine.amend(AmendRequest(backups=("b",), pinned=True))
    engine.delete(["a"])
    assert engine.push(PushRequest(remote="free")).amended == ()
    report = engine.push(PushRequest(remote="free", amended=True, prune=True))
    (kept,) = engine.backups()
    assert (report.amended, [one[0] for one in report.removed]) == ((kept.id,), ["a"])
    assert listed(remote) == {kept.id: kept.tag}
    assert engine.push(PushRequest(remote="free", amended=True, prune=True)).amended == ()


def test_a_hook_that_declines_everything_is_quoted_and_nothing_is_lost(engine: Cronos, remote: Path) -> None:
    saved(engine, "a")
    hook(remote, "pre-receive", "echo 'quota of 5 backups'; exit 1\n")
    with pytest.raises(RemoteError, match="quota of 5 backups") as caught:
        engine.push()
    assert (caught.value.exit_status, names(remote)) == (14, "")
    assert engine.operations()[0].result == "failed"
    (remote / "hooks/pre-receive").unlink()
    assert len(engine.push().pushed) == 1


def test_a_hook_that_declines_some_lets_the_others_in(engine: Cronos, remote: Path) -> None:
    for name in "abc":
        saved(engine, name)
    update = hook(remote, "update", 'case "$1" in */b_*) echo no b >&2; exit 1;; esac\n')
    with pytest.raises(RemoteError, match=r"1 of 3 backups, such as b_.*no b") as caught:
        engine.push()
    assert names(remote) == "ac"
    (first, second) = cast(list[str], caught.value.context["pushed"])
    assert (first[0], second[0]) == ("a", "c")
    update.unlink()
    assert [one[0] for one in engine.push().pushed] == ["b"]
    assert_sound(remote)


def test_a_remote_that_is_gone_is_told_and_nothing_else_happens(engine: Cronos, remote: Path, tmp_path: Path) -> None:
    saved(engine, "a")
    remote.rename(tmp_path / "away")
    with pytest.raises(RemoteError, match="could not be asked") as caught:
        engine.push()
    assert caught.value.exit_status == 14
    assert engine.verify().damage == ()


def test_what_stands_in_the_way_at_the_remote_is_gone_around(engine: Cronos, remote: Path) -> None:
    backup = saved(engine, "a")
    other = saved(engine, "b")
    git("--git-dir", engine.store_path, "push", "--quiet", remote, f"{other.commit}:refs/tags/backup/{backup.id}")
    report = engine.push()
    assert report.plan.names == {backup.id: f"{backup.id}_2"}
    assert listed(remote)[f"{backup.id}_2"] != backup.tag
    assert engine.push().pushed == ()


# --- several remotes ---


def test_remotes_are_chosen_by_name(tmp_path: Path) -> None:
    engine = machine(tmp_path)
    with pytest.raises(StoreMissingError):
        engine.push()
    saved(engine, "a")
    with pytest.raises(UsageError, match="no remotes"):
        engine.push()
    for name in ("one", "two"):
        engine.add_remote(name, str(make_remote(tmp_path / f"{name}.git")))
    with pytest.raises(UsageError, match="several"):
        engine.push()
    with pytest.raises(UsageError, match="no remote 'three'"):
        engine.push(PushRequest(remote="three"))
    with pytest.raises(UsageError, match="already"):
        engine.add_remote("one", "/elsewhere")
    engine.push(PushRequest(remote="two"))
    assert (names(tmp_path / "one.git"), names(tmp_path / "two.git")) == ("", "a")
    engine.remove_remote("two")
    assert [remote.name for remote in engine.remotes()] == ["one"]
    assert len(engine.push().pushed) == 1


def test_a_remote_is_compared_by_ids(engine: Cronos, tmp_path: Path) -> None:
    saved(engine, "a")
    saved(engine, "b")
    engine.push()
    saved(engine, "c")
    engine.amend(AmendRequest(backups=("b",), pinned=True))
    engine.delete(["a"])
    report = engine.check_remote()
    assert (report.same, len(report.missing), len(report.amended), len(report.others)) == (0, 1, 1, 1)
    assert (report.missing[0][0], report.amended[0][0], report.others[0][0]) == ("c", "b", "a")


# --- several machines ---


def test_two_machines_that_make_the_same_id_keep_both_at_one_remote(tmp_path: Path, remote: Path) -> None:
    one, two = machine(tmp_path, "one"), machine(tmp_path, "two")
    for engine in (one, two):
        engine.add_remote("origin", str(remote))
    mine = saved(one, "nightly", "of one")
    other = saved(two, "nightly", "of two")
    assert mine.id == other.id
    one.push()
    report = two.push()
    assert report.plan.names == {other.id: f"{other.id}_2"}
    assert report.branches == ("machine/two/main",)
    assert sorted(listed(remote, "refs/heads/")) == ["machine/two/main", "main"]
    assert sorted(listed(remote)) == [mine.id, f"{mine.id}_2"]
    for engine in (one, two):
        again = engine.push()
        assert (again.pushed, again.branches, again.objects) == ((), (), 0)
        assert (again.plan.amended, again.plan.dropped) == ((), ())
    saved(two, "later")
    assert two.push().branches == ("machine/two/main",)
    assert_sound(remote, one.store_path, two.store_path)


def test_a_backup_that_was_renamed_there_is_dropped_here_and_stays_dropped(tmp_path: Path) -> None:
    remote = make_remote(tmp_path / "r.git")
    one, two = machine(tmp_path, "one"), machine(tmp_path, "two")
    for engine in (one, two):
        engine.add_remote("origin", str(remote))
        saved(engine, "nightly", engine.identity.host)
        saved(engine, "later", engine.identity.host)
        engine.push()
    two.delete(["nightly"])
    two.compact(CompactRequest(trash_days=0))
    plan = two.plan_fetch()
    assert {copy.id.partition("_")[0] for copy in plan.missing} == {"nightly", "later"}  # those of the other machine
    taken = one.backups()[1].id
    assert [copy.id for copy in plan.dropped] == [f"{taken}_2"]
    two.fetch()
    assert [copy.id for copy in two.plan_fetch().dropped] == [f"{taken}_2"]


def test_a_backup_that_was_renamed_there_is_removed_there_when_asked(tmp_path: Path) -> None:
    remote = make_remote(tmp_path / "r.git")
    one, two = machine(tmp_path, "one"), machine(tmp_path, "two")
    for engine in (one, two):
        engine.add_remote("origin", str(remote))
        saved(engine, "nightly", engine.identity.host)
        saved(engine, "later", engine.identity.host)
        engine.push()
    two.delete(["nightly"])
    taken = one.backups()[1].id
    assert two.push(PushRequest(prune=True)).removed == (f"{taken}_2",)
    assert [backup_id for backup_id in listed(remote) if backup_id.startswith("nightly")] == [taken]


def test_backups_of_others_are_never_amended_or_removed_there(tmp_path: Path) -> None:
    remote = make_remote(tmp_path / "r.git")
    one, two = machine(tmp_path, "one"), machine(tmp_path, "two")
    for engine in (one, two):
        engine.add_remote("origin", str(remote))
        saved(engine, engine.identity.host)
    one.push()
    two.fetch()
    before = listed(remote)
    report = two.push(PushRequest(amended=True, prune=True))
    assert (report.plan.amended, report.plan.dropped) == ((), ())
    two.delete(["one"])
    assert two.push(PushRequest(amended=True, prune=True)).removed == ()
    assert before.items() <= listed(remote).items()


def test_a_timeline_of_another_machine_is_not_replaced_once_its_backups_were_fetched(tmp_path: Path, remote: Path) -> None:
    one, two = machine(tmp_path, "one"), machine(tmp_path, "two")
    for engine in (one, two):
        engine.add_remote("origin", str(remote))
        saved(engine, engine.identity.host)
    one.push()
    tip = listed(remote, "refs/heads/")["main"]
    two.fetch()
    assert "machine/two/main" in two.push().branches
    assert listed(remote, "refs/heads/")["main"] == tip
    new = machine(tmp_path, "new")
    new.clone(str(remote))
    saved(one, "more")
    one.push()
    one.fetch()
    one.push()
    for engine in (one, two, new, one, two, new):
        engine.fetch()
        engine.push()
    for engine in (one, two, new):
        again = engine.push()
        assert (again.pushed, again.branches, again.notes, engine.fetch().backups) == ((), (), (), ())
    assert_sound(remote)


# --- at the same time ---


def test_backups_can_be_made_while_a_push_goes_on_and_compactions_cannot(
    engine: Cronos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(engine, "a")
    saved(engine, "b")
    other = machine(tmp_path)
    other.clock.time = engine.clock.now()  # type: ignore[attr-defined]
    plain = push.Pushing.apply

    def busy(pushing: push.Pushing) -> object:
        saved(other, "c")
        other.delete(["a"])
        with pytest.raises(StoreLockedError):
            other.compact(CompactRequest(trash_days=0))
        return plain(pushing)

    monkeypatch.setattr(push.Pushing, "apply", busy)
    assert [one[0] for one in engine.push().pushed] == ["a", "b"]
    monkeypatch.undo()
    other.compact(CompactRequest(trash_days=0))
    assert [one[0] for one in engine.push().pushed] == ["c"]


def test_automatic_compaction_waits_silently_for_a_push(tmp_path: Path) -> None:
    engine = machine(tmp_path, auto_prune=True, max_backups=1, retention_days=0, trash_days=0)
    notices: list[Event] = []
    make_tree(engine.project, {"large": bytes(range(256)) * 4096})
    with_push = machine(tmp_path)
    saved(engine, "a")
    with with_push.store.objects_stay():
        for name in "bc":
            make_tree(engine.project, {"which": name})
            engine.snapshot(SnapshotRequest(name=name), Run(emit=notices.append))
    assert not [notice for notice in notices if "compact" in str(notice)]


def test_a_restore_point_is_pushed_as_any_backup(engine: Cronos, remote: Path) -> None:
    saved(engine, "a")
    make_tree(engine.project, {"which": "changed"})
    engine.restore(RestoreRequest(backup="a", strategy="replace"))
    assert len(engine.push().pushed) == 2
    assert engine.push().pushed == ()
    assert make_engine(tmp_path := remote.parent / "testhost").plan_undo().backup, tmp_path


def test_what_is_remembered_of_branches_is_disposable(engine: Cronos, tmp_path: Path) -> None:
    remote = make_remote(tmp_path / "free.git")
    engine.add_remote("free", str(remote))
    saved(engine, "a")
    saved(engine, "b")
    request = PushRequest(remote="free")
    engine.push(request)
    assert json.loads((engine.store.cronos_dir / "pushed.json").read_bytes())["free"]
    forget(engine, "a")
    assert engine.push(request).branches == ("main",)
    forget_memory = engine.store.cronos_dir / "pushed.json"
    forget_memory.write_bytes(b"[]")
    saved(engine, "c")
    assert engine.push(request).branches == ("main",)


def test_what_is_in_the_trash_here_is_not_sent_again(engine: Cronos) -> None:
    make_tree(engine.project, {f"f{number}": str(number) for number in range(50)})
    saved(engine, "a")
    engine.push()
    saved(engine, "b")
    engine.delete(["a"])
    assert engine.push().objects <= 12


def test_two_pushes_at_once_do_not_meet(engine: Cronos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(engine, "a")
    other = machine(tmp_path)
    plain = push.Pushing._send_missing

    def busy(pushing: push.Pushing, known: list[str]) -> dict[str, str]:
        with pytest.raises(StoreLockedError):
            other.push()
        return plain(pushing, known)

    monkeypatch.setattr(push.Pushing, "_send_missing", busy)
    assert len(engine.push().pushed) == 1
    monkeypatch.undo()
    assert other.push().pushed == ()
