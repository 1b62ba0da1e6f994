"""Amending tags: only what was asked for changes, twice is once, and back is back, to the byte."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cronos_git.rules.record import amend_tag, format_tag, parse_tag
from tests.properties.test_record_laws import TEXT, VALUES
from tests.unit.test_record import ALICE, BACKUP, TAG

FIELDS = {
    "message": TEXT,
    "description": TEXT,
    "labels": st.lists(TEXT, max_size=3).map(tuple),
    "pinned": st.booleans(),
    "metadata": st.dictionaries(st.text(), VALUES, max_size=3),
}
TAGS = st.fixed_dictionaries(FIELDS).map(lambda fields: format_tag(replace(BACKUP, **fields), ALICE))
CHANGES = st.fixed_dictionaries({}, optional=FIELDS)


def amended(raw: bytes, changes: dict[str, Any]) -> bytes:
    return amend_tag(raw, replace(parse_tag(raw, TAG), **changes))


@given(TAGS, CHANGES)
def test_an_amended_tag_is_the_tag_that_would_have_been_written(raw: bytes, changes: dict[str, Any]) -> None:
    assert amended(raw, changes) == format_tag(replace(parse_tag(raw, TAG), **changes), ALICE)


@given(TAGS, CHANGES)
def test_twice_is_once(raw: bytes, changes: dict[str, Any]) -> None:
    once = amended(raw, changes)
    assert amended(once, changes) == once


@given(TAGS, CHANGES)
def test_there_and_back_is_the_same_to_the_byte(raw: bytes, changes: dict[str, Any]) -> None:
    before = parse_tag(raw, TAG)
    there = amended(raw, changes)
    assert amended(there, {name: getattr(before, name) for name in FIELDS}) == raw


@given(TAGS, CHANGES, st.sampled_from(["Cronos-Host: box\n", "Cronos-Zeta: 1\nCronos-Filed: x\n"]))
def test_what_a_later_version_adds_stays(raw: bytes, changes: dict[str, Any], added: str) -> None:
    assert amended(raw + added.encode(), changes) == amended(raw, changes) + added.encode()


def test_text_and_tagger_that_are_written_in_another_way_stay_when_only_a_pin_changes() -> None:
    raw = format_tag(replace(BACKUP, description="line"), ALICE).replace(b"\nline\n", b"\nline  \n \tend \n")
    raw = raw.replace(b" +0000\n", b" +0130\n")
    pinned = amended(raw, {"pinned": not BACKUP.pinned})
    assert pinned != raw
    assert amended(pinned, {"pinned": BACKUP.pinned}) == raw
