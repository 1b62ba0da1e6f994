"""Reads configuration files, and looks for the marks of a project. What values mean is `rules/config.py`'s. Floor F5."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cronos_git.disk.files import host_error
from cronos_git.errors import ConfigError, ProjectError

_FILE_MAX_BYTES = 16 << 20


def read_settings(path: Path) -> Mapping[str, object] | None:
    """The content of a TOML, YAML or JSON file, by its name's ending; of a `pyproject.toml` only `[tool.cronos]`.

    Returns:
        None when there is no such file, or the `pyproject.toml` has no such table.

    Raises:
        ConfigError: It cannot be parsed, is larger than 16 MiB, or is no regular file.
        AccessError, HostError: It cannot be read.
    """
    raw = _read(path)
    if raw is None:
        return None
    if path.name != "pyproject.toml":
        content = _parse(path, raw)
        return {} if content is None else _mapping(content, path)  # an empty YAML file is None
    if b"cronos" not in raw:
        return None  # one that is none of our business must not stop a backup while it is broken
    table = _mapping(_mapping(_parse(path, raw), path).get("tool", {}), path).get("cronos")
    return None if table is None else _mapping(table, path)


def _read(path: Path) -> bytes | None:
    try:
        # Opening must not wait for the other end of a FIFO that bears a configuration's name.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise host_error(error, f"read the configuration {path}") from error
    try:
        return _read_regular(path, fd)
    except OSError as error:
        raise host_error(error, f"read the configuration {path}") from error
    finally:
        os.close(fd)


def _read_regular(path: Path, fd: int) -> bytes:
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode) or info.st_size > _FILE_MAX_BYTES:
        raise ConfigError(
            f"The configuration {path} is not a regular file of at most 16 MiB.",
            hint="Move it away, or make it a file.",
            origin=str(path),
        )
    with os.fdopen(fd, "rb", closefd=False) as file:
        return file.read(_FILE_MAX_BYTES)


def _parse(path: Path, raw: bytes) -> object:
    parse = {".yaml": _parse_yaml, ".yml": _parse_yaml, ".json": _parse_json}.get(path.suffix.lower(), _parse_toml)
    try:
        return parse(raw)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"Cannot read the configuration {path}: {reason}.", hint="Correct the file.", origin=str(path)
        ) from error


def _parse_toml(raw: bytes) -> object:
    import tomllib

    return tomllib.loads(raw.decode())


def _parse_json(raw: bytes) -> object:
    import json

    return json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_once_each)


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The pairs as a table; ValueError when one would hide another. TOML refuses that by itself."""
    names = [name for name, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"`{twice[0]}` is given twice")
    return dict(pairs)


def _parse_yaml(raw: bytes) -> object:
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            _once_each([(str(key.value), None) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"])
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(raw, Loader)  # noqa: S506 - it is a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _mapping(content: object, path: Path) -> Mapping[str, object]:
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"The configuration {path} is not a table of keys and values.", hint="Correct it.", origin=str(path))
    return content


# --- the project --------------------------------------------------------------------------------------------------


def real_directory(path: str) -> Path:
    """The real path of a project's directory, every symlink resolved.

    Raises:
        ProjectError: It is missing, is not a directory, or cannot be listed.
    """
    real = os.path.realpath(path)
    if not os.path.isdir(real):
        what = "is not a directory" if os.path.lexists(path) else "does not exist"
        raise ProjectError(f"The project {path} {what}.", hint="Check the path given with -C/--project.", path=path)
    if not os.access(real, os.R_OK | os.X_OK):
        raise ProjectError(f"The project {path} cannot be read.", hint="Check owner and permissions of that path.", path=path)
    return Path(real)


def find_upwards(start: Path, is_wanted: Callable[[Path], bool]) -> Path | None:
    """*start*, or the nearest directory above it, that is wanted."""
    return next((path for path in (start, *start.parents) if is_wanted(path)), None)


def has_any(directory: Path, names: tuple[str, ...]) -> bool:
    """Whether one of *names* exists in *directory*."""
    return any(os.path.lexists(directory / name) for name in names)


def is_open_to_all(directory: Path) -> bool:
    """Whether every user can make files in *directory*, as in `/tmp`."""
    return bool(directory.stat().st_mode & stat.S_IWOTH)


def fault_of_ownership(path: Path) -> str:
    """Why *path* is not this user's alone, empty when it is; of a path that does not exist yet, what holds for its parent."""
    existing = next(parent for parent in _upwards(path) if parent.exists())
    info = existing.stat()
    if info.st_uid != os.geteuid():
        return f"{existing} belongs to another user"
    return f"others can write to {existing}" if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""


def _upwards(path: Path) -> Iterator[Path]:
    real = Path(os.path.realpath(path))
    yield real
    yield from real.parents
