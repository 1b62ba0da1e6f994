"""Repair of damage of every kind: afterwards all is sound, what is not told as lost is as it was, and everything works again."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Container, Iterable
from functools import partial
from pathlib import Path

import pytest

from cronos_git.git.refs import BACKUP_TAGS
from cronos_git.model import RepairReport, SnapshotRequest
from tests.support.git import git
from tests.support.repairing import World, by_age, cut, garble, objects_of, pack_dir, packs_of, replace, rewrite

FIRST, SECOND, THIRD = (f"{name}_20400101_120000" for name in ("first", "second", "third"))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world whose store has one pack."""
    world = World(tmp_path_factory.mktemp("packed"))
    world.fold()
    return world


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world as it was made: a pack for each backup."""
    return World(tmp_path_factory.mktemp("spread"))


def repaired(world: World, room: Path, look: Callable[[], object] = lambda: None) -> RepairReport:
    """Plan, repair, look, check; the plan told all."""
    plan = world.engine().plan_repair()
    report = world.engine().repair()
    assert (plan.steps, plan.lost) == (report.plan.steps, report.plan.lost)
    look()
    world.check(report, room)
    return report


# --- nothing ---


def test_a_sound_store_is_left_as_it_is(spread: World, tmp_path: Path) -> None:
    spread.reset()
    before = {path: path.stat().st_mtime_ns for path in spread.store.rglob("*") if path.is_file() and path.name != "lock"}
    report = spread.engine().repair()
    assert (report.plan.steps, report.plan.lost, report.quarantine) == ((), (), "")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not (spread.store / "cronos/quarantine").exists()


# --- single objects ---


@pytest.mark.parametrize("alone", [False, True], ids=["with the project", "alone"])
@pytest.mark.parametrize("part", range(4))
def test_any_lost_object_is_healed_or_told(
    packed: World, tmp_path: Path, alone: bool, part: int, request: pytest.FixtureRequest
) -> None:
    packed.reset()
    objects = objects_of(packed.store)
    step = 4 if request.config.getoption("--long") else 56
    for number, name in enumerate(list(objects)[part * 7 % step :: step]):
        packed.reset()
        rewrite(packed.store, {other: found for other, found in objects.items() if other != name})
        if alone:
            packed.empty_project()
        report = repaired(packed, tmp_path / str(number))
        # Trees and commits are told by others; what holds content is not, and has to be named.
        if objects[name][0] == "commit" or (not alone and objects[name][0] == "tree"):
            assert report.plan.lost == () or _is_chunk_list(objects[name][1])


def _is_chunk_list(body: bytes) -> bool:
    return body.startswith(b"100644 00000000\0")


def test_lost_content_is_taken_from_the_project_where_it_still_is(packed: World, tmp_path: Path) -> None:
    packed.reset()
    objects = objects_of(packed.store)
    contents = {name: found for name, found in objects.items() if found[1] in (b"one", b"three") or len(found[1]) == 3000}
    assert len(contents) == 4
    rewrite(packed.store, {name: found for name, found in objects.items() if name not in contents})
    report = repaired(packed, tmp_path)
    assert [loss.path for loss in report.plan.lost] == ["big", "big"]  # the version before the last is nowhere else
    assert report.plan.steps[0].action == "rewrite"
    assert [step.text for step in report.plan.steps if step.action == "refetch"] == ["it still has 3 lost objects"]


def test_a_backup_with_a_hole_says_so_and_keeps_what_is_said_of_it(packed: World, tmp_path: Path) -> None:
    packed.reset()
    objects = objects_of(packed.store)
    rewrite(packed.store, {name: found for name, found in objects.items() if found != ("blob", b"two")})
    before = packed.engine().resolve("first").backup
    report = packed.engine().repair()
    [loss] = report.plan.lost
    assert (loss.backup, loss.path, loss.kind) == (FIRST, "dir/deep/f", "content")
    after = packed.engine().resolve("first").backup
    assert (after.id, after.sequence, after.message, after.description) == (FIRST, before.sequence, "hello", "some\ntext")
    assert after.labels == ("x", "damaged")
    assert after.metadata["repair"] == {"tag": before.tag, "lost": ["content: dir/deep/f"], "count": 1}
    assert [entry.attributes.unreadable for entry in packed.engine().entries(after, "dir/deep/f")] == [True]
    told = json.loads((Path(report.quarantine) / "report.json").read_bytes())
    assert told["lost"][0]["path"] == "dir/deep/f"


def test_when_everything_below_a_commit_is_gone_the_backup_is_given_up_with_its_tag_in_the_report(
    packed: World, tmp_path: Path
) -> None:
    packed.reset()
    objects = objects_of(packed.store)
    rewrite(packed.store, {name: found for name, found in objects.items() if found[0] == "tag"})
    packed.empty_project()
    report = packed.engine().repair()
    assert {loss.kind for loss in report.plan.lost} == {"backup"}
    assert packed.engine().backups() == []
    told = json.loads((Path(report.quarantine) / "report.json").read_bytes())
    assert told["tags"][FIRST].startswith("object ")
    git("--git-dir", packed.store, "fsck", "--full", "--strict", "--no-dangling")
    again = packed.engine().repair()
    assert (again.plan.steps, again.plan.lost) == ((), ())


# --- packs ---

PACKS: dict[str, Callable[[Path], object]] = {
    "header": lambda pack: garble(pack, 0.0),
    "count": lambda pack: replace(pack, pack.read_bytes()[:11] + b"\xee" + pack.read_bytes()[12:]),
    "first object": lambda pack: replace(pack, pack.read_bytes()[:12] + b"\xff" + pack.read_bytes()[13:]),
    "third": lambda pack: garble(pack, 0.33),
    "half": lambda pack: garble(pack, 0.5),
    "trailer": lambda pack: garble(pack, 1.0),
    "cut": lambda pack: cut(pack, 0.6),
    "empty": lambda pack: cut(pack, 0.0),
    "zeros": lambda pack: replace(pack, pack.read_bytes()[:900] + bytes(900) + pack.read_bytes()[1800:]),
    "gone": lambda pack: pack.unlink(),
    "index header": lambda pack: garble(pack.with_suffix(".idx"), 0.0),
    "index fan-out": lambda pack: garble(pack.with_suffix(".idx"), 0.2),
    "index names": lambda pack: garble(pack.with_suffix(".idx"), 0.5),
    "index trailer": lambda pack: garble(pack.with_suffix(".idx"), 1.0),
    "index cut": lambda pack: cut(pack.with_suffix(".idx"), 0.5),
    "index empty": lambda pack: cut(pack.with_suffix(".idx"), 0.0),
    "index gone": lambda pack: pack.with_suffix(".idx").unlink(),
    "no index and damaged": lambda pack: (pack.with_suffix(".idx").unlink(), garble(pack, 0.4)),
    "no index and cut": lambda pack: (pack.with_suffix(".idx").unlink(), cut(pack, 0.7)),
}


@pytest.mark.parametrize("kind", PACKS)
def test_a_damaged_pack_gives_back_what_is_whole_in_it(packed: World, tmp_path: Path, kind: str) -> None:
    packed.reset()
    [pack] = pack_dir(packed.store).glob("*.pack")
    original = pack.read_bytes()
    PACKS[kind](pack)
    damaged = pack.read_bytes() if pack.exists() else None
    report = repaired(packed, tmp_path)
    if kind.startswith("index") or kind in ("trailer", "header", "count"):
        assert report.plan.lost == ()
    if kind.startswith("index"):
        assert pack.read_bytes() == original
        assert report.plan.steps[0].action == "reindex"
    elif damaged is not None:
        assert (Path(report.quarantine) / "objects/pack" / pack.name).read_bytes() == damaged


@pytest.mark.parametrize("kind", ["half", "cut", "gone", "index gone", "no index and damaged"])
def test_one_damaged_pack_of_many_is_healed_from_project_and_others(spread: World, tmp_path: Path, kind: str) -> None:
    spread.reset()
    pack = max(packs_of(spread.store), key=lambda path: path.stat().st_size)
    PACKS[kind](pack)
    report = repaired(spread, tmp_path)
    assert {loss.path for loss in report.plan.lost} <= {"big", "dir/deep/f", "", "dir/deep"}


@pytest.mark.parametrize("kind", ["half", "index gone", "no index and damaged"])
def test_packs_with_deltas_are_read_without_their_index(packed: World, tmp_path: Path, kind: str) -> None:
    packed.reset()
    git("--git-dir", packed.store, "repack", "-adfq", "--depth=20")
    [pack] = pack_dir(packed.store).glob("*.pack")
    PACKS[kind](pack)
    repaired(packed, tmp_path)


def test_a_damaged_copy_of_what_another_pack_has_costs_nothing(spread: World, tmp_path: Path) -> None:
    spread.reset()
    objects = objects_of(spread.store)
    old = set(pack_dir(spread.store).iterdir())
    rewritten = tmp_path / "copy.git"
    git("init", "--quiet", "--bare", rewritten)
    rewrite(rewritten, objects)
    for path in pack_dir(rewritten).iterdir():
        path.rename(pack_dir(spread.store) / path.name)
    [copy] = set(pack_dir(spread.store).glob("*.pack")) - old
    cut(copy, 0.5)
    assert repaired(spread, tmp_path / "room").plan.lost == ()


def test_a_multi_pack_index_over_lost_packs_is_set_aside(spread: World, tmp_path: Path) -> None:
    spread.reset()
    git("--git-dir", spread.store, "multi-pack-index", "write")
    git("--git-dir", spread.store, "commit-graph", "write", "--reachable")
    pack = max(packs_of(spread.store), key=lambda path: path.stat().st_size)
    for path in (pack, pack.with_suffix(".idx")):
        path.unlink()
    report = repaired(spread, tmp_path)
    assert "objects/pack/multi-pack-index" in {step.subject for step in report.plan.steps}
    assert not (pack_dir(spread.store) / "multi-pack-index").exists()


def test_a_damaged_loose_object_is_set_aside_and_found_again(packed: World, tmp_path: Path) -> None:
    packed.reset()
    [pack] = pack_dir(packed.store).glob("*.pack")
    moved = tmp_path / "moved.pack"
    pack.rename(moved)
    pack.with_suffix(".idx").unlink()
    with moved.open("rb") as stream:
        import subprocess

        subprocess.run(["git", "--git-dir", packed.store, "unpack-objects", "-q"], stdin=stream, check=True)
    loose = sorted(path for path in (packed.store / "objects").glob("??/*") if path.parent.name != "pack")
    cut_short = random.Random(3).sample(loose, 5)
    for path in cut_short:
        replace(path, path.read_bytes()[:-3])
    report = repaired(packed, tmp_path / "room")
    # A branch whose only backup is lost is set aside as well, and is no object.
    assert {step.subject for step in report.plan.steps if step.action == "set aside" and step.subject.startswith("objects/")} == {
        str(path.relative_to(packed.store)) for path in cut_short
    }


# --- refs ---


def _tag(world: World, backup_id: str) -> Path:
    return world.store / BACKUP_TAGS / backup_id


REFS: dict[str, Callable[[Path], object]] = {
    "gone": lambda ref: ref.unlink(),
    "empty": lambda ref: ref.write_bytes(b""),
    "zeros": lambda ref: ref.write_bytes(bytes(41)),
    "garbled": lambda ref: garble(ref, 0.5, 0x80),
    "of nothing": lambda ref: ref.write_bytes(b"0" * 39 + b"7\n"),
    "torn": lambda ref: cut(ref, 0.5),
    "a directory": lambda ref: (ref.unlink(), ref.mkdir()),
}


def _sampled(names: Iterable[str], kinds: Iterable[str], always: Container[str]) -> list[object]:
    """Every name with every kind; but for the first name and the kinds that are always tried only with --long."""
    first, *_ = names = list(names)
    pairs = [(name, kind) for name in names for kind in kinds]
    return [pytest.param(name, kind, marks=() if name == first or kind in always else pytest.mark.long) for name, kind in pairs]


@pytest.mark.parametrize(
    ("ref", "kind"),
    _sampled([BACKUP_TAGS + THIRD, BACKUP_TAGS + FIRST, "refs/heads/main", "refs/heads/module/dir"], REFS, ("a directory",)),
)
def test_a_damaged_ref_comes_back(spread: World, tmp_path: Path, ref: str, kind: str) -> None:
    spread.reset()
    before = (spread.store / ref).read_text()
    REFS[kind](spread.store / ref)

    def look() -> None:
        assert git("--git-dir", spread.store, "rev-parse", ref) == before

    assert repaired(spread, tmp_path, look).plan.lost == ()


def test_a_deleted_backup_comes_back_to_the_trash_only(spread: World, tmp_path: Path) -> None:
    spread.reset()
    (spread.store / "packed-refs").unlink()
    report = spread.engine().repair()
    assert [step.subject for step in report.plan.steps if step.action == "bring back"] == [
        "refs/cronos/trash/gone_20400101_120000"
    ]
    assert [backup.name for backup in spread.engine().trash()] == ["gone"]
    assert "gone" not in [backup.name for backup in spread.engine().backups()]


@pytest.mark.parametrize("log", ["kept", "gone"])
def test_all_refs_lost_come_back_from_log_and_tag_objects(spread: World, tmp_path: Path, log: str) -> None:
    spread.reset()
    for path in [path for path in (spread.store / "refs").rglob("*") if path.is_file()] + [spread.store / "packed-refs"]:
        path.unlink()
    if log == "gone":
        (spread.store / "cronos/operations.jsonl").unlink()
    report = spread.engine().repair()
    assert report.plan.lost == ()
    assert {backup.name for backup in spread.engine().trash()} == ({"gone"} if log == "kept" else set())
    spread.check(report, tmp_path)


@pytest.mark.parametrize("line", [b"garbage\n", b"garbage", b"^" + b"1" * 40 + b"\n"])
def test_packed_refs_with_broken_lines_are_written_anew(spread: World, tmp_path: Path, line: bytes) -> None:
    spread.reset()
    git("--git-dir", spread.store, "pack-refs", "--all")
    packed = spread.store / "packed-refs"
    lines = packed.read_bytes().splitlines(keepends=True)
    broken = b"".join([*lines[:3], line, *lines[4:]])
    replace(packed, broken)
    report = repaired(spread, tmp_path)
    assert report.plan.lost == ()
    assert (Path(report.quarantine) / "packed-refs").read_bytes() == broken
    git("--git-dir", spread.store, "show-ref", "--dereference")


def test_a_ref_whose_name_was_garbled_is_no_loss(spread: World, tmp_path: Path) -> None:
    spread.reset()
    git("--git-dir", spread.store, "pack-refs", "--all")
    refs = spread.store / "packed-refs"
    replace(refs, refs.read_bytes().replace(f"backup/{THIRD}".encode(), f"backup/{THIRD[:-1]}8".encode()))
    report = repaired(spread, tmp_path)
    assert report.plan.lost == ()
    assert f"{BACKUP_TAGS}{THIRD[:-1]}8" in {step.subject for step in report.plan.steps if step.action == "set aside"}


@pytest.mark.parametrize("also", ["objects/info", "cronos"])
def test_a_lost_directory_of_packs_is_planned_as_it_is_repaired(spread: World, also: str) -> None:
    spread.reset()
    shutil.rmtree(pack_dir(spread.store))
    if also == "objects/info":
        assert {"missing", "record"} <= {damage.code for damage in spread.engine().verify().damage}
    shutil.rmtree(spread.store / also)
    plan = spread.engine().plan_repair()
    report = spread.engine().repair()
    assert (plan.steps, plan.lost) == (report.plan.steps, report.plan.lost)
    assert report.remaining == ()


def test_a_tag_that_nothing_tells_of_is_left_alone_and_told(spread: World) -> None:
    spread.reset()
    log = spread.store / "cronos/operations.jsonl"
    log.write_bytes(b"".join(line for line in log.read_bytes().splitlines(keepends=True) if b'"mod_' not in line))
    (_tag(spread, "mod_20400101_120000")).unlink()
    (spread.store / "refs/heads/module/dir").unlink()
    plan = spread.engine().plan_repair()
    assert plan.steps == ()
    assert "mod_20400101_120000" in plan.notes[0]


def test_a_lost_tag_is_made_anew_from_its_snapshot(packed: World, tmp_path: Path) -> None:
    packed.reset()
    objects = objects_of(packed.store)
    old = packed.engine().resolve("second").backup
    rewrite(packed.store, {name: found for name, found in objects.items() if name.hex() != old.tag})
    report = packed.engine().repair()
    assert [(loss.backup, loss.kind) for loss in report.plan.lost] == [(SECOND, "tag")]
    new = packed.engine().resolve(SECOND).backup
    assert (new.sequence, new.commit, new.scope, new.files, new.size_bytes) == (
        *(old.sequence, old.commit, old.scope, old.files, old.size_bytes),
    )
    assert (new.message, new.created) == (old.message, old.created.replace(microsecond=0))
    assert (new.type, new.labels) == ("recovered", ("damaged",))
    packed.check(report, tmp_path)


def test_the_newest_version_of_a_tag_comes_back(spread: World) -> None:
    from cronos_git.model import AmendRequest

    spread.reset()
    engine = spread.engine()
    engine.amend(AmendRequest(backups=(FIRST,), add_labels=("new",)))
    newest = engine.resolve(FIRST).backup.tag
    _tag(spread, FIRST).unlink()
    report = spread.engine().repair()
    assert report.plan.lost == ()
    assert spread.engine().resolve(FIRST).backup.tag == newest


# --- the other files of a store ---

FILES: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: replace(path, b""),
    "zeros": lambda path: replace(path, bytes(path.stat().st_size)),
    "garbled": lambda path: garble(path, 0.1, 0x80),
}


@pytest.mark.parametrize(
    ("name", "kind"),
    _sampled(["cronos/format.json", "config", "HEAD", "info/attributes", "cronos/statcache"], FILES, ("zeros",)),
)
def test_a_damaged_file_of_the_store_is_put_back(spread: World, tmp_path: Path, name: str, kind: str) -> None:
    spread.reset()
    path = spread.store / name
    before = path.read_bytes()
    FILES[kind](path)
    report = repaired(spread, tmp_path)
    assert report.plan.lost == ()
    if name in ("HEAD", "config", "info/attributes"):
        assert path.read_bytes() == before
    elif name == "cronos/format.json":
        assert json.loads(path.read_bytes())["project_root"] == str(spread.project)


def test_what_the_user_configured_stays(spread: World) -> None:
    spread.reset()
    git("--git-dir", spread.store, "remote", "add", "away", "/somewhere")
    assert spread.engine().plan_repair().steps == ()


def test_a_store_of_a_newer_version_is_not_repaired(spread: World) -> None:
    from cronos_git.errors import StoreFormatError

    spread.reset()
    (spread.store / "cronos/format.json").write_text(json.dumps({"format": 2, "project_root": str(spread.project)}))
    with pytest.raises(StoreFormatError):
        spread.engine().repair()


# --- several at once ---


def test_any_mixture_of_damage_is_healed_or_told(spread: World, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for seed in range(200 if request.config.getoption("--long") else 3):
        spread.reset()
        chance = random.Random(seed)
        engine = spread.engine()
        if chance.random() < 0.3:
            engine.snapshot(SnapshotRequest(name="more"))
        if chance.random() < 0.3:
            spread.empty_project()
        files = by_age(
            path for path in spread.store.rglob("*") if path.is_file() and path.name not in ("lock", "operations.jsonl")
        )
        for path in chance.sample(files, chance.randint(1, 5)):
            if path.is_file() and path.stat().st_size:
                at, flip = chance.random(), 1 << chance.randrange(8)
                chance.choice([FILES["gone"], FILES["empty"], partial(garble, at=at, flip=flip)])(path)
        report = spread.engine().repair()
        spread.check(report, tmp_path / str(seed))
