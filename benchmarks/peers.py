"""The tools and their commands.

How each is asked to do the same work, at its default strength:

cronos      this checkout, `python -m cronos_git`; the first backup also makes the store.
restic      encrypts and cannot be told not to; its cache is kept, as by default, but below the work directory.
borg        `-e none` and its default compression, lz4; caches below the work directory.
git         a fresh bare directory with `gc.auto=0`; a backup is `git add -A -f` and `git commit`, run inside the tree (`-f`
            because trees carry `.gitignore` files); a restore is `git checkout` of everything with an index of its own.
            Git keeps neither times, owners nor modes, and does not fsync loose objects.
git-repack  the same, and after the backup `git repack -adq`: Git's deltas, at their price. Only first backup and restore.
bup         `bup index` and `bup save`.
cp          `cp -a` of the tree itself, as a peer for restores.

To make a damaged tree what it was:

cronos        `restore --strategy replace`, after a restore point that keeps the damaged state, and verified.
cronos-plain  the same without either, which is what the others do. Only this row.
restic        `restore` over the tree, with `--overwrite if-changed --delete` where this version has them (0.17 and later).
git           `git checkout -f HEAD` and `git clean -fdx` (`-x` for the reason above), with the index of the last backup.
cp            `cp -a` of a pristine copy over the tree.
rsync         `rsync -a --delete` from a pristine copy. Only this row.

Making an empty store (`restic init` and so on) is never timed. Each store has a HOME, a TMPDIR and caches of its own, made
anew with it. Size is that of the store: the caches that restic and borg keep in HOME do not count, what others keep in the
store does.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from benchmarks.measure import Command, Step, hermetic_environment, run_step

ROOT = Path(__file__).resolve().parent.parent
BACKUP_ROWS = frozenset(("first", "unchanged", "changed", "restore", "large", "byte", "version", "list"))


class Peer(ABC):
    """One tool with one store of one tree.

    Attributes:
        name: What `--peers` and the table call it.
        rows: Keys of the rows that it takes part in.
        store: What is measured as stored.
    """

    name: ClassVar[str]
    rows: ClassVar[frozenset[str]] = BACKUP_ROWS

    def __init__(self, area: Path, tree: Path) -> None:
        self.tree = tree
        self.store = area / "store"
        self.home = area / "home"
        self.env = hermetic_environment(self.home)

    @classmethod
    def is_installed(cls) -> bool:
        """Whether the tool can be run here."""
        return shutil.which(cls.name) is not None

    @abstractmethod
    def initialise(self) -> Step:
        """Make the empty store."""

    @abstractmethod
    def backup(self, number: int) -> Step:
        """Back the tree up for the *number*-th time, from 0."""

    @abstractmethod
    def restore(self, target: Path) -> Step:
        """Bring the last backup back into the empty directory *target*."""

    @abstractmethod
    def list_backups(self) -> Step:
        """List the backups, one a line at least."""

    def version(self) -> Step:
        """Say the version: the least that the tool can do."""
        return [self.command(self.name, "--version")]

    def command(self, *argv: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> Command:
        """A command with this peer's environment, run inside the tree unless *cwd* says otherwise."""
        return Command(argv=tuple(map(str, argv)), cwd=cwd or self.tree, env=self.env | (env or {}))


class TaggingPeer(Peer):
    """A peer whose store is a Git repository with one tag for each backup, so that it can be given thousands of them."""

    @abstractmethod
    def git_dir(self) -> Path:
        """The repository."""

    @abstractmethod
    def tag_last(self) -> Step:
        """Tag the last backup, if making it did not."""

    @abstractmethod
    def list_tags(self) -> Step:
        """List the tagged backups with id, time and subject, one a line."""


class InPlacePeer(Peer):
    """A peer that can make a damaged tree what it was."""

    @abstractmethod
    def restore_in_place(self, pristine: Path) -> Step:
        """Make the tree what it was at the last backup; *pristine* is a copy of it, for tools without a store."""

    def remark(self) -> str:
        """How its work in place differs from that of the others."""
        return ""


class Cronos(TaggingPeer, InPlacePeer):
    name = "cronos"
    rows = BACKUP_ROWS | {"in-place", "list-many", "list-many-json"}
    _argv = (sys.executable, "-m", "cronos_git")

    def __init__(self, area: Path, tree: Path) -> None:
        super().__init__(area, tree)
        self.env["PYTHONPATH"] = str(ROOT)

    @classmethod
    def is_installed(cls) -> bool:
        return subprocess.run([*cls._argv, "--version"], cwd=ROOT, capture_output=True, check=False).returncode == 0

    def initialise(self) -> Step:
        return []

    def backup(self, number: int) -> Step:
        return [self._cronos("create")]

    def restore(self, target: Path) -> Step:
        return [self._cronos("restore", "latest", "--yes", "--to", target)]

    def restore_in_place(self, pristine: Path) -> Step:
        return [self._cronos("restore", "latest", "--strategy", "replace", "--yes", "-q")]

    def remark(self) -> str:
        return "takes a restore point first and verifies"

    def list_backups(self) -> Step:
        return [self._cronos("list")]

    def list_as_json(self) -> Step:
        """The list for machines."""
        return [self._cronos("--json", "list")]

    def version(self) -> Step:
        return [self.command(*self._argv, "--version")]

    def git_dir(self) -> Path:
        [git_dir] = self.store.glob("*.git")
        return git_dir

    def tag_last(self) -> Step:
        return []

    def list_tags(self) -> Step:
        return self.list_backups()

    def _cronos(self, *argv: str | Path) -> Command:
        return self.command(*self._argv, "-C", self.tree, "--backup-dir", self.store, *argv)


class CronosPlain(Cronos):
    name = "cronos-plain"
    rows = frozenset(("in-place",))

    def restore_in_place(self, pristine: Path) -> Step:
        [restore] = super().restore_in_place(pristine)
        return [replace(restore, argv=(*restore.argv, "--no-restore-point", "--no-verify"))]

    def remark(self) -> str:
        return "no restore point, no verification"


class Restic(InPlacePeer):
    name = "restic"
    rows = BACKUP_ROWS | {"in-place"}

    def __init__(self, area: Path, tree: Path) -> None:
        super().__init__(area, tree)
        self.env |= {"RESTIC_PASSWORD": "benchmark", "RESTIC_CACHE_DIR": str(self.home / "cache")}

    def initialise(self) -> Step:
        return [self._restic("init")]

    def backup(self, number: int) -> Step:
        return [self._restic("backup", ".")]

    def restore(self, target: Path) -> Step:
        return [self._restic("restore", "latest", "--target", target)]

    def restore_in_place(self, pristine: Path) -> Step:
        options = ("--overwrite", "if-changed", "--delete") if self._restores_differences else ()
        command = self._restic("restore", "latest", "--target", self.tree, *options)
        return [command if options else replace(command, statuses=(0, 1))]  # 1: the symlinks that are there already

    def remark(self) -> str:
        if self._restores_differences:
            return ""
        return (
            "this version lacks `--overwrite` and `--delete`: it writes every file again, fails on links that exist, and "
            "deletes none"
        )

    @cached_property
    def _restores_differences(self) -> bool:
        options = run_step([self._restic("restore", "--help")]).split()
        return b"--overwrite" in options and b"--delete" in options

    def list_backups(self) -> Step:
        return [self._restic("snapshots")]

    def version(self) -> Step:
        return [self.command("restic", "version")]

    def _restic(self, *argv: str | Path) -> Command:
        return self.command("restic", "--quiet", "--repo", self.store, *argv)


class Borg(Peer):
    name = "borg"

    def __init__(self, area: Path, tree: Path) -> None:
        super().__init__(area, tree)
        self.env |= {"BORG_BASE_DIR": str(self.home), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
        self._last = ""

    def initialise(self) -> Step:
        return [self.command("borg", "init", "-e", "none", self.store)]

    def backup(self, number: int) -> Step:
        self._last = f"{self.store}::backup-{number}"
        return [self.command("borg", "create", self._last, ".")]

    def restore(self, target: Path) -> Step:
        return [self.command("borg", "extract", self._last, cwd=target)]

    def list_backups(self) -> Step:
        return [self.command("borg", "list", self.store)]


class Git(TaggingPeer, InPlacePeer):
    name = "git"
    rows = BACKUP_ROWS | {"in-place", "list-many"}

    def __init__(self, area: Path, tree: Path) -> None:
        super().__init__(area, tree)
        self.env["GIT_CONFIG_NOSYSTEM"] = "1"
        for who in ("AUTHOR", "COMMITTER"):
            self.env |= {f"GIT_{who}_NAME": "benchmark", f"GIT_{who}_EMAIL": "benchmark@localhost"}

    def initialise(self) -> Step:
        return [
            self.command("git", "init", "-q", "--bare", "-b", "main", self.store),
            self._git("config", "gc.auto", "0"),
            self._git("config", "maintenance.auto", "false"),
        ]

    def backup(self, number: int) -> Step:
        return [self._git("add", "-A", "-f", "."), self._git("commit", "-q", "--allow-empty", "-m", f"backup {number}")]

    def restore(self, target: Path) -> Step:
        # The index that knows the tree's times must not learn the target's: the next `git add` would read every file again.
        index = self.home / "restore-index"
        index.unlink(missing_ok=True)
        argv = ("git", "--git-dir", self.store, "--work-tree", target, "checkout", "-q", "-f", "HEAD", "--", ".")
        return [self.command(*argv, cwd=target, env={"GIT_INDEX_FILE": str(index)})]

    def restore_in_place(self, pristine: Path) -> Step:
        return [self._git("checkout", "-q", "-f", "HEAD", "--", "."), self._git("clean", "-f", "-d", "-x", "-q")]

    def list_backups(self) -> Step:
        return [self._git("log", "--format=%h %cI %s")]

    def git_dir(self) -> Path:
        return self.store

    def tag_last(self) -> Step:
        return [self._git("tag", "-a", "-m", "backup", "backup/backup_20240101_000000")]

    def list_tags(self) -> Step:
        return [self._git("for-each-ref", "--format=%(refname) %(taggerdate:iso-strict) %(subject)", "refs/tags/backup")]

    def _git(self, *argv: str) -> Command:
        return self.command("git", "--git-dir", self.store, "--work-tree", self.tree, *argv)


class GitRepack(Git):
    name = "git-repack"
    rows = frozenset(("first", "restore"))

    @classmethod
    def is_installed(cls) -> bool:
        return Git.is_installed()

    def backup(self, number: int) -> Step:
        return [*super().backup(number), self._git("repack", "-a", "-d", "-q")]


class Bup(Peer):
    name = "bup"

    def __init__(self, area: Path, tree: Path) -> None:
        super().__init__(area, tree)
        self.env |= {"BUP_DIR": str(self.store), "GIT_CONFIG_NOSYSTEM": "1"}

    def initialise(self) -> Step:
        return [self.command("bup", "init")]

    def backup(self, number: int) -> Step:
        return [self.command("bup", "index", "-u", "."), self.command("bup", "save", "-q", "--strip", "-n", "bench", ".")]

    def restore(self, target: Path) -> Step:
        return [self.command("bup", "restore", "-q", "-C", target, "/bench/latest/.")]

    def list_backups(self) -> Step:
        return [self.command("bup", "ls", "/bench")]


class Cp(InPlacePeer):
    name = "cp"
    rows = frozenset(("restore", "in-place"))

    def initialise(self) -> Step:
        return []

    def backup(self, number: int) -> Step:
        return []

    def restore(self, target: Path) -> Step:
        return [self.command("cp", "-a", f"{self.tree}/.", target)]

    def restore_in_place(self, pristine: Path) -> Step:
        return [self.command("cp", "-a", f"{pristine}/.", self.tree)]

    def remark(self) -> str:
        return "writes every file again and deletes none"

    def list_backups(self) -> Step:
        return []


class Rsync(Cp):
    name = "rsync"
    rows = frozenset(("in-place",))

    def restore_in_place(self, pristine: Path) -> Step:
        return [self.command("rsync", "-a", "--delete", f"{pristine}/", self.tree)]

    def remark(self) -> str:
        return "reads files of another size or time only"


PEERS: tuple[type[Peer], ...] = (Cronos, CronosPlain, Restic, Borg, Git, GitRepack, Bup, Cp, Rsync)
