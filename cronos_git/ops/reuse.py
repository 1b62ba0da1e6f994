"""What a backup may take over from earlier ones without reading or storing it again: nothing that a check has found damaged.

Floor F7, below the verbs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cronos_git.disk import fingerprints
from cronos_git.disk.fingerprints import StatCache
from cronos_git.git.store import Store
from cronos_git.model import Backup, Scope
from cronos_git.ops import catalog, rotation
from cronos_git.ops.subject import Subject


def load_cache(store: Store, backups: Sequence[Backup], subject: Subject) -> StatCache:
    """The stat cache, empty unless all that it rests on is there and none of it is known to be damaged."""
    if subject.root != store.project_root:
        return StatCache()  # it knows the project, and nothing of another restore's target
    commits, packs = {backup.commit for backup in backups}, _trusted_packs(store)
    cache = fingerprints.load_statcache(store.statcache, commits, packs)
    if cache.bases:
        return cache
    trash = {backup.commit for backup in catalog.read_trash(store, sure=False).backups}  # all these lead to is there as well
    return fingerprints.load_statcache(store.statcache, commits | trash, packs)


def next_cache(old: StatCache, seen: StatCache, scope: Scope) -> StatCache:
    """What to remember after *seen*. A scoped run keeps what it did not look at, so the cache then rests on both backups."""
    if scope.is_project:
        return seen
    covered = frozenset(scope.paths)
    kept = {path: known for path, known in old.directories.items() if not _is_covered(path, covered)}
    return StatCache([*old.bases, *seen.bases], seen.packs, {**kept, **seen.directories})


def _is_covered(path: str, covered: frozenset[str]) -> bool:
    while path and path not in covered:
        path = path.rpartition("/")[0]
    return path in covered


def reusable(store: Store) -> Callable[[bytes], bool]:
    """Tells whether the store has an object already; what lies in a pack that is known to be damaged is stored again."""
    trusted, index = _trusted_packs(store), store.index
    return index.contains if trusted.issuperset(store.whole_packs) else lambda oid: index.contains(oid, trusted)


def _trusted_packs(store: Store) -> set[str]:
    return set(store.whole_packs).difference(rotation.damaged_packs(store.cronos_dir))
