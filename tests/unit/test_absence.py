"""Lost refs are damage: told, never compacted away, and brought back. What is known to be damaged is stored again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import DamageError, RefusedError
from cronos_git.events import Noticed, Started
from cronos_git.git.store import Store
from cronos_git.model import AmendRequest, CompactRequest, PruneRequest, RestoreRequest, SnapshotRequest
from cronos_git.ops import oplog
from cronos_git.ops.absence import missing_refs
from tests.support.engine import make_engine
from tests.support.faults import run_and_kill, steps_of
from tests.support.restoring import meanwhile, state
from tests.support.trees import make_tree


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    """Backups a, b and c."""
    engine = make_engine(tmp_path)
    for name in "abc":
        create(engine, name)
    return engine


def create(engine: Cronos, name: str) -> None:
    make_tree(engine.project, {"which": name, "big": os.urandom(5000)})
    engine.snapshot(SnapshotRequest(name=name))


def lose(engine: Cronos, name: str) -> str:
    """Remove the ref of a backup behind everybody's back; its id."""
    (path,) = (engine.store_path / "refs/tags/backup").glob(f"{name}_*")
    path.unlink()
    return path.name


def test_whatever_is_done_in_order_no_ref_is_missing(engine: Cronos, tmp_path: Path) -> None:
    engine.restore(RestoreRequest(backup="a", strategy="replace"))
    engine.undo()
    engine.amend(AmendRequest(backups=("b",), pinned=True))
    engine.delete(["c"])
    engine.undelete(["c"])
    engine.delete(["c", "a"])
    with pytest.raises(RefusedError):
        engine.restore(
            RestoreRequest(backup="b", strategy="replace"),
            meanwhile(Started, lambda: (engine.project / "which").write_bytes(b"just now"), phase="move"),
        )
    engine.compact(CompactRequest(trash_days=0))
    engine.apply_prune(engine.plan_prune(PruneRequest(limits={"max_backups": 1})))
    assert missing_refs(engine.store) == []
    assert engine.verify().damage == ()


def test_a_lost_ref_is_told_and_stops_what_would_drop_the_backup(engine: Cronos) -> None:
    engine.delete(["c"])
    lost = lose(engine, "a")
    (damage,) = engine.verify().damage
    assert (damage.backups, damage.code) == ((lost,), "missing")
    assert not next(check for check in engine.checks() if check.name == "backups").ok
    before = state(engine.store_path / "objects")
    with pytest.raises(DamageError, match="is gone, and the operation log tells of no deletion"):
        engine.compact(CompactRequest(trash_days=0))
    with pytest.raises(DamageError):
        engine.delete(["b"])
    assert state(engine.store_path / "objects") == before
    engine.repair()
    assert engine.verify().damage == ()
    assert lost in {backup.id for backup in engine.backups()}
    engine.compact(CompactRequest(trash_days=0))


def test_a_store_that_has_lost_all_refs_does_not_pass_for_a_new_one(engine: Cronos) -> None:
    for name in "abc":
        lose(engine, name)
    told: list[Noticed] = []
    late = make_engine(engine.project.parent)
    late.notice = told.append
    assert late.backups() == []
    assert [notice.text for notice in told] == [
        "The refs of 3 backups are gone, though nobody deleted them; `cronos repair` brings them back."
    ]
    late.repair()
    assert len(late.backups()) == 3


def test_what_a_check_found_damaged_is_stored_again(engine: Cronos, tmp_path: Path) -> None:
    entry = next(entry for entry in engine.view(engine.backups()[0]).walk() if entry.path == "big")
    location = engine.store.index.find(bytes.fromhex(entry.oid))
    assert location is not None
    location.pack.path.chmod(0o600)
    with location.pack.path.open("r+b") as file:
        file.seek(location.offset + 2000)
        byte = file.read(1)
        file.seek(location.offset + 2000)
        file.write(bytes([byte[0] ^ 1]))
    assert engine.verify().damage != ()
    late = make_engine(tmp_path)
    backup = late.snapshot(SnapshotRequest(name="again")).backup
    late.restore(RestoreRequest(backup=backup.id, target=str(tmp_path / "out")))
    assert (tmp_path / "out/big").read_bytes() == (engine.project / "big").read_bytes()
    assert late.snapshot(SnapshotRequest(name="more")).backup.id
    with pytest.raises(DamageError, match="A check has found damage"):
        late.delete(["a"])
    late.repair()
    assert late.verify().damage == ()
    late.delete(["a"])


# --- told in passing ---


def notices(engine: Cronos) -> list[str]:
    """What the next command says when it lists the backups twice."""
    told: list[Noticed] = []
    late = make_engine(engine.project.parent)
    late.notice = told.append
    late.backups()
    late.backups()
    return [notice.text for notice in told]


def test_a_list_tells_of_a_single_lost_ref_once(engine: Cronos) -> None:
    assert notices(engine) == []
    lose(engine, "b")
    assert notices(engine) == ["The ref of 1 backup is gone, though nobody deleted it; `cronos repair` brings it back."]
    engine.repair()
    assert notices(engine) == []


def test_a_list_takes_no_deleted_backup_for_a_lost_one(engine: Cronos) -> None:
    engine.delete(["a"])
    engine.restore(RestoreRequest(backup="b", strategy="replace"))
    engine.compact(CompactRequest(trash_days=0))
    assert notices(engine) == []
    log = engine.store.cronos_dir / "operations.jsonl"
    engine.delete(["c"])
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    assert notices(engine) == [], "c is in the trash, though the log does not tell"


def test_a_restore_point_that_perhaps_never_was_is_not_missing(engine: Cronos) -> None:
    for at in range(1, 60, 3):
        run_and_kill(lambda: make_engine(engine.project.parent).restore(RestoreRequest(backup="a", strategy="replace")), at)
        late = make_engine(engine.project.parent)
        late.store  # noqa: B018 - recovers
        assert missing_refs(late.store) == []


def test_what_a_killed_delete_moved_to_the_trash_may_be_compacted_away(engine: Cronos, tmp_path: Path) -> None:
    steps = steps_of(lambda: make_engine(tmp_path).delete(["b"]))
    before_it_tells = len(steps) - steps[::-1].index("write")
    assert not run_and_kill(lambda: make_engine(tmp_path).delete(["a"]), before_it_tells)
    assert [backup.name for backup in engine.trash()] == ["b", "a"]
    assert [operation.verb for operation in engine.operations(2)] == ["delete", "create"]
    engine.compact(CompactRequest(trash_days=0))
    assert engine.trash() == []
    assert missing_refs(engine.store) == []


def test_what_is_compacted_away_while_somebody_looks_is_not_missing(engine: Cronos, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.delete(["a"])

    def read(store: Store) -> list[dict[str, object]]:
        monkeypatch.undo()
        records = oplog.read(store)
        make_engine(engine.project.parent).compact(CompactRequest(trash_days=0))
        return records

    monkeypatch.setattr(oplog, "read", read)
    assert missing_refs(engine.store) == []
    assert engine.trash() == []
