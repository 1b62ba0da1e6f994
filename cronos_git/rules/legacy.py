"""Configuration written for CRONOS's predecessors: EGOS's `cronos_config.json` and YAML with `CRONOS_…` keys.

Translates other spellings into today's keys. What has no meaning here is passed over with a reason, and only in
`cronos_config.json`: in every other file an unknown key is an error. Floor F4: pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from cronos_git.errors import ConfigError
from cronos_git.rules.config import ENVIRONMENT_PREFIX, Ignored

_TRANSLATION = {
    "backup.directory": "backup_dir",
    "backup.retention_days": "retention_days",
    "backup.max_backups": "max_backups",
    "backup.exclude_patterns": "exclude",
    "restore.create_restore_point": "restore_point",
}
_NO_MEANING = "it has no meaning in this version"


def translate_egos(content: Mapping[str, object], origin: str) -> tuple[dict[str, object], tuple[Ignored, ...]]:
    """Today's values of a `cronos_config.json`, and what was passed over.

    EGOS kept archives inside the project (`./backups`). A store cannot lie there, so such a directory is passed over too.
    """
    values: dict[str, object] = {}
    ignored = []
    for key, value in _leaves(content):
        reason = _reason_to_ignore(key, value)
        if reason:
            ignored.append(Ignored(key=key, origin=origin, reason=reason))
        else:
            values[_TRANSLATION[key]] = value
    return values, tuple(ignored)


def _leaves(content: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _reason_to_ignore(key: str, value: object) -> str:
    if key not in _TRANSLATION:
        return _NO_MEANING
    if key == "backup.directory" and isinstance(value, str) and _stays_inside(value):
        return "it lies inside the project, where a store cannot be"
    return ""


def _stays_inside(directory: str) -> bool:
    path = PurePosixPath(directory)
    return not path.is_absolute() and path.parts[:1] not in (("..",), ("~",))


def lower_keys(content: Mapping[str, object], origin: str) -> dict[str, object]:
    """Values of a YAML file, whose keys may be written `CRONOS_MAX_BACKUPS` or `max_backups`.

    Raises:
        ConfigError: A key stands there in both spellings.
    """
    values: dict[str, object] = {}
    for name, value in content.items():
        upper = name.startswith(ENVIRONMENT_PREFIX)
        key = name.removeprefix(ENVIRONMENT_PREFIX).lower() if upper else name
        if key in values:
            raise ConfigError(f"`{key}` is given twice ({origin}).", hint="Leave one of the two.", key=key, origin=origin)
        values[key] = value
    return values
