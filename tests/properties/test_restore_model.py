"""Random walks over edits, backups, restores in place and undos, each restore compared with `tests.support.restore_model`."""

from __future__ import annotations

import os
import random
import shutil
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from cronos_git.model import RestorePlan, RestoreReport, RestoreRequest, SnapshotRequest
from tests.support.clock import FakeClock
from tests.support.engine import LATER, make_engine
from tests.support.git import git
from tests.support.restore_model import (
    CACHE_TAG,
    Kept,
    Outcome,
    Rules,
    Tree,
    assert_is,
    assert_told,
    is_taken,
    is_within,
    observe,
    restored,
)

NAMES = ("a", "b", "c", "d.bak", "n.log", "x.pyc", "__pycache__", "a-b", "caf\udce9", ".gitignore", ".cronosignore", ".git")
LINES = ("*.log", ".cronosignore", "b/", "/a", "!n.log", "c", "/c/", "*.bak", "!d.bak", "!__pycache__/")
TIMES = (0, 1, 1_600_000_000_000_000_001, 1_700_000_000_123_456_789, 2_000_000_000_000_000_000)


class Walk:
    """One project under random edits, and what the model says it is."""

    def __init__(self, room: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.log: list[str] = []
        choose = self.random.choice
        self.rules = Rules(exclude=choose(((), ("*.bak",))), gitignore=choose((False, True)))
        self.engine = make_engine(
            room,
            clock=FakeClock(LATER) if choose((True, False)) else FakeClock(),
            exclude=self.rules.exclude,
            respect_gitignore=self.rules.gitignore,
            chunk_threshold=choose((4096, 1 << 20)),
        )
        self.root = self.engine.project
        self.outside = room / "outside"
        self.outside.mkdir()
        self.backups: list[Kept] = []
        self.before: Tree | None = None
        self.is_edited = False
        self.is_whole = False

    def step(self) -> None:
        steps: dict[Callable[[], None], int] = {self.edit: 60, self.create: 12, self.restore: 20, self.undo: 8}
        (chosen,) = self.random.choices(list(steps), list(steps.values()))
        chosen()

    # --- edits ---

    def edit(self) -> None:
        edits = (
            (self.write, 6),
            (self.write_rules, 2),
            (self.make_directory, 4),
            (self.remove, 3),
            (self.rename, 3),
            (self.change_mode, 2),
            (self.change_time, 2),
            (self.change_xattr, 1),
            (self.link, 4),
            (self.link_outside, 1),
            (self.make_symlink, 1),
            (self.make_fifo, 1),
            (self.tag_cache, 0.3),
        )
        (chosen,) = self.random.choices([edit for edit, _ in edits], [weight for _, weight in edits])
        try:
            chosen()
        except OSError as error:
            self.log.append(f"  could not: {error}")
        self.is_edited = True
        self.done["edits"] += 1

    def note(self, *words: object) -> None:
        self.log.append(" ".join(map(str, words)))

    def paths(self, kind: Callable[[int], bool]) -> list[str]:
        return sorted(path for path, node in observe(self.root).items() if kind(node.kind))

    def any_path(self) -> str:
        return self.random.choice(self.paths(lambda _kind: True)[1:] or ["nothing"])

    def any_file(self) -> str:
        return self.random.choice(self.paths(stat.S_ISREG) or ["nothing"])

    def new_path(self) -> str:
        above = self.random.choice([path for path in self.paths(stat.S_ISDIR) if path.count("/") < 2])
        name = self.random.choice(NAMES)
        return f"{above}/{name}" if above else name

    def clear(self, path: str) -> Path:
        place = self.root / path
        if self.random.random() < 0.7 and place.is_dir() and not place.is_symlink():
            raise OSError("directories are removed more rarely")
        self.delete(place)
        return place

    def delete(self, place: Path) -> None:
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)

    def write(self) -> None:
        path = self.random.choice((self.new_path, self.any_file))()
        place = self.root / path
        size = self.random.choice((0, 1, 10, 30, 30, 3000))
        self.note("write", path, size)
        if place.is_dir() or place.is_symlink() or place.is_fifo():
            place = self.clear(path)
        flags = self.random.choice((os.O_TRUNC, os.O_TRUNC, os.O_APPEND, 0))
        fd = os.open(place, os.O_CREAT | os.O_WRONLY | flags)
        text = self.random.randbytes(size).hex() if self.random.random() < 0.7 else "same"
        os.write(fd, b"#" + text.encode())  # a comment, as it may be an ignore file
        os.close(fd)

    def write_rules(self) -> None:
        above = self.random.choice([path for path in self.paths(stat.S_ISDIR) if path.count("/") < 2])
        place = self.root / above / self.random.choice((".cronosignore", ".cronosignore", ".gitignore"))
        lines = self.random.sample(LINES, self.random.randint(0, 3))
        self.note("rules", place.relative_to(self.root), lines)
        self.delete(place)
        place.write_text("\n".join(lines))

    def make_directory(self) -> None:
        path = self.new_path()
        self.note("mkdir", path)
        self.clear(path).mkdir()

    def remove(self) -> None:
        path = self.any_path()
        self.note("remove", path)
        self.delete(self.root / path)

    def rename(self) -> None:
        source, target = self.any_path(), self.new_path()
        self.note("rename", source, target)
        if not is_within(target, (source,)) and not is_within(source, (target,)):
            os.rename(self.root / source, self.clear(target))

    def change_mode(self) -> None:
        path = self.any_path()
        mode = self.random.choice((0o644, 0o755, 0o555, 0o600, 0o4755, 0o2750, 0o1777))
        self.note("chmod", path, oct(mode))
        if not (self.root / path).is_symlink():
            (self.root / path).chmod(mode)

    def change_time(self) -> None:
        path, time = self.any_path(), self.random.choice(TIMES)
        self.note("utime", path, time)
        os.utime(self.root / path, ns=(time, time), follow_symlinks=False)

    def change_xattr(self) -> None:
        path = self.any_path()
        self.note("xattr", path)
        if (self.root / path).is_symlink():
            return
        if os.listxattr(self.root / path):
            os.removexattr(self.root / path, "user.a")
        else:
            os.setxattr(self.root / path, "user.a", self.random.choice((b"1", b"2")))

    def link(self) -> None:
        source, target = self.any_file(), self.new_path()
        self.note("link", source, target)
        if source != target:
            os.link(self.root / source, self.clear(target))

    def link_outside(self) -> None:
        place = self.outside / self.random.choice("pq")
        if place.exists() and self.random.random() < 0.7:
            target = self.new_path()
            self.note("link from outside", place.name, target)
            os.link(place, self.clear(target))
        else:
            source = self.any_file()
            self.note("link to outside", source, place.name)
            place.unlink(missing_ok=True)
            os.link(self.root / source, place)

    def make_symlink(self) -> None:
        path = self.new_path()
        self.note("symlink", path)
        self.clear(path).symlink_to(self.random.choice(("a", "b/c", "../outside", "caf\udce9")))

    def make_fifo(self) -> None:
        path = self.new_path()
        self.note("fifo", path)
        os.mkfifo(self.clear(path))

    def tag_cache(self) -> None:
        above = self.random.choice(self.paths(stat.S_ISDIR)[1:] or ["nothing"])
        self.note("tag", above)
        (self.root / above / "CACHEDIR.TAG").write_bytes(CACHE_TAG)

    # --- what CRONOS does ---

    def create(self) -> None:
        tree = observe(self.root)
        modules: tuple[str, ...] = ()
        if self.random.random() < 0.3 and len(tree) > 1:
            modules = tuple(self.random.sample(sorted(tree)[1:], self.random.randint(1, min(2, len(tree) - 1))))
        exclude = ("c/",) if self.random.random() < 0.2 else ()
        self.note("create", modules, exclude)
        report = self.engine.snapshot(SnapshotRequest(modules=modules, exclude=exclude))
        assert report.problems == ()
        rules = Rules(exclude=self.rules.exclude, request=exclude, gitignore=self.rules.gitignore)
        kept = Kept(id=report.backup.id, tree=tree, rules=rules, scope=modules or ("",))
        assert {entry.path for entry in self.engine.view(report.backup).walk()} == kept.held().keys()
        self.backups.append(kept)
        self.done["backups"] += 1

    def restore(self) -> None:
        if not self.backups:
            return
        kept = self.random.choice(self.backups)
        strategy = self.random.choice(("replace", "replace", "overwrite"))
        held = sorted(kept.held())
        paths = tuple(self.random.sample(held, self.random.randint(1, min(2, len(held))))) if self.random.random() < 0.4 else ()
        before = observe(self.root)
        self.note("restore", kept.id, strategy, paths)
        request = RestoreRequest(backup=kept.id, strategy=strategy, paths=paths)  # type: ignore[arg-type]
        outcome = restored(before, self.rules, kept, paths, keeps_extra=strategy == "overwrite")
        report = self.carry_out(request, outcome, before)
        if report.restore_point:
            self.before, self.is_edited, self.is_whole = before, False, not paths and kept.scope == ("",)
        after = observe(self.root)
        planned = [change for change in self.engine.plan_restore(request).changes if change.action != "kept"]
        # The restore may have changed what the rules exclude, and so what a second one sees.
        is_still = restored(after, self.rules, kept, paths, keeps_extra=strategy == "overwrite").tree == after
        assert (planned == []) is is_still, planned
        if self.random.random() < 0.4:
            self.undo()
            self.undo()
        self.done["restores"] += 1

    def carry_out(self, request: RestoreRequest, outcome: Outcome, before: Tree) -> RestoreReport:
        around = observe(self.outside)
        plan = self.engine.plan_restore(request)
        assert observe(self.root) == before
        is_planned = self.random.random() < 0.5
        report = self.engine.apply_restore(plan) if is_planned else self.engine.restore(request)
        assert report.problems == (), report.problems
        after = observe(self.root)
        assert_is(outcome, before, after)
        assert_told(actions_of(plan), before, after)
        self.check_outside(around)
        return report

    def undo(self) -> None:
        if self.before is None:
            return
        target, now, around = self.before, observe(self.root), observe(self.outside)
        self.note("undo", "after edits" if self.is_edited else "")
        report = self.engine.undo()
        assert report.problems == (), report.problems
        after = observe(self.root)
        # A name that the rules exclude, then or now, cannot be joined by others.
        seen = [path for path in target if self.is_seen(target, path) and (path not in now or self.is_seen(now, path))]
        groups = {path: target[path].inode for path in seen if not target[path].is_directory}
        if not self.is_edited:
            assert_is(Outcome(tree=target, restored=frozenset(target), groups=groups), now, after)
            self.done["undos"] += 1
        elif self.is_whole:
            files = [path for path, node in target.items() if not node.is_directory and self.is_seen(target, path)]
            assert {path: after.get(path) for path in files} == {path: target[path] for path in files}
            self.done["undos after edits"] += 1
        if report.restore_point:
            self.before, self.is_edited = now, False
        self.check_outside(around)

    def is_seen(self, tree: Tree, path: str) -> bool:
        return not path or is_taken(tree, self.rules, path, is_directory=tree[path].is_directory)

    def check_outside(self, around: Tree) -> None:
        found = observe(self.outside)
        assert found == around
        assert [node.inode for node in found.values()] == [node.inode for node in around.values()]


def actions_of(plan: RestorePlan) -> dict[str, str]:
    found: dict[str, str] = {}
    for change in plan.changes:
        assert change.path not in found
        found[change.path] = change.action
    return found


def run_walk(room: Path, seed: int, steps: int) -> Counter[str]:
    """One walk; its story is told when it fails."""
    room.mkdir()
    walk = Walk(room, seed)
    try:
        for _ in range(10):
            walk.edit()
        for _ in range(steps):
            walk.step()
        if walk.backups:
            git("--git-dir", walk.engine.store_path, "fsck", "--full", "--strict", "--no-dangling")
    except BaseException as error:
        error.add_note(f"seed {seed}:\n" + "\n".join(walk.log))
        raise
    finally:
        shutil.rmtree(room)
    return walk.done


def run_walks(room: Path, seeds: range, steps: int) -> Counter[str]:
    return sum((run_walk(room / str(seed), seed, steps) for seed in seeds), Counter[str]())


def test_random_walks_end_where_the_model_says(tmp_path: Path) -> None:
    done = run_walks(tmp_path, range(60), 40)
    assert min(done[what] for what in ("backups", "restores", "undos")) > 50


@pytest.mark.long
def test_long_random_walks_end_where_the_model_says(tmp_path: Path) -> None:
    run_walks(tmp_path, range(1000, 4000), 60)
