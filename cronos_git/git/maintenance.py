"""Keeps a store quick: removes what killed writers left, folds packs that pile up, packs refs. Floor F6.

Folding is `git repack --geometric`, which keeps unreferenced objects (they may be in the trash) and reuses packed bytes. Call
everything here under the store's exclusive lock.
"""

from __future__ import annotations

from cronos_git.disk import fingerprints
from cronos_git.errors import DamageError
from cronos_git.git import layout, refs, repacking
from cronos_git.git.pack import remove_leftovers
from cronos_git.git.session import GitSession
from cronos_git.git.store import Store

MOST_PACKS = 50
"""Above this, looking an object up in every pack begins to be felt."""

MOST_LOOSE_REFS = 500
"""Above this, reading each ref's own file begins to be felt."""


def clean(store: Store) -> list[str]:
    """Delete what writers, compactions and imports that died left: temporary packs, stale `.keep` files, locks of refs.

    Returns:
        The names of the packs and `.keep` files.
    """
    refs.break_tag_locks(store.path)
    refs.break_packed_lock(store.path)
    repacking.clean(store)
    if (store.cronos_dir / layout.IMPORTING).is_dir():
        from cronos_git.git import bundles  # archives are a lot to import

        bundles.remove_leftover(store)
    return remove_leftovers(store.pack_dir)


def fold(store: Store) -> bool:
    """Fold packs and pack refs when there are many; whether anything was done.

    The stat cache rests on the packs, and is told of their new names.

    Raises:
        DamageError: A pack is damaged, so none is folded.
        GitVersionError, GitCommandError: git is missing, too old or failed; nothing is lost.

    Cost: one directory listing when there is little. Packing grows with what was added since the last fold (geometric).
    """
    many_packs = sum(1 for _ in store.pack_dir.glob("*.pack")) > MOST_PACKS
    many_refs = sum(1 for _ in (store.path / refs.BACKUP_TAGS).glob("*")) > MOST_LOOSE_REFS
    session = GitSession(store.path)
    if many_packs:
        _refuse_damaged(store)
        with fingerprints.restamping(store.statcache, store.look_again):
            session.run("repack", "-d", "-q", "--geometric=2", "--write-midx")
    if many_refs:
        session.run("pack-refs", "--all")
    return many_packs or many_refs


def _refuse_damaged(store: Store) -> None:
    for pack in store.index.unsound:
        raise DamageError(f"The pack {pack} is damaged, so none is removed.", hint="Run `cronos verify` to see what is hit.")
