"""The store: one bare Git repository outside the project, made, opened, locked, read; and the only writer of its refs.

Objects come from packs by `git.packindex`, and loose ones, which only stock git makes, by `git.loose`. New objects are written
by `git.pack`. What lies where, and whether it may be opened, is `git.layout`'s; what objects mean is told by `rules.record`,
`git.view` and `git.timeline`. Floor F6.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from cronos_git.disk import files
from cronos_git.disk.directories import build_directory, make_directory
from cronos_git.errors import ObjectMissingError, RefusedError
from cronos_git.git import layout, refs
from cronos_git.git.loose import read_loose
from cronos_git.git.packindex import ObjectIndex
from cronos_git.git.trees import EMPTY_TREE
from cronos_git.model import Backup
from cronos_git.rules.record import format_json

_NAME_MAX_BYTES = 200


def store_path(backup_dir: Path, project_root: Path) -> Path:
    """Where the store of a project lies: `<backup_dir>/<name>-<8 hex digits of sha256(real path)>.git`.

    A name of more than 200 bytes is cut, as the file system allows 255.
    """
    real = os.path.realpath(project_root)
    name = Path(real).name or "root"
    while len(os.fsencode(name)) > _NAME_MAX_BYTES:
        name = name[:-1]
    return backup_dir / f"{name}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:8]}.git"


class Store:
    """An open store; made by `create` or `open`.

    Reading may go on in several threads. Refs are written by one process at a time, which holds the exclusive lock.

    Attributes:
        path: The bare repository.
        project_root: Real path of the project, as recorded when the store was made.
    """

    def __init__(self, path: Path, project_root: str) -> None:
        self.path = path
        self.project_root = project_root
        self._locked_exclusively = False

    # --- made and opened --------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: Path, *, project_root: str, created: datetime, tool_version: str) -> Store:
        """Make the store, or open it when another process was faster. Starts no git.

        Raises:
            DiskFullError, AccessError, HostError: It could not be made; nothing is left behind.
            All errors of `open`: Something else stands there.

        Durability: when this returns, the store survives a power cut; if killed earlier, there is none.
        """
        stamp = created.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
        record = {"format": layout.FORMAT, "project_root": project_root, "created_at": stamp, "tool_version": tool_version}
        build_directory(path, layout.skeleton(format_json(record)))
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open an existing store. Cost: a few system calls; no library is loaded yet.

        Raises:
            StoreMissingError: There is no store.
            RefusedError: It belongs to another user, others may write in it, or it borrows objects from another repository.
            StoreFormatError: It is no store, or one that this CRONOS does not know.
            RecordFormatError: Its `cronos/format.json` cannot be read, or is gone while backups are there.
        """
        try:
            return cls(path, layout.inspect(path))
        except OSError as error:
            raise files.host_error(error, f"open the store {path}") from error

    def move(self, path: Path, *, project_root: str) -> Store:
        """Let the store be that of a project elsewhere: record *project_root*, then rename it to *path*, where nothing stands.

        Raises:
            StoreLockedError: Somebody is at work in it.
            DiskFullError, AccessError, HostError: It stands where it stood; *path* is on another file system, for example.

        Durability: when this returns, both survive a power cut; if killed in between, the same call again finishes.
        """
        mark = self.cronos_dir / "format.json"
        with self.lock():
            before = mark.read_bytes()
            make_directory(path.parent)
            files.write_durable(mark, format_json({**json.loads(before), "project_root": project_root}))
            try:
                files.rename(self.path, path)
                files.fsync_directory(path.parent)
            except OSError as error:
                if mark.exists():  # else it has moved
                    files.write_durable(mark, before)
                raise files.host_error(error, f"move the store to {path}") from error
        return type(self).open(path)

    @property
    def pack_dir(self) -> Path:
        """Where packs lie."""
        return self.path / "objects" / "pack"

    @property
    def cronos_dir(self) -> Path:
        """Where CRONOS keeps what is not Git's."""
        return self.path / "cronos"

    @property
    def statcache(self) -> Path:
        """Where the stat cache lies (`disk.fingerprints`)."""
        return self.cronos_dir / "statcache"

    @property
    def tag_cache(self) -> Path:
        """Where `ops.tagcache` lies."""
        return self.cronos_dir / "tags"

    @contextlib.contextmanager
    def lock(
        self, *, shared: bool = False, wait_s: float = 0.0, checkpoint: Callable[[], object] = lambda: None
    ) -> Iterator[None]:
        """Hold the store's lock: exclusive to write, shared to read objects that must stay.

        Args:
            wait_s: How long to try, in seconds; 0 tries once.
            checkpoint: Called between two tries; what it raises ends the waiting.

        Raises:
            StoreLockedError: Another process holds it.
        """
        with files.locked(self.cronos_dir / "lock", shared=shared, wait_s=wait_s, checkpoint=checkpoint):
            self._locked_exclusively = not shared
            try:
                yield
            finally:
                self._locked_exclusively = False

    @contextlib.contextmanager
    def objects_stay(self, *, shared: bool = True) -> Iterator[None]:
        """Keep every compaction away, for a transfer that takes long and must not keep backups from being made.

        Args:
            shared: False for the compaction itself.

        Raises:
            StoreLockedError: A compaction, or for it a transfer, is going on.
        """
        with files.locked(self.cronos_dir / "objects.lock", shared=shared):
            yield

    # --- objects ----------------------------------------------------------------------------------------------------

    def read(self, oid: str) -> tuple[str, bytes]:
        """Kind (`commit`, `tree`, `blob`, `tag`) and body of an object, its hash checked.

        Raises:
            ObjectMissingError: The store does not have it.
            HashMismatchError: Its bytes cannot be decoded or do not hash to its id.

        Cost: the whole object in memory.
        """
        name = bytes.fromhex(oid)
        if name == EMPTY_TREE:
            return "tree", b""  # Git knows it without storing it
        found = self._find(name)
        if found is None and self.index.refresh():  # another process has folded the packs since we looked
            found = self._find(name)
        if found is None:
            raise _missing(name)
        return found

    def _find(self, name: bytes) -> tuple[str, bytes] | None:
        return self.index.read(name) or read_loose(self.path / "objects", name)

    def refresh(self) -> None:
        """See packs that were added since the store was opened."""
        self.index.refresh()

    def reopen(self) -> None:
        """Forget the packs seen so far, so that the next look also tells of those that were cut short or lost since."""
        vars(self).pop("index", None)

    @functools.cached_property
    def index(self) -> ObjectIndex:
        """The objects in the store's packs."""
        return ObjectIndex(self.pack_dir)

    @property
    def whole_packs(self) -> list[str]:
        """Names of the packs that can be read and have not been cut short, as of the last look."""
        return sorted(pack.path.stem for pack in self.index.packs if pack.is_whole)

    def look_again(self) -> list[str]:
        """`whole_packs` as of now."""
        self.reopen()
        return self.whole_packs

    # --- refs -------------------------------------------------------------------------------------------------------

    def tags(self) -> refs.BackupTags:
        """The refs of all backups, in no order, and what is wrong with those that are damaged.

        Cost: about 10 microseconds for each ref that is not packed, 1 for each that is.
        """
        return refs.backup_tags(self.path)

    def trash_tags(self) -> refs.BackupTags:
        """The refs of all backups in the trash. Cost: as for `tags`."""
        return refs.backup_tags(self.path, refs.TRASH)

    def ref(self, name: str) -> str | None:
        """The object id that a ref such as `refs/heads/main` holds, None when there is none.

        Raises:
            DamageError: The ref is there, but holds no object id.
        """
        return refs.read_ref(self.path, name)

    def create_tag_ref(self, backup_id: str, oid: str) -> None:
        """Let the backup exist: make `refs/tags/backup/<id>`. Needs the exclusive lock.

        Raises:
            RefusedError: That id is taken.
            DiskFullError, AccessError, HostError: The backup does not exist.

        Durability: when this returns, the ref survives a power cut; if killed earlier, it does not exist.
        """
        name = refs.BACKUP_TAGS + backup_id
        if os.path.lexists(self.path / name) or self.ref(name) is not None:
            raise RefusedError(f"There is a backup {backup_id} already; it is not replaced.", hint="Run the command again.")
        self.set_ref(name, oid)

    def set_ref(self, name: str, oid: str) -> None:
        """Let a ref hold *oid*, whatever it held. Needs the exclusive lock.

        Raises:
            DiskFullError, AccessError, HostError: The ref stands as it was.

        Durability: when this returns, the ref survives a power cut; if killed earlier, the old value stands.
        """
        if self._locked_exclusively:
            # Every other CRONOS is shut out, so a lock file was left by a killed one. Could it be that of a stock git at work
            # this instant, that git fails with an error, as its lock is gone, and no ref is torn: each is renamed in whole.
            refs.break_lock(self.path, name)
        refs.write_ref(self.path, name, oid)

    def add_tag_refs(self, below: str, backups: Iterable[Backup]) -> None:
        """Let every backup have its ref below `refs.BACKUP_TAGS` or `refs.TRASH`, all in one step. Needs the exclusive lock.

        Raises:
            DamageError: The file of packed refs is damaged.
            StoreLockedError: A git that is at work, or was killed, has locked it.
            DiskFullError, AccessError, HostError: It could not be written.

        Durability: when this returns, the refs survive a power cut; if killed earlier, all or none exist.
        """
        refs.add_tag_refs(self.path, {below + backup.id: refs.TagRef(backup.tag, backup.commit) for backup in backups})

    def remove_refs(self, names: Collection[str]) -> None:
        """Remove refs, packed or not; those that do not exist are passed over. Needs the exclusive lock.

        Raises:
            All errors of `add_tag_refs`.

        Durability: when this returns, they stay away after a power cut; if killed earlier, some may be left.
        """
        refs.remove_refs(self.path, names)


def _missing(name: bytes) -> ObjectMissingError:
    return ObjectMissingError(
        f"Object {name.hex()} is not in the store.",
        hint="Run `cronos verify` to see which backups and paths are hit.",
        oid=name.hex(),
    )
