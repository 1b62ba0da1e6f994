"""Puts one tight pack in the place of all packs, with what refs lead to and nothing else.

    git pack-objects into a workshop beside the packs -> every byte read back and hashed -> moved in -> old packs removed

Git finds the objects and their deltas; nothing of the old is removed before the new has been read back. What may be dropped is
`ops.compact`'s to say; folding many packs into few, which drops nothing, is `git.maintenance`'s. Call everything here under the
store's exclusive lock, as an object that no ref leads to yet would go. Floor F6.

Source: git-pack-objects(1); gitrepository-layout(5) for what lies beside a pack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from cronos_git.disk import files, stage
from cronos_git.disk.directories import make_directory
from cronos_git.disk.usage import tree_size
from cronos_git.errors import DamageError, DiskFullError, GitCommandError
from cronos_git.events import Advanced, Run, Started
from cronos_git.git.packcheck import PackCheck, PackTable, read_tables
from cronos_git.git.packindex import ObjectIndex
from cronos_git.git.session import Completed, GitSession
from cronos_git.git.store import Store

_WORKSHOP = "compact"
_BESIDE = (".idx", ".rev", ".bitmap", ".mtimes", ".keep", ".pack")
"""What belongs to a pack, in the order in which it goes: without its index, Git sees a pack no more."""
_PACKING = ("--delta-base-offset", "--threads=0", "--compression=6", "--window=10", "--depth=50", "--window-memory=256m")
_PHASES = {"Compressing": "compare", "Writing": "pack"}
_PROGRESS = re.compile(r"(Compressing|Writing) objects: +\d+% \((\d+)/(\d+)\)")
_NO_SPACE = re.compile(r"no space left|disk quota|out of diskspace", re.IGNORECASE)


def all_refs(store: Store) -> dict[str, str]:
    """The object of every ref by the ref's name, also of those that CRONOS did not make.

    Raises:
        DamageError: A ref cannot be read.
    """
    found = _git(store, "for-each-ref", "--format=%(objectname) %(refname)")
    if found.stderr:  # git passes over broken refs, and what they led to would go
        raise _unsound(found.stderr.decode("utf-8", "replace").strip())
    told = found.stdout.decode("utf-8", "surrogateescape")
    return {name: oid for oid, _, name in (line.partition(" ") for line in told.splitlines())}


def packed_bytes(store: Store, suffix: str = "") -> int:
    """Bytes of all packs, loose objects and indexes, or of the files with that suffix."""
    return tree_size(store.path / "objects", suffix)


def is_one_pack(store: Store) -> bool:
    """Whether all objects lie in one pack."""
    return len(store.index.packs) == 1 and not any(_loose_directories(store))


def needed_bytes(store: Store, tips: Iterable[str]) -> int:
    """Bytes on disk of all that *tips* lead to.

    Raises:
        DamageError: Something of it is missing or damaged.

    Cost: every distinct commit and tree is read.
    """
    names = "".join(f"{oid}\n" for oid in set(tips))
    if not names:
        return 0
    return int(_git(store, "rev-list", "--objects", "--disk-usage", "--stdin", stdin=names.encode()).stdout)


def clean(store: Store) -> None:
    """Remove what a killed compaction left in its workshop."""
    _remove(_workshop(store).glob("*"))


def make_pack(store: Store, tips: Iterable[str], run: Run, *, full: bool) -> None:
    """Pack all that *tips* lead to, in the workshop.

    Args:
        full: Look for deltas among all objects, and deflate anew; else keep the deltas there are, and what was tried once.

    Raises:
        DamageError: Something of it is missing or damaged.
        DiskFullError: There is no room for it beside the old packs; nothing was changed.
        InterruptedRunError: The run was cancelled; nothing was changed.

    Durability: the pack is durable, and nobody reads from it yet.
    Cost: every object read and written, and with *full* compared with ten others; up to 256 MiB of memory a thread.
    """
    make_directory(_workshop(store))
    _remove_unfinished(store)
    names = "".join(f"{oid}\n" for oid in set(tips)).encode()
    anew = ("--no-reuse-delta", "--no-reuse-object") if full else ()
    options = ("--progress", "--revs", "--non-empty", *_PACKING, *anew)
    try:
        _git(store, "pack-objects", *options, str(_workshop(store) / "pack"), stdin=names, watch=_Progress(run))
        _sync(_workshop(store).iterdir())
    except BaseException:
        _remove_unfinished(store)
        raise


def _remove_unfinished(store: Store) -> None:
    """Git begins a pack among the others, under a name of its own."""
    clean(store)
    _remove(store.pack_dir.glob("tmp_*_*"))


def _remove(paths: Iterable[Path]) -> None:
    try:
        for path in sorted(paths):
            files.unlink(path)
    except OSError as error:
        raise files.host_error(error, "remove what a killed compaction left") from error


def _sync(paths: Iterable[Path]) -> None:
    try:
        for path in sorted(paths):
            with path.open("rb") as file:
                files.fsync_file(file.fileno(), path)
    except OSError as error:
        raise files.host_error(error, "make the compacted pack durable") from error


def check_pack(store: Store, run: Run) -> list[PackTable]:
    """Read back every byte of what is in the workshop; what it holds, which is nothing for a store without backups.

    Raises:
        DamageError: It is not as it should be, so the disk or an object in the store is damaged.
        InterruptedRunError: The run was cancelled.
    """
    tables, problems = read_tables(_workshop(store))
    index = ObjectIndex(_workshop(store))

    def read(name: bytes) -> tuple[str, bytes]:
        found = index.read(name)
        if found is None:
            raise DamageError(f"Object {name.hex()} is not in the pack that lists it.", oid=name.hex())
        return found

    check = PackCheck(read, run)
    for table in tables:
        check.check(table)
    told = [*(error.message for error in check.faults.values()), *(problem.text for problem in (*problems, *check.problems))]
    if told:
        raise _unsound(told[0])
    return tables


def put_in_place(store: Store, tables: Iterable[PackTable]) -> None:
    """Move the new pack to the others, and remove these.

    Durability: the new pack is durable before the first old one goes; killed in between, some objects lie in two packs.
    """
    pack_dir = store.pack_dir
    kept = {table.path.name for table in tables}
    old = [path.stem for path in sorted(pack_dir.glob("pack-*.pack")) if path.name not in kept]
    try:
        for name in sorted(kept):
            _move_in(_workshop(store) / name, pack_dir)
        files.fsync_directory(pack_dir)
        for path in sorted(pack_dir.glob("multi-pack-index*")):
            files.unlink(path)
        for stem in old:
            for suffix in _BESIDE:
                files.unlink(pack_dir / (stem + suffix))
        files.fsync_directory(pack_dir)
    except OSError as error:
        raise files.host_error(error, "put the compacted pack in place") from error


def drop_packed(store: Store) -> None:
    """Remove loose objects that lie in a pack too, and pack the refs."""
    _git(store, "prune-packed", "-q")
    _git(store, "pack-refs", "--all")


def _move_in(pack: Path, pack_dir: Path) -> None:
    """The index comes last: with it, the pack is seen."""
    for suffix in reversed(_BESIDE):
        if pack.with_suffix(suffix).exists():
            files.rename(pack.with_suffix(suffix), pack_dir / pack.with_suffix(suffix).name)


def require_space(store: Store, wanted_bytes: int) -> None:
    """Raise DiskFullError when a pack of that size has no room beside the old ones."""
    free = stage.free_bytes(store.path)
    if free < wanted_bytes:
        raise _full(f"{wanted_bytes:,} bytes are to be written beside the old packs, but only {free:,} are free at {store.path}.")


def _loose_directories(store: Store) -> Iterator[Path]:
    return (store.path / "objects").glob("[0-9a-f][0-9a-f]/*")


def _workshop(store: Store) -> Path:
    return store.cronos_dir / _WORKSHOP


class _Progress:
    """Makes events of what git says of its progress."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._phase = ""

    def __call__(self, line: str) -> None:
        self._run.checkpoint()
        if told := _PROGRESS.match(line):
            if told[1] != self._phase:
                self._phase = told[1]
                self._run.emit(Started(_PHASES[told[1]], int(told[3])))
            self._run.emit(Advanced(int(told[2]), 0))


def _git(store: Store, *args: str, stdin: bytes | None = None, watch: Callable[[str], None] | None = None) -> Completed:
    try:
        return GitSession(store.path).run(*args, stdin=stdin, watch=watch)
    except GitCommandError as error:
        if _NO_SPACE.search(error.message):
            raise _full("The disk became full while the pack was written.") from error
        raise _unsound(error.message) from error


def _full(text: str) -> DiskFullError:
    return DiskFullError(f"{text} Nothing was changed.", hint="Free space there; deleted backups do not help before this ran.")


def _unsound(text: str) -> DamageError:
    return DamageError(f"{text.rstrip('. ')}. Nothing was removed.", hint="Run `cronos verify` to see what is damaged.")
