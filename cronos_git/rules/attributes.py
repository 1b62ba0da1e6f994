"""The text of an attribute blob: what a Git tree cannot say about the entries of one directory.

One blob covers one directory, so an unchanged directory costs nothing. The format is in docs/reference/store-format.md; it is
text so that a shell script can apply it without CRONOS. Reading attributes from files is `disk/`'s. Floor F4.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from cronos_git.errors import RecordFormatError
from cronos_git.model import Attributes, EntryKind

HEADER = "cronos-attributes 1"
_KINDS = frozenset(("file", "symlink", "directory", "fifo", "socket", "block", "char"))
_NAME_ESCAPES = {"%": "%25", "\n": "%0A", "\r": "%0D"}
_XATTR_ESCAPES = {**_NAME_ESCAPES, "\0": "%00", ";": "%3B", "=": "%3D", " ": "%20"}
_XATTR_TABLE = str.maketrans(_XATTR_ESCAPES)
_NAME_TABLE = str.maketrans(_NAME_ESCAPES)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeTable:
    """The attributes of one directory.

    Attributes:
        own: The directory itself, named `.`.
        entries: Its entries but the directories, by name.
        users: Names of the user numbers that occur, where the machine had one.
        groups: The same for groups.
    """

    own: Attributes
    entries: dict[str, Attributes] = field(default_factory=dict)
    users: Mapping[int, str] = field(default_factory=dict)
    groups: Mapping[int, str] = field(default_factory=dict)


def format_mtime(mtime_ns: int) -> str:
    """Seconds and nine decimals, exact, with the sign in front."""
    if mtime_ns < 0:
        return "-" + format_mtime(-mtime_ns)
    return f"{mtime_ns // 1_000_000_000}.{mtime_ns % 1_000_000_000:09d}"


def parse_mtime(text: str) -> int:
    """Inverse of `format_mtime`.

    Raises:
        ValueError: Not of that form.
    """
    seconds, _, decimals = text.partition(".")
    if len(decimals) != 9:
        raise ValueError(text)
    magnitude = abs(int(seconds)) * 1_000_000_000 + int(decimals)
    return -magnitude if seconds.startswith("-") else magnitude


def format_name(name: str) -> str:
    """Name as it stands at the end of a record; only `%` and line ends are escaped."""
    if "%" in name or "\n" in name or "\r" in name:
        return name.translate(_NAME_TABLE)
    return name


def format_xattrs(xattrs: Iterable[tuple[str, bytes]]) -> str:
    """Extended attributes as they stand among a record's extras; empty when there are none."""
    return ";".join(f"x:{name.translate(_XATTR_TABLE)}={base64.b64encode(value).decode('ascii')}" for name, value in xattrs)


def join_extras(link_group: str = "", device: tuple[int, int] | None = None, xattrs: str = "", *flags: str) -> str:
    """The optional part of a record, or `-`.

    Args:
        xattrs: As `format_xattrs` gives them.
        flags: `changed`, `unreadable`.
    """
    parts = [f"h={link_group}"] if link_group else []
    if device is not None:
        parts.append(f"d={device[0]}:{device[1]}")
    if xattrs:
        parts.append(xattrs)
    return ";".join((*parts, *flags)) or "-"


def format_record(kind: str, mode: int, size_bytes: int, mtime_ns: int, uid: int, gid: int, extras: str, name: str) -> str:
    """One record from its fields, without its line end; the fast way for those who have no Attributes object."""
    return f"{kind} {mode:o} {size_bytes} {format_mtime(mtime_ns)} {uid} {gid} {extras} {format_name(name)}"


def format_line(attributes: Attributes) -> str:
    """One record, without its line end."""
    a = attributes
    flags = [flag for flag, is_set in (("changed", a.changed), ("unreadable", a.unreadable)) if is_set]
    extras = join_extras(a.link_group, a.device, format_xattrs(a.xattrs), *flags)
    return format_record(a.kind, a.mode, a.size_bytes, a.mtime_ns, a.uid, a.gid, extras, a.name)


def join_lines(owners: Iterable[str], lines: Iterable[str]) -> bytes:
    """The whole blob from its owner lines and records, in the order given."""
    return ("\n".join([HEADER, *owners, *lines]) + "\n").encode("utf-8", "surrogateescape")


def owner_lines(users: Mapping[int, str], groups: Mapping[int, str]) -> list[str]:
    """`u` and `g` lines, by number."""
    return [f"u {number} {format_name(users[number])}" for number in sorted(users)] + [
        f"g {number} {format_name(groups[number])}" for number in sorted(groups)
    ]


def format_attributes(table: AttributeTable) -> bytes:
    """The blob of one directory; records sorted by the bytes of their names."""
    names = sorted(table.entries, key=lambda name: name.encode("utf-8", "surrogateescape"))
    return join_lines(
        owner_lines(table.users, table.groups), [format_line(table.own), *(format_line(table.entries[n]) for n in names)]
    )


def split_records(blob: bytes) -> tuple[list[bytes], list[bytes]]:
    """The lines of a blob, unread: what stands before the entries (header, owner names, the directory itself), and the entries.

    For comparing two blobs, of which only the lines that differ are worth reading; `parse_attributes` takes any of them joined.
    """
    lines = blob.split(b"\n")
    own = next((n for n, line in enumerate(lines) if n and line[1:2] != b" "), 0)
    return lines[: own + 1], lines[own + 1 : -1]


def record_name(line: bytes) -> bytes:
    """The name in one record, as bytes on disk.

    Raises:
        RecordFormatError: The line is not a record.
    """
    fields = line.split(b" ", 7)
    if len(fields) < 8:
        raise RecordFormatError(f"An attribute record cannot be read: {line[:80]!r}.", hint="Run `cronos verify`.")
    name = fields[7]
    return _unescape(name.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape") if b"%" in name else name


def parse_attributes(blob: bytes) -> AttributeTable:
    """Inverse of `format_attributes`.

    Raises:
        RecordFormatError: The blob is not an attribute blob of a known format.
    """
    lines = blob.decode("utf-8", "surrogateescape").split("\n")
    if lines[0] != HEADER or lines[-1] != "":
        raise RecordFormatError("An attribute record is not of a known format.", hint="Run `cronos verify`.")
    owners: dict[str, dict[int, str]] = {"u": {}, "g": {}}
    own: Attributes | None = None
    entries: dict[str, Attributes] = {}
    try:
        for line in lines[1:-1]:
            if line[1] == " ":
                which, number, name = line.split(" ", 2)
                owners[which][int(number)] = _unescape(name)
            elif own is None:
                own = parse_line(line)
            else:
                attributes = parse_line(line)
                entries[attributes.name] = attributes
    except (ValueError, IndexError, KeyError, binascii.Error) as error:
        raise RecordFormatError(f"An attribute record cannot be read: {line[:80]!r}.", hint="Run `cronos verify`.") from error
    if own is None or own.name != ".":
        raise RecordFormatError("An attribute record lacks its directory.", hint="Run `cronos verify`.")
    return AttributeTable(own=own, entries=entries, users=owners["u"], groups=owners["g"])


def parse_line(line: str) -> Attributes:
    """Inverse of `format_line`.

    Raises:
        ValueError: Not such a record.
    """
    kind, mode, size, mtime, uid, gid, extras, name = line.split(" ", 7)
    if kind not in _KINDS:
        raise ValueError(kind)
    return Attributes(
        kind=cast("EntryKind", kind),
        name=_unescape(name),
        mode=int(mode, 8),
        size_bytes=int(size),
        mtime_ns=parse_mtime(mtime),
        uid=int(uid),
        gid=int(gid),
        **({} if extras == "-" else _parse_extras(extras)),
    )


def _parse_extras(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    xattrs = []
    for part in text.split(";"):
        key, _, value = part.partition("=")
        if key == "h":
            fields["link_group"] = value
        elif key == "d":
            major, _, minor = value.partition(":")
            fields["device"] = (int(major), int(minor))
        elif key.startswith("x:"):
            xattrs.append((_unescape(key[2:]), base64.b64decode(value, validate=True)))
        elif part in ("changed", "unreadable"):
            fields[part] = True
        else:
            raise ValueError(part)
    if xattrs:
        fields["xattrs"] = tuple(xattrs)
    return fields


def _unescape(text: str) -> str:
    if "%" not in text:
        return text
    first, *rest = text.split("%")
    return first + "".join(chr(int(part[:2], 16)) + part[2:] for part in rest)
