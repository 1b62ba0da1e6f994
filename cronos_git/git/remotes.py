"""The remotes that a store knows: in its Git configuration, where stock git finds them too.

They have no fetch refspec: a push would leave remote-tracking branches in the store then, which no compaction could tell from
backups. Floor F6.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from cronos_git.disk import files
from cronos_git.git.session import GitSession
from cronos_git.git.store import Store
from cronos_git.model import Remote
from cronos_git.rules.remotes import shown

_NOTHING_FOUND = 1


def remotes(store: Store) -> list[Remote]:
    """The remotes in the order of their names.

    Raises:
        GitCommandError, GitVersionError: The configuration cannot be read.
    """
    asked = GitSession(store.path).run("config", "-z", "--get-regexp", r"^remote\..*\.url$", answers=(0, _NOTHING_FOUND))
    found = {}
    for item in asked.stdout.decode("utf-8", "surrogateescape").split("\0"):
        key, _, url = item.partition("\n")
        if url:
            found[key.removeprefix("remote.").removesuffix(".url")] = url
    return [Remote(name=name, url=shown(found[name])) for name in sorted(found)]


def section(name: str, url: str) -> bytes:
    """What a configuration says of a remote whose name and URL have been checked (`rules.remotes`)."""
    quoted = url.replace("\\", "\\\\").replace('"', '\\"')
    return os.fsencode(f'[remote "{name}"]\n\turl = "{quoted}"\n')


def add(store: Store, name: str, url: str) -> None:
    """Write a remote into the store's configuration, which nobody else may read. Needs the exclusive lock.

    Not with `git config`: a password in the URL would stand on a command line, which everybody on the machine can read.

    Raises:
        DiskFullError, AccessError, HostError: It was not written.

    Durability: when this returns, the remote is known also after a power cut.
    """
    config = store.path / "config"
    try:
        content = config.read_bytes()
    except OSError as error:
        raise files.host_error(error, f"read {config}") from error
    files.write_durable(config, content.rstrip(b"\n") + b"\n" + section(name, url))


def remove(store: Store, name: str) -> None:
    """Take a remote, and all that is said of it, out of the store's configuration. Needs the exclusive lock.

    Raises:
        GitCommandError, GitVersionError: It was not removed.
    """
    GitSession(store.path).run("config", "--remove-section", f"remote.{name}")


def pushed_branches(store: Store, name: str) -> dict[str, str]:
    """Where this store's pushes left the branches of a remote; empty when that is not known."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        told = json.loads(_path(store).read_bytes()).get(name, {})
        return {str(ref): str(oid) for ref, oid in told.items()}
    return {}


def remember_branches(store: Store, name: str, branches: Mapping[str, str]) -> None:
    """Note where branches of a remote are now. Lost, a push takes them for another machine's and uses other names."""
    told: dict[str, object] = {}
    with contextlib.suppress(OSError, ValueError):
        told = dict(json.loads(_path(store).read_bytes()))
    told[name] = {**pushed_branches(store, name), **branches}
    files.write_disposable(_path(store), json.dumps(told, sort_keys=True).encode())


def _path(store: Store) -> Path:
    return store.cronos_dir / "pushed.json"
