"""What a store has lost comes back from its remote: objects, tags, whole packs; and what is told when it does not."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import RemoteError
from cronos_git.git import furniture
from cronos_git.git.furniture import Flaw
from cronos_git.model import FetchRequest, PushRequest, RestoreRequest, SnapshotRequest
from tests.support.clock import FakeClock
from tests.support.engine import LATER, make_engine
from tests.support.faults import run_and_kill
from tests.support.git import git

_SAMPLED_STEPS = 4


class Place:
    """A project whose files are gone, its store of three backups, and a remote that has them all."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.clock = FakeClock(LATER)
        self.remote = base / "remote.git"
        git("init", "--quiet", "--bare", self.remote)
        engine = self.engine()
        files = {f"d{number % 3}/f{number}": bytes([number]) * 2000 for number in range(12)}
        files["large"] = random.Random(5).randbytes(3 << 20)
        for path, content in files.items():
            (engine.project / path).parent.mkdir(exist_ok=True)
            (engine.project / path).write_bytes(content)
        engine.add_remote("nas", str(self.remote))
        for name in ("one", "two", "three"):
            (engine.project / "changing").write_text(name)
            engine.snapshot(SnapshotRequest(name=name, metadata={"of": name}))
            self.clock.advance(days=1)
        engine.push()
        shutil.copytree(engine.project, base / "before")
        shutil.rmtree(engine.project)
        engine.project.mkdir()

    def engine(self) -> Cronos:
        return make_engine(self.base, clock=self.clock, chunk_threshold=1 << 20)

    @property
    def packs(self) -> list[Path]:
        return sorted(self.engine().store.pack_dir.glob("*.pack"), key=lambda path: path.stat().st_mtime_ns)

    def lose(self, pack: Path) -> None:
        pack.unlink()
        pack.with_suffix(".idx").unlink()

    def assert_whole(self) -> None:
        engine = self.engine()
        assert engine.verify().damage == ()
        assert [backup.metadata for backup in engine.backups()] == [{"of": name} for name in ("three", "two", "one")]
        git("--git-dir", engine.store.path, "fsck", "--full", "--strict", "--no-dangling")
        target = self.base / "back"
        engine.apply_restore(engine.plan_restore(RestoreRequest(backup="latest", target=str(target))))
        assert (target / "large").read_bytes() == (self.base / "before" / "large").read_bytes()
        shutil.rmtree(target)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield Place(tmp_path)


def test_each_lost_pack_comes_back_with_its_tags(place: Place) -> None:
    for number in range(3):
        place.lose(place.packs[number])
        report = place.engine().repair()
        assert report.plan.lost == ()
        assert "the remote nas" in {step.subject for step in report.plan.steps if step.action == "refetch"}
        place.assert_whole()


def test_a_store_without_any_pack_is_whole_again(place: Place) -> None:
    for pack in place.packs:
        place.lose(pack)
    plan = place.engine().plan_repair()
    assert plan.lost == ()
    assert not place.packs
    place.engine().repair()
    place.assert_whole()


def flip_in_the_middle(pack: Path) -> None:
    pack.chmod(0o600)
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 0x20
    pack.write_bytes(content)


def test_the_remote_is_not_asked_for_what_the_project_still_has(place: Place) -> None:
    shutil.copytree(place.base / "before", place.engine().project, dirs_exist_ok=True)
    flip_in_the_middle(place.packs[0])  # a chunk of the large file
    place.remote.rename(place.base / "elsewhere.git")
    plan = place.engine().plan_repair()
    assert (plan.lost, plan.notes) == ((), ())
    assert [step.subject for step in plan.steps if step.action == "refetch"] == [f"the files of {place.engine().project}"]


def test_offline_nothing_is_asked(place: Place) -> None:
    place.lose(place.packs[0])
    assert place.engine().plan_repair(offline=True).lost
    assert not place.engine().plan_repair().lost


def test_nothing_is_given_up_while_a_remote_cannot_be_asked(place: Place) -> None:
    place.lose(place.packs[0])
    place.remote.rename(place.base / "elsewhere.git")
    refs = place.engine().store.tags()
    for attempt in (place.engine().plan_repair, place.engine().repair):
        with pytest.raises(RemoteError, match=r"remote nas may have\..*could not be asked"):
            attempt()
    assert place.engine().store.tags() == refs
    assert place.engine().plan_repair(offline=True).lost
    (place.base / "elsewhere.git").rename(place.remote)
    assert place.engine().repair().plan.lost == ()
    place.assert_whole()


def test_a_lost_configuration_gets_its_remotes_again_and_they_heal_the_rest(place: Place) -> None:
    engine = place.engine()
    engine.add_remote("other", str(place.base / "other.git"))
    engine.remove_remote("other")
    (engine.store.path / "config").write_bytes(b"")
    place.lose(place.packs[0])
    plan = place.engine().plan_repair()
    assert plan.steps[0].text == "it is damaged; it gets the remotes nas again"
    assert "No remote was asked for this plan" in plan.notes[-1]
    report = place.engine().repair()
    assert (report.plan.steps[0], report.plan.lost) == (plan.steps[0], ())
    assert [(remote.name, remote.url) for remote in place.engine().remotes()] == [("nas", str(place.remote))]
    place.assert_whole()


def test_remotes_in_a_damaged_configuration_are_kept_unless_git_would_run_something_for_them(tmp_path: Path) -> None:
    sections = b'[remote "a"]\n\turl = "https://me:secret@host/\\"x\\\\"\n', b'[remote "b"]\n\turl = "ext::sh -c evil"\n'
    (tmp_path / "config").write_bytes(b"[core\n\tbare = true\n" + b"".join(sections))
    flaw = furniture.with_remotes(tmp_path, Flaw(name="config", what="damaged", content=b"[core]\n"), {"c": "/c"})
    assert flaw.content == b"[core]\n" + sections[0] + b'[remote "c"]\n\turl = "/c"\n'


def test_what_no_single_remote_has_comes_from_several(place: Place) -> None:
    engine, other = place.engine(), place.base / "other.git"
    git("clone", "--quiet", "--bare", place.remote, other)
    first, *_, last = (backup.id for backup in engine.backups())
    for remote, lacking in ((place.remote, first), (other, last)):
        git("--git-dir", remote, "tag", "-d", f"backup/{lacking}")
    engine.add_remote("other", str(other))
    for pack in place.packs:
        place.lose(pack)
    report = place.engine().repair()
    assert report.plan.lost == ()
    assert {step.subject for step in report.plan.steps} >= {"the remote nas", "the remote other"}
    place.assert_whole()


def test_of_a_damaged_remote_the_backups_that_are_whole_there_are_taken(place: Place) -> None:
    third = place.engine().backups()[0].id
    only_there = git("--git-dir", place.remote, "rev-parse", f"backup/{third}:data/changing").strip()
    flip_in_the_middle(place.remote / "objects" / only_there[:2] / only_there[2:])
    for pack in place.packs:
        place.lose(pack)
    report = place.engine().repair()
    assert {loss.backup for loss in report.plan.lost} == {third}
    assert any("1 of the backups of the remote nas are damaged there, too" in note for note in report.plan.notes)


def test_a_remote_that_lacks_a_backup_gives_the_others(place: Place) -> None:
    lost = place.engine().backups()[-1].id
    git("--git-dir", place.remote, "tag", "-d", f"backup/{lost}")
    git("--git-dir", place.remote, "update-ref", "-d", "refs/heads/main")
    git("--git-dir", place.remote, "gc", "--quiet", "--prune=now")
    for pack in place.packs:
        place.lose(pack)
    report = place.engine().repair()
    assert {loss.backup for loss in report.plan.lost} == {lost}
    assert [backup.name for backup in place.engine().backups()] == ["three", "two"]


def test_a_damaged_remote_heals_nothing_with_what_is_damaged(place: Place) -> None:
    for pack in place.packs:
        place.lose(pack)
    git("--git-dir", place.remote, "repack", "-a", "-d", "-q")
    [pack] = (place.remote / "objects/pack").glob("*.pack")
    flip_in_the_middle(pack)
    with pytest.raises(RemoteError, match="nas may have"):
        place.engine().repair()
    report = place.engine().repair(offline=True)
    assert report.plan.lost
    assert report.remaining == ()


def test_a_repair_from_a_remote_may_be_killed_at_any_step(place: Place, pytestconfig: pytest.Config) -> None:
    saved = place.base / "saved"
    for pack in place.packs:
        place.lose(pack)
    store = place.engine().store.path
    shutil.copytree(store, saved, symlinks=True)
    at, sampled = 1, 0
    stride = 1 if pytestconfig.getoption("--long") else 16
    while not run_and_kill(lambda: place.engine().repair(), at):
        place.engine().repair()
        place.assert_whole()
        shutil.rmtree(store)
        shutil.copytree(saved, store, symlinks=True)
        at, sampled = at + stride, sampled + 1
    assert sampled >= _SAMPLED_STEPS


def test_what_is_fetched_after_a_repair_is_nothing(place: Place) -> None:
    place.lose(place.packs[1])
    place.engine().repair()
    assert place.engine().plan_fetch(FetchRequest()).missing == ()
    plan = place.engine().plan_push(PushRequest())
    assert (plan.missing, plan.amended) == ((), ())
