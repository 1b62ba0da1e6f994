from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronos_git.cli.render.text import age, duration, local, local_ns, plural, size, visible

NOW = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (5 * 1024**4, "5.0 TiB"),
        (-2048, "-2.0 KiB"),
    ],
)
def test_size_is_short(number: int, expected: str) -> None:
    assert size(number) == expected


def test_size_beyond_all_units_stays_in_the_largest() -> None:
    assert size(5000 * 1024**6) == "5000.0 EiB"


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(hours=3), "3 hours ago"),
        (timedelta(days=40), "1 month ago"),
        (timedelta(days=800), "2 years ago"),
        (timedelta(hours=-2), "in 2 hours"),
    ],
)
def test_age_takes_the_largest_unit(ago: timedelta, expected: str) -> None:
    assert age(NOW - ago, NOW) == expected


def test_durations_and_plurals() -> None:
    assert [duration(s) for s in (0.04, 59.94, 185, 7800)] == ["0.0 s", "59.9 s", "3 min 5 s", "2 h 10 min"]
    assert [plural(1, "file"), plural(78579, "file"), plural(0, "directory", "directories")] == [
        "1 file",
        "78,579 files",
        "0 directories",
    ]


def test_times_are_shown_on_the_users_clock() -> None:
    zone = timezone(timedelta(hours=2))
    assert local(NOW, zone) == "2026-04-01 14:00:00"
    assert local_ns(-1_500_000_000, UTC) == "1969-12-31 23:59:58"


def test_time_of_a_file_beyond_the_calendar_is_its_number() -> None:
    assert local_ns(10**30, UTC) == f"@{10**21}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain näme 日本.txt", "plain näme 日本.txt"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x9b31m", r"\x9b31m"),
        ("\udcff.bin", r"\xff.bin"),
        ("\u202etxt.exe", r"\u202etxt.exe"),
        ("back\\slash", "back\\slash"),
        ("back\\slash\x07", r"back\\slash\x07"),
    ],
)
def test_names_are_escaped_only_where_they_could_steer_a_terminal(text: str, expected: str) -> None:
    assert visible(text) == expected


@given(st.text(st.characters(exclude_categories=())))
def test_visible_text_never_holds_a_control_character_and_can_always_be_encoded(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066\u2028" for c in shown)


@given(st.text(st.sampled_from("a\\\n\x1bx1b\udcff")), st.text(st.sampled_from("a\\\n\x1bx1b\udcff")))
def test_two_escaped_names_never_look_the_same(one: str, other: str) -> None:
    if visible(one) != one and visible(other) != other and one != other:
        assert visible(one) != visible(other)
