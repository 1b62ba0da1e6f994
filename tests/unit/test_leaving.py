"""`docs/how-to/restore-without-cronos.sh` gives what `cronos restore` gives, with git and a shell alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cronos_git.engine import Cronos
from cronos_git.git.trees import MODE_DIRECTORY, MODE_FILE, MODE_SYMLINK
from cronos_git.model import Backup, RestoreRequest
from cronos_git.rules.attributes import AttributeTable, format_attributes
from cronos_git.rules.names import ATTRIBUTES_NAME
from tests.support.engine import make_engine
from tests.support.git import git
from tests.support.restoring import NOBODY, open_to_all, save
from tests.support.snapshots import SnapshotStore, attributes_of
from tests.support.trees import File, Link, Special, assert_same_tree, make_tree, read_tree

SCRIPT = Path(__file__).parents[2] / "docs/how-to/restore-without-cronos.sh"
IS_ROOT = os.geteuid() == 0
SHELLS = [shell for shell in (["dash"], ["bash", "--posix"], ["busybox", "sh"], ["sh"]) if shutil.which(shell[0])]
HOSTILE: dict[str, Any] = {
    "plain": "x\n",
    "exec": File(b"#!/bin/sh\n", mode=0o4755),
    "sgid": File(b"", mode=0o2710),
    "before 1970": File(b"1", mtime_ns=-1_500_000_001),
    "new\nline\n": "a",
    "-rf": "dash",
    "--help": {"-x": "y", "--": "z"},
    " lead and trail ": "z",
    'it\'s "quoted"': {"'": "q", '"': "q", "''\\''": "q"},
    "back\\slash": {"a\\n": "b", "\\": "c"},
    "$(touch pwned)": "p",
    "`touch pwned`; touch pwned": "p",
    "a*?[b]": "g",
    "~": "t",
    "%41%0A%": "percent",
    "tab\tcr\r": "c",
    "é": "u",
    os.fsdecode(bytes(range(1, 47))): "every byte",
    os.fsdecode(bytes(range(48, 128))): "every byte",
    os.fsdecode(bytes(range(128, 256))): {os.fsdecode(b"\x81\x88\xff\n"): "every byte"},
    ".git": {"config": "[x]", "HEAD": "ref"},
    ".gitattributes": "* text eol=crlf export-ignore\n*.txt export-subst ident\n",
    "sub": {".gitattributes": "a " * 3000, ".gitmodules": {"d": "e"}},
    ".cronos%e%x": "looks like an escape",
    ".cronos%attributes": "looks like a record",
    "crlf.txt": "$Format:%H$\r\n$Id$\n",
    "nul": b"\0\n\0",
    "empty": {},
    "deep": {"a": {"b": {"c": {}}}},
    "link": Link("plain"),
    "dangling": Link("../../../nowhere"),
    "linked directory": Link("/"),
    "li\nnk\n": Link(os.fsdecode(b"to\xff'\\\n\n")),
    "fifo": Special("fifo"),
    "ro": {"file": File(b"r", mode=0o400)},
    "attributes": File(b"x", mode=0o444, xattrs=(("user.a b=c;%", b"v\0\n"), ("user.empty", b""))),
    "big": b"".join(b"%d\n" % number for number in range(300_000)),
    ".GIT": b"".join(b"%d \n" % number for number in range(200_000)),
    "hard": "one file, two names\n",
}


def script(*words: object, shell: list[str] = SHELLS[0], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*shell, str(SCRIPT), *map(str, words)], capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cronos, Backup, Path]:
    """An engine with a backup of the hostile tree, and what `cronos restore` makes of that."""
    root = tmp_path_factory.mktemp("hostile")
    project = make_tree(root / "project", HOSTILE)
    for source, name in (("hard", "sub/hard"), ("fifo", "second fifo"), ("link", "second link"), (".GIT", "sub/.GIT")):
        os.link(project / source, project / name, follow_symlinks=False)
    if IS_ROOT:
        os.chown(project / "plain", 1, 2)
        os.chown(project / "link", 12345, 54321, follow_symlinks=False)
        os.chown(project / "exec", 1, 2)
        (project / "exec").chmod(0o4755)
    os.setxattr(project / "empty", "user.directory", b"d")
    (project / "deep/a").chmod(0o3770)
    (project / "ro").chmod(0o555)
    os.utime(project / "deep", ns=(1, 1_234_567_890_123_456_789))
    engine = make_engine(root, chunk_threshold=1 << 20, git_dirs="include")
    backup = save(engine)
    engine.apply_restore(engine.plan_restore(RestoreRequest(backup=backup.id, target=str(root / "theirs"))))
    return engine, backup, root / "theirs"


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_a_hostile_tree_comes_back_as_cronos_restores_it(
    hostile: tuple[Cronos, Backup, Path], tmp_path: Path, shell: list[str]
) -> None:
    engine, backup, theirs = hostile
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    told = script(
        engine.store_path, backup.id, "-t arget/x", shell=shell, cwd=tmp_path, env={**os.environ, "TMPDIR": str(scratch)}
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    assert_same_tree(theirs, tmp_path / "-t arget/x")
    assert sorted(os.listdir(tmp_path)) == ["-t arget", "scratch"] and not os.listdir(scratch)


def test_a_clone_is_as_good_as_the_store(hostile: tuple[Cronos, Backup, Path], tmp_path: Path) -> None:
    engine, backup, theirs = hostile
    git("clone", "--quiet", "--no-checkout", engine.store_path, tmp_path / "clone")
    (tmp_path / "target").mkdir()
    assert script(tmp_path / "clone", backup.id, tmp_path / "target").returncode == 0
    assert_same_tree(theirs, tmp_path / "target")


@pytest.mark.skipif(not IS_ROOT, reason="without root every other test is this one")
def test_an_ordinary_user_gets_all_but_the_owners(hostile: tuple[Cronos, Backup, Path], tmp_path: Path) -> None:
    engine, backup, theirs = hostile
    git("clone", "--quiet", "--mirror", engine.store_path, tmp_path / "clone")
    for path in [tmp_path / "clone", *(tmp_path / "clone").rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    open_to_all(tmp_path)
    shutil.copy(SCRIPT, tmp_path / "script")
    words = [*SHELLS[0], "script", "clone", backup.id, "target"]
    told = subprocess.run(words, cwd=tmp_path, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=False)
    assert (told.returncode, told.stderr) == (0, b"")
    left, right = read_tree(theirs), read_tree(tmp_path / "target")
    assert {path: (facts[:2], facts[4:]) for path, facts in left.items()} == {
        path: (facts[:2], facts[4:]) for path, facts in right.items()
    }
    assert {facts[2] for facts in right.values()} == {NOBODY}


def test_what_is_no_file_is_listed_and_ends_with_3(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"f": "1", "socket": Special("socket")})
    backup = save(engine)
    told = script(engine.store_path, backup.id, tmp_path / "target")
    assert (told.returncode, told.stderr) == (3, "warning: ./socket: not restored: a socket without content in the backup\n")
    assert os.listdir(tmp_path / "target") == ["f"]


def test_wrong_words_write_nothing(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    make_tree(engine.project, {"f": "1"})
    backup = save(engine)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/.hidden").touch()
    assert script(engine.store_path, backup.id).returncode == 2
    assert script(engine.store_path, "no_such", tmp_path / "target").stderr.startswith("error: There is no backup no_such in ")
    assert script(tmp_path / "nowhere", backup.id, tmp_path / "target").returncode == 1
    occupied = script(engine.store_path, backup.id, tmp_path / "full")
    assert (occupied.returncode, occupied.stderr) == (
        1,
        f"error: {tmp_path}/full must not exist, or be empty. Nothing was written.\n",
    )
    assert os.listdir(tmp_path / "full") == [".hidden"] and not (tmp_path / "target").exists()


class Forged(SnapshotStore):
    """A store with a backup `forged` of entries that CRONOS would never write."""

    def forge(self, data: list[tuple[int, bytes, bytes]], records: dict[str, Any], *spoil: tuple[bytes, bytes]) -> None:
        own = attributes_of(".", File(b""))
        table = AttributeTable(own=own, entries={name: attributes_of(name, node) for name, node in records.items()})
        text = format_attributes(table)
        for old, new in ((b"file 644 0 0.000000005 1000 100 - .", b"directory 755 0 0.000000005 0 0 - ."), *spoil):
            assert old in text
            text = text.replace(old, new)
        meta = self.tree((MODE_DIRECTORY, b"attributes", self.tree((MODE_FILE, ATTRIBUTES_NAME, self.write("blob", text)))))
        commit = self.raw_commit(self.tree((MODE_DIRECTORY, b"data", self.tree(*data)), (MODE_DIRECTORY, b"meta", meta)))
        git("--git-dir", self.path, "tag", "backup/forged", commit)


@pytest.mark.parametrize("attack", ["link and directory", "parent", "slash", "record", "shell in a field"])
def test_a_forged_backup_writes_nothing_outside(tmp_path: Path, attack: str) -> None:
    store = Forged(tmp_path / "store.git")
    outside = tmp_path / "outside"
    outside.mkdir()
    blob, link = store.write("blob", b"evil"), store.write("blob", os.fsencode(outside))
    if attack == "link and directory":
        directory = (MODE_DIRECTORY, b".cronos%e%d", store.tree((MODE_FILE, b"f", blob)))
        store.forge([directory, (MODE_SYMLINK, b"d", link)], {"d": Link(str(outside))})
    elif attack == "parent":
        store.forge([(MODE_FILE, b".cronos%e%..", blob)], {"..": "evil"})
    elif attack == "slash":
        store.forge([(MODE_FILE, b".cronos%e%..%2Foutside%2Ff", blob)], {"../outside/f": "evil"})
    elif attack == "record":
        store.forge([], {"../outside/f": Special("fifo")})
    else:
        store.forge([(MODE_FILE, b"f", blob)], {"f": "evil"}, (b" 644 4 ", b" $(touch${IFS}../outside/f) 4 "))
    told = script(store.path, "forged", tmp_path / "target", cwd=tmp_path)
    assert told.returncode == 1 and told.stderr.startswith("error: "), told.stderr
    assert os.listdir(outside) == []
    assert sorted(os.listdir(tmp_path)) == ["outside", "store.git", "target"]


def test_the_script_passes_shellcheck() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck here")
    done = subprocess.run(["shellcheck", "-s", "sh", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout == ""
