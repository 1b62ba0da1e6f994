"""The configuration in writing: values as TOML, a sample file, and the reference page, all made from `schema.KEYS`.

`docs/reference/configuration.md` is `configuration_reference()`; a test holds them equal. Floor F4: pure.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping
from typing import cast

from cronos_git.rules.patterns import DEFAULT_EXCLUDES
from cronos_git.rules.remotes import shown
from cronos_git.rules.schema import KEYS, Key, format_size

_WIDTH = 110


def format_value(key: str, value: object) -> str:
    """*value* of *key* as TOML (on one line; a table in its inline form), without passwords."""
    if KEYS[key].kind == "bus":
        return _quoted(shown(cast(str, value)))
    return _quoted(format_size(cast(int, value))) if KEYS[key].kind == "size" else _toml(value)


def _toml(value: object) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_quoted(name)} = {_toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which only TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def sample_toml(*, project: bool) -> str:
    """A configuration file with its keys explained and set to their defaults, all commented out.

    Args:
        project: For a file inside a project, which may not set every key.
    """
    lines = ["# Configuration of CRONOS. Take the # away from a line to set its key.", ""]
    keys = [key for key in KEYS.values() if key.project or not project]
    for key in sorted(keys, key=lambda key: key.kind == "modules"):
        lines += [*_comment(f"{key.doc} Allowed: {key.allowed}."), *_sample(key), ""]
    return "\n".join(lines)


def _comment(text: str) -> list[str]:
    return [f"## {line}" for line in textwrap.wrap(text, _WIDTH, break_on_hyphens=False)]


def _sample(key: Key) -> list[str]:
    # A table swallows the keys that follow it, so it is sampled in the long form and comes last (see above).
    if key.kind == "modules":
        return [f"#[{key.name}]", '## docs = "docs"', '## core = ["src/core", "src/common"]']
    return [f"#{key.name} = {format_value(key.name, key.default)}"]


def configuration_reference() -> str:
    """The reference page, in Markdown."""
    rows = "\n".join(_row(key) for key in KEYS.values())
    excludes = " ".join(f"`{pattern}`" for pattern in DEFAULT_EXCLUDES)
    return (
        f"{_INTRODUCTION}\n| key | default | allowed | meaning |\n|---|---|---|---|\n{rows}\n\n{_RULES.format(excludes=excludes)}"
    )


def _row(key: Key) -> str:
    where = "" if key.project else " Not in a file inside the project."
    cells = (f"`{key.name}`", f"`{format_value(key.name, key.default)}`", key.allowed, key.doc + where)
    return table_row(cells)


def table_row(cells: Iterable[str]) -> str:
    """A row of a table in Markdown."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


_INTRODUCTION = """\
# Configuration

<!-- Made from cronos_git/rules/schema.py by rules/config_page.py: make docs. -->

Values come in layers. A higher layer replaces a key's whole value; lists are not joined. From low to high:

1. defaults
2. `/etc/cronos/config.toml`
3. the user's `cronos/config.toml` in the platform's configuration directory (`~/.config`, `$XDG_CONFIG_HOME`)
4. files at the root of the project, again from low to high: `cronos_config.json`, `cronos.yaml`, `[tool.cronos]` in
   `pyproject.toml`, `cronos.toml`
5. environment variables: `CRONOS_` and the key in upper case, as in `CRONOS_MAX_BACKUPS=50`; lists are separated by commas or
   are JSON (`CRONOS_EXCLUDE='*.iso,build/'`), `CRONOS_MODULES` and `CRONOS_POLICY` are JSON
6. flags of the command line

`--config FILE` replaces 3 and 4: neither the user's nor the project's files are read. The file is the user's own word and may
set every key, wherever it lies. It is TOML, YAML (`.yaml`, `.yml`), EGOS's JSON (`.json`), or a `pyproject.toml`.

`cronos config show --origin` tells every value and where it stands, `cronos config path` the files that are looked for,
`cronos config init` writes a file for the project with every key explained that may stand there, `--user` one for the user.

An unknown key is an error, and so is a value that is not allowed. A relative path (of `backup_dir` and others) starts at the
directory of the file that sets it, and for the environment and flags at the working directory. A file inside the project can set
a `backup_dir` only to a directory that the user owns and nobody else can write to.

## The project

`-C DIR` names the project itself. Without it the project is the nearest directory from the working directory upwards that has a
store, a `.git`, `cronos.toml`, `cronos.yaml`, `cronos_config.json`, or a `pyproject.toml` with `[tool.cronos]`; if there is none,
the working directory. In the root directory, in the home directory, and in directories that everybody can write to, such as
`/tmp`, only a store counts.

## Keys
"""

_RULES = """\
## What is left out

The patterns are those of `.gitignore` files (`man gitignore`), relative to the project's root. Rules rank, from low to high:

1. default exclusions: {excludes}
2. `exclude` of the configuration
3. `.gitignore` files, with `respect_gitignore`; deeper files rank higher
4. `.cronosignore` files; deeper files rank higher
5. `--exclude` of the command

The highest rule that matches decides, and a pattern with `!` takes back what a lower one excludes, unless a directory above
it is excluded. An `include` pattern always wins: it takes what it matches and everything below, also out of excluded
directories. A pattern without a slash, such as `*.conf`, can match anywhere, so every excluded directory is searched for it;
`/build/keep.conf` costs nothing.

A pattern in `exclude` or `include` that is broken, or can match nothing, is an error. In ignore files such lines match
nothing, as in Git.

## Retention

A backup is dropped when it is older than `retention_days` or when `max_backups` newer ones exist, unless a `keep_…` rule keeps
it. With both limits at 0 the `keep_…` rules alone decide, and what none of them keeps is dropped, as by `restic forget`; with
no rule either, nothing is. Each scope (the whole project, and each set of modules) is judged by itself. These always stay: the
newest backup of a scope, pinned ones, and those dated in the future, which take no place in a `keep_…` rule.

- "Newest" in `max_backups` and `keep_last` goes by the order in which backups were made, everything else by their time.
- Hours, days, weeks (from Monday), months and years begin as your clock says; only those that have a backup count. The oldest
  backup of all is kept too while a rule has fewer of them than it may keep.
- `keep_within` counts back from the newest backup, not from now.
- Restore points (type `restore-point`) have `restore_point_days` alone, and count nowhere else. Where one is the newest of its
  scope, the newest other backup stays as well.

The rules apply after each `cronos create`, unless `auto_prune` is false, and by `cronos prune`; `cronos prune -n` shows what
they would do and why. What is dropped is moved to the trash: `cronos undelete` lists it and brings it back, for the next prune
to judge again. It takes its space until `cronos compact` drops for good what has been in the trash for more than `trash_days`.
`cronos create` compacts by itself, unless `auto_prune` is false, when what would go once took 16 MiB and a fifth of the store.

## Files of the predecessors

In `cronos.yaml` a key may also be written as the environment variable is: `CRONOS_BACKUP_DIR: /path/to/backups`.

Of EGOS's `cronos_config.json` these values are used; all others are passed over, and `cronos config show` names them:

| EGOS | key |
|---|---|
| `backup.directory` | `backup_dir`; passed over when it is a path inside the project (`./backups`), where a store cannot be |
| `backup.retention_days` | `retention_days` |
| `backup.max_backups` | `max_backups` |
| `backup.exclude_patterns` | `exclude` |
"""
