"""Names: how a name on disk is stored in a Git tree, and how ids and scopes are spelled.

Git refuses `.git` and treats `.gitmodules` and `.gitattributes` specially, each in many spellings. Such names are stored as
`.cronos%e%<payload>`, a file in chunks as `.cronos%c%<payload>` (docs/reference/store-format.md); every other name as it is.
The rules are those of git's `fsck.c`, `path.c` (NTFS) and `utf8.c` (HFS+), versions 2.39 to 2.55, widened where that makes them
simpler: a name too many under the escape costs nothing, a name too few fails `git fsck --strict`. Whether two entries of a tree
decode to one name is for the reader of that tree to check. Floor F4.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from datetime import UTC, datetime

from cronos_git.errors import RecordFormatError
from cronos_git.model import SCOPE_PROJECT

ESCAPE_PREFIX = b".cronos%"
ATTRIBUTES_NAME = ESCAPE_PREFIX + b"attributes"
"""Name of the attribute blobs; `encode_name` never gives it, so no file of a project can stand in its place."""

_KIND_LENGTH = len(ESCAPE_PREFIX) + 2
_INSPECTED = frozenset({b".gitmodules", b".gitattributes"})

# --- which names are special ----------------------------------------------------------------------------------------

# Decides for almost every name, at the cost of one match: special spellings start with one of these, or follow a backslash.
_ORDINARY = re.compile(rb"[^.gG~\xe2\xef\\/\0][^\\/\0]*+\Z")

# Code points that HFS+ leaves out of comparisons: U+200C-200F, 202A-202E, 206A-206F, FEFF.
_IGNORED = rb"(?:\xe2\x80[\x8c-\x8f\xaa-\xae]|\xe2\x81[\xaa-\xaf]|\xef\xbb\xbf)*+"

# NTFS drops spaces and periods at the end and takes `:` for the start of a stream's name.
_NTFS_END = rb"[ .]*(?::|\Z)"


def _dotted(word: bytes) -> bytes:
    """`.word` with ignored code points anywhere. Git takes malformed UTF-8 after it for its end: any byte above 127 counts."""
    letters = _IGNORED.join(re.escape(bytes((byte,))) for byte in b"." + word)
    return _IGNORED + letters + rb"(?:[\x80-\xff]|" + _NTFS_END + rb")"


def _short(stem: bytes, fallback: bytes) -> bytes:
    """NTFS short names: `gitmod~1` to `~4`, or some first letters of the hashed stem, `~` and digits, eight bytes in all."""
    hashed = [fallback[:kept] + rb"~[1-9][0-9]{%d}" % (6 - kept) for kept in range(7)]
    return rb"(?:" + b"|".join([stem + rb"~[1-4]", *hashed]) + rb")" + _NTFS_END


# Kept as text, compiled by `re` when the first suspect comes: compiling takes milliseconds that most commands need not spend.
_SPECIAL = (
    rb"(?i:"
    + b"|".join(
        (
            _dotted(b"git"),
            rb"git~1" + _NTFS_END,
            _dotted(b"gitmodules"),
            _short(b"gitmod", b"gi7eba"),
            _dotted(b"gitattributes"),
            _short(b"gitatt", b"gi7d29"),
            re.escape(ESCAPE_PREFIX),
        )
    )
    + rb")"
)


def _needs_escape(raw: bytes) -> bool:
    """Whether *raw* cannot be stored under its own name whatever it is; `\\` separates directories on Windows."""
    return raw not in _INSPECTED and any(re.match(_SPECIAL, part) for part in raw.split(b"\\"))


def _is_file_name(raw: bytes) -> bool:
    return raw not in (b"", b".", b"..") and b"/" not in raw and b"\0" not in raw


# --- to the store and back ------------------------------------------------------------------------------------------


def encode_name(raw: bytes, *, chunked: bool = False, forced: bool = False) -> bytes:
    """Give the stored name of the file, link or directory called *raw*.

    Args:
        raw: One name as the file system gives it.
        chunked: The entry is a directory of chunks that stands for a file.
        forced: Escape in any case: an inspected name whose kind or content does not pass.

    Raises:
        ValueError: *raw* cannot be the name of a file: empty, `.`, `..`, or with `/` or NUL.
    """
    if not (chunked or forced) and _ORDINARY.match(raw):
        return raw
    if not _is_file_name(raw):
        raise ValueError(f"not a file name: {raw!r}")
    if not (chunked or forced or _needs_escape(raw)):
        return raw
    payload = raw.replace(b"%", b"%25").replace(b"\\", b"%5C")
    return ESCAPE_PREFIX + (b"c%" if chunked else b"e%") + payload


def decode_name(stored: bytes) -> tuple[bytes, bool]:
    """Give back the name on disk, and whether the entry is a directory of chunks.

    Raises:
        RecordFormatError: `encode_name` could not have given *stored*: a path, a broken escape, a name that needs one.
    """
    if _ORDINARY.match(stored):
        return stored, False
    if not stored.startswith(ESCAPE_PREFIX):
        if not _is_file_name(stored) or _needs_escape(stored):
            raise _bad_name(stored)
        return stored, False
    chunked = stored[len(ESCAPE_PREFIX) : _KIND_LENGTH] == b"c%"
    raw = stored[_KIND_LENGTH:].replace(b"%5C", b"\\").replace(b"%25", b"%")
    if not _is_file_name(raw) or encode_name(raw, chunked=chunked, forced=True) != stored:
        raise _bad_name(stored)
    return raw, chunked


def _bad_name(stored: bytes) -> RecordFormatError:
    return RecordFormatError(
        f"A tree of the store holds the name {stored!r}, which CRONOS never writes; nothing is restored under it.",
        hint="Run `cronos verify` to see which backups are hit.",
        name=repr(stored),
    )


# --- names whose content decides ------------------------------------------------------------------------------------

_INSPECTED_MAX_BYTES = 1 << 20
_ATTRIBUTES_MAX_LINE = 2048

# Plain submodule sections only: what is left out here is not wrong, it is just stored under the escape.
_MODULES = rb"""(?x)
    (?: [ \t]*+ (?:
          \[submodule[ ]" (?![^"\n]*\.\.) [\w ./+@~-]+ "\]
        | url    [ \t]*+=[ \t]*+ (?:
              (?:\.\.?/)+ (?=\w)
            | (?:https?|ssh|git)://(?:\w[\w.-]*@)?\w[\w.-]*(?::[1-9][0-9]{0,3})? (?=/)
            | \w[\w.-]*@\w[\w.-]*: (?=[\w/~])
            | / (?=\w)
          ) (?:(?!/\.\.)[\w./~+@-])*+
        | update [ \t]*+=[ \t]*+ (?:checkout|rebase|merge|none)
        | (?:path|branch|ignore|shallow|active|fetchRecurseSubmodules) [ \t]*+=[ \t]*+ [\w.][\w ./+@~-]*+
        | (?:[#;][^\0\n]*+)?
      ) [ \t]*+ \r? (?:\n|\Z)
    )*+
    """


def is_inspected(raw: bytes) -> bool:
    """Whether kind and content decide if *raw* keeps its own name (see `passes_fsck`).

    That is the plain spelling of `.gitmodules` and `.gitattributes`; `encode_name` escapes all others by itself.
    """
    return raw in _INSPECTED


def passes_fsck(raw: bytes, content: bytes) -> bool:
    """Whether a regular file called *raw*, for which `is_inspected` holds, may keep its own name.

    Conservative: True only when git 2.39 to 2.55 all accept *content*. Anything but a regular file (a directory, a link, a file
    in chunks) never may. Cost: one pass over at most 1 MiB.
    """
    if raw not in _INSPECTED or len(content) > _INSPECTED_MAX_BYTES:
        return False
    if raw == b".gitmodules":
        return re.fullmatch(_MODULES, content) is not None
    return all(len(line) < _ATTRIBUTES_MAX_LINE for line in content.split(b"\n"))


# --- ids and scopes -------------------------------------------------------------------------------------------------

_SLUG_MAX = 100
_SCOPE_MAX = 150


def slug(name: str) -> str:
    """Spell *name* as the stem of an id: lower case, `[a-z0-9._-]`, each run of anything else `-`.

    What Git forbids in refs goes too (`..`, `.` at the ends, `.lock` at the end). At most 100 characters; `backup` when nothing
    is left. Applying it twice changes nothing.
    """
    plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower())
    plain = re.sub(r"\.{2,}", ".", plain).strip("-.")[:_SLUG_MAX].rstrip("-.")
    return re.sub(r"\.lock$", "-lock", plain) or "backup"


def make_id(name: str, created: datetime, taken: Container[str]) -> str:
    """Give the id of a new backup: `<slug>_<YYYYMMDD>_<HHMMSS>` in UTC, with `_2`, `_3` … while that is in *taken*."""
    stem = f"{slug(name)}_{created.astimezone(UTC):%Y%m%d_%H%M%S}"
    candidate, number = stem, 1
    while candidate in taken:
        number += 1
        candidate = f"{stem}_{number}"
    return candidate


def scope_name(modules: Iterable[str]) -> str:
    """Name the scope of *modules* (names or paths): their slugs, sorted, joined with `+`; `project` when there are none.

    A long name is cut and ends in a digest; a single module called `project` becomes `project+`, as that is another scope.
    """
    words = sorted({slug(module) for module in modules})
    joined = "+".join(words)
    if joined == SCOPE_PROJECT:
        return joined + "+"
    if len(joined) > _SCOPE_MAX:
        import hashlib

        return f"{joined[: _SCOPE_MAX - 9]}+{hashlib.sha256(joined.encode()).hexdigest()[:8]}"
    return joined or SCOPE_PROJECT
