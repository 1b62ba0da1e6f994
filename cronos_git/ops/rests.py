"""What is left of a large file of which some chunks are lost: a new file, made of the others, and named as a rest.

Chunks tell neither their length nor where they were once they are lost. So the others are joined, and it is told where in the new
file bytes are missing, and how many in all, as the lost file's size tells. Which files are lost, and what becomes of their
entries, is `ops.holes`'s. Floor F7, below the verbs.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from cronos_git.git.listing import encode
from cronos_git.git.trees import MODE_DIRECTORY, MODE_FILE, TreeEntry, format_tree
from cronos_git.model import Attributes
from cronos_git.ops.healing import Pool
from cronos_git.rules.names import encode_name

_SUFFIX = ".damaged"
_NAME_MAX_BYTES = 255
"""Longer names cannot be restored to common file systems."""


class Rest(NamedTuple):
    """A new file with what is left.

    Attributes:
        name: Its name, in the directory of the lost file.
        entry: Its entry in the tree.
        size_bytes: How much is left.
        lost_bytes: How much is lost; None when it is not known how large the file was.
        gaps: Where bytes are missing, as offsets in the new file.
    """

    name: str
    entry: TreeEntry
    size_bytes: int
    lost_bytes: int | None
    gaps: tuple[int, ...]


def join(pool: Pool, chunks: Sequence[bytes], name: str, whole_bytes: int | None) -> Rest | None:
    """What is left of these chunks; None when nothing is.

    Args:
        pool: The list of the chunks that are left is added to it.
        name: That of the new file.
        whole_bytes: The size of the lost file, where it is known.

    Cost: every chunk that is left is read.
    """
    sizes = pool.sizes(set(chunks))
    left = [chunk for chunk in chunks if chunk in sizes]
    if not left:
        return None
    size_bytes, gaps = _measure(chunks, sizes)
    lost_bytes = whole_bytes - size_bytes if whole_bytes is not None and whole_bytes > size_bytes else None
    width = max(8, len(str(len(left) - 1)))
    tree = pool.add("tree", format_tree(TreeEntry(MODE_FILE, b"%0*d" % (width, number), oid) for number, oid in enumerate(left)))
    entry = TreeEntry(MODE_DIRECTORY, encode_name(encode(name), chunked=True), tree)
    return Rest(name, entry, size_bytes, lost_bytes, gaps)


def _measure(chunks: Sequence[bytes], sizes: Mapping[bytes, int]) -> tuple[int, tuple[int, ...]]:
    """The size of those that have one, joined, and where in that others are missing."""
    size_bytes, gaps = 0, list[int]()
    for chunk in chunks:
        size_bytes += sizes.get(chunk, 0)
        if chunk not in sizes and size_bytes not in gaps[-1:]:
            gaps.append(size_bytes)
    return size_bytes, tuple(gaps)


def free_name(name: str, taken: Container[str]) -> str:
    """A name that nothing has, and that tells of what file it is a rest."""
    suffixes = itertools.chain([_SUFFIX], (f"{_SUFFIX}.{number}" for number in itertools.count(2)))
    return next(found for found in (_with_suffix(name, suffix) for suffix in suffixes) if found not in taken)


def _with_suffix(name: str, suffix: str) -> str:
    while len(encode(name + suffix)) > _NAME_MAX_BYTES:
        name = name[:-1]
    return name + suffix


def attributes_of(rest: Rest, lost: Attributes) -> Attributes:
    """Time and owner of the lost file; closed to all others, and no program: nothing may take it for the whole file."""
    made = replace(lost, name=rest.name, mode=lost.mode & 0o600, size_bytes=rest.size_bytes, xattrs=(), link_group="")
    return replace(made, changed=False, unreadable=False)
