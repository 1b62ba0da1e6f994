"""The commands of pages: how they are found, run and recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.console import Said, blocks, main, missing_programs, recorded, run

PAGE = """\
# A page

```console
$ cat > file <<'END'
> one
>   two
> END
$ cat file
stale
$ (exit 4)  # ends with 4
```

```sh
rm -rf /
```

```console
$ cd .. && basename "$PWD"
```
"""


def test_commands_are_found_with_what_goes_on_what_they_say_and_how_they_end() -> None:
    [[write, show, fail], [move]] = blocks(PAGE)
    assert write.text == "cat > file <<'END'\none\n  two\nEND"
    assert (show.text, show.shown, show.status) == ("cat file", ("stale",), 0)
    assert fail.status == 4
    assert move.text == 'cd .. && basename "$PWD"'


def test_a_block_that_begins_with_output_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not begin with a command: output"):
        blocks("```console\noutput\n```\n")


def test_a_page_is_run_by_one_shell_and_stops_at_a_wrong_status(tmp_path: Path) -> None:
    [commands] = blocks("```console\n$ cd / && word=kept\n$ echo $word $PWD >&2\n$ false\n$ echo never\n```\n")
    assert run(commands, tmp_path) == [
        Said(lines=(), status=0),
        Said(lines=("kept /",), status=0),
        Said(lines=(), status=1),
    ]


def test_recording_writes_what_was_said_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("cd .. && ", ""))
    assert main([str(page)]) == 0
    assert page.read_text() == PAGE.replace("cd .. && ", "").replace("stale\n", "one\n  two\n").replace('PWD"\n', 'PWD"\nsrv\n')


def test_a_page_whose_command_fails_is_not_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ echo why; exit 3\n```\n")
    assert main([str(page)]) == 1
    assert "ended with None" in capsys.readouterr().err
    page.write_text("```console\n$ echo why; false\n```\n")
    assert main([str(page)]) == 1
    assert "ended with 1:\nwhy" in capsys.readouterr().err
    assert page.read_text() == "```console\n$ echo why; false\n```\n"


def test_users_and_places_have_the_names_that_pages_use(tmp_path: Path) -> None:
    [[one]] = blocks('```console\n$ echo "$PWD/x $HOME by $(id -un)@$(uname -n)"\n```\n')
    [said] = run([one], tmp_path)
    assert said.lines == ("/srv/x /home/me by me@box",)
    assert recorded("```console\n$ x\nold\n```\n", [said]) == "```console\n$ x\n/srv/x /home/me by me@box\n```\n"


def test_a_page_tells_which_programs_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    [commands] = blocks("```console\n$ cronos remote add far gcrypt::/srv/far\n```\n")
    monkeypatch.setenv("PATH", "/nowhere")
    assert missing_programs(commands) == ["git-remote-gcrypt"]
