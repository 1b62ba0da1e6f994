"""What restores in place mean, said over plain dictionaries: no code of the planner, the walk or the rules is used here."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

CACHE_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n"
DEFAULTS = ("__pycache__/", "*.pyc", ".venv/", "venv/", "node_modules/")


@dataclass(frozen=True)
class Node:
    """One path. Nodes are equal when a restore may not tell them apart; the rest says which file it is."""

    kind: int
    mode: int
    owner: tuple[int, int]
    mtime_ns: int
    xattrs: tuple[tuple[str, bytes], ...]
    content: bytes
    inode: int = field(compare=False)
    links: int = field(compare=False)
    ctime_ns: int = field(compare=False)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.kind)


Tree = dict[str, Node]


def observe(root: Path) -> Tree:
    """Everything at and below *root*, by path."""
    return dict(_observed(os.fspath(root), ""))


def _observed(root: str, path: str) -> Iterator[tuple[str, Node]]:
    place = os.path.join(root, path) if path else root
    info = os.lstat(place)
    names = os.listxattr(place, follow_symlinks=False)
    node = Node(
        stat.S_IFMT(info.st_mode),
        stat.S_IMODE(info.st_mode),
        (info.st_uid, info.st_gid),
        info.st_mtime_ns,
        tuple(sorted((name, os.getxattr(place, name, follow_symlinks=False)) for name in names)),
        _content(place, info),
        info.st_ino,
        info.st_nlink,
        info.st_ctime_ns,
    )
    yield path, node
    if node.is_directory:
        for name in sorted(os.listdir(place)):
            yield from _observed(root, f"{path}/{name}" if path else name)


def _content(place: str, info: os.stat_result) -> bytes:
    if stat.S_ISLNK(info.st_mode):
        return os.fsencode(os.readlink(place))
    return Path(place).read_bytes() if stat.S_ISREG(info.st_mode) else b""


# --- rules ---


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is left out; patterns of a name with `*`, perhaps with `!` or `/` in front, perhaps with `/` behind."""

    exclude: tuple[str, ...] = ()
    request: tuple[str, ...] = ()
    gitignore: bool = False


def is_taken(tree: Tree, rules: Rules, path: str, *, is_directory: bool) -> bool:
    """Whether a backup of *tree* takes a *path*, or would if it were there."""
    ways = ways_to(path)
    return all(_is_taken_itself(tree, rules, way, True) for way in ways) and _is_taken_itself(tree, rules, path, is_directory)


def _is_taken_itself(tree: Tree, rules: Rules, path: str, is_directory: bool) -> bool:
    name = path.rpartition("/")[2]
    if name == ".git" and (path not in tree or is_directory or stat.S_ISREG(tree[path].kind)):
        return False
    tag = tree.get(f"{path}/CACHEDIR.TAG")
    if is_directory and tag and stat.S_ISREG(tag.kind) and tag.content.startswith(CACHE_TAG.strip()):
        return False
    excluded = False
    for base, line in _lines(tree, rules, path):
        if _matches(line.removeprefix("!"), path.removeprefix(base), name, is_directory):
            excluded = not line.startswith("!")
    return not excluded


def _lines(tree: Tree, rules: Rules, path: str) -> Iterator[tuple[str, str]]:
    yield from (("", line) for line in (*DEFAULTS, *rules.exclude))
    for name in (".gitignore", ".cronosignore") if rules.gitignore else (".cronosignore",):
        for above in ("", *ways_to(path)):
            base = above + "/" if above else ""
            found = tree.get(base + name)
            if found and stat.S_ISREG(found.kind):
                yield from ((base, line) for line in found.content.decode().split())
    yield from (("", line) for line in rules.request)


def _matches(pattern: str, path: str, name: str, is_directory: bool) -> bool:
    if pattern.endswith("/") and not is_directory:
        return False
    bare = pattern.strip("/")
    return path == bare if pattern.startswith("/") else fnmatchcase(name, bare)


def ways_to(path: str) -> list[str]:
    """The directories above *path*, from the top down, the top itself not among them."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def is_within(path: str, tops: Iterable[str]) -> bool:
    """Whether *path* is one of *tops* or lies below one."""
    return any(not top or path == top or path.startswith(top + "/") for top in tops)


# --- backups ---


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A backup: the whole tree as it was, and which part of it was to be kept."""

    id: str
    tree: Tree
    rules: Rules
    scope: tuple[str, ...]

    def held(self) -> Tree:
        """What the backup holds: what the rules take of the scope, and the directories on the way."""
        on_the_way = {way for top in self.scope for way in ("", *ways_to(top))}
        return {
            path: node
            for path, node in self.tree.items()
            if not path
            or (
                (is_within(path, self.scope) or (path in on_the_way and node.is_directory))
                and is_taken(self.tree, self.rules, path, is_directory=node.is_directory)
            )
        }

    def would_take(self, path: str, node: Node, seen: AbstractSet[str]) -> bool:
        """Whether it is sure that the backup would hold *path* if it had been there; *seen* is what is seen now."""
        places = (*ways_to(path), path)
        may_be_left_out = any(f"{place}/CACHEDIR.TAG" in seen or place.rpartition("/")[2] == ".git" for place in places)
        return not may_be_left_out and is_taken(self.tree, self.rules, path, is_directory=node.is_directory)


# --- what a restore makes of a tree ---


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A tree after a restore.

    Attributes:
        restored: Paths that come from the backup.
        groups: For each of them that is no directory, which file of the backup it is.
    """

    tree: Tree
    restored: frozenset[str]
    groups: Mapping[str, int]


def restored(now: Tree, rules: Rules, kept: Kept, paths: Iterable[str], *, keeps_extra: bool) -> Outcome:
    """What replace, or overwrite, makes of the tree *now*, whose own rules are *rules*."""
    held = kept.held()
    tops = _tops(kept, tuple(paths) or ("",))
    wanted = {path: node for path, node in held.items() if is_within(path, tops)}
    for way in (way for top in tops for way in ways_to(top)):
        if any(is_within(path, (way,)) and is_within(path, tops) for path in held):
            there = now.get(way)
            if there is None or not there.is_directory:
                wanted[way] = held[way]
    tree = _without_clashes(now, wanted)
    seen = {path for path, node in now.items() if not path or is_taken(now, rules, path, is_directory=node.is_directory)}
    if not keeps_extra:
        extra = [path for path in tree if path not in held and is_within(path, tops)]
        _remove(tree, [path for path in extra if path in seen and kept.would_take(path, tree[path], seen)])
    for path, node in wanted.items():
        stays = path in tree and node.is_directory and tree[path].is_directory and path not in seen
        if not stays:
            tree[path] = node
    groups = {path: node.inode for path, node in wanted.items() if not node.is_directory}
    return Outcome(tree=tree, restored=frozenset(wanted), groups=groups)


def _tops(kept: Kept, wanted: tuple[str, ...]) -> tuple[str, ...]:
    return (*(path for path in wanted if is_within(path, kept.scope)), *(top for top in kept.scope if is_within(top, wanted)))


def _without_clashes(now: Tree, wanted: Tree) -> Tree:
    """The tree without what stands where something of another kind must go, directories with all that is in them."""
    clashing = [path for path, node in wanted.items() if path in now and now[path].is_directory is not node.is_directory]
    return {path: node for path, node in now.items() if not is_within(path, clashing)}


def _remove(tree: Tree, going: list[str]) -> None:
    """Remove paths; directories only when nothing is left in them."""
    for path in sorted(going, key=lambda path: path.count("/"), reverse=True):
        if not (tree[path].is_directory and any(other.startswith(path + "/") for other in tree)):
            del tree[path]


# --- comparing ---


def assert_is(outcome: Outcome, before: Tree, after: Tree) -> None:
    """Fail unless *after* is what was to come of *before*: contents, attributes, which names are one file, what was let alone."""
    wrong = [
        f"{path!r}: {outcome.tree.get(path)} expected, {after.get(path)} found, {before.get(path)} before"
        for path in sorted(outcome.tree.keys() | after.keys())
        if outcome.tree.get(path) != after.get(path)
    ]
    assert not wrong, "\n".join(wrong)
    assert_same_groups(outcome.groups, {path: after[path].inode for path in outcome.groups})
    for path in after.keys() & before.keys():
        old, new = before[path], after[path]
        is_alone = old.links == new.links == 1 or old.is_directory
        if path not in outcome.restored or (is_alone and old == new):
            assert old.inode == new.inode, f"{path!r} was to be let alone and is another file now"
            assert old.is_directory or not is_alone or old.ctime_ns == new.ctime_ns, f"{path!r} was touched"


def assert_same_groups(expected: Mapping[str, int], found: Mapping[str, int]) -> None:
    """Fail unless the same paths are names of one file."""
    assert _partition(expected) == _partition(found), f"{_partition(expected)} expected, {_partition(found)} found"


def _partition(group_of: Mapping[str, int]) -> set[frozenset[str]]:
    groups: dict[int, set[str]] = {}
    for path, group in group_of.items():
        groups.setdefault(group, set()).add(path)
    return {frozenset(paths) for paths in groups.values()}


def assert_told(planned: Mapping[str, str], before: Tree, after: Tree) -> None:
    """Fail unless a plan, actions by path, told just what came and went, and everything that changed."""
    actions: dict[str, set[str]] = {}
    for path, action in planned.items():
        actions.setdefault(action, set()).add(path)
    came, went = after.keys() - before.keys(), before.keys() - after.keys()
    assert (actions.get("create", set()), actions.get("delete", set())) == (came, went), f"{actions} told, {came=} {went=}"
    changed = {path for path in before.keys() & after.keys() if before[path] != after[path]}
    assert changed <= actions.get("update", set()) | actions.get("attributes", set()), f"{actions} told, {changed=}"
