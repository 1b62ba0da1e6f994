"""How many bytes objects take on the disk, and how many they are when unpacked; no content is read.

An object's packed bytes reach to where the next one begins, as `git cat-file` counts %(objectsize:disk). What they are worth to a
backup is `git.holdings`'s. Floor F6.

Source: gitformat-pack(5).
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator

from cronos_git.errors import DamageError, HashMismatchError
from cronos_git.git.loose import loose_sizes, read_loose
from cronos_git.git.packindex import Pack, size_at
from cronos_git.git.store import Store


def packed_sizes(store: Store) -> dict[bytes, int]:
    """Bytes on disk of every object of the store; of one that is there several times, the smallest.

    Objects of packs that cannot be read have none. A loose object takes its file.

    Raises:
        AccessError, HostError: The directory of objects cannot be read.

    Cost: two microseconds an object, some 150 bytes of memory each.
    """
    sizes = loose_sizes(store.path / "objects")
    for pack in store.index.packs:
        with contextlib.suppress(HashMismatchError):  # of an index; its objects are missing, and told as such
            for position, size in enumerate(pack.packed_sizes()):
                name = pack.name(position)
                if size < sizes.get(name, size + 1):
                    sizes[name] = size
    return sizes


def body_sizes(store: Store, names: Collection[bytes]) -> Iterator[int]:
    """Sizes in bytes of the bodies of these objects, in no order, each once; those that cannot be read are left out.

    Cost: one or two small reads for each, pack by pack, in the order in which they lie there.
    """
    left = set(names)
    for pack in store.index.packs:
        for offset, name in _places(pack, left):
            with contextlib.suppress(HashMismatchError):  # perhaps another pack has it whole
                yield size_at(pack, offset)
                left.discard(name)
    for name in left:
        with contextlib.suppress(DamageError):
            found = read_loose(store.path / "objects", name)
            if found:
                yield len(found[1])


def _places(pack: Pack, names: Collection[bytes]) -> list[tuple[int, bytes]]:
    places = []
    with contextlib.suppress(HashMismatchError):
        for position in range(pack.count):
            name = pack.name(position)
            if name in names:
                places.append((pack.offset(position), name))
    return sorted(places)
