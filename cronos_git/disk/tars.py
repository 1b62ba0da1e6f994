"""Tar archives of backups: written in PAX format with everything that it can say, and read, PAX and GNU, from anywhere.

Times to the nanosecond (`mtime`), extended attributes as GNU tar and star keep them (`SCHILY.xattr.*`, `%` and `=` in their names
as `%25` and `%3D`), names and values that are no UTF-8 as bytes (`hdrcharset`). Equal members give equal bytes. Reading never
goes back in the stream and never holds more than a piece of it. Compression is `disk.archives`'s. Floor F5.

Source: POSIX.1-2017, pax, "pax Extended Header"; GNU tar, src/xheader.c.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Generator, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import IO, Literal

from cronos_git.disk.archives import PIECE_BYTES, Compression, Member, damaged, decompressed, open_archive, reading
from cronos_git.errors import RefusedError
from cronos_git.model import Attributes, EntryKind
from cronos_git.rules.attributes import format_mtime
from cronos_git.rules.member_names import member_path

_XATTR = "SCHILY.xattr."
_HEADER_MAX_BYTES = 16 << 20
_PADDING_MAX_BYTES = 64 << 20
_LATEST_S = (1 << 63) // 1_000_000_000
_OWNERS = range((1 << 32) - 1)
_NOBODY = 65534
_SHOWN_CHARS = 30
_TYPES: dict[EntryKind, bytes] = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "fifo": tarfile.FIFOTYPE,
    "char": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
}
_HINT = "If you trust the archive, unpack it yourself and import the directory with --created."
_KINDS = {code: kind for kind, code in _TYPES.items()}


# --- writing --------------------------------------------------------------------------------------------------------


def write_tar(out: IO[bytes], members: Iterable[Member], comment: str) -> None:
    """Write *members* in the order given.

    Args:
        comment: Stands in the global header, where tools pass over it.

    Raises:
        OSError: *out* cannot be written.

    Memory: one piece of a file.
    """
    tar = tarfile.TarFile(
        fileobj=_Counting(out),
        mode="w",
        format=tarfile.PAX_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
        pax_headers={"comment": comment},
        copybufsize=PIECE_BYTES,
    )
    with tar:
        for member in members:
            has_content = member.attributes.kind == "file" and member.same_as is None
            tar.addfile(_header(member), _Pieces(member.content) if has_content else None)
            _forget_members(tar)


def _forget_members(tar: tarfile.TarFile) -> None:
    """Let go of the headers passed so far, which tarfile keeps for those who look up names."""
    tar.members.clear()  # type: ignore[attr-defined]


def _header(member: Member) -> tarfile.TarInfo:
    attributes = member.attributes
    info = tarfile.TarInfo(member.path or ".")
    headers: dict[str, str] = {}
    info.pax_headers = headers
    info.type = _TYPES[attributes.kind] if member.same_as is None else tarfile.LNKTYPE
    info.mode = attributes.mode
    info.uid, info.gid, info.uname, info.gname = attributes.uid, attributes.gid, member.user, member.group
    info.mtime = attributes.mtime_ns // 1_000_000_000
    if attributes.mtime_ns % 1_000_000_000 or info.mtime < 0:
        headers["mtime"] = format_mtime(attributes.mtime_ns)
    if attributes.device:
        info.devmajor, info.devminor = attributes.device
    if member.same_as is not None:
        info.linkname = member.same_as
        return info
    if attributes.kind == "symlink":
        info.linkname = member.target.decode("utf-8", "surrogateescape")
    info.size = attributes.size_bytes if attributes.kind == "file" else 0
    for name, value in attributes.xattrs:
        key = name.replace("%", "%25").replace("=", "%3D")
        headers[_XATTR + key] = value.decode("utf-8", "surrogateescape")
    return info


class _Counting(io.RawIOBase):
    """A stream that tells how much was written, for one that cannot (a pipe)."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._position = 0

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._out.write(data)
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position


class _Pieces(io.RawIOBase):
    """Pieces as a file to read from."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """At most *size* bytes, fewer only at the end."""
        parts = []
        while size > 0:
            if not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._rest = memoryview(piece)
            parts.append(self._rest[:size])
            self._rest = self._rest[size:]
            size -= len(parts[-1])
        return b"".join(parts)


# --- reading --------------------------------------------------------------------------------------------------------


class TarReader:
    """Reads one tar file, once.

    Args:
        compression: As `archives.kind_of` told it.

    Attributes:
        comment: Of the global header, once the first member has been read.
    """

    def __init__(self, path: Path, compression: Compression) -> None:
        self.path = path
        self.comment = ""
        self._compression = compression

    def members(self) -> Generator[Member, None, None]:
        """Each member, in the order of the archive.

        Raises:
            ArchiveError: The archive is damaged or cut short.
            RefusedError: A member's name leads elsewhere, or its kind is unknown.
            AccessError, HostError: It cannot be read.
        """
        with open_archive(self.path) as file, decompressed(file, self._compression) as plain:
            stream = _Forward(plain)
            with tarfile.TarFile(fileobj=stream, mode="r", encoding="utf-8", errors="surrogateescape") as tar:
                while (info := tar.next()) is not None:
                    self.comment = self.comment or tar.pax_headers.get("comment", "")
                    yield _member(tar, info, self.path)
                    _forget_members(tar)
            if stream.last != bytes(tarfile.BLOCKSIZE):  # where tarfile stops without a word
                raise damaged(self.path, "a header in it is none" if stream.last else "it has no end")
            if not stream.ends_in_zeros(_PADDING_MAX_BYTES):  # which also finds the checksum of a compressed one
                raise damaged(self.path, "more follows after its end")


def _member(tar: tarfile.TarFile, info: tarfile.TarInfo, archive: Path) -> Member:
    path = member_path(info.name)
    if any("\0" in text for text in (info.uname, info.gname, info.linkname, *info.pax_headers)):
        raise RefusedError(f"What the archive tells of {path!r} holds a NUL. Nothing was imported.", hint=_HINT)
    kind: EntryKind | None = "file" if info.isreg() or info.islnk() else _KINDS.get(info.type)
    if kind is None:
        raise RefusedError(f"The archive has {path!r} of the unknown kind {info.type!r}. Nothing was imported.", hint=_HINT)
    target = info.linkname.encode("utf-8", "surrogateescape") if info.issym() else b""
    doubts: list[str] = []
    attributes = Attributes(
        kind=kind,
        name=path.rpartition("/")[2],
        mode=info.mode & 0o7777,
        size_bytes=info.size if kind == "file" and not info.islnk() else len(target),
        mtime_ns=_mtime_ns(info, doubts),
        uid=_owner(info, "uid", doubts),
        gid=_owner(info, "gid", doubts),
        device=(info.devmajor, info.devminor) if kind in ("char", "block") else None,
        xattrs=tuple(sorted(_xattrs(info))),
    )
    return Member(
        path=path,
        attributes=attributes,
        user=info.uname,
        group=info.gname,
        content=_content(tar, info, archive) if info.isreg() else (),
        target=target,
        same_as=member_path(info.linkname) if info.islnk() else None,
        doubts=tuple(doubts),
    )


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo, archive: Path) -> Iterator[bytes]:
    with reading(archive):
        file = tar.extractfile(info)
        assert file is not None
        while piece := file.read(PIECE_BYTES):
            yield piece


def _mtime_ns(info: tarfile.TarInfo, doubts: list[str]) -> int:
    """Exact, where tarfile's own number is rounded; what no file system can say becomes 0, and a doubt."""
    text = info.pax_headers.get("mtime", str(info.mtime))
    with contextlib.suppress(ArithmeticError):
        if abs(told := Decimal(text)) < _LATEST_S:
            return int(told * 1_000_000_000)
    doubts.append(f"its time {_shown(text)} in the archive is none; it got 1970-01-01")
    return 0


def _owner(info: tarfile.TarInfo, key: Literal["uid", "gid"], doubts: list[str]) -> int:
    """The number, or `nobody`'s, and a doubt, for one that no system knows."""
    number = info.uid if key == "uid" else info.gid
    text = info.pax_headers.get(key, str(number))
    if number in _OWNERS and text.strip().isdecimal():  # of what is no number tarfile makes 0, which is root
        return number
    doubts.append(f"its {key} {_shown(text)} in the archive is none; it got {_NOBODY}")
    return _NOBODY


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…")


def _xattrs(info: tarfile.TarInfo) -> Iterator[tuple[str, bytes]]:
    for key, value in info.pax_headers.items():
        if key.startswith(_XATTR):
            name = key.removeprefix(_XATTR).replace("%3D", "=").replace("%25", "%")
            yield name, value.encode("utf-8", "surrogateescape")


class _Forward(io.RawIOBase):
    """A stream with positions, which only moves forward, and hands out no more at once than a header or a piece may have.

    SAFETY: a header claims its own length, and tarfile asks for so much at once.

    Attributes:
        last: What was read last; empty when the stream ended before the archive did.
    """

    def __init__(self, plain: IO[bytes]) -> None:
        self._plain = plain
        self._position = 0
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        """Exactly *size* bytes, fewer only at the end."""
        if not 0 <= size <= _HEADER_MAX_BYTES:
            raise tarfile.ReadError("a header of more than 16 MiB")
        parts = []
        while size > 0 and (part := self._plain.read(size)):
            parts.append(part)
            size -= len(part)
        self.last = b"".join(parts)
        self._position += len(self.last)
        return self.last

    def tell(self) -> int:
        return self._position

    def seek(self, position: int, _whence: int = 0) -> int:
        """Skip up to *position*."""
        if position < self._position:
            raise tarfile.ReadError("members that overlap")
        while self._position < position and self.read(min(position - self._position, PIECE_BYTES)):
            continue
        return self._position

    def ends_in_zeros(self, limit_bytes: int) -> bool:
        """Whether zeros, fewer than *limit_bytes*, are all that is left; reads them."""
        for _ in range(limit_bytes // PIECE_BYTES):
            if not (piece := self.read(PIECE_BYTES)):
                return True
            if piece.strip(b"\0"):
                return False
        return False
