"""`verify --drill`: compares what a restore wrote with the backup, by reading it as a backup would.

Nothing that the restore believes of its own work is asked: the directory is walked, hashed and looked at by `snapshot.look`, and
the two views are compared here. What the machine cannot restore (the restore's problems) is told, and is no difference. Who
restores and who looks is sequenced by `inspector`. Floor F7.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from cronos_git.disk import contents, stage
from cronos_git.disk.files import host_error
from cronos_git.disk.tenancy import private_directory, remove, remove_abandoned
from cronos_git.disk.walk import WalkRules
from cronos_git.errors import DiskFullError, RefusedError
from cronos_git.git.view import Pair, SnapshotView, diff_all
from cronos_git.model import Difference, DrillReport, Entry, Problem, RestorePlan, RestoreReport, Scope
from cronos_git.ops.subject import Subject
from cronos_git.rules.patterns import build_matcher
from cronos_git.rules.schema import Settings

_BLOCK_BYTES = 4096
_PREFIX = "cronos-drill-"
_REFUSED = {"owner": "owner", "mode": "mode", "time": "mtime", "attribute": "xattrs"}
"""What a problem of the restore begins with, and what then may differ."""


# --- where ----------------------------------------------------------------------------------------------------------


def choose_place(scratch: Path | None, forbidden: Iterable[Path]) -> Path:
    """The real directory in which the scratch directory is made.

    Raises:
        RefusedError: It is no directory, or lies in one of the *forbidden* ones.
    """
    place = Path(os.path.realpath(scratch or tempfile.gettempdir()))
    if not place.is_dir():
        raise RefusedError(f"{place} is not a directory. Nothing was restored.", hint="Name one that exists with --scratch DIR.")
    for path in forbidden:
        if place.is_relative_to(path):
            raise RefusedError(
                f"{place} lies in {path}, which a trial must not fill. Nothing was restored.",
                hint="Name another directory with --scratch DIR.",
            )
    return place


@contextlib.contextmanager
def scratch_directory(place: Path) -> Iterator[Path]:
    """A new directory in *place* that only we may enter; however the block ends, it is removed with all that is in it.

    If this process is killed it stays behind, readable for its owner alone, until the next drill there: that begins with removing
    what killed ones left.

    Raises:
        DiskFullError, AccessError, HostError: It cannot be made, or not be removed.
    """
    remove_abandoned(place, _PREFIX)
    with contextlib.ExitStack() as stack:
        try:
            root = stack.enter_context(private_directory(place, _PREFIX))
        except OSError as error:
            raise host_error(error, f"make a directory for the trial in {place}") from error
        try:
            yield root
        finally:
            try:
                remove(root)
            except OSError as error:
                raise host_error(error, f"remove {root}, where a backup was restored on trial") from error


def refuse_small_disk(place: Path, plan: RestorePlan) -> None:
    """Raise DiskFullError when the backup would not fit into *place*."""
    needed = plan.size_bytes + _BLOCK_BYTES * (plan.files + plan.directories)
    free = stage.free_bytes(place)
    if free < needed:
        raise DiskFullError(
            f"The trial takes up to {needed:,} bytes, but only {free:,} are free at {place}. Nothing was restored.",
            hint="Name another directory with --scratch DIR.",
        )


def subject(target: str, view: SnapshotView) -> Subject:
    """All of *target*, nothing excluded, with large files cut as the backup says that they were."""
    rules = view.record().get("rules")
    threshold = rules.get("chunk_threshold") if isinstance(rules, dict) else None
    return Subject(
        root=target,
        scope=Scope(name="drill", paths=("",)),
        rules=WalkRules(
            matcher=build_matcher(defaults=(), exclude=(), include=(), request_exclude=()),
            ignore_files=(),
            skip_git_dirs=False,
            skip_caches=False,
        ),
        chunk_threshold=threshold if isinstance(threshold, int) else Settings().chunk_threshold,
        described_rules={},
    )


# --- what differs ---------------------------------------------------------------------------------------------------


def report(
    view: SnapshotView, now: SnapshotView, restored: RestoreReport, unread: Sequence[Problem], started_s: float
) -> DrillReport:
    """Compare the backup with what is on disk.

    Args:
        now: The directory, as it was read after the restore.
        restored: What the restore told.
        unread: What could not be read of the directory.
        started_s: When the reading began, by `time.monotonic`.

    Raises:
        DamageError: The backup cannot be read.
    """
    unseen = [Problem(path=problem.path, code="not_compared", text=f"not compared: {problem.text}") for problem in unread]
    problems = (*restored.problems, *unseen)
    differences = tuple(compare(view, now, restored.plan.target, problems))
    return DrillReport(
        backup=restored.plan.backup,
        files=restored.files,
        size_bytes=restored.size_bytes,
        differences=differences,
        problems=problems,
        restore_s=restored.duration_s,
        compare_s=time.monotonic() - started_s,
    )


def compare(view: SnapshotView, now: SnapshotView, target: str, problems: Sequence[Problem]) -> Iterator[Difference]:
    """Everything at *target* that is not as in the backup, but for what *problems* told; in the order of the paths.

    Cost: a pass over both views; files that were cut otherwise are read on both sides.
    """
    pairs = [_as_here(view, pair) for pair in diff_all(view, now, ("",))]
    before = _partners(entry for entry, _ in pairs)
    after = _partners(entry for _, entry in pairs)
    excuses = _excuses(problems)
    unread = {problem.path for problem in problems if problem.code == "not_compared"}
    for old, new in pairs:
        either = old or new
        assert either is not None
        if _is_below(either.path, unread):
            continue
        what = [aspect for aspect in _aspects(view, old, new, target) if (either.path, aspect) not in excuses]
        if old and new and before.get(either.path) != after.get(either.path):
            what.append("links")
        if what:
            yield Difference(path=either.path, what=tuple(what), text=_text(what, old, new))


def _as_here(view: SnapshotView, pair: Pair) -> Pair:
    """With the owner that the backup's entry has on this machine."""
    return pair[0] and view.local(pair[0]), pair[1]


def _excuses(problems: Iterable[Problem]) -> set[tuple[str, str]]:
    """Path and aspect of what the restore said that it could not do, and of what could not be read back."""
    excuses: set[tuple[str, str]] = set()
    for problem in problems:
        if problem.code == "attribute":
            word = problem.text.removeprefix("removal of ").split()[0]
            excuses.add((problem.path, _REFUSED.get(word, "")))
        else:
            excuses |= {(problem.path, "missing"), (problem.path, "content")}
    return excuses


def _is_below(path: str, tops: Collection[str]) -> bool:
    """Whether a directory above *path* is one of *tops*."""
    parts = path.split("/")
    return any("/".join(parts[:depth]) in tops for depth in range(len(parts)))


def _aspects(view: SnapshotView, old: Entry | None, new: Entry | None, target: str) -> Iterator[str]:
    """What differs between two entries of one path."""
    if old is None or new is None:
        yield "extra" if old is None else "missing"
        return
    left, right = old.attributes, new.attributes
    if left.kind != right.kind:
        yield "kind"
        return
    if _content_differs(view, old, new, target):
        yield "content"
    if left.mode != right.mode and left.kind != "symlink":
        yield "mode"
    if (left.uid, left.gid) != (right.uid, right.gid):
        yield "owner"
    if left.mtime_ns != right.mtime_ns:
        yield "mtime"
    if sorted(left.xattrs) != sorted(right.xattrs):
        yield "xattrs"


def _content_differs(view: SnapshotView, old: Entry, new: Entry, target: str) -> bool:
    if old.attributes.kind not in ("file", "symlink") or old.oid == new.oid:
        return False
    if old.oid and (old.chunked or new.chunked):  # perhaps cut otherwise
        try:
            return not contents.equals(target, old.path, view.read(old))
        except OSError:
            return True
    return True


def _partners(entries: Iterable[Entry | None]) -> dict[str, frozenset[str]]:
    """By path, the names that are one file with it; a file with one name, or with its others elsewhere, is left out."""
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for entry in entries:
        if entry is not None and entry.attributes.link_group:
            groups[entry.attributes.link_group, entry.oid].append(entry.path)
    return {path: frozenset(paths) for paths in groups.values() if len(paths) > 1 for path in paths}


def _text(what: Sequence[str], old: Entry | None, new: Entry | None) -> str:
    if old is None or new is None:
        return "it is not in the backup" if old is None else "it did not come back"
    parts = [f"{aspect} {_shown(aspect, old)} became {_shown(aspect, new)}" for aspect in what if aspect != "links"]
    return "; ".join([*parts, *(["other names are one file with it than in the backup"] if "links" in what else [])])


def _shown(aspect: str, entry: Entry) -> str:
    attributes = entry.attributes
    shown: dict[str, str] = {
        "kind": attributes.kind,
        "content": f"{entry.oid[:12] or 'unread'} of {attributes.size_bytes:,} bytes",
        "mode": f"{attributes.mode:o}",
        "owner": f"{attributes.uid}:{attributes.gid}",
        "mtime": f"{attributes.mtime_ns} ns",
        "xattrs": ", ".join(sorted(name for name, _ in attributes.xattrs)) or "none",
    }
    return shown[aspect]
