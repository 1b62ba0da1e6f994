"""What faces ask of the environment besides a project's configuration: Git's variables, the command's own path, timers, systemd.

Floor F9, above `bootstrap`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cronos_git.bootstrap import anchored, working_directory
from cronos_git.disk import settings_files
from cronos_git.rules.config import environment_layer

if TYPE_CHECKING:
    from cronos_git.disk.schedule_files import ScheduleFiles
    from cronos_git.disk.timers import Surroundings
    from cronos_git.git.hookdirs import Whereabouts

_HOOK_MARK = "_CRONOS_HOOK"
"""Set in a hook's child processes; not `CRONOS_…`, which is for settings."""

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
        return locate(working_directory(), os.environ)
    return locate(settings_files.real_directory(directory), _without_repository(os.environ))


def find_deploy_tree(directory: str | None = None) -> str | None:
    """The directory to which a repository deploys, if its configuration names one; arguments and errors as before."""
    from cronos_git.git.hookdirs import deploy_tree

    if directory is None:
        return deploy_tree(working_directory(), os.environ)
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


# --- schedules ----------------------------------------------------------------------------------------------------


def schedule_files() -> ScheduleFiles:
    """Where this user's schedules are kept."""
    from platformdirs import user_config_path, user_state_path

    from cronos_git.disk.schedule_files import ScheduleFiles

    config, state = (path("cronos", appauthor=False) for path in (user_config_path, user_state_path))
    return ScheduleFiles(directory=config / "schedules", runs=state / "schedules")


def timer_surroundings() -> Surroundings:
    """What the machine's timers are given."""
    import sys

    from platformdirs import user_config_path, user_state_path

    from cronos_git.disk.owners import user_name
    from cronos_git.disk.timers import Surroundings

    return Surroundings(
        environment=os.environ,
        carried=_carried(),
        units=user_config_path("systemd", appauthor=False) / "user",
        agents=Path.home() / "Library/LaunchAgents",
        user_id=os.geteuid(),
        is_mac=sys.platform == "darwin",
        lingering=Path("/var/lib/systemd/linger") / (user_name(os.geteuid()) or ""),
        lock=user_state_path("cronos", appauthor=False) / "timers.lock",
    )


def _carried() -> dict[str, str]:
    """What of the environment decides which configuration and store are meant; `CRONOS_BUS` may hold a password, and stays."""
    from cronos_git.disk.owners import home_of

    carried = {name: os.environ[name] for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME") if name in os.environ}
    layer = anchored(environment_layer(os.environ), working_directory())
    for name, text in os.environ.items():
        key = name.removeprefix("CRONOS_").lower()
        if name.startswith("CRONOS_") and key != "bus":
            value = layer.values[key]
            carried[name] = value if isinstance(value, str) else text
    if os.environ.get("HOME") not in (None, home_of(os.geteuid())):
        carried["HOME"] = os.environ["HOME"]
    return carried


def notify_socket() -> str | None:
    """Where systemd wants to be told that a service is ready; None when it does not."""
    return os.environ.get("NOTIFY_SOCKET") or None
