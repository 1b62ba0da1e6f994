"""Puts an engine together: the only reader of the environment, working directory, home, user, host, time zone and clock.

Finds the project, gathers the layers of configuration, checks that it is safe to go on, and hands everything to `Cronos`. The
project is the directory given with -C. Without -C it is the nearest directory from the working directory upwards that has a
store, a `.git`, a `cronos.toml` or another configuration of its own, else the working directory. Only a store counts in the
root directory, the home directory (a `.git` for dotfiles does not make all of home the project), and where everybody can write
(another user's `/tmp/cronos.toml` must not catch us). Floor F9.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cronos_git.clock import LocalZone, SystemClock
from cronos_git.disk import settings_files
from cronos_git.errors import ConfigError, ProjectError, RefusedError
from cronos_git.rules.config import Ignored, Layer, LayerName, Resolved, environment_layer, resolve_settings
from cronos_git.rules.schema import KEYS

if TYPE_CHECKING:
    from cronos_git.engine import Cronos
    from cronos_git.ports import Peers
    from cronos_git.rules.record import Identity
    from cronos_git.rules.schema import Settings

SYSTEM_CONFIG = Path("/etc/cronos/config.toml")
PROJECT_CONFIGS = ("cronos_config.json", "cronos.yaml", "pyproject.toml", "cronos.toml")
"""Configuration files at a project's root, lowest rank first."""

_EGOS_SUFFIX = ".json"
_YAML_SUFFIXES = (".yaml", ".yml")
_MARKS = (".git", *(name for name in PROJECT_CONFIGS if name != "pyproject.toml"))


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
        anchored(environment_layer(os.environ), working_directory()),
        anchored(
            Layer(name="flags", origin="command line", values={key: value for key, value in flags.items() if value is not None}),
            working_directory(),
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


def absolute_path(path: str | Path) -> str:
    """*path* from the root, whatever the working directory is later; `~` is the home directory."""
    return str(working_directory() / os.path.expanduser(path))


def working_directory() -> Path:
    """Where we are.

    Raises:
        ProjectError: It is gone.
    """
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise ProjectError("The working directory no longer exists.", hint="Change to another, or use -C DIR.") from error


def _default_layer() -> Layer:
    from platformdirs import user_data_path

    return Layer(name="default", origin="default", values={"backup_dir": str(user_data_path("cronos", appauthor=False))})


def _user_files(config: str | None) -> list[tuple[Path, LayerName]]:
    if config is not None:
        path = working_directory() / Path(config).expanduser()
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
    return anchored(Layer(name=name, origin=str(path), values=values, ignored=ignored), path.parent)


def anchored(layer: Layer, base: Path) -> Layer:
    """*layer* with absolute paths; a value that is no text is left for validation to refuse."""
    values = {key: _absolute(key, value, base) for key, value in layer.values.items()}
    return Layer(name=layer.name, origin=layer.origin, values=values, ignored=layer.ignored)


def _absolute(key: str, value: object, base: Path) -> object:
    kind = KEYS[key].kind if key in KEYS else None
    if kind == "directories" and isinstance(value, list):
        return [_absolute_path(item, base) for item in value]
    return _absolute_path(value, base) if kind in ("directory", "file") else value


def _absolute_path(value: object, base: Path) -> object:
    if not isinstance(value, str) or not value or "\0" in value:
        return value
    return os.path.normpath(base / os.path.expanduser(value))


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

    start = settings_files.real_directory(str(working_directory()))
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
    peers: Peers | Callable[[Settings], Peers | None] | None = None,
) -> Cronos:
    """The engine for a project; opens no store yet, and creates nothing.

    Args:
        force: Allow the root directory and the home directory as a project that has no store yet.
        peers: The other nodes of the Mycelium, for what the configuration wants of them; or what gives the way to them, which is
            asked only when it wants any.
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
    from cronos_git.equipment import equip

    engine = Cronos(
        project=configuration.project,
        store_path=configuration.store_path,
        settings=configuration.resolved.settings,
        clock=SystemClock(),
        zone=LocalZone(),
        identity=_identity(),
    )
    settings = engine.settings
    if callable(peers):
        peers = peers(settings) if settings.nexus or settings.atlas or settings.ethik != "off" else None
    equip(engine, peers)
    return engine


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
    log_file = resolved.settings.log_file
    if log_file and Path(os.path.realpath(log_file)).is_relative_to(project):
        yield (
            f"The log file {log_file} ({resolved.origins['log_file']}) lies in the project, so each backup would be a change.",
            "Set `log_file` to a path outside the project.",
        )
    if resolved.sources["backup_dir"] == "project":
        fault = settings_files.fault_of_ownership(backup_dir)
        if fault:
            yield (
                f"{origin} lets the backups lie in {backup_dir}, but {fault}. They could be read or replaced there.",
                "Take the others' permissions away, or set `backup_dir` in your own configuration.",
            )


def host_name() -> str:
    """What this machine is called."""
    return os.uname().nodename


def _identity() -> Identity:
    from cronos_git.disk.owners import user_name
    from cronos_git.rules.record import Identity

    return Identity(user=user_name(os.geteuid()) or str(os.geteuid()), host=host_name())
