"""Packs that are tables only, for what needs no bytes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from cronos_git.git.pack import format_index
from cronos_git.git.packtable import PackTable


def table_of(name: str, sizes: Sequence[int]) -> PackTable:
    """The table of a pack that holds objects of these packed sizes, in this order."""
    ids = [hashlib.sha1(f"{name} {number}".encode()).digest() for number in range(len(sizes))]
    offsets = [12 + sum(sizes[:number]) for number in range(len(sizes))]
    entries = {oid: (offset, 0) for oid, offset in zip(ids, offsets, strict=True)}
    digest = hashlib.sha1(f"{name} {sizes}".encode()).digest()
    return PackTable(Path(f"pack-{name}.pack"), format_index(sorted(ids), entries, digest), 12 + sum(sizes) + 20, digest)
