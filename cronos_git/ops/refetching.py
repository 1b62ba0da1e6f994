"""A remote as a place where lost objects are found again.

It is asked only when something is lost that neither the store nor the project has, and then everything it has is got, once: a Git
remote gives whole backups and no single objects. Floor F7, below the verbs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence

from cronos_git.errors import CronosError, InterruptedRunError, ObjectMissingError
from cronos_git.events import Run
from cronos_git.git import receiving
from cronos_git.git.incoming import Quarantine
from cronos_git.git.store import Store
from cronos_git.model import Remote
from cronos_git.ops.healing import Fetched
from cronos_git.rules.remotes import backups_of


class RemoteSource:
    """The objects of a remote's backups, as `healing.ObjectSource`; made by `opened`.

    Attributes:
        fault: Why it could not be asked, or gave nothing at all, in words; empty when it did, or was not asked.
        faults: What is wrong with those of its backups that it could not give.
    """

    def __init__(self, store: Store, remote: Remote, run: Run, stack: contextlib.ExitStack) -> None:
        self.called = f"the remote {remote.name}"
        self.fault = ""
        self.faults: list[str] = []
        self._store = store
        self._remote = remote
        self._run = run
        self._stack = stack
        self._objects: Quarantine | None = None
        self._is_asked = False

    def contains(self, name: bytes) -> bool:
        objects = self._asked()
        return objects is not None and objects.contains(name)

    def fetch(self, names: Collection[bytes], take: Callable[[Fetched], object]) -> None:
        objects = self._asked()
        for name in names if objects is not None else ():
            with contextlib.suppress(ObjectMissingError):
                assert objects is not None
                take(Fetched(name, *objects.read(name.hex())))

    def _asked(self) -> Quarantine | None:
        if not self._is_asked:
            self._is_asked = True
            try:
                refs = receiving.refs_of(self._store, self._remote, self._run)
                backups = backups_of(refs)
                mirrored = receiving.mirrored(self._store, self._remote, backups, self._run, self.faults)
                self._objects = Quarantine(self._stack.enter_context(mirrored))
                if backups and len(self.faults) == len(backups):
                    self.fault = self.faults[0]
            except InterruptedRunError:
                raise
            except CronosError as error:
                self.fault = error.message.removesuffix(" The backups here are safe.")  # which they are not, when it is asked
        return self._objects


@contextlib.contextmanager
def opened(store: Store, remotes: Sequence[Remote], run: Run) -> Iterator[list[RemoteSource]]:
    """The remotes as sources for the length of the block; none is asked before something is wanted of it.

    Cost: nothing until then; after that everything that the remote has, over the network and onto the disk.
    """
    with contextlib.ExitStack() as stack:
        yield [RemoteSource(store, remote, run, stack) for remote in remotes]
