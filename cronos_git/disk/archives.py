"""Archives as files: what kind one is, how it is decompressed, and how a new one appears whole or not at all.

What lies in them is read and written by `disk.tars` and `disk.zips`, as members: one record a path, in the terms of a backup.
Nothing is ever unpacked onto the disk. Floor F5.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, NamedTuple, cast

from cronos_git.disk import files
from cronos_git.errors import ArchiveError, CronosError, DiskFullError, RefusedError
from cronos_git.model import Attributes, SourceKind

PIECE_BYTES = 1 << 20
"""How much of a member is read at a time."""

Compression = Literal["", "gz", "bz2", "xz", "zst"]

_LEVEL_GZIP = 6
_LEVEL_ZSTD = 3
_ZSTD_WINDOW_BYTES = 1 << 27
_SWOLLEN_BYTES = 1 << 30
_SWOLLEN_TIMES = 1000
_MAGIC: tuple[tuple[bytes, SourceKind, Compression], ...] = (
    (b"PK\x03\x04", "zip", ""),
    (b"PK\x05\x06", "zip", ""),
    (b"# v2 git bundle\n", "bundle", ""),
    (b"# v3 git bundle\n", "bundle", ""),
    (b"\x1f\x8b", "tar", "gz"),
    (b"BZh", "tar", "bz2"),
    (b"\xfd7zXZ\0", "tar", "xz"),
    (b"\x28\xb5\x2f\xfd", "tar", "zst"),
)
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    ValueError,  # what the libraries make of numbers and names that are none
    RuntimeError,
    struct.error,
)
_TAR_MAGIC, _TAR_MAGIC_AT = b"ustar", 257


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One path in an archive.

    Attributes:
        path: Below the top, `""` for the top itself.
        user: Name of the owner, empty when it is not known; so *group*.
        content: Of a regular file, in pieces; to be read before the next member is asked for.
        target: Where a symlink points.
        same_as: Path of an earlier member that is the same file; the content is that one's.
        doubts: What the archive tells of it that cannot be, and what was taken instead, in words.
    """

    path: str
    attributes: Attributes
    user: str = ""
    group: str = ""
    content: Iterable[bytes] = ()
    target: bytes = b""
    same_as: str | None = None
    doubts: tuple[str, ...] = ()


def kind_of(path: Path) -> tuple[SourceKind, Compression] | None:
    """What kind of archive a file is, by its first bytes; None for any other file.

    Raises:
        AccessError, HostError: It cannot be read.
    """
    with open_archive(path) as file:
        start = file.read(512)
    for magic, kind, compression in _MAGIC:
        if start.startswith(magic):
            return kind, compression
    return ("tar", "") if start[_TAR_MAGIC_AT:].startswith(_TAR_MAGIC) else None


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[IO[bytes]]:
    """The file, open for reading; a FIFO or device is refused.

    Raises:
        AccessError, HostError: It cannot be opened or read.
        RefusedError: It is no regular file.
    """
    try:
        if not path.is_file():
            path.stat()  # tells when there is nothing
            raise RefusedError(f"{path} is no file.", hint="Give an archive, or a directory.")
        file = path.open("rb")
    except OSError as error:
        raise files.host_error(error, f"read {path}") from error
    with file, reading(path):
        yield file


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Tell what the libraries raise in the block, when they read the archive at *path*, as ArchiveError or HostError."""
    try:
        yield
    except _DAMAGED as error:
        raise damaged(path, str(error) or type(error).__name__) from error
    except OSError as error:
        if error.errno is None:  # not the system's, but bz2's word for data that is none
            raise damaged(path, str(error)) from error
        raise files.host_error(error, f"read {path}") from error


def damaged(path: Path, why: str) -> ArchiveError:
    """The error for an archive that cannot be read to its end."""
    return ArchiveError(
        f"The archive {path} is damaged or cut short: {why.rstrip('.')}. Nothing of it was imported.",
        hint="Get another copy of it; stock tools may still unpack what is whole.",
        path=str(path),
    )


@contextlib.contextmanager
def decompressed(file: IO[bytes], compression: Compression) -> Iterator[IO[bytes]]:
    """The content of a compressed *file*, to be read under `reading`."""
    if compression == "zst":
        import zstandard

        with zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).stream_reader(file, read_across_frames=True) as plain:
            yield cast("IO[bytes]", _Zstandard(plain.read, zstandard.ZstdError))
    elif compression == "gz":
        with gzip.GzipFile(fileobj=file, mode="rb") as unzipped:
            yield cast("IO[bytes]", unzipped)
    elif compression == "bz2":
        with bz2.BZ2File(file, "rb") as unpacked:
            yield cast("IO[bytes]", unpacked)
    elif compression == "xz":
        with lzma.LZMAFile(file, "rb") as unxzed:
            yield cast("IO[bytes]", unxzed)
    else:
        yield file


class _Zstandard(io.RawIOBase):
    """Reads on, with the library's own error told as one that needs no library to be caught."""

    def __init__(self, read: Callable[[int], bytes], error: type[Exception]) -> None:
        self._read = read
        self._error = error

    def read(self, size: int = -1) -> bytes:
        try:
            return self._read(size)
        except self._error as error:
            raise EOFError(str(error)) from error


@contextlib.contextmanager
def compressed(out: IO[bytes], compression: Compression) -> Iterator[IO[bytes]]:
    """Where to write what shall come out compressed in *out*; equal input gives equal output, without time or name in it."""
    if compression == "zst":
        import zstandard

        compressor = zstandard.ZstdCompressor(level=_LEVEL_ZSTD, write_checksum=True)
        with compressor.stream_writer(out, closefd=False) as stream:
            yield stream
    elif compression == "gz":
        with gzip.GzipFile(filename="", fileobj=out, mode="wb", compresslevel=_LEVEL_GZIP, mtime=0) as packed:
            yield cast("IO[bytes]", packed)
    else:
        yield out


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The room that there is for what comes out of an archive.

    Attributes:
        name: Of the archive.
        packed_bytes: Its size.
        free_bytes: Where its content shall go.
    """

    name: str
    packed_bytes: int
    free_bytes: int

    def require(self, wanted_bytes: int) -> None:
        """See that so much finds room.

        Raises:
            DiskFullError: It does not.
            RefusedError: It does not, and it is so much more than the archive that the archive is made to fill disks.
        """
        if wanted_bytes <= self.free_bytes:
            return
        told = f"{self.name} holds {wanted_bytes:,} bytes or more, and only {self.free_bytes:,} are free. Nothing was imported."
        if is_swollen(wanted_bytes, self.packed_bytes):
            raise RefusedError(
                told, hint="It is so much larger inside than outside that it may be an attack. If you trust it, free space."
            )
        raise DiskFullError(told, hint="Free space where the store lies, and run it again.")


def is_swollen(size_bytes: int, packed_bytes: int) -> bool:
    """Whether something is larger unpacked than honest content of any use is."""
    return size_bytes > _SWOLLEN_BYTES and size_bytes > _SWOLLEN_TIMES * packed_bytes


class Listed(NamedTuple):
    """An entry of a directory that may hold copies; of a link, what it leads to."""

    path: Path
    is_directory: bool
    is_alias: bool


def list_copies(directory: Path) -> list[Listed]:
    """What a directory holds, by name; links to its own entries (`latest`) are no copies, but aliases.

    Args:
        directory: Its real path.

    Raises:
        AccessError, HostError: It cannot be read.
    """
    try:
        return [
            Listed(path, path.is_dir(), path.is_symlink() and os.path.dirname(os.path.realpath(path)) == str(directory))
            for path in sorted(directory.iterdir())
        ]
    except OSError as error:
        raise files.host_error(error, f"read {directory}") from error


# --- new files ------------------------------------------------------------------------------------------------------


def refuse_existing(path: Path) -> None:
    """Raise RefusedError when something stands at *path*."""
    if os.path.lexists(path):
        raise RefusedError(f"{path} exists. Nothing was written.", hint="Give --force to replace it, or another name.")


@contextlib.contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[Path]:
    """A temporary file beside *path*, to be written by the block; at the block's end it takes that name.

    Args:
        force: Replace a file that stands there; else nothing is ever replaced.

    Raises:
        RefusedError: Something stands there.
        DiskFullError, AccessError, HostError: What stood there, stands there.

    Durability: when the block has ended, name and content survive a power cut; if killed earlier, a hidden temporary file may be
    left beside it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    if not force:
        refuse_existing(path)
    try:
        try:
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            yield temporary
            _publish(temporary, path, force)
        finally:
            with contextlib.suppress(OSError):
                files.unlink(temporary)
    except OSError as error:
        raise _failure(error, path) from error


def _publish(temporary: Path, path: Path, force: bool) -> None:
    fd = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fchmod(fd, 0o600)  # git makes its file anew, readable for all
        files.fsync_file(fd, temporary)
    finally:
        os.close(fd)
    if force:
        files.rename(temporary, path)
    else:
        files.step("link", str(path))
        try:
            os.link(temporary, path)  # unlike a rename it replaces nothing, not even what came a moment ago
        except FileExistsError:
            refuse_existing(path)
            raise
        except OSError:  # no hard links on this file system
            refuse_existing(path)
            files.rename(temporary, path)
    files.fsync_directory(path.parent)


def _failure(error: OSError, path: Path) -> CronosError:
    failure = files.host_error(error, f"write {path}")
    if isinstance(failure, DiskFullError):  # which is about the store otherwise
        failure.hint = f"Free space in {path.parent}, or choose another place, and run it again."
    return failure
