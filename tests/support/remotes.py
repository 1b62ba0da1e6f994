"""Bare repositories that backups are pushed to, and machines that share them."""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

from cronos_git.engine import Cronos
from cronos_git.model import Backup, SnapshotRequest
from cronos_git.rules.record import Identity, format_commit, format_tag, identity_line
from tests.support.clock import FakeClock
from tests.support.engine import LATER, make_engine
from tests.support.git import git
from tests.support.stores import IDENTITY, make_backup
from tests.support.trees import make_tree

APPEND_ONLY = ("receive.denyNonFastForwards", "receive.denyDeletes", "receive.fsckObjects", "transfer.fsckObjects")


def make_remote(path: Path, *settings: str) -> Path:
    """A bare repository with these settings switched on."""
    git("init", "--quiet", "--bare", path)
    for name in settings:
        git("--git-dir", path, "config", name, "true")
    return path


def machine(room: Path, host: str = "testhost", **settings: Any) -> Cronos:
    """The engine of a machine with a project directory and stores of its own."""
    (room / host).mkdir(exist_ok=True)
    engine = make_engine(room / host, clock=FakeClock(LATER), **settings)
    engine.identity = Identity(user="tester", host=host)
    return engine


def saved(engine: Cronos, name: str, content: str | None = None, **request: object) -> Backup:
    """A backup of the project in which the file `which` says *content* or the name, a minute after the one before."""
    make_tree(engine.project, {"which": content or name})
    made = engine.snapshot(SnapshotRequest(name=name, **request)).backup  # type: ignore[arg-type]
    assert isinstance(engine.clock, FakeClock)
    engine.clock.time += timedelta(minutes=1)
    return made


def listed(remote: Path, below: str = "refs/tags/backup/") -> dict[str, str]:
    """What a remote's refs lead to, by their names below a place."""
    lines = git("--git-dir", remote, "for-each-ref", "--format=%(refname) %(objectname)", below).splitlines()
    return {name.removeprefix(below): oid for name, oid in map(str.split, lines)}


def names(remote: Path) -> str:
    """The first letters of the backups that a remote has."""
    return "".join(sorted(backup_id[0] for backup_id in listed(remote)))


def object_count(repository: Path) -> int:
    """How many objects a repository has."""
    return len(git("--git-dir", repository, "cat-file", "--batch-all-objects", "--batch-check").splitlines())


def hook(remote: Path, name: str, script: str) -> Path:
    """A hook of a remote."""
    path = remote / "hooks" / name
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return path


def assert_sound(*repositories: Path) -> None:
    """Strict fsck of each."""
    for repository in repositories:
        told = git("--git-dir", repository, "fsck", "--full", "--strict", "--no-dangling")
        assert "error" not in told


def git_input(*args: str | Path, text: bytes) -> str:
    """What git answers to *text*."""
    env = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(["git", *map(str, args)], input=text, env=env, capture_output=True, check=True).stdout.decode().strip()


def put_hostile(remote: Path, entry: bytes) -> Backup:
    """A backup, right in all else, whose only file has that name in the tree."""

    def put(kind: str, body: bytes) -> bytes:
        oid = git_input("--git-dir", remote, "hash-object", "-t", kind, "-w", "--stdin", "--literally", text=body)
        return bytes.fromhex(oid)

    def tree(*entries: tuple[bytes, bytes, bytes]) -> bytes:
        return put("tree", b"".join(b"%b %b\0%b" % one for one in entries))

    data = tree((b"100644", entry, put("blob", b"evil")))
    records = b"cronos-attributes 1\ndirectory 755 0 1.0 0 0 - .\nfile 644 4 1.000000000 0 0 - %b\n" % entry
    attributes = tree((b"100644", b".cronos%attributes", put("blob", records)))
    meta = tree((b"40000", b"attributes", attributes), (b"100644", b"snapshot.json", put("blob", b'{"format":1}\n')))
    root = tree((b"40000", b"data", data), (b"40000", b"meta", meta))
    who = identity_line(IDENTITY, LATER)
    commit = put("commit", format_commit(tree=root.hex(), parents=(), identity_line=who, message="evil\n"))
    backup = make_backup(9, id="evil_20400101_120000", name="evil", created=LATER, commit=commit.hex())
    tag = put("tag", format_tag(backup, IDENTITY)).hex()
    git("--git-dir", remote, "update-ref", f"refs/tags/backup/{backup.id}", tag)
    return backup
