"""CRONOS gives a project directory an undo: snapshots into a Git store, and every way back from them."""

__version__ = "0.1.0"

_HOMES = {"BackupManager": "cronos_git.manager", "CronosService": "cronos_git.service.worker"}
"""What is loaded when it is first asked for, as the command line needs none of it. `__init__.pyi` tells type checkers of it."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'cronos_git' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
