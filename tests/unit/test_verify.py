"""`verify` on stores that are whole, and on what was stored so that it does not fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import InterruptedRunError
from cronos_git.events import Advanced, Event, Finished, Noticed, Run, Started
from cronos_git.git.pack import PackWriter
from cronos_git.git.packindex import ObjectIndex
from cronos_git.git.store import Store
from cronos_git.git.trees import MODE_DIRECTORY, MODE_FILE
from cronos_git.model import Attributes, Backup, Damage, SnapshotRequest, VerifyRequest
from cronos_git.ops import verify
from cronos_git.rules.attributes import AttributeTable, format_attributes
from cronos_git.rules.record import format_tag
from tests.support.engine import make_engine
from tests.support.git import git
from tests.support.snapshots import Chunked, SnapshotStore, Unreadable
from tests.support.stores import IDENTITY, make_backup, make_store
from tests.support.trees import File, Link, Special, make_tree

PROJECT: dict[str, Any] = {
    "a": b"one",
    "dir": {"same": b"one", "deep": {"run.sh": File(b"#!/bin/sh\n", mode=0o755)}},
    "empty": {},
    "link": Link("a"),
    "pipe": Special("fifo"),
    "secret": Unreadable(),
    "caf\udce9": b"latin-1 name",
    ".git": {"HEAD": b"escaped name"},
    "big": Chunked((b"one", b"two", b"three")),
}


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": "one", "dir/b": "two", "dir/deep/c": "three", "empty": {}, "l": Link("a")})
    engine.snapshot(SnapshotRequest(name="first"))
    return engine


# --- whole stores ---


def test_whole_store_has_no_damage_and_counts_what_git_counts(engine: Cronos) -> None:
    (engine.project / "a").write_text("four")
    engine.snapshot(SnapshotRequest(name="second"))
    needed = git("--git-dir", engine.store_path, "rev-list", "--objects", "--tags").splitlines()
    packs = sum(path.stat().st_size - 32 for path in engine.store_path.glob("objects/pack/*.pack"))
    report = engine.verify(VerifyRequest())
    assert (report.damage, report.backups) == ((), 2)
    assert report.objects == len(needed)
    assert report.bytes_read == packs  # but for header and checksum of each
    quick = engine.verify(VerifyRequest(quick=True))
    assert (quick.damage, quick.objects) == ((), report.objects)


def test_empty_store_is_whole(tmp_path: Path) -> None:
    report = verify.verify(make_store(tmp_path / "s.git"), (), (), VerifyRequest(), Run())
    assert (report.backups, report.objects, report.damage) == (0, 0, ())


def test_quick_check_of_backups_that_share_reads_what_they_share_once(engine: Cronos) -> None:
    def read(count: int) -> int:
        return engine.verify(VerifyRequest(backups=tuple(b.id for b in engine.backups()[:count]), quick=True)).bytes_read

    make_tree(engine.project, {f"d{number}": {"f": f"{number}"} for number in range(100)})
    for number in range(4):
        engine.snapshot(SnapshotRequest(name=f"b{number}"))
    grown = [read(count + 1) - read(count) for count in (1, 2)]
    assert all(0 < growth < read(1) / 5 for growth in grown)  # tag, commit, two trees and the record of a backup


def test_named_backup_is_checked_alone(engine: Cronos) -> None:
    first = engine.backups()[0]
    (engine.project / "dir/b").write_text("changed")
    second = engine.snapshot(SnapshotRequest(name="second")).backup
    blob = git("--git-dir", engine.store_path, "rev-parse", f"{second.commit}:data/dir/b").strip()
    flip_a_bit(engine, blob)
    for request in (VerifyRequest(backups=(first.id,)), VerifyRequest(backups=(first.id,), quick=True)):
        assert engine.verify(request).damage == ()
    (damage,) = engine.verify(VerifyRequest(backups=(second.id,))).damage
    assert (damage.backups, damage.path, damage.oid) == ((second.id,), "data:dir/b", blob)
    assert engine.verify(VerifyRequest(backups=(first.id,))).objects < engine.verify(VerifyRequest()).objects


def flip_a_bit(engine: Cronos, oid: str) -> None:
    location = ObjectIndex(engine.store_path / "objects/pack").find(bytes.fromhex(oid))
    assert location is not None
    pack = location.pack.path
    pack.chmod(0o600)
    content = bytearray(pack.read_bytes())
    content[location.offset + 4] ^= 1
    pack.write_bytes(content)


def test_damage_is_told_for_all_backups_oldest_first_and_each_path(engine: Cronos) -> None:
    make_tree(engine.project, {"again": "two"})
    ids = [engine.backups()[0].id, *(engine.snapshot(SnapshotRequest(name=name)).backup.id for name in ("z", "y"))]
    flip_a_bit(engine, git("--git-dir", engine.store_path, "rev-parse", f"refs/tags/backup/{ids[0]}:data/dir/b").strip())
    damage = engine.verify().damage
    assert [(found.path, found.backups) for found in damage] == [("data:again", tuple(ids[1:])), ("data:dir/b", tuple(ids))]


def test_damaged_object_that_no_backup_needs_is_only_noticed(engine: Cronos) -> None:
    flip_a_bit(engine, git("--git-dir", engine.store_path, "rev-parse", "refs/heads/main").strip())
    events: list[Event] = []
    assert engine.verify(run=Run(events.append)).damage == ()
    assert [event.code for event in events if isinstance(event, Noticed)] == ["verify.unneeded"]


def test_damaged_copy_of_an_object_that_another_pack_has_whole_is_only_noticed(engine: Cronos) -> None:
    writer = PackWriter(engine.store_path / "objects/pack", lambda _oid: False)
    writer.add("blob", b"two")
    result = writer.finish()
    assert result is not None
    result.path.chmod(0o600)
    content = bytearray(result.path.read_bytes())
    content[14] ^= 1
    result.path.write_bytes(content)
    events: list[Event] = []
    assert engine.verify(run=Run(events.append)).damage == ()
    assert ["have whole: 1." in event.text for event in events if isinstance(event, Noticed)] == [True]


# --- progress ---


def test_full_check_tells_its_totals_and_reaches_them(engine: Cronos) -> None:
    events: list[Event] = []
    engine.verify(run=Run(events.append))
    started, *advanced, finished = events
    packs = list(engine.store_path.glob("objects/pack/*.pack"))
    assert isinstance(started, Started)
    assert (started.phase, started.total_bytes) == ("verify", sum(path.stat().st_size - 32 for path in packs))
    assert [event for event in advanced if not isinstance(event, Advanced)] == []
    last = advanced[-1]
    assert isinstance(last, Advanced)
    assert last.done_files == started.total_files
    assert finished == Finished("verify")


@pytest.mark.parametrize("quick", [True, False])
def test_cancelled_check_ends_at_once(engine: Cronos, quick: bool) -> None:
    with pytest.raises(InterruptedRunError):
        engine.verify(VerifyRequest(quick=quick), Run(cancelled=True))


def test_a_store_without_a_directory_of_packs_is_damaged(engine: Cronos, tmp_path: Path) -> None:
    engine.store.pack_dir.rename(tmp_path / "away")
    engine.store.refresh()
    assert engine.verify(VerifyRequest()).damage


def test_damage_of_tags_becomes_part_of_the_report(tmp_path: Path) -> None:
    told = Damage(backups=("x_20260401_120000",), path="", oid="", code="record", text="The ref is empty.")
    assert verify.verify(make_store(tmp_path / "s.git"), (), [told], VerifyRequest(quick=True), Run()).damage == (told,)


# --- what does not fit together ---


class Forge:
    """A store of backups put together by hand."""

    def __init__(self, path: Path) -> None:
        self.store = make_store(path)
        self.objects = SnapshotStore(path)
        self.backups: list[Backup] = []

    def add(self, tree: Mapping[str, Any], record: Mapping[str, Any] | None = None) -> Backup:
        return self.add_commit(self.objects.commit(tree, record))

    def add_commit(self, commit: str) -> Backup:
        backup = make_backup(len(self.backups) + 1, commit=commit)
        writer = PackWriter(self.store.pack_dir, lambda _oid: False)
        tag = writer.add("tag", format_tag(backup, IDENTITY)).hex()
        writer.finish()
        self.backups.append(replace(backup, tag=tag))
        return self.backups[-1]

    def damage(self, *, quick: bool = False) -> list[tuple[str, str, str]]:
        report = verify.verify(Store.open(self.store.path), self.backups, (), VerifyRequest(quick=quick), Run())
        return [(damage.path, damage.code, damage.text) for damage in report.damage]


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    return Forge(tmp_path / "s.git")


def only(damage: list[tuple[str, str, str]]) -> tuple[str, str, str]:
    (found,) = damage
    return found


def test_every_kind_of_entry_fits(forge: Forge) -> None:
    forge.add(PROJECT)
    forge.add({})
    assert forge.damage() == []
    assert forge.damage(quick=True) == []


def with_attributes(change: Callable[[AttributeTable], AttributeTable]) -> Callable[[AttributeTable], bytes]:
    """A writer of attribute records that changes those of the directory that holds `f`."""
    return lambda table: format_attributes(change(table) if "f" in table.entries else table)


def changed_entry(**fields: Any) -> Callable[[AttributeTable], bytes]:
    def change(table: AttributeTable) -> AttributeTable:
        return replace(table, entries={**table.entries, "f": replace(table.entries["f"], **fields)})

    return with_attributes(change)


@pytest.mark.parametrize(
    ("content", "write", "word"),
    [
        (b"12345", changed_entry(size_bytes=6), "has 5 bytes, its attributes say 6"),
        (Link("12345"), changed_entry(size_bytes=4), "has 5 bytes, its attributes say 4"),
        (Chunked((b"123", b"45")), changed_entry(size_bytes=7), "has 5 bytes, its attributes say 7"),
        (b"12345", changed_entry(kind="symlink"), "its attributes say symlink"),
        (b"12345", with_attributes(lambda table: replace(table, entries={})), "the attributes of 'f' are missing"),
        (Special("fifo"), changed_entry(kind="file"), "the content of 'f' is missing"),
        (Special("fifo"), changed_entry(name="../f"), "an entry is named '../f'"),
        (b"12345", lambda _table: b"no attributes\n", "not of a known format"),
    ],
)
def test_attributes_that_do_not_fit_are_told_with_their_directory(
    forge: Forge, content: Any, write: Callable[[AttributeTable], bytes], word: str
) -> None:
    forge.objects.format_attributes = lambda table: write(table) if "f" in table.entries else format_attributes(table)
    forge.add({"dir": {"f": content, "g": b"g"}, "h": b"h"})
    path, code, text = only(forge.damage())
    assert (path, code) == ("meta:attributes/dir", "record")
    assert word in text
    assert "below" not in text
    assert forge.damage(quick=True) == []


def test_size_of_a_file_that_changed_while_it_was_read_may_differ(forge: Forge) -> None:
    forge.objects.format_attributes = changed_entry(size_bytes=6, changed=True)
    forge.add({"f": b"12345"})
    assert forge.damage() == []


def test_missing_chunk_name_is_told(forge: Forge) -> None:
    piece = forge.objects.write("blob", b"one")
    chunks = forge.objects.tree((MODE_FILE, b"00000000", piece), (MODE_FILE, b"00000002", piece))
    forge.add_commit(snapshot_of(forge, {"f": attributes("f", 6)}, (MODE_DIRECTORY, b".cronos%c%f", chunks)))
    path, code, text = only(forge.damage())
    assert (path, code) == ("meta:attributes", "record")
    assert "chunk" in text


def attributes(name: str, size_bytes: int = 0, kind: Any = "file") -> Attributes:
    return Attributes(kind=kind, name=name, mode=0o644, size_bytes=size_bytes, mtime_ns=1, uid=0, gid=0)


def snapshot_of(forge: Forge, records: Mapping[str, Attributes], *data: tuple[int, bytes, bytes], below: Any = ()) -> str:
    """A commit whose `data/` has these entries and whose attribute record says what *records* say."""
    objects = forge.objects
    table = AttributeTable(own=attributes(".", kind="directory"), entries=dict(records))
    own = (MODE_FILE, b".cronos%attributes", objects.write("blob", format_attributes(table)))
    record = (MODE_FILE, b"snapshot.json", objects.write("blob", b"{}\n"))
    meta = objects.tree(record, (MODE_DIRECTORY, b"attributes", objects.tree(own, *below)))
    return objects.raw_commit(objects.tree((MODE_DIRECTORY, b"data", objects.tree(*data)), (MODE_DIRECTORY, b"meta", meta)))


@pytest.mark.parametrize("stored", [b".git", b".cronos%e%plain%2", b".cronos%x%f"])
def test_name_that_cannot_be_decoded_is_told(forge: Forge, stored: bytes) -> None:
    forge.add_commit(snapshot_of(forge, {}, (MODE_FILE, stored, forge.objects.write("blob", b""))))
    path, code, _text = only(forge.damage())
    assert (path, code) == ("meta:attributes", "record")


def test_directory_without_attributes_is_told(forge: Forge) -> None:
    forge.add_commit(snapshot_of(forge, {}, (MODE_DIRECTORY, b"dir", forge.objects.tree())))
    path, code, text = only(forge.damage())
    assert (path, code) == ("meta:attributes", "record")
    assert "the attributes of the directory 'dir' are missing" in text


def test_object_of_the_wrong_kind_is_told_where_it_stands(forge: Forge) -> None:
    tree = forge.objects.tree((MODE_FILE, b"x", forge.objects.write("blob", b"x")))
    forge.add_commit(snapshot_of(forge, {"f": attributes("f")}, (MODE_FILE, b"f", tree)))
    path, code, text = only(forge.damage())
    assert (path, code) == ("data:f", "record")
    assert "is a tree, not a blob" in text


def test_tree_that_git_would_refuse_is_told_and_hides_what_lies_below(forge: Forge) -> None:
    blob = forge.objects.write("blob", b"x")
    bad = forge.objects.write("tree", b"100644 b\0" + blob + b"100644 a\0" + blob)
    forge.add_commit(snapshot_of(forge, {}, (MODE_DIRECTORY, b"dir", bad)))
    found = {(path, code) for path, code, _ in forge.damage()}
    assert ("data:dir", "record") in found
    assert any("What lies below it cannot be checked" in text for _, _, text in forge.damage(quick=True))


@pytest.mark.parametrize("record", [b"[]\n", b"{", b"\xff"])
def test_record_of_a_backup_that_cannot_be_read_is_told_of_the_whole_backup(forge: Forge, record: bytes) -> None:
    objects = forge.objects
    whole = objects.commit(PROJECT)
    data, attributes = (
        bytes.fromhex(git("--git-dir", objects.path, "rev-parse", f"{whole}:{path}").strip())
        for path in ("data", "meta/attributes")
    )
    meta = objects.tree((MODE_FILE, b"snapshot.json", objects.write("blob", record)), (MODE_DIRECTORY, b"attributes", attributes))
    forge.add_commit(objects.raw_commit(objects.tree((MODE_DIRECTORY, b"data", data), (MODE_DIRECTORY, b"meta", meta))))
    path, code, text = only(forge.damage())
    assert (path, code) == ("", "record")
    assert "snapshot.json" in text


@pytest.mark.parametrize("quick", [True, False])
def test_commit_that_is_no_snapshot_is_told(forge: Forge, quick: bool) -> None:
    forge.add_commit(forge.objects.raw_commit(forge.objects.tree()))
    assert [(path, code) for path, code, _ in forge.damage(quick=quick)] == ([] if quick else [("", "record")])


def test_misfit_in_a_very_deep_tree_is_named(forge: Forge) -> None:
    def record(table: AttributeTable) -> tuple[int, bytes, bytes]:
        return MODE_FILE, b".cronos%attributes", forge.objects.write("blob", format_attributes(table))

    own = attributes(".", kind="directory")
    data = forge.objects.tree((MODE_FILE, b"f", forge.objects.write("blob", b"12345")))
    meta = forge.objects.tree(record(AttributeTable(own=own, entries={"f": attributes("f", 6)})))
    for _ in range(1500):
        data = forge.objects.tree((MODE_DIRECTORY, b"d", data))
        meta = forge.objects.tree(record(AttributeTable(own=own)), (MODE_DIRECTORY, b"d", meta))
    commit = snapshot_of(forge, {}, (MODE_DIRECTORY, b"d", data), below=[(MODE_DIRECTORY, b"d", meta)])
    forge.add_commit(commit)
    path, _code, text = only(forge.damage())
    assert path == "meta:attributes" + "/d" * 1501
    assert "has 5 bytes" in text


# --- the files that git needs ---


@pytest.mark.parametrize("name", ["HEAD", "config"])
@pytest.mark.parametrize("content", [bytes(40), b"", b"gar\xffbled["])
def test_a_file_without_which_git_takes_the_store_for_none_is_damage(tmp_path: Path, name: str, content: bytes) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": "one"})
    engine.snapshot(SnapshotRequest(name="a"))
    assert all(check.ok for check in engine.checks() if check.name == "files")
    (engine.store_path / name).write_bytes(content)
    engine = make_engine(tmp_path)
    for quick in (True, False):
        [damage] = engine.verify(VerifyRequest(quick=quick)).damage
        assert (damage.code, damage.backups) == ("record", ())
        assert damage.text.startswith(f"{name} of the store is damaged")
    [check] = [check for check in engine.checks() if not check.ok]
    assert "cronos repair -n" in check.hint
    engine.repair()
    assert make_engine(tmp_path).verify().damage == ()


def test_what_the_user_configured_is_no_damage(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": "one"})
    engine.snapshot(SnapshotRequest(name="a"))
    git("--git-dir", engine.store_path, "remote", "add", "away", "/somewhere")
    assert engine.verify().damage == ()
