from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from cronos_git.errors import RecordFormatError
from cronos_git.git.trees import MODE_DIRECTORY, MODE_EXECUTABLE, MODE_FILE, MODE_SYMLINK, TreeEntry, format_tree, parse_tree

NAMES = st.binary(min_size=1, max_size=6).filter(lambda name: not {0, 0x2F} & set(name) and name not in (b".", b".."))
ENTRIES = st.lists(
    st.builds(
        TreeEntry,
        st.sampled_from((MODE_FILE, MODE_EXECUTABLE, MODE_SYMLINK, MODE_DIRECTORY)),
        NAMES,
        st.binary(min_size=20, max_size=20),
    ),
    unique_by=lambda entry: entry.stored,
    max_size=8,
)


@given(ENTRIES)
def test_parse_is_the_inverse_of_format(entries: list[TreeEntry]) -> None:
    body = format_tree(entries)
    assert sorted(parse_tree(body)) == sorted(entries)
    assert format_tree(parse_tree(body)) == body


@given(ENTRIES, st.data())
def test_bytes_are_refused_unless_format_gives_exactly_them(entries: list[TreeEntry], data: st.DataObject) -> None:
    body = bytearray(format_tree(entries))
    start = data.draw(st.integers(0, len(body)))
    stop = data.draw(st.integers(start, min(len(body), start + 30)))
    body[start:stop] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(RecordFormatError):
        assert format_tree(parse_tree(bytes(body))) == body
