"""What a merge may cost: walks, files read, git processes, objects, and memory with files of many megabytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.git import session
from cronos_git.git.pack import object_id
from cronos_git.git.store import Store
from cronos_git.model import OnConflict
from tests.support.engine import make_engine
from tests.support.faults import run_and_kill
from tests.support.merging import THEIRS, merging
from tests.support.restoring import save
from tests.support.trees import make_tree
from tests.unit.test_restore_in_place import AUDIT

# --- many files -------------------------------------------------------------------------------------------------------

LINES = "".join(f"{number}\n" for number in range(20))
MANY = {f"d{n:02}/f{n:02}-{m:02}": f"{n} {m}" for n in range(60) for m in range(50)}
BOTH = {f"d{n:02}/f{n:02}-07": f"{n}\n{LINES}" for n in range(0, 18, 6)}
THEIRS_ALONE = [f"d{n:02}/f{n:02}-07" for n in range(18, 42, 6)]
OURS_ALONE = [f"d{n:02}/f{n:02}-07" for n in range(42, 60, 6)]


@pytest.fixture
def large(tmp_path: Path) -> Cronos:
    """3,000 files, of which three changed on both sides, four in the backup alone and three here alone; nothing is unsaved."""
    engine = make_engine(tmp_path)
    make_tree(engine.project, MANY | BOTH)
    save(engine, "base")
    make_tree(engine.project, {name: content.replace("\n3\n", "\ntheirs\n") for name, content in BOTH.items()})
    make_tree(engine.project, dict.fromkeys(THEIRS_ALONE, "theirs"))
    save(engine, "theirs")
    engine.restore(merging(backup="base", strategy="replace", base=None))
    make_tree(engine.project, {name: content.replace("\n15\n", "\nours\n") for name, content in BOTH.items()})
    make_tree(engine.project, dict.fromkeys(OURS_ALONE, "ours"))
    save(engine, "ours")
    return engine


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Ids of the objects that are read from the store."""
    oids: list[str] = []
    real = Store.read

    def noted(store: Store, oid: str) -> tuple[str, bytes]:
        oids.append(oid)
        return real(store, oid)

    monkeypatch.setattr(Store, "read", noted)
    return oids


@pytest.mark.parametrize("is_planned", [True, False])
def test_ten_of_three_thousand_files_differ_and_only_these_cost(
    large: Cronos, read: list[str], is_planned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes: list[str] = []
    monkeypatch.setattr(session, "on_start", lambda argv: processes.append(next(word for word in argv if word == "merge-file")))
    with AUDIT.watching(large.project):
        plan = large.plan_restore(merging()) if is_planned else large.restore(merging()).plan
    assert [change.path for change in plan.changes if change.action == "update"] == sorted([*BOTH, *THEIRS_ALONE])
    assert plan.merged == len(BOTH)
    assert len(AUDIT.listed) == 61  # one walk, and no listing besides
    opened = [name for name in AUDIT.opened if name.startswith("f") and "-" in name]
    assert opened == [path.rpartition("/")[2] for path in BOTH]
    assert len(processes) == len(BOTH)
    unchanged = {object_id("blob", content.encode()).hex() for name, content in MANY.items() if name not in {*BOTH}}
    assert unchanged.isdisjoint(read)


# --- large files ------------------------------------------------------------------------------------------------------

MIB = 1 << 20
AT_MOST_MORE_BYTES = 96 * MIB
"""Chunks on their way in every worker, however large the files are: less than two of the small ones."""


def put(path: Path, size_bytes: int, word: bytes) -> None:
    """A sparse file, with *word* in the midst and at the end."""
    with path.open("wb") as file:
        file.truncate(size_bytes)
        for offset in (size_bytes // 2, size_bytes - len(word)):
            os.pwrite(file.fileno(), word, offset)


def holds(path: Path, size_bytes: int, word: bytes) -> bool:
    """Whether a file is one that `put` made so; read in pieces."""
    expected = {size_bytes // 2: word, size_bytes - len(word): word}
    with path.open("rb") as file:
        words = {offset: os.pread(file.fileno(), len(word), offset) for offset in expected}
        others = sum(len(piece) - piece.count(0) for piece in iter(lambda: file.read(MIB), b""))
    return path.stat().st_size == size_bytes and words == expected and others == 2 * len(word)


def memory(field: str) -> int:
    """Bytes of this process: `VmRSS` now, `VmHWM` at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


@pytest.mark.parametrize("how", ["both", pytest.param("theirs", marks=pytest.mark.long)])
@pytest.mark.parametrize("size_bytes", [64 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.long)])
def test_files_in_chunks_merge_whole_and_in_little_memory(tmp_path: Path, size_bytes: int, how: OnConflict) -> None:
    engine = make_engine(tmp_path)
    here, there, twice = (engine.project / name for name in ("here", "there", "twice"))
    for path in (here, there, twice):
        put(path, size_bytes, b"base")
    save(engine, "base")
    put(there, size_bytes, b"theirs")
    put(twice, size_bytes, b"theirs")
    save(engine, "theirs")
    put(here, size_bytes, b"ours")
    put(there, size_bytes, b"base")
    put(twice, size_bytes, b"ours")
    mine = here.stat()

    def merge() -> None:
        before = memory("VmRSS")
        report = engine.restore(merging(on_conflict=how))
        assert [(conflict.path, conflict.kind) for conflict in report.plan.conflicts] == [("twice", "binary")]
        assert (report.files, report.verified) == (2, 2)
        assert memory("VmHWM") - before < AT_MOST_MORE_BYTES, f"{(memory('VmHWM') - before) >> 20} MiB more"

    assert run_and_kill(merge, at=0)
    assert (here.stat().st_ino, here.stat().st_mtime_ns, holds(here, size_bytes, b"ours")) == (
        mine.st_ino,
        mine.st_mtime_ns,
        True,
    )
    assert holds(there, size_bytes, b"theirs")
    assert holds(twice, size_bytes, b"theirs" if how == "theirs" else b"ours")
    beside = engine.project / f"twice.{THEIRS}"
    assert beside.exists() == (how == "both")
    assert how != "both" or holds(beside, size_bytes, b"theirs")
