"""Laws of member names, dates in names, and tars."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cronos_git.disk.archives import Member
from cronos_git.disk.tars import TarReader, write_tar
from cronos_git.errors import CronosError, RefusedError
from cronos_git.model import Attributes
from cronos_git.rules.dated import read_dated
from cronos_git.rules.member_names import member_path
from tests.support.archives import bring_in, ids, make_tar, member
from tests.support.engine import make_engine

PARTS = st.sampled_from(["a", "A", "..", ".", "", ".git", "c:", "\\", "x" * 300, "\udcff", "\n", "a b"])
NAMES = st.lists(PARTS, min_size=1, max_size=5).map("/".join)
CALENDAR = (datetime(1970, 1, 1), datetime(2099, 12, 31))  # noqa: DTZ001 - hypothesis adds zones itself
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])


@given(NAMES | st.text(), st.booleans())
def test_a_member_path_lies_below_the_top_or_is_refused(name: str, windows: bool) -> None:
    try:
        path = member_path(name, windows=windows)
    except (RefusedError, UnicodeEncodeError):
        return
    assert not path.startswith("/")
    assert not {"", ".", ".."} & set(path.split("/") if path else ())
    assert os.path.normpath(os.path.join("/top", path)) == os.path.join("/top", path).rstrip("/")
    assert member_path(path, windows=windows) == path


@given(st.datetimes(*CALENDAR), st.sampled_from(["%Y-%m-%d", "%Y%m%d"]), st.booleans())
def test_a_date_in_a_name_is_read_back(when: datetime, style: str, bare: bool) -> None:
    name = f"{when:{style}}" if bare else f"site-{when:{style}}_{when:%H%M%S}.tar.gz"
    found = read_dated(name, UTC)
    expected = when.replace(hour=0, minute=0, second=0) if bare else when
    assert found is not None
    assert found == ("" if bare else "site", expected.replace(microsecond=0, tzinfo=UTC))


@given(st.text(alphabet="0123456789-_.T:Zab", max_size=30))
def test_no_name_breaks_the_reading_of_dates(name: str) -> None:
    found = read_dated(name, UTC)
    assert found is None or 1900 <= found.created.year < 2100


ATTRIBUTES = st.builds(
    Attributes,
    kind=st.just("file"),
    name=st.just("f"),
    mode=st.integers(0, 0o7777),
    size_bytes=st.just(0),
    mtime_ns=st.integers(-(1 << 62), 1 << 62),
    uid=st.integers(0, (1 << 32) - 2),
    gid=st.integers(0, (1 << 32) - 2),
    xattrs=st.dictionaries(st.text("ab=%.;\n ", min_size=1), st.binary(), max_size=3).map(
        lambda found: tuple(sorted((f"user.{name}", value) for name, value in found.items()))
    ),
)


@given(ATTRIBUTES, st.binary(max_size=2000), st.text("ü\udcff a", min_size=1, max_size=150))
def test_a_tar_gives_back_what_was_written(attributes: Attributes, content: bytes, user: str) -> None:
    from dataclasses import replace

    written = Member(path="d/f", attributes=replace(attributes, size_bytes=len(content)), user=user, content=[content])
    out = io.BytesIO()
    write_tar(out, [written], "{}")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "x.tar")
        path.write_bytes(out.getvalue())
        (read,) = ((found, b"".join(found.content)) for found in TarReader(path, "").members())
    assert (read[0].path, read[0].attributes, read[0].user, read[1]) == ("d/f", written.attributes, user, content)


@settings(max_examples=20)
@given(st.lists(st.tuples(NAMES, KINDS, NAMES), min_size=1, max_size=6))
def test_any_tar_is_refused_or_becomes_a_sound_backup(members: list[tuple[str, bytes, str]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        infos = [
            (member(name or "a", kind, link if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""), b"")
            for name, kind, link in members
        ]
        archive = make_tar(Path(place, "a-20240101.tar"), infos)
        engine = make_engine(Path(place))
        try:
            bring_in(engine, archive)
        except CronosError as error:
            assert isinstance(error, RefusedError), error
            assert not engine.store_path.exists() or ids(engine) == []
        else:
            assert engine.verify().damage == ()
