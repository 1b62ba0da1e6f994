"""The differences between two snapshots as Git would show them: names, line counts, patches.

Which paths differ is told by `git.view`; here contents are loaded, one pair at a time, and set side by side. Patches are bytes:
text in any encoding stays as it is, and `git apply` takes them. Floor F7.

Source: the extended headers and the quoting of git-diff(1), "Generating patch text with -p".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cronos_git.git.view import SnapshotView, change_of, diff_entries, is_executable
from cronos_git.model import Entry, FileDiff
from cronos_git.rules.binary import is_binary

_NO_OID = "0" * 40
_ESCAPES = {0x07: r"\a", 0x08: r"\b", 0x09: r"\t", 0x0A: r"\n", 0x0B: r"\v", 0x0C: r"\f", 0x0D: r"\r", 0x22: r"\"", 0x5C: r"\\"}


def diff(
    old: SnapshotView | None, new: SnapshotView, paths: Sequence[str] = (), *, stat: bool = False, patch: bool = False
) -> Iterator[FileDiff]:
    """What differs from *old* to *new*, in the order of `SnapshotView.walk`, attribute-only differences included.

    A file with a NUL in its first 8000 bytes is binary, as for Git, and so is every file stored in chunks; of those only
    that they differ is told. Special files, directories and attribute-only differences have no lines: 0 and an empty patch.

    Args:
        old: None for nothing at all.
        paths: Only these files, and what lies below these directories; empty for everything.
        stat: Fill in insertions and deletions.
        patch: Fill in these and the patch.

    Cost: with *stat* or *patch* the contents of one path at a time are in memory, before and after; without, none is read.
    """
    wanted = tuple(path.strip("/") for path in paths)
    for before, after in diff_entries(old, new):
        change = change_of(before, after)
        if not _is_wanted(change.path, wanted):
            continue
        if stat or patch:
            insertions, deletions, text = _compare(_side(old, before), _side(new, after))
            yield FileDiff(change=change, insertions=insertions, deletions=deletions, patch=text if patch else None)
        else:
            yield FileDiff(change=change)


def _is_wanted(path: str, wanted: tuple[str, ...]) -> bool:
    return not wanted or any(top in ("", path) or path.startswith(top + "/") for top in wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One version of a file as Git sees it.

    Attributes:
        mode: `100644`, `100755` or `120000`.
    """

    view: SnapshotView
    entry: Entry
    mode: str
    oid: str

    def content(self) -> bytes | None:
        """All of it, or None when it is binary or the backup lacks it."""
        if self.entry.chunked or not self.entry.oid:
            return None
        content = b"".join(self.view.read(self.entry))
        return None if is_binary(content) else content


def _side(view: SnapshotView | None, entry: Entry | None) -> _Side | None:
    """None when Git would see no file there."""
    if view is None or entry is None or entry.attributes.kind not in ("file", "symlink"):
        return None
    mode = "120000" if entry.attributes.kind == "symlink" else "100755" if is_executable(entry) else "100644"
    return _Side(view=view, entry=entry, mode=mode, oid=entry.oid or _NO_OID)


Compared = tuple[int | None, int | None, bytes]
"""Insertions, deletions, patch."""


def _compare(before: _Side | None, after: _Side | None) -> Compared:
    if before and after and "120000" in (before.mode, after.mode) and before.mode != after.mode:
        return _joined(_compare(before, None), _compare(None, after))  # like Git: one file goes, another comes
    same_content = before.oid == after.oid if before and after else before is after
    insertions, deletions, body = (0, 0, b"") if same_content else _compare_content(before, after)
    header = _mode_lines(before, after) + (b"" if same_content else _index_line(before, after))
    if not header:
        return 0, 0, b""
    path = _path(before, after)
    return insertions, deletions, b"diff --git %b %b\n" % (_label("a/", path), _label("b/", path)) + header + body


def _joined(first: Compared, second: Compared) -> Compared:
    insertions = None if first[0] is None or second[0] is None else first[0] + second[0]
    deletions = None if first[1] is None or second[1] is None else first[1] + second[1]
    return insertions, deletions, first[2] + second[2]


def _compare_content(before: _Side | None, after: _Side | None) -> Compared:
    path = _path(before, after)
    labels = _label("a/", path) if before else b"/dev/null", _label("b/", path) if after else b"/dev/null"
    old, new = before.content() if before else b"", after.content() if after else b""
    if old is None or new is None:
        return None, None, b"Binary files %b and %b differ\n" % labels
    insertions, deletions, hunks = _hunks(old, new)
    tabs = [b"\t" if b" " in label else b"" for label in labels]  # so that `patch` sees where the name ends
    top = b"--- %b%b\n+++ %b%b\n" % (labels[0], tabs[0], labels[1], tabs[1]) if hunks else b""
    return insertions, deletions, top + hunks


def _hunks(old: bytes, new: bytes) -> Compared:
    """Line counts, and the part of a unified diff that begins with `@@`."""
    from pygit2 import Patch
    from pygit2.enums import DiffOption

    # libgit2 keeps pointers into both buffers: they must outlive the patch, as arguments do and passed expressions would not.
    patch = Patch.create_from(old, new, flag=DiffOption.FORCE_TEXT | DiffOption.INDENT_HEURISTIC)
    _, insertions, deletions = patch.line_stats
    text = patch.data or b""
    start = text.find(b"\n@@ ")
    return insertions, deletions, text[start + 1 :] if start >= 0 else b""


def _path(before: _Side | None, after: _Side | None) -> str:
    side = after or before
    return side.entry.path if side else ""


def _mode_lines(before: _Side | None, after: _Side | None) -> bytes:
    if before and after:
        return f"old mode {before.mode}\nnew mode {after.mode}\n".encode() if before.mode != after.mode else b""
    if before:
        return f"deleted file mode {before.mode}\n".encode()
    return f"new file mode {after.mode}\n".encode() if after else b""


def _index_line(before: _Side | None, after: _Side | None) -> bytes:
    ids = f"{before.oid if before else _NO_OID}..{after.oid if after else _NO_OID}"
    mode = f" {after.mode}" if before and after and before.mode == after.mode else ""
    return f"index {ids}{mode}\n".encode()


def _label(prefix: str, path: str) -> bytes:
    """`a/` or `b/` and the path, in quotes and with octal escapes when a byte of it is not plain, as `core.quotePath` has it."""
    raw = (prefix + path).encode("utf-8", "surrogateescape")
    quoted = "".join(_ESCAPES.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}") for byte in raw)
    return f'"{quoted}"'.encode() if len(quoted) > len(raw) else raw
