"""A project to be restored in place, with everything in it that a restore can meet, put back as it was for each fault."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cronos_git.disk.walk import STAGING_PREFIX
from cronos_git.engine import Cronos
from cronos_git.events import Event, Noticed, Run
from cronos_git.model import RestoreReport, RestoreRequest, SnapshotRequest
from cronos_git.ops.undoing import METADATA_KEY
from tests.support.engine import make_engine
from tests.support.git import git
from tests.support.trees import File, Link, Node, Special, make_tree, read_tree

Tree = dict[str, tuple[Any, ...]]
AGO = 1_700_000_000_000_000_000
ODD = os.fsdecode(b"caf\xe9")

THEN: dict[str, Node] = {
    "same size": b"then",
    "other size": b"then" * 4000,
    "deep/er/and/deeper": b"then",
    "back/again/file": b"then",
    "to file": b"then",
    "to directory/inside/x": b"then",
    "link": Link("then"),
    "link to file": Link("nowhere"),
    "file to link": b"then",
    "mode": File(b"same", mode=0o600, mtime_ns=AGO),
    "mtime": File(b"same", mtime_ns=AGO),
    "xattr": File(b"same", mtime_ns=AGO, xattrs=(("user.then", b"1"),)),
    "hard/1": b"then together",
    "hard/2": File(hard="hard/1"),
    "hard/3": File(b"apart", mtime_ns=AGO),
    "hard/4": File(b"apart", mtime_ns=AGO),
    "hard/5": b"then",
    "hard/6": File(hard="hard/5"),
    "empty then": {},
    "sealed/in": b"then",
    "shut/mode": File(b"same", mode=0o600, mtime_ns=AGO),
    "in the way.cache": b"then",
    "fifo then": Special("fifo"),
    f"{ODD}/{ODD}": b"then",
    f"{ODD}/link": Link(ODD),
}
NOW: dict[str, Node] = {
    "same size": b"now!",
    "other size": b"now",
    "deep/er/and/deeper": b"now",
    "deep/new/x/y": b"now",
    "to file/inside/y": b"now",
    "to directory": b"now",
    "link": Link("now"),
    "link to file": b"now",
    "file to link": Link("nowhere"),
    "mode": File(b"same", mode=0o755, mtime_ns=AGO),
    "mtime": File(b"same", mtime_ns=AGO + 1),
    "xattr": File(b"same", mtime_ns=AGO, xattrs=(("user.now", b"1"),)),
    "hard/1": b"now",
    "hard/2": b"now apart",
    "hard/3": File(b"apart", mtime_ns=AGO),
    "hard/4": File(hard="hard/3"),
    "hard/5": b"now, still together",
    "hard/6": File(hard="hard/5"),
    "empty now": {},
    "sealed/in": b"now",
    "sealed/new": b"now",
    "shut/mode": File(b"same", mode=0o644, mtime_ns=AGO),
    "new": b"now",
    "in the way.cache": b"mine",
    "untouched.cache": b"mine",
    "hard/untouched.cache": b"mine",
    "fifo now": Special("fifo"),
    f"{ODD}/{ODD}": b"now",
    f"{ODD}/new {ODD}": b"now",
}
UNTOUCHED = ("untouched.cache", "hard/untouched.cache")
PATHS = ("to file", "to directory", "back/again", "hard", "sealed", "link", ODD, "xattr", "fifo then")

Verb = Callable[[Cronos], RestoreReport]


def replace(engine: Cronos) -> RestoreReport:
    return engine.restore(RestoreRequest(backup="then", strategy="replace"))


def overwrite(engine: Cronos) -> RestoreReport:
    return engine.restore(RestoreRequest(backup="then", strategy="overwrite"))


def some_paths(engine: Cronos) -> RestoreReport:
    return engine.restore(RestoreRequest(backup="then", strategy="replace", paths=PATHS))


def without_point(engine: Cronos) -> RestoreReport:
    return engine.restore(RestoreRequest(backup="then", strategy="replace", restore_point=False))


def undo(engine: Cronos) -> RestoreReport:
    return engine.undo()


def merge(engine: Cronos) -> RestoreReport:
    return engine.restore(RestoreRequest(backup="then", strategy="merge", base="base", on_conflict="markers"))


VERBS: tuple[Verb, ...] = (replace, overwrite, some_paths, without_point, undo, merge)

_LINES = b"".join(b"line %d of a text that is known again\n" % number for number in range(20))
MERGED: dict[str, tuple[bytes, bytes, bytes]] = {
    "lines": (_LINES, _LINES.replace(b"line 2 ", b"then "), _LINES.replace(b"line 17 ", b"now ")),
    "contradiction": (b"1\n2\n3\n", b"1\nthen\n3\n", b"1\nnow\n3\n"),
    "binary": (b"\0base", b"\0then", b"\0now"),
    "taken": (b"base", b"then", b"base"),
}
"""Files of a merge in the base, then and now."""


def grow_merged(project: Path, when: str) -> None:
    """What a merge merges: edits, contradictions, and files that one side renamed; takes the backup `base` first."""
    renamed = {"then": ("then/renamed", "old 2"), "now": ("old 1", "now/renamed")}[when]
    if when == "then":
        _put(project, {name: texts[0] for name, texts in MERGED.items()})
        _put(project, {"old 1": _LINES + b"1\n", "old 2": _LINES[:400] + b"2\n"})
        make_engine(project.parent).snapshot(SnapshotRequest(name="base"))
        empty(project / "merge")
    _put(project, {name: texts[1 if when == "then" else 2] for name, texts in MERGED.items()})
    end = f"edited {when}\n".encode()
    _put(project, {renamed[0]: _LINES + b"1\n" + end, renamed[1]: _LINES[:400] + b"2\n"})


def _put(project: Path, tree: Mapping[str, bytes]) -> None:
    make_tree(project / "merge", dict(tree))


def _grow_nothing(_project: Path, _when: str) -> None: ...


@dataclass
class Scene:
    """A project, its store, and copies of both from before the restore that is to be disturbed."""

    room: Path
    verb: Verb
    old: Tree
    new: Tree
    untouched: tuple[int, ...] = ()
    points: int = 0

    @property
    def project(self) -> Path:
        return self.room / "project"

    def engine(self) -> Cronos:
        return make_engine(self.room, exclude=("*.cache",))

    def work(self) -> RestoreReport:
        return self.verb(self.engine())

    def reset(self) -> None:
        """Everything as before the restore."""
        for name in ("project", "stores"):
            empty(self.room / name)
            copy(self.room / "saved" / name, self.room / name)
        self.untouched = self._untouched()

    def state(self) -> str:
        """`old` or `new`; any other state fails the test."""
        tree = read_tree(self.project)
        if tree == self.new:
            return "new"
        wrong = [f"{p!r}: {self.old.get(p)} != {tree.get(p)}" for p in self.old | tree if self.old.get(p) != tree.get(p)]
        assert not wrong, "\n".join(wrong[:10])
        return "old"

    def check(self, *, again: bool = True) -> str:
        """Nothing is left of a restore but the old or the new state, and the store is whole; which of both it is.

        Args:
            again: When it is the old one, do the restore again.
        """
        engine = self.engine()
        notices: list[Noticed] = []
        engine.notice = notices.append
        engine.backups()
        warnings = [notice.text for notice in notices if notice.level != "info"]
        assert warnings == [], warnings
        state = self.state()
        assert self.staging() == []
        assert self.journals() == []
        assert self._untouched() == self.untouched
        git("--git-dir", engine.store_path, "fsck", "--full", "--strict", "--no-dangling")
        if state == "old" and again:
            self.work()
            assert self.state() == "new"
        return state

    def staging(self) -> list[str]:
        return [path for path in read_tree(self.project) if STAGING_PREFIX in path]

    def journals(self) -> list[Path]:
        return list((self.engine().store_path / "cronos/journal").glob("*.json"))

    def count_points(self) -> int:
        """Restore points that `undo` would find, beyond those from before the restore."""
        return sum(METADATA_KEY in backup.metadata for backup in self.engine().backups()) - self.points

    def _untouched(self) -> tuple[int, ...]:
        found = [(self.project / name).lstat() for name in UNTOUCHED]
        return tuple(number for info in found for number in (info.st_ino, info.st_mtime_ns, info.st_ctime_ns))


def make_scene(room: Path, verb: Verb, grow: Callable[[Path, str], None] | None = None) -> Scene:
    """A project as `NOW`, with the backup `then` of `THEN`; for `undo`, that backup has been restored already.

    Args:
        grow: Adds to the project, first when it is as `THEN`, then when it is as `NOW`; None for what the verb needs.
    """
    if grow is None:
        grow = grow_merged if verb is merge else _grow_nothing
    engine = make_engine(room)
    make_tree(engine.project, THEN)
    seal(engine.project)
    grow(engine.project, "then")
    then = read_tree(engine.project)
    engine.snapshot(SnapshotRequest(name="then"))
    empty(engine.project)
    make_tree(engine.project, NOW)
    if verb is without_point:
        (engine.project / "in the way.cache").unlink()
    seal(engine.project)
    grow(engine.project, "now")
    scene = Scene(room, verb, {}, {})
    if verb is undo:
        replace(scene.engine())
    scene.points = scene.count_points()
    scene.old = read_tree(scene.project)
    (room / "saved").mkdir()
    for name in ("project", "stores"):
        copy(room / name, room / "saved" / name)
    scene.work()
    scene.new = read_tree(scene.project)
    assert scene.new != scene.old
    if verb in (replace, without_point):
        assert {path: node for path, node in scene.new.items() if path not in UNTOUCHED} == then
    return scene


def seal(project: Path) -> None:
    for name in ("sealed", "shut"):
        (project / name).chmod(0o555)
    for path in sorted(project.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            os.utime(path, ns=(AGO, AGO))


def empty(directory: Path) -> None:
    """Remove what is in a directory, down to mount points."""
    for path in directory.iterdir() if directory.exists() else ():
        if path.is_mount():
            empty(path)
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", f"{source}/.", target], check=True)


def notices(into: list[str]) -> Run:
    """A run that notes the codes of its notices."""

    def note(event: Event) -> None:
        if isinstance(event, Noticed):
            into.append(event.code)

    return Run(emit=note)
