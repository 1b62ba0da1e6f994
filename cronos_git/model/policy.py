"""What is put before the policy gate, and what it says. Floor F1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from cronos_git.model.restores import IN_PLACE

GatedVerb = Literal["create", "restore", "undo", "delete", "prune", "compact"]
"""What is judged. Of these only `create` goes on without a verdict."""

FAILS_OPEN: tuple[GatedVerb, ...] = ("create",)

RuleAction = Literal["block", "warn", "log"]
"""What comes of a rule that is violated."""

PolicyDecision = Literal["allowed", "blocked", "unchecked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """A path that an action concerns.

    Attributes:
        path: In the project, or below the target of a restore.
        size_bytes: Of the new content; None when the path goes away.
        read: Gives the new content in pieces; None where there is none to read.
        is_directory: What stands there, or stood there when it goes away.
    """

    path: str
    size_bytes: int | None = None
    read: Callable[[], Iterable[bytes]] | None = None
    is_directory: bool = False


def _nothing() -> Iterable[Touched]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something that is about to be done.

    Attributes:
        project: Real path of the project.
        face: Which face asks: `cli`, `library`, `service`, `hook` or `schedule`.
        backups: Ids of the backups concerned: the one to be restored, those to be dropped. Empty for `create`.
        target: Directory that is written; the project for `create`, empty for `delete`, `prune` and `compact`.
        strategy: Of a restore, else empty.
        type: Of the backup to be made; *scope*, *labels* and *metadata* too.
        files: How many files the backup to be made holds, or a restore writes.
        size_bytes: Bytes of their contents.
        left: How many backups a deletion leaves, restore points not counted; None when none but restore points go.
        is_rehearsal: Nothing is to be done, somebody only wants to know; so nobody outside is told or asked.
        touched: Gives the paths concerned: changed since the last backup for `create`, changed in the target by a restore.
            Called only by gates that look at paths, as it may cost a walk.
    """

    verb: GatedVerb
    project: str
    face: str
    backups: tuple[str, ...] = ()
    target: str = ""
    strategy: str = ""
    type: str = ""
    scope: str = ""
    labels: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    files: int | None = None
    size_bytes: int | None = None
    left: int | None = None
    is_rehearsal: bool = False
    touched: Callable[[], Iterable[Touched]] = _nothing

    @property
    def is_in_place(self) -> bool:
        """Whether a directory with something in it is changed."""
        return self.strategy in IN_PLACE


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A rule that speaks against an action.

    Attributes:
        rule: Its name.
        text: What is wrong, as a sentence.
        path: The path that violates it; empty when it is not about one.
    """

    rule: str
    action: RuleAction
    text: str
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a gate says of an action.

    Attributes:
        decision: `unchecked` when nobody could be asked, or gave no clear answer.
        gate: Who says it: `rules`, `ETHIK` or both.
        text: Why, as a sentence; empty when it is allowed without a word.
        violations: What the rules found, also where it only warns.
        hint: What to do about it; empty when there is nothing to advise.
    """

    decision: PolicyDecision
    gate: str
    text: str = ""
    hint: str = ""
    violations: tuple[Violation, ...] = ()
