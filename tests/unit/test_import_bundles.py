"""Bundles: from one store into another, whole or not at all."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import ArchiveError, BackupNotFoundError, CronosError, RefusedError, UsageError
from cronos_git.model import ExportRequest, ImportRequest, RestoreRequest, SnapshotRequest
from tests.support.archives import bring_in, ids
from tests.support.engine import make_engine
from tests.support.faults import run_and_fail, run_and_kill
from tests.support.git import assert_store_sound, git
from tests.support.trees import assert_same_tree, make_tree
from tests.unit.test_export import ODD, TREE


@pytest.fixture
def source(tmp_path: Path) -> Cronos:
    """Backups a (with everything), docs (a module) and b, and a restore point."""
    engine = make_engine(tmp_path, project="source", chunk_threshold=1 << 20)
    make_tree(engine.project, {**TREE, ODD: b"x", "docs/x": b"1"})
    engine.snapshot(SnapshotRequest(name="a", type="deploy", message="why", labels=("rel",), metadata={"t": 1}, pinned=True))
    engine.snapshot(SnapshotRequest(name="docs", modules=("docs",)))
    make_tree(engine.project, {"file": b"now"})
    engine.snapshot(SnapshotRequest(name="b"))
    engine.restore(RestoreRequest(backup="a", strategy="replace"))
    return engine


@pytest.fixture
def bundle(source: Cronos, tmp_path: Path) -> Path:
    """All of them, as stock git bundles them."""
    git("--git-dir", source.store_path, "bundle", "create", "--quiet", tmp_path / "all.bundle", "--all")
    return tmp_path / "all.bundle"


def test_a_bundle_moves_backups_into_a_new_store_as_they_were(source: Cronos, bundle: Path, tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    report = bring_in(engine, bundle, labels=("moved",))
    old = source.backups()[::-1]
    assert [(b.id, b.scope, b.commit, b.message, b.created, b.parent) for b in report.backups] == [
        (b.id, b.scope, b.commit, b.message, b.created, b.parent) for b in old
    ]
    assert [b.type for b in report.backups] == ["deploy", "manual", "manual", "import"]
    assert report.backups[0].labels == ("rel", "moved")
    assert [b.pinned for b in report.backups] == [True, False, False, False]
    assert [b.sequence for b in report.backups] == [1, 2, 3, 4]
    engine.restore(RestoreRequest(backup="a", target=str(tmp_path / "out")))
    assert_same_tree(source.project, tmp_path / "out")
    assert_store_sound(engine.store_path, tmp_path)
    assert engine.verify().damage == ()
    with pytest.raises(BackupNotFoundError):
        engine.plan_undo()
    assert engine.snapshot(SnapshotRequest(name="c")).backup.sequence == 5
    assert git("--git-dir", engine.store_path, "log", "--format=%s", "main").split("\n")[0] == "c"


def test_an_id_that_is_taken_gets_a_number_and_what_is_there_already_is_told(bundle: Path, tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"f": b"mine"})
    mine = engine.snapshot(SnapshotRequest(name="b")).backup
    report = bring_in(engine, bundle)
    assert {b.id: b.scope for b in report.backups if b.name in "ab"} == {
        "a_20400101_120000": "imported",
        "b_20400101_120000_2": "imported",
    }
    assert engine.resolve("latest").backup == mine
    assert engine.resolve("b").backup == mine
    assert engine.resolve(mine.id).backup == mine
    assert engine.plan_snapshot().changes == ()
    again = bring_in(engine, bundle)
    assert (again.backups, again.known) == ((), report.backups)
    assert engine.verify().damage == ()


def test_a_plan_names_what_is_in_a_bundle(bundle: Path, tmp_path: Path) -> None:
    plan = make_engine(tmp_path).plan_import(ImportRequest(path=str(bundle)))
    assert sorted(item.name.partition("_")[0] for item in plan.items) == ["a", "b", "before-restore", "docs"]
    with pytest.raises(UsageError):
        make_engine(tmp_path).plan_import(ImportRequest(path=str(bundle), name="x"))


@pytest.mark.parametrize("where", [0.3, 0.5, 0.9, 1.0])
def test_a_damaged_bundle_leaves_nothing(bundle: Path, tmp_path: Path, where: float) -> None:
    content = bytearray(bundle.read_bytes())
    if where == 1.0:
        del content[-30:]
    else:
        content[int(len(content) * where)] ^= 0x55
    bundle.write_bytes(content)
    engine = make_engine(tmp_path)
    with pytest.raises(ArchiveError):
        bring_in(engine, bundle)
    assert ids(engine) == []
    assert list(engine.store.pack_dir.iterdir()) == []
    assert not (engine.store.cronos_dir / "import").exists()


def test_a_bundle_that_rests_on_others_or_holds_no_backup_is_refused(tmp_path: Path) -> None:
    git("init", "--quiet", tmp_path / "repo")
    for name in "ab":
        (tmp_path / "repo/f").write_text(name)
        git("add", "f", cwd=tmp_path / "repo")
        git("commit", "--quiet", "-m", name, cwd=tmp_path / "repo")
    git("tag", "-a", "-m", "x", "backup/a_20240101_000000", cwd=tmp_path / "repo")
    engine = make_engine(tmp_path)
    for refs, error in ((["HEAD~1..HEAD"], RefusedError), (["HEAD"], UsageError), (["--tags"], ArchiveError)):
        git("bundle", "create", "--quiet", tmp_path / "x.bundle", *refs, cwd=tmp_path / "repo")
        with pytest.raises(error):
            bring_in(engine, tmp_path / "x.bundle")
    assert not engine.store_path.exists() or ids(engine) == []


@pytest.mark.parametrize("fault", [run_and_kill, run_and_fail])
def test_a_fault_leaves_all_backups_of_a_bundle_or_none(
    source: Cronos, tmp_path: Path, fault: object, request: pytest.FixtureRequest
) -> None:
    source.export(ExportRequest(backup="docs", file=str(tmp_path / "x.bundle")))
    stride = 1 if request.config.getoption("--long") else 5
    seen = set()
    for at in itertools.count(1, stride):
        room = tmp_path / f"room{at}"
        room.mkdir()
        engine = make_engine(room)
        make_tree(engine.project, {"f": b"mine"})
        engine.snapshot(SnapshotRequest(name="mine"))
        ended = fault(lambda room=room: bring_in(make_engine(room), tmp_path / "x.bundle"), at)  # type: ignore[operator]
        engine = make_engine(room)
        seen.add(len(ids(engine)))
        assert engine.verify().damage == ()
        bring_in(engine, tmp_path / "x.bundle")
        assert len(ids(engine)) == 2
        assert not (engine.store.cronos_dir / "import").exists()
        if ended:
            break
    assert seen == {1, 2}


def test_no_space_for_a_bundle_is_an_error_of_its_own(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cronos_git.disk import stage

    monkeypatch.setattr(stage, "free_bytes", lambda _path: 10)
    engine = make_engine(tmp_path)
    with pytest.raises(CronosError, match="only 10 are free"):
        bring_in(engine, bundle)
