"""What CRONOS's predecessors wrote: EGOS's `cronos_config.json`, YAML with `CRONOS_…` keys, and the zips of EGOS's backups.

Translates other spellings into today's keys. What has no meaning here is passed over with a reason, and only in
`cronos_config.json`: in every other file an unknown key is an error. Of a zip it reads the file's name and the member
`backup_metadata.json`, which CRONOS's own exports write too. Floor F4: pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import PurePosixPath
from typing import Any

from cronos_git.errors import ConfigError
from cronos_git.rules.config import ENVIRONMENT_PREFIX, Ignored

_TRANSLATION = {
    "backup.directory": "backup_dir",
    "backup.retention_days": "retention_days",
    "backup.max_backups": "max_backups",
    "backup.exclude_patterns": "exclude",
    "restore.create_restore_point": "restore_point",
}
_AUTO_BACKUP = "backup.auto_backup."
_AUTO_TRANSLATION = {
    f"{_AUTO_BACKUP}interval_hours": "auto_backup_hours",
    f"{_AUTO_BACKUP}min_changes": "auto_backup_min_changes",
}
_AUTO_SWITCH = f"{_AUTO_BACKUP}enabled"
_NO_MEANING = "it has no meaning in this version"


def translate_egos(content: Mapping[str, object], origin: str) -> tuple[dict[str, object], tuple[Ignored, ...]]:
    """Today's values of a `cronos_config.json`, and what was passed over.

    EGOS kept archives inside the project (`./backups`). A store cannot lie there, so such a directory is passed over too.
    Automatic backups are only meant when they are switched on.

    Raises:
        ConfigError: There are rules of a policy, which must not be passed over.
    """
    values: dict[str, object] = {}
    ignored = []
    if "policy" in content:
        raise ConfigError(
            f"`policy` cannot stand in a file in the form of EGOS ({origin}).",
            hint="Move the rules to a TOML or YAML file; none is passed over.",
            key="policy",
            origin=origin,
        )
    leaves = dict(_leaves(content))
    is_automatic = leaves.get(_AUTO_SWITCH) is True
    if is_automatic:
        del leaves[_AUTO_SWITCH]
    translation = {**_TRANSLATION, **_AUTO_TRANSLATION} if is_automatic else _TRANSLATION
    for key, value in leaves.items():
        reason = _reason_to_ignore(key, value, translation)
        if reason:
            ignored.append(Ignored(key=key, origin=origin, reason=reason))
        else:
            values[translation[key]] = value
    return values, tuple(ignored)


def _leaves(content: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _reason_to_ignore(key: str, value: object, translation: Mapping[str, str]) -> str:
    if key in _AUTO_TRANSLATION and key not in translation:
        return "automatic backups are not switched on"
    if key not in translation:
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


# --- backups --------------------------------------------------------------------------------------------------------

METADATA_MEMBER = "backup_metadata.json"
"""Member of a zip that tells of the backup, and is no file of it."""

OWN_KEY = "cronos"
"""Key of that member under which CRONOS tells what EGOS did not know."""

_EGOS_NAME = re.compile(r"egos_backup_(?P<type>restore_point|[^_]+)_(?P<name>.+)_(?P<stamp>\d{8}_\d{6})(?:\.zip)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a file tells of the backup in it; empty where it does not.

    Attributes:
        metadata: What the user had noted.
        own: What a CRONOS noted: id, message, description, labels, scope.
    """

    name: str = ""
    type: str = ""
    created: datetime | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)


def describe_egos_name(file_name: str, zone: tzinfo) -> Description | None:
    """What `egos_backup_<type>_<name>_<YYYYMMDD_HHMMSS>.zip` tells, None for any other name.

    EGOS wrote local time, and nothing between type and name that tells them apart: a type is taken for one word, but for
    `restore_point`.

    Args:
        zone: The zone that EGOS ran in.
    """
    match = _EGOS_NAME.fullmatch(file_name)
    if match is None:
        return None
    try:
        created = datetime.strptime(match["stamp"], "%Y%m%d_%H%M%S").replace(tzinfo=zone)
    except ValueError:
        return None
    return Description(name=match["name"], type=match["type"], created=created)


def describe_metadata(content: bytes, zone: tzinfo) -> Description | None:
    """What a `backup_metadata.json` tells; None when it is none, and so a file like any other.

    Args:
        zone: Of a time without an offset, as EGOS wrote it.
    """
    try:
        found = json.loads(content, parse_constant=_no_constant)
        name, kind, created = found.pop("name"), found.pop("backup_type"), datetime.fromisoformat(found.pop("created_at"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not (isinstance(name, str) and isinstance(kind, str)):
        return None
    own = found.pop(OWN_KEY, None)
    own = own if isinstance(own, dict) else {}
    hidden = own.pop("metadata", None)
    found |= hidden if isinstance(hidden, dict) else {}
    created = created if created.tzinfo else created.replace(tzinfo=zone)
    return Description(name=name, type=kind, created=created, metadata=found, own=own)


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")
