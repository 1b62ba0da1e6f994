"""Imports: EGOS zips, tars, directories of dated copies, and what they leave alone."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import RefusedError, UsageError
from cronos_git.events import Run
from cronos_git.git.store import store_path
from cronos_git.model import ExportRequest, ImportRequest, PruneRequest, RestoreRequest, SnapshotRequest
from cronos_git.rules.record import Identity
from cronos_git.rules.schema import Settings
from tests.support.archives import bring_in, ids, make_tar, make_zip, member
from tests.support.clock import FakeClock
from tests.support.engine import make_engine
from tests.support.faults import run_and_kill, steps_of
from tests.support.git import assert_store_sound, git
from tests.support.trees import File, assert_same_tree, make_tree
from tests.unit.test_export import ODD, TREE

EGOS = "egos_backup_restore_point_my_site_20250401_093000.zip"


def other(engine: Cronos, tmp_path: Path, name: str = "other") -> Cronos:
    return make_engine(tmp_path, project=name, chunk_threshold=engine.settings.chunk_threshold)


def content(engine: Cronos, backup: str) -> dict[str, bytes]:
    found = engine.resolve(backup).backup
    entries = engine.entries(found, recursive=True)
    return {e.path: b"".join(engine.read(found, e.path)) for e in entries if e.attributes.kind == "file"}


# --- EGOS -----------------------------------------------------------------------------------------------------------


def test_an_egos_zip_keeps_its_date_name_and_type_and_is_found_by_its_file_name(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    report = bring_in(engine, make_zip(tmp_path / EGOS, {"docs/a.txt": b"a", "b": b"b"}))
    (backup,) = report.backups
    assert (backup.id, backup.type, backup.name) == ("my_site_20250401_093000", "import", "my_site")
    assert backup.metadata == {"import": {"file": EGOS, "type": "restore_point"}}
    assert engine.resolve(EGOS).backup == engine.resolve(EGOS.removesuffix(".zip")).backup == backup
    assert content(engine, EGOS) == {"docs/a.txt": b"a", "b": b"b"}
    assert_store_sound(engine.store_path, tmp_path)
    assert engine.verify().damage == ()


def test_the_metadata_of_a_zip_outweighs_its_name_and_is_no_file(tmp_path: Path) -> None:
    told = {"created_at": "2025-04-01T09:30:00.250000", "backup_type": "pre_deploy", "name": "Site 2", "ticket": 7}
    engine = make_engine(tmp_path)
    (backup,) = bring_in(engine, make_zip(tmp_path / EGOS, {"a": b"a"}, told), labels=("old",), pinned=True).backups
    assert (backup.name, backup.created, backup.labels, backup.pinned) == (
        "site-2",
        datetime(2025, 4, 1, 9, 30, 0, 250000, tzinfo=UTC),
        ("old",),
        True,
    )
    assert backup.metadata == {"ticket": 7, "import": {"file": EGOS, "type": "pre_deploy"}}
    assert content(engine, backup.id) == {"a": b"a"}


@pytest.mark.parametrize("text", [b"{", b'{"name": 1}', b"[]", b'{"name":"x","backup_type":"y","created_at":"never"}', b"\xff"])
def test_a_backup_metadata_that_is_none_is_a_file(tmp_path: Path, text: bytes) -> None:
    engine = make_engine(tmp_path)
    (backup,) = bring_in(engine, make_zip(tmp_path / EGOS, {"backup_metadata.json": text})).backups
    assert content(engine, backup.id) == {"backup_metadata.json": text}
    assert backup.name == "my_site"


def test_times_without_an_offset_are_of_the_users_zone(tmp_path: Path) -> None:
    project = make_engine(tmp_path).project
    engine = Cronos(
        project=project,
        store_path=store_path(tmp_path / "stores", project),
        settings=Settings(auto_prune=False),
        clock=FakeClock(),
        zone=timezone(timedelta(hours=2)),
        identity=Identity(user="u", host="h"),
    )
    (backup,) = bring_in(engine, make_zip(tmp_path / EGOS, {"a": b""})).backups
    assert backup.created == datetime(2025, 4, 1, 7, 30, tzinfo=UTC)
    (entry,) = (e for e in engine.entries(backup) if e.path == "a")
    assert entry.attributes.mtime_ns == int(backup.created.timestamp()) * 1_000_000_000
    assert engine.resolve(EGOS).backup == backup


@pytest.mark.parametrize(
    "text",
    [
        "site_20250401_100000",
        "20250401_100000",
        "20250401_10",
        "site_20250401_1000",
        "/old/egos_backup_manual_site_20250401_100000.zip",
    ],
)
def test_egos_identifiers_in_local_time_find_an_import(tmp_path: Path, text: str) -> None:
    engine = make_engine(tmp_path)
    engine.zone = timezone(timedelta(hours=-3))
    made = bring_in(engine, make_zip(tmp_path / "egos_backup_manual_site_20250401_100000.zip", {"a": b""})).backups
    assert made[0].id == "site_20250401_130000"
    assert engine.resolve(text).backup == made[0]


@pytest.mark.parametrize("text", ["backup_20250401_001.zip", "backup_20250401_001", "old/backup_20250401_001.zip"])
def test_a_numbered_egos_file_finds_its_import(tmp_path: Path, text: str) -> None:
    engine = make_engine(tmp_path)
    made = [
        bring_in(engine, make_zip(tmp_path / f"backup_20250401_{n}.zip", {"a": n.encode()})).backups[0] for n in ("002", "001")
    ]
    assert engine.resolve(text).backup == made[1]


def test_what_egos_left_out_survives_a_replace(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"logs/x": b"mine", "new": b"goes", "a": b"now"})
    bring_in(engine, make_zip(tmp_path / EGOS, {"a": b"then"}))
    engine.restore(RestoreRequest(backup=EGOS, strategy="replace"))
    assert {p.name: p.read_bytes() for p in engine.project.rglob("*") if p.is_file()} == {"x": b"mine", "a": b"then"}


def test_a_top_directory_named_like_the_project_is_taken_for_it_and_told(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    archive = make_zip(tmp_path / EGOS, {"project/a": b"a"})
    report = bring_in(engine, archive)
    assert report.notes[0].startswith(f"All of {EGOS} lies in project/")
    assert content(engine, report.backups[0].id) == {"a": b"a"}
    (kept,) = bring_in(engine, archive, root=".").backups
    assert content(engine, kept.id) == {"project/a": b"a"}
    (inner,) = bring_in(engine, make_zip(tmp_path / "x-20250101.zip", {"y/z/a": b"a"}), root="y/z").backups
    assert content(engine, inner.id) == {"a": b"a"}


def test_a_directory_of_egos_zips_comes_oldest_first_and_one_bad_zip_stops_no_other(tmp_path: Path) -> None:
    engine, old = make_engine(tmp_path), tmp_path / "old"
    old.mkdir()
    for day in ("03", "01", "02"):
        make_zip(old / f"egos_backup_manual_a_202504{day}_000000.zip", {"f": day.encode()})
    bad = old / "egos_backup_manual_a_20250402_120000.zip"
    bad.write_bytes(make_zip(bad, {"f": os.urandom(99)}).read_bytes()[:70])
    (old / "notes.txt").write_text("x")
    report = bring_in(engine, old)
    assert ids(engine) == ["a_20250403_000000", "a_20250402_000000", "a_20250401_000000"]
    assert [problem.path for problem in report.problems] == [bad.name]
    assert report.notes == ("Passed over, as they are no copies or archives with a date: notes.txt.",)
    assert git("--git-dir", engine.store_path, "log", "--format=%as", "main").split() == [
        "2025-04-03",
        "2025-04-02",
        "2025-04-01",
    ]


# --- tar ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.zst"])
def test_an_exported_tar_comes_back_with_the_same_tree_and_attributes(tmp_path: Path, ending: str) -> None:
    engine = make_engine(tmp_path, chunk_threshold=1 << 20)
    make_tree(engine.project, {**TREE, f"{ODD}/{ODD}": b"x"})
    os.chown(engine.project / "file", 1234, 4321)
    made = engine.snapshot(
        SnapshotRequest(name="first", message="why", description="more", labels=("rel",), metadata={"name": "mine"})
    ).backup
    engine.export(ExportRequest(backup="latest", file=str(tmp_path / f"x.{ending}")))
    report = bring_in(engine, tmp_path / f"x.{ending}")
    (backup,) = report.backups
    assert engine.view(backup).data_tree == engine.view(made).data_tree
    assert list(engine.diff(made, backup)) == []
    assert (backup.message, backup.description, backup.labels, backup.created) == ("why", "more", ("rel",), made.created)
    assert backup.metadata["name"] == "mine"
    engine.restore(RestoreRequest(backup=backup.id, target=str(tmp_path / "out")))
    assert_same_tree(engine.project, tmp_path / "out")


def test_a_tar_of_gnu_tar_comes_in_whole(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    source = make_tree(tmp_path / "source", {**TREE, "a" * 200: b"long", "sparse": b""})
    os.truncate(source / "sparse", 5_000_000)
    for options, name in (("--format=gnu", "a-20240101.tar"), ("--format=posix", "b-20240102.tar")):
        subprocess.run(["tar", options, "--sparse", "--xattrs", "-cf", tmp_path / name, "-C", source, "."], check=True)
        (backup,) = bring_in(engine, tmp_path / name).backups
        found = content(engine, backup.id)
        assert found["large"] == (source / "large").read_bytes()
        assert found["sparse"] == bytes(5_000_000)
        assert found["a" * 200] == b"long"
    engine.restore(RestoreRequest(backup="b", target=str(tmp_path / "out")))
    assert_same_tree(source, tmp_path / "out")


@pytest.mark.parametrize(("ending", "mode"), [("txz", "w:xz"), ("tbz2", "w:bz2"), ("tar.bz2", "w:bz2")])
def test_an_xz_or_bz2_is_read_too(tmp_path: Path, ending: str, mode: Literal["w:xz", "w:bz2"]) -> None:
    engine = make_engine(tmp_path)
    with tarfile.open(tmp_path / f"a-20240101.{ending}", mode) as archive:
        archive.addfile(member("empty"))
    (backup,) = bring_in(engine, tmp_path / f"a-20240101.{ending}").backups
    assert (backup.name, content(engine, backup.id)) == ("a", {"empty": b""})


def test_what_gnu_tar_appended_takes_the_place_of_what_came_before(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    source = make_tree(tmp_path / "source", {"d/changed": b"old", "d/kept": b"kept", "relinked": b"old", "link": b"a file"})
    os.link(source / "relinked", source / "second")
    tar = ["tar", "--format=posix", "-C", str(source), "-f", str(tmp_path / "a-20240101.tar")]
    subprocess.run([*tar, "-c", "."], check=True)
    make_tree(source, {"d/changed": b"new and longer", "d/added": b"added"})
    os.chmod(source / "d", 0o700)
    (source / "link").unlink()
    (source / "link").symlink_to("d/kept")
    (source / "relinked").unlink()
    make_tree(source, {"relinked": b"of its own"})
    subprocess.run([*tar, "-r", "./d", "./link", "./relinked"], check=True)
    subprocess.run([*tar, "-r", "--no-recursion", "."], check=True)
    subprocess.run(["tar", "-xf", tmp_path / "a-20240101.tar", "-C", make_tree(tmp_path / "unpacked", {})], check=True)
    report = bring_in(engine, tmp_path / "a-20240101.tar")
    told = "Names come more than once in a-20240101.tar, such as 'd/changed': 4. Of each the last was taken."
    assert (report.notes, report.problems) == ((told,), ())
    engine.restore(RestoreRequest(backup="a", target=str(tmp_path / "out")))
    assert_same_tree(source, tmp_path / "out")
    assert_same_tree(tmp_path / "unpacked", tmp_path / "out")
    assert not any(entry.attributes.link_group for entry in engine.entries(report.backups[0], recursive=True))
    assert engine.verify().damage == ()


def test_hard_links_in_a_tar_are_to_what_stands_there_by_then(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    names = [(member("a", mtime="nan"), b"old"), (member("b", tarfile.LNKTYPE, "a"), b""), (member("a"), b"new")]
    names += [(member("c", tarfile.LNKTYPE, "a"), b""), (member("c", tarfile.LNKTYPE, "c"), b"")]
    report = bring_in(engine, make_tar(tmp_path / "a-20240101.tar", names))
    assert report.problems == ()
    assert content(engine, report.backups[0].id) == {"a": b"new", "b": b"old", "c": b"new"}
    groups = {entry.path: entry.attributes.link_group for entry in engine.entries(report.backups[0])}
    assert groups["a"] == groups["c"] != groups["b"] == ""


def test_a_date_is_needed_and_may_be_given(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    archive = make_tar(tmp_path / "some.tar", [(member("a"), b"a")])
    with pytest.raises(UsageError, match="not known when"):
        bring_in(engine, archive)
    (backup,) = bring_in(engine, archive, created=datetime(2024, 1, 2, tzinfo=UTC), name="old", message="m").backups
    assert (backup.id, backup.message) == ("old_20240102_000000", "m")


# --- directories ----------------------------------------------------------------------------------------------------


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    place = tmp_path / "copies"
    for number, name in enumerate(("2024-01-02", "site-20240103_1530", "backup.2024-01-04T15:30", "2024-01-05_junk 2024-01-06")):
        make_tree(place / name, {"same": b"same" * 1000, "number": str(number), "node_modules/x": b"taken", ".git/HEAD": b"x"})
    (place / "latest").symlink_to("backup.2024-01-04T15:30")
    return place


def test_dated_copies_become_backups_of_their_dates(tmp_path: Path, copies: Path) -> None:
    engine = make_engine(tmp_path)
    plan = engine.plan_import(ImportRequest(path=str(copies)))
    assert [(item.name, f"{item.created:%m-%d %H:%M}") for item in plan.items] == [
        ("backup", "01-02 00:00"),
        ("site", "01-03 15:30"),
        ("backup", "01-04 15:30"),
    ]
    assert [problem.path for problem in plan.skipped] == ["2024-01-05_junk 2024-01-06"]
    assert not engine.store_path.exists()
    report = bring_in(engine, copies)
    assert ids(engine) == ["backup_20240104_153000", "site_20240103_153000", "backup_20240102_000000"]
    assert [(b.added, b.changed) for b in report.backups] == [(4, 0), (0, 1), (0, 1)]
    assert len(report.problems) == 1
    engine.restore(RestoreRequest(backup="site", target=str(tmp_path / "out")))
    assert_same_tree(copies / "site-20240103_1530", tmp_path / "out")
    assert_store_sound(engine.store_path, tmp_path)


def test_a_plain_directory_comes_in_with_a_given_date_only(tmp_path: Path, copies: Path) -> None:
    engine = make_engine(tmp_path)
    with pytest.raises(UsageError):
        bring_in(engine, copies / "2024-01-02")
    (backup,) = bring_in(engine, copies / "2024-01-02", created=datetime(2023, 1, 1, tzinfo=UTC), name="x").backups
    assert backup.id == "x_20230101_000000"
    with pytest.raises(RefusedError, match="project itself"):
        bring_in(engine, engine.project, created=datetime(2023, 1, 1, tzinfo=UTC))


def test_what_lies_beside_the_copies_is_named_once_and_is_no_problem(tmp_path: Path, copies: Path) -> None:
    (copies / "2024-01-05_junk 2024-01-06").rename(copies / "scripts")
    (copies / "README").write_text("x")
    (copies / "gone").symlink_to("/no/where")
    engine = make_engine(tmp_path)
    report = bring_in(engine, copies)
    assert (len(report.backups), report.problems) == (3, ())
    assert report.notes == ("Passed over, as they are no copies or archives with a date: README, gone, latest, scripts.",)
    assert bring_in(engine, copies).problems == ()


@pytest.mark.parametrize("name", ["dump-2024-01-07.sql", "undated.zip"])
def test_what_may_be_a_copy_and_cannot_be_taken_is_a_problem(tmp_path: Path, copies: Path, name: str) -> None:
    (copies / "2024-01-05_junk 2024-01-06").rename(copies / "scripts")
    make_zip(copies / "undated.zip", {"a": b"a"}).rename(copies / name) if name.endswith("zip") else (copies / name).write_text(
        "x"
    )
    assert [problem.path for problem in bring_in(make_engine(tmp_path), copies).problems] == [name]


@pytest.mark.parametrize("created", [None, datetime(2024, 1, 1, tzinfo=UTC)])
def test_a_directory_that_holds_the_store_is_refused(tmp_path: Path, created: datetime | None) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": b"a"})
    make_tree(tmp_path / "stores", {"2024-01-02/a": b"a"})
    (tmp_path / "alias").symlink_to("stores")
    for is_there in (False, True):
        for path in (tmp_path / "stores", tmp_path, tmp_path / "alias", *([engine.store_path / "objects"] if is_there else ())):
            with pytest.raises(RefusedError, match="where the backups of this project are kept"):
                bring_in(engine, path, created=created)
        engine.snapshot(SnapshotRequest())
    (copies := tmp_path / "copies").mkdir()
    (copies / "2024-01-02").symlink_to("../stores")
    with pytest.raises(UsageError):
        bring_in(engine, copies)


def test_the_record_of_an_import_tells_the_real_path(tmp_path: Path, copies: Path) -> None:
    engine = make_engine(tmp_path)
    (tmp_path / "alias").symlink_to("copies")
    (backup,) = bring_in(
        engine, tmp_path / "copies" / ".." / "alias" / "2024-01-02", created=datetime(2024, 1, 2, tzinfo=UTC)
    ).backups
    assert (backup.name, engine.record(backup)["project_root"]) == ("backup", str((copies / "2024-01-02").resolve()))


def test_a_lone_top_directory_that_is_not_the_projects_is_told_once(tmp_path: Path) -> None:
    engine, old = make_engine(tmp_path), tmp_path / "old"
    old.mkdir()
    for day in ("2024-01-01", "2024-01-02"):
        make_zip(old / f"{day}.zip", {"my site/a": day.encode(), "my site/b": b""})
    (note,) = bring_in(engine, old).notes
    assert note == (
        "All of 2024-01-01.zip lies in my site/, which the backup has too, and so it is with 1 more archives;"
        " --root 'my site' takes it for the project."
    )
    assert bring_in(engine, old / "2024-01-01.zip", root="my site").notes == ()


# --- what an import leaves alone ------------------------------------------------------------------------------------


def test_imports_come_not_between_backups_that_were_made_here(tmp_path: Path, copies: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"a": b"a", "b/c": b"c"})
    first = engine.snapshot(SnapshotRequest()).backup
    statcache = engine.store.statcache.read_bytes()
    main = git("--git-dir", engine.store_path, "rev-parse", "main")
    report = bring_in(engine, copies)
    assert {backup.scope for backup in report.backups} == {"imported"}
    assert [backup.sequence for backup in report.backups] == [2, 3, 4]
    assert engine.resolve("latest").backup == first
    assert engine.resolve("latest~1").backup == report.backups[-1]
    assert engine.resolve("backup").backup == first
    assert engine.resolve("@2024-01-03T16:00").backup.name == "site"
    assert engine.plan_snapshot().changes == ()
    assert engine.store.statcache.read_bytes() == statcache
    assert git("--git-dir", engine.store_path, "rev-parse", "main") == main
    second = engine.snapshot(SnapshotRequest())
    assert (second.backup.parent, second.files_read) == (first.id, 0)
    assert engine.snapshot(SnapshotRequest(skip_if_unchanged=True)).unchanged


def test_importing_the_same_again_makes_nothing(tmp_path: Path, copies: Path) -> None:
    engine = make_engine(tmp_path)
    first = bring_in(engine, copies).backups
    again = bring_in(engine, copies)
    assert (again.backups, again.known, again.bytes_stored) == ((), first, 0)
    assert sum(operation.verb == "import" for operation in engine.operations()) == 1
    engine.delete([first[0].id])
    assert [backup.created for backup in bring_in(engine, copies).backups] == [first[0].created]


def test_other_attributes_of_the_same_content_make_another_backup(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    copy = make_tree(tmp_path / "2024-01-02", {"a": File(b"a", mode=0o644, mtime_ns=5), "b": b""})
    when = datetime(2024, 1, 2, tzinfo=UTC)
    bring_in(engine, copy, created=when)
    changes: list[Callable[[], object]] = [
        lambda: (copy / "a").chmod(0o600),
        lambda: os.utime(copy / "a", ns=(6, 6)),
        lambda: os.mkfifo(copy / "pipe"),
    ]
    for number, change in enumerate(changes, start=2):
        change()
        os.utime(copy, ns=(7, 7))
        (backup,) = bring_in(engine, copy, created=when).backups
        assert backup.id == f"backup_20240102_000000_{number}"
        assert bring_in(engine, copy, created=when).known == (backup,)


def test_an_import_prunes_nothing_but_tells_what_the_next_prune_would_drop(tmp_path: Path, copies: Path) -> None:
    engine = make_engine(tmp_path, auto_prune=True)
    report = bring_in(engine, copies)
    assert list(report.prunable) == ids(engine)[1:]  # the newest of its scope stays
    assert len(ids(engine)) == 3
    pinned = bring_in(other(engine, tmp_path), copies, pinned=True)
    assert pinned.prunable == ()
    engine.apply_prune(engine.plan_prune(PruneRequest()))
    assert len(ids(engine)) == 1


def test_the_pack_of_an_import_that_fails_is_dropped(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    archive = make_tar(tmp_path / "a-20240101.tar", [(member("x"), os.urandom(9000)), (member("x/y"), b"below a file")])
    with pytest.raises(RefusedError):
        bring_in(engine, archive)
    assert (ids(engine), list(engine.store.pack_dir.iterdir())) == ([], [])


def test_an_import_can_be_cancelled(tmp_path: Path, copies: Path) -> None:
    from cronos_git.errors import InterruptedRunError

    engine = make_engine(tmp_path)
    archive = make_zip(tmp_path / EGOS, {"a": b"a"})
    for path in (copies, archive):
        with pytest.raises(InterruptedRunError):
            engine.import_(ImportRequest(path=str(path)), Run(cancelled=True))
    assert ids(engine) == []


@pytest.mark.parametrize("kind", ["directory", "zip"])
def test_a_killed_import_leaves_whole_backups_only(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    old = tmp_path / "old"
    old.mkdir()
    for day in ("2024-01-01", "2024-01-02"):
        if kind == "zip":
            make_zip(old / f"a-{day}.zip", {"f": day.encode(), "same": b"s"})
        else:
            make_tree(old / day, {"f": day, "same": b"s"})
    rooms = iter(range(1000))

    def fresh() -> Cronos:
        room = tmp_path / f"room{next(rooms)}"
        room.mkdir()
        return make_engine(room)

    total = len(steps_of(lambda: bring_in(fresh(), old)))
    stride = 1 if request.config.getoption("--long") else 7
    for at in range(3, total, stride):
        engine = fresh()
        run_and_kill(lambda engine=engine: bring_in(engine, old), at)
        engine = make_engine(engine.project.parent)
        if engine.store_path.exists():
            assert engine.verify().damage == ()
        bring_in(engine, old)
        assert [f"{backup.created:%d}" for backup in engine.backups()] == ["02", "01"]
        assert engine.verify().damage == ()
        assert not [path for path in engine.store_path.rglob("*") if "tmp" in path.name]


def test_files_of_a_zip_have_the_modes_that_it_tells(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    source = make_tree(tmp_path / "source", {"x": File(b"x", mode=0o751), "d/y": File(b"y", mode=0o600), "link": b""})
    (source / "link").unlink()
    (source / "link").symlink_to("d/y")
    subprocess.run(["zip", "-q", "-r", "--symlinks", tmp_path / "a-20240101.zip", "."], cwd=source, check=True)
    (backup,) = bring_in(engine, tmp_path / "a-20240101.zip").backups
    found = {entry.path: entry for entry in engine.entries(backup, recursive=True)}
    assert {path: entry.attributes.mode for path, entry in found.items() if entry.attributes.kind == "file"} == {
        "x": 0o751,
        "d/y": 0o600,
    }
    assert found["link"].link_target == "d/y"
    assert found["x"].attributes.mtime_ns // 1_000_000_000 == int((source / "x").stat().st_mtime)
