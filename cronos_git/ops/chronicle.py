"""What became of each backup, as the operation log tells: where its ref was last, and which tag object it was given.

What follows from that for refs that are gone is `returning`'s and `absence`'s. Floor F7, below the verbs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cronos_git.git.refs import BACKUP_TAGS, TRASH


@dataclass(slots=True)
class History:
    """What the operation log tells.

    Attributes:
        places: Where each backup was last: below `refs.BACKUP_TAGS` or `refs.TRASH`; empty when it was dropped for good.
        tags: The tag object that each was last given.
        doubtful: Backups that perhaps never were, or are no more: restore points of restores that failed or were killed, and what
            a compaction that did not tell its end was to drop.
        fetched: The id that each snapshot got here when it came from a remote, by commit.
        sent: The id that each snapshot had here when it was sent to a remote, by commit.
    """

    places: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)
    fetched: dict[str, str] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)


def replay(records: Iterable[Mapping[str, object]], before: History | None = None) -> History:
    """Follow the operation log, oldest first.

    Args:
        before: What the records before these have told; it is taken on.
    """
    history = before or History()
    for record in records:
        ids = [text for text in (record.get("backup"), *_texts(record.get("backups"))) if isinstance(text, str)]
        tag, tags = record.get("tag"), record.get("tags")
        if isinstance(tag, str) and ids:
            history.tags[ids[0]] = tag
        if isinstance(tags, dict):
            history.tags |= {str(name): str(oid) for name, oid in tags.items()}
        commits = record.get("commits")
        if isinstance(commits, dict):
            exchanged = history.sent if record.get("verb") == "push" else history.fetched
            exchanged |= {str(commit): str(name) for commit, name in commits.items()}
        _move(history, str(record.get("verb")), ids, record)
    return history


def _texts(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _move(history: History, verb: str, ids: list[str], record: Mapping[str, object]) -> None:
    places, point, result = history.places, record.get("restore_point"), record.get("result")
    if result == "denied":
        return  # by the policy, before anything was done
    if verb in ("create", "import", "fetch", "undelete") and result == "done":
        places |= dict.fromkeys(ids, BACKUP_TAGS)
        history.doubtful -= set(ids)
    elif verb in ("delete", "prune") and result == "done":
        places |= dict.fromkeys(ids, TRASH)
    elif verb == "compact" and result in ("begun", "done"):
        places |= dict.fromkeys(ids, "")  # all were in the trash, also what a delete moved that did not live to tell
    elif verb == "compact":
        history.doubtful |= {name for name in ids if places.get(name) == TRASH}
    elif verb in ("restore", "undo") and isinstance(point, str):
        if result == "done":
            history.doubtful.discard(point)
        else:
            history.doubtful |= {point} - places.keys()
        places[point] = BACKUP_TAGS
    elif verb == "recover" and result == "rolled back" and isinstance(point, str):
        history.doubtful |= {point} - places.keys()
        places[point] = TRASH
    elif verb == "repair":
        places |= {str(name): "" for name in _texts(record.get("given_up"))}
        for key, place in (("kept", BACKUP_TAGS), ("trash", TRASH)):
            places |= {str(name): place for name in _texts(record.get(key))}
