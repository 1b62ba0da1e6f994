"""Names of copies and of EGOS's files, taken apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from cronos_git.disk.zips import zip_name
from cronos_git.rules.dated import read_dated
from cronos_git.rules.legacy import describe_egos_name


@pytest.mark.parametrize(
    ("name", "stem", "when"),
    [
        ("2024-01-02", "", "2024-01-02T00:00"),
        ("20240102", "", "2024-01-02T00:00"),
        ("project-20240102_1530", "project", "2024-01-02T15:30"),
        ("backup.2024-01-02T15:30", "backup", "2024-01-02T15:30"),
        ("backup.2024-01-02T15:30:59Z.tar.zst", "backup", "2024-01-02T15:30:59"),
        ("2024_01_02-my site.zip", "my-site", "2024-01-02T00:00"),
        ("site 2024-01-02 at home.tgz", "site-at-home", "2024-01-02T00:00"),
        ("system_backup_20250330_095733", "system_backup", "2025-03-30T09:57:33"),
    ],
)
def test_dates_in_names(name: str, stem: str, when: str) -> None:
    found = read_dated(name, UTC)
    assert found is not None
    assert (found.stem, found.created) == (stem, datetime.fromisoformat(when).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    "name", ["latest", "2024", "2024-13-01", "20240230", "120240102", "202401023", "2024-01-02 2024-01-03", "v1.2.3", "2024-0102"]
)
def test_names_without_one_date(name: str) -> None:
    assert read_dated(name, UTC) is None


def test_an_offset_in_a_name_counts() -> None:
    found = read_dated("x-2024-01-02T15:30+02:00", UTC)
    assert found is not None
    assert found.created == datetime(2024, 1, 2, 13, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "kind", "stem"),
    [
        ("egos_backup_manual_my_site_20250401_093000.zip", "manual", "my_site"),
        ("egos_backup_restore_point_restore_point_before_x_20250401_093000.zip", "restore_point", "restore_point_before_x"),
        ("egos_backup_pre-deploy_a_20250401_093000", "pre-deploy", "a"),
    ],
)
def test_names_of_egos_backups(name: str, kind: str, stem: str) -> None:
    zone = timezone(timedelta(hours=-3))
    found = describe_egos_name(name, zone)
    assert found is not None
    assert (found.type, found.name, found.created) == (kind, stem, datetime(2025, 4, 1, 9, 30, tzinfo=zone))


@pytest.mark.parametrize("name", ["egos_backup_20250401_093000.zip", "egos_backup_manual_a_20251301_093000.zip", "x.zip"])
def test_other_names_are_none_of_egos(name: str) -> None:
    assert describe_egos_name(name, UTC) is None


def test_names_in_zips() -> None:
    assert [zip_name(name) for name in ("a/ü", "100%", "100%\udcff", "a\\b")] == ["a/ü", "100%", "100%25%FF", "a%5Cb"]
    assert [zip_name(name) for name in ("C:x", "a/b:c", "100%/a\\b")] == ["C%3Ax", "a/b%3Ac", "100%/a%5Cb"]
