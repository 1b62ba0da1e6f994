from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from cronos_git.disk.usage import tree_size
from cronos_git.engine import Cronos
from cronos_git.errors import HostError, InterruptedRunError, StoreMissingError
from cronos_git.events import Event, Finished, Run, Started
from cronos_git.git.refs import BACKUP_TAGS
from cronos_git.model import SnapshotRequest
from tests.support.engine import make_engine
from tests.support.git import git
from tests.support.trees import Link, Special, make_tree

NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    """Five backups: a common file, a text that changes a little, a file that only `c` has, a link, copies."""
    made = make_engine(tmp_path)
    text = [os.urandom(30).hex() for _ in range(300)]
    common = os.urandom(3000)
    make_tree(made.project, {"common": common, "copy/of/common": common, "link": Link("common")})
    for number, name in enumerate(NAMES):
        text[number] = "changed"
        (made.project / "text").write_text("\n".join(text))
        only = made.project / "only-c"
        only.write_bytes(os.urandom(5000)) if name == "c" else only.unlink(missing_ok=True)
        made.snapshot(SnapshotRequest(name=name, type="auto" if name == "b" else "manual"))
    return made


def again(engine: Cronos) -> Cronos:
    return make_engine(engine.project.parent)


def repack(engine: Cronos) -> None:
    git("--git-dir", engine.store_path, "repack", "-adfq", "--window=50", "--depth=50")


def fold(engine: Cronos) -> None:
    git("--git-dir", engine.store_path, "repack", "-dq", "--geometric=2", "--write-midx")


def duplicate(engine: Cronos) -> None:
    """Put every object into a second pack, with the same bytes."""
    git("--git-dir", engine.store_path, "repack", "-aq", "--window=0")


def usage(engine: Cronos, names: Iterable[str]) -> int:
    """Bytes on disk of all that backups hold, by git."""
    ids = {backup.name: backup.id for backup in engine.backups()}
    refs = [f"{BACKUP_TAGS}{ids[name]}" for name in names]
    return int(git("--git-dir", engine.store_path, "rev-list", "--objects", "--disk-usage", *refs)) if refs else 0


def distinct_contents(engine: Cronos) -> set[tuple[str, int]]:
    """Ids and sizes of the contents of all files, by git."""
    found = set()
    for backup in engine.backups():
        lines = git("--git-dir", engine.store_path, "ls-tree", "-r", "-l", f"{backup.commit}:data").splitlines()
        rows = [line.split(maxsplit=4) for line in lines]
        found |= {(oid, int(size)) for mode, _, oid, size, _ in rows if mode != "120000"}
    return found


LAYOUTS = [lambda _engine: None, fold, repack, duplicate]
IDS = ["as written", "folded", "deltas", "overlapping"]


@pytest.mark.parametrize("lay_out", LAYOUTS, ids=IDS)
def test_unique_and_added_bytes_are_differences_of_what_git_measures(engine: Cronos, lay_out: object) -> None:
    assert callable(lay_out)
    lay_out(engine)
    found = again(engine).backup_stats()
    everything = usage(engine, NAMES)
    assert [one.backup.name for one in found.backups] == [*reversed(NAMES)]
    for number, name in enumerate(NAMES):
        one = found.backups[-1 - number]
        assert one.unique_bytes == everything - usage(engine, [other for other in NAMES if other != name])
        assert one.added_bytes == usage(engine, NAMES[: number + 1]) - usage(engine, NAMES[:number])
    assert found.together_bytes == everything == sum(one.added_bytes for one in found.backups)
    assert found.unreadable == 0


@pytest.mark.parametrize("lay_out", LAYOUTS, ids=IDS)
def test_summary_adds_up_and_agrees_with_git(engine: Cronos, lay_out: object) -> None:
    assert callable(lay_out)
    lay_out(engine)
    found = again(engine).stats()
    assert found.packed_bytes + found.record_bytes == usage(engine, NAMES) == sum(point.added_bytes for point in found.growth)
    assert found.packed_bytes + found.record_bytes + found.trash_bytes + found.other_bytes == found.store_bytes
    assert found.store_bytes == sum(path.stat().st_size for path in engine.store_path.rglob("*") if path.is_file())
    contents = distinct_contents(engine)
    assert found.distinct_bytes == sum(size for _, size in contents)
    sizes = {oid for oid, _ in contents}
    form = "--batch-check=%(objectname) %(objectsize:disk)"
    lines = git("--git-dir", engine.store_path, "cat-file", "--batch-all-objects", form).splitlines()
    assert found.packed_bytes == sum(int(disk) for oid, disk in map(str.split, lines) if oid in sizes)
    assert found.objects == len(lines)
    assert found.unreadable == 0


def test_summary_tells_of_the_backups_and_how_much_smaller_they_are(engine: Cronos) -> None:
    found, backups = engine.stats(), engine.backups()
    assert (found.backups, found.by_type, found.trash) == (5, {"auto": 1, "manual": 4}, 0)
    assert (found.files_latest, found.bytes_latest) == (backups[0].files, backups[0].size_bytes)
    assert (found.oldest, found.newest) == (backups[-1].created, backups[0].created)
    assert found.content_bytes == sum(backup.size_bytes for backup in backups)
    assert found.dedup_ratio == pytest.approx(found.content_bytes / found.distinct_bytes, abs=0.001)
    assert found.compression_ratio == pytest.approx(found.distinct_bytes / found.packed_bytes, abs=0.001)
    assert found.total_ratio == pytest.approx(found.content_bytes / found.store_bytes, abs=0.001)
    assert [point.backup for point in found.growth] == [backup.id for backup in reversed(backups)]


def test_deleted_backup_leaves_what_only_it_held_in_the_trash(engine: Cronos) -> None:
    unique = {one.backup.name: one.unique_bytes for one in engine.backup_stats().backups}
    assert unique["c"] > 5000
    engine.delete(["c"])
    found = engine.stats()
    assert (found.trash, found.trash_bytes) == (1, unique["c"])
    assert found.packed_bytes + found.record_bytes + found.trash_bytes + found.other_bytes == found.store_bytes
    engine.undelete(["c"])
    assert engine.stats().trash_bytes == 0


def test_chosen_backups_are_told_with_what_they_hold_together(engine: Cronos) -> None:
    chosen = [backup for backup in engine.backups() if backup.name in "bc"]
    found = engine.backup_stats(chosen)
    assert [one.backup.name for one in found.backups] == ["c", "b"]
    assert found.together_bytes == usage(engine, NAMES) - usage(engine, "ade")
    assert found.together_bytes >= sum(one.unique_bytes for one in found.backups)


def test_store_without_backups_has_no_dates_and_no_ratios(engine: Cronos) -> None:
    engine.delete(list(NAMES))
    found = engine.stats()
    assert (found.backups, found.oldest, found.newest, found.growth) == (0, None, None, ())
    assert (found.dedup_ratio, found.compression_ratio, found.total_ratio) == (None, None, None)
    assert found.trash == 5
    assert found.trash_bytes > 5000
    assert engine.backup_stats().backups == ()


def test_large_file_in_chunks_counts_each_chunk_once(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, chunk_threshold=1 << 20)
    content = bytearray(os.urandom(6 << 20))
    for change in (b"1", b"2"):
        content[3 << 20 : (3 << 20) + 1] = change
        (engine.project / "big").write_bytes(content)
        engine.snapshot(SnapshotRequest())
    found = engine.stats()
    assert found.content_bytes == 12 << 20
    assert found.distinct_bytes == sum(size for _, size in distinct_contents(engine)) < 11 << 20
    assert found.packed_bytes + found.record_bytes == usage_of_all(engine)


def usage_of_all(engine: Cronos) -> int:
    return int(git("--git-dir", engine.store_path, "rev-list", "--objects", "--disk-usage", "--glob=refs/tags/backup/*"))


def test_missing_objects_are_counted_and_the_rest_is_still_measured(engine: Cronos) -> None:
    whole = engine.stats()
    location = engine.store.index.find(bytes.fromhex(engine.view(engine.resolve("c").backup).entry("only-c").oid))
    assert location is not None
    # The tag stays readable: it goes into a pack of its own.
    tag = engine.resolve("c").backup.tag
    body = git("--git-dir", engine.store_path, "cat-file", "tag", tag)
    location.pack.path.unlink()
    (engine.project.parent / "tag").write_text(body)
    made = git("--git-dir", engine.store_path, "hash-object", "-t", "tag", "-w", engine.project.parent / "tag").strip()
    assert made == tag
    found = again(engine).stats()
    assert found.backups == 5
    assert found.unreadable > 0
    assert 0 < found.packed_bytes < whole.packed_bytes
    assert again(engine).backup_stats().unreadable > 0


def test_progress_is_told_and_a_cancelled_run_stops(engine: Cronos) -> None:
    events: list[Event] = []
    engine.stats(Run(emit=events.append))
    assert events == [Started("measure"), Finished("measure")]
    with pytest.raises(InterruptedRunError):
        engine.backup_stats(run=Run(cancelled=True))


def test_project_without_a_store_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreMissingError):
        make_engine(tmp_path).stats()


def test_size_counts_regular_files_once_and_follows_no_link(tmp_path: Path) -> None:
    outside = make_tree(tmp_path / "outside", {"f": b"x" * 1000})
    root = make_tree(tmp_path / "root", {"a": b"12", "d": {"b": b"345"}, "p": Special("fifo")})
    make_tree(root, {"link": Link(str(outside)), "d/link": Link(str(outside / "f"))})
    assert tree_size(root) == 5


def test_size_of_an_unreadable_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(HostError):
        tree_size(tmp_path / "file")
