"""Retention on random histories: clocks that jump, pins, scopes, restore points; and restic's rules by their definition."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st

from cronos_git.model import Backup, Decision
from cronos_git.rules.retention import Policy, decide
from tests.support.stores import make_backup

NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
ZONES = st.sampled_from((UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-9))))
PAST = st.integers(0, 3000).map(lambda hours: NOW - timedelta(hours=hours)) | st.integers(0, 2000).map(
    lambda days: NOW - timedelta(days=days)
)
MOMENTS = PAST | st.datetimes().map(lambda when: when.replace(tzinfo=UTC))
COUNTS = st.sampled_from((0, 0, 0, 1, 2, 3, 5, 50))
PERIODS: dict[str, Callable[[datetime], Hashable]] = {
    "keep_hourly": lambda when: f"{when:%Y-%m-%d %H}",
    "keep_daily": lambda when: f"{when:%Y-%m-%d}",
    "keep_weekly": lambda when: f"{when:%G-%V}",
    "keep_monthly": lambda when: f"{when:%Y-%m}",
    "keep_yearly": lambda when: f"{when:%Y}",
}
RULES = ("keep_last", *PERIODS)


@st.composite
def histories(draw: st.DrawFn) -> list[Backup]:
    count = draw(st.integers(0, 25))
    types, scopes = st.sampled_from(("manual", "auto", "restore-point")), st.sampled_from(("project", "project", "docs"))
    pins = st.sampled_from((False, False, False, True))
    return [
        make_backup(n, id=f"b{n}", created=draw(MOMENTS), type=draw(types), scope=draw(scopes), pinned=draw(pins))
        for n in range(1, count + 1)
    ]


POLICIES = st.builds(
    Policy,
    retention_days=COUNTS,
    max_backups=COUNTS,
    restore_point_days=COUNTS,
    keep_within=st.sampled_from(("", "", "0d", "5d", "1y2m3d4h", "300h", "99999y")),
    **dict.fromkeys(RULES, COUNTS),
)


def ids(decisions: tuple[Decision, ...], keep: bool) -> set[str]:
    return {decision.backup.id for decision in decisions if decision.keep == keep}


@given(histories(), POLICIES, ZONES)
def test_every_backup_is_judged_once_and_told_why(backups: list[Backup], policy: Policy, zone: timezone) -> None:
    decisions = decide(policy, backups, NOW, zone)
    assert [d.backup for d in decisions] == sorted(backups, key=lambda backup: -backup.sequence)
    assert all(decision.reasons for decision in decisions)


@given(histories(), POLICIES, ZONES, st.randoms())
def test_the_order_in_which_backups_are_given_does_not_matter(
    backups: list[Backup], policy: Policy, zone: timezone, random: Random
) -> None:
    shuffled = random.sample(backups, len(backups))
    assert decide(policy, shuffled, NOW, zone) == decide(policy, backups, NOW, zone)


@given(histories(), POLICIES, ZONES)
def test_newest_pinned_and_future_ones_are_never_dropped(backups: list[Backup], policy: Policy, zone: timezone) -> None:
    dropped = ids(decide(policy, backups, NOW, zone), keep=False)
    for scope in {backup.scope for backup in backups}:
        assert max((b for b in backups if b.scope == scope), key=lambda b: b.sequence).id not in dropped
    assert not dropped & {backup.id for backup in backups if backup.pinned or backup.created > NOW}


@given(histories(), POLICIES, ZONES)
def test_deciding_twice_is_deciding_once(backups: list[Backup], policy: Policy, zone: timezone) -> None:
    kept = [decision.backup for decision in decide(policy, backups, NOW, zone) if decision.keep]
    assert ids(decide(policy, kept, NOW, zone), keep=False) == set()


@given(histories(), POLICIES, ZONES, st.sampled_from((*RULES, "retention_days", "max_backups", "restore_point_days")))
def test_raising_a_number_never_drops_more(backups: list[Backup], policy: Policy, zone: timezone, name: str) -> None:
    number = getattr(policy, name)
    limited = policy.retention_days or policy.max_backups
    assume(number > 0 or (name in RULES and limited))  # a first limit, or a first rule without limits, turns dropping on
    more = replace(policy, **{name: number + 1})
    assert ids(decide(more, backups, NOW, zone), keep=False) <= ids(decide(policy, backups, NOW, zone), keep=False)


@given(histories(), POLICIES, ZONES)
def test_scopes_do_not_touch_each_other(backups: list[Backup], policy: Policy, zone: timezone) -> None:
    together = decide(policy, backups, NOW, zone)
    apart = [decide(policy, [b for b in backups if b.scope == scope], NOW, zone) for scope in ("project", "docs")]
    assert ids(together, keep=True) == ids(apart[0], keep=True) | ids(apart[1], keep=True)


@given(st.lists(PAST, max_size=25), st.sampled_from(sorted(PERIODS)), st.integers(1, 6), ZONES)
def test_a_rule_alone_holds_the_newest_of_the_last_periods(past: list[datetime], rule: str, count: int, zone: timezone) -> None:
    backups = [make_backup(number, id=f"b{number}", created=created) for number, created in enumerate(past)]
    by_clock = sorted(backups, key=lambda backup: (backup.created, backup.sequence))
    newest = {PERIODS[rule](backup.created.astimezone(zone)): backup for backup in by_clock}
    expected = {backup.id for backup in list(newest.values())[-count:]}
    if len(newest) < count:
        expected |= {backup.id for backup in by_clock[:1]}
    decisions = decide(Policy(**{rule: count}), backups, NOW, zone)
    assert ids(decisions, keep=True) == expected | {backup.id for backup in backups[-1:]}
