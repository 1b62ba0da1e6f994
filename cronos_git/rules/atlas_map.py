"""The map of a project as a tree and as a graph in Mermaid and DOT.

The tree says project, modules, backups, changed paths. In the graphs each module, backup and path stands once, however many
lines lead to it. Names are put so that none of them is taken for syntax, whatever it is made of. What stands on the map is
`ops.mapping`'s. Floor F4: pure.

Source of the quoting: https://mermaid.js.org/syntax/flowchart.html, https://graphviz.org/doc/info/lang.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Literal

from cronos_git.model import MapBackup, MapChange, Module, ProjectMap
from cronos_git.rules.visible import visible

Kind = Literal["project", "module", "backup", "added", "changed", "removed", "more"]

_MARKS: Mapping[str, str] = {"added": "+", "changed": "~", "removed": "-"}
_MERMAID_UNSAFE = re.compile(r"[^\w /.+~-]|(?<![a-zA-Z0-9])_|_(?![a-zA-Z0-9])|~~|^[-+~]|^\d(?=\d*\.)", re.ASCII)
_SHAPES = {"project": ("([", "])"), "module": ("[[", "]]"), "backup": ("[", "]"), "path": ("(", ")")}
_DOT_SHAPES = {"project": "house", "module": "folder", "backup": "cylinder", "path": "note"}


# --- modules ------------------------------------------------------------------------------------------------------


def modules_of(configured: Mapping[str, Sequence[str]], covered: Iterable[Sequence[str]]) -> tuple[Module, ...]:
    """The modules that are configured, then those that backups were made of, each by name.

    Args:
        configured: Paths by name.
        covered: What backups cover; the whole project is no module.
    """
    known = {path for paths in configured.values() for path in paths}
    others = sorted({path for paths in covered for path in paths} - known - {""})
    names = [*configured, *(path.rpartition("/")[2] for path in others)]
    folded = [name.casefold() for name in names]

    def name_of(path: str) -> str:
        last = path.rpartition("/")[2]
        return last if folded.count(last.casefold()) == 1 else path

    named = [Module(name=name, paths=tuple(paths)) for name, paths in configured.items()]
    return (*sorted(named, key=lambda one: one.name), *(Module(name=name_of(path), paths=(path,)) for path in others))


def module_at(path: str, modules: Iterable[Module]) -> str | None:
    """Name of the module that *path* belongs to: the one with the longest path that leads to it."""
    found = [(len(top), module.name) for module in modules for top in module.paths if _is_at_or_below(path, top)]
    return max(found)[1] if found else None


def _is_at_or_below(path: str, top: str) -> bool:
    return path == top or top == "" or path.startswith(f"{top}/")


# --- the tree -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Branch:
    """One line of the tree, safe to print, and what hangs below it."""

    kind: Kind
    text: str
    below: list[Branch] = field(default_factory=list)


def tree(drawn: ProjectMap, zone: tzinfo, paths: int | None) -> Branch:
    """The map as a tree: modules with the backups of them, then the backups of the whole project.

    Args:
        zone: For times.
        paths: At most so many changed paths of each backup; None for all.
    """
    root = Branch("project", f"{visible(drawn.name)}  {visible(drawn.path)}")
    for module in drawn.modules:
        told = ", ".join(map(visible, module.paths))
        branch = Branch("module", visible(module.name) + (f"  {told}" if told != visible(module.name) else ""))
        for one in drawn.backups:
            if not one.whole and module.name in one.modules:
                own = [change for change in one.changes if module_at(change.path, (module,))]
                branch.below.append(_backup_branch(one, _path_branches(own, paths), zone))
        root.below.append(branch)
    others = (one for one in drawn.backups if one.whole or not one.modules)
    root.below += [_backup_branch(one, _by_module(one, paths), zone) for one in others]
    if drawn.more:
        root.below.append(Branch("more", _and_more(drawn.more, "older backup")))
    return root


def _backup_branch(one: MapBackup, below: list[Branch], zone: tzinfo) -> Branch:
    return Branch("backup", "  ".join(filter(None, _backup_words(one, zone))), below)


def _backup_words(one: MapBackup, zone: tzinfo) -> tuple[str, str, str, str]:
    """Id, time, what changed, message."""
    backup = one.backup
    counts = [f"{mark}{sum(change.kind == kind for change in one.changes)}" for kind, mark in _MARKS.items()]
    what = "damaged" if one.damaged else " ".join(counts) if one.previous else "the first of its scope"
    message = "" if backup.message == backup.name else visible(backup.message)
    return backup.id, backup.created.astimezone(zone).isoformat(" ")[:16], what, message


def _by_module(one: MapBackup, paths: int | None) -> list[Branch]:
    """The changed paths of a backup of the whole project, those of no module last."""
    shown, left = _cut(one.changes, paths)
    found = []
    for name in one.modules:
        count = sum(change.module == name for change in one.changes)
        own = [_path_branch(change) for change in shown if change.module == name]
        found.append(Branch("module", f"{visible(name)}  {_plural(count, 'changed path')}", own))
    found += [_path_branch(change) for change in shown if change.module is None]
    return found + ([Branch("more", _and_more(left, "path"))] if left else [])


def _path_branches(changes: Sequence[MapChange], paths: int | None) -> list[Branch]:
    shown, left = _cut(changes, paths)
    return [_path_branch(change) for change in shown] + ([Branch("more", _and_more(left, "path"))] if left else [])


def _path_branch(change: MapChange) -> Branch:
    kind: Kind = change.kind if change.kind != "attributes" else "changed"
    return Branch(kind, f"{_MARKS[kind]} {visible(change.path) or '.'}")


def _cut(changes: Sequence[MapChange], paths: int | None) -> tuple[Sequence[MapChange], int]:
    shown = changes[:paths]
    return shown, len(changes) - len(shown)


def _plural(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _and_more(number: int, word: str) -> str:
    return f"… and {_plural(number, f'more {word}')}"


def tree_lines(branch: Branch, show: Callable[[Branch], str] = lambda branch: branch.text) -> Iterator[str]:
    """The lines of a tree, with its guides."""
    pending = [(branch, "", "")]
    while pending:
        one, first, rest = pending.pop()
        yield first + show(one)
        last = len(one.below) - 1
        below = [
            (child, rest + ("└── " if number == last else "├── "), rest + ("    " if number == last else "│   "))
            for number, child in enumerate(one.below)
        ]
        pending += reversed(below)


# --- the graph ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Node:
    id: str
    kind: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Edge:
    source: str
    target: str
    label: str = ""
    dashed: bool = False


@dataclass(slots=True)
class _Graph:
    nodes: list[_Node] = field(default_factory=list)
    edges: list[_Edge] = field(default_factory=list)
    known: dict[tuple[str, str], str] = field(default_factory=dict)

    def node(self, kind: str, key: str, *lines: str) -> str:
        """The id of the one node of that kind and key."""
        if (kind, key) not in self.known:
            self.known[kind, key] = f"n{len(self.nodes)}"
            self.nodes.append(_Node(self.known[kind, key], kind, tuple(filter(None, lines))))
        return self.known[kind, key]


def _graph(drawn: ProjectMap, zone: tzinfo, paths: int | None) -> _Graph:
    graph = _Graph()
    root = graph.node("project", "", visible(drawn.name), visible(drawn.path))
    for module in drawn.modules:
        told = ", ".join(map(visible, module.paths))
        name = graph.node("module", module.name, visible(module.name), told if told != visible(module.name) else "")
        graph.edges.append(_Edge(root, name))
    for one in drawn.backups:
        _add_backup(graph, root, one, _backup_words(one, zone), paths)
    return graph


def _add_backup(graph: _Graph, root: str, one: MapBackup, words: tuple[str, ...], paths: int | None) -> None:
    backup = graph.node("backup", one.backup.id, *words)
    if one.whole or not one.modules:
        graph.edges.append(_Edge(root, backup))
    for name in one.modules:
        module = graph.node("module", name, visible(name))
        count = sum(change.module == name for change in one.changes)
        graph.edges.append(_Edge(backup, module, f"{count} changed", dashed=True) if one.whole else _Edge(module, backup))
    shown, left = _cut(one.changes, paths)
    for change in shown:
        graph.edges.append(_Edge(backup, graph.node("path", change.path, visible(change.path) or "."), change.kind))
    if left:
        graph.edges.append(_Edge(backup, graph.node("path", f"\0{backup}", _and_more(left, "path"))))


def mermaid(drawn: ProjectMap, zone: tzinfo, paths: int | None) -> str:
    """The map as a Mermaid flowchart; arguments as for `tree`."""
    graph = _graph(drawn, zone, paths)
    lines = ["flowchart LR"]
    for node in graph.nodes:
        opening, closing = _SHAPES[node.kind]
        lines.append(f'  {node.id}{opening}"{"<br/>".join(map(_mermaid_text, node.lines))}"{closing}')
    for edge in graph.edges:
        label = f'|"{_mermaid_text(edge.label)}"|' if edge.label else ""
        lines.append(f"  {edge.source} {'-.->' if edge.dashed else '-->'}{label} {edge.target}")
    return "\n".join(lines) + "\n"


def _mermaid_text(text: str) -> str:
    """*text* for a quoted label, with all that could be a quote, markup, a list, a comment or a directive as a number."""
    return _MERMAID_UNSAFE.sub(lambda match: "".join(f"#{ord(character)};" for character in match[0]), text)


def dot(drawn: ProjectMap, zone: tzinfo, paths: int | None) -> str:
    """The map as a directed graph for Graphviz; arguments as for `tree`."""
    graph = _graph(drawn, zone, paths)
    lines = ["digraph cronos {", "  rankdir=LR", '  node [fontname="sans-serif"]']
    for node in graph.nodes:
        label = r"\n".join(map(_dot_text, node.lines))
        lines.append(f'  {node.id} [shape={_DOT_SHAPES[node.kind]}, label="{label}"]')
    for edge in graph.edges:
        told = [f'label="{_dot_text(edge.label)}"'] if edge.label else []
        told += ["style=dashed"] if edge.dashed else []
        lines.append(f"  {edge.source} -> {edge.target}" + (f" [{', '.join(told)}]" if told else ""))
    return "\n".join([*lines, "}"]) + "\n"


def _dot_text(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("&", "&amp;")
