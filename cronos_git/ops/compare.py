"""The differences between two snapshots as Git would show them: names, line counts, patches.

Which paths differ is told by `git.view`; how a pair of files looks as a patch is `ops.patches`'s. Floor F7.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cronos_git.git.view import SnapshotView, change_of, diff_entries
from cronos_git.model import FileDiff
from cronos_git.ops.patches import compare_sides, side_of


def diff(
    old: SnapshotView | None, new: SnapshotView, paths: Sequence[str] = (), *, stat: bool = False, patch: bool = False
) -> Iterator[FileDiff]:
    """What differs from *old* to *new*, in the order of `SnapshotView.walk`, attribute-only differences included.

    A file with a NUL in its first 8000 bytes is binary, as for Git, and so is every file stored in chunks; of those only
    that they differ is told. Special files, directories and attribute-only differences have no lines: 0 and an empty patch.

    Args:
        old: None for nothing at all.
        paths: Only these files, and what lies below these directories; empty for everything.
        stat: Fill in insertions and deletions.
        patch: Fill in these and the patch.

    Cost: with *stat* or *patch* the contents of one path at a time are in memory, before and after; without, none is read.
    """
    wanted = tuple(path.strip("/") for path in paths)
    for before, after in diff_entries(old, new):
        change = change_of(before, after)
        if not _is_wanted(change.path, wanted):
            continue
        if stat or patch:
            insertions, deletions, text = compare_sides(side_of(old, before), side_of(new, after))
            yield FileDiff(change=change, insertions=insertions, deletions=deletions, patch=text if patch else None)
        else:
            yield FileDiff(change=change)


def _is_wanted(path: str, wanted: tuple[str, ...]) -> bool:
    return not wanted or any(top in ("", path) or path.startswith(top + "/") for top in wanted)
