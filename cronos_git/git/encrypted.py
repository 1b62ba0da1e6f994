"""Encrypted remotes (`gcrypt::`): where git-remote-gcrypt works, what it remembers, and what it does not tell.

It keeps notes in the repository that it runs in, and of remotes that are Git repositories a whole copy too, so it gets one of
its own, `cronos/encrypted`, which borrows the store's objects: no compaction and no check meets what it leaves. Deleted, it
costs a download. One git at a time works there, as gcrypt takes no lock. Getting backups is `git.receiving`'s. Floor F6.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cronos_git.disk import files, stage
from cronos_git.errors import RemoteError
from cronos_git.events import Run
from cronos_git.git.incoming import borrowing, build, configured
from cronos_git.git.session import GitSession
from cronos_git.git.store import Store
from cronos_git.git.transfer import RefAnswer, Transfer
from cronos_git.model import Remote
from cronos_git.rules.remotes import BACKUPS, is_encrypted

_PEELED = "cronos/peeled"
_SEEN = "refs/seen"
_NOTHING_FOUND = 1

_FETCH_HEAD = "FETCH_HEAD"

# Every version of what gcrypt keeps in a Git repository is a commit without parents, so git would send and get all of it each
# time. In a repository whose history is cut off somewhere it sends and gets only what is new. The commit need not exist.
_CUT_OFF = "1" * 40


@dataclass(kw_only=True)
class EncryptedTransfer(Transfer):
    """The way from a store to an encrypted remote.

    Attributes:
        git_dir: `workplace(store)`.
        wait_s: How long to wait for another one of this store, in seconds.
    """

    store: Store
    wait_s: float

    def refs(self) -> dict[str, str]:
        """As `Transfer`; commits behind tags are missing where only the remote has the tags. Empty when there is nothing yet.

        Raises:
            RemoteError: As before, or it is another repository than it was.
            StoreLockedError: Another transfer of this store is going on.
        """
        with self._alone():
            refs = super().refs()
            _settle_identity(self)
            self._remember_version()
        return refs | peeled(refs, self.git_dir, self.git_dir)

    def push(self, refspecs: Sequence[str], *, known: Path, leases: Mapping[str, str] | None = None) -> list[RefAnswer]:
        """As `Transfer`.

        Raises:
            RemoteError: As before.
            StoreLockedError: Another transfer of this store is going on.
        """
        with self._alone():
            return super().push(refspecs, known=known, leases=leases)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with files.locked(self.store.cronos_dir / "encrypted.lock", wait_s=self.wait_s):
            # What gcrypt noted before it had written anything counts for nothing: it would take the remote for vanished.
            seen = {path.read_text().strip() for path in (self.git_dir / _SEEN).glob("*")} or {_CUT_OFF}
            shallow = "".join(f"{commit}\n" for commit in sorted(seen)).encode()
            build(self.git_dir, {**configured(self.store), **borrowing(self.store), "shallow": shallow})
            with contextlib.suppress(FileNotFoundError):
                files.unlink(self.git_dir / _FETCH_HEAD)
            yield

    def _remember_version(self) -> None:
        """Keep the version of a Git repository that gcrypt has just got: it deletes its own ref, and git would get all again."""
        path = self.git_dir / _FETCH_HEAD
        match = re.match(rb"[0-9a-f]{40}", path.read_bytes()) if path.is_file() else None
        if match:
            build(self.git_dir, {f"{_SEEN}/{self.remote.name}": match[0] + b"\n"})


def connect(store: Store, remote: Remote, run: Run, wait_s: float = 0.0) -> Transfer:
    """The way from a store to any remote.

    Args:
        wait_s: How long to wait for another transfer to an encrypted remote, in seconds.
    """
    if is_encrypted(remote.url):
        return EncryptedTransfer(git_dir=workplace(store), remote=remote, run=run, store=store, wait_s=wait_s)
    return Transfer(git_dir=store.path, remote=remote, run=run)


def workplace(store: Store) -> Path:
    """The repository in which encrypted remotes are talked to; it may not exist."""
    return store.cronos_dir / "encrypted"


def forget(store: Store) -> None:
    """Remove what gcrypt keeps here."""
    with contextlib.suppress(FileNotFoundError):
        stage.remove_tree(workplace(store))


def unpeeled(refs: Mapping[str, str]) -> list[str]:
    """The backups among *refs* of which the commits are not told."""
    return [name for name in refs if name.startswith(BACKUPS) and not name.endswith("^{}") and name + "^{}" not in refs]


def peeled(refs: Mapping[str, str], repository: Path, notes: Path) -> dict[str, str]:
    """The commits behind the tags among *refs* that tell none, by `<ref>^{}`, as far as they are known.

    Args:
        repository: Has tag objects.
        notes: The workplace, where it is noted what was found once, as the tags may go.
    """
    path = notes / _PEELED
    commits = dict(line.split() for line in path.read_text().splitlines()) if path.is_file() else {}
    names = unpeeled(refs)
    commits |= _commits_behind({refs[name] for name in names} - commits.keys(), repository)
    if names:
        files.write_disposable(path, "".join(f"{tag} {commit}\n" for tag, commit in sorted(commits.items())).encode())
    return {name + "^{}": commits[refs[name]] for name in names if refs[name] in commits}


def _commits_behind(tags: Iterable[str], repository: Path) -> dict[str, str]:
    """The commits of those tags that the repository has."""
    asked = sorted(tags)
    if not asked:
        return {}
    lines = "".join(f"{tag}^{{commit}}\n" for tag in asked).encode()
    told = GitSession(repository).run("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=lines).stdout.decode()
    answers = zip(asked, told.splitlines(), strict=True)
    return {tag: answer.split()[0] for tag, answer in answers if answer.endswith(" commit") and not answer.startswith(tag)}


def _settle_identity(transfer: EncryptedTransfer) -> None:
    """Remember in the store which repository an encrypted remote is. Gcrypt itself only warns when another one stands there.

    Raises:
        RemoteError: It is another one than the last time.
    """
    remote, key = transfer.remote, f"remote.{transfer.remote.name}.gcrypt-id"
    found = _told(transfer.git_dir, key)
    known = _told(transfer.store.path, key)
    if found and known and found != known:
        raise RemoteError(
            f"The remote {remote.name} ({remote.url}) is not the encrypted repository that it was: its id has changed from "
            f"{known} to {found}. Nothing was sent or got.",
            hint=f"If you made it anew, `cronos remote remove {remote.name}` and add it again; if not, somebody replaced it.",
            remote=remote.name,
        )
    if found and not known:
        GitSession(transfer.store.path).run("config", key, found)


def _told(repository: Path, key: str) -> str:
    """What the configuration of a repository itself says, without what it includes."""
    asked = GitSession(repository).run("config", "--local", "--no-includes", "--get", key, answers=(0, _NOTHING_FOUND))
    return asked.stdout.decode("utf-8", "surrogateescape").strip()
