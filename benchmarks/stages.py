"""A stage: one tree, and for every tool a store of it that all rows about this tree share.

A store is made when a row first asks for it and brought up to date, untimed, whenever the tree has changed since its last
backup, so that each row can be asked for alone. Before each timing everything that the step will read is read once, so that
every tool finds it in the page cache.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Measurement, Step, ToolFailedError, run_step, time_step
from benchmarks.peers import InPlacePeer, Peer
from benchmarks.trees import compare_trees, disk_bytes, read_pass, remove_tree, take_census


class Stage:
    """*tree* and its stores below *area*."""

    def __init__(self, area: Path, tree: Path) -> None:
        self.tree = tree
        self._area = area
        self._version = 0
        self._peers: dict[type[Peer], Peer] = {}
        self._backups: dict[type[Peer], int] = {}
        self._seen: dict[type[Peer], int] = {}

    def change(self, change: Callable[[Path], object]) -> None:
        """Let *change* edit the tree; every store is out of date afterwards."""
        change(self.tree)
        self._version += 1

    def holds(self, kind: type[Peer]) -> bool:
        """Whether the peer has a store already."""
        return kind in self._peers

    def empty(self, kind: type[Peer]) -> Peer:
        """The peer with a new, empty store."""
        area = self._area / kind.name
        remove_tree(area)
        area.mkdir(parents=True)
        peer = self._peers[kind] = kind(area, self.tree)
        self._backups[kind] = 0
        self._seen.pop(kind, None)
        run_step(peer.initialise())
        return peer

    def current(self, kind: type[Peer]) -> Peer:
        """The peer with a store whose last backup is the tree as it is now."""
        if not self.holds(kind):
            self.empty(kind)
        if self._seen.get(kind) != self._version:
            run_step(self._next_backup(kind))
        return self._peers[kind]

    def back_up(self, kind: type[Peer]) -> None:
        """One more backup, not timed."""
        run_step(self._next_backup(kind))

    def time_backup(self, kind: type[Peer]) -> Measurement:
        """Time one more backup; `stored_bytes` is by how much the store grew."""
        peer = self._peers[kind]
        read_pass(self.tree)
        before = disk_bytes(peer.store)
        measured = time_step(self._next_backup(kind))
        return measured.storing(disk_bytes(peer.store) - before)

    def time_restore(self, kind: type[Peer]) -> Measurement:
        """Time a restore of the last backup to a new place, and see that all came back.

        Raises:
            ToolFailedError: Paths, sizes or link targets are not those of the tree.
        """
        peer = self.current(kind)
        target = self._area / kind.name / "restored"
        target.mkdir()
        read_pass(peer.store if peer.store.exists() else self.tree)
        measured = time_step(peer.restore(target))
        if take_census(target) != take_census(self.tree):
            raise ToolFailedError(f"{kind.name}: what was restored to {target} is not what was backed up")
        remove_tree(target)
        return measured

    def time_restore_in_place(self, kind: type[Peer], pristine: Path) -> Measurement:
        """Time how the damaged tree is made again what it was, and compare all of it with *pristine*, which it was equal to.

        `stored_bytes` is by how much the store grew; the note says what is still other than before.

        Raises:
            ToolFailedError: A path or its content did not come back.
        """
        peer = self._peers[kind]
        assert isinstance(peer, InPlacePeer)
        read_pass(self.tree)
        read_pass(peer.store if peer.store.exists() else pristine)
        before = disk_bytes(peer.store)
        measured = time_step(peer.restore_in_place(pristine))
        left = compare_trees(pristine, self.tree)
        if left.missing or left.changed:
            raise ToolFailedError(f"{kind.name}: {self.tree} is not what was backed up: {left.told()}")
        for path in left.extra:  # the next damage must meet the same tree, whatever the tool
            (self.tree / path).unlink()
        measured = measured.noting("; ".join(filter(None, (peer.remark(), left.told() and f"leaves {left.told()}"))))
        return measured.storing(disk_bytes(peer.store) - before) if peer.store.exists() else measured

    def _next_backup(self, kind: type[Peer]) -> Step:
        step = self._peers[kind].backup(self._backups[kind])
        self._backups[kind] += 1
        self._seen[kind] = self._version
        return step
