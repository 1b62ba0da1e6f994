from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from cronos_git.errors import GitCommandError, GitVersionError
from cronos_git.git import session
from cronos_git.git.session import GitSession, git_version, require_git
from tests.support.git import git
from tests.support.stores import make_backup, make_store, put_backups


def _fake_git(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.mkdir()
    program = directory / "git"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory))


def _plant_hook(directory: Path, trace: Path) -> None:
    directory.mkdir()
    hook = directory / "reference-transaction"
    hook.write_text(f"#!/bin/sh\ntouch {trace}\n")
    hook.chmod(0o755)


def test_run_gives_bytes_and_status_back(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.git")
    done = GitSession(store.path).run("hash-object", "--stdin", stdin=b"caf\xe9\n")
    assert (done.status, len(done.stdout), done.stderr) == (0, 41, b"")


def test_failure_carries_the_words_of_git(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.git")
    with pytest.raises(GitCommandError, match=r"git cat-file failed with status 128: fatal: .*nowhere") as caught:
        GitSession(store.path).run("cat-file", "-p", "nowhere")
    assert caught.value.context["args"] == ["cat-file", "-p", "nowhere"]


def test_failure_is_data_when_not_checked(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.git")
    assert GitSession(store.path).run("show-ref", "--verify", "refs/heads/none", check=False).status != 0


def test_a_run_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_git(tmp_path / "bin", "exec /bin/sleep 60", monkeypatch)
    with pytest.raises(GitCommandError, match=r"did not finish within 0\.05 s"):
        GitSession().run("gc", timeout_s=0.05)


def test_arguments_reach_no_shell(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.git")
    with pytest.raises(GitCommandError):
        GitSession(store.path).run("rev-parse", "--verify", f"$(touch {tmp_path}/made); touch {tmp_path}/made")
    assert not (tmp_path / "made").exists()


def test_the_environment_of_a_hook_does_not_lead_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, other = make_store(tmp_path / "s.git"), make_store(tmp_path / "other.git")
    for name in ("GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE"):
        monkeypatch.setenv(name, str(other.path))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other.path / "objects"))
    monkeypatch.setenv("GIT_QUARANTINE_PATH", str(other.path / "objects"))
    monkeypatch.setenv("GIT_NAMESPACE", "elsewhere")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.bare=nonsense'")
    oid = GitSession(store.path).run("hash-object", "-w", "--stdin", stdin=b"here").stdout.decode().strip()
    assert (store.path / "objects" / oid[:2] / oid[2:]).exists()
    assert GitSession(store.path).run("rev-parse", "--absolute-git-dir").stdout.decode().strip() == str(store.path)


def test_the_configuration_of_the_user_is_not_read(tmp_path: Path, hermetic: Path) -> None:
    _plant_hook(tmp_path / "hooks", tmp_path / "ran")
    (hermetic / ".gitconfig").write_text(f"[core]\n\thooksPath = {tmp_path}/hooks\n\tautocrlf = true\n[user]\n\tname = mallory\n")
    (hermetic / ".config/git").mkdir(parents=True)
    (hermetic / ".config/git/attributes").write_text("* ident\n")
    store = make_store(tmp_path / "s.git")
    (backup,) = put_backups(store, [make_backup()])
    run = GitSession(store.path).run
    run("update-ref", "refs/heads/x", backup.commit)
    assert run("config", "user.name", check=False).status == 1
    assert b"mallory" not in run("config", "--list").stdout
    assert run("check-attr", "ident", "file").stdout == b"file: ident: unset\n"
    assert not (tmp_path / "ran").exists()


def test_hooks_in_the_store_do_not_run(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.git")
    (backup,) = put_backups(store, [make_backup()])
    _plant_hook(store.path / "hooks", tmp_path / "ran")
    git("--git-dir", store.path, "config", "core.hooksPath", store.path / "hooks")
    GitSession(store.path).run("update-ref", "refs/heads/x", backup.commit)
    assert not (tmp_path / "ran").exists()
    git("--git-dir", store.path, "update-ref", "refs/heads/y", backup.commit)
    assert (tmp_path / "ran").exists(), "the hook was planted wrongly"


def test_every_process_is_told_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Sequence[str]] = []
    monkeypatch.setattr(session, "on_start", started.append)
    store = make_store(tmp_path / "s.git")
    assert started == []
    GitSession(store.path).run("count-objects")
    assert [argv[-2:] for argv in started] == [[f"--git-dir={store.path}", "count-objects"]]


def test_the_installed_git_will_do() -> None:
    assert require_git() == git_version() >= session.MINIMUM_GIT


@pytest.mark.parametrize(
    ("told", "version"), [("2.39.5 (Apple Git-154)", (2, 39, 5)), ("3.0.rc1", (3, 0, 0)), ("2.45.1.windows.1", (2, 45, 1))]
)
def test_versions_of_all_vendors_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, version: tuple[int, int, int]
) -> None:
    _fake_git(tmp_path / "bin", f"echo 'git version {told}'", monkeypatch)
    assert git_version() == version


def test_an_old_git_is_refused_with_both_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_git(tmp_path / "bin", "echo git version 2.30.2", monkeypatch)
    with pytest.raises(GitVersionError, match=r"2\.30\.2 is too old; CRONOS needs 2\.34\.0") as caught:
        require_git()
    assert caught.value.exit_status == 16
    assert caught.value.hint


def test_a_git_that_tells_no_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_git(tmp_path / "bin", "echo hello", monkeypatch)
    with pytest.raises(GitVersionError, match="'hello'"):
        require_git()


def test_without_git_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitVersionError, match="not installed") as caught:
        require_git()
    assert "Install git" in caught.value.hint


def test_exec_replaces_the_process_by_stock_git_with_the_users_taste_only(tmp_path: Path, hermetic: Path) -> None:
    _plant_hook(tmp_path / "hooks", tmp_path / "ran")
    (hermetic / ".gitconfig").write_text(f"[core]\n\thooksPath = {tmp_path}/hooks\n[alias]\n\tmine = config gc.auto\n")
    store = make_store(tmp_path / "s.git")
    (backup,) = put_backups(store, [make_backup()])
    environment = {"HOME": str(hermetic), "PATH": os.environ["PATH"], "GIT_DIR": "/nowhere", "GIT_NAMESPACE": "elsewhere"}
    assert _exec(store.path, ["mine"], environment, tmp_path / "out") == (0, "0\n")
    assert _exec(store.path, ["update-ref", "refs/heads/x", backup.commit], environment, tmp_path / "out")[0] == 0
    assert _exec(store.path, ["show-ref", "--verify", "refs/heads/none"], environment, tmp_path / "out")[0] == 128
    assert store.ref("refs/heads/x") == backup.commit
    assert not (tmp_path / "ran").exists()


def _exec(git_dir: Path, args: list[str], environment: dict[str, str], output: Path) -> tuple[int, str]:
    child = os.fork()
    if child == 0:
        try:
            fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(fd, 1)
            os.dup2(fd, 2)
            session.exec_git(git_dir, args, environment)
        finally:
            os._exit(99)
    _pid, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), output.read_text()


def test_importing_the_session_loads_no_process_machinery() -> None:
    code = "import sys; import cronos_git.git.session; sys.exit('subprocess' in sys.modules)"
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0


def test_what_git_says_is_watched_as_it_comes_and_progress_is_no_part_of_an_error(tmp_path: Path) -> None:
    git("init", "--bare", "--quiet", tmp_path / "x.git")
    session = GitSession(tmp_path / "x.git")
    blob = session.run("hash-object", "-w", "--stdin", stdin=b"text").stdout
    seen: list[str] = []
    done = session.run("pack-objects", "--progress", str(tmp_path / "pack"), stdin=blob, watch=seen.append)
    assert re.fullmatch(rb"[0-9a-f]{40}\n", done.stdout)
    assert any(line.startswith("Writing objects: 100% (1/1)") for line in seen)
    assert not re.search(rb"\d%", done.stderr)
    with pytest.raises(GitCommandError, match="expected object ID"):
        session.run("pack-objects", "--progress", str(tmp_path / "pack"), stdin=b"nonsense\n", watch=seen.append)


def test_a_watcher_that_has_enough_ends_git(tmp_path: Path) -> None:
    git("init", "--bare", "--quiet", tmp_path / "x.git")

    def enough(_line: str) -> None:
        raise KeyboardInterrupt

    session = GitSession(tmp_path / "x.git")
    with pytest.raises(KeyboardInterrupt):
        session.run("pack-objects", "--progress", str(tmp_path / "pack"), stdin=b"", watch=enough)
