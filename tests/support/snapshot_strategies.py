"""Random projects for property tests: small alphabets, so that two of them share names and contents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

from tests.support.snapshots import Chunked, Unreadable, attributes_of, content_of
from tests.support.trees import File, Link, Special

NAMES = st.sampled_from(("a", "a.b", "a-b", "ab", "A", "café", "caf\udce9", 'q"t\\', "t\tn\nx", "with space", "-x"))
LINES = st.lists(st.sampled_from((b"one\n", b"two\n", b"three\n", b"caf\xe9\n", b"\r\n", b"no end")), max_size=12).map(b"".join)
CONTENTS = LINES | st.sampled_from((b"", b"\0binary", b"\0other", b"x" * 8000 + b"\0late"))
FILES = st.builds(File, CONTENTS, st.sampled_from((0o644, 0o755)))
LINKS = st.builds(Link, st.sampled_from(("a", "caf\udce9", "one\n")))
ODD_FILES = st.one_of(
    st.builds(File, st.just(b"same"), st.sampled_from((0o644, 0o600, 0o755)), st.sampled_from((1, 2))),
    st.sampled_from((Special("fifo"), Special("socket"), Unreadable())),
    st.builds(
        Chunked, st.lists(st.sampled_from((b"1", b"2")), min_size=1, max_size=3).map(tuple), st.sampled_from((0o644, 0o755))
    ),
)


def trees(leaves: st.SearchStrategy[Any], *, min_size: int) -> st.SearchStrategy[dict[str, Any]]:
    """Nested mappings; with min_size 1 no directory is empty but perhaps the top one."""
    inner = st.recursive(leaves, lambda below: st.dictionaries(NAMES, below, min_size=min_size, max_size=4), max_leaves=8)
    return st.dictionaries(NAMES, inner, max_size=4)


GIT_TREES = trees(FILES | LINKS, min_size=1)
"""What Git sees as CRONOS does: files and links, no empty directories."""

ALL_TREES = trees(FILES | LINKS | ODD_FILES, min_size=0)
"""With all that Git does not see."""


def flatten(tree: Mapping[str, Any], top: str = "") -> Iterator[tuple[str, Any]]:
    """Every path but directories that hold something, with what counts as its content and what as its attributes."""
    for name, node in tree.items():
        path = f"{top}/{name}" if top else name
        if isinstance(node, Mapping):
            yield from flatten(node, path) if node else [(path, ("directory", None))]
        else:
            yield path, (_identity(node), attributes_of(name, node))


def _identity(node: Any) -> tuple[Any, ...]:
    if isinstance(node, Special | Unreadable | Link):
        return (node,)
    executable = bool(getattr(node, "mode", 0) & 0o100)
    return (type(node) is Chunked, node.pieces if isinstance(node, Chunked) else content_of(node), executable)
