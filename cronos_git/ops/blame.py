"""Which backup each line of a file first appeared in.

The versions of the file are walked from the newest to the oldest, and each line that a version shares with the one before is
handed on to that one: what `git blame` does on a history without branches, with the same line comparison (xdiff). It is not
left to git, as the timeline covers one scope only, calls some files by escaped names, and may have to be rebuilt. Floor F7.

Cost: two versions of the file in memory; one comparison for each version.
"""

from __future__ import annotations

from collections.abc import Iterable

from cronos_git.errors import UsageError
from cronos_git.git.view import SnapshotView
from cronos_git.model import Backup, BlamedLine, PathVersion
from cronos_git.ops.lineage import PathReader
from cronos_git.rules.binary import is_binary


def blame(reader: PathReader, versions: Iterable[PathVersion]) -> list[BlamedLine]:
    """Every line of the newest version.

    Args:
        versions: As `history.versions` gives them; those before the file was added are not looked at.

    Raises:
        UsageError: The newest version is no text file: a directory, a link, binary, or stored in chunks.
        BackupNotFoundError: The backup lacks its content.
        DamageError: A version cannot be read.
    """
    remaining = iter(versions)
    version = next(remaining)
    content = _text(reader, version)
    lines = _lines(content)
    origins: list[tuple[Backup, str] | None] = [None] * len(lines)
    here = {number: number for number in range(len(lines))}  # by its number in *version*: that in the newest one
    for older in remaining:
        if version.kind == "added" or older.entry is None or not here:
            break
        before = _text_if_any(reader, older)
        if before is None:
            break
        handed_on = {old: here[new] for old, new in _kept(before, content) if new in here}
        _settle(origins, here, handed_on, version)
        here, version, content = handed_on, older, before
    _settle(origins, here, {}, version)
    return [
        BlamedLine(number=number + 1, text=text, backup=origin[0], path=origin[1])
        for number, (text, origin) in enumerate(zip(lines, origins, strict=True))
        if origin is not None
    ]


def _settle(
    origins: list[tuple[Backup, str] | None], here: dict[int, int], handed_on: dict[int, int], version: PathVersion
) -> None:
    """Lines of *version* that the one before lacks came with it."""
    for number in set(here.values()).difference(handed_on.values()):
        origins[number] = version.first, version.path


def _text(reader: PathReader, version: PathVersion) -> bytes:
    entry = version.entry
    assert entry is not None
    if entry.attributes.kind != "file":
        raise UsageError(f"{entry.path!r} is a {entry.attributes.kind}; only the lines of files can be told.", path=entry.path)
    if entry.chunked:
        raise UsageError(
            f"{entry.path!r} is stored in chunks ({entry.attributes.size_bytes:,} bytes); such files are not compared by line.",
            hint="`cronos log` tells its versions, `cronos grep --all` in which of them a text stands.",
            path=entry.path,
        )
    content = b"".join(_view(reader, version).read(entry))
    if is_binary(content):
        raise UsageError(f"{entry.path!r} is binary; it has no lines.", hint="`cronos log` tells its versions.", path=entry.path)
    return content


def _text_if_any(reader: PathReader, version: PathVersion) -> bytes | None:
    """Its content, None where a file without lines stood: whatever is there now came after it."""
    entry = version.entry
    if entry is None or entry.attributes.kind != "file" or entry.chunked or not entry.oid:
        return None
    content = b"".join(_view(reader, version).read(entry))
    return None if is_binary(content) else content


def _view(reader: PathReader, version: PathVersion) -> SnapshotView:
    return reader.view(version.first)


def _lines(content: bytes) -> list[bytes]:
    lines = content.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def _kept(old: bytes, new: bytes) -> list[tuple[int, int]]:
    """Numbers, from 0, in *old* and *new* of the lines that both have."""
    from pygit2 import Patch
    from pygit2.enums import DiffOption

    # libgit2 keeps pointers into both buffers: they must outlive the patch, as arguments do.
    patch = Patch.create_from(old, new, flag=DiffOption.FORCE_TEXT | DiffOption.INDENT_HEURISTIC, context_lines=0)
    kept: list[tuple[int, int]] = []
    at_old = at_new = 0
    for hunk in patch.hunks:
        first = hunk.old_start - (hunk.old_lines > 0)  # of a hunk without old lines: the number of the line before it
        kept += zip(range(at_old, first), range(at_new, at_new + first - at_old), strict=True)
        at_old, at_new = first + hunk.old_lines, at_new + first - at_old + hunk.new_lines
    count = len(_lines(old)) - at_old
    return kept + list(zip(range(at_old, at_old + count), range(at_new, at_new + count), strict=True))
