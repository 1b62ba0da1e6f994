from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import stat
import sys
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from cronos_git.disk import files
from cronos_git.errors import (
    AccessError,
    CronosError,
    DamageError,
    DiskFullError,
    HashMismatchError,
    ObjectMissingError,
    RecordFormatError,
    RefusedError,
    StoreFormatError,
    StoreLockedError,
    StoreMissingError,
)
from cronos_git.git.store import Store, store_path
from tests.support.faults import run_and_kill
from tests.support.git import assert_store_sound, git
from tests.support.stores import make_backup, make_store, put_backups

A, B = "a" * 40, "b" * 40


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "backups/s.git")


# --- where it lies ---


def test_path_is_name_and_digest_of_the_real_path(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "link").symlink_to("project")
    digest = hashlib.sha256(os.fsencode(os.path.realpath(tmp_path / "project"))).hexdigest()[:8]
    expected = Path(f"/backups/project-{digest}.git")
    assert store_path(Path("/backups"), tmp_path / "project") == expected
    assert store_path(Path("/backups"), tmp_path / "link") == expected


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, os.fsdecode(b"\xff\xfe"), "-rf", "a b\nc"])
def test_any_name_of_a_project_gives_a_store_that_can_be_made(tmp_path: Path, name: str) -> None:
    path = store_path(tmp_path, Path("/") / name)
    assert make_store(path, f"/{name}").project_root == f"/{name}"


def test_the_root_directory_can_have_a_store() -> None:
    assert re.fullmatch(r"root-[0-9a-f]{8}\.git", store_path(Path("/backups"), Path("/")).name)


# --- made ---


def test_a_new_store_is_an_empty_repository_to_stock_git(store: Store) -> None:
    git("--git-dir", store.path, "fsck", "--full", "--strict")
    assert git("--git-dir", store.path, "rev-parse", "--is-bare-repository", "--show-object-format").split() == ["true", "sha1"]
    assert git("--git-dir", store.path, "for-each-ref") == ""
    assert git("--git-dir", store.path, "symbolic-ref", "HEAD").strip() == "refs/heads/main"


def test_a_new_store_is_private_whatever_the_umask(tmp_path: Path) -> None:
    os.umask(0)
    store = make_store(tmp_path / "backups/s.git")
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in [store.path, *store.path.rglob("*")]} == {0}
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o700


def test_a_new_store_records_what_it_is(store: Store) -> None:
    record = json.loads((store.cronos_dir / "format.json").read_bytes())
    assert record == {"format": 1, "project_root": "/project", "created_at": "2026-04-01T12:00:00Z", "tool_version": "0.0"}


def test_the_time_of_making_is_recorded_in_utc(tmp_path: Path) -> None:
    created = datetime(2026, 4, 1, 14, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    store = Store.create(tmp_path / "s.git", project_root="/p", created=created, tool_version="0")
    record = json.loads((store.cronos_dir / "format.json").read_bytes())
    assert datetime.fromisoformat(record["created_at"]) == created.astimezone(UTC)
    assert record["created_at"].endswith("Z")


def test_hostile_attributes_of_a_project_change_no_byte_in_a_checkout_by_stock_git(store: Store, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/.gitattributes").write_text("* text eol=crlf ident\n")
    (tmp_path / "tree/file").write_bytes(b"$Id$\nline\n")
    place = ("--git-dir", store.path, "--work-tree")
    git(*place, tmp_path / "tree", "add", ".", cwd=tmp_path / "tree")
    (tmp_path / "out").mkdir()
    git(*place, tmp_path / "out", "checkout-index", "--all", cwd=tmp_path / "out")
    assert (tmp_path / "out/file").read_bytes() == b"$Id$\nline\n"


def test_the_users_templates_and_configuration_do_not_reach_a_new_store(tmp_path: Path, hermetic: Path) -> None:
    (tmp_path / "template/hooks").mkdir(parents=True)
    (tmp_path / "template/hooks/reference-transaction").write_text("#!/bin/sh\nexit 1\n")
    (hermetic / ".gitconfig").write_text(f"[init]\n\ttemplateDir = {tmp_path}/template\n\tdefaultObjectFormat = sha256\n")
    store = make_store(tmp_path / "s.git")
    assert not (store.path / "hooks").exists()
    put_backups(store, [make_backup()])
    assert_store_sound(store.path, tmp_path)


def test_creating_where_a_store_is_opens_it(store: Store) -> None:
    again = Store.create(store.path, project_root="/other", created=datetime.now(UTC), tool_version="9")
    assert again.project_root == "/project"


def test_creating_over_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.git").mkdir()
    (tmp_path / "s.git/thesis.txt").write_text("mine")
    with pytest.raises(StoreFormatError, match="no CRONOS store"):
        make_store(tmp_path / "s.git")
    assert [path.name for path in (tmp_path / "s.git").iterdir()] == ["thesis.txt"]


def test_of_processes_that_create_at_once_one_makes_it_and_all_get_it(tmp_path: Path) -> None:
    path = tmp_path / "backups/s.git"
    children = [_in_child(lambda root=f"/project{number}": make_store(path, root)) for number in range(6)]  # type: ignore[misc]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 6
    assert re.fullmatch(r"/project[0-5]", Store.open(path).project_root)
    assert [found.name for found in path.parent.iterdir() if found.is_dir()] == ["s.git"]
    git("--git-dir", path, "fsck", "--full", "--strict")


def _in_child(action: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return child


def test_killed_while_creating_there_is_no_store_or_a_whole_one(tmp_path: Path) -> None:
    for number in itertools.count(1):
        path = tmp_path / str(number) / "s.git"
        ended = run_and_kill(lambda path=path: make_store(path), number)  # type: ignore[misc]
        if path.exists():
            assert Store.open(path).project_root == "/project"
        make_store(path)
        assert [found.name for found in path.parent.iterdir() if found.is_dir()] == ["s.git"]
        if ended:
            break
    git("--git-dir", path, "fsck", "--full", "--strict")
    assert number > 30


def test_a_full_disk_while_creating_leaves_nothing(tmp_path: Path) -> None:
    def fail(name: str, path: str) -> None:
        if name == "fsync":
            raise OSError(28, "No space left on device", path)

    files.step = fail
    with pytest.raises(DiskFullError):
        make_store(tmp_path / "s.git")
    assert not any(path.is_dir() for path in tmp_path.iterdir())


# --- opened ---


@pytest.mark.parametrize("prepare", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("")])
def test_opening_nothing_says_how_to_begin(tmp_path: Path, prepare: Callable[[Path], object]) -> None:
    prepare(tmp_path / "s.git")
    with pytest.raises(StoreMissingError) as caught:
        Store.open(tmp_path / "s.git")
    assert caught.value.exit_status == 10
    assert "cronos create" in caught.value.hint


def test_a_plain_repository_is_no_store(tmp_path: Path) -> None:
    git("init", "--bare", "--quiet", tmp_path / "s.git")
    with pytest.raises(StoreFormatError, match="no CRONOS store"):
        Store.open(tmp_path / "s.git")


def test_a_newer_format_is_refused_with_both_numbers(store: Store) -> None:
    (store.cronos_dir / "format.json").write_text('{"format": 7, "project_root": "/p"}')
    with pytest.raises(StoreFormatError, match="format 7; this CRONOS knows format 1") as caught:
        Store.open(store.path)
    assert caught.value.exit_status == 16


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"format": "x", "project_root": "/p"}', "\0" * 80])
def test_a_damaged_format_record_is_damage(store: Store, content: str) -> None:
    (store.cronos_dir / "format.json").write_text(content)
    with pytest.raises(RecordFormatError, match=r"format\.json is damaged"):
        Store.open(store.path)


@pytest.mark.parametrize("content", [None, "{"])
def test_a_store_with_backups_but_no_format_record_is_sent_to_repair(store: Store, content: str | None) -> None:
    put_backups(store, [make_backup()])
    (store.cronos_dir / "format.json").unlink()
    if content:
        (store.cronos_dir / "format.json").write_text(content)
    with pytest.raises(RecordFormatError, match="The backups in it are untouched") as caught:
        Store.open(store.path)
    assert "Error" not in caught.value.message
    assert "ove it away" not in caught.value.hint
    assert "cronos repair -n" in caught.value.hint


def test_a_store_with_backups_but_no_config_is_sent_to_repair(store: Store) -> None:
    put_backups(store, [make_backup()])
    (store.path / "config").unlink()
    with pytest.raises(StoreFormatError, match="The backups in it are untouched") as caught:
        Store.open(store.path)
    assert "cronos repair -n" in caught.value.hint


@pytest.mark.parametrize("name", ["config", "cronos/format.json"])
def test_what_looks_like_a_damaged_store_is_sent_to_repair(store: Store, name: str) -> None:
    (store.path / name).unlink()
    with pytest.raises(StoreFormatError, match="looks like a damaged store") as caught:
        Store.open(store.path)
    assert caught.value.exit_status == 16
    assert "cronos repair -n" in caught.value.hint


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_store_that_others_may_write_in_is_refused(store: Store, mode: int) -> None:
    store.path.chmod(mode)
    with pytest.raises(RefusedError, match=f"mode {mode:o}") as caught:
        Store.open(store.path)
    assert caught.value.exit_status == 13
    assert f"chmod 700 {store.path}" in caught.value.hint


def test_a_store_that_others_may_only_read_is_opened(store: Store) -> None:
    store.path.chmod(0o755)
    assert Store.open(store.path).project_root == "/project"


def test_borrowed_objects_are_refused(store: Store) -> None:
    (store.path / "objects/info/alternates").write_text("/elsewhere/objects\n")
    with pytest.raises(RefusedError, match="borrows objects"):
        Store.open(store.path)


@pytest.mark.parametrize("setting", ["objectformat = sha256", 'ObjectFormat="SHA256"', "refStorage = reftable"])
def test_other_formats_of_git_are_refused(store: Store, setting: str) -> None:
    with (store.path / "config").open("a") as config:
        config.write(f"[extensions]\n\t{setting}\n")
    with pytest.raises(StoreFormatError, match="which CRONOS does not read"):
        Store.open(store.path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("foreign", [".", "config", "objects", "cronos"])
def test_a_store_of_another_user_is_refused_with_the_way_out(store: Store, foreign: str) -> None:
    os.chown(store.path / foreign, 12345, -1)
    with pytest.raises(RefusedError, match="belongs to user 12345") as caught:
        Store.open(store.path)
    assert caught.value.exit_status == 13
    assert "sudo -u '#12345'" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_store_that_cannot_be_entered_is_an_access_error(store: Store) -> None:
    store.path.chmod(0)
    try:
        with pytest.raises(AccessError):
            Store.open(store.path)
    finally:
        store.path.chmod(0o700)


def test_listing_refs_loads_no_library(store: Store) -> None:
    put_backups(store, [make_backup()])
    code = (
        "import sys; from pathlib import Path; from cronos_git.git.store import Store;"
        f"s = Store.open(Path({os.fspath(store.path)!r})); [s.read(o) for o in s.tags().oids.values()];"
        "sys.exit(len({'pygit2', 'subprocess', 'cffi'} & set(sys.modules)))"
    )
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0


# --- objects ---


def test_objects_are_read_back_from_own_packs(store: Store) -> None:
    (backup,) = put_backups(store, [make_backup()])
    kind, body = store.read(backup.tag)
    assert kind == "tag"
    assert body.decode() == git("--git-dir", store.path, "cat-file", "tag", backup.tag)
    assert store.read(backup.tag)[0] == "tag"


def test_objects_are_read_back_after_stock_git_repacked_them_with_deltas(store: Store) -> None:
    text = "".join(f"line {number}\n" for number in range(2000)).encode()
    backups = [make_backup(number) for number in range(1, 6)]
    put_backups(store, backups, {backup.id: text + b"%d" % backup.sequence for backup in backups})
    oids = git("--git-dir", store.path, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    before = {oid: store.read(oid) for oid in oids}
    git("--git-dir", store.path, "repack", "-adfq")
    reopened = Store.open(store.path)
    assert {oid: reopened.read(oid) for oid in oids} == before


def test_loose_objects_of_stock_git_are_read(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"loose\n")
    oid = git("--git-dir", store.path, "hash-object", "-w", tmp_path / "file").strip()
    assert store.read(oid) == ("blob", b"loose\n")


def test_new_packs_are_seen(store: Store) -> None:
    reader = Store.open(store.path)
    with pytest.raises(ObjectMissingError):
        reader.read(A)
    (backup,) = put_backups(store, [make_backup()])
    assert reader.read(backup.tag)[0] == "tag"
    reader.refresh()
    assert reader.read(backup.tag) == store.read(backup.tag)


def test_the_empty_tree_is_known_without_being_stored(store: Store) -> None:
    assert store.read("4b825dc642cb6eb9a060e54bf8d69288fbee4904") == ("tree", b"")


def test_a_missing_object_is_named(store: Store) -> None:
    with pytest.raises(ObjectMissingError, match=A) as caught:
        store.read(A)
    assert caught.value.exit_status == 6


def _loose_object(body: bytes) -> tuple[str, bytes]:
    whole = b"blob %d\0%b" % (len(body), body)
    return hashlib.sha1(whole).hexdigest(), zlib.compress(whole)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda packed: b"",
        lambda packed: packed[:-6],
        lambda packed: b"\0" * len(packed),
        lambda _packed: _loose_object(b"other")[1],
    ],
    ids=["empty", "cut", "zeros", "another"],
)
def test_a_damaged_loose_object_is_damage(store: Store, spoil: Callable[[bytes], bytes]) -> None:
    oid, packed = _loose_object(b"content" * 50)
    path = store.path / "objects" / oid[:2] / oid[2:]
    path.parent.mkdir()
    path.write_bytes(spoil(packed))
    with pytest.raises(DamageError, match=oid):
        store.read(oid)


def test_a_flipped_byte_in_a_pack_is_damage(store: Store) -> None:
    (backup,) = put_backups(store, [make_backup()])
    (pack,) = store.pack_dir.glob("*.pack")
    content = bytearray(pack.read_bytes())
    for position in range(12, len(content) - 20, 3):
        content[position] ^= 0x10
    pack.chmod(0o600)
    pack.write_bytes(content)
    with pytest.raises(HashMismatchError, match=backup.tag):
        Store.open(store.path).read(backup.tag)


def test_the_users_git_configuration_does_not_change_what_pygit2_sees(store: Store, hermetic: Path) -> None:
    (hermetic / ".gitconfig").write_text("[extensions]\n\tobjectformat = nonsense\n[core]\n\tbroken =\n[\n")
    with pytest.raises(ObjectMissingError):
        store.read(A)


# --- refs ---


def _told_by_git(store: Store) -> dict[str, str]:
    lines = git("--git-dir", store.path, "for-each-ref", "--format=%(objectname) %(refname)", "refs/tags/backup").splitlines()
    return {name.removeprefix("refs/tags/backup/"): oid for oid, name in (line.split(" ", 1) for line in lines)}


def test_refs_agree_with_stock_git_loose_packed_and_mixed(store: Store) -> None:
    stored = put_backups(store, [make_backup(number) for number in range(1, 6)])
    assert store.tags().oids == _told_by_git(store) == {backup.id: backup.tag for backup in stored}
    git("--git-dir", store.path, "pack-refs", "--all")
    assert not any((store.path / "refs/tags").rglob("*_*"))
    assert store.tags().oids == _told_by_git(store)
    more = put_backups(store, [make_backup(6), make_backup(7)])
    with store.lock():
        store.set_ref(f"refs/tags/backup/{stored[0].id}", more[0].tag)
        store.set_ref("refs/heads/main", more[0].commit)
    git("--git-dir", store.path, "tag", "other", more[0].commit)
    assert store.tags().oids == _told_by_git(store)
    assert store.tags().oids[stored[0].id] == more[0].tag
    assert len(store.tags().oids) == 7
    assert store.tags().damaged == {}


def test_single_refs_are_found_loose_and_packed(store: Store) -> None:
    (backup,) = put_backups(store, [make_backup()])
    store.set_ref("refs/heads/module/a+b", backup.commit)
    assert store.ref("refs/heads/module/a+b") == backup.commit
    git("--git-dir", store.path, "pack-refs", "--all")
    assert store.ref("refs/heads/module/a+b") == backup.commit
    assert store.ref("refs/heads/module/a") is None
    assert store.ref("refs/heads/module") is None
    assert store.ref("refs/heads/module/a+b/c") is None


@pytest.mark.parametrize("content", [b"", b"\0" * 41, b"garbage\n", b"ref: refs/heads/main\n", b"a" * 39, b"A" * 40, b"a" * 41])
def test_a_damaged_ref_is_named_and_hides_no_other(store: Store, content: bytes) -> None:
    good = put_backups(store, [make_backup(1), make_backup(2)])
    (store.path / "refs/tags/backup/broken_20260401_120000").write_bytes(content)
    (store.path / "refs/heads/main").write_bytes(content)
    assert store.tags().oids == {backup.id: backup.tag for backup in good}
    assert list(store.tags().damaged) == ["broken_20260401_120000"]
    with pytest.raises(DamageError, match="refs/heads/main"):
        store.ref("refs/heads/main")


def test_an_emptied_ref_still_gives_its_packed_value(store: Store) -> None:
    (backup,) = put_backups(store, [make_backup()])
    git("--git-dir", store.path, "pack-refs", "--all")
    loose = store.path / "refs/tags/backup" / backup.id
    loose.parent.mkdir(parents=True, exist_ok=True)
    loose.write_bytes(b"")
    assert store.tags().oids == {backup.id: backup.tag}
    assert store.tags().damaged == {backup.id: "is empty"}


def test_a_cut_file_of_packed_refs_is_reported_and_hides_no_other(store: Store) -> None:
    first, second = put_backups(store, [make_backup(1), make_backup(2)])
    git("--git-dir", store.path, "pack-refs", "--all")
    packed = (store.path / "packed-refs").read_bytes()
    (store.path / "packed-refs").write_bytes(packed[: packed.index(second.tag.encode()) + 20])
    assert store.tags().oids == {first.id: first.tag}
    assert list(store.tags().damaged) == ["packed-refs"]


def test_what_is_no_file_in_the_place_of_a_ref_is_damage(store: Store) -> None:
    place = store.path / "refs/tags/backup"
    os.mkfifo(place / "fifo")
    (place / "dangling").symlink_to("nowhere")
    (place / "loop").symlink_to("loop")
    (place / "directory").mkdir()
    assert store.tags().oids == {}
    assert set(store.tags().damaged) == {"fifo", "dangling", "loop"}


def test_an_id_cannot_be_given_twice(store: Store) -> None:
    with store.lock():
        store.create_tag_ref("x_20260401_120000", A)
        with pytest.raises(RefusedError, match="x_20260401_120000"):
            store.create_tag_ref("x_20260401_120000", B)
    assert store.tags().oids == {"x_20260401_120000": A}


def test_an_id_cannot_be_given_twice_when_the_first_is_packed_or_damaged(store: Store) -> None:
    (backup,) = put_backups(store, [make_backup()])
    git("--git-dir", store.path, "pack-refs", "--all")
    (store.path / "refs/tags/backup").mkdir(parents=True, exist_ok=True)
    (store.path / "refs/tags/backup/damaged").write_bytes(b"")
    for taken in (backup.id, "damaged"):
        with store.lock(), pytest.raises(RefusedError):
            store.create_tag_ref(taken, B)


def test_a_ref_is_durable_in_gits_own_order(store: Store) -> None:
    steps: list[str] = []
    files.step = lambda name, path: steps.append(f"{name} {Path(path).relative_to(store.path)}")
    store.set_ref("refs/heads/main", A)
    lock = "refs/heads/main.lock"
    assert steps == [f"write {lock}", f"fsync {lock}", "rename refs/heads/main", "fsync_dir refs/heads"]


def test_killed_at_any_step_a_ref_is_old_or_new_and_can_be_written_again(store: Store) -> None:
    old, new = put_backups(store, [make_backup(1), make_backup(2)])

    def write() -> None:
        with store.lock():
            store.set_ref("refs/heads/module/x", new.commit)

    for number in itertools.count(1):
        with store.lock():
            store.set_ref("refs/heads/module/x", old.commit)
        if run_and_kill(write, number):
            break
        assert store.ref("refs/heads/module/x") in (old.commit, new.commit)
        git("--git-dir", store.path, "fsck", "--strict")
    assert number >= 4
    assert store.ref("refs/heads/module/x") == new.commit


def test_without_the_lock_the_lock_file_of_another_writer_is_respected(store: Store) -> None:
    (store.path / "refs/heads/main.lock").write_bytes(b"")
    with pytest.raises(StoreLockedError):
        store.set_ref("refs/heads/main", A)
    with store.lock(shared=True), pytest.raises(StoreLockedError):
        store.set_ref("refs/heads/main", A)
    assert (store.path / "refs/heads/main.lock").exists()


def test_a_lock_file_left_by_a_killed_writer_is_no_ref_and_does_not_stop_the_next(store: Store) -> None:
    (store.path / "refs/tags/backup/x_20260401_120000.lock").write_bytes(A.encode())
    assert store.tags() == ({}, {})
    with store.lock():
        store.create_tag_ref("x_20260401_120000", B)
    assert store.tags().oids == {"x_20260401_120000": B}


# --- the lock ---


def test_a_writer_shuts_all_others_out_and_readers_share(store: Store) -> None:
    other = Store.open(store.path)
    with store.lock():
        for shared in (False, True):
            with pytest.raises(StoreLockedError), other.lock(shared=shared):
                pass
    with store.lock(shared=True), other.lock(shared=True):
        with pytest.raises(StoreLockedError), Store.open(store.path).lock():
            pass


def test_all_errors_of_the_store_advise_what_to_do(store: Store) -> None:
    (store.path / "refs/heads/main").write_bytes(b"")
    for ask in (lambda: store.read(A), lambda: store.ref("refs/heads/main"), lambda: Store.open(store.path / "none")):
        with pytest.raises(CronosError) as caught:
            ask()
        assert caught.value.hint
