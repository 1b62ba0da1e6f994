"""Whatever the packs and the budgets: run after run, all is read, and damage is found before the cycle is over."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronos_git.events import Run
from cronos_git.git import packtable
from cronos_git.git.packtable import PackTable
from cronos_git.ops.rotation import Rotation, Slice, by_pack
from tests.support.rotation import table_of

NOW = datetime(2026, 4, 1, tzinfo=UTC)
LAYOUTS = st.lists(st.lists(st.integers(1, 40), max_size=12), min_size=1, max_size=5)
TIMES = st.lists(st.datetimes(timezones=st.just(UTC)), min_size=1, max_size=5)


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    with mock.patch.object(packtable, "PART_BYTES", 50), mock.patch.object(os, "fsync"):  # the disk's time is not the matter
        yield


def tables_of(layout: Sequence[Sequence[int]]) -> list[PackTable]:
    return [table_of(str(number), sizes) for number, sizes in enumerate(layout)]


def one_run(
    place: Path, tables: Sequence[PackTable], budget: int, now: datetime = NOW, bad: object = None
) -> set[tuple[str, int]]:
    """One run with this budget; the parts read, by pack and number."""
    rotation = Rotation(place, tables, now, Run())
    read = [*rotation.damaged(), *rotation.due(budget)]
    for table, parts in by_pack(read):
        for part in parts:
            rotation.note(table, part, key(Slice(table, part)) != bad)
    rotation.save()
    return set(map(key, read))


def key(slice_: Slice) -> tuple[str, int]:
    return slice_.table.path.stem, slice_.part.number


def all_parts(tables: Sequence[PackTable]) -> set[tuple[str, int]]:
    return {(table.path.stem, part.number) for table in tables for part in table.parts}


@given(LAYOUTS)
def test_parts_hold_every_object_and_byte_once_and_in_order(layout: list[list[int]]) -> None:
    for table, sizes in zip(tables_of(layout), layout, strict=True):
        assert [(part.number, part.first) for part in table.parts] == [
            (number, table.parts[number - 1].end if number else 0) for number in range(len(table.parts))
        ]
        assert table.parts[-1].end == len(sizes)
        assert sum(part.size_bytes for part in table.parts) == sum(sizes)


@settings(max_examples=40)
@given(LAYOUTS, st.integers(1, 100), TIMES)
def test_a_share_in_percent_reads_all_in_as_many_runs_as_it_takes_whatever_the_clock(
    layout: list[list[int]], percent: int, times: list[datetime]
) -> None:
    tables = tables_of(layout)
    budget = math.ceil(sum(map(sum, layout)) * percent / 100)
    with tempfile.TemporaryDirectory() as name:
        for _cycle in range(2):  # and again, when all was read before
            read: set[tuple[str, int]] = set()
            for run in range(math.ceil(100 / percent)):
                read |= one_run(Path(name), tables, budget, times[run % len(times)])
            # Parts larger than the budget take a run each, and so does a pack without objects.
            for _more in range(len(all_parts(tables)) if budget < 90 else sum(not sizes for sizes in layout)):
                read |= one_run(Path(name), tables, budget)
            assert read == all_parts(tables)


@settings(max_examples=40)
@given(LAYOUTS, st.lists(st.integers(0, 200), min_size=1, max_size=4), st.data())
def test_a_damaged_part_is_met_within_a_cycle_is_told_ever_after_and_holds_up_no_other(
    layout: list[list[int]], budgets: list[int], data: st.DataObject
) -> None:
    tables = tables_of(layout)
    bad = data.draw(st.sampled_from(sorted(all_parts(tables))))
    seen: list[set[tuple[str, int]]] = []
    with tempfile.TemporaryDirectory() as name:
        for run in range(len(all_parts(tables))):
            seen.append(one_run(Path(name), tables, budgets[run % len(budgets)], bad=bad))
        found = next(number for number, read in enumerate(seen) if bad in read)
        assert all(bad in read for read in seen[found:])
        assert set().union(*seen) == all_parts(tables)
        progress = Rotation(Path(name), tables, NOW, Run()).progress()
        lost = next(part.size_bytes for table in tables for part in table.parts if (table.path.stem, part.number) == bad)
        assert progress.sound_bytes == progress.total_bytes - lost


@given(LAYOUTS, LAYOUTS, st.integers(0, 200))
def test_packs_that_come_and_go_keep_what_is_known_of_the_others(
    layout: list[list[int]], later: list[list[int]], budget: int
) -> None:
    old, new = tables_of(layout), tables_of(later)
    kept = {table.path.stem for table in old if table.digest in [other.digest for other in new]}
    with tempfile.TemporaryDirectory() as name:
        read = {found for found in one_run(Path(name), old, budget) if found[0] in kept}
        rotation = Rotation(Path(name), new, NOW, Run())
        rotation.everything()
        assert {key(slice_) for slice_ in rotation.due(0)}.isdisjoint(read) or read == all_parts(new)
        assert {key(slice_) for slice_ in rotation.unfinished()} == all_parts(new)
        assert rotation.progress().sound_bytes == sum(
            part.size_bytes for table in new for part in table.parts if (table.path.stem, part.number) in read
        )
