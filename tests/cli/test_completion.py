"""What a shell is offered, asked as shells ask: by variables, most of the time without a process of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cronos_git.cli import main
from cronos_git.engine import Cronos
from cronos_git.model import SnapshotRequest
from tests.cli.test_startup import HEAVY
from tests.support.engine import make_engine
from tests.support.trees import make_tree

OF_PROJECT = ["latest", "latest:manual", "latest:pre-deploy"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `project`, which has a backup and one in the trash, `stores`, `bare` without any, and `cronos`."""
    base = tmp_path_factory.mktemp("completion")
    engine = make_engine(base)
    make_tree(engine.project, {"src/app.py": b"", "src/two words": b"", "src/deep/f": b"", "read.me": b""})
    gone = engine.snapshot(SnapshotRequest(name="gone")).backup
    engine.snapshot(SnapshotRequest(name="first"))
    engine.snapshot(SnapshotRequest(name="deploy", type="pre-deploy"))
    engine.delete([gone.id])
    (base / "bare").mkdir()
    (base / "cronos").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m cronos_git "$@"\n')
    (base / "cronos").chmod(0o755)
    return base


Offered = Callable[[str], list[str]]


@pytest.fixture
def offered(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Offered:
    """Tells what bash would be offered for the last word of a line."""

    def ask_here(line: str) -> list[str]:
        words = line.format(at=f"-C {place}/project --backup-dir {place}/stores").split(" ")
        monkeypatch.chdir(place / "bare")
        monkeypatch.setenv("COMP_WORDS", "\n".join(words))
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        monkeypatch.setenv("_CRONOS_COMPLETE", "complete_bash")
        with pytest.raises(SystemExit) as stopped:
            main([])
        told = capsys.readouterr()
        assert (stopped.value.code, told.err) == (0, "")
        return told.out.split()

    return ask_here


def ask(place: Path, variables: dict[str, str], *words: str) -> str:
    """What a process says on stdout; it says nothing else."""
    home = {"HOME": str(place / "home"), "PATH": f"{place}:{os.environ['PATH']}", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        words or ("cronos",), env=home | variables, cwd=place / "bare", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def ids(place: Path) -> list[str]:
    engine: Cronos = make_engine(place)
    return [backup.id for backup in engine.backups()]


@pytest.mark.parametrize(
    "line",
    ["cronos {at} show lat", "cronos show {at} lat", "cronos pin first {at} lat", "cronos {at} restore first --base lat"],
)
def test_a_backup_is_offered_wherever_one_is_wanted(offered: Offered, line: str) -> None:
    assert offered(line) == OF_PROJECT


def test_names_and_ids_are_offered_the_newest_id_first(place: Path, offered: Offered) -> None:
    assert offered("cronos {at} verify ") == [*OF_PROJECT, "deploy", "first", *ids(place)]
    assert offered("cronos {at} label add release dep") == ["deploy", ids(place)[0]]


def test_undelete_is_offered_what_is_in_the_trash(offered: Offered) -> None:
    name, backup = offered("cronos {at} undelete ")
    assert (name, backup.rpartition("_2")[0]) == ("gone", "gone")


def test_paths_are_offered_after_a_colon_but_none_that_the_shell_would_part(offered: Offered) -> None:
    assert offered("cronos {at} ls latest:") == ["latest:manual", "latest:pre-deploy", "latest:read.me", "latest:src/"]
    assert offered("cronos {at} ls first:") == ["first:read.me", "first:src/"]
    assert offered("cronos {at} cat latest:pre-deploy:src/") == [
        "latest:pre-deploy:src/app.py",
        "latest:pre-deploy:src/deep/",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "cronos show lat",
        "cronos -C /nonexistent show lat",
        "cronos --backup-dir /dev/null show lat",
        "cronos --config /nonexistent show lat",
        "cronos {at} ls nothing:src/",
        "cronos {at} ls first:nothing/",
        "cronos {at} ls @when:",
    ],
)
def test_where_nothing_can_be_offered_nothing_is_said_and_nothing_made(place: Path, offered: Offered, line: str) -> None:
    before = sorted(place.rglob("*"))
    assert offered(line) == []
    assert sorted(place.rglob("*")) == before


def test_zsh_gets_the_same_with_its_colons_escaped(place: Path) -> None:
    line = f"cronos -C {place}/project --backup-dir {place}/stores show lat"
    told = ask(place, {"_TYPER_COMPLETE_ARGS": line, "_CRONOS_COMPLETE": "complete_zsh"})
    assert told == '_arguments \'*: :(("latest"\n"latest\\\\:manual"\n"latest\\\\:pre-deploy"))\'\n'


@pytest.mark.parametrize(
    ("words", "replies"),
    [
        (["show", "latest", ":"], ["manual", "pre-deploy"]),
        (["cat", "latest", ":", "manual", ":", "src/d"], ["src/deep/"]),
        (["show", "fir"], ["first", "{first}"]),
    ],
)
def test_the_script_for_bash_puts_together_what_bash_parts_at_colons(place: Path, words: list[str], replies: list[str]) -> None:
    line = ["cronos", "-C", f"{place}/project", "--backup-dir", f"{place}/stores", *words]
    text = " ".join(line).replace(" :", ":").replace(": ", ":")
    script = f"""
        source <(cronos completion bash)
        COMP_WORDS=({shlex.join(line)}); COMP_CWORD={len(line) - 1}; COMP_LINE={shlex.quote(text)}; COMP_POINT=${{#COMP_LINE}}
        _cronos_completion cronos
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    told = ask(place, {}, "bash", "-c", script).split()
    assert told == [reply.format(first=ids(place)[-1]) for reply in replies]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_script_hides_what_goes_wrong(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert script.count("2>/dev/null") >= script.count("_CRONOS_COMPLETE") > 0


def test_completing_loads_neither_git_nor_a_renderer(place: Path) -> None:
    code = f"import sys; from cronos_git.cli import main\ntry: main()\nfinally: print(*[m for m in {HEAVY} if m in sys.modules])"
    words = ["cronos", "-C", f"{place}/project", "--backup-dir", f"{place}/stores", "show", "lat"]
    variables = {"COMP_WORDS": " ".join(words), "COMP_CWORD": "6", "_CRONOS_COMPLETE": "complete_bash"}
    *replies, loaded = ask(place, variables, sys.executable, "-c", code).splitlines()
    assert replies == OF_PROJECT
    assert set(loaded.split()).isdisjoint({"pygit2", "rich", "pydantic", "git", "asyncio"})
