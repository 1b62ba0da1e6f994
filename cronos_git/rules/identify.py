"""From what a user types to one backup.

Forms, tried in this order: the exact id (also with `.zip`, or a path ending so) · `latest`, `latest~2`, `latest:TYPE`,
`latest:TYPE~2` · `@TIME`, the last backup at or before it · an id's timestamp, or first digits of it (UTC, as ids are; where none
fits, the local one in the name of an imported EGOS file) · a name · the name of the file that a backup was imported from ·
`<name>_<YYYYMMDD>_<NNN>`, the n-th of that day · `<name>_<timestamp>`, at least the day of it ·
`egos_backup_<type>_<name>_<timestamp>` · first characters of an id, or six and more of a commit or tag id.

Timestamps and names take the newest of several and say so; the last form must be unique. Restore points were asked for by
nobody, so `latest` and `@` pass over them (but `latest:restore-point`), and names and timestamps take them only when nothing
else fits. Newest is highest by sequence; only `@` goes by the clock. What was imported is older than all that was made here,
whenever it came. Floor F4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from cronos_git.errors import AmbiguousBackupError, BackupNotFoundError, UsageError
from cronos_git.model import Backup
from cronos_git.rules.names import slug
from cronos_git.rules.when import parse_when

RESTORE_POINT = "restore-point"
IMPORT = "import"
"""Type of imported backups, and the key of their metadata under which stands where they come from."""

TYPES = frozenset({"manual", "auto", "pre-deploy", RESTORE_POINT, IMPORT})
"""The types that CRONOS gives itself; users may add words of their own."""

_LATEST = r"latest(?::(?P<type>[^~:]+))?(?P<back>~\d*)?"
_STAMP_OF_ID = r"_(\d{8}_\d{6}(?:_\d+)?)\Z"
_TIMESTAMP = r"\d{4,8}|\d{8}_\d{0,6}|\d{8}_\d{6}_\d+"
_NAME_TIMESTAMP = r"(.+)_(\d{8}(?:_\d{0,6})?)"
_NAME_NUMBER = r"(.+)_(\d{8})_(\d{3})"
_EGOS = r"egos_backup_(.+)_(\d{8}_\d{6})"
_OBJECT = r"[0-9a-f]{6,40}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The backup that an identifier means.

    Attributes:
        matches: How many backups the identifier fits; above 1 the newest was taken.
        note: What to tell the user about that; empty when there was no choice.
    """

    backup: Backup
    matches: int = 1
    note: str = ""


def resolve(identifier: str, backups: Sequence[Backup], now: datetime, zone: tzinfo) -> Resolution:
    """Find the backup that *identifier* means among *backups* (in any order).

    Args:
        zone: Of times without an offset, as in `@2026-04-01T10:00`.

    Raises:
        BackupNotFoundError: None fits; the hint names the nearest ids.
        AmbiguousBackupError: The beginning of an id fits several; `context["candidates"]`.
        UsageError: The identifier is empty, or what follows `@` is no time.

    Cost: some passes over *backups*.
    """
    text = identifier.strip()
    if not text:
        raise UsageError("The backup to use has an empty name.", hint="Name a backup, such as latest; `cronos list` shows them.")
    stem = re.split(r"[/\\]", text)[-1].removesuffix(".zip") if text.endswith(".zip") else text
    for backup in backups:
        if backup.id in (text, stem):
            return Resolution(backup=backup)
    if match := re.fullmatch(_LATEST, text):
        return Resolution(backup=_latest(text, match, backups))
    if text.startswith("@"):
        return Resolution(backup=_last_before(text, backups, parse_when(text[1:], now, zone, end=True)))
    return _newest_of(text, stem, backups) or _unique(text, stem.lower(), backups)


# --- one answer by rule ---------------------------------------------------------------------------------------------


def _latest(text: str, match: re.Match[str], backups: Sequence[Backup]) -> Backup:
    wanted = match["type"]
    found = [backup for backup in backups if (backup.type == wanted if wanted else backup.type != RESTORE_POINT)]
    back = int((match["back"] or "~0")[1:] or 1)
    if back >= len(found):
        kind = f" of type {wanted}" if wanted else ""
        number = "is 1 backup" if len(found) == 1 else f"are {len(found) or 'no'} backups"
        raise _not_found(text, f"there {number}{kind}", backups)
    return sorted(found, key=_order)[-1 - back]


def _last_before(text: str, backups: Sequence[Backup], moment: datetime) -> Backup:
    found = [backup for backup in backups if backup.created <= moment and backup.type != RESTORE_POINT]
    if not found:
        raise _not_found(text, f"none was made at or before {moment:%Y-%m-%d %H:%M:%S} UTC", backups)
    return max(found, key=lambda backup: (backup.created, backup.sequence))


# --- the newest of those that fit -----------------------------------------------------------------------------------


def _newest_of(text: str, stem: str, backups: Sequence[Backup]) -> Resolution | None:
    rules: tuple[Callable[[str, Sequence[Backup]], list[Backup]], ...] = (
        _by_timestamp,
        _by_name,
        _by_file,
        _by_number,
        _by_name_timestamp,
        _by_egos_name,
    )
    for rule in rules:
        if found := rule(text, backups) or rule(stem, backups):
            found = [backup for backup in found if backup.type != RESTORE_POINT] or found
            newest = max(found, key=_order)
            note = f"{len(found)} backups match {text!r}; took the newest, {newest.id}." if len(found) > 1 else ""
            return Resolution(backup=newest, matches=len(found), note=note)
    return None


def _by_timestamp(text: str, backups: Sequence[Backup]) -> list[Backup]:
    if not re.fullmatch(_TIMESTAMP, text):
        return []
    by_id = [backup for backup in backups if _stamp(backup).startswith(text)]
    return by_id or [backup for backup in backups if _stamp_of_file(backup).startswith(text)]


def _by_name(text: str, backups: Sequence[Backup]) -> list[Backup]:
    if not re.search("[a-z0-9]", text.lower()):
        return []  # slug() would call it `backup`
    wanted = slug(text)
    names = {name for name in {backup.name for backup in backups} if slug(name) == wanted}
    return [backup for backup in backups if backup.name in names]


def _by_file(text: str, backups: Sequence[Backup]) -> list[Backup]:
    return [backup for backup in backups if _file_of(backup) == text]


def _by_number(text: str, backups: Sequence[Backup]) -> list[Backup]:
    match = re.fullmatch(_NAME_NUMBER, text)
    if match is None:
        return []
    of_day = [backup for backup in _by_name(match[1], backups) if _stamp(backup).startswith(match[2])]
    number = int(match[3])
    return sorted(of_day, key=_sequence)[number - 1 : number] if number else []


def _by_name_timestamp(text: str, backups: Sequence[Backup]) -> list[Backup]:
    match = re.fullmatch(_NAME_TIMESTAMP, text)
    return _by_timestamp(match[2], _by_name(match[1], backups)) if match else []


def _by_egos_name(text: str, backups: Sequence[Backup]) -> list[Backup]:
    """EGOS wrote spaces as `_`, and the type before the name without a mark between them."""
    match = re.fullmatch(_EGOS, text)
    if match is None:
        return []
    at_time = _by_timestamp(match[2], backups)
    same_type = [backup for backup in at_time if _loose(match[1]) == _loose(f"{backup.type}_{backup.name}")]
    return same_type or [backup for backup in at_time if _loose(match[1]).endswith("-" + _loose(backup.name))]


def _file_of(backup: Backup) -> str:
    """Name of the file that the backup was imported from, without its ending."""
    origin = backup.metadata.get(IMPORT)
    return str(origin.get("file", "")).removesuffix(".zip") if isinstance(origin, Mapping) else ""


# --- beginnings, which must be unique -------------------------------------------------------------------------------


def _unique(text: str, prefix: str, backups: Sequence[Backup]) -> Resolution:
    found = [backup for backup in backups if backup.id.startswith(prefix)]
    if re.fullmatch(_OBJECT, prefix):
        found += [backup for backup in backups if backup.commit.startswith(prefix) or backup.tag.startswith(prefix)]
    candidates = {backup.id: backup for backup in sorted(found, key=_sequence)}
    if len(candidates) > 1:
        shown = ", ".join(list(candidates)[-5:])
        raise AmbiguousBackupError(
            f"{text!r} fits {len(candidates)} backups, and only a whole name or timestamp may do that.",
            hint=f"Give more of the id: {shown}{' …' if len(candidates) > 5 else ''}.",
            identifier=text,
            candidates=list(candidates),
        )
    if not candidates:
        raise _not_found(text, "no id, name or time fits", backups)
    return Resolution(backup=next(iter(candidates.values())))


def _not_found(text: str, reason: str, backups: Sequence[Backup]) -> BackupNotFoundError:
    import difflib  # only ever needed here

    newest = sorted(backups, key=_sequence, reverse=True)[:500]
    by_word = {word: backup.id for backup in reversed(newest) for word in (backup.name, backup.id)}
    near = list(dict.fromkeys(by_word[word] for word in difflib.get_close_matches(text.lower(), by_word, n=3)))
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    hint += "`cronos list` shows all backups." if backups else "There are no backups yet; `cronos create` makes one."
    return BackupNotFoundError(f"No backup is called {text!r}: {reason}.", hint=hint, identifier=text, candidates=near)


def is_imported(backup: Backup) -> bool:
    """Whether the backup came from elsewhere, so that it tells nothing of what was in the project when it was made."""
    return isinstance(backup.metadata.get(IMPORT), Mapping)


def _order(backup: Backup) -> tuple[bool, int]:
    return not is_imported(backup), backup.sequence


def _sequence(backup: Backup) -> int:
    return backup.sequence


def _stamp(backup: Backup) -> str:
    match = re.search(_STAMP_OF_ID, backup.id)
    return match[1] if match else ""


def _stamp_of_file(backup: Backup) -> str:
    match = re.fullmatch(_EGOS, _file_of(backup))
    return match[2] if match else ""


def _loose(name: str) -> str:
    return slug(name).replace("_", "-")


# --- BACKUP:PATH ----------------------------------------------------------------------------------------------------

_CLOCK = r"(?<![\d-])\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?:[+-]\d\d:\d\d)?"
_OWN_COLONS = rf"@(?:{_CLOCK}|[^:])*+|latest:(?P<type>[^:~/]+)(?:~\d*)?(?=:|\Z)"


def split_path(text: str, types: Container[str] = TYPES) -> tuple[str, str | None]:
    """Take `BACKUP:PATH` apart; the path is None when there is no colon for it and `""`, the root, when nothing follows.

    The first colon parts them, as in `git show COMMIT:PATH`, but for two forms of BACKUP that hold a colon themselves (`.` is
    the root too):

    - `@2026-04-01T10:00`: the colons of a time of day belong to it, so the path is after the next one;
    - `latest:WORD`: WORD is a type when it is one of *types*, else a path. A file called like a type is written
      `latest:./manual`; a leading `./` says "path" everywhere, and is dropped.

    Args:
        types: Known types: those of CRONOS, and the user's own words where the caller knows them.
    """
    match = re.match(_OWN_COLONS, text)
    own = match.end() if match and (match["type"] is None or match["type"] in types) else 0
    rest, colon, path = text[own:].partition(":")
    path = "" if path == "." else path.removeprefix("./")
    return text[:own] + rest, path if colon else None
