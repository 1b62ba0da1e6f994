"""Large files of which chunks are lost: what is left comes back beside them, under a name and with words that tell what it is."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.engine import Cronos
from cronos_git.git import chunks
from cronos_git.git.pack import object_id
from cronos_git.model import Loss, RestoreRequest, SnapshotRequest
from cronos_git.ops import rests
from cronos_git.ops.healing import Pool
from tests.support.engine import make_engine
from tests.support.faults import run_and_kill
from tests.support.git import git
from tests.support.repairing import objects_of, rewrite
from tests.support.trees import File, make_tree

A = "a_20400101_120000"
WHOLE = random.Random(7).randbytes(6000)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of some 256 bytes."""
    for name, size in (("MINIMUM_BYTES", 64), ("AVERAGE_BYTES", 256), ("MAXIMUM_BYTES", 1024)):
        monkeypatch.setattr(chunks, name, size)


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    """The backup a of a large file with a second name, and of one with the name that would be its rest's."""
    engine = make_engine(tmp_path, chunk_threshold=1000)
    make_tree(engine.project, {"d": {"big": File(WHOLE, mode=0o4755), "big.damaged": "mine"}, "f": "small"})
    os.link(engine.project / "d/big", engine.project / "d/second")
    engine.snapshot(SnapshotRequest(name="a"))
    return engine


def pieces() -> list[bytes]:
    return list(chunks.iter_chunks([WHOLE]))


def lose(engine: Cronos, *numbers: int, others: tuple[bytes, ...] = ()) -> Cronos:
    """Lose these chunks of the large file, and the project; the engine of the next command."""
    lost = {object_id("blob", pieces()[number]) for number in numbers}
    objects = objects_of(engine.store_path)
    kept = {name: found for name, found in objects.items() if name not in lost and found[1] not in others}
    assert len(kept) == len(objects) - len(numbers) - len(others)
    rewrite(engine.store_path, kept)
    for name in ("big", "second"):
        (engine.project / "d" / name).unlink()
    return make_engine(engine.project.parent, chunk_threshold=1000)


def losses(engine: Cronos) -> dict[str, Loss]:
    """Repair, see that all is sound then; what was lost, by path."""
    plan = engine.plan_repair()
    report = engine.repair()
    assert (plan.lost, report.remaining) == (report.plan.lost, ())
    late = make_engine(engine.project.parent, chunk_threshold=1000)
    assert (late.verify().damage, late.plan_repair().steps) == ((), ())
    git("--git-dir", late.store_path, "fsck", "--full", "--strict", "--no-dangling")
    return {loss.path: loss for loss in report.plan.lost}


def test_the_good_chunks_of_a_file_stand_beside_it_under_another_name(engine: Cronos, tmp_path: Path) -> None:
    late = lose(engine, 3)
    lost = losses(late)
    before, gap = sum(map(len, pieces()[:3])), len(pieces()[3])
    assert lost.keys() == {"d/big", "d/second"}
    assert lost["d/big"] == Loss(
        backup=A,
        path="d/big",
        kind="content",
        text=f"its bytes {before:,} to {before + gap - 1:,} of 6,000 are lost; the others stand in big.damaged.2; "
        "a restore leaves alone what is there",
        left_in="d/big.damaged.2",
        left_bytes=6000 - gap,
        lost_bytes=gap,
        gaps=(before,),
    )
    late.restore(RestoreRequest(backup=A, target=str(tmp_path / "out")))
    rest = tmp_path / "out/d/big.damaged.2"
    assert rest.read_bytes() == WHOLE[:before] + WHOLE[before + gap :]
    assert rest.stat().st_mode & 0o7777 == 0o600
    assert rest.stat().st_nlink == 1
    assert sorted(os.listdir(tmp_path / "out/d")) == ["big.damaged", "big.damaged.2", "second.damaged"]
    assert (tmp_path / "out/d/big.damaged").read_text() == "mine"


def test_a_file_with_lost_chunks_is_still_lost_itself(engine: Cronos) -> None:
    late = lose(engine, 0)
    losses(late)
    entries = {entry.path: entry for entry in late.entries(late.backups()[0], "d")}
    assert (entries["d/big"].oid, entries["d/big"].attributes.unreadable) == ("", True)
    assert not entries["d/big.damaged.2"].attributes.unreadable
    told = late.backups()[0].metadata["repair"]
    assert isinstance(told, dict)
    assert told["lost"] == ["content: d/big", "content: d/second"]


def test_of_several_gaps_the_places_are_told(engine: Cronos) -> None:
    sizes = [len(piece) for piece in pieces()]
    loss = losses(lose(engine, 0, 4, 5, 7))["d/big"]
    lost_bytes = sizes[0] + sizes[4] + sizes[5] + sizes[7]
    joined = sum(sizes[1:4])
    assert (loss.lost_bytes, loss.left_bytes, loss.gaps) == (lost_bytes, 6000 - lost_bytes, (0, joined, joined + sizes[6]))
    assert loss.text.startswith(f"{lost_bytes:,} of its 6,000 bytes are lost; {6000 - lost_bytes:,} others stand one after ")
    assert f"missing at byte 0, {joined:,}, {joined + sizes[6]:,};" in loss.text


def test_without_the_attributes_it_is_not_told_how_much_is_lost(engine: Cronos, tmp_path: Path) -> None:
    [record] = [body for _, body in objects_of(engine.store_path).values() if b" second\n" in body]
    late = lose(engine, 2, others=(record,))
    loss = losses(late)["d/big"]
    assert (loss.lost_bytes, loss.left_in) == (None, "d/big.damaged.2")
    assert loss.text.startswith("some of it is lost; ")


def test_when_every_chunk_is_lost_nothing_stands_beside_the_file(engine: Cronos) -> None:
    lost = losses(lose(engine, *range(len(pieces()))))
    assert {loss.left_in for loss in lost.values()} == {""}
    assert "it stays listed" in lost["d/big"].text


def test_chunks_that_the_project_still_has_are_in_the_rest(engine: Cronos, tmp_path: Path) -> None:
    late = lose(engine, 1, 2, 9)
    (late.project / "changed").write_bytes(b"new start" + WHOLE[sum(map(len, pieces()[:8])) :])
    loss = losses(late)["d/big"]
    assert loss.lost_bytes == len(pieces()[1]) + len(pieces()[2])
    late.restore(RestoreRequest(backup=A, target=str(tmp_path / "out")))
    assert (tmp_path / "out/d/big.damaged.2").stat().st_size == 6000 - loss.lost_bytes


def test_a_rest_that_is_damaged_too_leaves_a_rest(engine: Cronos, tmp_path: Path) -> None:
    late = lose(engine, 3)
    losses(late)
    kept = {name: found for name, found in objects_of(late.store_path).items() if found[1] != pieces()[5]}
    rewrite(late.store_path, kept)
    lost = losses(make_engine(tmp_path, chunk_threshold=1000))
    assert lost["d/big.damaged.2"].left_in == "d/big.damaged.2.damaged"
    assert lost["d/big.damaged.2"].lost_bytes == len(pieces()[5])


def test_killed_at_any_step_a_repair_leaves_one_rest_in_the_end(
    engine: Cronos, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    lose(engine, 3)
    damaged = tmp_path / "damaged.git"
    shutil.copytree(engine.store_path, damaged)
    for at in itertools.count(1, 1 if request.config.getoption("--long") else 9):
        shutil.rmtree(engine.store_path)
        shutil.copytree(damaged, engine.store_path)
        ended = run_and_kill(lambda: make_engine(tmp_path, chunk_threshold=1000).repair(), at)
        late = make_engine(tmp_path, chunk_threshold=1000)
        late.repair()
        [backup] = late.backups()
        names = {entry.path: entry for entry in late.entries(backup, "d")}
        assert names.keys() == {f"d/{name}" for name in ("big", "big.damaged", "big.damaged.2", "second", "second.damaged")}
        left = b"".join(late.read(backup, "d/big.damaged.2"))
        assert left == b"".join(piece for number, piece in enumerate(pieces()) if number != 3)
        assert late.verify().damage == ()
        if ended:
            return


# --- parts ---


class _Nothing:
    def read(self, oid: str, /) -> tuple[str, bytes]:
        raise AssertionError(oid)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=5), st.booleans()), max_size=8))
def test_a_rest_is_the_chunks_that_are_left_and_its_gaps_are_where_others_were(found: list[tuple[bytes, bool]]) -> None:
    pool = Pool(_Nothing(), lambda _name: False)
    lost = {body for body, is_lost in found if is_lost}
    for body, _ in found:
        if body not in lost:
            pool.add("blob", body)
    whole = b"".join(body for body, _ in found)
    left = b"".join(body for body, _ in found if body not in lost)
    rest = rests.join(pool, [object_id("blob", body) for body, _ in found], "r", len(whole))
    if rest is None:
        assert left == b""
        return
    assert (rest.size_bytes, rest.lost_bytes or 0) == (len(left), len(whole) - len(left))
    places, at = set(), 0
    for body, _ in found:
        places |= {at} if body in lost else set()
        at += 0 if body in lost else len(body)
    assert rest.gaps == tuple(sorted(places))


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "\udce9" * 255])
def test_a_long_name_is_cut_so_that_it_can_be_restored(name: str) -> None:
    first = rests.free_name(name, ())
    second = rests.free_name(name, (first,))
    assert first != second
    assert first.endswith(".damaged")
    assert max(len(os.fsencode(found)) for found in (first, second)) <= 255
