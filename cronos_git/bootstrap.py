"""Puts an engine together: the only reader of the environment, working directory, home, user, host, time zone and clock.

Finds the project, gathers the layers of configuration, checks that it is safe to go on, and hands everything to `Cronos`. The
project is the directory given with -C. Without -C it is the nearest directory from the working directory upwards that has a
store, a `.git`, a `cronos.toml` or another configuration of its own, else the working directory. Only a store counts in the
root directory, the home directory (a `.git` for dotfiles does not make all of home the project), and where everybody can write
(another user's `/tmp/cronos.toml` must not catch us). Floor F9.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from cronos_git.disk import settings_files
from cronos_git.errors import ConfigError, ProjectError, RefusedError
from cronos_git.rules.config import Ignored, Layer, LayerName, Resolved, environment_layer, resolve_settings

if TYPE_CHECKING:
    from cronos_git.engine import Cronos
    from cronos_git.git.hookdirs import Whereabouts
    from cronos_git.rules.record import Identity

SYSTEM_CONFIG = Path("/etc/cronos/config.toml")
PROJECT_CONFIGS = ("cronos_config.json", "cronos.yaml", "pyproject.toml", "cronos.toml")
"""Configuration files at a project's root, lowest rank first."""

_HOOK_MARK = "_CRONOS_HOOK"
"""Set in a hook's child processes; not `CRONOS_…`, which is for settings."""

_EGOS_SUFFIX = ".json"
_YAML_SUFFIXES = (".yaml", ".yml")
_MARKS = (".git", *(name for name in PROJECT_CONFIGS if name != "pyproject.toml"))


class SystemClock:
    """The machine's clock; implements `ports.Clock`."""

    def now(self) -> datetime:
        """The present in UTC."""
        return datetime.now(UTC)


class LocalZone(tzinfo):
    """The machine's time zone as the C library knows it, summer time included."""

    def utcoffset(self, when: datetime | None) -> timedelta | None:
        """How far local time is ahead of UTC at the local time *when*."""
        return _local(when).utcoffset() if when else None

    def dst(self, when: datetime | None) -> timedelta | None:
        """Unknown: only the sum of offset and summer time is."""
        return None

    def tzname(self, when: datetime | None) -> str | None:
        """The zone's abbreviation at the local time *when*."""
        return _local(when).tzname() if when else None

    def fromutc(self, when: datetime) -> datetime:
        """The local time of the UTC time *when*; the second of two equal local times has `fold=1`."""
        known = when.replace(tzinfo=UTC).astimezone()
        local = known.replace(tzinfo=self)
        return local if local.utcoffset() == known.utcoffset() else local.replace(fold=1)


def _local(when: datetime) -> datetime:
    return when.replace(tzinfo=None).astimezone()


# --- configuration ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationFile:
    """A configuration file that was looked for."""

    path: Path
    layer: LayerName
    found: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A project and the configuration in force for it.

    Attributes:
        project: Real path of the project.
        resolved: Settings and their origins; `backup_dir` is absolute.
        files: Files that were looked for, lowest rank first.
    """

    project: Path
    resolved: Resolved
    files: tuple[ConfigurationFile, ...]

    @property
    def store_path(self) -> Path:
        """Where the project's store lies, or will lie."""
        from cronos_git.git.store import store_path

        return store_path(Path(self.resolved.settings.backup_dir), self.project)


def resolve(
    *,
    project: str | None = None,
    backup_dir: str | None = None,
    config: str | None = None,
    lock_wait_s: float | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Configuration:
    """Find the project and its configuration, without opening anything and without the checks of `open_engine`.

    Args:
        project: The project itself (-C); None looks for it. It may be missing when it has a store.
        backup_dir: Where stores lie, in place of the configured directory.
        config: A file that stands in for the user's and the project's files.
        overrides: More keys of the configuration, of the same rank as flags.

    Raises:
        ProjectError: The project is missing, is not a directory, or cannot be read.
        ConfigError: A configuration file or value is wrong.
    """
    flags = {"backup_dir": backup_dir, "lock_wait": lock_wait_s} | dict(overrides or {})
    highest = (
        _anchored(environment_layer(os.environ), _working_directory()),
        _anchored(
            Layer(name="flags", origin="command line", values={key: value for key, value in flags.items() if value is not None}),
            _working_directory(),
        ),
    )
    lowest = [_default_layer()]
    files: list[ConfigurationFile] = []
    _read_layers(_user_files(config), lowest, files)
    layers = [*lowest, *highest]
    root = _named_project(project, layers) if project is not None else _find_project(layers)
    if config is None:
        _read_layers([(root / name, "project") for name in PROJECT_CONFIGS], lowest, files)
    return Configuration(project=root, resolved=resolve_settings([*lowest, *highest]), files=tuple(files))


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise ProjectError("The working directory no longer exists.", hint="Change to another, or use -C DIR.") from error


def _default_layer() -> Layer:
    from platformdirs import user_data_path

    return Layer(name="default", origin="default", values={"backup_dir": str(user_data_path("cronos", appauthor=False))})


def _user_files(config: str | None) -> list[tuple[Path, LayerName]]:
    if config is not None:
        path = _working_directory() / Path(config).expanduser()
        if not path.exists():
            raise ConfigError(
                f"There is no configuration file {path}.", hint="Check the path given with --config.", origin=str(path)
            )
        return [(SYSTEM_CONFIG, "system"), (path, "file")]
    from platformdirs import user_config_path

    return [(SYSTEM_CONFIG, "system"), (user_config_path("cronos", appauthor=False) / "config.toml", "user")]


def _read_layers(paths: list[tuple[Path, LayerName]], layers: list[Layer], files: list[ConfigurationFile]) -> None:
    """Append a layer for each file that exists, and a line for each that was looked for."""
    for path, name in paths:
        content = settings_files.read_settings(path)
        files.append(ConfigurationFile(path=path, layer=name, found=content is not None))
        if content is not None:
            layers.append(_file_layer(path, name, content))
        elif name == "file":
            raise ConfigError(
                f"There is no configuration in {path}.", hint="Check the path given with --config.", origin=str(path)
            )


def _file_layer(path: Path, name: LayerName, content: Mapping[str, object]) -> Layer:
    values, ignored = dict(content), tuple[Ignored, ...]()
    if path.suffix.lower() == _EGOS_SUFFIX:
        from cronos_git.rules.legacy import translate_egos

        values, ignored = translate_egos(content, str(path))
    elif path.suffix.lower() in _YAML_SUFFIXES:
        from cronos_git.rules.legacy import lower_keys

        values = lower_keys(content, str(path))
    return _anchored(Layer(name=name, origin=str(path), values=values, ignored=ignored), path.parent)


def _anchored(layer: Layer, base: Path) -> Layer:
    """*layer* with an absolute `backup_dir`; a value that is no text is left for validation to refuse."""
    directory = layer.values.get("backup_dir")
    if not isinstance(directory, str) or not directory or "\0" in directory:
        return layer
    absolute = os.path.normpath(base / os.path.expanduser(directory))
    return Layer(name=layer.name, origin=layer.origin, values={**layer.values, "backup_dir": absolute}, ignored=layer.ignored)


def _named_project(project: str, layers: list[Layer]) -> Path:
    """The project given with -C. One that is gone but has backups is just what they are for."""
    from cronos_git.git.store import store_path

    real = Path(os.path.realpath(project))
    backup_dir = Path(resolve_settings(layers).settings.backup_dir)
    if not os.path.lexists(project) and store_path(backup_dir, real).exists():
        return real
    return settings_files.real_directory(project)


def _find_project(layers: list[Layer]) -> Path:
    """The project that the working directory belongs to; *layers* tell where stores lie when no project says otherwise."""
    from cronos_git.git.store import store_path

    start = settings_files.real_directory(str(_working_directory()))
    backup_dir = Path(resolve_settings(layers).settings.backup_dir)
    too_wide = _too_wide()

    def is_project(path: Path) -> bool:
        if store_path(backup_dir, path).exists():
            return True
        if path in too_wide or settings_files.is_open_to_all(path):
            return False
        return settings_files.has_any(path, _MARKS) or settings_files.read_settings(path / "pyproject.toml") is not None

    return settings_files.find_upwards(start, is_project) or start


def _too_wide() -> tuple[Path, Path]:
    """Directories that are hardly meant as a project."""
    return Path("/"), Path(os.path.realpath(Path.home()))


# --- engine -------------------------------------------------------------------------------------------------------


def open_engine(
    *,
    project: str | None = None,
    backup_dir: str | None = None,
    config: str | None = None,
    lock_wait_s: float | None = None,
    overrides: Mapping[str, object] | None = None,
    force: bool = False,
) -> Cronos:
    """The engine for a project; opens no store yet, and creates nothing.

    Args:
        force: Allow the root directory and the home directory as a project that has no store yet.
        project, backup_dir, config, lock_wait_s, overrides: As for `resolve`.

    Raises:
        ProjectError, ConfigError: As `resolve` raises them.
        RefusedError: The project is the root or the home directory, the store would lie inside the project, or a file inside
            the project names a directory for backups that is not the user's alone.
    """
    configuration = resolve(project=project, backup_dir=backup_dir, config=config, lock_wait_s=lock_wait_s, overrides=overrides)
    for reason, hint in _objections(configuration, force):
        raise RefusedError(reason, hint=hint, project=str(configuration.project))

    from cronos_git.engine import Cronos

    return Cronos(
        project=configuration.project,
        store_path=configuration.store_path,
        settings=configuration.resolved.settings,
        clock=SystemClock(),
        zone=LocalZone(),
        identity=_identity(),
    )


def _objections(configuration: Configuration, force: bool) -> Iterator[tuple[str, str]]:
    """What speaks against working with this configuration, each with a hint."""
    project, resolved = configuration.project, configuration.resolved
    backup_dir = Path(resolved.settings.backup_dir)
    origin = resolved.origins["backup_dir"]
    if project in _too_wide() and not force and not configuration.store_path.exists():
        yield f"{project} is not a project: it holds everything else too.", "Name one with -C DIR, or give --force."
    if Path(os.path.realpath(backup_dir)).is_relative_to(project):
        yield (
            f"The backups of {project} would lie inside it, in {backup_dir} ({origin}), and be lost together with it.",
            "Give a directory outside the project, with --backup-dir or `backup_dir` in the configuration.",
        )
    if resolved.sources["backup_dir"] == "project":
        fault = settings_files.fault_of_ownership(backup_dir)
        if fault:
            yield (
                f"{origin} lets the backups lie in {backup_dir}, but {fault}. They could be read or replaced there.",
                "Take the others' permissions away, or set `backup_dir` in your own configuration.",
            )


# --- hooks --------------------------------------------------------------------------------------------------------


def find_repository(directory: str | None = None) -> Whereabouts | None:
    """The user's Git repository at *directory*; None when there is none.

    Args:
        directory: Where to look, whatever repository the environment names; None for what git itself would take: the working
            directory and, in a hook, `GIT_DIR`.

    Raises:
        ProjectError, GitCommandError, GitVersionError: It cannot be told.
    """
    from cronos_git.git.hookdirs import locate

    if directory is None:
        return locate(_working_directory(), os.environ)
    return locate(settings_files.real_directory(directory), _without_repository(os.environ))


def find_deploy_tree(directory: str | None = None) -> str | None:
    """The directory to which a repository deploys, if its configuration names one; arguments and errors as before."""
    from cronos_git.git.hookdirs import deploy_tree

    if directory is None:
        return deploy_tree(_working_directory(), os.environ)
    return deploy_tree(Path(directory), _without_repository(os.environ))


def _without_repository(environment: Mapping[str, str]) -> dict[str, str]:
    """*environment* without what says which repository is meant; where configuration lies stays."""
    return {name: value for name, value in environment.items() if not name.startswith("GIT_") or name.startswith("GIT_CONFIG")}


def enter_hook() -> bool:
    """Note for all child processes that a hook is running; False when one was already."""
    is_first = _HOOK_MARK not in os.environ
    os.environ[_HOOK_MARK] = "1"
    return is_first


def hook_arguments(name: str, arguments: Sequence[str]) -> list[str]:
    """What git gave a hook; the pre-commit framework passes a push's remote in the environment instead."""
    told = [os.environ.get(f"PRE_COMMIT_REMOTE_{what}", "") for what in ("NAME", "URL")]
    return told if name == "pre-push" and not arguments and all(told) else list(arguments)


def command_path() -> str | None:
    """Absolute path of the `cronos` command; None when it cannot be found."""
    import shutil
    import sys

    called = Path(sys.argv[0])
    if called.name == "cronos" and called.exists():
        return os.path.abspath(called)
    return shutil.which("cronos", path=os.path.dirname(sys.executable)) or shutil.which("cronos")


def command_word() -> str:
    """What to type to run `cronos` here."""
    import shutil

    return "cronos" if shutil.which("cronos") else command_path() or "cronos"


def _identity() -> Identity:
    from cronos_git.disk.owners import user_name
    from cronos_git.rules.record import Identity

    return Identity(user=user_name(os.geteuid()) or str(os.geteuid()), host=os.uname().nodename)
