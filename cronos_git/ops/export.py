"""Writes a backup, or some paths of it, into a file that needs no CRONOS: zip, tar (gz, zst) or Git bundle.

    walk -> members -> archive beside its place -> fsync -> its name

A tar carries everything but sockets; what the other formats leave out is told beforehand. Equal backups give equal zips and
tars. How members stand in an archive is `disk.tars`'s and `disk.zips`'s, what a bundle holds `git.bundles`'s. Floor F7.

Memory: one piece of a file, whatever its size.
"""

from __future__ import annotations

import os
import stat
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

from cronos_git.disk import archives, zips
from cronos_git.disk.archives import Compression, Member
from cronos_git.disk.tars import write_tar
from cronos_git.errors import UsageError
from cronos_git.events import Advanced, Finished, Run, Started
from cronos_git.git.bundles import write_bundle
from cronos_git.git.store import Store
from cronos_git.git.view import SnapshotView
from cronos_git.model import EXPORT_FORMATS, Backup, Entry, ExportFormat, ExportPlan, ExportReport, ExportRequest
from cronos_git.ops.writing import content_bytes
from cronos_git.rules.legacy import METADATA_MEMBER, OWN_KEY
from cronos_git.rules.record import format_json

STREAM = "-"
"""As a file: write to the stream that the caller gives."""

_SUFFIXES: dict[str, ExportFormat] = {
    ".zip": "zip",
    ".tar": "tar",
    ".tar.gz": "tar.gz",
    ".tgz": "tar.gz",
    ".tar.zst": "tar.zst",
    ".tzst": "tar.zst",
    ".bundle": "bundle",
}
_TOLD = frozenset(("created_at", "backup_type", "name", OWN_KEY))
_COMPRESSIONS: dict[str, Compression] = {"tar": "", "tar.gz": "gz", "tar.zst": "zst"}


def plan(backup: Backup, view: SnapshotView, request: ExportRequest) -> ExportPlan:
    """What an export would write; reads only.

    Raises:
        UsageError: The format is not known, or cannot do what is asked.
        RefusedError: The file exists, and is not to be replaced.
        BackupNotFoundError: The backup has no such path.

    Cost: one walk of what is exported.
    """
    chosen = _format_of(request)
    if chosen == "bundle" and request.paths:
        raise UsageError("A bundle holds a whole backup; it cannot be made of some paths.", hint="Export them as a tar.")
    if request.file == STREAM and not chosen.startswith("tar"):
        raise UsageError(f"A {chosen} cannot be written to a stream.", hint="Name a file, or give --format tar.")
    if request.file != STREAM and not request.force:
        archives.refuse_existing(Path(request.file))
    entries = Counter[str]()
    size_bytes = 0
    lost = Counter[str]()
    for entry in _entries(view, request.paths):
        entries[entry.attributes.kind] += 1
        size_bytes += content_bytes(entry)
        lost.update(_losses(entry, chosen))
    return ExportPlan(
        backup=backup,
        file=request.file,
        format=chosen,
        paths=request.paths,
        force=request.force,
        files=entries.total() - entries["directory"],
        directories=entries["directory"],
        size_bytes=size_bytes,
        notes=tuple(f"{what}: {count:,}." for what, count in sorted(lost.items())),
    )


def _format_of(request: ExportRequest) -> ExportFormat:
    if request.format is not None:
        if request.format not in EXPORT_FORMATS:
            raise UsageError(f"There is no format {request.format!r}.", hint=f"There are: {', '.join(EXPORT_FORMATS)}.")
        return request.format
    name = "tar" if request.file == STREAM else request.file.lower()
    for suffix in sorted(_SUFFIXES, key=len, reverse=True):
        if f".{name}".endswith(suffix):
            return _SUFFIXES[suffix]
    endings = ", ".join(_SUFFIXES)
    raise UsageError(f"{request.file!r} tells no format.", hint=f"Give --format, or a name that ends in one of {endings}.")


def _losses(entry: Entry, chosen: ExportFormat) -> Iterator[str]:
    """What *chosen* cannot say of an entry."""
    if chosen == "bundle":
        return
    attributes = entry.attributes
    if attributes.unreadable:
        yield "Lost to damage" if attributes.changed else "Not in the backup, as they could not be read when it was made"
    elif attributes.kind == "socket":
        yield "Left out, as no archive carries sockets"
    elif chosen == "zip":
        if attributes.kind in ("fifo", "block", "char"):
            yield "Left out, as a zip carries no FIFOs and devices"
        if attributes.link_group and attributes.kind == "file":
            yield "Hard links that become files of their own in a zip"
        if attributes.xattrs:
            yield "Extended attributes that a zip does not carry, of paths"
        if not zips.EARLIEST_S <= attributes.mtime_ns // 1_000_000_000 <= zips.LATEST_S:
            yield "Times before 1980 or after 2037, which unzip does not restore, of paths"
        if attributes.mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX):
            yield "Set-id and sticky bits, which unzip restores with -K only, of paths"
        if zips.zip_name(entry.path) != entry.path:
            yield "Names that no zip can say, so that %XX stands for their bytes"


def apply(store: Store, view: SnapshotView, plan: ExportPlan, run: Run, out: IO[bytes] | None = None) -> ExportReport:
    """Write what the plan says.

    Args:
        store: Locked at least shared by the caller.
        out: Where to write when the plan's file is STREAM.

    Raises:
        RefusedError: The file exists meanwhile.
        DiskFullError, AccessError, HostError: The file is as it was.
        DamageError: An object is missing or damaged; the file is as it was.
        GitVersionError, GitCommandError: git is missing, or failed; the file is as it was.

    Durability: when this returns, a named file survives a power cut; if killed earlier, it is as it was.
    """
    started = time.monotonic()
    run.emit(Started("export", plan.files, plan.size_bytes))
    if plan.file == STREAM:
        if out is None:
            raise UsageError("There is no stream to export to.", hint="Name a file.")
        _write_tar(view, plan, out, run)
        size = 0
    else:
        path = Path(plan.file)
        with archives.new_file(path, force=plan.force) as temporary:
            _write_file(store, view, plan, temporary, run)
            size = temporary.stat().st_size
    run.emit(Finished("export"))
    return ExportReport(plan=plan, archive_bytes=size, duration_s=time.monotonic() - started)


def _write_file(store: Store, view: SnapshotView, plan: ExportPlan, path: Path, run: Run) -> None:
    if plan.format == "bundle":
        _write_bundle(store, view, plan, path, run)
    elif plan.format == "zip":
        is_taken = view.find_if_any(METADATA_MEMBER) is not None  # by a file of the project, so the comment tells of the backup
        first = [] if is_taken else [(METADATA_MEMBER, describe(plan.backup), int(plan.backup.created.timestamp()))]
        zips.write_zip(path, _members(view, plan, run), first, _comment(plan.backup) if is_taken else b"")
    else:
        with path.open("wb") as out:
            _write_tar(view, plan, out, run)


def _write_tar(view: SnapshotView, plan: ExportPlan, out: IO[bytes], run: Run) -> None:
    with archives.compressed(out, _COMPRESSIONS[plan.format]) as stream:
        write_tar(stream, _members(view, plan, run), describe(plan.backup).decode().rstrip("\n"))


def _write_bundle(store: Store, view: SnapshotView, plan: ExportPlan, path: Path, run: Run) -> None:
    """Read everything before, as git copies what is damaged without a word."""
    view.record()
    files = done_bytes = 0
    for entry in view.walk(links=True):
        run.checkpoint()
        if entry.attributes.kind == "file" and entry.oid:
            for _ in view.read(entry):
                pass
        files += entry.attributes.kind != "directory"
        done_bytes += content_bytes(entry)
        run.emit(Advanced(files, done_bytes, entry.path))
    write_bundle(store, plan.backup, path)


def _comment(backup: Backup) -> bytes:
    told = describe(backup)
    if len(told) > zips.COMMENT_MAX_BYTES:
        told = describe(replace(backup, metadata={}, message="", description="", labels=()))
    return told


def describe(backup: Backup) -> bytes:
    """What an archive tells of the backup in it: JSON as EGOS wrote it, and more; `rules.legacy.describe_metadata` reads it."""
    own: dict[str, Any] = {
        "id": backup.id,
        "scope": backup.scope,
        "message": backup.message,
        "description": backup.description,
        "labels": list(backup.labels),
    }
    if hidden := backup.metadata.keys() & _TOLD:
        own["metadata"] = {key: backup.metadata[key] for key in hidden}
    told = {"created_at": backup.created.isoformat(), "backup_type": backup.type, "name": backup.name, OWN_KEY: own}
    return format_json({**backup.metadata, **told})


def _entries(view: SnapshotView, paths: Sequence[str]) -> Iterator[Entry]:
    """What to export, a directory before what it holds; with paths, the directories that lead to them too."""
    seen: set[str] = set()
    for top in sorted(paths, key=os.fsencode) or ("",):
        parts = top.split("/")[:-1]
        for above in ["", *("/".join(parts[: depth + 1]) for depth in range(len(parts)))] if top else ():
            if above not in seen:
                seen.add(above)
                yield view.entry(above)
        if not paths:
            yield from view.walk(links=True)
            return
        for entry in view.walk(top, links=True):
            if entry.path not in seen:
                seen.add(entry.path)
                yield entry


def _members(view: SnapshotView, plan: ExportPlan, run: Run) -> Iterator[Member]:
    is_zip = plan.format == "zip"
    first_of_group: dict[tuple[str, str], str] = {}
    files = done_bytes = 0
    for entry in _entries(view, plan.paths):
        run.checkpoint()
        attributes = entry.attributes
        if attributes.kind == "socket" or (attributes.unreadable and attributes.kind != "directory"):
            continue
        if is_zip and attributes.kind in ("fifo", "block", "char"):
            continue
        same_as = None
        if attributes.link_group and not is_zip:
            first = first_of_group.setdefault((attributes.link_group, entry.oid), entry.path)
            same_as = first if first != entry.path else None
        yield _member(view, entry, same_as)
        files += attributes.kind != "directory"
        done_bytes += content_bytes(entry)
        run.emit(Advanced(files, done_bytes, entry.path))


def _member(view: SnapshotView, entry: Entry, same_as: str | None) -> Member:
    attributes = entry.attributes
    if attributes.changed:  # what was stored may be longer or shorter than the file was a moment later
        attributes = replace(attributes, size_bytes=sum(map(len, view.read(entry))), changed=False)
    return Member(
        path=entry.path,
        attributes=attributes,
        user=view.users.get(attributes.uid, ""),
        group=view.groups.get(attributes.gid, ""),
        content=view.read(entry) if attributes.kind == "file" and same_as is None else (),
        target=os.fsencode(cast(str, entry.link_target)) if attributes.kind == "symlink" else b"",
        same_as=same_as,
    )
