from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import BackupNotFoundError, DamageError, RefusedError, UsageError
from cronos_git.git import timeline
from cronos_git.git.pack import PackWriter
from cronos_git.model import AmendReport, AmendRequest, Backup, PruneRequest, RestoreRequest, SnapshotRequest
from cronos_git.ops import oplog
from tests.support.engine import make_engine
from tests.support.git import assert_store_sound, git
from tests.support.trees import make_tree


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    """An engine with the backups a, b and c of the project, and m of a module."""
    engine = make_engine(tmp_path)
    for name in "abc":
        make_tree(engine.project, {"which": name, "docs/x": "x"})
        engine.snapshot(SnapshotRequest(name=name, message=f"number {name}", labels=("old",), metadata={"n": 1}))
    engine.snapshot(SnapshotRequest(name="m", modules=("docs",)))
    return engine


def amend(engine: Cronos, *backups: str, **fields: Any) -> AmendReport:
    return engine.amend(AmendRequest(backups=backups, **fields))


def find(engine: Cronos, name: str) -> Backup:
    return engine.resolve(name).backup


def raw_tag(engine: Cronos, name: str) -> bytes:
    return engine.store.read(find(engine, name).tag)[1]


def state(engine: Cronos) -> tuple[str, int, bytes]:
    """All refs, the number of packs, the operation log."""
    packs = list((engine.store_path / "objects/pack").glob("*.pack"))
    refs = git("--git-dir", engine.store_path, "for-each-ref")
    return refs, len(packs), (engine.store_path / "cronos/operations.jsonl").read_bytes()


def log(engine: Cronos, ref: str = "main") -> list[str]:
    return git("--git-dir", engine.store_path, "log", "--format=%s", ref).splitlines()


# --- what changes ---------------------------------------------------------------------------------------------------


def test_everything_that_can_be_amended_is_and_nothing_else(engine: Cronos, tmp_path: Path) -> None:
    before = find(engine, "b")
    report = amend(
        engine,
        "b",
        pinned=True,
        add_labels=("new", "old", "new"),
        message=" a\nmessage ",
        description="two\n\nparagraphs\n\nCronos-Pinned: true\n",
        metadata={"n": 2, "ticket": {"id": 7}},
    )
    after = find(engine, "b")
    assert [(one.before, one.after) for one in report.amendments] == [(before, after)]
    assert report.amendments[0].changed == ("pinned", "labels", "message", "description", "metadata")
    assert (after.pinned, after.labels, after.message) == (True, ("old", "new"), "a message")
    assert after.description == "two\n\nparagraphs\n\nCronos-Pinned: true"
    assert after.metadata == {"n": 2, "ticket": {"id": 7}}
    same = set(Backup.__slots__) - {"pinned", "labels", "message", "description", "metadata", "tag"}
    assert {name: getattr(after, name) for name in same} == {name: getattr(before, name) for name in same}
    assert_store_sound(engine.store_path, tmp_path)


def test_a_pin_adds_one_line_to_the_tag_and_keeps_every_other_byte(engine: Cronos) -> None:
    before = raw_tag(engine, "b")
    amend(engine, "b", pinned=True)
    pinned = raw_tag(engine, "b")
    assert pinned == before.replace(b"Cronos-Files:", b"Cronos-Pinned: true\nCronos-Files:")
    amend(engine, "b", pinned=False)
    assert raw_tag(engine, "b") == before


def test_labels_and_metadata_are_taken_off_where_they_are(engine: Cronos) -> None:
    amend(engine, "a", add_labels=("x",))
    report = amend(engine, "a", "m", remove_labels=("old", "nothing"), remove_metadata=("n", "nothing"))
    assert [one.changed for one in report.amendments] == [("labels", "metadata"), ()]
    assert (find(engine, "a").labels, find(engine, "a").metadata) == (("x",), {})


def test_an_empty_message_is_the_name(engine: Cronos) -> None:
    amend(engine, "a", message="", description="more")
    amend(engine, "a", description="")
    assert (find(engine, "a").message, find(engine, "a").description) == ("a", "")


def test_a_plan_is_what_the_report_will_be_and_writes_nothing(engine: Cronos) -> None:
    request, before = AmendRequest(backups=("a", "m"), pinned=True, message="x"), state(engine)
    plan = engine.plan_amend(request)
    assert state(engine) == before
    assert engine.amend(request) == plan


def test_what_changes_nothing_writes_nothing(engine: Cronos) -> None:
    request = AmendRequest(backups=("a", "b"), pinned=True, add_labels=("x",), message="y", metadata={"k": None})
    engine.amend(request)
    before = state(engine)
    report = engine.amend(request)
    assert (report.changed, [one.before == one.after for one in report.amendments]) == ((), [True, True])
    assert state(engine) == before


def test_a_tag_that_was_there_before_needs_no_pack(engine: Cronos) -> None:
    amend(engine, "a", pinned=True)
    packs = state(engine)[1]
    amend(engine, "a", pinned=False)
    assert (state(engine)[1], find(engine, "a").pinned) == (packs, False)


def test_a_packed_tag_is_amended_and_stays_so_when_git_packs_again(engine: Cronos, tmp_path: Path) -> None:
    git("--git-dir", engine.store_path, "pack-refs", "--all")
    amend(engine, "a", pinned=True)
    assert find(engine, "a").pinned
    git("--git-dir", engine.store_path, "pack-refs", "--all")
    assert find(engine, "a").pinned
    assert_store_sound(engine.store_path, tmp_path)


# --- timelines ------------------------------------------------------------------------------------------------------


def test_timelines_tell_the_new_message_as_if_made_from_the_tags(engine: Cronos) -> None:
    amend(engine, "a", "m", message="told anew")
    assert log(engine) == ["number c", "number b", "told anew"]
    assert log(engine, "module/docs") == ["told anew"]
    for scope in ("project", "docs"):
        members = [backup for backup in engine.backups() if backup.scope == scope]
        again = timeline.rebuild(PackWriter(engine.store.pack_dir, lambda _oid: False).add, engine.store, members)
        assert engine.store.ref(timeline.ref_name(scope)) == again


def test_a_timeline_that_tells_nothing_of_the_change_stays(engine: Cronos) -> None:
    tips = engine.store.ref("refs/heads/main"), engine.store.ref("refs/heads/module/docs")
    amend(engine, "a", pinned=True, description="x", metadata={"x": 1})
    amend(engine, "m", pinned=True)
    assert (engine.store.ref("refs/heads/main"), engine.store.ref("refs/heads/module/docs")) == tips


def test_the_next_backup_goes_on_from_the_new_timeline(engine: Cronos) -> None:
    amend(engine, "a", message="told anew")
    engine.snapshot(SnapshotRequest(name="d"))
    assert log(engine) == ["d", "number c", "number b", "told anew"]


# --- what rests on tags ---------------------------------------------------------------------------------------------


def test_a_pin_counts_at_once_for_prune_and_delete(engine: Cronos) -> None:
    plan = engine.plan_prune(PruneRequest(limits={"max_backups": 1}))
    amend(engine, "a", pinned=True)
    with pytest.raises(RefusedError, match="since the prune was planned"):
        engine.apply_prune(plan)
    engine.apply_prune(engine.plan_prune(PruneRequest(limits={"max_backups": 1})))
    assert [backup.name for backup in engine.backups()] == ["m", "c", "a"]
    with pytest.raises(RefusedError, match="pinned"):
        engine.delete(["a"])


def test_an_amended_backup_goes_to_the_trash_and_back_as_it_is(engine: Cronos) -> None:
    amend(engine, "a", add_labels=("x",), message="y")
    amended = find(engine, "a")
    engine.delete(["a"])
    engine.undelete(["a"])
    assert find(engine, "a") == amended


def test_a_backup_can_be_pinned_when_it_is_made(engine: Cronos) -> None:
    assert engine.snapshot(SnapshotRequest(name="p", pinned=True)).backup.pinned
    assert find(engine, "p").pinned


def test_the_log_tells_verb_backup_tag_and_what_changed(engine: Cronos) -> None:
    amend(engine, "a", "b", pinned=True)
    amend(engine, "a", pinned=False)
    amend(engine, "a", pinned=True, add_labels=("x",))
    amend(engine, "a", remove_labels=("x",))
    entries = oplog.read(engine.store)
    assert [(entry["verb"], str(entry["backup"])[0], entry.get("changed")) for entry in entries[3:]] == [
        ("create", "m", None),
        ("pin", "a", {"pinned": [False, True]}),
        ("pin", "b", {"pinned": [False, True]}),
        ("unpin", "a", {"pinned": [True, False]}),
        ("describe", "a", {"pinned": [False, True], "labels": [["old"], ["old", "x"]]}),
        ("label", "a", {"labels": [["old", "x"], ["old"]]}),
    ]
    newest = {entry["backup"]: entry["tag"] for entry in entries}
    assert newest == {backup.id: backup.tag for backup in engine.backups()}


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"add_labels": ("x", " \n")}, "empty"),
        ({"remove_labels": ("",)}, "empty"),
        ({"add_labels": ("x",), "remove_labels": ("x ",)}, "'x' is to be set and to be removed"),
        ({"metadata": {"k": 1}, "remove_metadata": ("k",)}, "'k' is to be set and to be removed"),
        ({"metadata": {"k": float("nan")}}, "JSON"),
        ({"metadata": {"k": {1, 2}}}, "JSON"),
    ],
)
def test_a_request_that_makes_no_sense_changes_nothing(engine: Cronos, fields: dict[str, Any], told: str) -> None:
    before = state(engine)
    with pytest.raises(UsageError, match=told):
        amend(engine, "a", pinned=True, **fields)
    assert state(engine) == before


def test_one_name_that_means_nothing_changes_nothing(engine: Cronos) -> None:
    before = state(engine)
    with pytest.raises(BackupNotFoundError):
        amend(engine, "a", "nothing", pinned=True)
    assert state(engine) == before


@pytest.mark.parametrize("fields", [{"metadata": {"restore": {}}}, {"remove_metadata": ("restore",)}])
def test_what_a_restore_point_was_taken_for_stays(engine: Cronos, fields: dict[str, Any]) -> None:
    engine.restore(RestoreRequest(backup="a", strategy="replace"))
    (point,) = [backup for backup in engine.backups() if backup.type == "restore-point"]
    before = state(engine)
    with pytest.raises(RefusedError, match="undo"):
        amend(engine, "b", point.id, **fields)
    assert state(engine) == before
    amend(engine, point.id, pinned=True, metadata={"why": "x"})
    engine.undo()
    assert (engine.project / "which").read_text() == "c"


def test_a_backup_whose_ref_is_torn_is_not_overwritten_with_an_older_record(engine: Cronos) -> None:
    git("--git-dir", engine.store_path, "pack-refs", "--all")
    amend(engine, "a", add_labels=("x",))
    whole = find(engine, "a").id
    ref = engine.store_path / "refs/tags/backup" / whole
    ref.write_bytes(b"")
    with pytest.raises(DamageError, match="Nothing was changed"):
        amend(engine, whole, pinned=True)
    assert ref.read_bytes() == b""


def test_a_damaged_tag_object_that_would_do_is_not_trusted(engine: Cronos) -> None:
    amend(engine, "a", pinned=True)
    (pack,) = [path for path in engine.store.pack_dir.glob("*.pack") if path.stat().st_size < 400]
    amend(engine, "a", pinned=False)
    pack.chmod(0o600)
    content = bytearray(pack.read_bytes())
    content[40] ^= 0xFF
    pack.write_bytes(content)
    before = find(engine, "a").tag
    with pytest.raises(DamageError):
        amend(make_engine(engine.project.parent), "a", pinned=True)
    assert find(engine, "a").tag == before
