"""Hooks that real git runs, in repositories made for them, with the `cronos` command in PATH."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from cronos_git.disk import files
from cronos_git.git.store import store_path
from cronos_git.rules.hooks import HOOKS
from tests.support.git import git
from tests.support.hooks import SOURCE, Desk, Told, write_script
from tests.support.trees import read_tree

SAVED = re.compile(r"cronos: saved (\S+)\n")


@pytest.fixture
def desk(tmp_path: Path, hermetic: Path) -> Desk:
    return Desk(tmp_path, hermetic)


@pytest.fixture
def shop(desk: Desk) -> Path:
    return desk.repository()


def hooks_of(repository: Path) -> Path:
    return repository / ".git/hooks"


def tree_of(directory: Path) -> dict[str, object]:
    """Everything in a directory, without the times of the directory itself."""
    return {path: told for path, told in read_tree(directory).items() if path}


def path_without_cronos(desk: Desk) -> str:
    """A PATH with git and the tools of shell scripts, and nothing else."""
    tools = desk.base / "tools"
    tools.mkdir()
    for name in ("git", "sh", "cat"):
        (tools / name).symlink_to(shutil.which(name) or name)
    return str(tools)


def store_of(desk: Desk, project: Path) -> Path:
    return store_path(desk.home / ".local/share/cronos", project)


def ours(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir() if not path.name.endswith(".sample")}


# --- what the hooks do ------------------------------------------------------------------------------------------------


def test_a_commit_makes_a_backup_that_names_it(desk: Desk, shop: Path) -> None:
    desk.cronos("hooks", "install", cwd=shop)
    (shop / "f").write_text("2\n")
    told = desk.commit(shop, "two")
    (backup,) = desk.backups(shop)
    assert told.err == f"cronos: saved {backup['id']}\n"
    assert (backup["type"], backup["name"]) == ("auto", "post-commit")
    facts = {"hook": "post-commit", "commit": desk.head(shop), "branch": "main", "dirty": False}
    assert backup["metadata"] == facts
    assert desk.commit(shop, "empty").err == f"cronos: nothing has changed since {backup['id']}\n"


def test_nothing_of_the_hooks_environment_gets_into_the_store_or_out_of_it(desk: Desk, shop: Path) -> None:
    desk.cronos("hooks", "install", "post-commit", cwd=shop)
    (shop / "f").write_text("2\n")
    desk.git("add", "f", cwd=shop)
    alien = {"GIT_OBJECT_DIRECTORY": str(shop / ".git/objects"), "GIT_INDEX_FILE": str(shop / ".git/index")}
    desk.git("commit", "-qm", "two", cwd=shop, **alien)
    refs = desk.git("for-each-ref", cwd=shop).out
    assert [line.split()[2] for line in refs.splitlines()] == ["refs/heads/main"]
    assert desk.git("status", "--porcelain", cwd=shop).out == ""
    store = store_of(desk, shop)
    git("--git-dir", store, "fsck", "--full", "--strict")
    assert git("--git-dir", store, "cat-file", "-p", "main:f") == "2\n"
    assert desk.head(shop) not in git("--git-dir", store, "rev-list", "--all", "--objects")


def test_a_merge_and_a_rebase_make_backups_and_the_commits_of_a_rebase_make_none(desk: Desk, shop: Path) -> None:
    desk.git("checkout", "-qb", "side", cwd=shop)
    (shop / "a").write_text("a")
    desk.commit(shop, "a")
    desk.git("checkout", "-q", "main", cwd=shop)
    (shop / "c").write_text("c")
    desk.commit(shop, "c")
    desk.cronos("hooks", "install", cwd=shop)
    desk.git("checkout", "-q", "side", cwd=shop)
    desk.git("rebase", "-q", "main", cwd=shop)
    desk.git("checkout", "-q", "main", cwd=shop)
    desk.git("merge", "-q", "side", cwd=shop)
    after, before = desk.backups(shop)
    assert (after["name"], after["metadata"]["commit"], after["files"]) == ("post-merge", desk.head(shop), 3)
    assert (before["type"], before["metadata"]["arguments"], before["files"]) == ("pre-rebase", ["main"], 2)


def test_a_push_notes_where_to_and_what_without_credentials(desk: Desk, shop: Path) -> None:
    refs = f"refs/heads/main {'1' * 40} refs/heads/live {'2' * 40}\n"
    url = "https://user:pa@ss@example.org/shop.git"
    told = desk.cronos("hooks", "run", "pre-push", "--", "origin", url, cwd=shop, stdin=refs)
    assert SAVED.fullmatch(told.err)
    (backup,) = desk.backups(shop)
    metadata = backup["metadata"]
    assert (metadata["remote"], metadata["url"]) == ("origin", "https://example.org/shop.git")
    assert metadata["refs"] == [{"local_ref": "refs/heads/main", "new": "1" * 40, "ref": "refs/heads/live", "old": "2" * 40}]


def test_names_that_are_no_utf8_are_noted_legibly(desk: Desk, shop: Path) -> None:
    refs = f"refs/heads/b\udcff {'1' * 40} refs/heads/b\udcff {'2' * 40}\n"
    desk.cronos("hooks", "run", "pre-push", "--", "o", "/u\udcff", cwd=shop, stdin=refs)
    metadata = desk.backups(shop)[0]["metadata"]
    assert (metadata["refs"][0]["ref"], metadata["url"]) == ("refs/heads/b\\xff", "/u\\xff")


def test_pre_deploy_prints_the_id_for_scripts(desk: Desk, shop: Path) -> None:
    desk.cronos("hooks", "install", "pre-deploy", cwd=shop)
    (shop / "f").write_text("not committed\n")
    (shop / "sub").mkdir()
    hook = hooks_of(shop) / "pre-deploy"
    told = desk.run(hook, "--meta", "version=2.1", "-m", "two one", cwd=shop / "sub")
    (backup,) = desk.backups(shop)
    assert (told.out, told.err) == (f"{backup['id']}\n", "")
    assert (backup["type"], backup["message"]) == ("pre-deploy", "two one")
    assert (backup["metadata"]["dirty"], backup["metadata"]["version"]) == (True, 2.1)
    desk.cronos("hooks", "run", "pre-deploy", cwd=shop)
    assert len(desk.backups(shop)) == 2  # a deploy is on record also when nothing has changed


def test_a_hook_of_a_linked_work_tree_backs_up_that_one(desk: Desk, shop: Path) -> None:
    tree = desk.base / "linked"
    desk.git("worktree", "add", "-q", tree, cwd=shop)
    assert desk.cronos("hooks", "install", "post-commit", cwd=tree).out == f"Installed {hooks_of(shop)}/post-commit.\n"
    (tree / "f").write_text("there\n")
    desk.commit(tree, "there")
    (backup,) = desk.backups(tree)
    assert (backup["metadata"]["branch"], backup["metadata"]["commit"]) == ("linked", desk.head(tree))
    assert desk.backups(shop) == []


def test_shipped_hooks_work_when_copied_by_hand(desk: Desk, shop: Path) -> None:
    shutil.copy(SOURCE / "hooks/post-commit", hooks_of(shop))
    assert SAVED.fullmatch(desk.commit(shop, "two").err)


@pytest.mark.parametrize("name", HOOKS)
def test_shipped_hooks_are_short_shell_scripts(name: str) -> None:
    path = SOURCE / "hooks" / name
    assert len(path.read_text().splitlines()) <= 20
    assert os.access(path, os.X_OK)
    subprocess.run(["sh", "-n", path], check=True)


# --- where they go ----------------------------------------------------------------------------------------------------


def test_installing_again_changes_nothing(desk: Desk, shop: Path) -> None:
    desk.cronos("hooks", "install", cwd=shop)
    before = tree_of(hooks_of(shop))
    told = desk.cronos("hooks", "install", cwd=shop)
    assert told.out.count("nothing to do") == len(told.out.splitlines()) == 4
    assert tree_of(hooks_of(shop)) == before


def test_other_options_are_noted_anew(desk: Desk, shop: Path) -> None:
    desk.cronos("hooks", "install", "pre-push", "--fail-closed", "--budget", "5", cwd=shop)
    rows = [json.loads(line) for line in desk.cronos("hooks", "list", "--json", cwd=shop).out.splitlines()]
    assert [(row["state"], row["options"]) for row in rows if row["name"] == "pre-push"] == [
        ("cronos", "--fail-closed --budget 5")
    ]
    assert "Updated" in desk.cronos("--backup-dir", "st ores", "hooks", "install", "pre-push", cwd=shop).out
    listed = desk.cronos("hooks", "list", cwd=shop).out
    assert f"--backup-dir '{shop}/st ores'" in listed
    assert desk.cronos("-q", "hooks", "list", cwd=shop).out == "pre-push\n"


@pytest.mark.parametrize("where", ["local", "global"])
def test_hooks_go_where_core_hooks_path_says(desk: Desk, shop: Path, where: str) -> None:
    directory = shop / ".githooks" if where == "local" else desk.home / "my hooks"
    value = ".githooks" if where == "local" else "~/my hooks"
    desk.git("config", f"--{where}", "core.hooksPath", value, cwd=shop)
    (shop / "sub").mkdir()
    told = desk.cronos("hooks", "install", "post-commit", cwd=shop / "sub", GIT_DIR="/nowhere")
    assert told.out == f"Installed {directory}/post-commit.\n"
    assert ("outside this repository" in told.err) == (where == "global")
    assert SAVED.fullmatch(desk.commit(shop, "two").err)
    desk.cronos("hooks", "remove", cwd=shop)
    assert list(directory.iterdir()) == []


# --- hooks of others --------------------------------------------------------------------------------------------------


@pytest.fixture
def upstream(desk: Desk, shop: Path) -> Path:
    """The remote of *shop*, with a pre-push hook of somebody else in *shop* that fails when there is a file `fail`."""
    made = desk.base / "upstream.git"
    desk.git("init", "-q", "--bare", made, cwd=desk.base)
    desk.git("remote", "add", "origin", made, cwd=shop)
    write_script(hooks_of(shop) / "pre-push", 'echo "$@" > seen; cat >> seen; [ ! -e fail ] || exit 7', mode=0o750)
    return made


def test_a_hook_that_was_there_is_called_first_and_put_back(desk: Desk, shop: Path, upstream: Path) -> None:
    before = tree_of(hooks_of(shop))
    told = desk.cronos("hooks", "install", "pre-push", cwd=shop)
    assert told.err == "note: The pre-push hook that was there is kept as pre-push.before-cronos and called first.\n"
    desk.cronos("hooks", "install", "pre-push", "--budget", "60", cwd=shop)
    desk.git("push", "-q", "origin", "main", cwd=shop)
    line = f"refs/heads/main {desk.head(shop)} refs/heads/main {'0' * 40}\n"
    assert (shop / "seen").read_text() == f"origin {upstream}\n{line}"
    (backup,) = desk.backups(shop)
    assert backup["metadata"]["refs"][0]["new"] == desk.head(shop)
    assert (backup["type"], backup["metadata"]["url"]) == ("pre-push", str(upstream))
    told = desk.cronos("hooks", "remove", cwd=shop)
    assert told.out == f"Removed {hooks_of(shop)}/pre-push; the hook that was there before is back.\n"
    assert tree_of(hooks_of(shop)) == before


def test_a_hook_that_was_there_and_fails_stops_the_push_before_any_backup(desk: Desk, shop: Path, upstream: Path) -> None:
    desk.cronos("hooks", "install", "pre-push", cwd=shop)
    (shop / "fail").touch()
    assert desk.git("push", "-q", "origin", "main", cwd=shop, status=None).status != 0
    assert desk.git("for-each-ref", cwd=upstream).out == ""
    assert desk.backups(shop) == []
    assert desk.run(hooks_of(shop) / "pre-push", cwd=shop, status=7).err == ""


def test_all_of_standard_input_reaches_both(desk: Desk, shop: Path, upstream: Path) -> None:
    desk.cronos("hooks", "install", "pre-push", cwd=shop)
    refs = "".join(f"refs/heads/b{n} {n:040d} refs/heads/b{n} {'0' * 40}\n" for n in range(3000))
    desk.run(hooks_of(shop) / "pre-push", "o", "u", cwd=shop, stdin=refs + "\n\n")
    assert (shop / "seen").read_text() == "o u\n" + refs + "\n\n"
    metadata = desk.backups(shop)[0]["metadata"]
    assert (len(metadata["refs"]), metadata["refs_total"]) == (20, 3000)


def test_ours_runs_after_a_post_hook_that_fails_and_its_status_is_kept(desk: Desk, shop: Path) -> None:
    write_script(hooks_of(shop) / "post-merge", "exit 9")
    desk.cronos("hooks", "install", "post-merge", cwd=shop)
    assert SAVED.fullmatch(desk.run(hooks_of(shop) / "post-merge", "0", cwd=shop, status=9).err)


def test_links_and_hooks_that_git_does_not_run_are_kept_as_they_are(desk: Desk, shop: Path) -> None:
    write_script(desk.base / "elsewhere", "echo linked >&2")
    (hooks_of(shop) / "post-commit").symlink_to("../../../elsewhere")
    write_script(hooks_of(shop) / "pre-push", "exit 1", mode=0o644)
    before = tree_of(hooks_of(shop))
    desk.cronos("hooks", "install", "post-commit", "pre-push", cwd=shop)
    assert desk.commit(shop, "two").err.startswith("linked\ncronos: saved ")
    desk.run(hooks_of(shop) / "pre-push", cwd=shop)
    desk.cronos("hooks", "remove", "post-commit", "pre-push", cwd=shop)
    assert tree_of(hooks_of(shop)) == before


def test_a_hook_that_commits_itself_ends(desk: Desk, shop: Path) -> None:
    write_script(hooks_of(shop) / "post-commit", "[ -e again ] || { touch again; git commit -q --allow-empty -m again; }")
    desk.cronos("hooks", "install", "post-commit", cwd=shop)
    desk.commit(shop, "two")
    assert desk.git("rev-list", "--count", "HEAD", cwd=shop).out == "3\n"
    assert len(desk.backups(shop)) == 1


def test_within_a_hook_of_ours_no_other_runs(desk: Desk, shop: Path) -> None:
    assert desk.cronos("hooks", "run", "post-commit", cwd=shop, _CRONOS_HOOK="1") == Told(0, "", "")
    assert desk.backups(shop) == []


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_an_edited_hook_is_only_replaced_or_removed_by_force(desk: Desk, shop: Path) -> None:
    desk.cronos("hooks", "install", "pre-rebase", cwd=shop)
    with (hooks_of(shop) / "pre-rebase").open("a") as hook:
        hook.write("echo mine\n")
    before = tree_of(hooks_of(shop))
    for verb in ("install", "remove"):
        assert "was edited" in desk.cronos("hooks", verb, "pre-push", "pre-rebase", cwd=shop, status=13).err
    assert tree_of(hooks_of(shop)) == before
    assert "edited" in desk.cronos("hooks", "list", cwd=shop).out
    desk.cronos("hooks", "install", "pre-rebase", "--force", cwd=shop)
    desk.cronos("hooks", "remove", "pre-rebase", cwd=shop)
    assert ours(hooks_of(shop)) == set()


def test_two_hooks_of_others_are_not_joined(desk: Desk, shop: Path) -> None:
    write_script(hooks_of(shop) / "pre-push", "exit 0")
    desk.cronos("hooks", "install", "pre-push", cwd=shop)
    write_script(hooks_of(shop) / "pre-push", "exit 1")
    before = tree_of(hooks_of(shop))
    assert "Nothing was changed." in desk.cronos("hooks", "install", cwd=shop, status=13).err
    assert desk.cronos("hooks", "remove", "pre-push", cwd=shop).out.endswith("nothing to do.\n")
    assert tree_of(hooks_of(shop)) == before


def test_an_install_that_was_killed_half_way_is_finished_by_the_next(desk: Desk, shop: Path) -> None:
    hook = hooks_of(shop) / "pre-push"
    write_script(hook, "echo theirs >&2")
    os.link(hook, hook.with_name("pre-push.before-cronos"))
    desk.cronos("hooks", "install", "pre-push", cwd=shop)
    assert desk.run(hook, cwd=shop).err.startswith("theirs\ncronos: saved ")


def test_dry_runs_change_nothing(desk: Desk, shop: Path) -> None:
    before = tree_of(hooks_of(shop))
    assert "Would install" in desk.cronos("hooks", "install", "-n", cwd=shop).out
    assert tree_of(hooks_of(shop)) == before
    desk.cronos("hooks", "install", cwd=shop)
    before = tree_of(hooks_of(shop))
    assert "Would remove" in desk.cronos("hooks", "remove", "-n", cwd=shop).out
    assert tree_of(hooks_of(shop)) == before


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["install", "pre-commit"], 2, "There is no hook 'pre-commit'."),
        (["run", "pre-commit"], 2, "There is no hook 'pre-commit'."),
        (["-C", "..", "install"], 1, "is in no Git repository."),
        (["-C", "../bare.git", "install"], 2, "it is not known where it deploys to."),
        (["remove"], 0, "note: There are no hooks of CRONOS in "),
    ],
)
def test_what_cannot_be_done_is_told(desk: Desk, shop: Path, words: list[str], status: int, told: str) -> None:
    desk.git("init", "-q", "--bare", "bare.git", cwd=desk.base)
    assert told in desk.cronos("hooks", *words, cwd=shop, status=status).err


def test_huskys_directory_is_left_alone(desk: Desk, shop: Path) -> None:
    desk.git("config", "core.hooksPath", ".husky/_", cwd=shop)
    told = desk.cronos("hooks", "install", "pre-push", cwd=shop, status=13)
    assert '`cronos hooks run pre-push -- "$@"` into .husky/pre-push' in told.err


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_failure_lets_git_go_on_unless_told_otherwise(desk: Desk, shop: Path, upstream: Path) -> None:
    desk.cronos("hooks", "install", "pre-push", cwd=shop)
    wrong = {"CRONOS_NONSENSE": "1"}
    told = desk.git("push", "-q", "origin", "main", cwd=shop, **wrong)
    assert told.err.startswith("error: No backup, but this push goes on: Unknown configuration key `nonsense`")
    desk.cronos("hooks", "install", "pre-push", "--fail-closed", cwd=shop)
    told = desk.git("push", "-q", "origin", "main:again", cwd=shop, status=None, **wrong)
    assert told.status != 0
    assert told.err.startswith("error: No backup, so this push is stopped: Unknown configuration key `nonsense`")
    assert [line.split()[2] for line in desk.git("for-each-ref", cwd=upstream).out.splitlines()] == ["refs/heads/main"]


def test_the_configuration_says_what_a_failure_does(desk: Desk, shop: Path) -> None:
    desk.cronos("create", cwd=shop)
    with files.locked(store_of(desk, shop) / "cronos/lock"):
        assert desk.cronos("hooks", "run", "pre-rebase", cwd=shop).err.startswith("error: No backup, but this rebase goes on")
        desk.cronos("hooks", "run", "pre-rebase", cwd=shop, status=11, CRONOS_HOOK_FAILURE="fail_closed")
        desk.cronos("hooks", "run", "pre-rebase", "--fail-open", cwd=shop, CRONOS_HOOK_FAILURE="fail_closed")
        assert "this deploy is stopped" in desk.cronos("hooks", "run", "pre-deploy", cwd=shop, status=11).err
        desk.cronos("hooks", "run", "pre-deploy", cwd=shop, CRONOS_HOOK_FAILURE="fail_open")
        assert "No backup after this commit" in desk.cronos("hooks", "run", "post-commit", cwd=shop).err


def test_a_file_of_the_project_cannot_say_it(desk: Desk, shop: Path) -> None:
    (shop / "cronos.toml").write_text('hook_failure = "fail_open"\n')
    assert "cannot be set by a file inside the project" in desk.cronos("hooks", "run", "pre-deploy", cwd=shop, status=2).err


def test_a_backup_that_takes_too_long_is_given_up(desk: Desk, shop: Path) -> None:
    desk.cronos("create", cwd=shop)
    (shop / "large").write_bytes(os.urandom(1 << 20))
    told = desk.cronos("hooks", "run", "pre-push", "--budget", "0.000001", cwd=shop)
    assert "The backup took longer than 1e-06 seconds and was given up; nothing is half-done." in told.err
    assert len(desk.backups(shop)) == 1
    git("--git-dir", store_of(desk, shop), "fsck", "--full", "--strict")
    assert SAVED.fullmatch(desk.cronos("hooks", "run", "pre-push", cwd=shop, CRONOS_HOOK_BUDGET_S="60").err)


@pytest.mark.parametrize("option", ["--fail-open", "--fail-closed"])
def test_without_cronos_a_hook_says_so(desk: Desk, shop: Path, upstream: Path, option: str) -> None:
    desk.cronos("hooks", "install", "pre-push", option, cwd=shop)
    desk.bin.rename(desk.base / "away")
    told = desk.git("push", "-q", "origin", "main", cwd=shop, status=None, PATH=path_without_cronos(desk))
    assert told.err.startswith("cronos is not found: no backup before this push")
    assert (told.status == 0) == (option == "--fail-open")
    assert (shop / "seen").exists()


# --- push to deploy ---------------------------------------------------------------------------------------------------


@pytest.fixture
def server(desk: Desk, shop: Path) -> Path:
    """A bare repository that checks what is pushed out into `www`; *shop* pushes to it."""
    bare, www = desk.base / "shop.git", desk.base / "www"
    desk.git("init", "-q", "--bare", bare, cwd=desk.base)
    checkout = f'mkdir -p "{www}"; while read old new ref; do git --work-tree="{www}" checkout -qf "$new"; done'
    write_script(bare / "hooks/post-receive", checkout)
    desk.git("remote", "add", "live", bare, cwd=shop)
    return bare


def test_a_push_can_be_rolled_back_with_the_command_it_prints(desk: Desk, shop: Path, server: Path) -> None:
    www = desk.base / "www"
    desk.cronos("-C", server, "hooks", "install", "--tree", "www", cwd=desk.base)
    told = desk.git("push", "-q", "live", "main:first", cwd=shop)
    assert f"cronos: no backup: {www} does not exist yet." in told.err
    (www / "upload").write_text("by a customer\n")
    before = tree_of(www)
    (shop / "f").write_text("2\n")
    (shop / "new").write_text("2\n")
    desk.commit(shop, "two")
    told = desk.git("push", "-q", "live", "main:second", cwd=shop)
    assert (www / "f").read_text() == "2\n"
    commands = re.findall(r"cronos: (\w+) (\S+); go back with: (.*?) *\n", told.err)
    (point, back), (_, again) = [(name, command) for _, name, command in commands]
    assert back == again
    assert f"-C {www} restore {point} --strategy replace --yes" in back
    metadata = next(backup["metadata"] for backup in desk.backups(www) if backup["id"] == point)
    assert metadata["refs"] == [{"old": "0" * 40, "new": desk.head(shop), "ref": "refs/heads/second"}]
    desk.run("sh", "-c", back, cwd=Path("/"))
    assert tree_of(www) == before


def test_a_push_is_refused_when_the_deployed_tree_cannot_be_saved(desk: Desk, shop: Path, server: Path) -> None:
    www = desk.base / "www"
    www.mkdir()
    desk.git("config", "cronos.deployTree", www, cwd=server)
    desk.cronos("-C", server, "hooks", "install", "pre-receive", cwd=desk.base)
    told = desk.git("push", "-q", "live", "main", cwd=shop, status=None, CRONOS_NONSENSE="1")
    assert told.status != 0
    assert "No backup, so this push is stopped" in told.err
    assert tree_of(www) == {}
    desk.git("push", "-q", "live", "main", cwd=shop)
    assert (www / "f").read_text() == "1\n"
    assert [backup["name"] for backup in desk.backups(www)] == ["pre-receive"]


def test_a_repository_that_updates_its_own_work_tree_is_saved_before(desk: Desk, shop: Path) -> None:
    live = desk.base / "live"
    desk.git("clone", "-q", shop, live, cwd=desk.base)
    desk.git("config", "receive.denyCurrentBranch", "updateInstead", cwd=live)
    desk.cronos("hooks", "install", "pre-receive", cwd=live)
    (shop / "f").write_text("2\n")
    desk.commit(shop, "two")
    desk.git("push", "-q", live, "main", cwd=shop)
    assert (live / "f").read_text() == "2\n"
    (backup,) = desk.backups(live)
    assert desk.cronos("-C", live, "cat", f"{backup['id']}:f", cwd=desk.base).out == "1\n"


# --- the pre-commit framework -----------------------------------------------------------------------------------------


def test_the_hooks_for_the_pre_commit_framework_call_hooks_that_exist() -> None:
    entries = yaml.safe_load((SOURCE / ".pre-commit-hooks.yaml").read_text())
    called = {entry["entry"].removeprefix("cronos hooks run "): entry["stages"] for entry in entries}
    assert called == {name: [name] for name, kind in HOOKS.items() if not kind.server and not kind.manual}
    assert all(entry["always_run"] and not entry["pass_filenames"] for entry in entries)


def test_what_the_framework_tells_of_a_push_is_noted(desk: Desk, shop: Path) -> None:
    told = {"PRE_COMMIT_REMOTE_NAME": "origin", "PRE_COMMIT_REMOTE_URL": "ssh://me@host/shop"}
    desk.cronos("hooks", "run", "pre-push", cwd=shop, **told)
    metadata = desk.backups(shop)[0]["metadata"]
    assert (metadata["remote"], metadata["url"]) == ("origin", "ssh://host/shop")
