"""Other repositories: which URLs are let through to git, how they are shown, and which backups two sides have in common.

A URL is text that reaches a command line and a network, so only what is known is let through: a path, `file://`, `ssh://`,
`user@host:path`, `https://`, `http://`, and these behind `gcrypt::` (git-remote-gcrypt, which encrypts). `ext::` and all other
helpers run commands. Floor F4: pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from cronos_git.errors import RefusedError, UsageError
from cronos_git.model import Backup, Remote, RemoteBackup

BACKUPS = "refs/tags/backup/"
"""Where a remote has backups, as the store does."""

DEFAULT_NAME = "origin"

_ENCRYPTED = "gcrypt::"
_ID = re.compile(r"[a-z0-9_][a-z0-9._-]*_[0-9]{8}_[0-9]{6}(?:_[0-9]+)?")  # as `rules.record` reads it
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*")
_HELPER = re.compile(r"^[a-zA-Z0-9+.-]*::")
_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*)://(.*)", re.DOTALL)
_SCP_LIKE = re.compile(r"^(?:[^/@:]+@)?(\[[0-9a-fA-F:.]+\]|[^/@:]+):.+")
_HOST = re.compile(r"^(?:(?!-)[^@/]*@)?(\[[0-9a-fA-F:.%]+\]|[a-zA-Z0-9_][a-zA-Z0-9_.-]*)(?::\d+)?(?:/|$)")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):(?!\d*/)\S*@")  # to the last @: more may be hidden than need be
_TOKEN = re.compile(r"(?<=://)[^/@\s:]{20,}@")  # what stands for a user is as secret there
_BUS_TOKEN = re.compile(r"\b((?:nats|tls|wss?)://)[^/@\s:]+@", re.IGNORECASE)  # without a password NATS takes any user for one
_SCHEMES = ("file", "ssh", "https", "http")
_ENCRYPTED_SCHEMES = (*_SCHEMES, "rsync", "sftp")
_HINT = "Give a path, file://, ssh://, user@host:path or https://; `gcrypt::` before it encrypts the copy."


def check_name(name: str) -> str:
    """*name*, when a remote can be called so.

    Raises:
        UsageError: It cannot.
    """
    if not _NAME.fullmatch(name) or ".." in name or name.endswith((".", ".lock")):
        raise UsageError(f"A remote cannot be called {name!r}.", hint="Use letters, digits, '.', '_' and '-', such as `origin`.")
    return name


def check_url(url: str) -> str:
    """*url*, when git may be given it. A path is to be absolute already, see `is_path`.

    Raises:
        UsageError: It is empty.
        RefusedError: Git would take it for an option or run a command for it, or it is of a kind that is not known.
    """
    if not url.strip():
        raise UsageError("The URL of a remote is empty.", hint=_HINT)
    encrypted = url.startswith(_ENCRYPTED)
    plain = url.removeprefix(_ENCRYPTED)
    fault = _fault(plain, _ENCRYPTED_SCHEMES if encrypted else _SCHEMES)
    if fault:
        raise RefusedError(f"The URL {shown(url)!r} {fault}; git is not given it.", hint=_HINT)
    return url


def _fault(url: str, schemes: Collection[str]) -> str:
    """What speaks against a URL; empty when nothing does."""
    if _UNPRINTABLE.search(url):
        return "holds control characters"
    if url.startswith("-"):
        return "would be taken for an option"
    if _HELPER.match(url):
        return "names a helper program"
    match = _SCHEME.match(url)
    if match is None:
        host = _SCP_LIKE.match(url)
        return "has a host that would be taken for an option" if host and host[1].lstrip("[").startswith("-") else ""
    if match[1].lower() not in schemes:
        return f"has the scheme {match[1]}, which is not among {', '.join(schemes)}"
    if match[1].lower() != "file" and not _HOST.match(match[2]):
        return "names no host"
    return ""


def is_encrypted(url: str) -> bool:
    """Whether the copies at *url* are encrypted on their way there, by git-remote-gcrypt."""
    return url.startswith(_ENCRYPTED)


def is_path(url: str) -> bool:
    """Whether *url* is a path, which means another place from another working directory."""
    return not (_HELPER.match(url) or _SCHEME.match(url) or (_SCP_LIKE.match(url) and not url.startswith(("/", "."))))


def shown(text: str) -> str:
    """*text* with the passwords of URLs in it hidden, and tokens that stand in place of a user."""
    return _BUS_TOKEN.sub(r"\1***@", _TOKEN.sub("***@", _PASSWORD.sub(r"\1:***@", text)))


def choose(remotes: Sequence[Remote], name: str | None) -> Remote:
    """The remote that *name* means; None means the only one, or `origin`.

    Raises:
        UsageError: There is none of that name, or it is not clear which one is meant.
    """
    if not remotes:
        raise UsageError("There are no remotes yet.", hint="Add one with `cronos remote add NAME URL`.")
    by_name = {remote.name: remote for remote in remotes}
    names = ", ".join(by_name)
    if name is None and len(remotes) > 1 and DEFAULT_NAME not in by_name:
        raise UsageError("There are several remotes, and none of them is called origin.", hint=f"Name one: {names}.")
    chosen = by_name.get(name or (DEFAULT_NAME if len(remotes) > 1 else remotes[0].name))
    if chosen is None:
        raise UsageError(f"There is no remote {name!r}.", hint=f"There are: {names}. `cronos remote add` adds one.")
    return chosen


def backups_of(refs: Mapping[str, str]) -> list[RemoteBackup]:
    """The backups among the refs that a remote lists, by id; what cannot be an id, or leads to nothing further, is none."""
    return [
        RemoteBackup(id=name.removeprefix(BACKUPS), tag=oid, commit=refs[name + "^{}"])
        for name, oid in sorted(refs.items())
        if name.startswith(BACKUPS) and _ID.fullmatch(name, len(BACKUPS)) and name + "^{}" in refs
    ]


def counterpart(backup: Backup, there: Mapping[str, Sequence[RemoteBackup]]) -> RemoteBackup | None:
    """The copy of *backup*, if there is one.

    Args:
        there: The backups of the remote by commit.
    """
    copies = there.get(backup.commit, ())
    return next((copy for copy in copies if copy.id == backup.id), next(iter(copies), None))


def by_commit(backups: Iterable[RemoteBackup]) -> dict[str, list[RemoteBackup]]:
    """The backups of a remote by their commits."""
    found: dict[str, list[RemoteBackup]] = {}
    for backup in backups:
        found.setdefault(backup.commit, []).append(backup)
    return found
