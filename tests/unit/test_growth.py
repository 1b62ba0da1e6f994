from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cronos_git.engine import Cronos
from cronos_git.model import GrownPath, RestoreRequest, SnapshotRequest
from tests.support.clock import FakeClock
from tests.support.engine import LATER, make_engine
from tests.support.git import git
from tests.support.trees import Link, make_tree

ODD = os.fsdecode(b"caf\xe9")


def noise(size: int) -> bytes:
    return os.urandom(size)


class History:
    """A project whose backups are a day apart."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.clock = FakeClock(LATER)
        self.engine = make_engine(root, clock=self.clock, **settings)

    def save(self, tree: dict[str, Any], **request: Any) -> None:
        make_tree(self.engine.project, tree)
        self.engine.snapshot(SnapshotRequest(**request))
        self.clock.advance(days=1)

    def grown(self, **limits: Any) -> dict[str, GrownPath]:
        latest = self.engine.resolve("latest").backup
        return {one.path: one for one in self.engine.path_stats(latest, **limits).grown}


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def disk_bytes(engine: Cronos, *contents: bytes) -> int:
    """What git says that these contents take."""
    named = []
    for content in contents:
        (engine.project.parent / "content").write_bytes(content)
        named.append(git("hash-object", engine.project.parent / "content").strip())
    form = "--batch-check=%(objectname) %(objectsize:disk)"
    lines = git("--git-dir", engine.store_path, "cat-file", "--batch-all-objects", form).splitlines()
    sizes = dict(line.split() for line in lines)
    return sum(int(sizes[name]) for name in named)


def test_a_log_that_changes_in_every_backup_counts_all_its_versions(history: History) -> None:
    logs = [noise(1000 * (number + 1)) for number in range(4)]
    for log in logs:
        history.save({"logs/app.log": log, "static": b"s" * 9000})
    found = history.grown()["logs/app.log"]
    assert (found.grown_bytes, found.versions) == (disk_bytes(history.engine, *logs[1:]), 3)
    assert found.stored_bytes == disk_bytes(history.engine, *logs)
    assert "static" not in history.grown()


def test_after_a_repack_versions_count_as_the_deltas_that_they_are(history: History) -> None:
    log = noise(20_000)
    versions = [log + noise(number) for number in range(4)]
    for version in versions:
        history.save({"app.log": version})
    before = history.grown()["app.log"].grown_bytes
    git("--git-dir", history.engine.store_path, "repack", "-adfq", "--window=50", "--depth=50")
    history.engine.store.reopen()
    found = history.grown()["app.log"]
    assert found.grown_bytes == disk_bytes(history.engine, *versions[1:]) < before / 2
    assert found.stored_bytes == disk_bytes(history.engine, *versions)


def test_what_was_only_moved_costs_its_new_path_nothing(history: History) -> None:
    content = noise(5000)
    history.save({"old/big": content})
    (history.engine.project / "old/big").unlink()
    history.save({"new/big": content, "new/small": noise(500)})
    assert "new/big" not in history.grown()
    assert "new/small" in history.grown()


def test_a_directory_is_told_when_no_single_path_in_it_makes_its_growth(history: History) -> None:
    for _ in range(3):
        spool = {f"var/spool/{number}": noise(300) for number in range(5)}
        history.save({**spool, "var/tmp/x": b"", "deep/er/one": noise(8000)})
    found = history.grown()
    assert next(iter(found)) == "deep/er/one"
    assert {"deep/", "deep/er/", "var/", "", "/"}.isdisjoint(found)
    assert found["var/spool/"].grown_bytes > sum(found[f"var/spool/{number}"].grown_bytes for number in range(5))
    assert found["var/spool/"].versions == 10


def test_a_directory_whose_listings_grow_it_is_told(history: History) -> None:
    for number in range(3):
        history.save({f"many/{number}-{i:04}{'x' * 60}": b"same" for i in range(100)})
    found = history.grown()["many/"]
    assert (found.versions, found.grown_bytes > 2000) == (0, True)


def test_growth_since_counts_only_later_backups(history: History) -> None:
    versions = [noise(1000), noise(2000), noise(3000)]
    for version in versions:
        history.save({"f": version})
    since = history.engine.resolve("latest").backup.created
    found = history.grown(since=since)["f"]
    assert (found.grown_bytes, found.versions) == (disk_bytes(history.engine, versions[2]), 1)
    assert found.stored_bytes == disk_bytes(history.engine, *versions)
    assert history.grown(since=since + timedelta(seconds=1)) == {}


def test_the_first_backup_of_a_scope_brings_no_growth(history: History) -> None:
    history.save({"a/f": noise(1000), "b/f": noise(1000)}, modules=("a",))
    history.save({})
    assert history.grown() == {}
    history.save({"b/f": noise(1000)}, modules=("b",))
    assert history.grown() == {}
    history.save({"b/f": noise(1000)}, modules=("b",))
    assert set(history.grown()) == {"b/f"}


def test_growth_of_another_directory_is_told_with_its_full_path(history: History, tmp_path: Path) -> None:
    history.save({"f": b"1"})
    other = make_tree(tmp_path / "other", {"sub/big": noise(2000)})
    for _ in range(2):
        history.engine.restore(RestoreRequest(backup="latest:manual", target=str(other), strategy="overwrite"))
        history.clock.advance(days=1)
        make_tree(other, {"sub/big": noise(2000), "f": b"other"})
    found = history.grown()
    assert found[f"{other}/sub/big"].versions == 1
    assert not any(path.startswith(str(other.parent) + "/") and path.endswith("other/") for path in found)


def test_chunks_of_a_large_file_count_for_the_file(tmp_path: Path) -> None:
    history = History(tmp_path, chunk_threshold=1 << 20)
    content = bytearray(noise(5 << 20))
    for change in (b"1", b"2"):
        content[3 << 20 : (3 << 20) + 1] = change
        history.save({"dir/big%": bytes(content)})
    [found] = [one for path, one in history.grown().items() if path == "dir/big%"]
    assert found.versions == 1
    assert 1 << 18 < found.grown_bytes < 5 << 20
    latest = history.engine.resolve("latest").backup
    [big] = history.engine.path_stats(latest).biggest
    assert (big.path, big.size_bytes) == ("dir/big%", 5 << 20)
    assert (5 << 20) < big.stored_bytes < found.stored_bytes


def test_odd_names_come_back_as_they_are_on_disk(history: History) -> None:
    for _ in range(2):
        history.save({ODD: noise(2000), ".git%x/.gitmodules": noise(1000), ".cronos%name": noise(700)})
    assert set(history.grown()) == {ODD, ".git%x/.gitmodules", ".cronos%name"}


def test_biggest_files_are_those_of_the_backup_largest_first(history: History) -> None:
    history.save({"a": b"x" * 300, "d/b": b"x" * 5000, "c": b"x" * 300, "link": Link("x" * 400), "gone": b"x" * 9000})
    (history.engine.project / "gone").unlink()
    history.save({})
    latest, first = history.engine.resolve("latest").backup, history.engine.resolve("latest~1").backup
    found = history.engine.path_stats(latest, limit=3).biggest
    assert [(one.path, one.size_bytes) for one in found] == [("d/b", 5000), ("a", 300), ("c", 300)]
    assert found[0].stored_bytes == disk_bytes(history.engine, b"x" * 5000)
    assert [one.path for one in history.engine.path_stats(first, limit=1).biggest] == ["gone"]


def test_all_growth_of_files_adds_up_to_the_contents_that_were_added(history: History) -> None:
    for number in range(3):
        history.save({f"d{number % 2}/f{i}": noise(100 + i) for i in range(5)} | {"same": b"same"})
    files = [one for one in history.grown(limit=1000).values() if not one.path.endswith("/")]
    assert sum(one.stored_bytes for one in files) + disk_bytes(history.engine, b"same") == history.engine.stats().packed_bytes
    assert sum(one.versions for one in files) == 10


def test_missing_objects_are_counted(history: History) -> None:
    history.save({"f": b"1"})
    history.save({"d/g": b"2"})
    engine = history.engine
    tree = engine.view(engine.resolve("latest").backup).entry("d").oid
    location = engine.store.index.find(bytes.fromhex(tree))
    assert location is not None
    backup = engine.resolve("latest~1").backup
    tags = [one.tag for one in engine.backups()]
    bodies = {tag: git("--git-dir", engine.store_path, "cat-file", "tag", tag) for tag in tags}
    location.pack.path.unlink()
    for body in bodies.values():
        (engine.project.parent / "tag").write_text(body)
        git("--git-dir", engine.store_path, "hash-object", "-t", "tag", "-w", engine.project.parent / "tag")
    fresh = make_engine(engine.project.parent)
    assert fresh.path_stats(backup).unreadable > 0
    assert fresh.path_stats(backup).biggest[0].path == "f"
