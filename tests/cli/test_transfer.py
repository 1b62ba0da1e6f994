"""`remote`, `push`, `fetch`, `sync` and `clone` word for word, over every kind of URL."""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cronos_git.cli.app import run
from cronos_git.engine import Cronos
from cronos_git.git.store import store_path
from cronos_git.rules.record import Identity
from tests.cli.test_transcripts import World
from tests.support.git import git
from tests.support.remotes import APPEND_ONLY, assert_sound, hook, listed, make_remote, names, object_count

SENT = re.compile(r"[\d.]+ ([KM]iB|B) in \d+\.\d s")


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path / "remote.git", *APPEND_ONLY)


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    made = World(tmp_path, capsys)
    made.write({"a": "hello\n", "b/c": "x"})
    made("create", "first")
    made.clock.advance(hours=1)
    return made


def other_world(world: World, host: str) -> World:
    """Another machine, with a project of the same name."""

    class Other(World):
        def open_engine(self, **_places: object) -> Cronos:
            engine = super().open_engine()
            engine.identity = Identity(user="bob", host=host)
            engine.store_path = store_path(self.base / host / "stores", self.project)
            return engine

    (world.base / host).mkdir()
    other = Other(world.base, world.capture)
    other.project = world.base / host / "site"
    other.clock = world.clock
    other.write({"a": "other\n"})
    return other


# --- the story ---


def test_the_story(world: World, remote: Path) -> None:
    assert world("push") == (
        2,
        "",
        "error: There are no remotes yet.\nhint: Add one with `cronos remote add NAME URL`.\n",
    )
    assert world("remote", "list") == (
        0,
        "NAME  URL\n",
        "note: No remotes; `cronos remote add NAME URL` adds one.\n",
    )
    assert world("remote", "add", "origin", str(remote)) == (
        0,
        "NAME    URL\norigin  <base>/remote.git\n",
        "note: `cronos push origin` sends the backups there.\n",
    )
    dry = world("push", "-n")
    assert dry.out.splitlines()[1].startswith("first_20260401_120000")
    assert dry.err == "note: Would send 1 backup to origin (<base>/remote.git); 0 are there.\n"
    assert listed(remote) == {}
    told = world("push")
    assert (told.status, told.err) == (0, "")
    assert SENT.sub("<sent>", told.out.replace("in <time>", "in 0.0 s")) == (
        "Sent 1 backup, moved main; origin (<base>/remote.git) has 1 backup of here. <sent>.\n"
    )
    assert world("push") == (0, "Nothing to send; origin (<base>/remote.git) has 1 backup of here.\n", "")
    assert world("remote", "show") == (0, "origin (<base>/remote.git) has 1 backup as here.\n", "")
    assert world("create", "second", "-q").status == 0
    shown = world("remote", "show", "origin")
    assert (shown.status, shown.out.splitlines()[1]) == (3, "Lacks: second_20260401_130000")
    assert world("push", "-q") == (0, "second_20260401_130000\n", "")
    assert world("push", "-q") == (0, "", "")
    assert world("fetch") == (0, "", "note: Got 0 backups from origin (<base>/remote.git).\n")
    assert world("sync", "-q") == (0, "", "")
    assert world("remote", "remove", "origin") == (
        0,
        "",
        "note: Forgot origin (<base>/remote.git); what it holds stays there.\n",
    )
    assert world("remote", "remove", "origin").status == 2
    assert world("remote", "list", "-q") == (0, "", "")
    assert names(remote) == "fs"


def test_a_new_machine(world: World, remote: Path, tmp_path: Path) -> None:
    world("remote", "add", "origin", str(remote))
    world("push")
    new = other_world(world, "new")
    assert new("push").status == 10
    told = new("clone", str(remote))
    assert (told.status, told.out.splitlines()[1].split()[0]) == (0, "first_20260401_120000")
    assert re.sub("stored .*", "", told.err) == "note: Got 1 backup from origin (<base>/remote.git); \n"
    assert new("restore", "latest", "--to", str(tmp_path / "out"), "-q").status == 0
    assert (tmp_path / "out/a").read_text() == "hello\n"
    assert new("clone", str(remote)).status == 13
    assert new("remote", "list").out == "NAME    URL\norigin  <base>/remote.git\n"


def test_a_clone_of_what_holds_no_backups_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path, capsys)
    world.write({"a": "x"})
    empty = make_remote(tmp_path / "empty.git")
    for _ in range(2):
        told = world("clone", str(empty), "-q")
        assert told == (0, "", "warning: There are no backups at origin (<base>/empty.git).\n")
    told = world("clone", str(tmp_path / "nothing.git"), "--name", "other")
    assert (told.status, told.out) == (14, "")
    assert world("create", "first", "-q").status == 0


def test_two_machines_sync_to_one_remote(world: World, remote: Path) -> None:
    world("remote", "add", "origin", str(remote))
    world("push")
    other = other_world(world, "other")
    world.clock.advance(hours=-1)
    other("create", "first")
    other("remote", "add", "origin", str(remote))
    told = other("sync")
    assert "note: first_20260401_120000 is called first_20260401_120000_2 here, as its id was taken.\n" in told.err
    assert "note: first_20260401_120000 is called first_20260401_120000_2 there, as its id was taken.\n" in told.err
    assert "moved machine/other/main" in told.out
    assert world("fetch", "-q") == (0, "first_20260401_120000_2\n", "")
    for one in (world, other):
        assert one("sync", "-q") == (0, "", "")
        assert len(one.json("list")) == 2
    assert_sound(remote)


def test_json(world: World, remote: Path) -> None:
    (added,) = world.json("remote", "add", "origin", str(remote))
    assert (added["name"], added["url"]) == ("origin", str(remote))
    (plan,) = world.json("push", "-n")
    assert [backup["id"] for backup in plan["missing"]] == ["first_20260401_120000"]
    (report,) = world.json("push")
    assert (report["pushed"], report["branches"], report["plan"]["there"]) == (["first_20260401_120000"], ["main"], 0)
    assert report["sent_bytes"] > 0
    (report,) = world.json("remote", "show")
    assert (report["same"], report["missing"]) == (1, [])
    (report,) = world.json("fetch")
    assert (report["backups"], report["plan"]["there"]) == ([], 1)
    (report,) = world.json("fetch", "-n")
    assert report["missing"] == []
    (both,) = world.json("sync")
    assert set(both) >= {"fetch", "push"}
    (listing,) = world.json("remote", "list")
    assert listing["url"] == str(remote)


def test_what_was_dropped_is_told(world: World, remote: Path) -> None:
    world("remote", "add", "origin", str(remote))
    world("create", "second")
    world("push")
    world("delete", "first", "--yes")
    world("compact", "--trash-days", "0")
    assert "note: 1 backup there was dropped here; --prune removes it there too.\n" in world("push").err
    assert "note: 1 backup there was dropped here; --dropped gets it too.\n" in world("fetch").err
    dry = world("fetch", "--dropped", "-n")
    assert (dry.out, dry.err) == (
        "first_20260401_120000\n",
        "note: Would get 1 backup from origin (<base>/remote.git); 1 is here.\n",
    )
    assert world("fetch", "--dropped", "-q").out == "first_20260401_120000\n"


def test_labels_that_were_changed_since_are_told(world: World, remote: Path) -> None:
    world("remote", "add", "origin", str(remote))
    world("push")
    world("pin", "first")
    told = world("push")
    assert told.err == "note: 1 backup there has other labels, pins or descriptions; --amended sends those of here.\n"
    assert "mended 1" in world("push", "--amended").out
    assert world("push").err == ""


# --- failures ---


def test_a_remote_that_is_gone_or_refuses_ends_with_14(world: World, remote: Path, tmp_path: Path) -> None:
    world("remote", "add", "origin", str(remote))
    hook(remote, "pre-receive", "printf 'no \\033[31mroom\\007 here\\n'; exit 1\n")
    told = world("push")
    assert told.status == 14
    assert "has not taken 1 of 1 backups, such as first_20260401_120000" in told.err
    assert "no \\x1b[31mroom\\x07 here" in told.err
    remote.rename(tmp_path / "away")
    for command in ("push", "fetch", "sync"):
        told = world(command)
        assert (told.status, told.out) == (14, "")
        assert "could not be asked" in told.err
        assert "Traceback" not in told.err
    assert run(["push", "--json"], open_engine=world.open_engine) == 14
    error = json.loads(world.capture.readouterr().out)["error"]
    assert (error["code"], error["exit_status"]) == ("remote.failed", 14)
    assert world("list", "-q").status == 0


def test_a_note_of_the_remote_does_not_steer_the_terminal(world: World, remote: Path) -> None:
    world("remote", "add", "origin", str(remote))
    world("push")
    world("pin", "first")
    hook(remote, "update", "printf '\\033]0;title\\007no\\n' >&2; exit 1\n")
    told = world("push", "--amended")
    assert "\x1b" not in told.err + told.out
    assert "\x07" not in told.err + told.out
    assert "was not amended there" in told.err


HOSTILE = [
    "ext::sh -c touch% /tmp/cronos-was-here",
    "gcrypt::ext::sh -c touch% /tmp/cronos-was-here",
    "gcrypt::gcrypt::/x",
    "--upload-pack=touch /tmp/cronos-was-here",
    "-oProxyCommand=touch /tmp/cronos-was-here",
    "ssh://-oProxyCommand=x/",
    "ssh://user@-oProxyCommand=x/y",
    "-oProxyCommand=x:y",
    "user@-oProxyCommand=x:y",
    "http://-x",
    "ftp://host/x",
    "git://host/x",
    "javascript://x",
    "fd::3",
    "/path\nwith newline",
    "https://host/\x1b[31m",
    "https:///x",
]


def test_urls_that_could_run_something_are_refused(world: World) -> None:
    for url in HOSTILE:
        told = world("remote", "add", "x", "--", url)
        assert told.status == 13, url
        assert "\x1b" not in told.err
        assert world("clone", "--", url).status == 13
    assert world("remote", "add", "x", "").status == 2
    assert world("remote", "list", "-q").out == ""
    assert not Path("/tmp/cronos-was-here").exists()


def test_names_that_git_would_misread_are_refused(world: World) -> None:
    for name in ["-x", "", "a/b", "a b", "x\n", "../x", "a..b", "x.lock", "remote.x]", "ä"]:
        assert world("remote", "add", "--", name, "/x").status == 2, name
    assert world("remote", "list", "-q").out == ""


def test_paths_are_made_absolute(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hermetic: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, url in (("a", "remote.git"), ("b", "./x/../y"), ("c", "~/z"), ("d", 'quo"te\\d #;')):
        assert world("remote", "add", name, url, "-q").status == 0
    urls = {one["name"]: one["url"] for one in world.json("remote", "list")}
    assert urls == {
        "a": f"{tmp_path}/remote.git",
        "b": f"{tmp_path}/y",
        "c": f"{hermetic}/z",
        "d": f'{tmp_path}/quo"te\\d #;',
    }
    store = world.open_engine().store_path
    assert git("--git-dir", store, "config", "remote.d.url") == f'{tmp_path}/quo"te\\d #;\n'
    assert world("remote", "remove", "b", "-q").status == 0
    assert len(world.json("remote", "list")) == 3
    assert (store / "config").stat().st_mode & 0o77 == 0


# --- secrets ---


USERS = ["u:geheim", "u:ge@heim", "geheimgeheimgeheimgeheim", "u:ge/heim", ":geheim"]


def test_passwords_are_never_shown_or_logged(world: World) -> None:
    told = []
    for url in (f"http://{user}@127.0.0.1:9/x.git" for user in USERS):
        told.append(world("remote", "add", "x", url))
        told.append(world("remote", "add", "x", url, "--json"))
        told.append(world("clone", url, "--json"))
        told.append(world("push"))
        told.append(world("remote", "remove", "x"))
    world("remote", "add", "x", "http://u:geheim@127.0.0.1:9/x.git", "-q")
    told += [world("remote", "list"), world("fetch", "--json"), world("push", "-vv"), world("operations", "--json")]
    text = "".join(one.out + one.err for one in told)
    log = (world.open_engine().store_path / "cronos/operations.jsonl").read_text()
    assert "heim" not in text + log
    assert "http://u:***@127.0.0.1:9/x.git" in log
    assert "Internal" not in text
    assert told[-3].status == 14


# --- transports ---


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A server of smart HTTP for all repositories of the test; its URL."""
    place = tmp_path

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            length = self.headers.get("Content-Length")
            body = self.rfile.read(int(length)) if length else self._chunks()
            env = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(place),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REMOTE_USER": "tester",
            }
            done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False)
            head, _, answer = done.stdout.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET  # noqa: N815 - the name that http.server looks for

        def _chunks(self) -> bytes:
            body = b""
            while self.headers.get("Transfer-Encoding") == "chunked" and (size := int(self.rfile.readline(), 16)):
                body += self.rfile.read(size)
                self.rfile.readline()
            return body

        def log_message(self, *_arguments: Any) -> None:
            return None

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_over_http(world: World, remote: Path, web: str) -> None:
    assert world("remote", "add", "origin", f"{web}/remote.git", "-q").status == 0
    assert world("push").status == 0
    world.write({f"n{number}": str(number) for number in range(30)})
    world("create", "second")
    sent = world.json("push")[0]
    world.write({"n1": "changed"})
    world.clock.advance(hours=1)
    world("create", "third")
    assert world.json("push")[0]["objects"] < sent["objects"] / 2
    assert names(remote) == "fst"
    new = other_world(world, "new")
    assert new("clone", f"{web}/remote.git", "-q").out.splitlines() == [one["id"] for one in world.json("list")[::-1]]
    world.write({"n2": "changed"})
    world.clock.advance(hours=1)
    world("create", "fourth")
    world("push")
    before = object_count(new.open_engine().store_path)
    assert len(new.json("fetch")[0]["backups"]) == 1
    assert object_count(new.open_engine().store_path) - before < 16
    assert world("remote", "add", "gone", f"{web}/nothing.git", "-q").status == 0
    assert world("push", "gone").status == 14
    assert_sound(remote)


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for ssh: runs the command here, and notes how it was called."""
    script, log = tmp_path / "ssh", tmp_path / "ssh.log"
    script.write_text(
        f'#!{sys.executable}\nimport os, sys\nopen({str(log)!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")\n'
        'os.execvp("sh", ["sh", "-c", sys.argv[-1]])\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(script))
    return log


def test_over_ssh(world: World, remote: Path, ssh: Path) -> None:
    assert world("remote", "add", "origin", f"backup@nas.example:{remote}", "-q").status == 0
    assert world("remote", "add", "other", f"ssh://backup@nas.example:2222{remote}", "-q").status == 0
    assert world("push", "origin", "-q").out == "first_20260401_120000\n"
    assert world("push", "other").out.startswith("Nothing to send")
    assert "backup@nas.example git-receive-pack" in ssh.read_text()
    assert "-p 2222" in ssh.read_text()
    new = other_world(world, "new")
    assert new("clone", f"backup@nas.example:{remote}", "-q").out == "first_20260401_120000\n"


def test_a_process_that_outlives_git_does_not_hold_the_push_up(
    world: World, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the master of shared SSH connections does, which keeps standard error open."""
    script, note = tmp_path / "ssh", tmp_path / "pids"
    script.write_text(
        f'#!/bin/sh\nsleep 60 </dev/null >/dev/null &\necho $! >>{note}\nfor last; do :; done\nexec sh -c "$last"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(script))
    world("remote", "add", "origin", f"nas:{remote}")
    try:
        assert world("push", "-q") == (0, "first_20260401_120000\n", "")
        alive = [pid for pid in note.read_text().split() if Path(f"/proc/{pid}").exists()]
        assert alive
    finally:
        for pid in note.read_text().split():
            os.kill(int(pid), 9)


# --- what the environment says ---


def test_inside_a_hook_of_another_repository(world: World, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = tmp_path / "foreign"
    git("init", "--quiet", foreign)
    for name, value in {
        "GIT_DIR": foreign / ".git",
        "GIT_WORK_TREE": foreign,
        "GIT_INDEX_FILE": foreign / ".git/index",
        "GIT_OBJECT_DIRECTORY": foreign / ".git/objects",
        "GIT_QUARANTINE_PATH": foreign / ".git/objects/incoming",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "/nowhere",
        "GIT_NAMESPACE": "elsewhere",
        "GIT_CONFIG_PARAMETERS": "'core.bare'='nonsense'",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "remote.origin.url",
        "GIT_CONFIG_VALUE_0": "/nowhere",
        "GIT_TRACE": "1",
        "GIT_GRAFT_FILE": "/nowhere",
        "GIT_SHALLOW_FILE": "/nowhere",
    }.items():
        monkeypatch.setenv(name, str(value))
    world("remote", "add", "origin", str(remote))
    assert world("push", "-q") == (0, "first_20260401_120000\n", "")
    assert world("sync", "-q") == (0, "", "")
    new = other_world(world, "new")
    assert new("clone", str(remote), "-q") == (0, "first_20260401_120000\n", "")
    assert names(remote) == "f"
    assert not list((foreign / ".git/refs").rglob("*_*"))


def test_what_users_configure_for_their_own_work_does_no_harm(world: World, remote: Path, tmp_path: Path, hermetic: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "hooks").mkdir()
    for name in ("pre-push", "reference-transaction", "post-checkout", "post-update"):
        (tmp_path / "hooks" / name).write_text(f"#!/bin/sh\ncase $PWD in *stores*) touch {ran}; exit 1;; esac\n")
        (tmp_path / "hooks" / name).chmod(0o755)
    (hermetic / ".gitconfig").write_text(
        f"""
[core]\n hooksPath = {tmp_path}/hooks\n fsmonitor = touch {ran}\n
[push]\n followTags = true\n default = matching\n gpgSign = if-asked\n recurseSubmodules = on-demand\n useForceIfIncludes = true\n
[fetch]\n prune = true\n pruneTags = true\n recurseSubmodules = true\n parallel = 3\n writeCommitGraph = true\n
[remote]\n pushDefault = nowhere\n
[tag]\n gpgSign = true\n
[gc]\n auto = 1\n autoDetach = false\n
[transfer]\n unpackLimit = 10000\n
[pack]\n useBitmapBoundaryTraversal = true\n
[color]\n ui = always\n push = always\n
[alias]\n push = !touch {ran}\n
[url "ext::sh -c touch% {ran}"]\n insteadOf = evil:\n
[protocol]\n allow = always\n
"""
    )
    world("remote", "add", "origin", str(remote))
    assert world("push", "-q") == (0, "first_20260401_120000\n", "")
    assert sorted(listed(remote, "refs/")) == ["heads/main", "tags/backup/first_20260401_120000"]
    new = other_world(world, "new")
    assert new("clone", str(remote), "-q") == (0, "first_20260401_120000\n", "")
    world("remote", "add", "evil", "evil:x")
    assert world("push", "evil").status == 14
    assert not ran.exists()


def test_odd_names_of_projects_and_remotes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """GitPython would expand `$HOME`, and read the configuration as UTF-8."""
    world = World(tmp_path, capsys)
    world.project = tmp_path / 'pay $HOME %PATH% "x" ü~'
    world.write({"a": "x"})
    assert world("create", "first", "-q").status == 0
    remote = make_remote(Path(os.fsdecode(os.fsencode(tmp_path / "odd $HOME \\ ") + b"\xff.git")))
    assert world("remote", "add", "origin", str(remote), "-q") == (0, "", "")
    assert world("push", "-q") == (0, "first_20260401_120000\n", "")
    assert world("fetch").status == 0
    assert "\\xff.git" in world("remote", "list").out
    new = other_world(world, "new")
    assert new("clone", str(remote), "-q") == (0, "first_20260401_120000\n", "")
