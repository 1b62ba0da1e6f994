from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cronos_git.errors import UsageError
from cronos_git.model import Backup
from cronos_git.rules.retention import Policy, decide, policy_of
from cronos_git.rules.schema import Settings
from tests.support.stores import make_backup

NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)


def at(*moments: str, **fields: Any) -> list[Backup]:
    """Backups made at these moments (UTC), in this order, with the moment as their id."""
    made = [(text, datetime.fromisoformat(text).replace(tzinfo=UTC)) for text in moments]
    return [make_backup(number, **({"id": text, "created": when} | fields)) for number, (text, when) in enumerate(made, start=1)]


def days_ago(*ages: float, **fields: Any) -> list[Backup]:
    """Backups of these ages, in this order, with `<age>` as their id."""
    return [
        make_backup(number, **({"id": f"{age:g}", "created": NOW - timedelta(days=age)} | fields))
        for number, age in enumerate(ages, start=1)
    ]


def kept(policy: Policy, backups: list[Backup], now: datetime = NOW, zone: Any = UTC) -> list[str]:
    """Ids of what stays, oldest first."""
    return [decision.backup.id for decision in reversed(decide(policy, backups, now, zone)) if decision.keep]


def reasons(policy: Policy, backups: list[Backup]) -> dict[str, tuple[str, ...]]:
    return {decision.backup.id: decision.reasons for decision in decide(policy, backups, NOW, UTC)}


# --- the two limits -------------------------------------------------------------------------------------------------


def test_what_is_older_than_the_days_goes_and_what_is_as_old_stays() -> None:
    backups = days_ago(31, 30.001, 30, 29, 0)
    assert kept(Policy(retention_days=30), backups) == ["30", "29", "0"]


def test_all_but_the_newest_go_by_sequence_not_by_the_clock() -> None:
    backups = days_ago(1, 2, 5, 4)
    assert kept(Policy(max_backups=2), backups) == ["5", "4"]


def test_one_limit_is_enough_to_drop() -> None:
    assert kept(Policy(retention_days=10, max_backups=2), days_ago(20, 19, 0)) == ["0"]
    assert kept(Policy(retention_days=10, max_backups=2), days_ago(3, 2, 1)) == ["2", "1"]


def test_nothing_goes_without_limits_and_rules() -> None:
    assert kept(Policy(), days_ago(9000, 100, 1)) == ["9000", "100", "1"]
    assert kept(Policy(keep_within="0d0h"), days_ago(9000, 1)) == ["9000", "1"]


def test_a_limit_beyond_the_calendar_drops_nothing() -> None:
    assert kept(Policy(retention_days=10**18, max_backups=10**18, keep_last=10**18), days_ago(9000, 1)) == ["9000", "1"]


def test_a_rule_holds_what_the_limits_would_drop() -> None:
    backups = days_ago(90, 60, 50, 0)
    assert kept(Policy(retention_days=30, keep_last=2), backups) == ["50", "0"]
    assert kept(Policy(max_backups=1, keep_last=3), backups) == ["60", "50", "0"]


def test_with_both_limits_off_what_no_rule_holds_goes() -> None:
    assert kept(Policy(keep_last=2), days_ago(3, 2, 1)) == ["2", "1"]


# --- what always stays ----------------------------------------------------------------------------------------------


def test_the_newest_of_each_scope_stays_however_old() -> None:
    backups = [*days_ago(200, 100), make_backup(9, id="docs", scope="docs", created=NOW - timedelta(days=300))]
    assert kept(Policy(retention_days=1, max_backups=1), backups) == ["100", "docs"]


def test_scopes_are_judged_by_themselves() -> None:
    backups = days_ago(3, 2, 1) + [
        make_backup(10 + number, id=f"docs{number}", scope="docs", created=NOW - timedelta(hours=9 - number))
        for number in range(3)
    ]
    assert kept(Policy(max_backups=2), backups) == ["2", "1", "docs1", "docs2"]
    assert kept(Policy(keep_daily=1), backups) == ["1", "docs2"]


def test_pinned_ones_stay_and_count() -> None:
    backups = [*days_ago(100, pinned=True, id="pinned"), *(make_backup(b.sequence + 1, id=b.id) for b in days_ago(1, 1.5))]
    assert kept(Policy(retention_days=1, max_backups=2), backups)[0] == "pinned"


def test_future_ones_stay_and_take_no_place_in_a_rule() -> None:
    backups = days_ago(3, 2, -100, -200, 1)
    assert kept(Policy(keep_last=2), backups) == ["2", "-100", "-200", "1"]
    assert kept(Policy(keep_yearly=1), backups) == ["-100", "-200", "1"]
    assert kept(Policy(keep_within="1d"), backups) == ["-100", "-200", "1"]


def test_restore_points_have_their_own_limit() -> None:
    points = days_ago(15, 13, type="restore-point")
    others = [make_backup(10 + b.sequence, id=f"own {b.id}", created=b.created) for b in days_ago(20, 2, 1)]
    backups = [*points, *others]
    assert kept(Policy(restore_point_days=14, retention_days=10), backups) == ["13", "own 2", "own 1"]
    assert kept(Policy(restore_point_days=0, retention_days=10), backups) == ["15", "13", "own 2", "own 1"]
    assert kept(Policy(restore_point_days=14, keep_last=1), backups) == ["13", "own 1"]


def test_restore_points_do_not_count_for_max_backups() -> None:
    backups = [*days_ago(5, 4), *(make_backup(10 + n, id=f"point{n}", type="restore-point", created=NOW) for n in range(5))]
    assert kept(Policy(max_backups=2), backups)[:2] == ["5", "4"]


def test_a_newest_restore_point_stays_and_the_newest_backup_before_it_too() -> None:
    backups = [*days_ago(90, 80), make_backup(9, id="point", type="restore-point", created=NOW - timedelta(days=70))]
    assert kept(Policy(retention_days=30, restore_point_days=14), backups) == ["80", "point"]


# --- keep rules -----------------------------------------------------------------------------------------------------


DAYS = ("2026-06-01 08:00", "2026-06-01 20:00", "2026-06-03 08:00", "2026-06-07 23:59", "2026-06-08 00:00", "2026-06-10 10:59")


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy(keep_last=1), [5]),
        (Policy(keep_last=4), [2, 3, 4, 5]),
        (Policy(keep_hourly=2), [4, 5]),
        (Policy(keep_daily=1), [5]),
        (Policy(keep_daily=3), [3, 4, 5]),
        (Policy(keep_daily=5), [1, 2, 3, 4, 5]),
        (Policy(keep_daily=6), [0, 1, 2, 3, 4, 5]),  # the oldest, as a place is left
        (Policy(keep_weekly=1), [5]),
        (Policy(keep_weekly=2), [3, 5]),  # 7 June is a Sunday
        (Policy(keep_weekly=3), [0, 3, 5]),
        (Policy(keep_monthly=1), [5]),
        (Policy(keep_monthly=2), [0, 5]),
        (Policy(keep_yearly=1), [5]),
        (Policy(keep_yearly=7), [0, 5]),
        (Policy(keep_within="3d"), [3, 4, 5]),
        (Policy(keep_within="2d10h59m"), [0, 1, 2, 3, 4, 5]),  # m are months
        (Policy(keep_within="2d11h"), [4, 5]),
        (Policy(keep_within="2d10h"), [5]),
        (Policy(keep_within="1d1h"), [5]),
        (Policy(keep_within="9d2h"), [1, 2, 3, 4, 5]),
        (Policy(keep_daily=2, keep_weekly=2), [3, 4, 5]),
    ],
)
def test_keep_rules_on_a_fortnight(policy: Policy, expected: list[int]) -> None:
    assert kept(policy, at(*DAYS)) == [DAYS[number] for number in expected]


def test_weeks_are_those_of_iso_8601() -> None:
    backups = at("2024-12-29 12:00", "2024-12-30 12:00", "2025-01-05 12:00", "2025-01-06 12:00")
    assert kept(Policy(keep_weekly=3), backups) == ["2024-12-29 12:00", "2025-01-05 12:00", "2025-01-06 12:00"]


def test_periods_without_a_backup_do_not_count() -> None:
    backups = at("2020-01-01", "2023-05-05", "2023-06-06", "2026-01-01")
    assert kept(Policy(keep_yearly=2), backups) == ["2023-06-06", "2026-01-01"]


def test_periods_begin_as_the_users_clock_says() -> None:
    backups = at("2026-06-01 21:30", "2026-06-01 22:30", "2026-06-02 21:00")
    assert kept(Policy(keep_daily=2), backups, zone=UTC) == ["2026-06-01 22:30", "2026-06-02 21:00"]
    east = timezone(timedelta(hours=2))
    assert kept(Policy(keep_daily=2), backups, zone=east) == ["2026-06-01 21:30", "2026-06-02 21:00"]


def test_an_hour_that_comes_twice_is_one_hour() -> None:
    backups = at("2025-10-25 23:59", "2025-10-26 00:30", "2025-10-26 01:30", "2025-10-26 02:30")  # 1:59, 2:30, 2:30, 3:30
    zone = ZoneInfo("Europe/Berlin")
    assert kept(Policy(keep_hourly=2), backups, zone=zone) == ["2025-10-26 01:30", "2025-10-26 02:30"]


def test_within_starts_at_the_newest_and_takes_nothing_made_at_its_very_end() -> None:
    backups = at("2026-01-01 12:00:00", "2026-01-01 12:00:01", "2026-01-02 12:00:00")
    assert kept(Policy(keep_within="1d"), backups) == ["2026-01-01 12:00:01", "2026-01-02 12:00:00"]


@pytest.mark.parametrize(
    ("newest", "length", "end"),
    [
        ("2026-03-31", "1m", "2026-03-03"),  # 31 February runs on into March
        ("2024-03-31", "1m", "2024-03-02"),
        ("2024-02-29", "1y", "2023-03-01"),
        ("2026-05-15", "1y2m3d", "2025-03-12"),
        ("2026-05-15", "1d1m2d", "2026-04-13"),  # of a repeated unit the last counts
        ("2026-01-01", "13m", "2024-12-01"),
    ],
)
def test_lengths_of_months_and_years_go_by_the_calendar(newest: str, length: str, end: str) -> None:
    just_before, at_end = f"{end} 00:00:00", f"{end} 00:00:01"
    assert kept(Policy(keep_within=length), at(just_before, at_end, f"{newest} 00:00:00"))[0] == at_end


def test_days_of_within_are_days_of_the_users_clock() -> None:
    zone = ZoneInfo("Europe/Berlin")  # the clock went back an hour on 2025-10-26
    backups = at("2025-10-25 10:30", "2025-10-26 11:00")
    assert kept(Policy(keep_within="1d"), backups, zone=zone) == ["2025-10-25 10:30", "2025-10-26 11:00"]
    assert kept(Policy(keep_within="24h"), backups, zone=zone) == ["2025-10-26 11:00"]


@pytest.mark.parametrize(
    ("zone", "newest", "goes", "stays"),
    [
        ("Europe/Berlin", "2025-11-26 01:30:00", "2025-10-26 01:30:00", "2025-10-26 01:30:01"),  # 2:30 comes twice: the second
        ("America/New_York", "2025-12-02 06:30:00", "2025-11-02 05:30:00", "2025-11-02 05:30:01"),  # 1:30 comes twice: the first
        ("Europe/Berlin", "2025-04-30 00:30:00", "2025-03-30 01:30:00", "2025-03-30 01:30:01"),  # there is no 2:30
    ],
)
def test_within_starts_at_the_instant_that_restic_takes_where_the_clock_is_shifted(
    zone: str, newest: str, goes: str, stays: str
) -> None:
    assert kept(Policy(keep_within="1m"), at(goes, stays, newest), zone=ZoneInfo(zone)) == [stays, newest]


@pytest.mark.parametrize("length", ["9999y", "99999m", "99999999d", "9" * 5000 + "h"])
def test_a_length_beyond_the_calendar_holds_everything(length: str) -> None:
    backups = at("0001-01-01", "2026-01-01")
    assert kept(Policy(keep_within=length), backups, zone=ZoneInfo("America/New_York")) == ["0001-01-01", "2026-01-01"]


def test_backups_imported_late_stand_in_the_time_they_are_from() -> None:
    own = at("2026-04-01", "2026-04-02", "2026-04-03")
    imported = [make_backup(9, id="old", created=datetime(2020, 1, 1, tzinfo=UTC)), make_backup(10, id="newest", created=NOW)]
    assert kept(Policy(keep_daily=3), [*own, *imported]) == ["2026-04-02", "2026-04-03", "newest"]


def test_of_two_made_at_the_same_instant_the_later_is_newer() -> None:
    first, second = make_backup(1, id="first", created=NOW), make_backup(2, id="second", created=NOW)
    assert kept(Policy(keep_hourly=1), [second, first]) == ["second"]


# --- reasons --------------------------------------------------------------------------------------------------------


def test_every_decision_says_why() -> None:
    backups = days_ago(400, 300, 40, 39, 2, 1)
    policy = Policy(retention_days=30, max_backups=5, keep_yearly=1, keep_monthly=2)
    assert reasons(policy, backups) == {
        "1": ("newest of its scope", "newest of its month (keep_monthly)", "newest of its year (keep_yearly)"),
        "2": ("no limit reached",),
        "39": ("newest of its month (keep_monthly)",),
        "40": ("older than retention_days (30)",),
        "300": ("older than retention_days (30)",),
        "400": ("older than retention_days (30)", "not among the newest max_backups (5)"),
    }


def test_reasons_name_rules_pins_and_restore_points() -> None:
    backups = [
        *days_ago(9, type="restore-point"),
        make_backup(2, id="p", pinned=True, created=NOW - timedelta(days=8)),
        make_backup(3, id="q", created=NOW - timedelta(days=7)),
        make_backup(4, id="f", created=NOW + timedelta(days=8)),
    ]
    assert reasons(Policy(keep_last=1, keep_within="1h", keep_daily=5, restore_point_days=7), backups) == {
        "f": ("newest of its scope", "dated in the future"),
        "q": ("among the newest keep_last (1)", "within keep_within (1h) of the newest", "newest of its day (keep_daily)"),
        "p": ("pinned", "newest of its day (keep_daily)"),
        "9": ("restore point older than restore_point_days (7)",),
    }
    assert reasons(Policy(keep_yearly=9), days_ago(2, 1, 0))["2"] == ("oldest, and places are left (keep_yearly)",)
    assert reasons(Policy(keep_last=1), days_ago(2, 1))["2"] == ("held by no keep rule",)
    assert reasons(Policy(), days_ago(2, 1))["2"] == ("no limit set",)


# --- the policy -----------------------------------------------------------------------------------------------------


def test_a_policy_is_the_settings_with_the_limits_that_were_given() -> None:
    policy = policy_of(Settings(retention_days=7, keep_daily=3), {"keep_daily": 0, "keep_within": "2d", "max_backups": "5"})
    assert policy == Policy(retention_days=7, max_backups=5, keep_within="2d", restore_point_days=14)


@pytest.mark.parametrize("limits", [{"keep_dayly": 1}, {"exclude": ["x"]}, {"keep_last": -1}, {"keep_within": "2 weeks"}])
def test_a_limit_that_makes_no_sense_is_an_error(limits: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(limits))):
        policy_of(Settings(), limits)
