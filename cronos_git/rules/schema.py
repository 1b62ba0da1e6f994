"""The configuration keys: name, type, default, unit, meaning, and whether a file inside the project may set them.

`Settings` is the one table; validation (`config.py`), the reference page and the sample file (`config_page.py`) are made from
it. A key is here only when something acts on it. Imports nothing heavy, so that naming a setting costs nothing. Floor F4:
pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Literal, TypeVar

Kind = Literal[
    "directory",
    "name",
    "patterns",
    "flag",
    "count",
    "number",
    "size",
    "git_dirs",
    "modules",
    "duration",
    "hook_failure",
    "remote",
    "file",
    "directories",
    "bus",
    "service_name",
    "cron",
    "policy",
    "ethik",
    "log_level",
]

ALLOWED: Mapping[Kind, str] = {
    "directory": "a path; `~` is the home directory, and a relative path starts at the file that sets it",
    "name": "a text that is not empty",
    "patterns": "a list of gitignore patterns",
    "flag": "true or false",
    "count": "a whole number, 0 or more",
    "number": "a number, 0 or more",
    "size": 'a number of bytes, or a text such as "32 MiB" or "40 MB"; at least 1 MiB',
    "git_dirs": '"skip" or "include"',
    "modules": "a table of names, each with a path inside the project or a list of such paths",
    "duration": 'a text such as "1y6m14d12h" (years, months, days, hours), or "" for none',
    "remote": 'the name of a remote, or "" for none',
    "hook_failure": '"by_hook", "fail_open" or "fail_closed"',
    "file": 'a path, or "" for none; `~` and relative paths as for `backup_dir`',
    "directories": "a list of paths; `~` and relative paths as for `backup_dir`",
    "bus": 'an address such as "nats://host:4222" or "tls://host:4222", or "" for none',
    "service_name": 'letters, digits, "-" and "_", or "" for the name of the project\'s directory',
    "cron": 'five fields as in a crontab, "30 3 * * 1-5", or "@daily" and the like; "" for none',
    "policy": "a list of tables, one a rule; see how-to/policy.md",
    "ethik": '"off", "topic", "event" or "request"',
    "log_level": '"debug", "info", "warning" or "error"',
}
"""What a value of each kind may be, in words."""

MINIMUM_CHUNK_THRESHOLD_BYTES = 1 << 20

_T = TypeVar("_T")
_UNITS: dict[str, int] = {"": 1, "b": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("kmgt", start=1)
    for suffix, base in (("b", 1000), ("ib", 1024))
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One configuration key.

    Attributes:
        unit: What a number counts; empty when there is nothing to count.
        project: Whether a file inside the project may set it.
    """

    name: str
    kind: Kind
    default: object
    doc: str
    unit: str
    project: bool

    @property
    def allowed(self) -> str:
        """What a value may be, in words."""
        return ALLOWED[self.kind] + (f" ({self.unit})" if self.unit else "")


def _key(default: _T, kind: Kind, doc: str, *, unit: str = "", project: bool = True) -> _T:
    """Declare a key; the dataclass sees a field whose default is *default*."""
    metadata = {"kind": kind, "default": default, "doc": doc, "unit": unit, "project": project}
    return field(default_factory=lambda: default, metadata=metadata)


_NO_MODULES: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration in force; each attribute is a key, documented in `docs/reference/configuration.md`."""

    backup_dir: str = _key("~/.local/share/cronos", "directory", "Where the stores lie. Must be outside the project.")
    name: str = _key("backup", "name", "Stem of the ids of backups that are made without a name.")
    exclude: tuple[str, ...] = _key((), "patterns", "What to leave out, besides the default exclusions.")
    include: tuple[str, ...] = _key(
        (), "patterns", "What to take, with everything below it, although a rule or an ignore file excludes it."
    )
    default_excludes: bool = _key(
        True, "flag", "Leave out what tools make again by themselves: `__pycache__/`, `node_modules/` and the like."
    )
    respect_gitignore: bool = _key(False, "flag", "Leave out what `.gitignore` files exclude.")
    cachedir_tags: bool = _key(True, "flag", "Leave out directories that hold a valid `CACHEDIR.TAG`.")
    git_dirs: Literal["skip", "include"] = _key(
        "skip",
        "git_dirs",
        "What to do with `.git` directories, nested ones too. Of skipped ones the branch, commit and remotes are noted.",
    )
    chunk_threshold: int = _key(32 << 20, "size", "Files of this size or more are stored in chunks.")
    modules: Mapping[str, tuple[str, ...]] = _key(
        _NO_MODULES, "modules", "Names for parts of the project that can be backed up alone."
    )
    lock_wait: float = _key(
        0.0, "number", "How long to wait for another command that is using the store.", unit="number", project=False
    )
    retention_days: int = _key(30, "count", "Drop backups older than this. 0 switches the limit off.", unit="days")
    max_backups: int = _key(
        100, "count", "Drop all but this many of the newest backups. 0 switches the limit off.", unit="backups"
    )
    keep_last: int = _key(0, "count", "Keep this many of the newest backups, however old.", unit="backups")
    keep_hourly: int = _key(0, "count", "Keep the newest backup of each of this many hours that have one.", unit="hours")
    keep_daily: int = _key(0, "count", "Keep the newest backup of each of this many days that have one.", unit="days")
    keep_weekly: int = _key(0, "count", "Keep the newest backup of each of this many weeks that have one.", unit="weeks")
    keep_monthly: int = _key(0, "count", "Keep the newest backup of each of this many months that have one.", unit="months")
    keep_yearly: int = _key(0, "count", "Keep the newest backup of each of this many years that have one.", unit="years")
    keep_within: str = _key("", "duration", "Keep every backup made within this time before the newest one.")
    restore_point: bool = _key(
        True, "flag", "Take a restore point before a restore in place, so that it can be undone and nothing is lost."
    )
    restore_point_days: int = _key(14, "count", "Drop restore points older than this. 0 keeps them all.", unit="days")
    trash_days: int = _key(
        7,
        "count",
        "How long deleted backups can be brought back. `compact` drops older ones for good; 0 drops all.",
        unit="days",
    )
    auto_prune: bool = _key(
        True, "flag", "Apply these rules after each backup, and compact the store when what has left the trash is worth it."
    )
    auto_push: str = _key("", "remote", "Where to send the backups after each `create`, as `cronos push` does.", project=False)
    hook_failure: Literal["by_hook", "fail_open", "fail_closed"] = _key(
        "by_hook",
        "hook_failure",
        "What hooks do when there can be no backup: go on (`fail_open`) or stop the push, rebase or deploy (`fail_closed`). "
        "`by_hook` stops deploys (`pre-deploy`, `pre-receive`, `cronos deploy`) and nothing else.",
        project=False,
    )
    hook_budget_s: float = _key(
        0.0, "number", "How long a hook may take before its backup is given up. 0 sets no limit.", unit="number", project=False
    )

    auto_backup_hours: float = _key(
        0.0, "number", "How often `cronos serve` takes a backup by itself. 0: not by this rule.", unit="hours"
    )
    auto_backup_cron: str = _key("", "cron", "When `cronos serve` takes a backup by itself, in local time.")
    auto_backup_min_changes: int = _key(
        1, "count", "Take no backup by itself as long as fewer paths than this have changed.", unit="paths"
    )
    bus: str = _key(
        "",
        "bus",
        "The NATS server that carries the Mycelium. User and password, or a token, may stand in it as in any URL.",
        project=False,
    )
    bus_credentials: str = _key("", "file", "NATS credentials file (JWT and seed) for `bus`.", project=False)
    bus_ca: str = _key("", "file", "Certificates (PEM) that the server's must be signed by, for TLS.", project=False)
    bus_certificate: str = _key("", "file", "Our certificate (PEM), for a server that asks for one.", project=False)
    bus_key: str = _key("", "file", "The private key (PEM) of `bus_certificate`.", project=False)
    service_name: str = _key("", "service_name", "What the project is called on the bus.")
    message_limit: int = _key(1 << 20, "size", "Largest message that the service takes or sends.", project=False)
    restore_roots: tuple[str, ...] = _key(
        (),
        "directories",
        "Where requests over the bus may restore to, with all below, besides the project itself.",
        project=False,
    )
    policy: tuple[Mapping[str, object], ...] = _key(
        (), "policy", "Rules that backups, restores and deletions are held against; see how-to/policy.md.", project=False
    )
    ethik: Literal["off", "topic", "event", "request"] = _key(
        "off",
        "ethik",
        "Whether ETHIK is asked too, over `bus`, and how. Without its answer nothing is restored, deleted or pruned.",
        project=False,
    )
    ethik_timeout_s: float = _key(30.0, "number", "How long to wait for ETHIK's verdict.", unit="seconds", project=False)
    atlas: bool = _key(False, "flag", "Tell ATLAS of each backup, over `bus`.", project=False)
    nexus: bool = _key(
        False, "flag", "Ask NEXUS, over `bus`, what a module needs, besides looking at its imports.", project=False
    )
    peer_timeout_s: float = _key(
        5.0, "number", "How long ATLAS and NEXUS may take to answer; without them things go on.", unit="seconds", project=False
    )
    log_file: str = _key(
        "", "file", "Write the operation log there too, as JSON lines, together with what the service tells.", project=False
    )
    log_level: Literal["debug", "info", "warning", "error"] = _key(
        "info", "log_level", "The least that the log file and the service's log tell.", project=False
    )
    log_size: int = _key(10 << 20, "size", "Begin a new log file when this one would get larger.", project=False)
    log_keep: int = _key(5, "count", "How many old log files to keep.", unit="files", project=False)


KEYS: Mapping[str, Key] = {entry.name: Key(name=entry.name, **entry.metadata) for entry in fields(Settings)}
"""All keys by name, in the order of the reference."""


def parse_size(text: str) -> int:
    """Bytes of a size such as `32 MiB` (1024s), `40 MB` (1000s) or `4096`.

    Raises:
        ValueError: It is not a size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text, re.ASCII | re.IGNORECASE)
    factor = _UNITS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError("it is not a size")
    return round(float(match[1]) * factor)


def format_size(size_bytes: int) -> str:
    """The shortest exact text in bytes, KiB, MiB, GiB or TiB; `parse_size` gives *size_bytes* back."""
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size_bytes and size_bytes % 1024**power == 0:
            return f"{size_bytes // 1024**power} {unit}"
    return f"{size_bytes} B"
