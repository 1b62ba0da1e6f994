"""Changes what is said of existing backups: pin, labels, message, description, metadata. The snapshots stay as they are.

    tag objects (and timeline commits) -> pack made durable -> [timelines removed] -> tag refs, one by one -> [timelines]

A backup is amended when its ref leads to the new tag object, in which all but what was asked for is the old one byte for byte.
Timelines tell the messages: those of the scopes concerned are away while tags change, so a killed run leaves none that says the
old, and the next backup of the scope makes it anew. Who is meant, and the operation log, are the engine's. The caller holds the
store's exclusive lock for `apply`. Floor F7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from cronos_git.errors import DamageError, RefusedError, UsageError
from cronos_git.git import timeline
from cronos_git.git.pack import PackWriter, object_id
from cronos_git.git.refs import BACKUP_TAGS
from cronos_git.git.store import Store
from cronos_git.model import Amendment, AmendReport, AmendRequest, Backup
from cronos_git.ops import catalog
from cronos_git.ops.undoing import METADATA_KEY
from cronos_git.rules.identify import RESTORE_POINT
from cronos_git.rules.record import amend_tag, clean_line, parse_tag
from cronos_git.rules.requests import check_labels, check_metadata

_FIELDS = ("pinned", "labels", "message", "description", "metadata")


def plan(store: Store, backups: Iterable[Backup], request: AmendRequest) -> AmendReport:
    """What *request* makes of *backups*, tag ids included; writes nothing.

    Raises:
        UsageError: The request contradicts itself, a label or key is empty, or metadata cannot be said in JSON.
        RefusedError: It would change what a restore point was taken for; `undo` goes by that.
        DamageError: A tag, or the ref of a backup, is damaged.

    Cost: one small object read for each backup.
    """
    _check(request)
    broken = store.tags().damaged
    return AmendReport(amendments=tuple(_plan_one(store, backup, request, broken.get(backup.id)) for backup in backups))


def apply(store: Store, report: AmendReport, conclude: Callable[[Amendment], None]) -> None:
    """Write what `plan` told, under the same lock.

    Args:
        conclude: Is told of each backup as soon as it is amended.

    Raises:
        DamageError, DiskFullError, AccessError, HostError, StoreLockedError: Each backup is the old or the new one; a timeline
            of a scope in which a message changes may be gone until its next backup.

    Durability: when this returns, the backups are amended also after a power cut. If killed earlier, each is the old or the new
    one, in the order given; the rest as for errors.
    Cost: one pack; where a message changes, three small objects read and one written for each backup of the scope.
    """
    if not report.changed:
        return
    writer = PackWriter(store.pack_dir, store.index.contains)
    try:
        for one in report.changed:
            writer.add("tag", amend_tag(store.read(one.before.tag)[1], one.after))
        tips = _timelines(store, writer, report.changed)
        writer.finish()
        store.refresh()
        _move_refs(store, report.changed, tips, conclude)
        writer.release()
    except BaseException:
        writer.abort()
        raise


def _move_refs(store: Store, changed: Sequence[Amendment], tips: dict[str, str], conclude: Callable[[Amendment], None]) -> None:
    for one in changed:
        store.read(one.after.tag)  # it may have been there all along, and be damaged
    store.remove_refs(tips)
    for one in changed:
        store.set_ref(BACKUP_TAGS + one.after.id, one.after.tag)
        conclude(one)
    for ref, tip in tips.items():
        store.set_ref(ref, tip)


def verb_of(one: Amendment) -> str:
    """What the operation log calls it."""
    if one.changed == ("pinned",):
        return "pin" if one.after.pinned else "unpin"
    return "label" if one.changed == ("labels",) else "describe"


def facts_of(one: Amendment) -> dict[str, object]:
    """What the operation log tells of it: the backup, its tag object now, and old and new value of what changed."""
    changed = {name: [getattr(one.before, name), getattr(one.after, name)] for name in one.changed}
    return {"backup": one.after.id, "tag": one.after.tag, "changed": changed}


def _check(request: AmendRequest) -> None:
    labels, without = _cleaned(request.add_labels), _cleaned(request.remove_labels)
    check_labels((*labels, *without))
    check_metadata((*request.metadata, *request.remove_metadata))
    for twice in (
        *(label for label in labels if label in without),
        *(k for k in request.remove_metadata if k in request.metadata),
    ):
        raise UsageError(f"{twice!r} is to be set and to be removed.", hint="Ask for one of the two.")


def _cleaned(labels: Iterable[str]) -> list[str]:
    return [clean_line(label) for label in labels]


def _plan_one(store: Store, backup: Backup, request: AmendRequest, broken: str | None) -> Amendment:
    if broken is not None:
        hint = "Run `cronos verify` to see what is hit."
        raise DamageError(f"The ref of {backup.id} {broken}. Nothing was changed.", hint=hint, backup=backup.id)
    if backup.type == RESTORE_POINT and METADATA_KEY in (*request.metadata, *request.remove_metadata):
        raise RefusedError(
            f"The metadata {METADATA_KEY!r} of {backup.id} says what `cronos undo` has to bring back. Nothing was changed.",
            hint="Take another key.",
            backup=backup.id,
        )
    new = amend_tag(store.read(backup.tag)[1], _wanted(backup, request))
    after = parse_tag(new, object_id("tag", new).hex())
    changed = tuple(name for name in _FIELDS if getattr(after, name) != getattr(backup, name))
    return Amendment(before=backup, after=after if changed else backup, changed=changed)


def _wanted(backup: Backup, request: AmendRequest) -> Backup:
    without = _cleaned(request.remove_labels)
    labels = dict.fromkeys((*backup.labels, *_cleaned(request.add_labels)))
    metadata = {**backup.metadata, **request.metadata}
    return replace(
        backup,
        pinned=backup.pinned if request.pinned is None else request.pinned,
        labels=tuple(label for label in labels if label not in without),
        message=backup.message if request.message is None else request.message,
        description=backup.description if request.description is None else request.description,
        metadata={key: value for key, value in metadata.items() if key not in request.remove_metadata},
    )


def _timelines(store: Store, writer: PackWriter, changed: Sequence[Amendment]) -> dict[str, str]:
    """The new tips of the timelines that tell a message that changes, by ref; their commits are in the pack."""
    messages = {one.after.id: one.after.message for one in changed}
    scopes = {one.after.scope for one in changed if "message" in one.changed}
    # With their old tags, which can be read already and name the same tagger.
    told = [replace(b, message=messages.get(b.id, b.message)) for b in catalog.load(store)] if scopes else []
    tips = {
        timeline.ref_name(scope): timeline.rebuild(writer.add, store, [b for b in told if b.scope == scope])
        for scope in sorted(scopes)
    }
    return {ref: tip for ref, tip in tips.items() if tip is not None}
