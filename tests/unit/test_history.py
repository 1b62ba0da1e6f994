from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import BackupNotFoundError, DamageError, UsageError
from cronos_git.model import Backup, GrepRequest, PathVersion, RestoreRequest
from cronos_git.ops import history
from cronos_git.ops.lineage import PathReader, witnesses
from tests.support.archives import bring_in, make_zip
from tests.support.clock import FakeClock
from tests.support.engine import LATER, make_engine
from tests.support.git import git
from tests.support.restoring import save
from tests.support.snapshots import Chunked, SnapshotStore
from tests.support.stores import make_backup
from tests.support.trees import File, Link, Special, make_tree

POEM = "".join(f"line {number}\n" for number in range(30))


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    return make_engine(tmp_path, clock=FakeClock(LATER))


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path / "store.git")


def rewrite(engine: Cronos, tree: Mapping[str, Any], **fields: object) -> Backup:
    """A backup of exactly *tree*, an hour later."""
    shutil.rmtree(engine.project)
    make_tree(engine.project, tree)
    engine.clock.advance(hours=1)  # type: ignore[attr-defined]
    return save(engine, **fields)  # type: ignore[arg-type]


def trace(store: SnapshotStore, trees: Sequence[Any], path: str) -> list[PathVersion]:
    backups = [make_backup(number, commit=store.commit(tree)) for number, tree in enumerate(trees, 1)]
    return list(history.versions(PathReader(store), witnesses(store, backups, [path]), path))


def told(versions: list[PathVersion]) -> list[tuple[str, str, int]]:
    return [(version.kind, version.path, len(version.backups)) for version in versions]


# --- versions -----------------------------------------------------------------------------------------------------


def test_a_file_has_a_version_for_each_state_and_none_for_a_new_time(store: SnapshotStore) -> None:
    trees = [{"f": "1"}, {"f": File(b"1", mtime_ns=9)}, {"f": "2"}, {"f": File(b"2", mode=0o755)}, {"f": "1"}]
    found = trace(store, trees, "f")
    assert told(found) == [("changed", "f", 1), ("mode", "f", 1), ("changed", "f", 1), ("added", "f", 2)]
    assert found[0].entry and found[0].entry.attributes.size_bytes == 1


def test_what_is_gone_is_told_with_the_backup_that_lacks_it_and_where_it_went(store: SnapshotStore) -> None:
    trees = [{"f": POEM}, {"f": POEM}, {"g": POEM + "more\n"}, {"g": "x"}]
    gone, added = trace(store, trees, "f")
    assert (gone.kind, gone.renamed_to, gone.entry, gone.first.sequence, len(gone.backups)) == ("removed", "g", None, 3, 2)
    assert (added.kind, added.last.sequence) == ("added", 2)


def test_a_file_that_went_away_and_came_back_has_both_times(store: SnapshotStore) -> None:
    trees: list[Mapping[str, Any]] = [{}, {"f": "1"}, {}, {"f": "2"}]
    assert told(trace(store, trees, "f")) == [("added", "f", 1), ("removed", "f", 1), ("added", "f", 1)]


def test_renames_are_followed_through_equal_and_similar_contents(store: SnapshotStore) -> None:
    trees = [{"a": POEM}, {"d": {"b": POEM}}, {"c": POEM.replace("line 7", "changed")}, {"c": "other"}]
    found = trace(store, trees, "c")
    assert told(found) == [("changed", "c", 1), ("renamed", "c", 1), ("renamed", "d/b", 1), ("added", "a", 1)]
    assert found[1].previous_path == "d/b"


def test_equal_contents_are_preferred_and_files_that_stayed_are_no_sources(store: SnapshotStore) -> None:
    trees = [{"kept": POEM, "near": POEM + "x\n", "same": POEM}, {"kept": POEM, "new": POEM}]
    assert trace(store, trees, "new")[0].previous_path == "same"
    assert trace(store, [{"kept": POEM}, {"kept": POEM, "new": POEM}], "new")[0].kind == "added"


def test_links_and_files_in_chunks_are_followed_when_they_are_equal(store: SnapshotStore) -> None:
    trees = [{"l": Link("to"), "c": Chunked((b"1", b"2"))}, {"m": Link("to"), ".git": Chunked((b"1", b"2"))}]
    assert trace(store, trees, "m")[0].previous_path == "l"
    assert trace(store, trees, ".git")[0].previous_path == "c"
    trees = [{"c": Chunked((b"1" * 99, b"2"))}, {"d": Chunked((b"1" * 99, b"3")), "l": Link("to")}]
    assert told(trace(store, trees, "d")) == [("added", "d", 1)]


def test_a_directory_is_followed_when_most_of_it_moved(store: SnapshotStore) -> None:
    inner = {"x": "1\n", "y": {"z": POEM}, ".git": {"config": "c"}}
    trees = [{"old": inner}, {"top": {"new": {**inner, "fresh": "f"}}}]
    found = trace(store, trees, "top/new")
    assert [(version.kind, version.previous_path) for version in found] == [("renamed", "old"), ("added", None)]
    assert trace(store, trees, "old")[0].renamed_to == "top/new"
    assert trace(store, [{"old": inner}, {"old": {"x": "2"}, "new": inner}], "new")[0].kind == "added"


def test_a_file_that_took_the_place_of_a_directory_is_a_change(store: SnapshotStore) -> None:
    found = trace(store, [{"p": {"q": "1"}}, {"p": "1"}, {"p": Special("fifo")}], "p")
    assert told(found) == [("changed", "p", 1), ("changed", "p", 1), ("added", "p", 1)]
    assert told(trace(store, [{"p": {"q": "1"}}, {"p": "1"}], "p/q")) == [("removed", "p/q", 1), ("added", "p/q", 1)]


def test_each_state_of_a_directory_is_read_once(store: SnapshotStore) -> None:
    backups = [make_backup(number, commit=store.commit({"d": {"f": "1"}, "o": f"{number}"})) for number in range(1, 9)]
    reader = PathReader(store)
    among = witnesses(store, backups, ["d/f"])
    store.reads.clear()
    assert len(list(history.versions(reader, among, "d/f"))) == 1
    per_backup = 3 + 3  # commit, root and meta; the three objects of the project's root directory
    assert len(store.reads) <= 8 * per_backup + 3


def test_a_damaged_backup_is_named_not_skipped(store: SnapshotStore) -> None:
    backups = [make_backup(1, commit=store.commit({"f": "1"})), make_backup(2, commit="12" * 20)]
    with pytest.raises(DamageError):
        list(history.versions(PathReader(store), witnesses(store, backups, ["f"]), "f"))


# --- which backups tell -------------------------------------------------------------------------------------------


def test_a_backup_of_a_module_tells_of_the_module_only(engine: Cronos) -> None:
    rewrite(engine, {"m": {"f": "1"}, "o": "1"})
    rewrite(engine, {"m": {"f": "2"}, "o": "2"}, modules=("m",))
    rewrite(engine, {"m": {"f": "2"}, "o": "1", "n": {}})
    assert told(list(engine.history("m/f"))) == [("changed", "m/f", 2), ("added", "m/f", 1)]
    assert told(list(engine.history("o"))) == [("added", "o", 2)]
    assert told(list(engine.history("m/f", "m"))) == [("added", "m/f", 1)]
    with pytest.raises(BackupNotFoundError, match="has ever held 'o'"):
        engine.history("o", "m")


def test_what_a_module_does_not_cover_is_no_source_of_a_rename(engine: Cronos) -> None:
    rewrite(engine, {"m": {"g": "x"}, "o": POEM})
    rewrite(engine, {"m": {"f": POEM}, "o": POEM}, modules=("m",))
    assert [version.kind for version in engine.history("m/f")] == ["added"]


def test_a_restore_point_of_another_directory_tells_nothing(engine: Cronos, tmp_path: Path) -> None:
    rewrite(engine, {"f": "1"})
    make_tree(tmp_path / "other", {"f": "foreign"})
    engine.apply_restore(engine.plan_restore(RestoreRequest(backup="latest", strategy="replace", target=str(tmp_path / "other"))))
    assert len(engine.backups()) == 2
    assert told(list(engine.history("f"))) == [("added", "f", 1)]
    point = engine.backups()[0]
    assert [line.text for line in engine.blame("f", point)] == [b"foreign"]


def test_imports_stand_where_their_dates_put_them(engine: Cronos, tmp_path: Path) -> None:
    rewrite(engine, {"f": "3"})
    bring_in(engine, make_zip(tmp_path / "egos_backup_manual_site_20260301_120000.zip", {"f": b"2"}))
    bring_in(engine, make_zip(tmp_path / "egos_backup_manual_site_20260101_120000.zip", {"f": b"1"}))
    found = list(engine.history("f"))
    assert [version.first.created.year for version in found] == [2040, 2026, 2026]
    assert [version.first.created.month for version in found[1:]] == [3, 1]


def test_a_clock_that_was_set_back_does_not_change_the_order() -> None:
    from cronos_git.ops.lineage import _in_order

    noon = datetime(2026, 4, 1, 12, tzinfo=UTC)
    back = [make_backup(number, created=noon - timedelta(hours=number)) for number in range(1, 4)]
    assert [backup.sequence for backup in _in_order(reversed(back))] == [1, 2, 3]


# --- timeline and patches -----------------------------------------------------------------------------------------


def test_the_timeline_tells_what_changed_in_each_backup_of_its_scope(engine: Cronos) -> None:
    rewrite(engine, {"a": "1", "m": {"b": "1"}})
    rewrite(engine, {"a": "2", "m": {"b": "1"}}, modules=("m",))
    rewrite(engine, {"m": {"b": "2"}})
    found = list(engine.timeline())
    assert [(entry.previous.sequence if entry.previous else None) for entry in found] == [1, None, None]
    assert {(change.kind, change.path) for change in found[0].changes} == {("removed", "a"), ("changed", "m/b")}
    assert [entry.backup.scope for entry in engine.timeline("m")] == ["m"]
    assert next(engine.timeline(changes=False)).changes == ()


def test_patches_of_versions_make_each_from_the_one_before(engine: Cronos, tmp_path: Path) -> None:
    for tree in ({"a b": POEM}, {"a b": POEM + "x\n"}, {"d": {"c\n": POEM + "y\n"}}, {}):
        rewrite(engine, tree)
    found = list(engine.history("d/c\n", patch=True))
    assert [version.kind for version in found] == ["removed", "renamed", "changed", "added"]
    place = tmp_path / "patched"
    place.mkdir()
    for version in reversed(found):
        (tmp_path / "patch").write_bytes(version.patch or b"")
        git("apply", tmp_path / "patch", cwd=place)
        here = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
        assert here == ([version.path] if version.entry else [])
        if version.entry:
            content = b"".join(engine.read(version.first, version.path))
            assert (place / version.path).read_bytes() == content


def test_the_patch_of_a_directory_holds_its_files(engine: Cronos) -> None:
    rewrite(engine, {"d": {"a": "1\n"}, "o": "1\n"})
    rewrite(engine, {"d": {"a": "2\n", "b": "3\n"}, "o": "2\n"})
    newest, first = engine.history("d", patch=True)
    assert newest.patch is not None and newest.patch.count(b"diff --git ") == 2 and b"a/o" not in newest.patch
    assert first.patch is not None and first.patch.count(b"new file mode") == 1


# --- blame --------------------------------------------------------------------------------------------------------


def test_lines_are_blamed_through_renames_and_escaped_names(engine: Cronos) -> None:
    rewrite(engine, {"old": "1\n2\n3\nlonger than the rest\n"})
    rewrite(engine, {"sub": {".gitmodules": "1\n2\nno\nlonger than the rest\n"}})
    rewrite(engine, {"sub": {".gitmodules": "0\n1\nno\nlonger than the rest"}})
    lines = engine.blame("sub/.gitmodules")
    assert [(line.number, line.text, line.backup.sequence, line.path) for line in lines] == [
        (1, b"0", 3, "sub/.gitmodules"),
        (2, b"1", 1, "old"),
        (3, b"no", 2, "sub/.gitmodules"),
        (4, b"longer than the rest", 3, "sub/.gitmodules"),
    ]
    older = engine.blame("sub/.gitmodules", engine.backups()[1])
    assert [line.backup.sequence for line in older] == [1, 1, 2, 1]


def test_what_has_no_lines_is_refused_and_says_why(engine: Cronos) -> None:
    tree = {"dir": {}, "bin": b"\0", "link": Link("bin"), "pipe": Special("fifo"), "empty": "", "gone": "1\n"}
    rewrite(engine, tree)
    rewrite(engine, {name: node for name, node in tree.items() if name != "gone"})
    for path, why in (("dir", "directory"), ("bin", "binary"), ("link", "symlink"), ("pipe", "fifo")):
        with pytest.raises(UsageError, match=why):
            engine.blame(path)
    assert engine.blame("empty") == []
    with pytest.raises(BackupNotFoundError) as refused:
        engine.blame("gone")
    assert refused.value.hint.endswith(f"give {engine.backups()[1].id}:gone")


def test_a_file_in_chunks_is_not_blamed_but_searched(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, chunk_threshold=1 << 20)
    content = b"".join(b"%d %d\n" % (number, number * number) for number in range(900_000))
    make_tree(engine.project, {"big": content})
    save(engine)
    with pytest.raises(UsageError, match="chunks"):
        engine.blame("big")
    (found,) = engine.grep(GrepRequest(pattern="^(3|777777|899999) "))
    assert [(line.number, line.text[:7]) for line in found.lines] == [(4, b"3 9"), (777_778, b"777777 "), (900_000, b"899999 ")]
    assert list(engine.grep(GrepRequest(pattern="^900000 "))) == []


def test_a_line_that_follows_a_binary_version_came_after_it(engine: Cronos) -> None:
    rewrite(engine, {"f": "1\n"})
    rewrite(engine, {"f": b"\0"})
    rewrite(engine, {"f": "1\n"})
    assert [line.backup.sequence for line in engine.blame("f")] == [3]


# --- grep ---------------------------------------------------------------------------------------------------------


def matches(engine: Cronos, pattern: str, **fields: Any) -> list[tuple[str, list[int], list[bytes]]]:
    """Path, sequence numbers of the backups, and lines of each version."""
    number = {backup.id: backup.sequence for backup in engine.backups()}
    found = engine.grep(GrepRequest(pattern=pattern, **fields))
    return [(one.path, [number[name] for name in one.backups], [line.text for line in one.lines]) for one in found]


def test_each_version_is_found_once_with_the_backups_that_hold_it(engine: Cronos) -> None:
    rewrite(engine, {"a": "foo 1\n", "b": "bar\n", ".git": {"x": "skipped"}})
    rewrite(engine, {"a": "foo 1\n", "b": "Foo 2\nno\n", "same": "foo 1\n", "link": Link("foo")})
    last = rewrite(engine, {"a": "foo 3\n", "sub": {".gitmodules": "[foo\n"}, "b": "Foo 2\nno\n", "bin": b"\0foo\n"})
    assert matches(engine, "foo") == [
        ("a", [1, 2], [b"foo 1"]),
        ("same", [2], [b"foo 1"]),
        ("a", [3], [b"foo 3"]),
        ("bin", [3], []),
        ("sub/.gitmodules", [3], [b"[foo"]),
    ]
    assert matches(engine, "foo [12]", ignore_case=True, backup=last) == [("b", [3], [b"Foo 2"])]
    assert matches(engine, "[foo", fixed=True, backup=last) == [("sub/.gitmodules", [3], [b"[foo"])]
    assert matches(engine, "fo+", paths=("sub", "a"), backup=last) == [
        ("a", [3], [b"foo 3"]),
        ("sub/.gitmodules", [3], [b"[foo"]),
    ]
    assert matches(engine, "nothing of the kind") == []


def test_a_path_that_is_nowhere_searched_is_an_error(engine: Cronos) -> None:
    rewrite(engine, {"a": "foo\n"})
    last = rewrite(engine, {"b": "foo\n"})
    assert matches(engine, "foo", paths=("a",)) == [("a", [1], [b"foo"])]
    with pytest.raises(BackupNotFoundError, match="'a'"):
        matches(engine, "foo", paths=("a",), backup=last)


def test_hostile_names_and_lines_come_through_a_search(engine: Cronos) -> None:
    name = os.fsdecode(b"-x\n\xff")
    last = rewrite(engine, {name: b"\xfffoo\r\x1b\n", "-e": "foo"})
    assert matches(engine, "foo", backup=last) == [("-e", [1], [b"foo"]), (name, [1], [b"\xfffoo\r\x1b"])]


def test_a_content_that_cannot_be_read_is_named_with_its_path(engine: Cronos, spoil: Callable[[Backup, str], None]) -> None:
    last = rewrite(engine, {"a": "foo\n", "d": {"b": "bar\n"}})
    spoil(last, "d/b")
    with pytest.raises(DamageError, match="d/b"):
        matches(engine, "foo")


@pytest.fixture
def spoil(engine: Cronos) -> Callable[[Backup, str], None]:
    """Replaces a content in the store by another one of the same id."""

    def act(backup: Backup, path: str) -> None:
        oid = engine.view(backup).entry(path).oid
        for pack in [*(engine.store_path / "objects/pack").glob("*.pack")]:
            moved = pack.rename(engine.store_path / pack.name)
            with moved.open("rb") as packed:
                subprocess.run(["git", f"--git-dir={engine.store_path}", "unpack-objects", "-q"], stdin=packed, check=True)
        loose = engine.store_path / "objects" / oid[:2] / oid[2:]
        loose.chmod(0o600)
        loose.write_bytes(b"not zlib")
        engine.store.reopen()

    return act
