"""Merges on real files and real Git: every conflict, every way to solve it, and what comes of merges without any."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cronos_git.disk import contents
from cronos_git.engine import Cronos
from cronos_git.errors import MergeConflictError, RefusedError
from cronos_git.model import Deletions, OnConflict
from tests.support.engine import LATER, make_engine
from tests.support.git import assert_store_sound
from tests.support.merging import BASE, THEIRS, Tree, become, merging, shown, three_states
from tests.support.restoring import both_ways, leftovers, points, save, stamp, state
from tests.support.trees import File, Link, make_tree, read_tree

TEXT = b"".join(b"%d\n" % number for number in range(1, 21))
LONG = b"".join(b"line %d of a text long enough to be known again\n" % number for number in range(30))


def edited(line: int, word: bytes, text: bytes = TEXT) -> bytes:
    lines = text.split(b"\n")
    lines[line] = word
    return b"\n".join(lines)


def marked(ours: bytes, base: bytes, theirs: bytes, end: bytes = b"\n") -> bytes:
    marks = b"<<<<<<< current", b"||||||| " + BASE.encode(), b"=======", b">>>>>>> backup " + THEIRS.encode()
    return marks[0] + end + ours + marks[1] + end + base + marks[2] + end + theirs + marks[3] + end


@pytest.fixture
def engine(tmp_path: Path) -> Cronos:
    return make_engine(tmp_path, exclude=["*.log"])


# --- conflicts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """Two sides that contradict each other, and what each way to solve that leaves; `@` in a path is the id of the backup.

    Attributes:
        sides: Kinds in base, ours and theirs at the path of the conflict.
        markers: None for the same as *both*.
    """

    kind: str
    path: str
    sides: tuple[str | None, str | None, str | None]
    base: Tree
    ours: Tree
    theirs: Tree
    kept: Mapping[str, Any]
    taken: Mapping[str, Any]
    both: Mapping[str, Any]
    markers: Mapping[str, Any] | None = None
    deletions: Deletions = "keep"
    hunks: int = 0


FILES = ("file", "file", "file")
NEW = (None, "file", "file")
SCENES = {
    "content": Scene(
        *("content", "d/f", FILES),
        base={"d/f": TEXT},
        ours={"d/f": edited(4, b"ours")},
        theirs={"d/f": edited(4, b"theirs")},
        kept={"d/f": edited(4, b"ours")},
        taken={"d/f": edited(4, b"theirs")},
        both={"d/f": edited(4, b"ours"), "d/f.@": edited(4, b"theirs")},
        markers={"d/f": TEXT.replace(b"\n5\n", b"\n" + marked(b"ours\n", b"5\n", b"theirs\n"))},
        hunks=1,
    ),
    "two hunks": Scene(
        *("content", "f", FILES),
        base={"f": TEXT},
        ours={"f": edited(2, b"a", edited(15, b"b"))},
        theirs={"f": edited(2, b"A", edited(15, b"B"))},
        kept={"f": edited(2, b"a", edited(15, b"b"))},
        taken={"f": edited(2, b"A", edited(15, b"B"))},
        both={"f": edited(2, b"a", edited(15, b"b")), "f.@": edited(2, b"A", edited(15, b"B"))},
        markers={
            "f": TEXT.replace(b"\n3\n", b"\n" + marked(b"a\n", b"3\n", b"A\n")).replace(
                b"\n16\n", b"\n" + marked(b"b\n", b"16\n", b"B\n")
            )
        },
        hunks=2,
    ),
    "add/add": Scene(
        *("add/add", "f", NEW),
        base={},
        ours={"f": b"ours\n"},
        theirs={"f": b"theirs\n"},
        kept={"f": b"ours\n"},
        taken={"f": b"theirs\n"},
        both={"f": b"ours\n", "f.@": b"theirs\n"},
        markers={"f": marked(b"ours\n", b"", b"theirs\n")},
        hunks=1,
    ),
    "deleted here": Scene(
        *("delete/modify", "f", ("file", None, "file")),
        base={"f": b"base"},
        ours={},
        theirs={"f": b"theirs"},
        kept={},
        taken={"f": b"theirs"},
        both={"f.@": b"theirs"},
        deletions="apply",
    ),
    "deleted there": Scene(
        *("delete/modify", "f", ("file", "file", None)),
        base={"f": b"base"},
        ours={"f": b"ours"},
        theirs={},
        kept={"f": b"ours"},
        taken={},
        both={"f": b"ours"},
        deletions="apply",
    ),
    "binary": Scene(
        *("binary", "f", FILES),
        base={"f": b"\0base"},
        ours={"f": b"\0ours"},
        theirs={"f": b"\0theirs"},
        kept={"f": b"\0ours"},
        taken={"f": b"\0theirs"},
        both={"f": b"\0ours", "f.@": b"\0theirs"},
    ),
    "mode": Scene(
        *("mode", "f", FILES),
        base={"f": b"same"},
        ours={"f": File(b"same", mode=0o600)},
        theirs={"f": File(b"same", mode=0o755)},
        kept={"f": (b"same", 0o600)},
        taken={"f": (b"same", 0o755)},
        both={"f": (b"same", 0o600), "f.@": (b"same", 0o755)},
    ),
    "symlink": Scene(
        *("symlink", "l", ("symlink", "symlink", "symlink")),
        base={"l": Link("base")},
        ours={"l": Link("ours")},
        theirs={"l": Link("theirs")},
        kept={"l": "-> ours"},
        taken={"l": "-> theirs"},
        both={"l": "-> ours", "l.@": "-> theirs"},
    ),
    "type": Scene(
        *("type", "f", ("file", "file", "symlink")),
        base={"f": b"base"},
        ours={"f": b"ours"},
        theirs={"f": Link("theirs")},
        kept={"f": b"ours"},
        taken={"f": "-> theirs"},
        both={"f": b"ours", "f.@": "-> theirs"},
    ),
    "directory here": Scene(
        *("directory/file", "x", (None, "directory", "file")),
        base={},
        ours={"x/in": b"ours"},
        theirs={"x": b"theirs"},
        kept={"x/in": b"ours"},
        taken={"x": b"theirs"},
        both={"x/in": b"ours", "x.@": b"theirs"},
    ),
    "directory there": Scene(
        *("directory/file", "x", (None, "file", "directory")),
        base={},
        ours={"x": b"ours"},
        theirs={"x/in/deep": b"theirs", "x/too": b"2"},
        kept={"x": b"ours"},
        taken={"x/in/deep": b"theirs", "x/too": b"2"},
        both={"x": b"ours", "x.@/in/deep": b"theirs", "x.@/too": b"2"},
    ),
    "rename/rename": Scene(
        *("rename/rename", "old", FILES),
        base={"old": LONG},
        ours={"here": LONG},
        theirs={"there": LONG},
        kept={"here": LONG},
        taken={"there": LONG},
        both={"here": LONG, "there": LONG},
    ),
    "attribute": Scene(
        *("attribute", "f", FILES),
        base={"f": b"same"},
        ours={"f": File(b"same", xattrs=(("user.who", b"ours"),))},
        theirs={"f": File(b"same", xattrs=(("user.who", b"theirs"),))},
        kept={"f": (b"same", {"user.who": b"ours"})},
        taken={"f": (b"same", {"user.who": b"theirs"})},
        both={"f": (b"same", {"user.who": b"ours"}), "f.@": (b"same", {"user.who": b"theirs"})},
    ),
}
scenes = pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)


def set_up(engine: Cronos, scene: Scene) -> None:
    """Beside the conflict, something that merges."""
    rest = {"clean": b"then", "same": b"same"}
    three_states(engine, {**rest, **scene.base}, {**rest, "clean": b"theirs", **scene.theirs}, {**rest, **scene.ours})


@scenes
def test_a_conflict_is_told_and_changes_nothing(engine: Cronos, scene: Scene) -> None:
    set_up(engine, scene)
    before = state(engine.project, engine.store_path / "refs", engine.store_path / "objects")
    plan = engine.plan_restore(merging(deletions=scene.deletions))
    (conflict,) = plan.conflicts
    versions = conflict.base, conflict.ours, conflict.theirs
    assert (conflict.path, conflict.kind) == (scene.path, scene.kind)
    assert tuple(version and version.kind for version in versions) == scene.sides
    assert len(conflict.hunks) == scene.hunks
    assert (plan.is_blocked, plan.changes, plan.files) == (True, (), 0)
    for is_planned in (False, True):
        with pytest.raises(MergeConflictError) as caught:
            engine.apply_restore(plan) if is_planned else engine.restore(merging(deletions=scene.deletions))
        assert caught.value.exit_status == 4
        assert caught.value.context["base"] == plan.base
        assert caught.value.conflicts == plan.conflicts
    assert state(engine.project) == {path: node for path, node in before.items() if path.startswith(str(engine.project))}
    assert without_directories(state(engine.store_path / "refs", engine.store_path / "objects")) == without_directories(
        {path: node for path, node in before.items() if not path.startswith(str(engine.project))}
    )
    assert points(engine) == leftovers(engine) == []
    assert engine.operations()[0].result == "failed"


def without_directories(found: dict[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    """The files alone: temporary ones came and went in the directories."""
    return {path: node for path, node in found.items() if node[-1] is not None}


@pytest.mark.parametrize("how", ["ours", "theirs", "markers", "both"])
@scenes
def test_a_conflict_is_solved_as_was_asked(engine: Cronos, tmp_path: Path, scene: Scene, how: OnConflict) -> None:
    set_up(engine, scene)
    before = read_tree(engine.project)
    solved = {"ours": scene.kept, "theirs": scene.taken, "both": scene.both, "markers": scene.markers or scene.both}[how]
    report = both_ways(engine, merging(deletions=scene.deletions, on_conflict=how))
    expected = {path.replace("@", THEIRS): node for path, node in solved.items()}
    assert shown(engine.project) == {"clean": b"theirs", "same": b"same", **expected}
    (conflict,) = report.plan.conflicts
    assert (conflict.path, conflict.kind) == (scene.path, scene.kind)
    assert report.problems == ()
    assert points(engine) == [report.restore_point]
    again = engine.plan_restore(merging(deletions=scene.deletions, on_conflict="ours" if how == "both" else how, base=None))
    assert (again.changes, again.conflicts) == ((), ())
    if how == "both":
        assert engine.plan_restore(merging(deletions=scene.deletions, on_conflict=how)).changes == ()
    engine.undo()
    assert read_tree(engine.project) == before
    assert leftovers(engine) == []


def test_a_conflict_says_where_each_side_has_a_file_that_moved(engine: Cronos) -> None:
    three_states(
        engine, {"old": LONG, "x": LONG[::-1]}, {"there": LONG, "x": b"T" + LONG[::-1]}, {"here": LONG, "y": b"O" + LONG[::-1]}
    )
    told = {found.path: (found.kind, found.ours_path, found.theirs_path) for found in engine.plan_restore(merging()).conflicts}
    assert told == {"old": ("rename/rename", "here", "there"), "y": ("content", "", "x")}


@pytest.mark.parametrize("paths", [(), ("d/f",), ("d/f", "e")])
@pytest.mark.parametrize("is_excluded", [False, True])
def test_an_undo_takes_back_what_was_written_beside(tmp_path: Path, paths: tuple[str, ...], is_excluded: bool) -> None:
    engine = make_engine(tmp_path, exclude=[f"*.{THEIRS}"] if is_excluded else [])
    three_states(
        engine, {"e": b"0"}, {"d/f": b"theirs", "e/in": b"theirs"}, {"d/f": b"ours", "e": b"ours", f"d/x.{THEIRS}": b"mine"}
    )
    before = read_tree(engine.project)
    engine.restore(merging(on_conflict="both", paths=paths))
    assert (engine.project / f"d/f.{THEIRS}").read_bytes() == b"theirs"
    after = read_tree(engine.project)
    (engine.project / "later").write_bytes(b"later")
    engine.undo()
    assert (engine.project / "later").exists() == bool(paths)
    (engine.project / "later").unlink(missing_ok=True)
    assert without_times(read_tree(engine.project)) == without_times(before)
    engine.undo()
    (engine.project / "later").unlink(missing_ok=True)
    assert without_times(read_tree(engine.project)) == without_times(after)


def without_times(tree: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return {path: (*node[:4], *node[5:]) for path, node in tree.items()}


def test_an_undo_leaves_alone_what_the_merge_did_not_bring(tmp_path: Path) -> None:
    three_states(make_engine(tmp_path), {"gone": b"1", "f": b"1"}, {"gone": b"1", "f": b"2"}, {"f": b"1"})
    engine = make_engine(tmp_path, exclude=["gone"])
    engine.restore(merging(deletions="apply"))
    (engine.project / "gone").write_bytes(b"mine, and excluded")
    engine.undo()
    assert shown(engine.project) == {"f": b"1", "gone": b"mine, and excluded"}


def test_the_version_beside_never_lies_over_anything(engine: Cronos) -> None:
    three_states(engine, {"f.log.txt": b"\0", "f": b"\0"}, {"f": b"\0theirs"}, {"f": b"\0ours", f"f.{THEIRS}": b"mine"})
    both_ways(engine, merging(on_conflict="both"))
    assert (engine.project / f"f.{THEIRS}").read_bytes() == b"mine"
    assert (engine.project / f"f.{THEIRS}.2").read_bytes() == b"\0theirs"


@pytest.mark.parametrize("takes_point", [True, False])
def test_the_version_beside_spares_what_the_rules_exclude(tmp_path: Path, takes_point: bool) -> None:
    engine = make_engine(tmp_path, exclude=[f"*.{THEIRS}"])
    three_states(engine, {"f": b"\0"}, {"f": b"\0theirs"}, {"f": b"\0ours", f"f.{THEIRS}": b"mine"})
    mine = stamp(engine.project / f"f.{THEIRS}")
    both_ways(engine, merging(on_conflict="both", restore_point=takes_point))
    assert stamp(engine.project / f"f.{THEIRS}") == mine
    assert (engine.project / f"f.{THEIRS}.2").read_bytes() == b"\0theirs"


# --- times ------------------------------------------------------------------------------------------------------------

NOW_NS = int(LATER.timestamp()) * 1_000_000_000


@pytest.mark.parametrize("how", ["abort", "ours", "theirs", "markers", "both"])
def test_a_file_whose_content_becomes_another_one_has_another_time(engine: Cronos, how: OnConflict) -> None:
    """Else `make` and Python would go on with what they built of the old content."""
    early, late = 1_000_000_000, 9_000_000_000
    clash = {} if how == "abort" else {"clash": File(b"theirs\n", mtime_ns=early)}
    theirs: Tree = {"lines": File(edited(2, b"theirs"), mtime_ns=early), "taken": File(b"2", mtime_ns=early), **clash}
    mine = {} if how == "abort" else {"clash": File(b"ours\n", mtime_ns=late)}
    ours: Tree = {"lines": File(edited(17, b"ours"), mtime_ns=late), "taken": File(b"1", mtime_ns=late), **mine}
    three_states(engine, {"lines": File(TEXT, mtime_ns=1), "taken": File(b"1", mtime_ns=1)}, theirs, ours)
    both_ways(engine, merging(on_conflict=how))
    times = {path.name: path.stat().st_mtime_ns for path in engine.project.iterdir()}
    expected = {"abort": {}, "markers": {"clash": NOW_NS}, "theirs": {"clash": early}}.get(how, {"clash": late})
    if how == "both":
        expected = {**expected, f"clash.{THEIRS}": early}
    assert times == {"lines": NOW_NS, "taken": early, **expected}


# --- clean merges -----------------------------------------------------------------------------------------------------

THEN: Tree = {"lines": TEXT, "moved/old": LONG, "equal": b"1", "gone here": b"g", "gone there": b"t", "empty": {}, "l": Link("a")}
BACKUP: Tree = {
    "lines": edited(2, b"theirs"),
    "moved/old": edited(3, b"theirs", LONG),
    "equal": b"2",
    "gone here": b"g",
    "new there": b"n",
    "empty": {},
    "l": Link("a"),
    "f/deep/x": b"x",
}
NOW: Tree = {
    "lines": edited(17, b"ours"),
    "moved/new": edited(25, b"ours", LONG),
    "equal": b"2",
    "gone there": b"t",
    "new here": b"h",
    "l": Link("a"),
    "a.log": b"log",
}
MERGED = {
    "lines": edited(2, b"theirs", edited(17, b"ours")),
    "moved/new": edited(3, b"theirs", edited(25, b"ours", LONG)),
    "equal": b"2",
    "new here": b"h",
    "new there": b"n",
    "f/deep/x": b"x",
    "l": "-> a",
    "a.log": b"log",
}
BROUGHT_BACK = {"gone here": b"g", "gone there": b"t", "empty": None}


@pytest.mark.parametrize("takes_point", [True, False])
@pytest.mark.parametrize("deletions", ["keep", "apply"])
def test_a_merge_keeps_what_both_sides_did(engine: Cronos, deletions: Deletions, takes_point: bool) -> None:
    three_states(engine, THEN, BACKUP, NOW)
    before = read_tree(engine.project)
    request = merging(deletions=deletions, restore_point=takes_point)
    plan = engine.plan_restore(request)
    report = engine.restore(request)
    assert report.plan == plan
    assert (plan.conflicts, plan.merged, plan.base) == ((), 2, BASE)
    assert shown(engine.project) == {**MERGED, **(BROUGHT_BACK if deletions == "keep" else {})}
    assert report.verified == report.files == plan.files
    assert engine.plan_restore(request).changes == ()
    if takes_point:
        engine.undo()
        assert read_tree(engine.project) == before
    assert leftovers(engine) == []


@pytest.mark.parametrize("takes_point", [True, False])
def test_an_edit_that_no_backup_has_follows_the_rename_of_the_backup(engine: Cronos, takes_point: bool) -> None:
    three_states(engine, {"old": LONG}, {"new/name": LONG}, {"old": edited(2, b"only here", LONG)})
    before = read_tree(engine.project)
    both_ways(engine, merging(restore_point=takes_point))
    assert shown(engine.project) == {"new/name": edited(2, b"only here", LONG)}
    if takes_point:
        engine.undo()
        assert read_tree(engine.project) == before


def test_a_plan_for_another_state_is_refused(engine: Cronos) -> None:
    three_states(engine, THEN, BACKUP, NOW)
    plan = engine.plan_restore(merging())
    (engine.project / "lines").write_bytes(edited(16, b"later"))
    before = read_tree(engine.project)
    with pytest.raises(RefusedError, match="changed since"):
        engine.apply_restore(plan)
    assert read_tree(engine.project) == before
    assert points(engine) == []


# --- bytes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [TEXT.replace(b"\n", b"\r\n"), TEXT.rstrip(b"\n"), TEXT.replace(b"9", b"caf\xe9 \xff"), b"\xef\xbb\xbf" + TEXT],
    ids=["CRLF", "no newline at the end", "latin-1", "BOM"],
)
def test_every_byte_of_a_text_survives(engine: Cronos, text: bytes) -> None:
    end = b"\r" if b"\r" in text else b""
    three_states(engine, {"f": text}, {"f": edited(1, b"th\xe9irs" + end, text)}, {"f": edited(15, b"o\xfcrs" + end, text)})
    both_ways(engine, merging())
    assert (engine.project / "f").read_bytes() == edited(1, b"th\xe9irs" + end, edited(15, b"o\xfcrs" + end, text))


def test_utf_16_is_binary(engine: Cronos) -> None:
    def text(words: str) -> bytes:
        return words.encode("utf-16")

    three_states(engine, {"f": text("a\nb\nc\n")}, {"f": text("A\nb\nc\n")}, {"f": text("a\nb\nC\n")})
    assert [conflict.kind for conflict in engine.plan_restore(merging()).conflicts] == ["binary"]


def test_markers_end_as_the_lines_around_them(engine: Cronos) -> None:
    three_states(engine, {"f": b"1\r\n2\r\n"}, {"f": b"1\r\ntheirs\r\n"}, {"f": b"1\r\nours\r\n"})
    both_ways(engine, merging(on_conflict="markers"))
    assert (engine.project / "f").read_bytes() == b"1\r\n" + marked(b"ours\r\n", b"2\r\n", b"theirs\r\n", b"\r\n")


NAMES = [".gitattributes", ".gitmodules", ".GIT", "git~1", ".cronos%x", os.fsdecode(b"caf\xe9"), "new\nline", "-L"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_git_would_mind_merge_as_others(engine: Cronos, name: str) -> None:
    path = f"d/{name}"
    text = b"* -text merge=ours\n" + TEXT
    three_states(engine, {path: text}, {path: edited(4, b"theirs", text)}, {path: edited(16, b"ours", text)})
    both_ways(engine, merging())
    assert (engine.project / path).read_bytes() == edited(4, b"theirs", edited(16, b"ours", text))
    assert_store_sound(engine.store_path, engine.project.parent)


def large(side: int = 0) -> bytes:
    content = bytearray(bytes(range(256)) * 512)
    content[side * 1000 : side * 1000 + 4] = bytes([side] * 4)
    return bytes(content)


@pytest.mark.parametrize("how", ["abort", "ours", "theirs", "both", "markers"])
def test_a_chunked_file_merges_as_one_unit(tmp_path: Path, how: OnConflict) -> None:
    engine = make_engine(tmp_path, chunk_threshold=64 << 10)
    three_states(
        engine,
        {"here": large(), "there": large(), "twice": large()},
        {"here": large(), "there": large(1), "twice": large(2)},
        {"here": large(3), "there": large(), "twice": large(4)},
    )
    plan = engine.plan_restore(merging(on_conflict=how))
    assert [(conflict.path, conflict.kind) for conflict in plan.conflicts] == [("twice", "binary")]
    if how == "abort":
        return
    engine.apply_restore(plan)
    beside = {f"twice.{THEIRS}": large(2)} if how in ("both", "markers") else {}
    twice = large(2 if how == "theirs" else 4)
    assert shown(engine.project) == {"here": large(3), "there": large(1), "twice": twice, **beside}


# --- scope and base ---------------------------------------------------------------------------------------------------


def test_only_the_paths_that_were_asked_for_merge(engine: Cronos) -> None:
    three_states(engine, {"a/f": TEXT, "b": b"1"}, {"a/f": edited(2, b"x"), "b": b"2"}, {"a/f": edited(9, b"y"), "b": b"1"})
    both_ways(engine, merging(paths=("a",)))
    assert shown(engine.project) == {"a/f": edited(2, b"x", edited(9, b"y")), "b": b"1"}


def test_another_directory_without_a_common_base_conflicts_only_where_it_differs(engine: Cronos, tmp_path: Path) -> None:
    make_tree(engine.project, {"same": b"s", "other": b"1\n", "new": b"n"})
    save(engine, "theirs")
    other = make_tree(tmp_path / "other", {"same": b"s", "other": b"2\n", "extra": b"e"})
    plan = engine.plan_restore(merging(base=None, target=str(other)))
    assert [(conflict.path, conflict.kind) for conflict in plan.conflicts] == [("other", "add/add")]
    assert plan.base is None
    both_ways(engine, merging(base=None, target=str(other), on_conflict="theirs"))
    assert shown(other) == {"same": b"s", "other": b"1\n", "new": b"n", "extra": b"e"}


def test_a_backup_of_a_module_has_the_last_one_of_that_module_as_its_base(engine: Cronos) -> None:
    become(engine.project, {"mod/f": TEXT, "rest": b"1"})
    save(engine, "one", modules=("mod",))
    (engine.project / "mod/f").write_bytes(edited(2, b"bad"))
    second = save(engine, "two", modules=("mod",))
    save(engine, "whole")
    become(engine.project, {"mod/f": edited(2, b"bad", edited(12, b"good")), "rest": b"2"})
    report = both_ways(engine, merging(backup="one", base=None))
    assert report.plan.base == second.id
    assert shown(engine.project) == {"mod/f": edited(12, b"good"), "rest": b"2"}
    assert engine.plan_restore(merging(backup="whole", base=None)).conflicts == ()


def test_an_older_backup_takes_back_what_was_saved_since_and_keeps_later_edits(engine: Cronos) -> None:
    three_states(engine, {"f": TEXT}, {"f": edited(2, b"bad")}, {"f": edited(2, b"bad", edited(12, b"good"))})
    report = both_ways(engine, merging(backup="base", base=None))
    assert report.plan.base == THEIRS
    assert (engine.project / "f").read_bytes() == edited(12, b"good")


@pytest.mark.parametrize("is_deleted", [False, True])
def test_after_an_older_one_was_restored_a_newer_one_merges_from_there(engine: Cronos, is_deleted: bool) -> None:
    three_states(engine, {"f": TEXT}, {"f": edited(2, b"newer")}, {})
    engine.restore(merging(backup="base", strategy="replace", base=None))
    (engine.project / "f").write_bytes(edited(12, b"edit"))
    if is_deleted:
        engine.delete([BASE])
    report = both_ways(engine, merging(base=None))
    assert report.plan.base == BASE
    assert (engine.project / "f").read_bytes() == edited(2, b"newer", edited(12, b"edit"))


# --- cost -------------------------------------------------------------------------------------------------------------


def test_only_what_both_sides_changed_is_read(engine: Cronos, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = {f"d{number % 40}/f{number}": b"%d" % number for number in range(2000)}
    mine = {f"d{number}/f{number}": b"mine" for number in range(5)}
    theirs = {f"d{number}/f{number}": b"theirs" for number in range(5, 9)}
    three_states(engine, {**rest, "both": TEXT}, {**rest, **theirs, "both": edited(2, b"t")}, {})
    engine.restore(merging(backup="base", strategy="replace", base=None))
    make_tree(engine.project, {**mine, "both": edited(12, b"o")})
    read: list[str] = []
    real = contents.read_now

    def noted(root: str, path: str) -> bytes:
        read.append(path)
        return real(root, path)

    monkeypatch.setattr(contents, "read_now", noted)
    plan = engine.plan_restore(merging(base=None))
    assert [change.path for change in plan.changes if change.action == "update"] == ["both", *theirs]
    assert set(read) == {"both"}
