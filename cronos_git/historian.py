"""One project and its store: everything that tells how paths came to be what they are.

Owns the order of things; each step is `ops/`'s. Floor F8, between `reader.Reader` and `keeper.Keeper`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from cronos_git.errors import BackupNotFoundError, ModuleScopeError
from cronos_git.events import Noticed, Run
from cronos_git.model import (
    Backup,
    BisectReport,
    BisectRequest,
    BisectVerdict,
    BlamedLine,
    GrepMatch,
    GrepRequest,
    MapBackup,
    Module,
    PathVersion,
    ProjectMap,
    Query,
    TimelineEntry,
)
from cronos_git.reader import Reader

if TYPE_CHECKING:
    from cronos_git.ops.bisect import Version
    from cronos_git.ops.lineage import Witness


class Historian(Reader):
    """Tells versions of paths, blames lines, searches contents; the arguments are `Reader`'s."""

    def timeline(self, module: str | None = None, *, changes: bool = True) -> Iterator[TimelineEntry]:
        """The backups with what changed in each, newest first.

        Args:
            module: Only those of a scope with this module.
            changes: Compare each with the one before it in its scope.

        Raises:
            DamageError: A backup cannot be compared.

        Cost: for each backup that is taken from the iterator, the directories that differ.
        """
        from cronos_git.ops import compare

        backups = self.backups(Query(module=module))
        for number, backup in enumerate(backups):
            previous = next((older for older in backups[number + 1 :] if older.scope == backup.scope), None)
            found = compare.diff(self.view(previous), self.view(backup)) if previous and changes else ()
            told = tuple(one.change for one in found if one.change.kind != "attributes")
            yield TimelineEntry(backup=backup, previous=previous, changes=told)

    def history(self, path: str, module: str | None = None, *, patch: bool = False) -> Iterator[PathVersion]:
        """Every version of *path*, newest first, renames followed back.

        Args:
            module: Only as backups of a scope with this module tell.
            patch: Fill in how each differs from the version before.

        Raises:
            BackupNotFoundError: No backup holds it.
            DamageError: A backup cannot be read as far as it is needed.

        Cost: as for `ops.history`; with *patch* the contents of the versions, two at a time.
        """
        from cronos_git.ops import history
        from cronos_git.ops.lineage import PathReader

        found = history.versions(PathReader(self.store), self._witnesses([path], module=module), path)
        first = next(found, None)
        if first is None:
            raise BackupNotFoundError(
                f"No backup has ever held {path!r}.", hint="`cronos find NAME` searches all backups for a name.", path=path
            )
        every = chain((first,), found)
        return self._with_patches(every) if patch else every

    def _with_patches(self, versions: Iterator[PathVersion]) -> Iterator[PathVersion]:
        newer = next(versions)
        for older in versions:
            yield replace(newer, patch=self._patch(older, newer))
            newer = older
        yield replace(newer, patch=self._patch(None, newer))

    def _patch(self, older: PathVersion | None, newer: PathVersion) -> bytes:
        from cronos_git.ops import compare, patches

        before = older.entry if older else None
        old, new = self.view(older.last) if older else None, self.view(newer.first)
        if any(entry and entry.attributes.kind == "directory" for entry in (before, newer.entry)):
            paths = list(filter(None, (newer.path, newer.previous_path)))
            return b"".join(one.patch or b"" for one in compare.diff(old, new, paths, patch=True))
        return patches.compare_sides(patches.side_of(old, before), patches.side_of(new, newer.entry))[2]

    def project_map(
        self, backups: Sequence[Backup] | None = None, *, module: str | None = None, limit: int | None = None
    ) -> ProjectMap:
        """The project, its modules, its backups, and which paths changed in each. Backups that are damaged are told.

        Args:
            backups: Only these; None for all.
            module: Only what concerns this one, by its name or a path of it.
            limit: At most so many backups, the newest.

        Raises:
            StoreMissingError: The project has no store yet.
            ModuleScopeError: There is no such module on the map.

        Cost: for each backup that is looked at, the directories that differ from the one before; with *module* some are looked
            at in vain.
        """
        from cronos_git.ops.mapping import Cartographer, narrowed

        known = self.backups()
        cartographer = Cartographer(self.store, known, self.settings.modules)
        modules = cartographer.modules if module is None else (self._module(module, cartographer.modules),)
        chosen = known if backups is None else sorted(backups, key=lambda one: one.sequence, reverse=True)
        found: list[MapBackup] = []
        looked_at = 0
        for one in cartographer.placed(chosen):
            looked_at += 1
            kept = one if module is None else narrowed(one, modules[0])
            found += [kept] if kept else []
            if len(found) == limit:
                break
        if damaged := sorted(cartographer.damaged):
            text = (
                f"The map does not tell what changed in {', '.join(damaged)}, as something cannot be read; run `cronos verify`."
            )
            self.notice(Noticed("warning", "store.damaged", text))
        return ProjectMap(
            name=self.project.name or str(self.project),
            path=str(self.project),
            modules=modules,
            backups=tuple(found),
            more=len(chosen) - looked_at,
        )

    def _module(self, word: str, among: Sequence[Module]) -> Module:
        path = word.strip("/")
        found = [one for one in among if path in one.paths] or [one for one in among if one.name.casefold() == word.casefold()]
        if len(found) != 1:
            names = [one.name for one in among]
            hint = f"There are: {', '.join(names)}." if names else "Name some under [modules] in cronos.toml, or back some up."
            raise ModuleScopeError(f"There is no module {word!r} on the map.", hint=hint, candidates=names)
        return found[0]

    def _witnesses(self, paths: Sequence[str], *, module: str | None = None, like: Backup | None = None) -> list[Witness]:
        """The backups that tell of *paths*; where *like* is none of them, those of its scope."""
        from cronos_git.ops.lineage import Witness, witnesses

        backups = self.backups(Query(module=module))
        found = witnesses(self.store, backups, paths)
        if like is None or any(witness.backup.id == like.id for witness in found):
            return found
        return [Witness(backup, ("",)) for backup in reversed(backups) if backup.scope == like.scope]

    def blame(self, path: str, backup: Backup | None = None) -> list[BlamedLine]:
        """The first backup of every line of a file, renames followed back.

        Args:
            backup: In which the file stands; None for the newest that tells of it.

        Raises:
            BackupNotFoundError: It has no such path.
            UsageError: That is no text file, or one that is stored in chunks.
            DamageError: A version cannot be read.

        Cost: as for `ops.blame`.
        """
        from cronos_git.ops import blame, history
        from cronos_git.ops.lineage import PathReader

        among = self._witnesses([path], like=backup)
        while backup and among and among[-1].backup.id != backup.id:
            among.pop()
        reader = PathReader(self.store)
        versions = history.versions(reader, among, path)
        newest = next(versions, None)
        if newest is None or newest.entry is None:
            raise self._not_there(path, among, next(versions, None))
        return blame.blame(reader, chain((newest,), versions))

    def _not_there(self, path: str, among: Sequence[Witness], last: PathVersion | None) -> BackupNotFoundError:
        where = among[-1].backup.id if among else "any backup"
        hint = (
            f"The last backup with it is {last.last.id}: give {last.last.id}:{last.path}" if last else "See `cronos find NAME`."
        )
        return BackupNotFoundError(f"There is no {path!r} in {where}.", hint=hint, path=path)

    def grep(self, request: GrepRequest) -> Iterator[GrepMatch]:
        """Search the contents of one backup, or of all.

        Raises:
            StoreMissingError: The project has no store yet.
            All errors of `ops.grep`.

        Cost: as for `ops.grep`.
        """
        from cronos_git.ops import grep

        backups = [request.backup] if request.backup else self.backups()[::-1]
        return grep.grep(self.store, backups, request)

    def bisect(
        self,
        request: BisectRequest,
        test: Callable[[Path, Backup], BisectVerdict],
        *,
        scratch: Path | None = None,
        run: Run | None = None,
    ) -> BisectReport:
        """Find the first backup in which a test fails.

        What the test needs of a backup is restored, as `restore` does it, into a private directory that is removed afterwards,
        however this ends. The store is locked (shared) while a version is written, not while it is tested.

        Args:
            test: Tells about the version that lies in the given directory, and about its first backup.
            scratch: Where the private directory is made; None for the system's place for temporary files.

        Raises:
            BackupNotFoundError: No backup holds one of the paths.
            UsageError: The test passes in the newest backup, or fails in the one that is given as good.
            RefusedError: The directory for it lies in the store or in the project, or is none.
            DiskFullError, AccessError, HostError, DamageError: A version could not be written.
            Whatever *test* raises.

        Cost: a restore of the paths for each test; their number grows as the logarithm of that of the versions.
        """
        from cronos_git.ops import bisect, compare, drill
        from cronos_git.ops.lineage import PathReader

        run = run or Run()
        found = bisect.versions(PathReader(self.store), self._witnesses(request.paths), request)
        place = drill.choose_place(scratch, (self.store_path, self.project))
        with drill.scratch_directory(place) as root:
            outcome = bisect.search(found, request, lambda version: self._try(version, root, test, run))
        before = (outcome.suspects[0] if outcome.suspects else outcome.bad).backups[0]
        at = next(number for number, version in enumerate(found) if version.backups[0].id == before.id)
        old = self.view(found[at - 1].backups[-1]) if at else None
        changes = compare.diff(old, self.view(outcome.bad.backups[0]), request.paths) if old else ()
        return BisectReport(
            first_bad=outcome.bad.backups[0],
            last_good=outcome.good.backups[-1] if outcome.good else None,
            suspects=tuple(backup.id for version in outcome.suspects for backup in version.backups),
            changes=tuple(one.change for one in changes),
            steps=outcome.steps,
        )

    def _try(self, version: Version, root: Path, test: Callable[[Path, Backup], BisectVerdict], run: Run) -> BisectVerdict:
        """Write one version, have it tested, and remove it."""
        from cronos_git.disk import stage
        from cronos_git.ops import drill, extract

        backup = version.backups[0]
        view, target = self.view(backup), root / backup.id
        with self.store.lock(shared=True, wait_s=self.settings.lock_wait):
            plan = extract.plan(view, backup, version.paths, str(target))
            drill.refuse_small_disk(root, plan)
            extract.apply(self.store, view, plan, verify=False, run=run)
        verdict = test(target, backup)
        stage.remove_tree(target)
        return verdict
