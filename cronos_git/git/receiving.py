"""Gets backups from a remote into a repository of its own inside the store, where they are checked before they are let in.

It borrows the store's objects, so that only what the store lacks has to come. A fetch that was interrupted leaves it, and the
next one from the same remote goes on with what is there. Talking to the remote is `git.transfer`'s, letting in
`git.incoming`'s. Floor F6.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from cronos_git.disk import files, stage
from cronos_git.errors import GitCommandError, RemoteError, StoreLockedError
from cronos_git.events import Run
from cronos_git.git.encrypted import connect, peeled, unpeeled, workplace
from cronos_git.git.incoming import Quarantine, borrowing, build, configured
from cronos_git.git.refs import BACKUP_TAGS
from cronos_git.git.session import GitSession
from cronos_git.git.store import Store
from cronos_git.git.transfer import Transfer
from cronos_git.model import Remote, RemoteBackup
from cronos_git.rules.remotes import is_encrypted

_PLACE = "fetch"
_MIRROR = "mirror"
_ORIGIN = "cronos/origin"
_BATCH = 50
"""Backups that are got at a time; what came before an interruption has not to come again."""


def refs_of(store: Store, remote: Remote, run: Run, *, wait_s: float = 0.0, will_fetch: bool = False) -> dict[str, str]:
    """What a remote has, as `Transfer.refs`, with the commits behind all tags.

    Args:
        wait_s: How long to wait for another transfer to an encrypted remote, in seconds.
        will_fetch: Keep what has to be got for this.

    Raises:
        RemoteError: It cannot be reached, or is no repository.
        StoreLockedError: A fetch, or another transfer to an encrypted remote, is going on.

    Cost: one request; of an encrypted remote all that it has, when another machine has pushed there since.
    """
    refs = connect(store, remote, run, wait_s).refs()
    if not is_encrypted(remote.url):
        return refs
    if will_fetch and not refs:
        raise RemoteError(
            f"There is no encrypted repository with backups at {remote.url}, or it cannot be reached. Nothing here was changed.",
            hint="Check the URL, the network and your access; git-remote-gcrypt cannot tell which it is.",
            remote=remote.name,
        )
    names = unpeeled(refs)
    if names:
        with files.locked(store.cronos_dir / "fetch.lock"):
            path = store.cronos_dir / _PLACE
            _prepare(path, store, remote, ())
            _fetch(Transfer(git_dir=path, remote=remote, run=run), names)
            refs |= peeled(refs, path, workplace(store))
        if not will_fetch:
            discard(store)
    return refs


@contextlib.contextmanager
def receiving(
    store: Store, remote: Remote, backups: Sequence[RemoteBackup], known: Sequence[str], run: Run
) -> Iterator[Quarantine]:
    """Get backups, and have them apart from the store for the length of the block; after it they are gone from there.

    Args:
        store: Its objects must stay (`Store.objects_stay`).
        known: Commits that the store and the remote both have.

    Raises:
        RemoteError: The remote did not give them, or gave something else; what came whole is used by the next attempt.
        DiskFullError, AccessError, HostError, GitVersionError, InterruptedRunError: As before.
        StoreLockedError: Another fetch is going on.

    Cost: what the store lacks, over the network and onto the disk; everything that is new is hashed twice.
    """
    with files.locked(store.cronos_dir / "fetch.lock"):
        path = store.cronos_dir / _PLACE
        _prepare(path, store, remote, known)
        _fetch(Transfer(git_dir=path, remote=remote, run=run), _names(backups))
        if is_encrypted(remote.url):
            _drop_others(path)
        _check(path, remote, backups)
        yield Quarantine(path, store)
        with contextlib.suppress(OSError):
            stage.remove_tree(path)


@contextlib.contextmanager
def mirrored(
    store: Store, remote: Remote, backups: Sequence[RemoteBackup], run: Run, faults: list[str] | None = None
) -> Iterator[Path]:
    """Get all of some backups, also what the store has, into a repository that lasts for the length of the block.

    Args:
        faults: Where it is told what is wrong with those that a damaged remote cannot give; None to get all or none.

    Raises:
        RemoteError: The remote did not give them; they are checked object by object as they come, and not whether all came.
        DiskFullError, AccessError, HostError, GitVersionError, InterruptedRunError: As before.
        StoreLockedError: Another one gets everything from this remote.

    Cost: everything over the network and onto the disk; killed meanwhile, the next one removes what is left.
    """
    name = f"{_MIRROR}.{hashlib.sha256(os.fsencode(remote.name)).hexdigest()[:8]}"  # a repair has those of several at a time
    with files.locked(store.cronos_dir / f"{name}.lock"):
        path = store.cronos_dir / name
        with contextlib.suppress(FileNotFoundError):
            stage.remove_tree(path)
        try:
            build(path, configured(store))
            transfer = Transfer(git_dir=path, remote=remote, run=run)
            if faults is None:
                _fetch(transfer, _names(backups))
            else:
                _fetch_what_comes(transfer, _names(backups), faults)
            yield path
        finally:
            with contextlib.suppress(OSError):
                stage.remove_tree(path)


def faults_of(path: Path) -> list[str]:
    """What git finds wrong with a repository of `mirrored`, a line each; empty when all is whole.

    Cost: every object is read and hashed.
    """
    found = GitSession(path).run("fsck", "--full", "--strict", "--no-dangling", "--no-progress", check=False)
    lines = (found.stdout + found.stderr).decode("utf-8", "replace").splitlines()
    told = [line for line in lines if not line.startswith("notice: ")]
    return told or ([f"git fsck ends with status {found.status}"] if found.status else [])


def _fetch(transfer: Transfer, refs: Sequence[str]) -> None:
    for start in range(0, len(refs), _BATCH):
        transfer.fetch([f"+{ref}:{ref}" for ref in refs[start : start + _BATCH]])


def _fetch_what_comes(transfer: Transfer, refs: Sequence[str], faults: list[str]) -> None:
    """Get what a damaged remote can give: one object that it cannot read fails a whole fetch, so it is asked for less and less.

    Raises:
        RemoteError: It cannot be reached any more.
    """
    try:
        _fetch(transfer, refs)
    except RemoteError as error:
        transfer.refs()
        if len(refs) == 1:
            faults.append(error.message)
        else:
            _fetch_what_comes(transfer, refs[: len(refs) // 2], faults)
            _fetch_what_comes(transfer, refs[len(refs) // 2 :], faults)


def _names(backups: Sequence[RemoteBackup]) -> list[str]:
    return [f"{BACKUP_TAGS}{backup.id}" for backup in backups]


def discard(store: Store) -> None:
    """Remove what an interrupted fetch left, unless one is going on."""
    with contextlib.suppress(OSError, StoreLockedError), files.locked(store.cronos_dir / "fetch.lock"):
        stage.remove_tree(store.cronos_dir / _PLACE)


def _prepare(path: Path, store: Store, remote: Remote, known: Sequence[str]) -> None:
    """Make the repository, or take the one that an interrupted fetch from the same remote left."""
    origin = f"{remote.name} {remote.url}\n".encode("utf-8", "surrogateescape")
    if not (path / _ORIGIN).is_file() or (path / _ORIGIN).read_bytes() != origin or not _is_whole(path):
        with contextlib.suppress(FileNotFoundError):
            stage.remove_tree(path)
        lent = (workplace(store),) if is_encrypted(remote.url) else ()
        build(path, {**configured(store), **borrowing(store, *lent), _ORIGIN: origin})
    lines = [f"{oid} refs/known/{number:06d}\n" for number, oid in enumerate(sorted(set(known)))]
    files.write_disposable(path / "packed-refs", ("# pack-refs with: sorted \n" + "".join(lines)).encode())
    # A remote leaves out the trees of what we have only when these are parents of what it sends, which no backup is, or when
    # we say that our history is cut off somewhere; so we say that it is cut off where it ends anyway.
    if known:
        files.write_disposable(path / "shallow", f"{known[0]}\n".encode())
    else:
        files.unlink(path / "shallow")


def _is_whole(path: Path) -> bool:
    """Whether what came earlier is still all there: it rests on objects of the store, which may have been compacted since."""
    return GitSession(path).run("rev-list", "--objects", "--quiet", "--tags", check=False).status == 0


def _drop_others(path: Path) -> None:
    """Keep only what the backups need and the store lacks: gcrypt gets all that the remote has."""
    with contextlib.suppress(FileNotFoundError):
        files.unlink(path / "remote-gcrypt" / "have_packs+")  # from now on this would not be true
    GitSession(path).run("repack", "-a", "-d", "-l", "-q")


def _check(path: Path, remote: Remote, backups: Sequence[RemoteBackup]) -> None:
    """Refuse what is not all there, now, as the store's own objects may have gone since an earlier part came.

    Raises:
        RemoteError: An object is missing, or a name leads elsewhere than the remote said.
    """
    tags = "".join(f"{backup.tag}\n" for backup in backups)
    try:
        GitSession(path).run("rev-list", "--objects", "--quiet", "--stdin", stdin=tags.encode())
    except GitCommandError as error:
        with contextlib.suppress(OSError):
            stage.remove_tree(path)
        raise RemoteError(
            f"What came from {remote.name} is not complete: {error.message} Nothing here was changed.",
            hint=f"Run the command again; `cronos verify --remote {remote.name}` tells whether the remote is damaged.",
            remote=remote.name,
        ) from error
