from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from cronos_git.errors import RecordFormatError
from cronos_git.rules.record import Identity, clean_line, clean_text, format_json, format_tag, identity_line, parse_tag
from tests.unit.test_record import ALICE, BACKUP, TAG, WRITTEN

TEXT = st.one_of(st.text(st.characters(), max_size=40), st.text("ab:\n\r\t \x00\x85\ud800-", max_size=20))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
NUMBERS = st.integers(min_value=0, max_value=1 << 62)


@given(
    message=TEXT,
    description=TEXT,
    labels=st.lists(TEXT, max_size=3).map(tuple),
    metadata=st.dictionaries(st.text(), VALUES, max_size=3),
    created=st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    pinned=st.booleans(),
    size_bytes=NUMBERS,
)
def test_what_is_read_is_what_was_written_but_for_the_cleaning(
    message: str, description: str, labels: tuple[str, ...], **rest: object
) -> None:
    draft = replace(BACKUP, message=message, description=description, labels=labels, **rest)  # type: ignore[arg-type]
    read = parse_tag(format_tag(draft, ALICE), TAG)
    cleaned_labels = tuple(label for label in map(clean_line, labels) if label)
    expected = replace(
        draft, message=clean_line(message) or draft.name, description=clean_text(description), labels=cleaned_labels
    )
    assert read == expected
    assert format_tag(read, ALICE) == format_tag(draft, ALICE)


@given(TEXT)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean_line(clean_line(text)) == clean_line(text)
    assert clean_text(clean_text(text)) == clean_text(text)
    assert clean_text(text).encode().decode() == clean_text(text)


@given(TEXT, TEXT)
def test_any_identity_is_one_name_and_one_address(user: str, host: str) -> None:
    line = identity_line(Identity(user=user, host=host), BACKUP.created).decode()
    name, address = line.split(" <")
    assert name == name.strip() != ""
    assert address.count(">") == 1
    assert "\n" not in line
    assert address.endswith("> 1795444200 +0000")
    assert not set(address.partition(">")[0]) & set(" <\t")


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])) | st.just("\udcff"), VALUES))
def test_json_comes_back_and_is_the_same_whatever_the_order_of_keys(record: dict[str, object]) -> None:
    line = format_json(record)
    assert json.loads(line) == record
    assert format_json(dict(reversed(record.items()))) == line
    assert line.isascii()
    assert line.count(b"\n") == 1


@given(st.data())
def test_damaged_tag_is_read_or_reported_never_worse(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(WRITTEN)))
    length = data.draw(st.integers(0, 20))
    raw = WRITTEN[:start] + data.draw(st.binary(max_size=8)) + WRITTEN[start + length :]
    try:
        read = parse_tag(raw, TAG)
    except RecordFormatError:
        return
    assert parse_tag(format_tag(read, ALICE), TAG).id == read.id
