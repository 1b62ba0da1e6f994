from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import trees
from benchmarks.many import multiply_backup
from benchmarks.measure import Command, Measurement, ToolFailedError, hermetic_environment, run_step, time_step
from benchmarks.peers import PEERS, Cp, Cronos, CronosPlain, Git, Peer, Restic, Rsync
from benchmarks.report import describe_machine, format_markdown
from benchmarks.rows import Sizes, make_rows, rotated
from benchmarks.stages import Stage
from cronos_git.disk.fingerprints import RACY_NS
from cronos_git.rules.record import parse_commit, parse_tag
from tests.support.git import assert_store_sound, git
from tests.support.trees import Link, Special, assert_same_tree, make_tree

ROOT = Path(__file__).resolve().parents[2]
TREE_ROWS = "first,unchanged,changed,restore,version,list"
TAG = """object {commit}
type commit
tag backup/nightly_20260401_120000
tagger t <t@t> 1775044800 +0000

nightly

Cronos-Id: nightly_20260401_120000
Cronos-Type: manual
Cronos-Name: nightly
Cronos-Scope: project
Cronos-Created: 2026-04-01T12:00:00.000000Z
Cronos-Sequence: 1
Cronos-Files: 1
Cronos-Bytes: 2
Cronos-Added: 1
Cronos-Changed: 0
Cronos-Removed: 0
"""


def benchmark(work: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT)} | ({"PATH": path} if path else {})
    command = [sys.executable, "-m", "benchmarks", "--work", str(work), "--runs", "1", *arguments]
    return subprocess.run(command, cwd=work, env=env, capture_output=True, text=True, check=False)


def command(tmp_path: Path, *argv: str) -> Command:
    return Command(argv=argv, cwd=tmp_path, env=hermetic_environment(tmp_path / "home"))


def test_git_alone_gets_a_line_for_every_row_it_takes_part_in(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = benchmark(
        tmp_path, "--tree", "synthetic:50", "--peers", "git,cp", "--large-mib", "1", "--many", "120", "--json", str(figures)
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(figures.read_text())["rows"]
    assert {key: sorted(tools) for key, tools in rows.items()} == {
        **{key: ["git"] for key in ("first", "unchanged", "changed", "large", "byte", "version", "list", "list-many")},
        "restore": ["cp", "git"],
        "in-place": ["cp", "git"],
        "list-many-json": [],
    }
    assert rows["byte"]["git"][0]["stored_bytes"] > trees.MIB // 2  # Git stores the file again
    assert "| List of 120 backups | git |" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


def test_cronos_is_measured_beside_git(tmp_path: Path) -> None:
    if not all(find_spec(f"cronos_git.{name}") for name in ("bootstrap", "engine")):
        pytest.skip("the command is not there yet")
    arguments = ("--peers", "git,cronos", "--large-mib", "40", "--many", "120")
    done = benchmark(tmp_path, "--tree", "synthetic:50", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| cronos |") == 11


def test_a_named_tree_is_only_read(tmp_path: Path) -> None:
    project = make_tree(
        tmp_path / "project", {"a.txt": b"a", ".git": {"HEAD": b"ref"}, "sub": {"b.txt": b"b", "link": Link("b.txt")}}
    )
    pristine = make_tree(tmp_path / "pristine", {})
    subprocess.run(["cp", "-a", f"{project}/.", pristine], check=True)
    work = make_tree(tmp_path / "work", {})
    done = benchmark(work, "--tree", str(project), "--peers", "git", "--only", TREE_ROWS)
    assert done.returncode == 0, done.stderr
    assert_same_tree(pristine, project)


def test_a_work_directory_inside_the_tree_is_not_copied_into_itself(tmp_path: Path) -> None:
    make_tree(tmp_path, {"a.txt": b"a", "bench-data": {"old.txt": b"old"}})
    done = benchmark(tmp_path, "--tree", ".", "--work", "bench-data", "--peers", "git", "--only", "first")
    assert done.returncode == 0, done.stderr
    assert "1 files" in done.stdout


def test_a_failing_tool_ends_the_run_with_its_words(tmp_path: Path) -> None:
    broken = make_tree(
        tmp_path / "bin", {"restic": "#!/bin/sh\n[ $1 = version ] && echo restic 1 && exit\necho no space >&2\nexit 7\n"}
    )
    (broken / "restic").chmod(0o755)
    done = benchmark(
        tmp_path, "--tree", "synthetic:5", "--peers", "restic,git", "--only", "first", path=f"{broken}:{os.environ['PATH']}"
    )
    assert done.returncode == 1
    assert "status 7" in done.stderr
    assert "no space" in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_unknown_rows_and_absent_tools_are_refused(tmp_path: Path) -> None:
    assert benchmark(tmp_path, "--only", "first,lunch").returncode == 2
    assert "not installed: borg" in benchmark(tmp_path, "--peers", "borg", path=str(tmp_path)).stderr


def test_a_restore_that_lost_a_file_is_not_timed(tmp_path: Path) -> None:
    class Forgetful(Git):
        def restore(self, target: Path) -> list[Command]:
            return [*super().restore(target), self.command("rm", "-r", str(target / "part0"))]

    trees.make_synthetic(tmp_path / "project", 20)
    with pytest.raises(ToolFailedError, match="not what was backed up"):
        Stage(tmp_path, tmp_path / "project").time_restore(Forgetful)


@pytest.mark.parametrize(
    ("kind", "notes"),
    [
        (Cronos, ["takes a restore point first and verifies"]),
        (CronosPlain, ["no restore point, no verification"]),
        (Git, ["leaves 2 with other times or modes"]),
        (Cp, ["writes every file again and deletes none; leaves 1 too many"]),
        (Rsync, ["reads files of another size or time only"]),
        (
            Restic,
            [
                "",
                "this version lacks `--overwrite` and `--delete`: it writes every file again, fails on links that exist, and "
                "deletes none; leaves 1 too many",
            ],
        ),
    ],
)
def test_a_damaged_tree_is_made_whole_in_every_round(tmp_path: Path, kind: type[Peer], notes: list[str]) -> None:
    if not kind.is_installed():
        pytest.skip(f"{kind.name} is not installed")
    for name in ("pristine", "project"):
        trees.make_synthetic(tmp_path / name, 300)
    stage = Stage(tmp_path, tmp_path / "project")
    stage.current(kind)
    for turn in (0, 1):
        trees.damage_one_percent(stage.tree, turn)
        damaged = trees.compare_trees(tmp_path / "pristine", stage.tree)
        assert [len(damaged.changed), len(damaged.missing), len(damaged.extra)] == [1, 1, 1]
        measured = stage.time_restore_in_place(kind, tmp_path / "pristine")
        assert measured.note in notes
        after = trees.compare_trees(tmp_path / "pristine", stage.tree)
        assert not (after.missing or after.changed or after.extra)


def test_a_restore_in_place_that_left_damage_is_not_timed(tmp_path: Path) -> None:
    class Forgetful(Git):
        def restore_in_place(self, pristine: Path) -> list[Command]:
            return [self.command("git", "--version")]

    for name in ("pristine", "project"):
        trees.make_synthetic(tmp_path / name, 300)
    stage = Stage(tmp_path, tmp_path / "project")
    stage.current(Forgetful)
    trees.damage_one_percent(stage.tree, 0)
    with pytest.raises(ToolFailedError, match="not what was backed up: 1 missing, 1 with other content, 1 too many"):
        stage.time_restore_in_place(Forgetful, tmp_path / "pristine")


@pytest.mark.parametrize("options", ["--delete --overwrite behavior", "--target"])
def test_restic_restores_differences_only_where_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str) -> None:
    fake = make_tree(tmp_path / "bin", {"restic": f"#!/bin/sh\necho '{options}'\n"}) / "restic"
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    (tmp_path / "project").mkdir()
    restic = Restic(tmp_path, tmp_path / "project")
    [restore] = restic.restore_in_place(tmp_path)
    able = "--delete" in options
    assert (restore.argv[-3:] == ("--overwrite", "if-changed", "--delete")) is able
    assert ("writes every file again" not in restic.remark()) is able


def test_a_multiplied_store_reads_as_ten_dozen_backups(tmp_path: Path) -> None:
    store = tmp_path / "store.git"
    git("init", "--quiet", "--bare", "-b", "main", store)
    worktree = make_tree(tmp_path / "tree", {"data": {"a": b"hi"}})
    git("--git-dir", store, "--work-tree", worktree, "add", "-A", cwd=worktree)
    git("--git-dir", store, "--work-tree", worktree, "commit", "-q", "-m", "nightly\n\nCronos-Id: nightly_20260401_120000")
    commit = git("--git-dir", store, "rev-parse", "main").strip()
    (tmp_path / "tag").write_text(TAG.format(commit=commit))
    tag = git("--git-dir", store, "hash-object", "-w", "-t", "tag", tmp_path / "tag").strip()
    git("--git-dir", store, "update-ref", "refs/tags/backup/nightly_20260401_120000", tag)

    multiply_backup(store, tmp_path, 120)

    listed = git(
        "--git-dir", store, "for-each-ref", "--format=%(objectname) %(*objectname) %(refname:lstrip=3)", "refs/tags/backup"
    )
    lines = [line.split() for line in listed.splitlines()]
    backups = [parse_tag(git("--git-dir", store, "cat-file", "tag", oid).encode(), oid) for oid, _, _ in lines]
    assert [backup.id for backup in backups] == [name for _, _, name in lines]
    assert [backup.sequence for backup in backups] == list(range(1, 121))
    assert [backup.parent for backup in backups] == [None, *(backup.id for backup in backups[:-1])]
    assert backups[0].created == datetime(2025, 1, 1, 0, 30, tzinfo=UTC)
    assert len({commit for _, commit, _ in lines}) == 120
    last = parse_commit(git("--git-dir", store, "cat-file", "commit", lines[-1][1]).encode())
    assert last.parents == ()
    assert last.message.endswith(f"Cronos-Id: {backups[-1].id}\n")
    assert_store_sound(store, tmp_path)


def test_one_percent_changes_every_hundredth_file_and_others_next_time(tmp_path: Path) -> None:
    trees.make_synthetic(tmp_path, 250)

    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*.txt")}

    changed = []
    for turn in (0, 1):
        before = contents()
        count = trees.change_one_percent(tmp_path, turn)
        changed.append({path for path, content in contents().items() if content != before[path]})
        assert count == len(changed[-1]) == 3
    assert not changed[0] & changed[1]


def test_damage_overwrites_deletes_and_adds_at_the_same_paths_each_turn(tmp_path: Path) -> None:
    for name in ("right", "first", "again", "second"):
        trees.make_synthetic(tmp_path / name, 1000)
    for name, turn in (("first", 0), ("again", 0), ("second", 1)):
        trees.damage_one_percent(tmp_path / name, turn)

    def damage(left: str, right: str) -> trees.Differences:
        return trees.compare_trees(tmp_path / left, tmp_path / right)

    first, second = damage("right", "first"), damage("right", "second")
    assert first == second
    assert [len(first.changed), len(first.missing), len(first.extra), len(first.touched)] == [8, 1, 1, 0]
    sizes = [[(tmp_path / name / path).stat().st_size for path in first.changed] for name in ("right", "first")]
    assert all(old != new for old, new in zip(*sizes, strict=True))
    assert {old < new for old, new in zip(*sizes, strict=True)} == {True, False}
    assert damage("first", "again").changed == ()
    assert set(damage("first", "second").changed) == {*first.changed, *first.extra}


def test_settling_leaves_nothing_younger_than_a_tool_distrusts(tmp_path: Path) -> None:
    path = tmp_path / "young"
    path.write_bytes(b"")
    trees.settle(tmp_path)
    assert time.time_ns() - path.stat().st_ctime_ns > RACY_NS


def test_one_byte_is_changed_at_another_place_each_turn(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    trees.make_large_file(path, 3 * trees.MIB + 5)
    before = path.read_bytes()
    places = []
    for turn in (0, 1, 2):
        trees.change_one_byte(path, turn)
        after = path.read_bytes()
        places.append([at for at in range(len(after)) if after[at] != before[at]])
        before = after
    assert [len(at) for at in places] == [1, 1, 1]
    assert len({at[0] for at in places}) == 3


def test_synthetic_trees_of_one_size_are_the_same(tmp_path: Path) -> None:
    for name in ("one", "two"):
        trees.make_synthetic(tmp_path / name, 60)
    left, right = ({p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.txt")} for n in ("one", "two"))
    assert left == right
    assert len(left) == 60


def test_a_copy_leaves_out_what_tools_treat_by_rule(tmp_path: Path) -> None:
    source = make_tree(
        tmp_path / "source",
        {
            "kept": {"a.txt": b"a", "link": Link("nowhere")},
            "empty": {},
            "fifo": Special("fifo"),
            "module.pyc": b"",
            "sub": {".git": {"HEAD": b""}, "node_modules": {"x": b""}, "cache": {"CACHEDIR.TAG": b"", "x": b""}, "b.txt": b"b"},
        },
    )
    trees.copy_tree(source, tmp_path / "copy", left_out=tmp_path / "source" / "work")
    copied = {os.fspath(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*")}
    assert copied == {"kept", "kept/a.txt", "kept/link", "empty", "sub", "sub/b.txt"}


@pytest.mark.parametrize("edit", ["rename", "grow", "relink", "remove"])
def test_a_census_tells_trees_apart(tmp_path: Path, edit: str) -> None:
    for name in ("left", "right"):
        make_tree(tmp_path / name, {"a": b"1", "sub": {"b": b"22", "link": Link("b")}})
    assert trees.take_census(tmp_path / "left") == trees.take_census(tmp_path / "right")
    right = tmp_path / "right" / "sub"
    if edit == "rename":
        (right / "b").rename(right / "c")
    elif edit == "grow":
        (right / "b").write_bytes(b"333")
    else:
        (right / "link").unlink()
        if edit == "relink":
            (right / "link").symlink_to("a")
    assert trees.take_census(tmp_path / "left") != trees.take_census(tmp_path / "right")


def test_differences_name_every_kind_of_edit(tmp_path: Path) -> None:
    below = {"edited": b"22", "grown": b"3", "link": Link("same"), "kind": b"4", "gone": b"5", "old": b"6"}
    right, left = (make_tree(tmp_path / name, {"same": b"1", "sub": below}) for name in ("right", "left"))
    for path in right.rglob("*"):
        os.utime(path, ns=(5, 5), follow_symlinks=False)
    (left / "sub/edited").write_bytes(b"23")
    (left / "sub/grown").write_bytes(b"33")
    for name, target in (("link", "gone"), ("kind", "old")):
        (left / "sub" / name).unlink()
        (left / "sub" / name).symlink_to(target)
    (left / "sub/gone").rename(left / "sub/new")
    for path in left.rglob("*"):
        os.utime(path, ns=(5, 5), follow_symlinks=False)
    (left / "sub/old").chmod(0o600)
    os.utime(left / "same", ns=(5, 6))

    found = trees.compare_trees(right, left)

    assert found == trees.Differences(
        missing=("sub/gone",),
        changed=("sub/edited", "sub/grown", "sub/kind", "sub/link"),
        touched=("same", "sub/old"),
        extra=("sub/new",),
    )
    assert found.told() == "1 missing, 4 with other content, 2 with other times or modes, 1 too many"
    assert trees.compare_trees(right, right).told() == ""


def test_disk_space_counts_a_hard_linked_file_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(os.urandom(100_000))
    alone = trees.disk_bytes(tmp_path)
    os.link(tmp_path / "one", tmp_path / "two")
    assert 100_000 <= alone == trees.disk_bytes(tmp_path)
    assert trees.disk_bytes(tmp_path / "absent") == 0


def test_peak_memory_covers_the_childs_children(tmp_path: Path) -> None:
    hungry = f"exec {sys.executable} -c 'bytearray(90_000_000)'"
    measured = time_step([command(tmp_path, "sh", "-c", f"true; ( {hungry} ); true")])
    assert measured.peak_bytes > 90_000_000


def test_a_list_that_is_cut_short_is_a_failure(tmp_path: Path) -> None:
    step = [command(tmp_path, "printf", "a\nb\n")]
    assert run_step(step) == b"a\nb\n"
    time_step(step, least_lines=2)
    with pytest.raises(ToolFailedError, match="wrote 2 lines"):
        time_step(step, least_lines=3)


def test_a_tool_that_cannot_be_started_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ToolFailedError, match="cannot be started"):
        run_step([command(tmp_path, "no-such-tool")])


def test_every_tool_begins_a_round_once() -> None:
    assert [rotated(PEERS, turn)[0] for turn in range(len(PEERS))] == list(PEERS)
    assert all(set(rotated(PEERS, turn)) == set(PEERS) for turn in range(9))
    assert rotated([], 3) == []


def test_the_table_shows_medians_and_ratios(tmp_path: Path) -> None:
    row = make_rows(Sizes(large_bytes=0, many=0))[0]
    ours = [Measurement(seconds=s, peak_bytes=2**40, stored_bytes=trees.MIB) for s in (1.0, 9.0, 2.0)]
    theirs = [Measurement(seconds=4.0, peak_bytes=1, stored_bytes=2 * trees.MIB, note="reads twice")] * 2
    machine = describe_machine(tmp_path, "tree", {"restic": "1.0"})
    table = format_markdown(machine, [(row, {"cronos": ours, "restic": theirs})]).splitlines()
    assert "| First backup | cronos | 2.000 | 1.000–9.000 | 0.50 |  | 1048576 | 1.000 | 0.50 |  |" in table
    assert any(line.startswith("| First backup | restic | 4.000 | 4.000–4.000 | 1.00 |  | < ") for line in table)
    assert table.count("First backup, restic: reads twice.") == 1
