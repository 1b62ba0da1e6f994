"""What hooks are: their names and kinds, the text that is installed, and what git tells them.

The text of a hook is a file in `hooks/` of the source; installing fills in its settings, which are lines of known form, and
nothing else. So a hook can be told from an edited one, and from somebody else's. Floor F4: pure.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cronos_git.model import HookOptions
from cronos_git.model.hooks import HookState

KEPT_SUFFIX = ".before-cronos"
"""What the name of somebody else's hook ends with while ours stands in its place."""

_CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")
_REFS_NOTED = 20
_SETTING = re.compile(r"^(cronos|missing)=.*$|^set -- .*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class HookKind:
    """One of the hooks.

    Attributes:
        type: Type of its backups.
        fail_closed: Whether a failed backup stops what follows, unless configured otherwise.
        always: Whether it makes a backup also when nothing has changed, for the record.
        refs: Names of the fields of the lines on its standard input; empty when git gives it none.
        server: Whether git calls it where a push arrives.
        manual: Whether git never calls it.
    """

    type: str = "auto"
    fail_closed: bool = False
    always: bool = False
    refs: tuple[str, ...] = ()
    server: bool = False
    manual: bool = False


_RECEIVED = ("old", "new", "ref")

HOOKS: Mapping[str, HookKind] = {
    "pre-deploy": HookKind(type="pre-deploy", fail_closed=True, always=True, manual=True),
    "pre-push": HookKind(type="pre-push", refs=("local_ref", "new", "ref", "old")),
    "post-commit": HookKind(),
    "post-merge": HookKind(),
    "pre-rebase": HookKind(type="pre-rebase"),
    "pre-receive": HookKind(type="pre-deploy", fail_closed=True, always=True, refs=_RECEIVED, server=True),
    "post-receive": HookKind(refs=_RECEIVED, server=True),
}
"""All hooks by name."""


def default_hooks(*, bare: bool) -> tuple[str, ...]:
    """The hooks that git calls in a repository with a work tree, or in a bare one."""
    return tuple(name for name, kind in HOOKS.items() if kind.server == bare and not kind.manual)


def stops(name: str, configured: str) -> bool:
    """Whether a failed backup stops what follows hook *name*, with `hook_failure` as *configured*."""
    return HOOKS[name].fail_closed if configured == "by_hook" else configured == "fail_closed"


# --- the text -----------------------------------------------------------------------------------------------------


def fill_in(name: str, template: str, options: HookOptions, command: str | None) -> str:
    """The text of hook *name* with its settings filled in.

    Args:
        template: The text as shipped.
        command: Path of the `cronos` command; None leaves it to PATH.
    """
    kind = HOOKS[name]
    is_closed = kind.fail_closed if options.fail_closed is None else options.fail_closed
    words = [*options.general, "hooks", "run", name, *_run_options(options)]
    dashes = "" if kind.manual else "-- "
    lines = {
        "cronos": f"cronos={shlex.quote(command or 'cronos')}",
        "missing": f"missing={int(is_closed)}",
        None: f'set -- {shlex.join(words)} {dashes}"$@"',
    }
    return _SETTING.sub(lambda match: lines[match[1]], template)


def _run_options(options: HookOptions) -> list[str]:
    words = [] if options.tree is None else ["--tree", options.tree]
    if options.fail_closed is not None:
        words.append("--fail-closed" if options.fail_closed else "--fail-open")
    return words if options.budget_s is None else [*words, "--budget", f"{options.budget_s:g}"]


def recognise(name: str, text: str, template: str) -> HookState:
    """Whose hook *text* is."""
    if _SETTING.sub(_mask, text) == _SETTING.sub(_mask, template):
        return "cronos"
    return "changed" if f"\n# cronos-hook {name}:" in text else "other"


def _mask(match: re.Match[str]) -> str:
    return f"{match[1] or 'set'}="


def told_options(name: str, text: str) -> str:
    """The options that an installed hook calls `cronos` with, as they stand there."""
    match = re.search(rf'^set -- (.*?)hooks run {re.escape(name)}(.*?)(?: --)? "\$@"$', text, re.MULTILINE)
    return " ".join(part.strip() for part in match.groups() if part.strip()) if match else ""


# --- what git tells -----------------------------------------------------------------------------------------------


def told_facts(name: str, arguments: Sequence[str], stdin: str) -> dict[str, object]:
    """What git told hook *name*, as metadata of its backup; without credentials, and of many refs only the first."""
    facts: dict[str, object] = {"hook": name}
    if name == "pre-push":
        facts |= dict(zip(("remote", "url"), map(without_credentials, arguments), strict=False))
    elif arguments:
        facts["arguments"] = list(arguments)
    fields = HOOKS[name].refs
    refs = [dict(zip(fields, words, strict=True)) for words in map(str.split, stdin.splitlines()) if len(words) == len(fields)]
    if fields and refs:
        facts["refs"] = refs[:_REFS_NOTED]
        if len(refs) > _REFS_NOTED:
            facts["refs_total"] = len(refs)
    return facts


def without_credentials(text: str) -> str:
    """*text* without user and password in URLs."""
    return _CREDENTIALS.sub("", text)
