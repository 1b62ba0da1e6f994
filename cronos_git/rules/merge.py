"""Three-way merge of one path: what shall stand there, given what stood (base), stands (ours) and is to come there (theirs).

Decides from entries alone, without reading a content: where both sides changed a file's text it says so, and whoever can read
merges the lines. Attributes merge field by field by the same rule. Renames, and what a whole tree asks for, are `ops.merging`'s.
Floor F4: pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from cronos_git.model import Attributes, ConflictKind, Entry, Version

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What shall stand at a path.

    Attributes:
        entry: The entry, None for nothing. With a conflict: that of the preferred side, with what could be merged of the other.
        conflict: Why no side is right.
        merges_text: Both sides changed the content of a regular file, and its lines may merge; *conflict* then only tells of
            attributes.
    """

    entry: Entry | None
    conflict: ConflictKind | None = None
    merges_text: bool = False


def decide(
    base: Entry | None, ours: Entry | None, theirs: Entry | None, *, applies_deletions: bool, prefers_theirs: bool = False
) -> Verdict:
    """Merge one path.

    A file that one side could not read stays as it is here.

    Args:
        base: None when it had no such path, or when there is no base at all.
        applies_deletions: Strict three-way merge: what one side deleted goes. Else what one side has and the other lacks comes
            back, or stays.
        prefers_theirs: Where the sides contradict each other, theirs counts, not ours.
    """
    preferred = theirs if prefers_theirs else ours
    if ours is None or theirs is None:
        present = ours or theirs
        if base is None or present is None or not applies_deletions or is_directory(base) != is_directory(present):
            return Verdict(present)
        return Verdict(None) if is_same(base, present) else Verdict(preferred, "delete/modify")
    if ours.attributes.unreadable or theirs.attributes.unreadable:
        return Verdict(ours)
    if ours.attributes.kind == theirs.attributes.kind:
        return _merge_alike(base, ours, theirs, prefers_theirs)
    if base is not None and is_same(base, ours):
        return Verdict(theirs)
    if base is not None and is_same(base, theirs):
        return Verdict(ours)
    return Verdict(preferred, "directory/file" if is_directory(ours) or is_directory(theirs) else "type")


def is_same(one: Entry, other: Entry) -> bool:
    """Whether two entries are the same but for their time and for which names share a file."""
    return _lasting(one) == _lasting(other)


def has_content_of(one: Entry, other: Entry) -> bool:
    """Whether two entries are of the same kind and have the same content, whatever their attributes."""
    return one.attributes.kind == other.attributes.kind and content_of(one) == content_of(other)


def is_directory(entry: Entry | None) -> bool:
    """Whether there is a directory."""
    return entry is not None and entry.attributes.kind == "directory"


def _lasting(entry: Entry) -> tuple[object, ...]:
    attributes = entry.attributes
    return attributes.kind, content_of(entry), attributes.mode, attributes.uid, attributes.gid, attributes.xattrs


def content_of(entry: Entry) -> tuple[object, ...]:
    """What a side's content is; a directory's is that of its members."""
    return () if is_directory(entry) else (entry.oid, entry.chunked, entry.attributes.device)


def _merge_alike(base: Entry | None, ours: Entry, theirs: Entry, prefers_theirs: bool) -> Verdict:
    """Both sides have an entry of the same kind."""
    if base is not None and base.attributes.kind != ours.attributes.kind:
        base = None
    content = _Choice(prefers_theirs)
    content.pick(content_of(base) if base else None, content_of(ours), content_of(theirs))
    source = theirs if content.is_theirs else ours
    attributes, conflict = _merge_attributes(
        base.attributes if base else None, ours.attributes, theirs.attributes, prefers_theirs
    )
    if content_of(ours) != content_of(theirs):  # else a build by times would miss that the content is another one
        attributes = replace(attributes, mtime_ns=source.attributes.mtime_ns)
    entry = replace(source, attributes=_with_content_of(attributes, source.attributes))
    if not content.contradicts:
        return Verdict(entry, conflict)
    if ours.attributes.kind == "symlink":
        return Verdict(entry, "symlink")
    if ours.chunked or theirs.chunked or not (ours.oid and theirs.oid):
        return Verdict(entry, "binary")
    return Verdict(entry, conflict, merges_text=True)


# --- attributes ---


class _Choice:
    """Picks values by the three-way rule, and remembers whether any two contradicted each other.

    Attributes:
        is_theirs: The last value picked was theirs.
    """

    def __init__(self, prefers_theirs: bool) -> None:
        self.prefers_theirs = prefers_theirs
        self.is_theirs = False
        self.contradicts = False

    def pick(self, base: _T | None, ours: _T, theirs: _T) -> _T:
        """The merged value; *base* is None when there is none."""
        is_contradiction = ours not in (theirs, base) and theirs != base
        self.contradicts |= is_contradiction
        self.is_theirs = self.prefers_theirs if is_contradiction else ours == base and ours != theirs
        return theirs if self.is_theirs else ours


def _merge_attributes(
    base: Attributes | None, ours: Attributes, theirs: Attributes, prefers_theirs: bool
) -> tuple[Attributes, ConflictKind | None]:
    """Field by field; neither times nor shared names are ever a conflict. Of two new times the later one counts."""
    mode, others, quiet = _Choice(prefers_theirs), _Choice(prefers_theirs), _Choice(prefers_theirs)
    time = _Choice(theirs.mtime_ns > ours.mtime_ns)
    uid, gid = others.pick((base.uid, base.gid) if base else None, (ours.uid, ours.gid), (theirs.uid, theirs.gid))
    merged = replace(
        ours,
        mode=mode.pick(base.mode if base else None, ours.mode, theirs.mode),
        uid=uid,
        gid=gid,
        xattrs=_merge_xattrs(base, ours, theirs, others),
        mtime_ns=time.pick(base.mtime_ns if base else None, ours.mtime_ns, theirs.mtime_ns),
        link_group=quiet.pick(base.link_group if base else None, ours.link_group, theirs.link_group),
    )
    return merged, "mode" if mode.contradicts else "attribute" if others.contradicts else None


def _merge_xattrs(
    base: Attributes | None, ours: Attributes, theirs: Attributes, choice: _Choice
) -> tuple[tuple[str, bytes], ...]:
    """Each name by itself; one that a side lacks has the value None there."""
    then, mine, other = dict(base.xattrs) if base else {}, dict(ours.xattrs), dict(theirs.xattrs)
    names = sorted(then.keys() | mine.keys() | other.keys())
    values = ((name, choice.pick(then.get(name), mine.get(name), other.get(name))) for name in names)
    return tuple((name, value) for name, value in values if value is not None)


def _with_content_of(attributes: Attributes, source: Attributes) -> Attributes:
    return replace(attributes, size_bytes=source.size_bytes, device=source.device, changed=source.changed)


# --- one file on all sides ---


class Triple(NamedTuple):
    """A path, or a file whose path changed, on every side."""

    base: Entry | None
    ours: Entry | None
    theirs: Entry | None


ABSENT = Triple(None, None, None)


def names_of_groups(triples: Iterable[Triple], side: int) -> dict[str, str]:
    """What ours calls the shared files of a side: numbers of files say nothing after a restore, names do."""
    names: dict[str, str] = {}
    for triple in triples:
        entry, ours = triple[side], triple.ours
        if entry and ours and entry.attributes.link_group and ours.attributes.link_group:
            names.setdefault(entry.attributes.link_group, ours.attributes.link_group)
    return names


def regrouped(entry: Entry | None, names: Mapping[str, str]) -> Entry | None:
    """The entry with its group called as *names* says."""
    group = entry.attributes.link_group if entry else ""
    if entry is None or names.get(group, group) == group:
        return entry
    return replace(entry, attributes=replace(entry.attributes, link_group=names[group]))


def is_file(entry: Entry | None) -> bool:
    """Whether there is a file whose content can be read."""
    return entry is not None and entry.attributes.kind == "file" and bool(entry.oid)


def is_free(entry: Entry | None) -> bool:
    """Whether there is nothing, as Git sees it."""
    return entry is None or is_directory(entry)


def moved_to(path: str, entry: Entry) -> Entry:
    """The entry at *path*."""
    name = "." if is_directory(entry) else path.rpartition("/")[2]
    return replace(entry, path=path, attributes=replace(entry.attributes, name=name))


def alone(entry: Entry) -> Entry:
    """The entry as a file of its own, whatever names the original has."""
    return replace(entry, attributes=replace(entry.attributes, link_group=""))


def is_changed(base: Entry | None, entry: Entry | None) -> bool:
    """Whether a side has something that the base did not have so."""
    return entry is not None and (base is None or not is_same(base, entry))


def version_of(entry: Entry | None) -> Version | None:
    """What a conflict tells of a side."""
    if entry is None:
        return None
    attributes = entry.attributes
    return Version(
        kind=attributes.kind,
        size_bytes=attributes.size_bytes,
        mtime_ns=attributes.mtime_ns,
        mode=attributes.mode,
        oid=entry.oid,
        uid=attributes.uid,
        gid=attributes.gid,
        xattrs=attributes.xattrs,
    )
