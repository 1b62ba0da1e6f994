"""What each row of the table measures, and the order in which the tools take turns.

Every row is measured in rounds; in each round every tool has one turn, and the round after begins with the next tool, so that
neither a warm nor a tired machine favours one. Rows that take milliseconds have more rounds and an untimed one before them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from benchmarks import trees
from benchmarks.many import multiply_backup
from benchmarks.measure import Measurement, run_step, time_step
from benchmarks.peers import Cronos, Peer, TaggingPeer
from benchmarks.stages import Stage

QUICK_ROUNDS = 5
"""How many rounds a quick row has for each round of the others."""
LISTED = 10
"""Backups in the store of the short list."""

Kinds = Sequence[type[Peer]]
Results = Mapping[str, Sequence[Measurement]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much work the rows make of things that do not come from the tree."""

    large_bytes: int
    many: int


class Bench:
    """The stages, each made when a row first needs it, below the scratch directory *area*."""

    def __init__(self, area: Path, make_tree: Callable[[Path], object], sizes: Sizes) -> None:
        self.sizes = sizes
        self._area = area
        self._make_tree = make_tree
        self._places: dict[type[Peer], Stage] = {}

    @cached_property
    def tree(self) -> Stage:
        """The tree that the run is about."""
        return self._stage("tree", self._make_tree)

    def place(self, kind: type[Peer]) -> Stage:
        """A copy of the tree for this tool alone: what one writes into its tree must not age what another knows of its own."""
        if kind not in self._places:
            copy = partial(trees.copy_tree, self.tree.tree, left_out=self._area)
            self._places[kind] = self._stage(f"in-place-{kind.name}", copy)
        return self._places[kind]

    @cached_property
    def large(self) -> Stage:
        """A project of one large file."""
        return self._stage("large", lambda root: trees.make_large_file(root / "large.bin", self.sizes.large_bytes))

    @cached_property
    def few(self) -> Stage:
        """A small project with ten backups in each store."""
        return self._stage("few", partial(trees.make_synthetic, files=20))

    @cached_property
    def many(self) -> Stage:
        """A small project with thousands of backups."""
        return self._stage("many", partial(trees.make_synthetic, files=20))

    def _stage(self, name: str, make_tree: Callable[[Path], object]) -> Stage:
        root = self._area / name / "project"
        root.parent.mkdir(parents=True)
        make_tree(root)
        return Stage(self._area / name, root)


def _nothing(bench: Bench, kinds: Kinds, turn: int) -> None:
    """Most rounds need no preparation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        key: What `--only` calls it, and what `Peer.rows` names.
        title: What the table calls it.
        measure: One turn of one tool.
        prepare: Before each round, what changes for all tools.
        quick: Takes milliseconds.
    """

    key: str
    title: str
    measure: Callable[[Bench, type[Peer]], Measurement]
    prepare: Callable[[Bench, Kinds, int], None] = _nothing
    quick: bool = False


def run_row(row: Row, bench: Bench, kinds: Kinds, runs: int, tell: Callable[[str], None]) -> Results:
    """Measure *row* with those of *kinds* that take part, by name, in the order of *kinds*.

    Raises:
        ToolFailedError: A tool failed; the figures of the row are worth nothing.
    """
    taking_part = [kind for kind in kinds if row.key in kind.rows]
    results: dict[str, list[Measurement]] = {kind.name: [] for kind in taking_part}
    for turn in range(-1 if row.quick else 0, runs * QUICK_ROUNDS if row.quick else runs):
        row.prepare(bench, taking_part, turn)
        for kind in rotated(taking_part, turn):
            measured = row.measure(bench, kind)
            if turn >= 0:
                tell(f"{row.key}, round {turn + 1}: {kind.name} {measured.seconds:.3f} s")
                results[kind.name].append(measured)
    return results


def rotated(kinds: Kinds, turn: int) -> list[type[Peer]]:
    """*kinds* in turn, beginning with another one for each *turn*."""
    start = turn % len(kinds) if kinds else 0
    return [*kinds[start:], *kinds[:start]]


def _first(bench: Bench, kind: type[Peer]) -> Measurement:
    return _first_backup(bench.tree, kind)


def _large(bench: Bench, kind: type[Peer]) -> Measurement:
    return _first_backup(bench.large, kind)


def _first_backup(stage: Stage, kind: type[Peer]) -> Measurement:
    peer = stage.empty(kind)
    measured = stage.time_backup(kind)
    return measured.storing(trees.disk_bytes(peer.store))


def _unchanged(bench: Bench, kind: type[Peer]) -> Measurement:
    bench.tree.current(kind)
    return bench.tree.time_backup(kind)


def _change_files(bench: Bench, kinds: Kinds, turn: int) -> None:
    _change(bench.tree, kinds, lambda root: trees.change_one_percent(root, turn))


def _change_byte(bench: Bench, kinds: Kinds, turn: int) -> None:
    _change(bench.large, kinds, lambda root: trees.change_one_byte(root / "large.bin", turn))


def _change(stage: Stage, kinds: Kinds, change: Callable[[Path], object]) -> None:
    for kind in kinds:
        stage.current(kind)
    stage.change(change)


def _damage(bench: Bench, kinds: Kinds, turn: int) -> None:
    places = {kind: bench.place(kind) for kind in kinds}
    for kind, place in places.items():
        if not place.holds(kind):
            trees.settle(place.tree)
            place.current(kind)
        trees.damage_one_percent(place.tree, turn)


def _restore_in_place(bench: Bench, kind: type[Peer]) -> Measurement:
    return bench.place(kind).time_restore_in_place(kind, bench.tree.tree)


def _version(bench: Bench, kind: type[Peer]) -> Measurement:
    return time_step(bench.few.current(kind).version())


def _fill_few(bench: Bench, kinds: Kinds, turn: int) -> None:
    if turn >= 0:
        return
    for kind in kinds:
        bench.few.empty(kind)
        for _ in range(LISTED):
            bench.few.back_up(kind)


def _list_few(bench: Bench, kind: type[Peer]) -> Measurement:
    return time_step(bench.few.current(kind).list_backups(), least_lines=LISTED)


def _fill_many(bench: Bench, kinds: Kinds, turn: int) -> None:
    for kind in kinds:
        if not bench.many.holds(kind):
            peer = bench.many.current(kind)
            assert isinstance(peer, TaggingPeer)
            run_step(peer.tag_last())
            multiply_backup(peer.git_dir(), peer.home, bench.sizes.many)


def _list_many(bench: Bench, kind: type[Peer]) -> Measurement:
    peer = bench.many.current(kind)
    assert isinstance(peer, TaggingPeer)
    return time_step(peer.list_tags(), least_lines=bench.sizes.many)


def _list_many_as_json(bench: Bench, kind: type[Peer]) -> Measurement:
    peer = bench.many.current(kind)
    assert isinstance(peer, Cronos)
    return time_step(peer.list_as_json(), least_lines=bench.sizes.many)


def make_rows(sizes: Sizes) -> tuple[Row, ...]:
    """All rows, in the order of the table."""
    large = f"{sizes.large_bytes // trees.MIB:,} MiB file"
    return (
        Row(key="first", title="First backup", measure=_first),
        Row(key="unchanged", title="Backup, nothing changed", measure=_unchanged),
        Row(
            key="changed",
            title="Backup, 1 % of the files changed",
            measure=lambda b, k: b.tree.time_backup(k),
            prepare=_change_files,
        ),
        Row(key="restore", title="Restore to a new place", measure=lambda b, k: b.tree.time_restore(k)),
        Row(key="in-place", title="Restore in place, 1 % differs", measure=_restore_in_place, prepare=_damage),
        Row(key="large", title=f"{large}: first backup", measure=_large),
        Row(key="byte", title=f"{large}: one byte changed", measure=lambda b, k: b.large.time_backup(k), prepare=_change_byte),
        Row(key="version", title="Start-up: version", measure=_version, quick=True),
        Row(key="list", title=f"Start-up: list of {LISTED} backups", measure=_list_few, prepare=_fill_few, quick=True),
        Row(key="list-many", title=f"List of {sizes.many:,} backups", measure=_list_many, prepare=_fill_many, quick=True),
        Row(
            key="list-many-json",
            title=f"List of {sizes.many:,} backups, `--json`",
            measure=_list_many_as_json,
            prepare=_fill_many,
            quick=True,
        ),
    )
