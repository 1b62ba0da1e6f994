"""The text of attribute blobs: what is written can be read, and what is broken is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.errors import RecordFormatError
from cronos_git.model import Attributes
from cronos_git.rules.attributes import AttributeTable, format_attributes, format_mtime, parse_attributes, parse_mtime

NAMES = st.binary(min_size=1, max_size=40).map(
    lambda raw: raw.replace(b"\0", b"0").replace(b"/", b"_").decode("utf-8", "surrogateescape")
)
XATTRS = st.dictionaries(NAMES.map(lambda name: "user." + name), st.binary(max_size=30), max_size=3)


@st.composite
def attributes(draw: st.DrawFn, name: str | None = None) -> Attributes:
    kind = draw(st.sampled_from(["file", "symlink", "fifo", "socket", "char", "block"]))
    return Attributes(
        kind="directory" if name == "." else kind,  # type: ignore[arg-type]
        name=name or draw(NAMES.filter(lambda text: text not in (".", ".."))),
        mode=draw(st.integers(0, 0o7777)),
        size_bytes=draw(st.integers(0, 1 << 62)),
        mtime_ns=draw(st.integers(-(1 << 63), 1 << 63)),
        uid=draw(st.integers(0, 1 << 32)),
        gid=draw(st.integers(0, 1 << 32)),
        link_group=draw(st.sampled_from(["", "1a2b", "fd00-1a2b"])),
        device=draw(st.none() | st.tuples(st.integers(0, 4095), st.integers(0, 1 << 20))),
        xattrs=tuple(sorted(draw(XATTRS).items())),
        changed=draw(st.booleans()),
        unreadable=draw(st.booleans()),
    )


@given(attributes(name="."), st.lists(attributes()), st.dictionaries(st.integers(0, 99), NAMES))
def test_table_is_read_as_it_was_written(own: Attributes, entries: list[Attributes], names: dict[int, str]) -> None:
    table = AttributeTable(own=own, entries={entry.name: entry for entry in entries}, users=names, groups=names)
    assert parse_attributes(format_attributes(table)) == table


@given(st.integers())
def test_time_is_read_as_it_was_written(mtime_ns: int) -> None:
    assert parse_mtime(format_mtime(mtime_ns)) == mtime_ns


def test_time_before_the_epoch_has_its_sign_in_front() -> None:
    assert format_mtime(-1_500_000_000) == "-1.500000000"
    assert format_mtime(-1) == "-0.000000001"


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"cronos-attributes 2\ndirectory 755 0 0.000000000 0 0 - .\n",
        b"cronos-attributes 1\n",
        b"cronos-attributes 1\ndirectory 755 0 0.000000000 0 0 - .",
        b"cronos-attributes 1\ndirectory 755 0 0.0 0 0 - .\n",
        b"cronos-attributes 1\nfile 755 0 0.000000000 0 0 - x\n",
        b"cronos-attributes 1\ndirectory 9 0 0.000000000 0 0 - .\n",
        b"cronos-attributes 1\ndirectory 755 0 0.000000000 0 0 what .\n",
        b"cronos-attributes 1\ndirectory 755 0 0.000000000 0 0 x:a=! .\n",
        b"cronos-attributes 1\nplace 755 0 0.000000000 0 0 - .\n",
        b"cronos-attributes 1\ndirectory 755 0 0.000000000 0 0 - %G1\n",
        b"cronos-attributes 1\n\n",
    ],
)
def test_broken_blob_is_damage(blob: bytes) -> None:
    with pytest.raises(RecordFormatError):
        parse_attributes(blob)
