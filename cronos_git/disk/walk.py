"""Walks a project without opening a file: names, `lstat` results, and one fingerprint for each directory.

Every step goes through directory file descriptors and never follows a symlink, so a directory that turns into a link while we
look cannot lead out of the project. What the rules leave out is counted, not entered. Reading contents is `contents`'s job,
comparing with the last run `fingerprints`'s. Floor F5.

Cost: one `scandir` a directory and one `lstat` an entry. Memory: one tuple an entry.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import os
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cronos_git.errors import ProjectError
from cronos_git.events import Advanced, Run
from cronos_git.model import Problem
from cronos_git.rules.patterns import SEARCH, SKIP, TAKE, Matcher

MAX_DEPTH = 500
"""Directories nested deeper than this are reported and left out; each level costs a file descriptor."""

CACHEDIR_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
"""Source: https://bford.info/cachedir/"""

_IGNORE_FILE_BYTES = 1 << 20

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Found(NamedTuple):
    """One entry of a directory that is not a directory. Times in nanoseconds, size in bytes."""

    name: str
    mode: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    uid: int
    gid: int
    links: int
    device: int
    special: int


@dataclass(slots=True)
class Directory:
    """One directory that belongs in the backup.

    Attributes:
        path: From the project's root, `""` for the root.
        info: Its own entry, named `.`.
        entries: What it holds besides directories.
        children: Its directories, in name order.
        fingerprint: 16 bytes over the rules in force and everything the walk saw here, but not below.
        complete: False for a directory of which a scoped backup takes only a part.
        unreadable: Its contents could not be listed.
    """

    path: str
    info: Found
    entries: list[Found] = field(default_factory=list)
    children: list[Directory] = field(default_factory=list)
    fingerprint: bytes = b""
    complete: bool = True
    unreadable: bool = False


@dataclass(slots=True)
class Scan:
    """What the walk found.

    Attributes:
        repositories: Directories that hold a `.git`, the root included.
        directories: Number of directories taken.
    """

    top: Directory
    device: int
    problems: list[Problem] = field(default_factory=list)
    repositories: list[str] = field(default_factory=list)
    excluded_files: int = 0
    excluded_directories: int = 0
    directories: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkRules:
    """What to take.

    Attributes:
        ignore_files: Names of files whose lines are patterns for their directory, lowest rank first: `.cronosignore`, perhaps
            `.gitignore` before it.
        skip_git_dirs: Leave `.git` out.
        skip_caches: Leave out directories with a valid `CACHEDIR.TAG`.
    """

    matcher: Matcher
    ignore_files: tuple[str, ...] = (".cronosignore",)
    skip_git_dirs: bool = True
    skip_caches: bool = True


Branches = Mapping[str, "Branches | None"]
"""A scope as a tree of names: None takes everything below."""


def branches(paths: tuple[str, ...]) -> Branches | None:
    """Turn scope paths into a tree of names; None when the whole project is meant."""
    top: dict[str, Branches | None] = {}
    for path in sorted(paths):
        if not path:
            return None
        node = top
        *parents, last = path.split("/")
        for name in parents:
            below = node.setdefault(name, {})
            if below is None:
                break
            node = below  # type: ignore[assignment]
        else:
            node[last] = None
    return top


def open_beneath(root_fd: int, path: str) -> int:
    """Open directory *path* below *root_fd*, following no symlink in any component; the caller closes it.

    Raises:
        OSError: It is gone, unreadable, or no longer a directory.
    """
    fd = os.dup(root_fd)
    for name in path.split("/") if path else ():
        try:
            deeper = os.open(name, _OPEN_DIRECTORY, dir_fd=fd)
        finally:
            os.close(fd)
        fd = deeper
    return fd


def open_project(root: str) -> int:
    """Open the project's directory.

    Raises:
        ProjectError: It is missing, not a directory, or not readable.
    """
    try:
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ProjectError(
            f"Cannot read the project {root}: {error.strerror}. No backup was made.",
            hint="Check the path given with -C/--project and its permissions.",
            path=root,
        ) from error


def scan(root_fd: int, rules: WalkRules, scope: Branches | None, run: Run) -> Scan:
    """Walk the project.

    Args:
        root_fd: The project's directory, as `open_project` gives it.
        scope: What `branches` made of the scope's paths.

    Raises:
        InterruptedRunError: The run was cancelled.
    """
    info = os.fstat(root_fd)
    walker = _Walker(rules, Scan(top=Directory("", found(".", info)), device=info.st_dev), run)
    walker.visit(walker.result.top, root_fd, rules.matcher, scope, 0)
    return walker.result


def found(name: str, info: os.stat_result) -> Found:
    """The part of a `stat` result that matters."""
    # Past NamedTuple's own constructor, which costs twice as much: this runs for every entry of every walk.
    return tuple.__new__(
        Found,
        (
            name,
            info.st_mode,
            info.st_ino,
            info.st_size,
            info.st_mtime_ns,
            info.st_ctime_ns,
            info.st_uid,
            info.st_gid,
            info.st_nlink,
            info.st_dev,
            info.st_rdev,
        ),
    )


def is_bare(directory: Directory) -> bool:
    """Whether nothing of it is taken but itself."""
    return not directory.entries and not directory.children and not directory.unreadable


def _list_only(fd: int, names: Iterable[str]) -> list[Found]:
    """The `lstat` of these entries, as far as they are there."""
    listed = []
    for name in sorted(names):
        with contextlib.suppress(FileNotFoundError):
            listed.append(found(name, os.stat(name, dir_fd=fd, follow_symlinks=False)))
    return listed


class _Walker:
    def __init__(self, rules: WalkRules, result: Scan, run: Run) -> None:
        self.rules = rules
        self.result = result
        self.run = run
        self.ruling = frozenset((*rules.ignore_files, "CACHEDIR.TAG"))
        self.seed = bytes((rules.skip_git_dirs, rules.skip_caches))

    def visit(self, directory: Directory, fd: int, matcher: Matcher, scope: Branches | None, depth: int) -> bool:
        """List *directory*, take what the rules want, go below, and fingerprint it; False when it is a cache directory."""
        self.run.checkpoint()
        problems = len(self.result.problems)
        listed = self._list(directory.path, fd) if scope is None else _list_only(fd, scope)
        names = self.ruling.intersection([entry.name for entry in listed]) if scope is None else self.ruling
        if depth and "CACHEDIR.TAG" in names and self._is_cache(fd):
            return False
        matcher = self._with_ignore_files(directory.path, fd, matcher, names)
        below = self._sort_out(directory, listed, matcher)
        directory.complete = scope is None
        if len(self.result.problems) == problems:
            directory.fingerprint = self._fingerprint(directory, matcher, below)
        self._count(directory)
        for entry, verdict in below:
            inner = matcher.inside_skipped() if verdict == SEARCH else matcher
            self._enter(directory, fd, entry, inner, (scope or {}).get(entry.name), depth + 1)
            if verdict == SEARCH and directory.children and is_bare(directory.children[-1]):
                directory.children.pop()  # nothing in it was included after all
                self.result.directories -= 1
        return True

    def _count(self, directory: Directory) -> None:
        self.result.directories += 1
        self.result.files += len(directory.entries)
        self.run.emit(Advanced(self.result.files, 0, directory.path))

    def _sort_out(self, directory: Directory, listed: list[Found], matcher: Matcher) -> list[tuple[Found, int]]:
        """Fill the directory's entries; give back its subdirectories with their verdicts."""
        prefix = directory.path + "/" if directory.path else ""
        judge = matcher.judge
        below = []
        for entry in listed:
            name = entry.name
            is_directory = stat.S_ISDIR(entry.mode)
            if name == ".git" and self._is_repository(directory.path, entry.mode):
                continue
            verdict = judge(prefix + name, name, is_directory)
            if verdict == SKIP:
                self._count_excluded(is_directory)
            elif is_directory:
                below.append((entry, verdict))
            elif verdict == TAKE:
                directory.entries.append(entry)
        return below

    def _list(self, path: str, fd: int) -> list[Found]:
        """Each entry's `lstat`, by name; what vanishes meanwhile was not there."""
        listed = []
        with os.scandir(fd) as listing:
            for item in listing:
                try:
                    listed.append(found(item.name, item.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue
                except OSError as error:
                    text = f"cannot be examined: {error.strerror}"
                    self._report(f"{path}/{item.name}" if path else item.name, "unreadable", text)
        listed.sort()
        return listed

    def _enter(self, parent: Directory, fd: int, entry: Found, matcher: Matcher, scope: Branches | None, depth: int) -> None:
        path = f"{parent.path}/{entry.name}" if parent.path else entry.name
        directory = Directory(path, entry._replace(name="."))
        parent.children.append(directory)
        if depth > MAX_DEPTH:
            directory.unreadable = True
            self._report(path, "too_deep", f"nested deeper than {MAX_DEPTH} directories; its contents are not in the backup")
            return
        try:
            inner = os.open(entry.name, _OPEN_DIRECTORY, dir_fd=fd)
        except FileNotFoundError:
            parent.children.pop()
            self._report(path, "vanished", "directory vanished while it was read")
            return
        except OSError as error:
            directory.unreadable = True
            self._report(path, "unreadable", f"cannot be opened: {error.strerror}; its contents are not in the backup")
            return
        try:
            if not self.visit(directory, inner, matcher, scope, depth):
                parent.children.pop()
                self._count_excluded(True)
        except OSError as error:
            directory.unreadable = True
            self._report(path, "unreadable", f"cannot be listed: {error.strerror}; its contents are not in the backup")
        finally:
            os.close(inner)

    def _is_repository(self, path: str, mode: int) -> bool:
        """Note a `.git` directory or file; whether to leave it out."""
        real = stat.S_ISDIR(mode) or stat.S_ISREG(mode)
        if real:
            self.result.repositories.append(path)
        return real and self.rules.skip_git_dirs

    def _is_cache(self, fd: int) -> bool:
        signature = read_start(fd, "CACHEDIR.TAG", len(CACHEDIR_SIGNATURE))
        return self.rules.skip_caches and signature == CACHEDIR_SIGNATURE

    def _with_ignore_files(self, path: str, fd: int, matcher: Matcher, names: Collection[str]) -> Matcher:
        """Add the patterns of the directory's ignore files, if it may have some."""
        ignore_files = self.rules.ignore_files
        if not any(name in names for name in ignore_files):
            return matcher
        return matcher.below(path, [read_start(fd, name, _IGNORE_FILE_BYTES) for name in ignore_files])

    def _count_excluded(self, is_directory: bool) -> None:
        if is_directory:
            self.result.excluded_directories += 1
        else:
            self.result.excluded_files += 1

    def _report(self, path: str, code: str, text: str) -> None:
        self.result.problems.append(Problem(path=path, code=code, text=text))

    def _fingerprint(self, directory: Directory, matcher: Matcher, below: list[tuple[Found, int]]) -> bytes:
        """Covers own attributes, all entries, the subdirectories' names, and the rules; not what lies in subdirectories.

        Version 2 of marshal has no references between objects, so equal input always gives equal bytes.
        """
        info = directory.info
        own = (info.mode, info.uid, info.gid, info.mtime_ns, info.ctime_ns, info.device, info.inode)
        seen = (own, list(map(tuple, directory.entries)), [entry.name for entry, _ in below])
        return hashlib.blake2b(marshal.dumps(seen, 2), digest_size=16, key=matcher.digest + self.seed).digest()


def read_start(fd: int, name: str, size: int) -> bytes:
    """Up to *size* first bytes of a small regular file below *fd*; empty when it is absent, unreadable or not regular."""
    try:
        inner = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    except OSError:
        return b""
    try:
        return os.read(inner, size) if stat.S_ISREG(os.fstat(inner).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(inner)
