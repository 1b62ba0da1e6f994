"""Groups of hard-linked names, then and now: `ab c` is one file with the names a and b, and another with the name c.

Capital letters are names outside the project. Restores are judged by `tests.support.restore_model`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cronos_git.disk.scanned import Directory, Scan, found
from cronos_git.engine import Cronos
from cronos_git.model import Attributes, Entry, RestoreRequest, SnapshotRequest
from cronos_git.ops.hardlinks import plan_links
from tests.support.engine import make_engine
from tests.support.restore_model import Kept, Rules, Tree, assert_is, assert_same_groups, observe, restored

GROUPS = {
    "grown": ("ab c", "abc"),
    "shrunk": ("abc", "ab c"),
    "merged": ("ab cd", "abcd"),
    "split": ("abcd", "ab cd"),
    "crossed": ("ab cd", "ac bd"),
    "the same": ("ab c", "ab c"),
    "a name gone": ("abc", "ab"),
    "a name more": ("ab", "abc"),
    "all but one gone": ("abc", "a"),
    "linked to the outside since": ("a b", "aX b"),
    "linked to the outside then": ("aX b", "a b X"),
    "linked to the outside then and now": ("abX c", "abX c"),
    "joined through the outside": ("ab c", "abX c"),
    "one outside, two inside": ("a b c", "abX c"),
    "moved to another outside file": ("abX", "aX bY"),
}
SAME, OTHER = 1_600_000_000_000_000_000, 1_700_000_000_000_000_000


class World:
    def __init__(self, room: Path) -> None:
        self.engine: Cronos = make_engine(room)
        self.inside, self.outside = self.engine.project, room / "outside"
        self.outside.mkdir()

    def place(self, name: str) -> Path:
        return (self.outside if name.isupper() else self.inside) / name

    def arrange(self, groups: str) -> None:
        """Make all files anew; all with one content and one time, so that only the groups tell them apart."""
        for place in (*self.inside.iterdir(), *self.outside.iterdir()):
            place.unlink()
        for first, *others in groups.split():
            self.place(first).write_bytes(b"same")
            os.utime(self.place(first), ns=(SAME, SAME))
            for name in others:
                os.link(self.place(first), self.place(name))
        os.utime(self.inside, ns=(SAME, SAME))

    def kept(self) -> Kept:
        tree = observe(self.inside)
        backup = self.engine.snapshot(SnapshotRequest()).backup
        return Kept(id=backup.id, tree=tree, rules=Rules(), scope=("",))

    def restore(self, kept: Kept, strategy: str, *paths: str) -> tuple[Tree, int]:
        """Restore, hold it against the model, plan again; the tree after and how many files were written."""
        before, around = observe(self.inside), observe(self.outside)
        request = RestoreRequest(backup=kept.id, strategy=strategy, paths=paths)  # type: ignore[arg-type]
        report = self.engine.restore(request)
        after = observe(self.inside)
        assert_is(restored(before, Rules(), kept, paths, keeps_extra=strategy == "overwrite"), before, after)
        assert observe(self.outside) == around
        assert self.engine.plan_restore(request).changes == ()
        return after, report.files


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("strategy", ["replace", "overwrite"])
@pytest.mark.parametrize("paths", [(), ("a",)], ids=["all", "one path"])
@pytest.mark.parametrize("changed", ["nothing", "mode", "time", "content"])
@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_groups_are_as_in_the_backup_and_nothing_is_written_through(
    world: World, groups: tuple[str, str], changed: str, paths: tuple[str, ...], strategy: str
) -> None:
    then, now = groups
    world.arrange(then)
    kept = world.kept()
    world.arrange(now)
    if changed == "mode":
        world.place("a").chmod(0o600)
    elif changed == "time":
        os.utime(world.place("a"), ns=(OTHER, OTHER))
    elif changed == "content":
        world.place("a").write_bytes(b"different")
    before = observe(world.inside)
    world.restore(kept, strategy, *paths)
    if world.engine.backups()[0].type == "restore-point":
        world.engine.undo()
    after = observe(world.inside)
    assert after == before
    assert_same_groups({name: node.inode for name, node in before.items()}, {name: node.inode for name, node in after.items()})


def test_a_name_that_is_missing_joins_the_file_that_is_there(world: World) -> None:
    world.arrange("abc")
    kept = world.kept()
    inode = world.place("a").stat().st_ino
    world.place("c").unlink()
    after, files = world.restore(kept, "replace")
    assert files == 1
    assert {after[name].inode for name in "abc"} == {inode}


def test_attributes_of_a_whole_group_are_set_without_writing_it_anew(world: World) -> None:
    world.arrange("abc")
    kept = world.kept()
    inode = world.place("a").stat().st_ino
    world.place("b").chmod(0o600)
    after, files = world.restore(kept, "replace")
    assert files == 0
    assert {after[name].inode for name in "abc"} == {inode}


def test_groups_that_were_made_anew_by_a_restore_are_left_alone_by_the_next(world: World) -> None:
    world.arrange("ab cd")
    kept = world.kept()
    world.arrange("a b c d")
    world.restore(kept, "replace")
    assert world.restore(kept, "replace")[1] == 0


def test_a_name_that_overwrite_keeps_is_not_written_through(world: World) -> None:
    world.arrange("abc")
    kept = world.kept()
    os.link(world.place("a"), world.place("d"))
    os.utime(world.place("a"), ns=(OTHER, OTHER))
    world.restore(kept, "overwrite")
    assert world.place("d").stat().st_mtime_ns == OTHER


def test_files_of_one_recorded_group_but_of_different_content_do_not_become_one(world: World) -> None:
    """A file that changes while the names of it are read may be stored twice; each name gets back what was read by it."""

    def entry(name: str, oid: str) -> Entry:
        attributes = Attributes(kind="file", name=name, mode=0o644, size_bytes=1, mtime_ns=1, uid=0, gid=0, link_group="ff")
        return Entry(path=name, oid=oid, attributes=attributes)

    top = Directory("", found(".", os.stat(world.inside)))
    pairs = {name: (None, entry(name, oid)) for name, oid in (("a", "1"), ("b", "2"), ("c", "2"))}
    links = plan_links(
        pairs,
        Scan(top=top, device=0),
        lambda _pair: False,
        covers=lambda _path: True,
        is_right_name=lambda *_names: False,
        is_another_file=lambda *_names: True,
    )
    assert links.sources == {"c": "b"}


def test_undo_parts_a_name_that_the_restore_of_one_path_joined_to_another(world: World) -> None:
    world.arrange("abX")
    kept = world.kept()
    world.place("a").unlink()
    world.place("X").unlink()
    world.place("a").write_bytes(b"same")
    os.utime(world.place("a"), ns=(SAME, SAME))
    os.link(world.place("a"), world.place("X"))
    os.link(world.place("b"), world.place("Y"))
    os.utime(world.inside, ns=(SAME, SAME))
    before = observe(world.inside)
    world.restore(kept, "overwrite", "a")
    assert world.place("a").samefile(world.place("b"))
    world.engine.undo()
    after = observe(world.inside)
    assert after == before
    assert_same_groups({name: node.inode for name, node in before.items()}, {name: node.inode for name, node in after.items()})
