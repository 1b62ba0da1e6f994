"""What counts as a binary file, here as in Git: the one definition for comparing, merging and following renames.

Files stored in chunks are not judged by it: they count as binary whatever they hold, since they are never loaded whole.
Floor F4: pure.

Source: git, xdiff-interface.c, buffer_is_binary.
"""

from __future__ import annotations

_SNIFFED_BYTES = 8000


def is_binary(content: bytes) -> bool:
    """Whether there is a NUL in the first 8000 bytes; only those need be given."""
    return content.find(b"\0", 0, _SNIFFED_BYTES) >= 0
