"""The trees that are backed up: made, copied, changed, read, counted.

The tree that the user names is only read. Copies leave out what the tools treat differently by rule rather than by skill:
`.git`, what CRONOS excludes by default, and files that are neither regular, links nor directories. Everything here goes
through a tree one entry at a time, in the order of the names, so results repeat and the harness stays small.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LINUX_ARCHIVE = Path("/usr/src/linux-source-6.1.tar.xz")
MIB = 1024 * 1024
_LEFT_OUT = frozenset(
    (".git", "__pycache__", ".venv", "venv", "node_modules", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox")
)
_SETTLED_NS = 1_700_000_000 * 10**9
_FILES_IN_DIRECTORY = 16
_SETTLE_NS = 3 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """What sets a tree apart from the one it should be: paths below the root, in the order of `walk`.

    Attributes:
        missing: Not there.
        changed: Another content, link target or kind of file.
        touched: The right content with another mode or time of change.
        extra: There, and should not be.
    """

    missing: tuple[str, ...]
    changed: tuple[str, ...]
    touched: tuple[str, ...]
    extra: tuple[str, ...]

    def told(self) -> str:
        """How many there are of each, in words; empty when there is none."""
        told = {
            "missing": self.missing,
            "with other content": self.changed,
            "with other times or modes": self.touched,
            "too many": self.extra,
        }
        return ", ".join(f"{len(paths)} {what}" for what, paths in told.items() if paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What a tree holds, to describe it and to see that a restore brought all of it.

    Attributes:
        files: Regular files and links.
        size_bytes: Content of the regular files.
        digest: The same for two trees when paths, sizes and link targets are the same, whatever the order.
    """

    files: int
    size_bytes: int
    digest: int


def walk(root: Path) -> Iterator[os.DirEntry[str]]:
    """Every entry below *root* but directories, ordered by name within its directory."""
    with os.scandir(root) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from walk(Path(entry.path))
        else:
            yield entry


def take_census(root: Path) -> Census:
    """Count *root*. Costs one `lstat` for each entry."""
    files = size_bytes = digest = 0
    skip = len(os.fspath(root)) + 1
    for entry in walk(root):
        link = os.readlink(entry.path) if entry.is_symlink() else ""
        size = 0 if link else entry.stat(follow_symlinks=False).st_size
        told = os.fsencode(f"{entry.path[skip:]}\0{size}\0{link}")
        digest ^= int.from_bytes(hashlib.blake2b(told, digest_size=8).digest())
        files += 1
        size_bytes += size
    return Census(files=files, size_bytes=size_bytes, digest=digest)


def compare_trees(right: Path, root: Path) -> Differences:
    """How *root* differs from the tree *right*, directories aside. Costs reading both."""
    skip = len(os.fspath(right)) + 1
    missing, changed, touched = [], [], []
    for entry in walk(right):
        path, other = entry.path[skip:], os.path.join(root, entry.path[skip:])
        if not os.path.lexists(other):
            missing.append(path)
        elif not _has_content_of(entry, other):
            changed.append(path)
        elif _mode_and_time(entry.stat(follow_symlinks=False)) != _mode_and_time(os.lstat(other)):
            touched.append(path)
    skip = len(os.fspath(root)) + 1
    extra = [path for entry in walk(root) if not os.path.lexists(os.path.join(right, path := entry.path[skip:]))]
    return Differences(missing=tuple(missing), changed=tuple(changed), touched=tuple(touched), extra=tuple(extra))


def _mode_and_time(info: os.stat_result) -> tuple[int, int]:
    return info.st_mode, info.st_mtime_ns


def _has_content_of(entry: os.DirEntry[str], other: str) -> bool:
    if stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode) != stat.S_IFMT(os.lstat(other).st_mode):
        return False
    if entry.is_symlink():
        return os.readlink(entry.path) == os.readlink(other)
    with Path(entry.path).open("rb") as expected, Path(other).open("rb") as found:
        while block := expected.read(MIB):
            if found.read(MIB) != block:
                return False
        return not found.read(1)


def read_pass(root: Path) -> None:
    """Read every file below *root* once, so that it is in the page cache."""
    buffer = bytearray(MIB)
    for entry in walk(root):
        if entry.is_file(follow_symlinks=False):
            with open(entry.path, "rb", buffering=0) as content:  # noqa: PTH123 - one Path less for each of 80,000 files
                while content.readinto(buffer):
                    pass


def disk_bytes(root: Path) -> int:
    """Disk space of *root* as `du` tells it: allocated blocks, directories included, a hard-linked file once.

    Flushes first, because many file systems allocate only then.
    """
    os.sync()
    seen: set[int] = set()
    total = 0
    for directory, _, names in os.walk(root):
        for path in (directory, *(os.path.join(directory, name) for name in names)):
            info = os.lstat(path)
            if info.st_nlink > 1:
                if info.st_ino in seen:
                    continue
                seen.add(info.st_ino)
            total += info.st_blocks * 512
    return total


def copy_tree(source: Path, target: Path, *, left_out: Path) -> None:
    """Copy *source* to *target* with modes and times, without what this module leaves out and without *left_out*."""

    def unwanted(directory: str, names: list[str]) -> list[str]:
        paths = [Path(directory, name) for name in names]
        return [path.name for path in paths if path == left_out or _is_treated_by_rule(path)]

    shutil.copytree(source.resolve(), target, symlinks=True, ignore=unwanted)


def _is_treated_by_rule(path: Path) -> bool:
    if path.name in _LEFT_OUT or path.suffix == ".pyc" or path.is_symlink():
        return path.name in _LEFT_OUT or path.suffix == ".pyc"
    return (path / "CACHEDIR.TAG").exists() if path.is_dir() else not path.is_file()


def unpack_linux(work: Path) -> Path:
    """The Linux source below *work*, unpacked from Debian's archive unless an earlier run did; whole or not at all.

    Raises:
        FileNotFoundError: The archive is not installed.
    """
    target = work / LINUX_ARCHIVE.name.removesuffix(".tar.xz")
    if not target.exists():
        if not LINUX_ARCHIVE.exists():
            raise FileNotFoundError(f"{LINUX_ARCHIVE} is missing: install Debian's package {target.name}, or give --tree DIR")
        with tempfile.TemporaryDirectory(prefix="unpack-", dir=work) as scratch:
            subprocess.run(["tar", "-xJf", LINUX_ARCHIVE, "-C", scratch], check=True)
            Path(scratch, target.name).rename(target)
    return target


def make_synthetic(root: Path, files: int) -> None:
    """Write *files* files of compressible text, most of them small, the same bytes and times whenever it is asked."""
    source = random.Random(files)
    words = [source.randbytes(source.randint(1, 5)).hex() for _ in range(2000)]
    for number in range(files):
        directory = root / f"part{number // (_FILES_IN_DIRECTORY**2)}" / f"unit{number // _FILES_IN_DIRECTORY}"
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"file{number}.txt"
        count = min(int(source.paretovariate(0.8) * 100), 100_000)
        path.write_text(" ".join(source.choices(words, k=count)) + "\n")
        os.utime(path, ns=(_SETTLED_NS, _SETTLED_NS))


def make_large_file(path: Path, size_bytes: int) -> None:
    """Write one file of pseudo-random bytes, which no compression makes smaller; the same bytes whenever it is asked."""
    source = random.Random(size_bytes)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as content:
        for start in range(0, size_bytes, MIB):
            content.write(source.randbytes(min(MIB, size_bytes - start)))


def change_one_byte(path: Path, turn: int) -> None:
    """Change one byte of *path*, at another place for each *turn*."""
    offset = path.stat().st_size * (2 * turn + 1) // (2 * turn + 2)
    with path.open("r+b") as content:
        content.seek(offset)
        old = content.read(1)
        content.seek(offset)
        content.write(bytes([old[0] ^ 0xFF]))


def change_one_percent(root: Path, turn: int) -> int:
    """Add a line to every hundredth regular file below *root*, to others for each *turn*, at least to one.

    Returns:
        How many files were changed.
    """
    paths = _one_percent(root, turn)
    for path in paths:
        with path.open("ab") as content:
            content.write(f"/* benchmark change {turn} */\n".encode())
    return len(paths)


def damage_one_percent(root: Path, turn: int) -> None:
    """Overwrite eight in a thousand regular files below *root*, delete one, put one that is too many beside another.

    Every *turn* damages the same paths: all others are then, for each tool and in each round, as at the last backup. The bytes
    are others in each turn, so that no store knows them from the turn before.
    """
    line = f"/* benchmark damage {turn} */\n".encode()
    for number, path in enumerate(_one_percent(root, 0)):
        if number % 10 == 1:
            path.unlink()
        elif number % 10 == 2:
            Path(f"{path}.extra").write_bytes(line)
        else:
            _overwrite(path, line, shorter=number % 2 == 0)


def _overwrite(path: Path, line: bytes, *, shorter: bool) -> None:
    if shorter:
        os.truncate(path, path.stat().st_size // 2)
    with path.open("r+b") as content:
        content.write(line)
        content.seek(0, os.SEEK_END)
        content.write(line)


def _one_percent(root: Path, turn: int) -> list[Path]:
    """Every hundredth regular file, others for each *turn*, at least one."""
    count = sum(1 for entry in walk(root) if entry.is_file(follow_symlinks=False))
    paths = (entry.path for entry in walk(root) if entry.is_file(follow_symlinks=False))
    return [Path(path) for number, path in enumerate(paths) if number % 100 == turn % min(count, 100)]


def settle(root: Path) -> None:
    """Wait until nothing below *root* is so young that a backup now would rightly distrust what it sees of it.

    A file that changes twice within a tick of the clock looks unchanged, so tools look again at files that were changed within
    the last seconds before a backup. A tree that was made a moment ago would make all of it such files.
    """
    youngest_ns = max((entry.stat(follow_symlinks=False).st_ctime_ns for entry in walk(root)), default=0)
    time.sleep(max(0, youngest_ns + _SETTLE_NS - time.time_ns()) / 10**9)


def remove_tree(root: Path) -> None:
    """Delete *root*, directories without write permission too."""
    if root.exists():
        subprocess.run(["chmod", "-R", "u+rwx", root], check=True)
        shutil.rmtree(root)
