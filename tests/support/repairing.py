"""What tests of repairs share: a small store with everything in it, damage of every kind, and what must hold after a repair."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from cronos_git.engine import Cronos
from cronos_git.git.pack import PackWriter
from cronos_git.git.packindex import ObjectIndex
from cronos_git.model import Loss, PruneRequest, RepairReport, RestoreRequest, SnapshotRequest
from tests.support.engine import make_engine
from tests.support.git import git
from tests.support.trees import Link, Special, make_tree, read_tree

Objects = dict[bytes, tuple[str, bytes]]


class World:
    """A project with four backups (one of a module) and one in the trash, which can be damaged and made new again.

    Attributes:
        states: What each backup restores to when nothing is damaged, by id.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        engine = self.engine()
        noise = random.Random(1).randbytes(3000)
        make_tree(engine.project, {"a": "one", "big": noise, "dir/deep/f": "two", "dir/same": "one", "empty": {}, "l": Link("a")})
        make_tree(engine.project, {"dir/.gitmodules": "[submodule]\n\turl = -x\n", "p": Special("fifo")})
        engine.snapshot(SnapshotRequest(name="first", message="hello", description="some\ntext", labels=("x",)))
        (engine.project / "dir/deep/f").write_text("three")
        engine.snapshot(SnapshotRequest(name="second", metadata={"k": 1}))
        engine.snapshot(SnapshotRequest(name="mod", modules=("dir",)))
        (engine.project / "big").write_bytes(noise[:-5] + b"12345")
        engine.snapshot(SnapshotRequest(name="third"))
        engine.snapshot(SnapshotRequest(name="gone"))
        engine.delete(["gone"])
        self.store = engine.store_path
        self.project = engine.project
        self.states = self._restored(engine, root / "states")
        self._keep_copies()

    def engine(self) -> Cronos:
        """A new engine, as another process would have it."""
        return make_engine(self.root, chunk_threshold=2000)

    def reset(self) -> None:
        """Make store and project new again."""
        for name in ("stores", "project"):
            shutil.rmtree(self.root / name, ignore_errors=True)
            _copy(self.root / "copies" / name, self.root / name)

    def empty_project(self) -> None:
        """Let the project hold nothing, so that nothing can be had from it."""
        shutil.rmtree(self.project)
        self.project.mkdir()

    def _keep_copies(self) -> None:
        for name in ("stores", "project"):
            shutil.rmtree(self.root / "copies" / name, ignore_errors=True)
            _copy(self.root / name, self.root / "copies" / name)

    def fold(self) -> None:
        """Let the store have one pack, from now on."""
        rewrite(self.store, objects_of(self.store))
        self._keep_copies()

    def _restored(self, engine: Cronos, into: Path, ids: Iterable[str] | None = None) -> dict[str, dict[str, tuple[object, ...]]]:
        found = {}
        for backup_id in ids or [backup.id for backup in engine.backups()]:
            target = into / backup_id
            engine.apply_restore(engine.plan_restore(RestoreRequest(backup=backup_id, target=str(target))))
            found[backup_id] = read_tree(target)
        return found

    # --- what must hold ---

    def check(self, report: RepairReport, room: Path) -> None:
        """After a repair all is sound, what is not told as lost is as it was, and everything works again."""
        engine = self.engine()
        assert report.remaining == ()
        self.assert_sound(engine)
        again = engine.plan_repair()
        assert (again.steps, again.lost) == ((), ())
        self.assert_restorable(engine, report.plan.lost, room)
        engine.snapshot(SnapshotRequest(name="later"))
        engine.apply_prune(engine.plan_prune(PruneRequest(limits={"max_backups": 1})))
        self.assert_sound(engine)

    def assert_sound(self, engine: Cronos) -> None:
        git("--git-dir", self.store, "fsck", "--full", "--strict", "--no-dangling")
        assert engine.verify().damage == ()

    def assert_restorable(self, engine: Cronos, lost: Iterable[Loss], room: Path) -> None:
        """Every backup is there and restores as it was but for what is told as lost."""
        losses = list(lost)
        gone = {loss.backup for loss in losses if loss.kind == "backup"}
        assert {backup.id for backup in engine.backups()} | gone >= self.states.keys()
        for backup_id, state in self._restored(engine, room, self.states.keys() - gone).items():
            hit = [loss for loss in losses if loss.backup == backup_id]
            wanted = self.states[backup_id]
            for path in wanted.keys() | state.keys():
                old, new = wanted.get(path), state.get(path)
                assert old == new or _is_below(path, hit) or any(_explains(loss, path, old, new) for loss in hit), (
                    *(backup_id, path, old, new, hit),
                )


def _is_below(path: str, hit: Iterable[Loss]) -> bool:
    """Whether a path lies in a directory of which neither the contents nor the attributes tell any more."""
    kinds = {(loss.path, loss.kind) for loss in hit}
    both = {at for at, kind in kinds if kind == "directory"} & {at for at, kind in kinds if kind == "attributes"}
    return any(path == at or path.startswith(f"{at}/" if at else "") for at in both)


def _explains(loss: Loss, path: str, old: tuple[object, ...] | None, new: tuple[object, ...] | None) -> bool:
    """Whether a path may differ because of a loss."""
    if loss.kind == "content":
        return (path == loss.path and new is None) or (path == loss.left_in and old is None)
    if loss.kind == "attributes":  # of what a directory holds, and of itself; what only attributes tell of is gone
        inside = path == loss.path or path.rpartition("/")[0] == loss.path
        return inside and old is not None and (new is None or old[6] == new[6])
    return False


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, ignore=lambda _, names: [name for name in names if name == "p"])


# --- the store, taken apart ---


def pack_dir(store: Path) -> Path:
    return store / "objects/pack"


def packs_of(store: Path) -> list[Path]:
    """The packs in the order in which they were written; their names, and those of objects, are others in every run."""
    return by_age(pack_dir(store).glob("*.pack"))


def by_age(paths: Iterable[Path]) -> list[Path]:
    """Files in the order in which they were written."""
    return sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name))


def objects_of(store: Path) -> Objects:
    """Every object that can be read, in the order in which they were written."""
    index = ObjectIndex(pack_dir(store))
    packs = {pack.path.stem: pack for pack in index.packs}
    ordered = [packs[path.stem] for path in packs_of(store) if path.stem in packs]
    names = [pack.name(at) for pack in ordered for at in sorted(range(pack.count), key=pack.offset)]
    return {name: found for name in names if (found := index.read(name))}


def rewrite(store: Path, objects: Objects) -> None:
    """Let the store hold these objects in one pack and nothing else."""
    for path in pack_dir(store).iterdir():
        path.unlink()
    writer = PackWriter(pack_dir(store), lambda _oid: False)
    for kind, body in objects.values():
        writer.add(kind, body)
    writer.finish()
    writer.release()


def garble(path: Path, at: float, flip: int = 0x20) -> None:
    """Change one byte, at a share of the file's length."""
    body = bytearray(path.read_bytes())
    body[min(int(at * len(body)), len(body) - 1)] ^= flip
    replace(path, bytes(body))


def cut(path: Path, at: float) -> None:
    """Cut a file to a share of its length."""
    replace(path, path.read_bytes()[: int(at * path.stat().st_size)])


def replace(path: Path, content: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(content)


Damaging = Callable[[Path], object]
"""Damages one file."""
