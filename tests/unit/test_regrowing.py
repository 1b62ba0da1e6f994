"""Lost trees made anew: exactly, or not at all."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.git.view import SnapshotView
from cronos_git.model import SnapshotRequest
from tests.support.engine import make_engine
from tests.support.repairing import objects_of, rewrite
from tests.support.trees import Link, make_tree


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    """Three backups of a directory of 60 files, some of which change; the project then holds nothing."""
    engine = make_engine(tmp_path, chunk_threshold=2000)
    chance = random.Random(5)
    make_tree(engine.project, {f"many/f{number:02}": f"text {number}" for number in range(60)})
    make_tree(
        engine.project, {"many/sub": {"x": "y"}, "many/link": Link("f00"), "many/big": chance.randbytes(3000), "many/e": {}}
    )
    make_tree(engine.project, {"many/.gitmodules": "[submodule]\n\turl = -x\n"})
    engine.snapshot(SnapshotRequest(name="one"))
    (engine.project / "many/f07").write_text("other")
    (engine.project / "many/f08").chmod(0o755)
    (engine.project / "many/sub/x").write_text("z")
    engine.snapshot(SnapshotRequest(name="two"))
    (engine.project / "many/f09").unlink()
    (engine.project / "many/new").write_text("new")
    engine.snapshot(SnapshotRequest(name="three"))
    return engine


def emptied(engine: Cronos) -> None:
    import shutil

    shutil.rmtree(engine.project)
    engine.project.mkdir()


@pytest.mark.parametrize("name", ["one", "two", "three"])
@pytest.mark.parametrize("path", ["", "many", "many/sub", "many/e"])
@pytest.mark.parametrize("side", ["data", "attributes"])
def test_a_lost_tree_of_any_version_comes_back_exactly(engine: Cronos, name: str, path: str, side: str) -> None:
    directory = SnapshotView(engine.store, engine.resolve(name).backup.commit).find(path)
    lost = getattr(directory, side)
    before = {backup.id: backup.tag for backup in engine.backups()}
    rewrite(engine.store_path, {oid: found for oid, found in objects_of(engine.store_path).items() if oid.hex() != lost})
    emptied(engine)
    again = Cronos(**_arguments(engine))
    report = again.repair()
    assert report.plan.lost == ()
    assert {backup.id: backup.tag for backup in again.backups()} == before
    assert again.verify().damage == ()


def test_a_tree_whose_unique_file_is_lost_too_is_not_guessed(engine: Cronos) -> None:
    view = SnapshotView(engine.store, engine.resolve("two").backup.commit)
    gone = {view.find("many").data, view.entry("many/f07").oid}  # type: ignore[union-attr]
    kept = {oid: found for oid, found in objects_of(engine.store_path).items() if oid.hex() not in gone}
    # The third backup has that file as well, under its id; without that tree nobody knows it.
    third = SnapshotView(engine.store, engine.resolve("three").backup.commit).find("many")
    del kept[bytes.fromhex(third.data)]  # type: ignore[union-attr]
    rewrite(engine.store_path, kept)
    emptied(engine)
    lost = Cronos(**_arguments(engine)).repair().plan.lost
    assert {(loss.backup[:3], loss.kind) for loss in lost} >= {("two", "directory"), ("thr", "directory")}
    assert not any(loss.backup.startswith("one") for loss in lost)


def _arguments(engine: Cronos) -> dict[str, object]:
    return {name: getattr(engine, name) for name in ("project", "store_path", "settings", "clock", "zone", "identity")}
