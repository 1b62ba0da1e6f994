"""Walks a project without opening a file: names, `lstat` results, and one fingerprint for each directory.

Every step goes through directory file descriptors and never follows a symlink, so a directory that turns into a link while we
look cannot lead out of the project. What the rules leave out is counted, not entered. What was seen is told in the terms of
`scanned`. Reading contents is `contents`'s job, comparing with the last run `fingerprints`'s. Floor F5.

Cost: one `scandir` a directory and one `lstat` an entry. Memory: one tuple an entry.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import marshal
import os
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cronos_git.disk.scanned import Directory as Directory
from cronos_git.disk.scanned import Found as Found
from cronos_git.disk.scanned import Scan as Scan
from cronos_git.disk.scanned import found as found
from cronos_git.errors import ProjectError
from cronos_git.events import Advanced, Run
from cronos_git.model import Problem
from cronos_git.rules.patterns import SEARCH, SKIP, TAKE, Matcher, build_matcher

MAX_DEPTH = 400
"""Directories nested deeper than this are reported and left out; each level costs a descriptor and two calls on the stack."""

CACHEDIR_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
"""Source: https://bford.info/cachedir/"""

STAGING_PREFIX = ".cronos-restore-"
"""How names of CRONOS's own staging directories begin; what is named so is never taken."""

_FORCED, _LEADING = 3, 4
"""Verdicts besides the matcher's, on directories: taken with all that is in it; left out, but something forced is below it."""

_IGNORE_FILE_BYTES = 1 << 20

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkRules:
    """What to take.

    Attributes:
        ignore_files: Names of files whose lines are patterns for their directory, lowest rank first: `.cronosignore`, perhaps
            `.gitignore` before it.
        skip_git_dirs: Leave `.git` out.
        skip_caches: Leave out directories with a valid `CACHEDIR.TAG`.
        forced: Paths taken whatever the rules and the scope say, directories with all that is in them; only the directories
            on the way are entered otherwise, and hold just that.
    """

    matcher: Matcher
    ignore_files: tuple[str, ...] = (".cronosignore",)
    skip_git_dirs: bool = True
    skip_caches: bool = True
    forced: frozenset[str] = frozenset()


Branches = Mapping[str, "Branches | None"]
"""Paths as a tree of names: None means everything below."""

_NOTHING: Branches = {}


def branches(paths: Iterable[str]) -> Branches | None:
    """Turn paths into a tree of names; None when the whole project is meant."""
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
    forced = branches(path for path in rules.forced if f"/{STAGING_PREFIX}" not in f"/{path}")
    if forced is None:
        walker, scope, forced = walker.unruled, None, _NOTHING
    walker.visit(walker.result.top, root_fd, _Terms(walker.rules.matcher, scope, forced), 0)
    return walker.result


def _list_only(fd: int, names: Iterable[str]) -> list[Found]:
    """The `lstat` of these entries, as far as they are there."""
    listed = []
    for name in sorted(names):
        try:
            listed.append(found(name, os.stat(name, dir_fd=fd, follow_symlinks=False)))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENAMETOOLONG):  # too long for this file system: not there either
                raise
    return listed


class _Terms(NamedTuple):
    """What is taken of one directory: what the rules take of the scope, and what is forced.

    Attributes:
        scope: None for everything; nothing when the directory itself is left out and only leads to something forced.
    """

    matcher: Matcher
    scope: Branches | None
    forced: Branches


class _Walker:
    def __init__(self, rules: WalkRules, result: Scan, run: Run) -> None:
        self.rules = rules
        self.result = result
        self.run = run
        self.ruling = frozenset((*rules.ignore_files, "CACHEDIR.TAG"))
        self.seed = bytes((rules.skip_git_dirs, rules.skip_caches))

    @functools.cached_property
    def unruled(self) -> _Walker:
        """The walker for directories that are forced themselves: it takes everything."""
        everything = build_matcher(defaults=(), exclude=(), include=())
        rules = WalkRules(matcher=everything, ignore_files=(), skip_git_dirs=False, skip_caches=False)
        return _Walker(rules, self.result, self.run)

    def visit(self, directory: Directory, fd: int, terms: _Terms, depth: int) -> bool:
        """List *directory*, take what belongs, go below, and fingerprint it; False when it does not belong itself."""
        self.run.checkpoint()
        problems = len(self.result.problems)
        terms, below = self._take(directory, fd, terms, depth)
        is_known = len(self.result.problems) == problems
        self.run.emit(Advanced(self.result.files, 0, directory.path))
        prefix = directory.path + "/" if directory.path else ""
        for entry, verdict in below:
            walker = self.unruled if verdict == _FORCED else self
            child = walker._enter(prefix + entry.name, fd, entry, self._terms_below(entry.name, verdict, terms), depth + 1)
            if child is not None and not (verdict == SEARCH and child.is_bare()):
                directory.children.append(child)
                self.result.directories += 1
        if is_known:
            directory.fingerprint = self._fingerprint(directory, terms.matcher)
        return not (terms.scope == _NOTHING and directory.is_bare())

    def _take(self, directory: Directory, fd: int, terms: _Terms, depth: int) -> tuple[_Terms, list[tuple[Found, int]]]:
        """Fill the directory's entries; its subdirectories with their verdicts, and the terms in force below."""
        matcher, scope, forced = terms
        names: Collection[str]
        obeyed: dict[str, bytes] = {}
        if scope is None:
            listed = self._list(directory.path, fd)
            names = self.ruling.intersection([entry.name for entry in listed])
        else:
            listed = _list_only(fd, {*scope, *forced})
            names = self.ruling if scope else ()
        if names:
            if depth and "CACHEDIR.TAG" in names and self._is_cache(fd):
                self._count_excluded(True)
                self.result.caches.append(directory.path)
                listed, scope = _list_only(fd, forced), _NOTHING
            else:
                obeyed = self._ignore_files(fd, names)
                matcher = matcher.below(directory.path, list(obeyed.values()))
            terms = _Terms(matcher, scope, forced)
        directory.complete = scope is None
        below = self._sort_out_forced(directory, listed, terms) if forced else self._sort_out(directory, listed, matcher)
        self.result.files += len(directory.entries)
        prefix = directory.path + "/" if directory.path else ""
        outer = {prefix + name: text for name, text in obeyed.items() if text and directory.entry(name) is None}
        self.result.outer_rules |= outer
        return terms, below

    def _terms_below(self, name: str, verdict: int, terms: _Terms) -> _Terms:
        matcher, scope, forced = terms
        if verdict == TAKE and scope is None and not forced:
            return terms
        if verdict == _FORCED:
            return _Terms(self.unruled.rules.matcher, None, _NOTHING)
        if verdict == SEARCH:
            matcher = matcher.inside_skipped()
        inner = _NOTHING if verdict == _LEADING else (scope or _NOTHING).get(name)
        return _Terms(matcher, inner, forced.get(name) or _NOTHING)

    def _sort_out_forced(self, directory: Directory, listed: list[Found], terms: _Terms) -> list[tuple[Found, int]]:
        """As `_sort_out`, but what is forced is taken, and the directories are entered that lead to it."""
        matcher, scope, forced = terms
        whole = {name for name, below in forced.items() if below is None}
        ruled = [entry for entry in listed if entry.name not in whole and (scope is None or entry.name in scope)]
        taken = [entry for entry in listed if entry.name in whole]
        below = self._sort_out(directory, ruled, matcher)
        below += [(entry, _FORCED) for entry, _ in self.unruled._sort_out(directory, taken, self.unruled.rules.matcher)]
        entered = {entry.name for entry, _ in below}
        leading = forced.keys() - whole - entered
        below += [(entry, _LEADING) for entry in listed if entry.name in leading and stat.S_ISDIR(entry.mode)]
        directory.entries.sort()
        return sorted(below)

    def _sort_out(self, directory: Directory, listed: list[Found], matcher: Matcher) -> list[tuple[Found, int]]:
        """Fill the directory's entries; give back its subdirectories with their verdicts."""
        prefix = directory.path + "/" if directory.path else ""
        judge = matcher.judge
        below = []
        for entry in listed:
            name = entry.name
            is_directory = stat.S_ISDIR(entry.mode)
            if name[0] == "." and self._is_passed_over(directory.path, entry):
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

    def _enter(self, path: str, fd: int, entry: Found, terms: _Terms, depth: int) -> Directory | None:
        """Visit the directory *entry* below *fd*; None when it is gone or does not belong."""
        directory = Directory(path, entry._replace(name="."))
        if depth > MAX_DEPTH:
            directory.unreadable = True
            self._report(path, "too_deep", f"nested deeper than {MAX_DEPTH} directories; its contents are not in the backup")
            return directory
        try:
            inner = os.open(entry.name, _OPEN_DIRECTORY, dir_fd=fd)
        except FileNotFoundError:
            self._report(path, "vanished", "directory vanished while it was read")
            return None
        except OSError as error:
            directory.unreadable = True
            self._report(path, "unreadable", f"cannot be opened: {error.strerror}; its contents are not in the backup")
            return directory
        try:
            return directory if self.visit(directory, inner, terms, depth) else None
        except OSError as error:
            directory.unreadable = True
            self._report(path, "unreadable", f"cannot be listed: {error.strerror}; its contents are not in the backup")
            return directory
        finally:
            os.close(inner)

    def _is_passed_over(self, path: str, entry: Found) -> bool:
        """Whether it is a staging directory of ours, or a repository's that the rules leave out."""
        if entry.name == ".git":
            return self._is_repository(path, entry.mode)
        return entry.name.startswith(STAGING_PREFIX)

    def _is_repository(self, path: str, mode: int) -> bool:
        """Note a `.git` directory or file; whether to leave it out."""
        real = stat.S_ISDIR(mode) or stat.S_ISREG(mode)
        if real:
            self.result.repositories.append(path)
        return real and self.rules.skip_git_dirs

    def _is_cache(self, fd: int) -> bool:
        return self.rules.skip_caches and read_start(fd, "CACHEDIR.TAG", len(CACHEDIR_SIGNATURE)) == CACHEDIR_SIGNATURE

    def _ignore_files(self, fd: int, names: Collection[str]) -> dict[str, bytes]:
        """Contents of a directory's ignore files, if it may have some."""
        ignore_files = self.rules.ignore_files
        if not any(name in names for name in ignore_files):
            return {}
        return {name: read_start(fd, name, _IGNORE_FILE_BYTES) for name in ignore_files}

    def _count_excluded(self, is_directory: bool) -> None:
        if is_directory:
            self.result.excluded_directories += 1
        else:
            self.result.excluded_files += 1

    def _report(self, path: str, code: str, text: str) -> None:
        self.result.problems.append(Problem(path=path, code=code, text=text))

    def _fingerprint(self, directory: Directory, matcher: Matcher) -> bytes:
        """Covers own attributes, what was taken in it (the subdirectories' paths only), and the rules; not what lies below.

        Version 2 of marshal has no references between objects, so equal input always gives equal bytes.
        """
        info = directory.info
        own = (info.mode, info.uid, info.gid, info.mtime_ns, info.ctime_ns, info.device, info.inode)
        seen = (own, list(map(tuple, directory.entries)), [child.path for child in directory.children])
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
