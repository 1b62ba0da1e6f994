"""Conflicts of a merge as a table: one line for each side of each. Floor F11."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import tzinfo

from cronos_git.cli.render.tables import Column, Table
from cronos_git.cli.render.text import local_ns, size, visible
from cronos_git.model import Conflict, Version

CHOICES = (
    "--on-conflict ours     keeps what is here",
    "--on-conflict theirs   takes the backup's version",
    "--on-conflict markers  writes both versions into text files; of other files, the backup's beside",
    "--on-conflict both     writes the backup's version beside, as NAME.{id}",
)
"""What may be done about conflicts; `{id}` is the backup."""

_COLUMNS = (
    Column(title="CONFLICT"),
    Column(title="PATH", style="bold", flexible=True),
    Column(title="SIDE"),
    Column(title="SIZE", right=True, drop=1),
    Column(title="MODIFIED", drop=2),
    Column(title="HASH", drop=3),
    Column(title="NOTE", flexible=True, drop=4),
)
_VALUE_BYTES = 24


def conflict_table(conflicts: Sequence[Conflict], zone: tzinfo) -> Table:
    """Three lines for each conflict: the base, what is there, what the backup has."""
    return Table(columns=_COLUMNS, rows=[row for conflict in conflicts for row in _rows(conflict, zone)])


def hunk_lines(conflicts: Sequence[Conflict]) -> Iterator[str]:
    """The contradicting lines of all texts among them."""
    for conflict in conflicts:
        for hunk in conflict.hunks:
            yield f"{visible(conflict.path)}:"
            yield from (visible(line.removesuffix("\r")) for line in hunk.removesuffix("\n").split("\n"))


def _rows(conflict: Conflict, zone: tzinfo) -> Iterator[tuple[str, ...]]:
    current, backup = ("current", conflict.ours, conflict.ours_path), ("backup", conflict.theirs, conflict.theirs_path)
    for side, version, path in (("base", conflict.base, ""), current, backup):
        words = [*_peculiar(conflict, version), *([f"at {visible(path)}"] if path else [])]
        yield conflict.kind, visible(conflict.path) or ".", side, *_figures(version, zone), ", ".join(words)


def _figures(version: Version | None, zone: tzinfo) -> tuple[str, str, str]:
    if version is None:
        return "", "", ""
    length = size(version.size_bytes) if version.kind == "file" else ""
    return length, local_ns(version.mtime_ns, zone), version.oid[:8]


def _peculiar(conflict: Conflict, version: Version | None) -> Iterator[str]:
    """What tells this version from the others, besides its figures."""
    if version is None:
        yield "absent"
        return
    if version.kind != "file":
        yield version.kind
    if conflict.kind == "mode":
        yield f"mode {version.mode:04o}"
    if conflict.kind == "attribute":
        yield f"owner {version.uid}:{version.gid}"
        yield from (f"{visible(name)}={_value(value)}" for name, value in version.xattrs)


def _value(value: bytes) -> str:
    shown = visible(value[:_VALUE_BYTES].decode("utf-8", "backslashreplace"))
    return shown if len(value) <= _VALUE_BYTES else f"{shown}… ({len(value)} bytes)"
