"""Decides what a restore in place does with each path of its target, whatever the strategy: a strategy only chooses the desired
tree and whether files that it lacks are extra ones to be kept.

    the target now, the desired tree -> what differs -> what may be done about it -> steps

Nothing is written here. What a step replaces or removes is in the restore point; what no backup could bring back (it cannot be
read, or is a socket or device) stays and is reported. What stands in the way though the rules exclude it is told as
obstructing, so that the caller can look again with it included. Floor F7, below the verbs.

Cost: objects and `lstat`s in proportion to what differs, and a listing for each directory that goes or gets new names.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from cronos_git.disk import contents
from cronos_git.disk.scanned import Scan
from cronos_git.errors import RefusedError
from cronos_git.git.view import Pair, SnapshotView
from cronos_git.model import Attributes, Entry, Problem, RestoreChange
from cronos_git.ops import obstacles
from cronos_git.ops.hardlinks import Links, plan_links
from cronos_git.ops.obstacles import looking
from cronos_git.ops.steps import (
    Planned,
    Settling,
    Steps,
    Wish,
    Write,
    device_of,
    host_of,
    is_at_or_below,
    join,
    name_of,
    parent_of,
    ways_to,
)
from cronos_git.ops.writing import content_bytes, directory_problems, is_restorable, why_absent
from cronos_git.rules.attributes import format_line
from cronos_git.rules.merge import has_content_of


def plan(root_fd: int, scan: Scan, ours: SnapshotView, wish: Wish) -> Planned:
    """What it takes to get from *ours*, the state that *scan* saw, to what is wished.

    Raises:
        RefusedError: The file system takes two names of the desired tree for one.
        AccessError, HostError: A directory cannot be looked into.
    """
    return _Planner(root_fd, scan, ours, wish).plan()


class _Planner:
    def __init__(self, root_fd: int, scan: Scan, ours: SnapshotView, wish: Wish) -> None:
        self.root_fd = root_fd
        self.scan = scan
        self.ours = ours
        self.wish = wish
        self.pairs: dict[str, Pair] = {}
        self.links = Links()
        self.kept: dict[str, str] = {}
        self.lost: set[str] = set()
        self.unknown: set[str] = set()
        self.along: list[Entry] = []
        self.steps = Steps()
        self.obstructing: set[str] = set()

    def plan(self) -> Planned:
        self.pairs = dict(self._pairs())
        self.links = plan_links(self.pairs, self.scan, _is_same, self.wish.covers, self._is_right_name, self._is_another_file)
        for path, pair in self.pairs.items():
            self._sort(path, pair)
        self._look_in_the_way()
        self._empty_directories()
        self._settle()
        self.steps.changes = sorted(self._changes(), key=lambda change: change.path.split("/"))
        self.steps.state = self._state()
        return Planned(self.steps, frozenset(self.obstructing))

    # --- what differs ---

    def _pairs(self) -> Iterator[tuple[str, Pair]]:
        """What differs, by path."""
        clearing: str | None = None
        for before, after in self.wish.desired.differing(self.ours, self.wish.tops):
            path = (after or before).path  # type: ignore[union-attr]
            if clearing is not None and not is_at_or_below(path, clearing):
                clearing = None
            if after is None and self.wish.keeps_extra and clearing is None:
                continue
            if after is not None and clearing is None and _is_directory(before) and not _is_directory(after):
                clearing = path
            yield path, (before, after)

    def _is_right_name(self, path: str, group: str, oid: str) -> bool:
        """Whether *path* is to be a name of the file with this group and content, and has its content and attributes already."""
        before, after = self.ours.find_if_any(path), self.wish.desired.find(path)
        if not isinstance(before, Entry) or after is None:
            return False
        return (after.attributes.link_group, after.oid) == (group, oid) and _is_same((before, after))

    def _is_another_file(self, path: str, group: str) -> bool:
        """Whether *path* is to be another file than the one with the names of this group."""
        after = self.wish.desired.find(path)
        return after is not None and (not group or after.attributes.link_group != group)

    # --- what is done about it ---

    def _sort(self, path: str, pair: Pair) -> None:
        before, after = pair
        reason = self._reason_to_keep(path, pair)
        if reason:
            self.kept[path] = reason
        elif after is None:
            if before is not None:
                (self.steps.unmade if _is_directory(before) else self.steps.deleted).append(before)
        elif _is_directory(after):
            if before is None or not _is_directory(before):
                self.steps.made.append(after)
                self.steps.deleted += [before] if before else []
            if after.attributes.changed:  # lost to damage
                self.steps.problems += directory_problems(after)
        elif before is not None and _is_directory(before):
            self.steps.unmade.append(before)
            self.steps.written.append(Write(None, after, self.links.sources.get(path, "")))
        elif not is_restorable(after.attributes):
            if before is None:
                self._problem(path, "not_restored", why_absent(after.attributes))
        elif not _is_same(pair) or path in self.links.anew:
            self._change(path, before, after)

    def _change(self, path: str, before: Entry | None, after: Entry) -> None:
        source = self.links.sources.get(path, "")
        if before is not None and _can_be_touched(before, after) and path not in self.links.anew:
            if source:  # the file's first name is touched
                self.along.append(after)
            else:
                self.steps.touched.append((before, after))
        else:
            self.steps.written.append(Write(before, after, source))

    def _reason_to_keep(self, path: str, pair: Pair) -> str:
        """Why a path must stay as it is; empty when it may change."""
        before, after = pair
        above = next((way for way in ways_to(path) if way in self.kept and way not in self.unknown), None)
        if above is not None:
            return self.kept[above]
        if before is None:
            return ""
        if after is not None and not is_restorable(after.attributes) and not _is_directory(after):
            return "" if _is_same(pair) else f"the backup cannot give it: {why_absent(after.attributes)}"
        loses_content = after is None or not has_content_of(before, after) or before.attributes.unreadable
        if loses_content and not is_restorable(before.attributes):
            self.lost.add(path)
            return f"nothing could bring it back: {_why_lost(before)}"
        if after is None and self._is_beyond_knowledge(path, before):
            self.unknown.add(path)
            return "the backup knows nothing of it: it was excluded, or could not be read, when the backup was made"
        return ""

    def _is_beyond_knowledge(self, path: str, before: Entry) -> bool:
        """Whether the absence of a path in the desired tree says nothing."""
        if self._makes_way(path):
            return False  # the restore point holds it
        above = (self.pairs.get(way) for way in ways_to(path))
        if any(pair and pair[1] and pair[1].attributes.unreadable for pair in above):
            return True
        return not self.wish.knows(path, _is_directory(before))

    def _makes_way(self, path: str) -> bool:
        """Whether a file goes where *path*, or a directory above it, is."""
        pairs = (self.pairs.get(way) for way in (*ways_to(path), path))
        return any(pair and pair[1] and not _is_directory(pair[1]) for pair in pairs)

    # --- what is in the way ---

    def _look_in_the_way(self) -> None:
        """See whether something unknown stands where something new must go."""
        new = [*self.steps.made, *(write.after for write in self.steps.written if write.before is None)]
        going = {entry.path for entry in (*self.steps.deleted, *self.steps.unmade)}
        coming = {entry.path for entry in self.steps.made}
        by_parent: dict[str, list[Entry]] = defaultdict(list)
        for entry in new:
            by_parent[parent_of(entry.path)].append(entry)
        for parent in sorted(by_parent, key=lambda path: path.split("/")):
            if parent in coming:
                obstacles.refuse_clashes(self.root_fd, self.scan, parent, by_parent[parent])
                continue
            found = obstacles.look_in(self.root_fd, parent, by_parent[parent], going)
            coming -= found.directories
            self.steps.found += sorted(found.directories)
            self.steps.made = [entry for entry in self.steps.made if entry.path not in found.directories]
            for path in found.others:
                self._obstruct(path)

    def _obstruct(self, path: str) -> None:
        if path in self.wish.forced:
            raise RefusedError(
                f"Something stands at {path} that cannot be taken into a restore point. Nothing was changed.",
                hint="Move it away, or restore other paths.",
                path=path,
            )
        self.obstructing.add(path)

    def _empty_directories(self) -> None:
        """Give up removing directories in which something stays."""
        leaving: dict[str, set[str]] = defaultdict(set)
        for entry in self.steps.deleted:
            leaving[parent_of(entry.path)].add(name_of(entry.path))
        gone = []
        for entry in reversed(self.steps.unmade):
            path = entry.path
            left = sorted(obstacles.names_in(self.root_fd, path) - leaving[path])
            if not left and not self._is_mounted(path):
                gone.append(entry)
                leaving[parent_of(path)].add(name_of(path))
                continue
            if self._must_give_up(path, left):
                gone = [entry for entry in gone if not is_at_or_below(entry.path, path)]
        self.steps.unmade = gone[::-1]

    def _must_give_up(self, path: str, left: Sequence[str]) -> bool:
        """A directory that something is left in stays; whether a file should have gone there, and cannot."""
        known = self.scan.names(path) or set[str]()
        unknown = [name for name in left if name not in known]
        if unknown and self._makes_way(path):
            for name in unknown:
                self._obstruct(join(path, name))
        elif self.pairs[path][1] is not None:
            what = f"{join(path, left[0])} must stay" if left else "something is mounted here"
            self._block(path, f"a file should go here, but {what}")
            return True
        elif unknown or not left:
            self.kept.setdefault(path, "it holds files that the rules exclude" if left else "something is mounted here")
        return False

    def _is_mounted(self, path: str) -> bool:
        """Whether a directory is the top of another file system, so that it cannot be removed."""
        return device_of(self.scan, path) != device_of(self.scan, parent_of(path))

    def _block(self, path: str, why: str) -> None:
        """Do nothing at or below *path* after all."""
        steps = self.steps
        self.kept[path] = why
        steps.deleted = [entry for entry in steps.deleted if not is_at_or_below(entry.path, path)]
        steps.written = [write for write in steps.written if write.after.path != path]

    # --- the attributes of directories ---

    def _settle(self) -> None:
        """Every directory in which something changes, staging directories among it, or whose own attributes do."""
        steps, differing = self.steps, self._differing_directories()
        if steps.is_empty and not differing:
            return
        changed = {entry.path for entry in (*steps.deleted, *steps.unmade, *steps.made, *(w.after for w in steps.written))}
        gone = {entry.path for entry in steps.unmade}
        hosts = {host_of(self.scan, parent_of(path)) for path in changed}
        places = {"", *hosts, *map(parent_of, changed), *(entry.path for entry in steps.made), *differing} - gone
        made = {entry.path: entry for entry in steps.made}
        for path in sorted(places, key=lambda path: path.split("/")):
            if path in made:
                steps.settled[path] = Settling(None, made[path].attributes)
            else:
                before = self._attributes_now(path)
                steps.settled[path] = Settling(before, self._attributes_then(path) or before)

    def _differing_directories(self) -> list[str]:
        return [
            path
            for path, (before, after) in self.pairs.items()
            if _is_directory(before) and _is_directory(after)
            if self._is_looked_through(path) and path not in self.kept and not _is_same((before, after))
        ]

    def _attributes_now(self, path: str) -> Attributes:
        with looking(self.root_fd, path) as fd:
            return contents.directory_attributes(fd)

    def _attributes_then(self, path: str) -> Attributes | None:
        before, after = self.pairs.get(path, (None, None))
        return after.attributes if before and after and _is_directory(after) and self._is_looked_through(path) else None

    def _is_looked_through(self, path: str) -> bool:
        """Whether the rules take a directory; one that only leads to what is forced stays as it is, but in an undo."""
        directory = self.scan.directory(path)
        return directory is None or directory.complete or self.wish.settles_all

    # --- for people ---

    def _changes(self) -> Iterator[RestoreChange]:
        steps = self.steps
        cleared = {write.after.path for write in steps.written} | {entry.path for entry in steps.made}
        for entry in (*steps.deleted, *steps.unmade):
            if entry.path not in cleared:
                yield self._told("delete", entry)
        for entry in steps.made:
            yield self._told("update" if self.pairs[entry.path][0] else "create", entry)
        for write in steps.written:
            there = self.pairs[write.after.path][0] if write.after.path in self.pairs else write.before
            yield self._told("update" if there else "create", write.after, 0 if write.source else content_bytes(write.after))
        for after in (*(after for _, after in steps.touched), *self.along):
            yield self._told("attributes", after)
        for path in self._differing_directories():
            if (then := self.pairs[path][1]) is not None:
                yield self._told("attributes", then)
        for path, why in self.kept.items():
            if parent_of(path) not in self.kept or self.kept[parent_of(path)] != why:
                yield self._kept_change(path, why)

    def _told(self, action: str, entry: Entry, size_bytes: int = 0) -> RestoreChange:
        obstructs = entry.path in self.wish.obstructing
        return RestoreChange(
            action=action,  # type: ignore[arg-type]
            path=entry.path,
            kind=entry.attributes.kind,
            size_bytes=size_bytes,
            obstructs=obstructs,
            text="the rules exclude what stands here" if obstructs else "",
        )

    def _kept_change(self, path: str, why: str) -> RestoreChange:
        before, after = self.pairs[path]
        kind = (before or after).attributes.kind  # type: ignore[union-attr]
        if after is not None or path in self.lost:
            self._problem(path, "not_restored", why)
        return RestoreChange(action="kept", path=path, kind=kind, text=why)

    def _problem(self, path: str, code: str, text: str) -> None:
        self.steps.problems.append(Problem(path=path, code=code, text=text))

    def _state(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for path in sorted(self.pairs):
            for entry in self.pairs[path]:
                line = f"{path}\0{entry.oid}\0{format_line(entry.attributes)}\n" if entry else "-\n"
                digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def _is_directory(entry: Entry | None) -> bool:
    return entry is not None and entry.attributes.kind == "directory"


def _is_same(pair: Pair) -> bool:
    """Whether both have the same content and attributes; which names share a file is `hardlinks`' to judge."""
    before, after = pair
    if before is None or after is None or not has_content_of(before, after):
        return False
    return _plain(before.attributes) == _plain(after.attributes)


def _plain(attributes: Attributes) -> Attributes:
    return replace(attributes, link_group="", changed=False, unreadable=False)


def _can_be_touched(before: Entry, after: Entry) -> bool:
    return before.attributes.kind == "file" and has_content_of(before, after)


def _why_lost(before: Entry) -> str:
    return "it cannot be read" if before.attributes.unreadable else f"it is a {before.attributes.kind}"
