"""Random walks of three machines and two remotes: nothing of another is touched, nothing is lost, and in the end all have all."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.model import AmendRequest, CompactRequest, FetchRequest, PushRequest, SnapshotRequest
from tests.support.clock import FakeClock
from tests.support.git import git
from tests.support.remotes import APPEND_ONLY, assert_sound, listed, machine, make_remote
from tests.support.trees import make_tree

HOSTS = ("a", "b", "c")


class Walk:
    """The machines, the remotes, and what may be done."""

    def __init__(self, room: Path, seed: int) -> None:
        self.room = room
        self.chance = random.Random(seed)
        settings = APPEND_ONLY if seed % 2 else ()
        self.remotes = {name: make_remote(room / f"{name}.git", *settings) for name in ("r", "s")}
        self.clock = FakeClock()
        self.number = 0
        for host in HOSTS:
            for name, path in self.remotes.items():
                self.engine(host).add_remote(name, str(path))

    def engine(self, host: str) -> Cronos:
        engine = machine(self.room, host)
        engine.clock = self.clock
        return engine

    def step(self) -> None:
        """Something is done on one machine; what the remotes have stays, unless it was to be changed."""
        does: Callable[[Cronos, str], None] = self.chance.choice(
            [self.create] * 4
            + [self.push, self.fetch] * 3
            + [self.delete, self.compact, self.amend, self.prune, self.lose, self.clone]
        )
        engine, remote = self.engine(self.chance.choice(HOSTS)), self.chance.choice(sorted(self.remotes))
        before = {path: listed(path) for path in self.remotes.values()}
        does(engine, remote)
        if does not in (self.amend, self.prune):
            assert all(refs.items() <= listed(path).items() for path, refs in before.items())
        held = engine.backups()
        assert len({backup.commit for backup in held}) == len({backup.sequence for backup in held}) == len(held)

    def create(self, engine: Cronos, _remote: str) -> None:
        self.number += 1
        self.clock.advance(minutes=self.chance.choice([0, 0, 1]))
        make_tree(engine.project, {f"f{self.number % 4}": str(self.number)})
        engine.snapshot(SnapshotRequest(name=self.chance.choice("nm")))

    def push(self, engine: Cronos, remote: str) -> None:
        engine.push(PushRequest(remote=remote))
        path = self.remotes[remote]
        there = git("--git-dir", path, "for-each-ref", "--format=%(*objectname)", "refs/tags/backup/").split()
        assert {backup.commit for backup in engine.backups()} <= set(there)
        again = engine.push(PushRequest(remote=remote))
        assert (again.pushed, again.branches, again.objects) == ((), (), 0)

    def fetch(self, engine: Cronos, remote: str) -> None:
        request = FetchRequest(remote=remote, dropped=self.chance.random() < 0.3)
        engine.fetch(request)
        assert engine.fetch(request).backups == ()

    def delete(self, engine: Cronos, _remote: str) -> None:
        held = engine.backups()
        engine.delete([self.chance.choice(held).id] if held else [])

    def compact(self, engine: Cronos, _remote: str) -> None:
        engine.compact(CompactRequest(trash_days=0))

    def amend(self, engine: Cronos, remote: str) -> None:
        for backup in engine.backups()[:1]:
            engine.amend(AmendRequest(backups=(backup.id,), add_labels=(str(self.number),)))
        engine.push(PushRequest(remote=remote, amended=True))

    def prune(self, engine: Cronos, remote: str) -> None:
        engine.push(PushRequest(remote=remote, prune=True))

    def lose(self, engine: Cronos, _remote: str) -> None:
        for backup in engine.backups()[:1]:
            git("--git-dir", engine.store_path, "update-ref", "-d", f"refs/tags/backup/{backup.id}")
        self.engine(engine.identity.host).repair()

    def clone(self, _engine: Cronos, remote: str) -> None:
        self.number += 1
        new = self.engine(f"new{self.number}")
        assert len(new.clone(str(self.remotes[remote])).backups) == len(listed(self.remotes[remote]))
        again = new.push(PushRequest(amended=True, prune=True))
        assert (again.pushed, again.amended, again.removed) == ((), (), ())

    def settle(self) -> None:
        """All get everything from everywhere."""
        for host in HOSTS * 2:
            for name in self.remotes:
                self.engine(host).fetch(FetchRequest(remote=name, dropped=True))
            for name in self.remotes:
                self.engine(host).push(PushRequest(remote=name))


@pytest.mark.parametrize("seed", [2, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, *range(3, 30)))])
def test_machines_that_share_remotes(tmp_path: Path, seed: int, request: pytest.FixtureRequest) -> None:
    walk = Walk(tmp_path, seed)
    for _ in range(60 if request.config.getoption("--long") else 14):
        walk.step()
    walk.settle()
    for host in HOSTS:
        engine = walk.engine(host)
        engine.repair()
        assert engine.verify().damage == ()
        assert_sound(engine.store_path)
    assert_sound(*walk.remotes.values())
    held = [{backup.commit for backup in (*walk.engine(host).backups(), *walk.engine(host).trash())} for host in HOSTS]
    there = [
        set(git("--git-dir", path, "for-each-ref", "--format=%(*objectname)", "refs/tags/").split())
        for path in walk.remotes.values()
    ]
    assert all(here >= there[0] | there[1] for here in held)
