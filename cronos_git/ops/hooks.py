"""Installs hooks into a repository, lists them, and removes them again.

A hook of somebody else is never lost: ours takes its place, is called in its stead, and calls it first; removing ours puts it
back. What a hook does when it runs is the command line's. No store is needed. Floor F7.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cronos_git.disk import hook_files
from cronos_git.errors import RefusedError
from cronos_git.git.project import read_repository
from cronos_git.model import Hook, HookChange, HookOptions
from cronos_git.rules.hooks import HOOKS, KEPT_SUFFIX, fill_in, recognise, told_options

_HUSKY = ".husky"


def find(directory: Path, names: Iterable[str] = tuple(HOOKS)) -> list[Hook]:
    """The hooks *names* as they stand in a hooks directory.

    Raises:
        AccessError, HostError: One cannot be read.
    """
    return [_find(directory, name) for name in names]


def _find(directory: Path, name: str) -> Hook:
    path = directory / name
    text = hook_files.read(path)
    state = "absent" if text is None else recognise(name, text, hook_files.shipped(name))
    kept = hook_files.read(_kept(path)) is not None
    is_ours = state in ("cronos", "changed")
    return Hook(name=name, path=str(path), state=state, kept=kept, options=told_options(name, text or "") if is_ours else "")


def _kept(path: Path) -> Path:
    return path.with_name(path.name + KEPT_SUFFIX)


# --- install ------------------------------------------------------------------------------------------------------


def plan_install(
    directory: Path, names: Sequence[str], options: HookOptions, command: str | None, *, force: bool
) -> list[HookChange]:
    """What `install` would do; writes nothing.

    Args:
        command: Path of the `cronos` command; None leaves it to PATH.
        force: Also replace hooks of ours that were edited.

    Raises:
        RefusedError: Something would be lost, or the directory is husky's.
        AccessError, HostError: A hook cannot be read.
    """
    if _HUSKY in directory.parts:
        line = f'cronos hooks run {names[0]} -- "$@"'
        raise RefusedError(
            f"{directory} is husky's, which makes its files anew.", hint=f"Write the line `{line}` into .husky/{names[0]}."
        )
    return [_plan_install(hook, _text(hook, options, command), force) for hook in find(directory, names)]


def _plan_install(hook: Hook, text: str, force: bool) -> HookChange:
    path = Path(hook.path)
    if hook.state == "cronos":
        is_same = hook_files.read(path) == text
        return HookChange(hook=hook, action="none" if is_same else "update")
    if hook.state == "changed":
        _refuse_changed(hook, force)
        return HookChange(hook=hook, action="update")
    if hook.state == "other" and hook.kept and not hook_files.is_same(path, _kept(path)):
        raise RefusedError(
            f"There is a hook {path}, and another kept as {_kept(path).name}. Nothing was changed.",
            hint="Join the two, or delete one of them.",
        )
    return HookChange(hook=hook, action="install", keeps=hook.state == "other")


def install(changes: Iterable[HookChange], options: HookOptions, command: str | None) -> None:
    """Carry out what `plan_install` told.

    Raises:
        DiskFullError, AccessError, HostError: Each hook is as it was or as it shall be.

    Durability: when this returns, the hooks survive a power cut; if killed earlier, as for errors.
    """
    for change in changes:
        if change.action != "none":
            path = Path(change.hook.path)
            hook_files.write(path, _text(change.hook, options, command), keep=_kept(path) if change.keeps else None)


def _text(hook: Hook, options: HookOptions, command: str | None) -> str:
    return fill_in(hook.name, hook_files.shipped(hook.name), options, command)


def _refuse_changed(hook: Hook, force: bool) -> None:
    if not force:
        raise RefusedError(
            f"{hook.path} is a hook of CRONOS that was edited, or is of another version. Nothing was changed.",
            hint="Give --force when the changes can go.",
        )


# --- remove -------------------------------------------------------------------------------------------------------


def plan_remove(directory: Path, names: Sequence[str], *, force: bool) -> list[HookChange]:
    """What `remove` would do; hooks of somebody else stay. Writes nothing.

    Raises:
        RefusedError: A hook of ours was edited, without *force*.
        AccessError, HostError: A hook cannot be read.
    """
    return [_plan_remove(hook, force) for hook in find(directory, names)]


def _plan_remove(hook: Hook, force: bool) -> HookChange:
    if hook.state in ("absent", "other"):
        return HookChange(hook=hook, action="none")
    if hook.state == "changed":
        _refuse_changed(hook, force)
    return HookChange(hook=hook, action="put back" if hook.kept else "remove")


def remove(changes: Iterable[HookChange]) -> None:
    """Carry out what `plan_remove` told.

    Raises:
        AccessError, HostError: Each hook is as it was or as it shall be.

    Durability: as for `install`.
    """
    for change in changes:
        path = Path(change.hook.path)
        if change.action != "none":
            hook_files.remove(path, _kept(path) if change.action == "put back" else None)


# --- facts --------------------------------------------------------------------------------------------------------


def project_facts(project: Path) -> dict[str, object]:
    """Commit, branch and dirty flag of the project's own repository, as metadata; empty when it has none.

    Cost: one `lstat` for each tracked file.
    """
    told = read_repository(project, "")
    return {"commit": told["head"], "branch": told["branch"], "dirty": told["dirty"]} if told else {}
