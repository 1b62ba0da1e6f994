"""`log`, `blame` and `grep` word for word."""

from __future__ import annotations

from pathlib import Path

import pytest

from cronos_git.cli.app import run
from tests.cli.test_transcripts import World

APP = "import os\nport = 80\nprint(port)\n"


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    """Four backups an hour apart: a file is made, changed, renamed with a change, and made executable."""
    made = World(tmp_path, capsys)
    made.write({"app.py": APP, "notes": "port\n"})
    made("create", "one", "-m", "first")
    for name, change in (("two", change_port), ("three", rename), ("four", make_executable)):
        made.clock.advance(hours=1)
        change(made)
        made("create", name)
    return made


def change_port(world: World) -> None:
    world.write({"app.py": APP.replace("80", "8080")})


def rename(world: World) -> None:
    (world.project / "app.py").unlink()
    world.write({"src/main.py": APP.replace("80", "8080") + "# end\n"})


def make_executable(world: World) -> None:
    (world.project / "src/main.py").chmod(0o755)
    (world.project / "notes").unlink()


def test_log_of_a_file_shows_its_versions(world: World) -> None:
    assert world("log", "src/main.py").out.splitlines() == [
        "CHANGE   SINCE                  UNTIL                  BACKUPS  SAVED             MODE        SIZE  MODIFIED        "
        "  PATH",
        "mode     four_20260401_150000   four_20260401_150000         1  2026-04-01 15:00  -rwxr-xr-x  40 B  2026-03-31 20:00"
        "  src/main.py",
        "renamed  three_20260401_140000  three_20260401_140000        1  2026-04-01 14:00  -rw-r--r--  40 B  2026-03-31 20:00"
        "  app.py -> src/main.py",
        "changed  two_20260401_130000    two_20260401_130000          1  2026-04-01 13:00  -rw-r--r--  34 B  2026-03-31 20:00"
        "  app.py",
        "added    one_20260401_120000    one_20260401_120000          1  2026-04-01 12:00  -rw-r--r--  32 B  2026-03-31 20:00"
        "  app.py",
    ]
    assert world("log", "-q", "-n", "1", str(world.project / "src/main.py")).out == "four_20260401_150000\n"
    (gone, *_) = world.json("log", "notes")
    assert (gone["kind"], gone["entry"], gone["first"]["id"]) == ("removed", None, "four_20260401_150000")
    assert "app.py (now src/main.py)" in world("log", "app.py").out


def test_log_p_shows_the_patches(world: World) -> None:
    told = world("log", "-p", "-n", "2", "app.py").out
    assert told.splitlines()[:2] == [
        "three_20260401_140000  2026-04-01 14:00  removed app.py (now src/main.py)",
        "diff --git a/app.py b/app.py",
    ]
    assert "\n-port = 80\n+port = 8080\n" in told
    assert "\nrename from app.py\nrename to src/main.py\n" in world("log", "-p", "src/main.py").out


def test_log_of_everything_shows_what_changed(world: World) -> None:
    assert world("log").out.splitlines() == [
        "four_20260401_150000  2026-04-01 15:00  four",
        "    - notes",
        "    ~ src/main.py",
        "three_20260401_140000  2026-04-01 14:00  three",
        "    - app.py",
        "    + src/main.py",
        "two_20260401_130000  2026-04-01 13:00  two",
        "    ~ app.py",
        "one_20260401_120000  2026-04-01 12:00  first",
        "    the first of its scope: 2 files",
    ]
    assert world("log", "-q", ".").out.split() == [
        "four_20260401_150000",
        "three_20260401_140000",
        "two_20260401_130000",
        "one_20260401_120000",
    ]
    patched = world("log", "-p", "-n", "3").out
    assert patched.count("diff --git ") == 5 and "old mode 100644\nnew mode 100755\n" in patched
    (newest,) = world.json("log", "-n", "1")
    assert newest["previous"]["id"] == "three_20260401_140000" and len(newest["changes"]) == 2


def test_many_changes_are_cut_unless_asked_for(world: World) -> None:
    world.clock.advance(hours=1)
    world.write({f"f{number:02}": "" for number in range(12)})
    world("create", "five")
    assert world("log", "-n", "1").out.splitlines()[-1] == "    … and 2 more; -v shows them all"
    assert len(world("log", "-n", "1", "-v").out.splitlines()) == 13


def test_blame_shows_each_line_with_its_backup(world: World) -> None:
    assert world("blame", "src/main.py").out.splitlines() == [
        "one_20260401_120000    app.py       2026-04-01 12:00 1) import os",
        "two_20260401_130000    app.py       2026-04-01 13:00 2) port = 8080",
        "one_20260401_120000    app.py       2026-04-01 12:00 3) print(port)",
        "three_20260401_140000  src/main.py  2026-04-01 14:00 4) # end",
    ]
    assert world("blame", "one:app.py").out.splitlines()[1] == "one_20260401_120000  2026-04-01 12:00 2) port = 80"
    assert [line["backup"]["id"] for line in world.json("blame", "src/main.py")][1] == "two_20260401_130000"
    gone = world("blame", "app.py")
    assert (gone.status, gone.err.splitlines()[-1]) == (
        12,
        "hint: The last backup with it is two_20260401_130000: give two_20260401_130000:app.py",
    )
    assert world("blame", "src").status == 2


def test_a_name_with_a_colon_is_given_with_its_place(world: World) -> None:
    world.write({"a:b": "x\n"})
    world("create", "five")
    assert world("blame", "a:b").status == 12
    assert world("blame", "./a:b").out.endswith(" 1) x\n")


def test_grep_speaks_like_grep(world: World) -> None:
    assert world("grep", "po[r]t").out.splitlines() == [
        "src/main.py:import os",
        "src/main.py:port = 8080",
        "src/main.py:print(port)",
    ]
    assert world("grep", "-n", "PORT =", "-i", "src") == (0, "src/main.py:2:port = 8080\n", "")
    assert world("grep", "-l", "port", "--backup", "one").out == "app.py\nnotes\n"
    assert world("grep", "(port)", "-F").out == "src/main.py:print(port)\n"
    assert world("grep", "-q", "port") == (0, "", "")
    assert world("grep", "nothing like it") == (1, "", "")
    wrong = world("grep", "po(rt")
    assert (wrong.status, wrong.err.splitlines()[0]) == (
        2,
        "error: The pattern 'po(rt' cannot be searched: -e option, 'po(rt': Unmatched ( or \\(.",
    )
    assert world("grep", "x", "--all", "--backup", "one").status == 2
    assert world("grep", "x", "app.py").status == 12


def test_grep_in_all_backups_tells_each_version_once(world: World) -> None:
    assert world("grep", "--all", "-n", "port =").out.splitlines() == [
        "one_20260401_120000:app.py",
        "    2:port = 80",
        "two_20260401_130000:app.py",
        "    2:port = 8080",
        "four_20260401_150000:src/main.py  (2 backups, since three_20260401_140000)",
        "    2:port = 8080",
    ]
    where = world("grep", "--all", "-l", "port = 80$").out.strip()
    assert world("cat", where).out == APP
    assert [found["backups"] for found in world.json("grep", "--all", "^port$")] == [
        ["one_20260401_120000", "two_20260401_130000", "three_20260401_140000"]
    ]


def test_a_binary_match_and_raw_bytes_reach_a_pipe(capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    world = World(tmp_path, capfdbinary)  # type: ignore[arg-type]
    world.write({"bin": b"\0find me", "latin": b"find m\xe9\n"})
    assert run(["create", "one", "-q"], open_engine=world.open_engine) == 0
    capfdbinary.readouterr()
    assert run(["grep", "find"], open_engine=world.open_engine) == 0
    assert capfdbinary.readouterr().out == b"Binary file bin matches\nlatin:find m\xe9\n"
    assert run(["blame", "latin"], open_engine=world.open_engine) == 0
    assert capfdbinary.readouterr().out == b"one_20260401_120000  2026-04-01 12:00 1) find m\xe9\n"
    assert run(["grep", "find", "--color", "always"], open_engine=world.open_engine) == 0
    assert capfdbinary.readouterr().out == b"Binary file bin matches\nlatin:find m\\xe9\n"


def test_a_path_outside_or_never_backed_up_is_told(world: World) -> None:
    assert world("log", "../x").status == 2
    told = world("log", "nowhere")
    assert (told.status, told.err.splitlines()[0]) == (12, "error: No backup has ever held 'nowhere'.")
