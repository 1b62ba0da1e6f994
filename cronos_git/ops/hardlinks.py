"""Which names of hard-linked files must be made anew so that the same names are one file as in a backup.

Groups are compared by who belongs together: the inode numbers that a backup recorded say nothing after a restore. A file is never
written through a name that others share: where anything about such a file changes, all its names are made anew. Floor F7, below
the verbs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from cronos_git.disk.walk import Directory, Found, Scan
from cronos_git.git.view import Pair
from cronos_git.model import Entry

_Inode = tuple[int, int]


@dataclass(slots=True)
class Links:
    """What hard links ask for.

    Attributes:
        anew: Paths to be made anew although content and attributes may be right.
        sources: For a path that is to be another name of a file: the path of that file's first name.
    """

    anew: set[str] = field(default_factory=set)
    sources: dict[str, str] = field(default_factory=dict)


def plan_links(
    pairs: Mapping[str, Pair],
    scan: Scan,
    is_same: Callable[[Pair], bool],
    covers: Callable[[str], bool],
    is_right_name: Callable[[str, str, str], bool],
    is_another_file: Callable[[str, str], bool],
) -> Links:
    """What hard links ask for.

    Args:
        pairs: What differs, by path: the entry now and the desired one.
        scan: The target now.
        is_same: Whether content and attributes of a pair agree, link groups apart.
        covers: Whether a path is within what is restored; outside it nothing may change.
        is_right_name: Whether a path, restored or not, is to be a name of the file with this group and content, and has its
            content and attributes already; then others may become names of what is there.
        is_another_file: Whether a path is to be another file than that of this group. A restored path does not stay a name of it,
            also where that one is not restored itself: an undo parts what the restore has joined.

    Cost: a pass over the scan's entries, when any link group is concerned.
    """
    linked = [path for path, pair in pairs.items() if any(entry and entry.attributes.link_group for entry in pair)]
    return _Planner(pairs, scan, is_same, covers, is_right_name, is_another_file).plan(linked) if linked else Links()


class _Planner:
    def __init__(
        self,
        pairs: Mapping[str, Pair],
        scan: Scan,
        is_same: Callable[[Pair], bool],
        covers: Callable[[str], bool],
        is_right_name: Callable[[str, str, str], bool],
        is_another_file: Callable[[str, str], bool],
    ) -> None:
        self.pairs = pairs
        self.is_same = is_same
        self.covers = covers
        self.is_right_name = is_right_name
        self.is_another_file = is_another_file
        self.inode_of_group: dict[str, _Inode] = {}
        self.links = Links()
        self.seen: dict[str, Found] = {}
        self.names: dict[_Inode, list[str]] = defaultdict(list)
        groups = {after.attributes.link_group for _, after in pairs.values() if after}
        for path, entry in _shared_files(scan.top, {group.rpartition("-")[2] for group in groups if group}):
            self.seen[path] = entry
            self.names[entry.device, entry.inode].append(path)
            group = entry._replace(links=2).link_group(scan.device)  # perhaps it has lost its other names
            self.inode_of_group[group] = (entry.device, entry.inode)

    def plan(self, linked: list[str]) -> Links:
        groups: dict[tuple[str, str], list[str]] = defaultdict(list)
        for path in linked:
            after = self.pairs[path][1]
            if after is not None and after.attributes.link_group:
                groups[after.attributes.link_group, after.oid].append(path)
            elif after is not None:
                self._part(path)
        for (group, oid), members in groups.items():
            anchor = self._anchor(group, oid)
            if anchor is not None:
                self._join(members, anchor)
            else:
                self._gather(members)
        return self.links

    def _part(self, path: str) -> None:
        """A file that shall have one name only."""
        if len(self._names_of(path)) > 1 or self._must_not_be_touched(path, 1):
            self.links.anew.add(path)

    def _anchor(self, group: str, oid: str) -> str | None:
        """A name of the desired group that is as it should be, so that the others can join it."""
        inode = self.inode_of_group.get(group)
        names = self.names[inode] if inode else []
        return next((name for name in names if name not in self.pairs and self.is_right_name(name, group, oid)), None)

    def _join(self, members: list[str], anchor: str) -> None:
        for path in members:
            if self._inode(path) != self._inode(anchor):
                self._make_anew(path, anchor)
            elif not self.is_same(self.pairs[path]):  # recorded in the midst of a change; the anchor is not written through
                self.links.anew.add(path)

    def _gather(self, members: list[str]) -> None:
        """A group of which every name that we cover differs in something."""
        first, *others = members
        if self._are_one(members) and not self._must_not_be_touched(first, len(members)):
            self.links.sources.update(dict.fromkeys(others, first))
        elif others or len(self._names_of(first)) > 1 or self._must_not_be_touched(first, 1):
            self.links.anew.add(first)
            for path in others:
                self._make_anew(path, first)

    def _make_anew(self, path: str, source: str) -> None:
        self.links.anew.add(path)
        self.links.sources[path] = source

    def _are_one(self, members: list[str]) -> bool:
        """Whether these names, and none besides, are one file with the right content."""
        inodes = {self._inode(path) for path in members}
        if len(inodes) > 1 or None in inodes or not set(self._names_of(members[0])) <= set(members):
            return False
        return all(_has_content_of(*self.pairs[path]) for path in members)

    def _must_not_be_touched(self, path: str, names: int) -> bool:
        """Whether something about a file is to change that has more names than these."""
        entry = self.seen.get(path)
        return entry is not None and entry.links > names and not self.is_same(self.pairs[path])

    def _inode(self, path: str) -> _Inode | None:
        entry = self.seen.get(path)
        return (entry.device, entry.inode) if entry else None

    def _names_of(self, path: str) -> list[str]:
        """The names of the file at *path* that count: not those outside the restore that may be its names."""
        inode, after = self._inode(path), self.pairs[path][1]
        group = after.attributes.link_group if after else ""
        return [name for name in self.names[inode] if self.covers(name) or self.is_another_file(name, group)] if inode else []


def _has_content_of(before: Entry | None, after: Entry | None) -> bool:
    return before is not None and after is not None and before.oid == after.oid


def _shared_files(directory: Directory, inodes: AbstractSet[str]) -> Iterator[tuple[str, Found]]:
    """Files with several names, and those whose inode number, in hexadecimal, is one of these."""
    prefix = directory.path + "/" if directory.path else ""
    for entry in directory.entries:
        if entry.links > 1 or f"{entry.inode:x}" in inodes:
            yield prefix + entry.name, entry
    for child in directory.children:
        yield from _shared_files(child, inodes)
