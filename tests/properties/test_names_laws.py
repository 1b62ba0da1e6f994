from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pygit2
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.errors import RecordFormatError
from cronos_git.rules.names import decode_name, encode_name, make_id, scope_name, slug

PIECES = st.sampled_from(
    [b".git", b"git~1", b".gitmodules", b"~1", b"\\", b"%", b"%25", b"%5C", b".cronos%", b"e%", b"c%", b"\xe2\x80\x8c", b":"]
)
NAMES = st.lists(st.one_of(PIECES, st.binary(max_size=4)), min_size=1, max_size=5).map(b"".join)
FILE_NAMES = NAMES.map(lambda raw: raw.replace(b"/", b"").replace(b"\0", b"")).filter(lambda raw: raw not in (b"", b".", b".."))


@given(FILE_NAMES, st.booleans(), st.booleans())
def test_decoding_gives_back_what_was_encoded(raw: bytes, chunked: bool, forced: bool) -> None:
    assert decode_name(encode_name(raw, chunked=chunked, forced=forced)) == (raw, chunked)


@given(NAMES)
def test_what_decodes_is_exactly_what_encoding_gives(stored: bytes) -> None:
    try:
        raw, chunked = decode_name(stored)
    except RecordFormatError:
        return
    assert stored in (encode_name(raw, chunked=chunked), encode_name(raw, chunked=chunked, forced=True))


@given(st.lists(st.tuples(FILE_NAMES, st.booleans()), unique=True))
def test_different_names_are_stored_differently(files: list[tuple[bytes, bool]]) -> None:
    assert len({encode_name(raw, chunked=chunked) for raw, chunked in files}) == len(files)


WORDS = st.one_of(st.text(), st.text("aB.-_ /+~^:@{lock", max_size=12), st.text(max_size=8).map(lambda text: text + ".lock"))


ZONES = st.sampled_from([UTC, timezone(timedelta(hours=9)), timezone(timedelta(hours=-11, minutes=-30))])


@given(WORDS, st.datetimes(datetime(1970, 1, 2), datetime(9999, 1, 1), timezones=ZONES))  # noqa: DTZ001
def test_any_name_gives_an_id_that_is_a_ref(name: str, created: datetime) -> None:
    ref = f"refs/tags/backup/{make_id(name, created, ())}"
    assert len(ref) < 200
    assert pygit2.reference_is_valid_name(ref)
    assert slug(slug(name)) == slug(name)


@given(st.lists(WORDS, max_size=30))
def test_any_modules_give_a_scope_that_is_a_ref_whatever_their_order(modules: list[str]) -> None:
    ref = f"refs/heads/module/{scope_name(modules)}"
    assert len(ref) < 200
    assert pygit2.reference_is_valid_name(ref)
    assert scope_name(reversed(modules)) == scope_name(modules)
