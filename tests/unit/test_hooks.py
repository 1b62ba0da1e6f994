from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.disk import files, hook_files
from cronos_git.errors import HostError
from cronos_git.model import HookOptions
from cronos_git.ops import hooks
from cronos_git.rules.hooks import HOOKS, default_hooks, fill_in, recognise, stops, told_facts, told_options, without_credentials
from tests.support.hooks import write_script
from tests.support.trees import read_tree

ARGUMENT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\n\r"), min_size=1, max_size=12)
OPTIONS = st.builds(
    HookOptions,
    general=st.lists(ARGUMENT, max_size=3).map(tuple),
    tree=st.none() | ARGUMENT,
    fail_closed=st.none() | st.booleans(),
    budget_s=st.none() | st.integers(0, 999).map(float),
)


@given(name=st.sampled_from(list(HOOKS)), options=OPTIONS, command=st.none() | ARGUMENT)
def test_whatever_is_filled_in_a_hook_is_recognised_and_said_word_for_word(
    name: str, options: HookOptions, command: str | None
) -> None:
    template = hook_files.shipped(name)
    text = fill_in(name, template, options, command)
    assert recognise(name, text, template) == "cronos"
    assert recognise(name, text + "echo more\n", template) == "changed"
    lines = text.split("\n")
    words = shlex.split(next(line for line in lines if line.startswith("set -- ")))[2:]
    count = len(options.general)
    assert words[: count + 3] == [*options.general, "hooks", "run", name]
    assert f"cronos={shlex.quote(command or 'cronos')}" in lines


@pytest.mark.parametrize("name", HOOKS)
def test_the_options_of_an_installed_hook_can_be_told(name: str) -> None:
    options = HookOptions(general=("--backup-dir", "/st ores"), tree="/www", fail_closed=False, budget_s=0.5)
    text = fill_in(name, hook_files.shipped(name), options, None)
    assert told_options(name, text) == "--backup-dir '/st ores' --tree /www --fail-open --budget 0.5"
    assert told_options(name, hook_files.shipped(name)) == ""


def test_a_filled_in_hook_passes_its_words_through_a_shell(tmp_path: Path) -> None:
    options = HookOptions(general=("--backup-dir", "a 'b\" $c\\"), tree="`d` ; e", budget_s=2.5)
    write_script(tmp_path / "my cronos", 'printf "%s|" "$@"')
    text = fill_in("post-merge", hook_files.shipped("post-merge"), options, str(tmp_path / "my cronos"))
    write_script(tmp_path / "hook", "")
    (tmp_path / "hook").write_text(text)
    told = subprocess.run([tmp_path / "hook", "0", "x y"], capture_output=True, text=True, check=True)
    assert told.stdout == "--backup-dir|a 'b\" $c\\|hooks|run|post-merge|--tree|`d` ; e|--budget|2.5|--|0|x y|"


@pytest.mark.parametrize("text", ["", "#!/bin/sh\n", "#!/bin/sh\n# cronos-hook post-merge: of another name\n", "\udcff"])
def test_what_is_not_ours_is_somebody_elses(text: str) -> None:
    assert recognise("pre-push", text, hook_files.shipped("pre-push")) == "other"


def test_only_deploys_are_stopped_unless_configured() -> None:
    assert {name for name in HOOKS if stops(name, "by_hook")} == {"pre-deploy", "pre-receive"}
    assert all(stops(name, "fail_closed") and not stops(name, "fail_open") for name in HOOKS)
    assert default_hooks(bare=True) == ("pre-receive", "post-receive")
    assert set(default_hooks(bare=False)) == {"pre-push", "post-commit", "post-merge", "pre-rebase"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pw@host/p", "https://host/p"),
        ("https://token@host", "https://host"),
        ("ssh://me@host:22/p@q", "ssh://host:22/p@q"),
        ("https://me:p@ss@host/p", "https://host/p"),
        ("git@host:p", "git@host:p"),
        ("/path/a@b", "/path/a@b"),
        ("gcrypt::https://me:pw@host/p", "gcrypt::https://host/p"),
    ],
)
def test_credentials_are_left_out_of_urls(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


def test_lines_that_are_no_refs_are_passed_over() -> None:
    assert told_facts("pre-receive", [], "a b c\n\nd e\n") == {
        "hook": "pre-receive",
        "refs": [{"old": "a", "new": "b", "ref": "c"}],
    }
    assert told_facts("post-commit", [], "a b c\n") == {"hook": "post-commit"}


@pytest.mark.parametrize("fails_at", range(4))
def test_a_full_disk_leaves_the_hook_that_was_there(tmp_path: Path, fails_at: int) -> None:
    write_script(tmp_path / "pre-push", "exit 0")
    before = read_tree(tmp_path)["pre-push"]
    steps = 0

    def fail(_name: str, _path: str) -> None:
        nonlocal steps
        steps += 1
        if steps > fails_at:
            raise OSError(28, "No space left on device")

    changes = hooks.plan_install(tmp_path, ["pre-push"], HookOptions(), None, force=False)
    files.step = fail
    with pytest.raises(HostError, match="No space"):
        hooks.install(changes, HookOptions(), None)
    files.step = files._no_step
    (found,) = hooks.find(tmp_path, ["pre-push"])
    assert read_tree(tmp_path)["pre-push.before-cronos" if found.state == "cronos" else "pre-push"][:2] == before[:2]
    hooks.install(hooks.plan_install(tmp_path, ["pre-push"], HookOptions(), None, force=False), HookOptions(), None)
    hooks.remove(hooks.plan_remove(tmp_path, ["pre-push"], force=False))
    assert sorted(read_tree(tmp_path)) == ["", "pre-push"]


def test_where_hard_links_cannot_be_made_the_hook_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    write_script(tmp_path / "pre-push", "exit 0")
    monkeypatch.setattr(hook_files.os, "link", refuse)
    changes = hooks.plan_install(tmp_path, ["pre-push"], HookOptions(), None, force=False)
    hooks.install(changes, HookOptions(), None)
    assert (tmp_path / "pre-push.before-cronos").read_text() == "#!/bin/sh\nexit 0\n"
    assert hooks.find(tmp_path, ["pre-push"])[0].state == "cronos"
