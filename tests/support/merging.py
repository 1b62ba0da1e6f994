"""What tests of merges share: three states of a project, and trees as short literals."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cronos_git.engine import Cronos
from cronos_git.model import RestoreRequest
from tests.support.in_place import empty
from tests.support.restoring import save
from tests.support.trees import Node, make_tree, read_tree

BASE = "base_20400101_120000"
THEIRS = "theirs_20400101_120000"

Tree = Mapping[str, Node]


def three_states(engine: Cronos, base: Tree, theirs: Tree, ours: Tree) -> None:
    """The backups `base` and `theirs`, and a project that is as *ours*."""
    for name, tree in (("base", base), ("theirs", theirs)):
        become(engine.project, tree)
        save(engine, name)
    become(engine.project, ours)


def become(project: Path, tree: Tree) -> None:
    empty(project)
    make_tree(project, tree)


def merging(**fields: Any) -> RestoreRequest:
    """Merge `theirs`, by the base `base`, unless it says otherwise."""
    return RestoreRequest(**{"backup": "theirs", "strategy": "merge", "base": "base", **fields})


def shown(project: Path) -> dict[str, Any]:
    """What lies in a project: bytes, `-> target`, None for a directory; with the mode of a file that is not 0644."""
    found: dict[str, Any] = {}
    for path, (kind, mode, _uid, _gid, _mtime, xattrs, content, _group) in read_tree(project).items():
        told: Any = None if kind == stat.S_IFDIR else f"-> {content}" if kind == stat.S_IFLNK else content
        if kind == stat.S_IFREG and mode != 0o644:
            told = told, mode
        if xattrs:
            told = told, dict(xattrs)
        if path and (told is not None or not any((project / path).iterdir())):
            found[path] = told
    return found
