"""Makes lost trees anew, exactly: the names in a directory of `data/` are told by its attributes, and the other way round; the
ids are found among what other backups hold under the same names, and what nothing in the store names any more.

Candidates are put together until the tree hashes to the id that is wanted, so nothing is guessed. A directory of which too many
files differ from every other version is given up. Contents and attribute records cannot be made so. Floor F7, below the verbs.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from cronos_git.errors import DamageError
from cronos_git.git.pack import object_id
from cronos_git.git.remains import Remains
from cronos_git.git.trees import MODE_DIRECTORY, MODE_EXECUTABLE, MODE_FILE, MODE_SYMLINK, TreeEntry, format_tree, parse_tree
from cronos_git.model import Attributes
from cronos_git.ops.healing import Pool
from cronos_git.rules.attributes import HEADER, AttributeTable, parse_attributes
from cronos_git.rules.names import ATTRIBUTES_NAME, decode_name, encode_name

_MOST_TRIALS = 20_000
_MOST_BASES = 50


class Regrower:
    """Makes lost trees anew.

    Args:
        pool: What was made is added to it.

    Cost: when first asked, every tree of the store is read, and every blob; for each tree at most some 20,000 hashes.
    """

    def __init__(self, remains: Remains, pool: Pool) -> None:
        self._remains = remains
        self._pool = pool

    def data(self, wanted: bytes, table: AttributeTable, below: Mapping[bytes, bytes]) -> list[TreeEntry] | None:
        """The entries of a lost tree of `data/`.

        Args:
            table: The attributes of the directory.
            below: The attribute trees of the directories in it, by stored name.
        """
        files = [a for a in table.entries.values() if a.kind in ("file", "symlink") and not a.unreadable]
        choices = [self._files(attributes) for attributes in files]
        choices += [self._data_trees(stored, attributes) for stored, attributes in below.items()]
        return self._try(wanted, choices)

    def attributes(self, wanted: bytes, entries: Sequence[TreeEntry]) -> list[TreeEntry] | None:
        """The entries of a lost attribute tree, by those of the directory's tree in `data/`."""
        directories = [entry for entry in entries if _is_directory(entry)]
        names = {_raw(entry) for entry in entries if not _is_directory(entry)}
        choices = [self._attribute_trees(entry) for entry in directories]
        choices.append([TreeEntry(MODE_FILE, ATTRIBUTES_NAME, oid) for oid in self._records if names <= self._names(oid)])
        return self._try(wanted, choices)

    # --- what may stand in a place ---

    def _files(self, attributes: Attributes) -> list[TreeEntry]:
        """Entries that other trees have for a file or link of that name, and unnamed contents of its size."""
        raw = attributes.name.encode("utf-8", "surrogateescape")
        named = [entry for entry in self._entries_by_name.get(raw, ()) if not _is_directory(entry)]
        # A mode may have changed without the content; a directory among these is a list of chunks.
        found = [entry if entry.mode == MODE_DIRECTORY else entry._replace(mode=_mode(attributes)) for entry in named]
        stored = dict.fromkeys((encode_name(raw), encode_name(raw, forced=True)))
        unnamed = self._orphan_blobs.get(attributes.size_bytes, ())
        found += [TreeEntry(_mode(attributes), name, oid) for oid in unnamed for name in stored]
        found += [TreeEntry(MODE_DIRECTORY, encode_name(raw, chunked=True), oid) for oid in self._orphan_chunk_lists]
        return list(dict.fromkeys(entry for entry in found if self._may_have_size(entry, attributes)))

    def _may_have_size(self, entry: TreeEntry, attributes: Attributes) -> bool:
        if entry.mode == MODE_DIRECTORY or attributes.changed or not self._pool.is_stored(entry.oid):
            return True
        return len(self._pool.read(entry.oid.hex())[1]) == attributes.size_bytes

    def _data_trees(self, stored: bytes, attributes: bytes) -> list[TreeEntry]:
        named = [entry.oid for entry in self._entries_by_name.get(decode_name(stored)[0], ()) if _is_directory(entry)]
        found = dict.fromkeys([*named, *self._orphan_trees])
        return [TreeEntry(MODE_DIRECTORY, stored, oid) for oid in found if self._fit(oid, attributes)]

    def _attribute_trees(self, entry: TreeEntry) -> list[TreeEntry]:
        found = dict.fromkeys([*self._attributes_by_name.get(entry.stored, ()), *self._orphan_attributes])
        return [entry._replace(oid=oid) for oid in found if self._fit(entry.oid, oid)]

    def _fit(self, data: bytes, attributes: bytes) -> bool:
        """Whether a tree of `data/` and an attribute tree may be of one directory; what is lost may be anything."""
        entries, meta = self._trees.get(data), self._trees.get(attributes)
        if entries is None or meta is None:
            return True
        records = [entry.oid for entry in meta if entry.stored == ATTRIBUTES_NAME]
        directories = {entry.stored for entry in entries if _is_directory(entry)}
        if not records or directories != {entry.stored for entry in meta} - {ATTRIBUTES_NAME}:
            return False
        return {_raw(entry) for entry in entries if not _is_directory(entry)} <= self._names(records[0])

    def _names(self, record: bytes) -> set[bytes]:
        """The names of files in an attribute record; every name when it is lost, as nothing speaks against it."""
        return self._records.get(record, set())

    # --- putting together ---

    def _try(self, wanted: bytes, choices: Sequence[Sequence[TreeEntry]]) -> list[TreeEntry] | None:
        """The combination that hashes to *wanted*."""
        if not all(choices):
            return None
        if math.prod(map(len, choices)) <= _MOST_TRIALS:
            trials: Iterator[Iterable[TreeEntry]] = itertools.product(*choices)
        else:
            trials = itertools.islice(self._near_others(choices), _MOST_TRIALS)
        for trial in trials:
            body = format_tree(trial)
            if object_id("tree", body) == wanted:
                self._pool.add("tree", body)
                return parse_tree(body)
        return None

    def _near_others(self, choices: Sequence[Sequence[TreeEntry]]) -> Iterator[list[TreeEntry]]:
        """Where much is possible: what another tree has, with one or two entries exchanged; the most similar trees first."""
        possible = {entry for choice in choices for entry in choice}
        likeness = Counter({name: len(possible.intersection(entries)) for name, entries in self._trees.items()})
        for name, _ in likeness.most_common(_MOST_BASES):
            has = set(self._trees[name])
            base = [next((entry for entry in choice if entry in has), choice[0]) for choice in choices]
            yield base
            others = [(at, entry) for at, choice in enumerate(choices) for entry in choice if entry != base[at]]
            for at, entry in others:
                yield [*base[:at], entry, *base[at + 1 :]]
            for (at, entry), (also, other) in itertools.combinations(others, 2):
                trial = list(base)
                trial[at], trial[also] = entry, other
                yield trial

    # --- what the store has; looked through once ---

    @cached_property
    def _trees(self) -> dict[bytes, list[TreeEntry]]:
        found = {}
        for name in [*self._remains.of_kind("tree"), *(name for name, (kind, _) in self._pool.made.items() if kind == "tree")]:
            with contextlib.suppress(DamageError):
                found[name] = parse_tree(self._pool.read(name.hex())[1])
        return found

    @cached_property
    def _entries_by_name(self) -> dict[bytes, list[TreeEntry]]:
        """Entries of trees of `data/` by name on disk, the commonest first."""
        counts = Counter(entry for name, entries in self._trees.items() if name not in self._with_attributes for entry in entries)
        found: dict[bytes, list[TreeEntry]] = {}
        for entry, _ in counts.most_common():
            with contextlib.suppress(DamageError):
                found.setdefault(_raw(entry), []).append(entry)
        return found

    @cached_property
    def _with_attributes(self) -> set[bytes]:
        return {name for name, entries in self._trees.items() if any(entry.stored == ATTRIBUTES_NAME for entry in entries)}

    @cached_property
    def _attributes_by_name(self) -> dict[bytes, list[bytes]]:
        counts = Counter((entry.stored, entry.oid) for name in self._with_attributes for entry in self._trees[name])
        found: dict[bytes, list[bytes]] = {}
        for (stored, oid), _ in counts.most_common():
            found.setdefault(stored, []).append(oid)
        return found

    @cached_property
    def _named(self) -> set[bytes]:
        """Everything that some tree names."""
        return {entry.oid for entries in self._trees.values() for entry in entries}

    @cached_property
    def _orphan_trees(self) -> list[bytes]:
        return [name for name in self._trees if name not in self._named and name not in self._with_attributes]

    @cached_property
    def _orphan_attributes(self) -> list[bytes]:
        return [name for name in self._with_attributes if name not in self._named]

    @cached_property
    def _orphan_chunk_lists(self) -> list[bytes]:
        return [name for name in self._orphan_trees if all(entry.stored.isdigit() for entry in self._trees[name])]

    @cached_property
    def _records(self) -> dict[bytes, set[bytes]]:
        """The names in every attribute record, by its id."""
        found = {}
        for name in self._remains.of_kind("blob"):
            with contextlib.suppress(DamageError):
                body = self._pool.read(name.hex())[1]
                if body.startswith(HEADER.encode()):
                    found[name] = {text.encode("utf-8", "surrogateescape") for text in parse_attributes(body).entries}
        return found

    @cached_property
    def _orphan_blobs(self) -> dict[int, list[bytes]]:
        """Blobs that no tree names, by size in bytes."""
        found: dict[int, list[bytes]] = {}
        for name in self._remains.of_kind("blob"):
            if name not in self._named:
                with contextlib.suppress(DamageError):
                    found.setdefault(len(self._pool.read(name.hex())[1]), []).append(name)
        return found


def _mode(attributes: Attributes) -> int:
    if attributes.kind == "symlink":
        return MODE_SYMLINK
    return MODE_EXECUTABLE if attributes.mode & 0o100 else MODE_FILE


def _raw(entry: TreeEntry) -> bytes:
    return decode_name(entry.stored)[0]


def _is_directory(entry: TreeEntry) -> bool:
    return entry.mode == MODE_DIRECTORY and not decode_name(entry.stored)[1]
