"""The keep rules against the real restic: what `forget` keeps of the same snapshots, in named time zones."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cronos_git.rules.retention import Policy, decide
from tests.support.stores import make_backup

pytestmark = pytest.mark.skipif(shutil.which("restic") is None, reason="restic is not installed")

NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
RULES = [entry.name for entry in fields(Policy) if entry.name.startswith("keep_")]
LENGTHS = ("", "", "30h", "7d", "1m", "1y", "1y2m3d4h", "13m", "400d1h", "0d5h", "59y")
NEW_YEARS = [datetime(year, 1, 1, tzinfo=UTC) for year in (2010, 2016, 2021, 2025)]  # ISO weeks 53, 53, 53 and 1
_KEY = (
    '{"created":"2026-01-01T00:00:00Z","username":"","hostname":"","kdf":"scrypt","N":2,"r":1,"p":1,"salt":"HzM/6ej'
    '3mBUYiR/Dl2SkFzstdfPDAIgdvTuQc0m9uCd/2Sn8QJBU6FO39cC1BGbeZ9YZMaVI3cBT+oEiy8SLbQ==","data":"654n0ln2dMNKAGh1bPi'
    "P7Yirp+yCRNo2gXpiFQDJGrASbmAxaEcdg9t1XWHdNtXf/eaDPmQEI2wKtmd7BPFcK5ZNBK/yEbb7NeuhVQnwoweGLF9WZ0vdeKwqa6guRQURM"
    '9bJ42xw6hT3F6uv3FXNEVgLXyRSUioEZlIkBPx2XVnD/Y/rkLHrYHDhypEsy59RDOFe5R+IT30dUmP7WulZ0A=="}'
)
_CONFIG = (
    "TpneuWdKmmunzN50b4hHUlK+LpNM64xn+QwXYxoeAel53o80qWgRaxZfaon2HYCWDEAAteTYjRf3rfwpbN2yw7Kvofw1KJzx27J4O8AdBLPe6R"
    "fHWZqmR7GbGciAKSUoN4So0emGbUuJsnKdzSsjv9X7+OjyHRMpVs9nICsrTpQ+BJHhNdVrvsP9Wmf7ZEEmx+ZEnf1pIOIwdnM="
)
"""An empty repository with the password `x`. Its key is made to be derived at once: usually that takes half a second."""
History = Sequence[datetime]
OLDEST = "oldest, and places are left"
"""Why we keep what restic keeps only since 0.16."""


class Restic:
    """A repository of snapshots of an empty directory, each history under a host name of its own."""

    def __init__(self, place: Path, zone: str) -> None:
        self.zone = zone
        self._empty = place / "empty"
        repository = place / "repository"
        for directory in (self._empty, *(repository / name for name in ("data", "index", "keys", "locks", "snapshots"))):
            directory.mkdir(parents=True)
        (repository / "keys" / hashlib.sha256(_KEY.encode()).hexdigest()).write_text(_KEY)
        (repository / "config").write_bytes(b64decode(_CONFIG))
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(place), "RESTIC_PASSWORD": "x"}
        self._environment["RESTIC_REPOSITORY"] = str(repository)
        version = re.search(r"restic (\d+)\.(\d+)", self._run("version", zone=zone))
        assert version is not None
        self.keeps_oldest = tuple(map(int, version.groups())) >= (0, 16)

    def _run(self, *words: str, zone: str) -> str:
        command = ["restic", "--no-cache", "--quiet", *words]
        return subprocess.run(command, env={**self._environment, "TZ": zone}, check=True, capture_output=True, text=True).stdout

    def back_up(self, histories: Mapping[str, History]) -> None:
        moments = [(host, when) for host, history in histories.items() for when in history]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda moment: self._back_up(*moment), moments))

    def _back_up(self, host: str, when: datetime) -> None:
        local = when.astimezone(ZoneInfo(self.zone))
        hours = (local.utcoffset() or timedelta()) / timedelta(hours=1)
        # A time that the clock shows twice cannot be given to restic, unless in a zone of that offset.
        zone = f"Etc/GMT{-hours:+.0f}" if hours % 1 == 0 else self.zone
        self._run("backup", "--host", host, "--time", f"{local:%Y-%m-%d %H:%M:%S}", str(self._empty), zone=zone)

    def forget(self, policy: Policy) -> dict[str, tuple[list[datetime], list[datetime]]]:
        """What stays and what goes of each history."""
        rules = [(name.replace("_", "-"), str(getattr(policy, name))) for name in RULES if getattr(policy, name)]
        options = [word for name, value in rules for word in (f"--{name}", value)]
        told = self._run("forget", "--no-lock", "--dry-run", "--json", "--group-by", "host", *options, zone=self.zone)
        return {group["host"]: (_times(group["keep"]), _times(group["remove"])) for group in json.loads(told)}


def _times(snapshots: Iterable[Mapping[str, Any]] | None) -> list[datetime]:
    return sorted(datetime.fromisoformat(snapshot["time"]).astimezone(UTC) for snapshot in snapshots or ())


def decided(policy: Policy, history: History, restic: Restic) -> tuple[list[datetime], list[datetime]]:
    """What stays and what goes by our rules; of equal times it does not matter which."""
    backups = [make_backup(number, id=f"b{number}", created=when) for number, when in enumerate(sorted(history), start=1)]
    stays, goes = [], []
    for decision in reversed(decide(policy, backups, NOW, ZoneInfo(restic.zone))):
        is_kept = decision.keep and (restic.keeps_oldest or not all(reason.startswith(OLDEST) for reason in decision.reasons))
        (stays if is_kept else goes).append(decision.backup.created)
    return stays, goes


def assert_same(restic: Restic, histories: Mapping[str, History], policy: Policy) -> None:
    expected = {host: decided(policy, history, restic) for host, history in histories.items()}
    assert restic.forget(policy) == expected, (restic.zone, policy)


# --- random histories -----------------------------------------------------------------------------------------------


def shifts(zone: str, first: int = 2010, last: int = 2024) -> list[datetime]:
    """The hours in which the zone's clock is put forward or back."""
    start, end = datetime(first, 1, 1, tzinfo=UTC), datetime(last, 12, 31, tzinfo=UTC)
    hours = [start + timedelta(hours=number) for number in range(int((end - start) / timedelta(hours=1)))]
    offsets = [hour.astimezone(ZoneInfo(zone)).utcoffset() for hour in hours]
    return [hour for hour, before, after in zip(hours[1:], offsets, offsets[1:], strict=False) if before != after]


def around(random: Random, when: datetime, count: int) -> list[datetime]:
    """Times near *when*, some of them equal, and the last a round time later on the clock."""
    near = [when + timedelta(minutes=15 * random.randint(-10, 10), seconds=random.choice((0, 0, 1))) for _ in range(count - 3)]
    later = random.choice((timedelta(days=7), timedelta(days=30), timedelta(days=31), timedelta(days=365)))
    return [*near, random.choice(near), random.choice(near), random.choice(near) + later]


def scattered(random: Random, count: int) -> list[datetime]:
    """Times over years, months, days and minutes."""
    start = datetime(2019, 3, 7, 22, 13, 5, tzinfo=UTC)
    spans = (2_600_000, 500_000, 50_000, 3_000, 90)
    return [start + timedelta(minutes=random.randrange(random.choice(spans))) for _ in range(count)]


def without_doubt(history: History, zone: str) -> list[datetime]:
    """Those that restic can be told: of times that a clock shows twice by less than an hour, none."""
    local = {when: when.astimezone(ZoneInfo(zone)) for when in history}
    whole = {when for when in history if (local[when].utcoffset() or timedelta()) % timedelta(hours=1) == timedelta()}
    return [when for when in history if when in whole or local[when].replace(fold=1 - local[when].fold).astimezone(UTC) == when]


def some_histories(random: Random, zone: str) -> dict[str, list[datetime]]:
    changes = shifts(zone) or NEW_YEARS
    found = [around(random, random.choice(changes), 14) for _ in range(3)]
    found += [around(random, random.choice(NEW_YEARS), 12), scattered(random, 14)]
    return {f"host{number}": without_doubt(history, zone) for number, history in enumerate(found)}


def some_policy(random: Random) -> Policy:
    counts: dict[str, Any] = {name: random.choice((0, 0, 0, 1, 2, 3, 6, 20)) for name in RULES}
    return Policy(**(counts | {"keep_within": random.choice(LENGTHS)}))


# --- the tests --------------------------------------------------------------------------------------------------------


AUTUMN = ("2024-10-27 00:30", "2024-10-27 00:45", "2024-10-27 01:15", "2024-10-27 01:45", "2024-11-27 01:30")
SPRING = ("2025-03-29 01:30", "2025-03-30 00:45", "2025-03-30 01:29", "2025-03-30 01:31", "2025-04-30 00:30")
NEW_YEAR = ("2024-12-29 22:30", "2024-12-29 23:30", "2024-12-31 22:30", "2024-12-31 23:30", "2025-01-05 22:59")
TIES = ("2025-02-03 10:00", "2025-02-03 10:00", "2025-02-03 10:59", "2025-02-03 11:00", "2025-02-03 11:00")


def test_shifts_of_the_clock_weeks_of_a_new_year_and_equal_times(tmp_path: Path) -> None:
    told = {"autumn": AUTUMN, "spring": SPRING, "year": NEW_YEAR, "ties": TIES}
    histories = {host: [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in texts] for host, texts in told.items()}
    restic = Restic(tmp_path, "Europe/Berlin")
    restic.back_up(histories)
    for rules in (
        {"keep_last": 2},
        {"keep_hourly": 2},
        {"keep_hourly": 9},
        {"keep_daily": 2},
        {"keep_weekly": 2},
        {"keep_monthly": 2},
        {"keep_yearly": 1, "keep_daily": 1},
        {"keep_within": "1m"},
        {"keep_within": "59m1h"},
        {"keep_last": 1, "keep_hourly": 2, "keep_within": "1h"},
    ):
        assert_same(restic, histories, Policy(**rules))  # type: ignore[arg-type]


# None that shows UTC in winter only: restic writes such a time as UTC's, and then counts `--keep-within` by UTC's clock.
@pytest.mark.long
@pytest.mark.parametrize(
    "zone",
    [
        "Europe/Berlin",
        "America/New_York",
        "America/St_Johns",
        "America/Sao_Paulo",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Asia/Kathmandu",
        "UTC",
    ],
)
def test_random_histories_and_policies(tmp_path: Path, zone: str) -> None:
    random = Random(zone)
    histories = some_histories(random, zone)
    restic = Restic(tmp_path, zone)
    restic.back_up(histories)
    for _ in range(50):
        assert_same(restic, histories, some_policy(random))
    for length in filter(None, LENGTHS):
        assert_same(restic, histories, Policy(keep_within=length))
