"""Which backups stay and which go, each with its reasons. Every scope is judged by itself.

A backup goes when it is older than `retention_days` or when `max_backups` newer ones exist, unless a keep rule holds it. With
both limits off and a keep rule set, what no rule holds goes, which is restic's `forget`. The newest of a scope, pinned
backups and those dated in the future always stay; the latter take no place in any keep rule, lest a clock that once ran wrong
cost the real ones. Restore points have their own limit and count nowhere else.

"Newest" and all that counts goes by sequence; hours, days, weeks, months, years and `keep_within` go by the clock, in the
user's zone. So backups that were imported late stand in the years they are from. Floor F4: pure.

Source of the keep rules: restic 0.16 and later, internal/restic/snapshot_policy.go and duration.go; earlier ones do not hold the
oldest while places are left.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from cronos_git.errors import UsageError
from cronos_git.model import Backup, Decision
from cronos_git.rules.identify import RESTORE_POINT
from cronos_git.rules.schema import KEYS, Settings
from cronos_git.rules.values import check_value

Reasons = Mapping[str, Sequence[str]]
"""Why keep rules hold backups, by backup id."""

_PERIODS: Mapping[str, tuple[str, Callable[[datetime], Hashable]]] = {
    "keep_hourly": ("hour", lambda when: (when.date(), when.hour)),
    "keep_daily": ("day", lambda when: when.date()),
    "keep_weekly": ("week", lambda when: when.isocalendar()[:2]),
    "keep_monthly": ("month", lambda when: (when.year, when.month)),
    "keep_yearly": ("year", lambda when: when.year),
}
_DAYS_MAX = timedelta.max.days


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The limits and the keep rules; the fields are configuration keys and 0, or an empty text, switches one off."""

    retention_days: int = 0
    max_backups: int = 0
    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    keep_within: str = ""
    restore_point_days: int = 0


def policy_of(settings: Settings, limits: Mapping[str, object]) -> Policy:
    """The configured policy, with *limits* in place of the keys that they name.

    Raises:
        UsageError: A name is none of a policy's, or its value is not allowed.
    """
    names = [entry.name for entry in fields(Policy)]
    unknown = sorted(limits.keys() - set(names))
    if unknown:
        raise UsageError(f"There is no retention rule {unknown[0]!r}.", hint=f"There are: {', '.join(names)}.")
    return Policy(**{name: _checked(name, limits[name]) if name in limits else getattr(settings, name) for name in names})


def _checked(name: str, value: object) -> Any:
    try:
        return check_value(KEYS[name], value)
    except ValueError as error:
        raise UsageError(f"{name} cannot be {value!r}: {error}.", hint=f"Allowed is {KEYS[name].allowed}.") from error


def decide(policy: Policy, backups: Iterable[Backup], now: datetime, zone: tzinfo) -> tuple[Decision, ...]:
    """Judge every backup; the decisions stand newest first.

    Args:
        backups: All backups of the store, in any order.
        zone: Where hours, days, weeks, months and years begin.

    Cost: a few passes over *backups*.
    """
    scopes: dict[str, list[Backup]] = defaultdict(list)
    for backup in sorted(backups, key=lambda backup: -backup.sequence):
        scopes[backup.scope].append(backup)
    decisions = [decision for members in scopes.values() for decision in _decide_scope(policy, members, now, zone)]
    return tuple(sorted(decisions, key=lambda decision: -decision.backup.sequence))


def _decide_scope(policy: Policy, newest_first: Sequence[Backup], now: datetime, zone: tzinfo) -> Iterator[Decision]:
    ordinary = [backup for backup in newest_first if backup.type != RESTORE_POINT]
    held = _held_by_rules(policy, [backup for backup in ordinary if backup.created <= now], zone)
    # Where a restore point is the newest, the newest backup that somebody asked for stays too.
    newest = {members[0].id for members in (newest_first, ordinary) if members}
    place = {backup.id: newer for newer, backup in enumerate(ordinary)}
    for backup in newest_first:
        kept = [*_protections(backup, newest, now), *held.get(backup.id, ())]
        against = _limits_reached(policy, backup, place.get(backup.id), now)
        reasons = kept or against or [_untouched(policy, backup)]
        yield Decision(backup=backup, keep=bool(kept) or not against, reasons=tuple(reasons))


def _protections(backup: Backup, newest: set[str], now: datetime) -> Iterator[str]:
    if backup.id in newest:
        yield "newest of its scope"
    if backup.pinned:
        yield "pinned"
    if backup.created > now:
        yield "dated in the future"


def _limits_reached(policy: Policy, backup: Backup, newer: int | None, now: datetime) -> list[str]:
    """Why a backup would go, were nothing to hold it.

    Args:
        newer: How many newer ones its scope has; None for a restore point.
    """
    if newer is None:
        too_old = _is_older(backup, policy.restore_point_days, now)
        return [f"restore point older than restore_point_days ({policy.restore_point_days})"] if too_old else []
    reached = []
    if _is_older(backup, policy.retention_days, now):
        reached.append(f"older than retention_days ({policy.retention_days})")
    if 0 < policy.max_backups <= newer:
        reached.append(f"not among the newest max_backups ({policy.max_backups})")
    if not _has_limits(policy) and _has_rules(policy):
        reached.append("held by no keep rule")
    return reached


def _is_older(backup: Backup, days: int, now: datetime) -> bool:
    return days > 0 and now - backup.created > timedelta(days=min(days, _DAYS_MAX))


def _untouched(policy: Policy, backup: Backup) -> str:
    limited = policy.restore_point_days if backup.type == RESTORE_POINT else _has_limits(policy)
    return "no limit reached" if limited else "no limit set"


def _has_limits(policy: Policy) -> bool:
    return bool(policy.retention_days or policy.max_backups)


def _has_rules(policy: Policy) -> bool:
    return bool(policy.keep_last or _parse_length(policy.keep_within) or any(getattr(policy, rule) for rule in _PERIODS))


# --- keep rules -----------------------------------------------------------------------------------------------------


def _held_by_rules(policy: Policy, present: Sequence[Backup], zone: tzinfo) -> Reasons:
    """What the keep rules hold of one scope's backups, given newest first by sequence; none is dated in the future."""
    held: dict[str, list[str]] = defaultdict(list)
    for backup in present[: policy.keep_last]:
        held[backup.id].append(f"among the newest keep_last ({policy.keep_last})")
    by_clock = sorted(present, key=lambda backup: (backup.created, backup.sequence), reverse=True)
    for backup in _within(policy.keep_within, by_clock, zone):
        held[backup.id].append(f"within keep_within ({policy.keep_within}) of the newest")
    for rule in _PERIODS:
        for backup, reason in _newest_of_periods(rule, getattr(policy, rule), by_clock, zone):
            held[backup.id].append(reason)
    return held


def _newest_of_periods(rule: str, count: int, by_clock: Sequence[Backup], zone: tzinfo) -> Iterator[tuple[Backup, str]]:
    """The newest of each of the last *count* periods that have one, and the oldest of all while places are left."""
    word, period_of = _PERIODS[rule]
    last: Hashable = None
    for backup in by_clock:
        period = period_of(_local(backup.created, zone))
        if count > 0 and (period != last or backup is by_clock[-1]):
            yield backup, f"newest of its {word} ({rule})" if period != last else f"oldest, and places are left ({rule})"
            last = period
            count -= 1


def _within(length: str, by_clock: Sequence[Backup], zone: tzinfo) -> Iterator[Backup]:
    units = _parse_length(length)
    if units and by_clock:
        start = _before(_local(by_clock[0].created, zone), units)
        yield from (backup for backup in by_clock if start is None or backup.created > start)


def _parse_length(text: str) -> Mapping[str, str]:
    """The number of each unit in a length such as `1y6m14d12h`; empty when all are 0. Of a repeated unit the last counts."""
    units = {unit: number for number, unit in re.findall(r"([0-9]+)([ymdh])", text)}
    return units if any(number.strip("0") for number in units.values()) else {}


def _before(moment: datetime, units: Mapping[str, str]) -> datetime | None:
    """The time that lies so long before *moment*, on its clock; None when that is before all calendars.

    A day that its month does not have runs on into the next month: a month before 31 March is 3 March, 2 March in leap years.
    """
    try:
        years, months, days, hours = (int(units.get(unit, 0)) for unit in "ymdh")
        year, month = divmod((moment.year - years) * 12 + moment.month - 1 - months, 12)
        shifted = moment.replace(year=year, month=month + 1, day=1) + timedelta(days=moment.day - 1 - days)
        return _instant(shifted) - timedelta(hours=hours)
    except (ValueError, OverflowError):
        return None


def _instant(local: datetime) -> datetime:
    """The instant at which clocks show *local*. Where they show it twice or never, it is the one that Go's time.Date takes."""
    shown = local.replace(tzinfo=UTC)
    guess = shown - _offset(shown, local.tzinfo)
    return shown - _offset(guess, local.tzinfo)


def _offset(instant: datetime, zone: tzinfo | None) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


def _local(when: datetime, zone: tzinfo) -> datetime:
    try:
        return when.astimezone(zone)
    except OverflowError:  # in the first and last hours of the calendar
        return when
