"""Zip archives of backups: written as Info-ZIP writes them on Unix, and read from anywhere, EGOS's above all.

Modes and symlinks stand in the external attributes, times twice: in two-second steps, and to the second in the extended
timestamp field. Names are UTF-8; a byte that is none, a backslash and `%` are written as `%XX`. Equal members give equal bytes.
Owners, extended attributes, hard links and special files find no place. Floor F5.

Source: APPNOTE.TXT 6.3.10 of PKWARE; proginfo/extrafld.txt of Info-ZIP.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from cronos_git.disk import owners
from cronos_git.disk.archives import PIECE_BYTES, Member, damaged, is_swollen, open_archive, reading
from cronos_git.errors import RefusedError
from cronos_git.model import Attributes, EntryKind
from cronos_git.rules.member_names import member_path

_UNIX = 3
_TIMESTAMP_FIELD = 0x5455
_ENCRYPTED, _UTF8 = 0x1, 0x800
_LINK_MAX_BYTES = 65536
_LARGE = 1 << 30
COMMENT_MAX_BYTES = zipfile.ZIP_MAX_COMMENT
EARLIEST_S, LATEST_S = 315_532_800, (1 << 31) - 1
"""Times (1980-01-01 to 2038-01-19) that every tool reads from a zip."""

_STRANGE = re.compile("[\\\\\udc80-\udcff]|^[A-Za-z]:")
_NOT_PORTABLE = re.compile("[%\\\\\udc80-\udcff]|(?<=^[A-Za-z]):")


def zip_name(path: str) -> str:
    """The name of *path* in a zip that every tool reads alike.

    Only backslashes, what is no UTF-8, the colon of what looks like a drive, and `%` in the same part of the path change.
    """
    return "/".join(_NOT_PORTABLE.sub(_escaped, part) if _STRANGE.search(part) else part for part in path.split("/"))


def _escaped(match: re.Match[str]) -> str:
    return f"%{os.fsencode(match[0])[0]:02X}"


# --- writing --------------------------------------------------------------------------------------------------------


def write_zip(path: Path, members: Iterable[Member], first: Iterable[tuple[str, bytes, int]], comment: bytes = b"") -> None:
    """Write *members* in the order given into the file at *path*.

    Args:
        first: Names, contents and times (seconds) of files to be put before them.
        comment: Of the whole archive, at most COMMENT_MAX_BYTES.

    Raises:
        OSError: The file cannot be written.

    Memory: one piece of a file, and what the directory at the end tells of each.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        archive.comment = comment
        for name, content, mtime_s in first:
            archive.writestr(_info(name, stat.S_IFREG | 0o644, mtime_s), content, zipfile.ZIP_DEFLATED)
        for member in members:
            _write_member(archive, member)


def _write_member(archive: zipfile.ZipFile, member: Member) -> None:
    attributes, name = member.attributes, zip_name(member.path)
    mtime_s = attributes.mtime_ns // 1_000_000_000
    if attributes.kind == "directory":
        if name:
            info = _info(name + "/", stat.S_IFDIR | attributes.mode, mtime_s)
            info.external_attr |= 0x10  # a directory to DOS
            archive.writestr(info, b"")
    elif attributes.kind == "symlink":
        archive.writestr(_info(name, stat.S_IFLNK | 0o777, mtime_s), member.target)
    else:
        info = _info(name, stat.S_IFREG | attributes.mode, mtime_s)
        info.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(info, "w", force_zip64=attributes.size_bytes >= _LARGE) as file:
            for piece in member.content:
                file.write(piece)


def _info(name: str, mode: int, mtime_s: int) -> zipfile.ZipInfo:
    earliest, latest = datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)
    shown_s = min(max(mtime_s, int(earliest.timestamp())), int(latest.timestamp()))
    info = zipfile.ZipInfo(name, datetime.fromtimestamp(shown_s, UTC).timetuple()[:6])
    info.create_system = _UNIX
    info.external_attr = mode << 16
    if -(1 << 31) <= mtime_s < 1 << 31:
        info.extra = struct.pack("<HHBl", _TIMESTAMP_FIELD, 5, 1, mtime_s)
    return info


# --- reading --------------------------------------------------------------------------------------------------------


class ZipReader:
    """Reads one zip file.

    Args:
        zone: Of times that are told without an offset, as most zips do.
    """

    def __init__(self, path: Path, zone: tzinfo) -> None:
        self.path = path
        self._zone = zone

    def declared_bytes(self) -> int:
        """What its members are said to hold; errors as `members`."""
        with open_archive(self.path) as file, zipfile.ZipFile(file) as archive:
            return sum(info.file_size for info in archive.infolist())

    def comment(self) -> bytes:
        """Of the whole archive; errors as `members`."""
        with open_archive(self.path) as file, zipfile.ZipFile(file) as archive:
            return archive.comment

    def swollen(self) -> list[str]:
        """Names of members that are larger than honest content of their packed size; errors as `members`."""
        with open_archive(self.path) as file, zipfile.ZipFile(file) as archive:
            return [_name(info) for info in archive.infolist() if is_swollen(info.file_size, info.compress_size)]

    def read(self, name: str, most_bytes: int) -> bytes | None:
        """The content of one member; None when there is none of that name, or it is larger than *most_bytes*."""
        with open_archive(self.path) as file, zipfile.ZipFile(file) as archive:
            info = archive.NameToInfo.get(name)
            if info is None or info.file_size > most_bytes:
                return None
            return b"".join(_content(archive, info, self.path))

    def members(self) -> Iterator[Member]:
        """Each member, in the order of the archive.

        Raises:
            ArchiveError: The archive is damaged, or a member is not what it is said to be.
            RefusedError: It is encrypted, packed in an unknown way, or a member's name leads elsewhere.
            AccessError, HostError: It cannot be read.
        """
        with open_archive(self.path) as file, zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                yield self._member(archive, info)

    def _member(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
        name = _name(info)
        path = member_path(name, windows=True)
        kind, mode = _kind(info, name)
        content = _content(archive, info, self.path)
        target = b""
        if kind == "symlink":
            if info.file_size > _LINK_MAX_BYTES:
                raise damaged(self.path, f"the link {path!r} points to more than 64 KiB")
            target, content = b"".join(content), iter(())
        attributes = Attributes(
            kind=kind,
            name=path.rpartition("/")[2],
            mode=mode,
            size_bytes=len(target) if kind == "symlink" else info.file_size if kind == "file" else 0,
            mtime_ns=self._mtime_s(info) * 1_000_000_000,
            uid=os.geteuid(),
            gid=os.getegid(),
        )
        user, group = owners.user_name(attributes.uid), owners.group_name(attributes.gid)
        return Member(path=path, attributes=attributes, user=user, group=group, content=content, target=target)

    def _mtime_s(self, info: zipfile.ZipInfo) -> int:
        told = _timestamp(info.extra)
        if told is not None:
            return told
        try:
            return int(datetime(*info.date_time, tzinfo=self._zone).timestamp())
        except (ValueError, OverflowError):
            return 0


def _name(info: zipfile.ZipInfo) -> str:
    """The name as it stands there: of Unix the bytes, where Python takes what is not marked as UTF-8 for code page 437."""
    name = info.orig_filename
    if info.flag_bits & _UTF8 or info.create_system != _UNIX:
        return name
    return name.encode("cp437").decode("utf-8", "surrogateescape")


def _kind(info: zipfile.ZipInfo, name: str) -> tuple[EntryKind, int]:
    """Kind and permission bits; where none are told, those that most files have."""
    unix = info.external_attr >> 16 if info.create_system == _UNIX else 0
    told = stat.S_IFMT(unix)
    if name.endswith("/") or told == stat.S_IFDIR:
        return "directory", stat.S_IMODE(unix) or 0o755
    if told == stat.S_IFLNK:
        return "symlink", 0o777
    if told not in (0, stat.S_IFREG):
        raise RefusedError(f"The zip has {name!r} of a kind that zips do not carry. Nothing was imported.", hint="")
    return "file", stat.S_IMODE(unix) or 0o644


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Iterator[bytes]:
    if info.flag_bits & _ENCRYPTED:
        raise RefusedError(
            f"The zip {path} is encrypted. Nothing was imported.",
            hint="Unpack it with its password, and import the directory with --created.",
        )
    with reading(path), archive.open(info) as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _timestamp(extra: bytes) -> int | None:
    """Seconds since the epoch in the extended timestamp field, None without one."""
    while len(extra) >= 4:
        field, size = struct.unpack_from("<HH", extra)
        if field == _TIMESTAMP_FIELD and size >= 5 and len(extra) >= 9 and extra[4] & 1:
            return int(struct.unpack_from("<l", extra, 5)[0])
        extra = extra[4 + size :]
    return None
