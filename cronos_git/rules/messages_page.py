"""The reference pages of what CRONOS says to programs: codes of errors, codes of notices, verbs of the operation log.

`docs/reference/errors.md` and `messages.md` are made here from `errors.py`, `events.NOTICES` and `model.VERBS`; tests hold them
equal, and see that the tables tell every code. Floor F4: pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from cronos_git import errors
from cronos_git.errors import CronosError
from cronos_git.events import NOTICES
from cronos_git.model import VERBS
from cronos_git.rules.config_page import table_row

ERROR_GROUPS: dict[str, tuple[type[CronosError], ...]] = {
    "The call was wrong": (
        errors.UsageError,
        errors.ConfigError,
        errors.PatternError,
        errors.ModuleScopeError,
        errors.BackupNotFoundError,
        errors.AmbiguousBackupError,
        errors.MessageError,
    ),
    "The store or the project is not in the state that is needed": (
        errors.ProjectError,
        errors.StoreMissingError,
        errors.StoreLockedError,
        errors.RefusedError,
        errors.MergeConflictError,
        errors.StoreFormatError,
        errors.GitVersionError,
        errors.ArchiveError,
    ),
    "Damage: never retried, and it stops every deletion": (
        errors.DamageError,
        errors.ObjectMissingError,
        errors.HashMismatchError,
        errors.RecordFormatError,
    ),
    "The machine or another one said no": (
        errors.HostError,
        errors.AccessError,
        errors.DiskFullError,
        errors.ChildEndedError,
        errors.GitCommandError,
        errors.RemoteError,
        errors.BusError,
        errors.ServiceError,
    ),
    "It is not allowed": (errors.PolicyDeniedError,),
    "The run was stopped": (errors.InterruptedRunError,),
}
"""Every kind of error, by what it is about."""


def error_reference() -> str:
    """The page of errors."""
    lines = [_ERRORS]
    for title, kinds in ERROR_GROUPS.items():
        head = ["| code | exit status | again? | meaning | class |", "|---|---|---|---|---|"]
        lines += [f"## {title}", "", *head, *map(_error_row, kinds), ""]
    return "\n".join(lines)


def _error_row(kind: type[CronosError]) -> str:
    meaning = " ".join((kind.__doc__ or "").split("\n\n")[0].split()).replace('`context["candidates"]`', "`context`")
    again = "yes" if kind.retryable else "no"
    return table_row((f"`{kind.code}`", str(kind.exit_status), again, meaning, f"`{kind.__name__}`"))


def message_reference() -> str:
    """The page of notices and verbs."""
    notices = _codes("code", NOTICES.items())
    return "\n".join([_NOTICES, *notices, "", _VERBS, *_codes("verb", VERBS.items()), ""])


def _codes(title: str, rows: Iterable[tuple[str, str]]) -> list[str]:
    return [f"| {title} | meaning |", "|---|---|", *(table_row((f"`{code}`", meaning)) for code, meaning in sorted(rows))]


_ERRORS = """\
# Errors

<!-- Made from cronos_git/errors.py by rules/messages_page.py: make docs. -->

Every error is a `cronos_git.errors.CronosError`. It has a message (what failed, where, and what that means for the data), a
`hint` (what to do), a stable `code`, the `exit_status` of the command, and `context`: facts for programs, such as paths and ids.
*Again* tells whether the same call may succeed later although nothing was changed. The command line says message and hint on
standard error, and with `--json` also prints

```json
{"schema_version": 1, "error": {"code": "store.missing", "message": "…", "hint": "…", "context": {}, "exit_status": 10}}
```

A bug has the code `internal` and exit status 1; `-vv` shows its trace. SIGTERM and SIGHUP end a command like Ctrl-C, with 143
and 129.
"""

_NOTICES = """\
# Notices and the operation log

<!-- Made from cronos_git/events.py and cronos_git/model by rules/messages_page.py: make docs. -->

## Notices

What is worth telling but stops nothing comes as a `cronos_git.events.Noticed`: a level (`info`, `warning`), a stable code, a
text, perhaps a path. The command line writes them to standard error as `note:` and `warning:`; `-q` leaves the notes out.
"""

_VERBS = """\
## The operation log

`cronos/operations.jsonl` in the store has one line for everything that was done to it: the verb, `time` in UTC, `result`
(`done`, `failed`, `interrupted`, `denied` by the policy; see also `compact`, `recover` and `request`), `face` (`cli`, `library`,
`service`, `hook`, `schedule`), `user`, `host`, and facts such as `backup`, `backups`, `target`, `restore_point` and `error`. The
fact `policy` (`decision`, `gate`, `text`, `violations`) stands in everything that a policy judged. `cronos operations` shows it.
What changed nothing is not noted.
"""
