"""Finds what there is to import, and brings the contents of archives into the trees of backups.

    file or directory -> kind -> date, name, what else it tells -> plan, oldest first

Dates come, in this order, from the request, from inside the archive, from its name; one without a date is not taken. How the
backup itself is made is `snapshot`'s, which the engine calls for each; bundles bring theirs along (`unbundling`). Floor F7.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from cronos_git.disk import archives, stage
from cronos_git.disk.archives import Listed, Member, Room
from cronos_git.disk.tars import TarReader
from cronos_git.disk.walk import WalkRules
from cronos_git.disk.zips import ZipReader
from cronos_git.errors import ArchiveError, CronosError, DamageError, HostError, RefusedError, UsageError
from cronos_git.events import Run
from cronos_git.git.bundles import read_bundle
from cronos_git.git.pack import ObjectSink
from cronos_git.git.store import Store
from cronos_git.git.view import SnapshotView
from cronos_git.model import (
    Attributes,
    Backup,
    ImportItem,
    ImportPlan,
    ImportRequest,
    Problem,
    Scope,
    SnapshotRequest,
    SourceKind,
)
from cronos_git.ops.capture import Captured
from cronos_git.ops.gathering import Gathering
from cronos_git.ops.subject import Subject
from cronos_git.rules import legacy
from cronos_git.rules.dated import read_dated, seems_dated, without_suffix
from cronos_git.rules.identify import IMPORT, is_imported
from cronos_git.rules.imports import checked_date, note_of_others, scope_for
from cronos_git.rules.legacy import METADATA_MEMBER, Description
from cronos_git.rules.member_names import member_path
from cronos_git.rules.patterns import build_matcher
from cronos_git.rules.record import clean_line
from cronos_git.rules.requests import check_import

_STAMP_OF_ID = r"_([0-9]{8}_[0-9]{6})(?:_[0-9]+)?\Z"
_METADATA_MAX_BYTES = 256 << 10
_EGOS_EXCLUDES = (".venv", "__pycache__", "*.pyc", ".git", "node_modules", "backups", "logs", "data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where imports go.

    Attributes:
        project: Real path of the project.
        store: Path of its store, which may not exist yet.
        default_name: Stem of ids where nothing tells a name.
        zone: Of times without an offset.
    """

    project: Path
    store: Path
    default_name: str
    zone: tzinfo
    chunk_threshold: int


# --- what there is --------------------------------------------------------------------------------------------------


def plan(request: ImportRequest, place: Place) -> ImportPlan:
    """What an import would take; reads names, and the beginnings of files.

    Raises:
        UsageError: Nothing there can be imported, for want of a date, say; or an option does not fit or is empty.
        RefusedError, ArchiveError, AccessError, HostError: The source cannot be taken or read.
    """
    check_import(request)
    path = Path(request.path).absolute()
    if not path.is_dir():
        return ImportPlan(request=request, items=tuple(_items_of_file(path, request, place)), skipped=())
    if request.created is not None:
        return ImportPlan(request=request, items=(_directory_item(path, request, place),), skipped=())
    _refuse_own(path, place)
    items, skipped, notes = _items_in(Path(os.path.realpath(path)), request, place)
    if not items:
        raise UsageError(
            f"Nothing in {path} has a date in its name, so there is nothing to import.",
            hint="Give --created DATE to import the directory itself as one backup.",
        )
    items.sort(key=lambda item: (item.created, item.path))
    return ImportPlan(request=request, items=tuple(items), skipped=tuple(skipped), notes=notes)


def _refuse_own(directory: Path, place: Place) -> None:
    """Refuse a directory that is the project, or holds the store or a part of it."""
    real, store = Path(os.path.realpath(directory)), Path(os.path.realpath(place.store))
    if real == place.project:
        raise RefusedError(f"{directory} is the project itself.", hint="`cronos create` makes a backup of it.")
    if store.is_relative_to(real) or real.is_relative_to(store):
        raise RefusedError(
            f"{directory} is where the backups of this project are kept. Nothing was imported.",
            hint="Import a directory that holds nothing but the copies; move them into one of their own if there is none.",
        )


def _items_of_file(path: Path, request: ImportRequest, place: Place) -> list[ImportItem]:
    kind = archives.kind_of(path)
    if kind is None:
        raise UsageError(
            f"{path} is no archive that CRONOS knows.", hint="Give a zip, tar (gz, bz2, xz, zst), Git bundle, or a directory."
        )
    if kind[0] == "bundle":
        return list(_bundle_items(path, request))
    return [_archive_item(path, request, place)]


def _items_in(directory: Path, request: ImportRequest, place: Place) -> tuple[list[ImportItem], list[Problem], tuple[str, ...]]:
    """The copies in a directory, those that cannot be taken, and a note of what else lies there."""
    items, skipped, others = [], [], []
    for found in archives.list_copies(directory):
        path = found.path
        try:
            if found.is_alias or _is_other(found):
                others.append(path.name)
            else:
                items.append(
                    _directory_item(path, request, place) if found.is_directory else _found_archive(path, request, place)
                )
        except (UsageError, ArchiveError, RefusedError, HostError) as error:
            skipped.append(Problem(path=path.name, code="skipped", text=error.message))
    return items, skipped, note_of_others(others)


def _is_other(found: Listed) -> bool:
    """Whether nothing says that this is a copy."""
    if seems_dated(found.path.name):
        return False
    return not found.path.is_file() or archives.kind_of(found.path) is None


def _found_archive(path: Path, request: ImportRequest, place: Place) -> ImportItem:
    kind = archives.kind_of(path)
    if kind is None:
        raise UsageError("it is no archive")
    if kind[0] == "bundle":
        raise UsageError("a bundle is imported by itself")
    return _archive_item(path, request, place)


def _directory_item(path: Path, request: ImportRequest, place: Place) -> ImportItem:
    _refuse_own(path, place)
    dated = read_dated(path.name, place.zone)
    told = Description(name=dated.stem, created=dated.created) if dated else Description(name=path.name)
    return _item(path, "directory", request, place, [told])


def _archive_item(path: Path, request: ImportRequest, place: Place) -> ImportItem:
    kind = archives.kind_of(path)
    assert kind is not None
    inner = _told_inside(path, place.zone)
    outer = legacy.describe_egos_name(path.name, place.zone)
    if outer is None:
        dated = read_dated(path.name, place.zone)
        outer = Description(name=dated.stem if dated else without_suffix(path.name), created=dated.created if dated else None)
    return _item(path, kind[0], request, place, [inner, outer] if inner else [outer])


def _told_inside(path: Path, zone: tzinfo) -> Description | None:
    """What an archive tells of the backup in it."""
    kind = archives.kind_of(path)
    if kind is not None and kind[0] == "zip":
        reader = ZipReader(path, zone)
        return _told_in_comment(reader, zone) or _told_in_member(reader, zone)
    tar = TarReader(path, kind[1] if kind else "")
    members = tar.members()
    next(members, None)
    members.close()
    return legacy.describe_metadata(tar.comment.encode("utf-8", "surrogateescape"), zone)


def _told_in_comment(reader: ZipReader, zone: tzinfo) -> Description | None:
    """Where an export puts it when the project has a file of the usual name."""
    comment = reader.comment()
    return legacy.describe_metadata(comment, zone) if comment else None


def _told_in_member(reader: ZipReader, zone: tzinfo) -> Description | None:
    content = reader.read(METADATA_MEMBER, _METADATA_MAX_BYTES)
    return legacy.describe_metadata(content, zone) if content is not None else None


def _item(path: Path, kind: SourceKind, request: ImportRequest, place: Place, told: Sequence[Description]) -> ImportItem:
    """The item, from descriptions of which the first that tells something counts."""
    first = told[0]
    created = checked_date(request.created or next((one.created for one in told if one.created), None))
    if created is None:
        raise UsageError(f"It is not known when {path.name} is from.", hint="Tell it with --created DATE.")
    origin: dict[str, object] = {"file": os.fsencode(path.name).decode("utf-8", "backslashreplace")}
    original = next((one.type for one in told if one.type), "")
    origin |= {"type": original} if original else {}
    origin |= {key: first.own[key] for key in ("id", "scope") if isinstance(first.own.get(key), str)}
    labels = first.own.get("labels")
    return ImportItem(
        path=str(path),
        kind=kind,
        name=request.name or next((one.name for one in told if one.name), "") or place.default_name,
        created=created,
        type=original,
        message=request.message or _text(first.own.get("message")),
        description=_text(first.own.get("description")),
        labels=(*request.labels, *(label for label in (labels if isinstance(labels, list) else ()) if clean_line(_text(label)))),
        metadata={**first.metadata, IMPORT: origin},
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _bundle_items(path: Path, request: ImportRequest) -> Iterator[ImportItem]:
    if request.name or request.message or request.created or request.root is not None:
        raise UsageError(
            "The backups in a bundle keep their names, messages and dates.", hint="Only --label and --pin go with a bundle."
        )
    bundle = read_bundle(path)
    if not bundle.tags:
        raise UsageError(f"The bundle {path} has no backups in it.", hint="Make it with `cronos export`.")
    for backup_id in bundle.tags:
        try:
            stamp = re.search(_STAMP_OF_ID, backup_id)
            created = datetime.strptime(stamp[1] if stamp else "", "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
        except ValueError as error:
            text = f"The bundle {path} has a tag {backup_id!r}, which is no backup's. Nothing was imported."
            raise RefusedError(text, hint="Leave that tag out of it.") from error
        yield ImportItem(path=str(path), kind="bundle", name=backup_id, created=created, labels=request.labels)


# --- what becomes of it ---------------------------------------------------------------------------------------------


def request_of(item: ImportItem, *, pinned: bool) -> SnapshotRequest:
    """The request for the backup of an item."""
    return SnapshotRequest(
        name=item.name,
        type=IMPORT,
        message=item.message,
        description=item.description,
        labels=item.labels,
        metadata=item.metadata,
        pinned=pinned,
    )


def subject_of(item: ImportItem, backups: Sequence[Backup], place: Place) -> Subject:
    """What the backup of an item is of: everything that is there, and no rule leaves anything out.

    What EGOS left out is in the record, so that a restore leaves it alone.
    """
    is_egos = item.kind == "zip" and "id" not in _origin(item)
    return Subject(
        root=os.path.realpath(item.path),
        scope=Scope(name=scope_for(Scope().name, backups)),
        rules=WalkRules(
            matcher=build_matcher(defaults=(), exclude=(), include=()), ignore_files=(), skip_git_dirs=False, skip_caches=False
        ),
        chunk_threshold=place.chunk_threshold,
        described_rules={
            "exclude": list(_EGOS_EXCLUDES) if is_egos else [],
            "request_exclude": [],
            "include": [],
            "defaults": False,
            "respect_gitignore": False,
            "git_dirs": "skip" if is_egos else "include",
            "cachedir_tags": False,
            "chunk_threshold": place.chunk_threshold,
        },
    )


def _origin(item: ImportItem) -> Mapping[str, object]:
    origin = item.metadata[IMPORT]
    assert isinstance(origin, Mapping)
    return origin


def same_as(captured: Captured, item: ImportItem, store: Store, backups: Iterable[Backup]) -> Backup | None:
    """The import of the same snapshot (contents and attributes) and date that is there already."""
    trees = captured.data.hex(), captured.attributes.hex()
    for backup in backups:
        if backup.created == item.created and is_imported(backup):
            with contextlib.suppress(DamageError):  # a damaged one is no reason not to import it again
                root = SnapshotView(store, backup.commit).root
                if (root.data, root.attributes) == trees:
                    return backup
    return None


@dataclass(frozen=True, slots=True)
class Gathered:
    """What came of an archive; *notes* are guesses, in words, and *lone_top* a directory that holds all of it."""

    captured: Captured
    notes: tuple[str, ...]
    lone_top: str = ""


def gather(item: ImportItem, request: ImportRequest, place: Place, store: Store, sink: ObjectSink, run: Run) -> Gathered:
    """Store the contents of an archive, and the trees that lead to them.

    Raises:
        RefusedError: It is encrypted, a name in it leads elsewhere, it contradicts itself, or is made to fill the disk.
        ArchiveError: It is damaged or cut short.
        DiskFullError, AccessError, HostError, InterruptedRunError: It cannot be read or stored.

    Cost: each byte is read once. Memory: as `Gathering`.
    """
    path = Path(item.path)
    room = Room(name=path.name, packed_bytes=path.stat().st_size, free_bytes=stage.free_bytes(store.path))
    default = Attributes(
        kind="directory",
        name=".",
        mode=0o755,
        size_bytes=0,
        mtime_ns=int(item.created.timestamp()) * 1_000_000_000,
        uid=os.geteuid(),
        gid=os.getegid(),
    )
    gathering = Gathering(sink, default, place.chunk_threshold, room, run, last_wins=item.kind == "tar")
    for member in _members(path, place.zone, room):
        gathering.add(member)
    root, notes = _root(gathering, item, request, place)
    top = gathering.top_directory() or ""
    is_lone = top and request.root is None and not root and "id" not in _origin(item)
    told = (*notes, *_swollen(path, place.zone), *_repeated(gathering, path), *_look_alikes(gathering, path))
    return Gathered(gathering.finish(root), told, top if is_lone else "")


def _swollen(path: Path, zone: tzinfo) -> list[str]:
    kind = archives.kind_of(path)
    names = ZipReader(path, zone).swollen() if kind and kind[0] == "zip" else []
    if not names:
        return []
    return [f"In {path.name} {len(names):,} files are more than 1,000 times as large as they are packed, such as {names[0]!r}."]


def _members(path: Path, zone: tzinfo, room: Room) -> Iterator[Member]:
    kind = archives.kind_of(path)
    if kind is None or kind[0] != "zip":
        yield from TarReader(path, kind[1] if kind else "").members()
        return
    reader = ZipReader(path, zone)
    room.require(reader.declared_bytes())
    is_described = _told_in_comment(reader, zone) is None and _told_in_member(reader, zone) is not None
    yield from (member for member in reader.members() if not (is_described and member.path == METADATA_MEMBER))


def _root(gathering: Gathering, item: ImportItem, request: ImportRequest, place: Place) -> tuple[str, list[str]]:
    """The directory of the archive that is the project."""
    if request.root is not None:
        return member_path(request.root), []
    top = gathering.top_directory()
    if "id" in _origin(item) or top != place.project.name:
        return "", []
    name = Path(item.path).name
    return top, [f"All of {name} lies in {top}/, which was taken for the project; --root . keeps it as it is."]


def _repeated(gathering: Gathering, path: Path) -> list[str]:
    found = sorted(gathering.repeated)
    if not found:
        return []
    return [f"Names come more than once in {path.name}, such as {found[0]!r}: {len(found):,}. Of each the last was taken."]


def _look_alikes(gathering: Gathering, path: Path) -> list[str]:
    found = gathering.look_alikes()
    if not found:
        return []
    return [f"Names in {path.name} differ only in upper and lower case, such as {found[0]!r}: {len(found):,}."]


def is_of_item(error: CronosError) -> bool:
    """Whether an error is about one source, so that the others can be imported all the same."""
    return isinstance(error, (ArchiveError, RefusedError))


def skipped(item: ImportItem, error: CronosError) -> Problem:
    """What is told of a source that could not be imported."""
    return Problem(path=Path(item.path).name, code="skipped", text=error.message)
