"""Merges a backup into a target: a three-way merge of whole trees, which only chooses the desired tree of a restore in place.

    base..ours and base..theirs -> renames -> file against directory -> each path by `rules.merge` -> lines of text

Ours is the target now, theirs the backup, base what both come from. What happens to the result is `planning`'s and `moving`'s,
as for every restore. Renames are found on both sides as Git finds them; lines are merged by `git merge-file`. Floor F7, below the
verbs.

Cost: objects in proportion to what differs from the base; one process for each file that both sides changed. Memory: the
contents of the merged files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from cronos_git.git.mergefile import hunks, merge_text
from cronos_git.git.pack import object_id
from cronos_git.git.view import Pair, SnapshotView, diff_all
from cronos_git.model import Conflict, ConflictKind, Entry
from cronos_git.ops.beside import Beside
from cronos_git.ops.sides import Merged, Sides, Ways
from cronos_git.ops.steps import ways_to, without_nested
from cronos_git.rules.binary import is_binary
from cronos_git.rules.merge import (
    ABSENT,
    Triple,
    Verdict,
    decide,
    is_changed,
    is_directory,
    is_file,
    is_free,
    moved_to,
    names_of_groups,
    regrouped,
    version_of,
)
from cronos_git.rules.similarity import Candidate, pair_renames

_OURS, _THEIRS = 1, 2


def merge(sides: Sides, ways: Ways) -> Merged:
    """Merge; reads only.

    Raises:
        DamageError: An object of base or theirs is missing or damaged.
        RefusedError: A file of ours changed while it was merged.
    """
    return _Merger(sides, ways).merge()


class _Merger:
    """One merge.

    Attributes:
        paths: Every path that differs from the base on a side.
        files: The same with renamed files followed: where they shall stand is what all sides have of them.
        sources: Where a file of ours that is followed is now, by the path where it shall stand.
        origins: Where ours and theirs have a file that is followed, by the path where it shall stand.
        clashes: Where one side has a directory and the other a file: the side that all below is taken from.
        uprooted: New paths of files that the other side deleted.
        parted: Paths of files that both sides renamed, and of which both new names are kept.
    """

    def __init__(self, sides: Sides, ways: Ways) -> None:
        self.sides = sides
        self.ways = ways
        self.prefers_theirs = ways.on_conflict == "theirs"
        self.keeps_both = ways.on_conflict in ("both", "markers")
        self.preferred = _THEIRS if self.prefers_theirs else _OURS
        self.paths = self._paths()
        self.beside = Beside(sides.ours, sides.theirs, ways.name, lambda path: path in self.paths or sides.is_there(path))
        self.files = dict(self.paths)
        self.sources: dict[str, Entry] = {}
        self.origins: dict[str, tuple[str, str]] = {}
        self.clashes: dict[str, int] = {}
        self.uprooted: set[str] = set()
        self.parted: set[str] = set()
        self.result = Merged()

    def merge(self) -> Merged:
        filled = {side: {way for path, t in self.paths.items() if t[side] for way in ways_to(path)} for side in (_OURS, _THEIRS)}
        self._follow_renames()
        self._settle_clashes()
        for path, triple in self.files.items():
            above = next((way for way in ways_to(path) if way in self.clashes), None)
            if above is not None:
                self.result.results[path] = triple[self.clashes[above]]
            elif path in self.result.results:
                continue
            elif any(triple[3 - side] is None and is_directory(triple[side]) and path in filled[side] for side in filled):
                self.result.results[path] = None  # it is there when something in it is
            else:
                self._merge_path(path, triple)
        self._complete_ways()
        self._compare_with_theirs()
        self.result.conflicts.sort(key=lambda conflict: conflict.path.split("/"))
        return self.result

    # --- what differs ---

    def _paths(self) -> dict[str, Triple]:
        """Owners are numbers of this machine, and shared files are called as they are in ours."""
        triples = self._differing() | {way: self._triple_at(way) for way in self._barred_ways()}
        shut = {path for path, triple in triples.items() if any(is_directory(e) and e.attributes.unreadable for e in triple if e)}
        known = {path: triple for path, triple in triples.items() if shut.isdisjoint(ways_to(path))}
        names = [names_of_groups(known.values(), side) for side in range(3)]
        return {
            path: Triple(*(regrouped(entry, names[side]) for side, entry in enumerate(known[path]))) for path in _in_order(known)
        }

    def _differing(self) -> dict[str, Triple]:
        base, ours, theirs = self.sides.base, self.sides.ours, self.sides.theirs
        if base is None:
            pairs = _by_path(diff_all(ours, theirs, self.ways.tops))
            return {path: Triple(None, before, _local(theirs, after)) for path, (before, after) in pairs.items()}
        mine = _by_path(diff_all(base, ours, self.ways.tops))
        other = _by_path(diff_all(base, theirs, self.ways.tops))
        return {path: self._triple(mine.get(path), other.get(path)) for path in mine.keys() | other.keys()}

    def _triple(self, mine: Pair | None, other: Pair | None) -> Triple:
        known = (mine or other or (None, None))[0]
        base = _local(self.sides.base, known)
        return Triple(base, mine[1] if mine else known, _local(self.sides.theirs, other[1]) if other else base)

    def _barred_ways(self) -> set[str]:
        """What is a file in ours on the way to what is merged."""
        ways = {way for top in self.ways.tops for way in ways_to(top)}
        return {way for way in ways if isinstance(self.sides.ours.find_if_any(way), Entry)}

    def _triple_at(self, path: str) -> Triple:
        base, theirs = self.sides.base, self.sides.theirs
        then = _local(base, _entry_of(base, path)) if base else None
        return Triple(then, _entry_of(self.sides.ours, path), _local(theirs, _entry_of(theirs, path)))

    # --- renames ---

    def _follow_renames(self) -> None:
        """Bring together what the sides have of a file that one of them or both renamed."""
        base, theirs = self.sides.base, self.sides.theirs
        if base is None:
            return
        mine = self._renames(base, _OURS, self.sides.read_ours)
        other = self._renames(base, _THEIRS, lambda entry: b"".join(theirs.read(entry)))
        for old in _in_order(mine.keys() | other.keys()):
            here, there = mine.get(old, old), other.get(old, old)
            barred = (here != old and self._claims(_THEIRS, here, old)) or (there != old and self._claims(_OURS, there, old))
            if here == there or not barred:
                self._follow(old, here, there)

    def _follow(self, old: str, here: str, there: str) -> None:
        base, ours, theirs = self.paths[old].base, self.paths[here].ours, self.paths[there].theirs
        ours, theirs = (ours if is_file(ours) else None), (theirs if is_file(theirs) else None)
        place, other = (there, here) if here == old or (there != old and self.prefers_theirs) else (here, there)
        if here == old or there == old:
            if (self.paths[old].ours if here == old else self.paths[old].theirs) is not None and None in (ours, theirs):
                return  # something else than a file took its place
            if None in (ours, theirs):
                self.uprooted.add(place)
        self.files[old] = Triple(*(entry if is_directory(entry) else None for entry in self.paths[old]))
        triple = Triple(base, ours and moved_to(place, ours), theirs and moved_to(place, theirs))
        self.origins[place] = here, there
        if old not in (here, there) and here != there:
            self.origins[old] = here, there
            self._tell(old, "rename/rename", triple)
            if self.keeps_both:
                self.parted.add(place)
            else:
                self.files[other] = ABSENT
        self.files[place] = triple
        if ours is not None:
            self.sources[place] = ours
            if ours.path != place:
                self._note(ours.path, f"renamed to {place}")
                self._note(place, f"renamed from {ours.path}")

    def _claims(self, side: int, path: str, old: str) -> bool:
        """Whether a side has something of its own where the other moved *old* to."""
        for way in (*ways_to(path), path):
            base, entry = self.paths.get(way, ABSENT)[0], self.paths.get(way, ABSENT)[side]
            if entry is None or way == old or (is_directory(entry) and way != path):
                continue
            if is_changed(base, entry) or (is_directory(entry) and way in self._changed_ways(self.paths, side, old)):
                return True
        return False

    def _changed_ways(self, triples: Mapping[str, Triple], side: int, but: str = "") -> set[str]:
        """The directories in which a side has something new or changed, *but* apart."""
        return {
            way
            for path, triple in triples.items()
            if path != but and is_changed(triple.base, triple[side])
            for way in ways_to(path)
        }

    def _renames(self, base: SnapshotView, side: int, read: Callable[[Entry], bytes]) -> dict[str, str]:
        gone = {path: triple.base for path, triple in self.paths.items() if is_file(triple.base) and is_free(triple[side])}
        new = {path: triple[side] for path, triple in self.paths.items() if is_free(triple.base) and is_file(triple[side])}

        def content(candidate: Candidate) -> bytes:
            before, after = gone.get(candidate.path), new.get(candidate.path)
            return b"".join(base.read(before)) if before else read(after) if after else b""

        return pair_renames(_candidates(gone), _candidates(new), content)

    # --- a file where the other side has a directory ---

    def _settle_clashes(self) -> None:
        changed = {side: self._changed_ways(self.files, side) for side in (_OURS, _THEIRS)}
        for path, found in self.paths.items():
            triple = found if is_free(found.base) else self.files[path]
            if not self.clashes.keys().isdisjoint(ways_to(path)):
                continue
            if triple.ours is None or triple.theirs is None or is_directory(triple.ours) == is_directory(triple.theirs):
                continue
            file_side = _THEIRS if is_directory(triple.ours) else _OURS
            verdict = decide(*triple, applies_deletions=True)
            if verdict.conflict is None and verdict.entry is triple[3 - file_side]:
                continue  # the file was there before: all below the directory is new
            if verdict.conflict is None and path not in changed[3 - file_side]:
                self.clashes[path] = file_side
                continue
            self.clashes[path] = self.preferred
            self.result.results[path] = self._resolve(path, "directory/file", triple, triple[self.preferred])

    # --- one path ---

    def _merge_path(self, path: str, triple: Triple) -> None:
        verdict = self._verdict(path, triple)
        entry = verdict.entry
        if verdict.merges_text:
            entry = self._merge_text(path, triple, verdict)
        elif verdict.conflict is not None:
            entry = self._resolve(path, verdict.conflict, triple, entry)
        self.result.results[path] = entry

    def _verdict(self, path: str, triple: Triple) -> Verdict:
        if path in self.uprooted and self.ways.applies_deletions:
            return Verdict(triple[self.preferred], "delete/modify")
        return decide(*triple, applies_deletions=self.ways.applies_deletions, prefers_theirs=self.prefers_theirs)

    def _merge_text(self, path: str, triple: Triple, verdict: Verdict) -> Entry | None:
        base, ours, theirs = triple
        assert ours is not None and theirs is not None and verdict.entry is not None
        mine, other = self.sides.read_ours(self._original(ours)), b"".join(self.sides.theirs.read(theirs))
        common = b""
        if self.sides.base is not None and base is not None and is_file(base) and not base.chunked:
            common = b"".join(self.sides.base.read(base))
        if any(map(is_binary, (mine, other, common))):
            return self._resolve(path, "binary", triple, verdict.entry)
        labels = "current", self.ways.base_name or "nothing", f"backup {self.ways.name}"
        merged = merge_text(common, mine, other, labels)
        entry = self._with_content(verdict.entry, merged.content)
        is_marked = bool(merged.conflicts) and self.ways.on_conflict == "markers"
        if merged.content not in (mine, other) and (is_marked or not merged.conflicts):
            self.result.fresh.add(path)
        if merged.conflicts:
            texts = tuple(hunk.decode("utf-8", "backslashreplace") for hunk in hunks(merged.content))
            return self._resolve(path, "content" if base else "add/add", triple, verdict.entry, entry, texts)
        self.result.lines.append(path)
        self._note(path, "merged by line")
        return self._resolve(path, verdict.conflict, triple, entry) if verdict.conflict else entry

    def _original(self, ours: Entry) -> Entry:
        """Ours under the path where it is now."""
        return self.sources.get(ours.path, ours)

    def _with_content(self, entry: Entry, content: bytes) -> Entry:
        oid = object_id("blob", content).hex()
        self.result.contents[oid] = content
        return replace(entry, oid=oid, attributes=replace(entry.attributes, size_bytes=len(content), changed=False))

    # --- conflicts ---

    def _resolve(
        self,
        path: str,
        kind: ConflictKind,
        triple: Triple,
        preferred: Entry | None,
        marked: Entry | None = None,
        texts: tuple[str, ...] = (),
    ) -> Entry | None:
        """Note a conflict; what shall stand there.

        Args:
            marked: The file with both versions between markers, if it can have them.
        """
        self._tell(path, kind, triple, texts)
        if marked is not None and self.ways.on_conflict == "markers":
            self._note(path, f"{kind} conflict: both versions between markers")
            return marked
        self._note(path, f"{kind} conflict: {'the backup' if self.prefers_theirs else 'what is here'} counts")
        can_stand_beside = triple.theirs is not None and (kind == "directory/file" or not is_directory(triple.theirs))
        if self.keeps_both and triple.theirs is not None and can_stand_beside and path not in self.parted:
            for beside, entry in self.beside.place(path, triple.theirs, self.result.results).items():
                self.result.results[beside] = entry
                self._note(beside, f"{kind} conflict: the backup's version of {path}")
        return preferred

    def _note(self, path: str, text: str) -> None:
        known = self.result.notes.get(path)
        self.result.notes[path] = f"{known}; {text}" if known else text

    def _tell(self, path: str, kind: ConflictKind, triple: Triple, texts: tuple[str, ...] = ()) -> None:
        base, ours, theirs = map(version_of, triple)
        ours_path, theirs_path = ("" if name == path else name for name in self.origins.get(path, (path, path)))
        self.result.conflicts.append(
            Conflict(
                path=path,
                kind=kind,
                base=base,
                ours=ours,
                theirs=theirs,
                hunks=texts,
                ours_path=ours_path if ours else "",
                theirs_path=theirs_path if theirs else "",
            )
        )

    # --- what a tree asks for ---

    def _complete_ways(self) -> None:
        """Every directory that something comes into is there."""
        results = self.result.results
        for way in _in_order({way for path, entry in results.items() if entry is not None for way in ways_to(path)}):
            if results.get(way) is None and (way in results or self.sides.ours.find_if_any(way) is None):
                _, ours, theirs = self.paths[way] if way in self.paths else self._triple_at(way)
                results[way] = ours if is_directory(ours) else theirs

    def _compare_with_theirs(self) -> None:
        """Where the result has more, or less, than the new paths of theirs."""
        results, ours, theirs = self.result.results, self.sides.ours, self.sides.theirs
        new = {path for path, entry in results.items() if entry is not None and ours.find_if_any(path) is None}
        self.result.added = without_nested(path for path in new if theirs.find_if_any(path) is None)
        lacking = (path for path, triple in self.paths.items() if triple.theirs is None and None not in triple[:2])
        self.result.lacking = without_nested(path for path in lacking if results.get(path) is not None)
        only_theirs = (path for path, triple in self.paths.items() if triple.ours is None and triple.theirs is not None)
        self.result.declined = without_nested(path for path in only_theirs if path not in new)


def _local(view: SnapshotView | None, entry: Entry | None) -> Entry | None:
    return view.local(entry) if view is not None and entry is not None else entry


def _by_path(pairs: Iterable[Pair]) -> dict[str, Pair]:
    return {(after or before).path: (before, after) for before, after in pairs}  # type: ignore[union-attr]


def _candidates(entries: Mapping[str, Entry | None]) -> list[Candidate]:
    return [
        Candidate(path=path, oid=entry.oid, size_bytes=entry.attributes.size_bytes)
        for path, entry in entries.items()
        if entry is not None and not entry.chunked
    ]


def _entry_of(view: SnapshotView, path: str) -> Entry | None:
    found = view.find_if_any(path)
    return found if found is None or isinstance(found, Entry) else view.complete(found)


def _in_order(paths: Iterable[str]) -> list[str]:
    return sorted(paths, key=lambda path: path.split("/") if path else [])
