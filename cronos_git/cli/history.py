"""`log`, `blame` and `grep` tell how files came to be what they are. Floor F11."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from itertools import islice
from typing import Annotated

import typer

from cronos_git.cli import filters
from cronos_git.cli.command import command
from cronos_git.cli.compare import patch_line
from cronos_git.cli.create import change_line
from cronos_git.cli.paths import inside
from cronos_git.cli.render.tables import Column, Table
from cronos_git.cli.render.text import local, local_ns, plural, size, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.errors import UsageError
from cronos_git.model import SCOPE_PROJECT, Backup, BlamedLine, FileDiff, GrepMatch, GrepRequest, PathVersion, TimelineEntry

_CHANGES_SHOWN = 10
_KIND_BITS = {"file": stat.S_IFREG, "directory": stat.S_IFDIR, "symlink": stat.S_IFLNK, "fifo": stat.S_IFIFO}
_COLUMNS = (
    Column(title="CHANGE", style="cyan"),
    Column(title="SINCE", style="bold"),
    Column(title="UNTIL", drop=4),
    Column(title="BACKUPS", right=True, drop=3),
    Column(title="SAVED", drop=1),
    Column(title="MODE", drop=6),
    Column(title="SIZE", right=True, drop=2),
    Column(title="MODIFIED", drop=5),
    Column(title="PATH", folds=True),
)


# --- log ----------------------------------------------------------------------------------------------------------


@command(
    "log",
    statuses=(6, 10, 12, 16),
    examples=("cronos log -n 5", "cronos log src/app.py", "cronos log -p src/app.py | less -R", "cronos log src --json"),
)
def log(
    context: typer.Context,
    path: Annotated[
        str | None, typer.Argument(metavar="PATH", show_default=False, help="A file or directory [everything].")
    ] = None,
    patch: Annotated[bool, typer.Option("-p", "--patch", help="The differences themselves.")] = False,
    module: filters.Module = None,
    limit: Annotated[int | None, typer.Option("-n", "-l", "--limit", metavar="N", min=1, help="At most so many.")] = None,
) -> int:
    """Show every version of a file or directory, or what changed in each backup; newest first.

    A version stands as long as contents, kind and permissions are the same: SINCE and UNTIL are its first and last backup,
    BACKUPS how many there are. Renames are followed back, and a path that is gone may be given too. Without PATH: all backups,
    each with what changed against the one before it in its scope.
    """
    session = session_of(context)
    engine = session.engine()
    scope = None if module is None else filters.scope_word(module)
    where = "" if path is None else inside(engine.project, path)
    if where:
        _show_versions(session, islice(engine.history(where, scope, patch=patch), limit), patch=patch)
    else:
        shows_changes = session.options.json or not session.options.quiet
        _show_timeline(session, islice(engine.timeline(scope, changes=shows_changes and not patch), limit), patch=patch)
    return 0


def _show_versions(session: Session, versions: Iterator[PathVersion], *, patch: bool) -> None:
    output, zone = session.output, session.engine().zone
    if session.options.json:
        output.json_lines(versions)
    elif session.options.quiet:
        output.lines(version.first.id for version in versions)
    elif patch:
        for version in versions:
            what = f"{version.kind} {_where(version)}"
            _show_patch(session, _heading(session, version.first, what), [version.patch or b""])
    else:
        output.table(Table(columns=_COLUMNS, rows=[_version_row(version, zone) for version in versions]))


def _version_row(version: PathVersion, zone: tzinfo) -> tuple[str, ...]:
    own = version.entry.attributes if version.entry else None
    return (
        version.kind,
        version.first.id,
        version.last.id,
        f"{len(version.backups)}",
        local(version.first.created, zone)[:16],
        stat.filemode(_KIND_BITS.get(own.kind, 0) | own.mode) if own else "",
        size(own.size_bytes) if own and own.kind != "directory" else "",
        local_ns(own.mtime_ns, zone)[:16] if own else "",
        _where(version),
    )


def _where(version: PathVersion) -> str:
    if version.previous_path is not None:
        return f"{visible(version.previous_path)} -> {visible(version.path)}"
    return visible(version.path) + (f" (now {visible(version.renamed_to)})" if version.renamed_to is not None else "")


def _show_timeline(session: Session, entries: Iterator[TimelineEntry], *, patch: bool) -> None:
    output = session.output
    if session.options.json:
        output.json_lines(entries)
    elif session.options.quiet:
        output.lines(entry.backup.id for entry in entries)
    else:
        for entry in entries:
            heading = _heading(session, entry.backup, visible(entry.backup.message))
            if patch:
                _show_patch(session, heading, (found.patch or b"" for found in _differences(session, entry)))
            else:
                output.lines((heading, *_change_lines(session, entry)))


def _differences(session: Session, entry: TimelineEntry) -> Iterator[FileDiff]:
    return session.engine().diff(entry.previous, entry.backup, patch=True) if entry.previous else iter(())


def _heading(session: Session, backup: Backup, what: str) -> str:
    scope = "" if backup.scope == SCOPE_PROJECT else f"  [{visible(backup.scope)}]"
    when = local(backup.created, session.engine().zone)[:16]
    return f"{session.output.paint(backup.id, 'yellow')}  {when}{scope}  {what}"


def _change_lines(session: Session, entry: TimelineEntry) -> Iterator[str]:
    if entry.previous is None:
        yield f"    the first of its scope: {plural(entry.backup.files, 'file')}"
        return
    shown = entry.changes if session.options.verbose else entry.changes[:_CHANGES_SHOWN]
    for change in shown:
        yield f"    {change_line(session, change)}"
    if len(shown) < len(entry.changes):
        yield f"    … and {len(entry.changes) - len(shown):,} more; -v shows them all"


def _show_patch(session: Session, heading: str, patches: Sequence[bytes] | Iterator[bytes]) -> None:
    """A heading and patches: safe lines on a terminal, the bytes themselves in a pipe."""
    output = session.output
    if output.terminal:
        output.line(heading)
        for patch in patches:
            output.lines(patch_line(session, line) for line in patch.decode("utf-8", "surrogateescape").split("\n")[:-1])
        output.line()
    else:
        output.content((_raw(f"{heading}\n"), *patches, b"\n"))


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# --- blame --------------------------------------------------------------------------------------------------------


@command(
    "blame",
    statuses=(6, 10, 12, 16),
    examples=("cronos blame src/app.py", "cronos blame latest~3:src/app.py", "cronos blame --json src/app.py"),
)
def blame(
    context: typer.Context,
    where: Annotated[str, typer.Argument(metavar="[BACKUP:]PATH", help="A text file, in a backup [the newest].")],
) -> int:
    """Show in which backup each line of a file first appeared, following renames.

    A name with a colon is written ./NAME. Binary files have no lines; files that are stored in chunks are not compared.
    """
    from cronos_git.rules.identify import split_path

    session = session_of(context)
    engine, output = session.engine(), session.output
    identifier, path = (where, None) if where.startswith(("./", "/")) else split_path(where)
    backup = session.find(identifier) if path is not None else None
    lines = engine.blame(inside(engine.project, path or where), backup)
    if session.options.json:
        output.json_lines(lines)
    elif output.terminal:
        output.lines(f"{about}{_safe(line.text)}" for about, line in _abouts(lines, engine.zone))
    else:
        output.content(_raw(about) + line.text + b"\n" for about, line in _abouts(lines, engine.zone))
    return 0


def _abouts(lines: Sequence[BlamedLine], zone: tzinfo) -> Iterator[tuple[str, BlamedLine]]:
    """Each line, and what stands before it."""
    width = max((len(line.backup.id) for line in lines), default=0)
    shows_paths = len({line.path for line in lines}) > 1
    path_width = max((len(visible(line.path)) for line in lines), default=0)
    for line in lines:
        path = f"{visible(line.path):{path_width}}  " if shows_paths else ""
        when = local(line.backup.created, zone)[:16]
        yield f"{line.backup.id:{width}}  {path}{when} {line.number:{len(str(len(lines)))}}) ", line


def _safe(text: bytes) -> str:
    return "\t".join(map(visible, text.decode("utf-8", "surrogateescape").split("\t")))


# --- grep ---------------------------------------------------------------------------------------------------------


@command(
    "grep",
    statuses=(6, 10, 12, 16),
    examples=(
        "cronos grep 'TODO|FIXME' src",
        "cronos grep -iF 'password=' --all -l",
        "cronos grep --backup latest~2 -n 'def main'",
    ),
)
def grep(
    context: typer.Context,
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="A regular expression as in `grep -E`.")],
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", show_default=False, help="Only these files and directories.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All backups, each version of a file once.")] = False,
    backup: Annotated[
        str | None, typer.Option("--backup", metavar="BACKUP", show_default=False, help="This one [latest].")
    ] = None,
    ignore_case: Annotated[bool, typer.Option("-i", "--ignore-case", help="Upper and lower case are the same.")] = False,
    fixed: Annotated[bool, typer.Option("-F", "--fixed-strings", help="PATTERN is text, not an expression.")] = False,
    names: Annotated[bool, typer.Option("-l", "--files-with-matches", help="Only where it is found, no lines.")] = False,
    numbers: Annotated[bool, typer.Option("-n", "--line-number", help="With line numbers.")] = False,
) -> int:
    """Search the contents of a backup, or of all.

    Searched is as by `git grep -E`, line by line; of a binary file only that it matches is told. With --all each version stands
    under BACKUP:PATH, which `cronos cat` takes; BACKUP is the newest that holds it. -q shows nothing. Exit status 1 also means
    that nothing matches, as with grep.
    """
    session = session_of(context)
    engine, output = session.engine(), session.output
    if every and backup is not None:
        raise UsageError("--all and --backup exclude each other.", hint="Give one of them.")
    request = GrepRequest(
        pattern=pattern,
        paths=tuple(inside(engine.project, path) for path in paths or ()),
        backup=None if every else session.find(backup or "latest", for_all=backup is None),
        ignore_case=ignore_case,
        fixed=fixed,
    )
    found = engine.grep(request)
    first = next(found, None)
    if first is None:
        return 1
    show = _Matches(session, every=every, names=names, numbers=numbers)
    if session.options.json:
        output.json_lines(_chained(first, found))
    elif not session.options.quiet:
        for match in _chained(first, found):
            show.show(match)
    return 0


def _chained(first: GrepMatch, rest: Iterator[GrepMatch]) -> Iterator[GrepMatch]:
    yield first
    yield from rest


class _Matches:
    """How matches are shown."""

    def __init__(self, session: Session, *, every: bool, names: bool, numbers: bool) -> None:
        self.output = session.output
        self.every = every
        self.names = names
        self.numbers = numbers

    def show(self, match: GrepMatch) -> None:
        """One version of a file, as lines on a terminal, as bytes in a pipe."""
        if self.output.terminal:
            self.output.lines(_safe(line) for line in self._lines(match, visible(match.path)))
        else:
            self.output.content(line + b"\n" for line in self._lines(match, re.sub("\n", r"\\n", match.path)))

    def _lines(self, match: GrepMatch, path: str) -> Iterator[bytes]:
        where = _raw(f"{match.backups[-1]}:{path}" if self.every else path)
        if self.names:
            yield where
            return
        if self.every:
            more = len(match.backups) - 1
            yield where + (f"  ({plural(more + 1, 'backup')}, since {match.backups[0]})".encode() if more else b"")
        before = b"    " if self.every else where + b":"
        if match.binary:
            yield b"    binary, matches" if self.every else b"Binary file " + where + b" matches"
        for line in match.lines:
            number = b"%d:" % line.number if self.numbers else b""
            yield before + number + line.text
