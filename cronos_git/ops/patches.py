"""One file before and after as a patch: Git's headers, line counts and hunks.

Patches are bytes: text in any encoding stays as it is, and `git apply` takes them. Which files are compared is for the caller;
contents are loaded one pair at a time. Floor F7, below the verbs.

Source: the extended headers and the quoting of git-diff(1), "Generating patch text with -p".
"""

from __future__ import annotations

from dataclasses import dataclass

from cronos_git.git.view import SnapshotView, is_executable
from cronos_git.model import Entry
from cronos_git.rules.binary import is_binary

_NO_OID = "0" * 40
_ESCAPES = {0x07: r"\a", 0x08: r"\b", 0x09: r"\t", 0x0A: r"\n", 0x0B: r"\v", 0x0C: r"\f", 0x0D: r"\r", 0x22: r"\"", 0x5C: r"\\"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
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


def side_of(view: SnapshotView | None, entry: Entry | None) -> Side | None:
    """None when Git would see no file there."""
    if view is None or entry is None or entry.attributes.kind not in ("file", "symlink"):
        return None
    mode = "120000" if entry.attributes.kind == "symlink" else "100755" if is_executable(entry) else "100644"
    return Side(view=view, entry=entry, mode=mode, oid=entry.oid or _NO_OID)


Compared = tuple[int | None, int | None, bytes]
"""Insertions, deletions, patch."""


def compare_sides(before: Side | None, after: Side | None) -> Compared:
    """How two versions of a file differ; where their paths differ the patch renames it. None: there is no such file."""
    if before and after and "120000" in (before.mode, after.mode) and before.mode != after.mode:
        return _joined(compare_sides(before, None), compare_sides(None, after))  # like Git: one file goes, another comes
    same_content = before.oid == after.oid if before and after else before is after
    insertions, deletions, body = (0, 0, b"") if same_content else _compare_content(before, after)
    header = _mode_lines(before, after) + _rename_lines(before, after) + (b"" if same_content else _index_line(before, after))
    if not header:
        return 0, 0, b""
    old, new = _paths(before, after)
    return insertions, deletions, b"diff --git %b %b\n" % (_label("a/", old), _label("b/", new)) + header + body


def _joined(first: Compared, second: Compared) -> Compared:
    insertions = None if first[0] is None or second[0] is None else first[0] + second[0]
    deletions = None if first[1] is None or second[1] is None else first[1] + second[1]
    return insertions, deletions, first[2] + second[2]


def _compare_content(before: Side | None, after: Side | None) -> Compared:
    labels = (
        _label("a/", before.entry.path) if before else b"/dev/null",
        _label("b/", after.entry.path) if after else b"/dev/null",
    )
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


def _paths(before: Side | None, after: Side | None) -> tuple[str, str]:
    old, new = before or after, after or before
    return (old.entry.path, new.entry.path) if old and new else ("", "")


def _mode_lines(before: Side | None, after: Side | None) -> bytes:
    if before and after:
        return f"old mode {before.mode}\nnew mode {after.mode}\n".encode() if before.mode != after.mode else b""
    if before:
        return f"deleted file mode {before.mode}\n".encode()
    return f"new file mode {after.mode}\n".encode() if after else b""


def _rename_lines(before: Side | None, after: Side | None) -> bytes:
    old, new = _paths(before, after)
    return b"rename from %b\nrename to %b\n" % (_label("", old), _label("", new)) if old != new else b""


def _index_line(before: Side | None, after: Side | None) -> bytes:
    ids = f"{before.oid if before else _NO_OID}..{after.oid if after else _NO_OID}"
    mode = f" {after.mode}" if before and after and before.mode == after.mode else ""
    return f"index {ids}{mode}\n".encode()


def _label(prefix: str, path: str) -> bytes:
    """The prefix and the path, in quotes and with octal escapes when a byte of it is not plain, as `core.quotePath` has it."""
    raw = (prefix + path).encode("utf-8", "surrogateescape")
    quoted = "".join(_ESCAPES.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}") for byte in raw)
    return f'"{quoted}"'.encode() if len(quoted) > len(raw) else raw
