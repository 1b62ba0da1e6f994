"""How the configuration says when automatic backups are taken, in today's words and in EGOS's."""

from __future__ import annotations

import pytest

from cronos_git.errors import ConfigError
from cronos_git.rules.config import Layer, resolve_settings
from cronos_git.rules.legacy import translate_egos


def cron_of(value: object) -> str:
    layer = Layer(name="project", origin="cronos.toml", values={"auto_backup_cron": value})
    default = Layer(name="default", origin="default", values={"backup_dir": "/b"})
    return resolve_settings([default, layer]).settings.auto_backup_cron


@pytest.mark.parametrize(
    ("value", "fields"),
    [("", ""), (" ", ""), (" 30  3 * * mon-fri ", "30 3 * * mon-fri"), ("@daily", "0 0 * * *")],
)
def test_a_cron_expression_is_five_fields_or_a_word(value: str, fields: str) -> None:
    assert cron_of(value) == fields


@pytest.mark.parametrize(
    ("value", "reason"),
    [("daily", "five fields"), ("61 * * * *", "no minute from 0 to 59"), ("0 0 31 2 *", "does not exist"), (5, "not a text")],
)
def test_a_wrong_cron_expression_is_told_when_the_configuration_is_read(value: object, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        cron_of(value)


def egos(**auto_backup: object) -> tuple[dict[str, object], dict[str, str]]:
    values, ignored = translate_egos({"backup": {"auto_backup": auto_backup}}, "cronos_config.json")
    return values, {one.key: one.reason for one in ignored}


def test_egos_automatic_backups_are_translated_when_they_are_switched_on() -> None:
    values, ignored = egos(enabled=True, interval_hours=24, min_changes=10)
    assert values == {"auto_backup_hours": 24, "auto_backup_min_changes": 10}
    assert ignored == {}


@pytest.mark.parametrize("enabled", [{}, {"enabled": False}, {"enabled": "yes"}])
def test_egos_automatic_backups_that_are_off_are_passed_over_with_the_reason(enabled: dict[str, object]) -> None:
    values, ignored = egos(interval_hours=24, min_changes=10, **enabled)
    assert values == {}
    assert ignored["backup.auto_backup.interval_hours"] == "automatic backups are not switched on"
