"""`show` tells everything about one backup: its tag and its record. Floor F11."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from cronos_git.cli.command import command
from cronos_git.cli.render.text import age, changes, local, plural, size, visible
from cronos_git.cli.session import Session, session_of
from cronos_git.model import Backup


@command("show", statuses=(6, 10, 12, 16), examples=("cronos show latest", "cronos show deploy --json"))
def show(
    context: typer.Context,
    backup: Annotated[str, typer.Argument(metavar="BACKUP", help="Id, name, date, latest, latest~2, @2 days ago …")],
) -> int:
    """Show one backup: when, why, how much, under which rules, and what could not be saved fully."""
    session = session_of(context)
    found = session.find(backup)
    record: Mapping[str, Any] = session.engine().record(found)
    if session.options.json:
        session.output.json({"backup": found, "record": record})
        return 0
    session.output.pairs([pair for pair in (*_about(session, found), *_made(record)) if pair[1]])
    for problem in record.get("problems", ()):
        session.output.line(f"{visible(problem['code'])}: {visible(problem['path'])}: {visible(problem['text'])}")
    return 0


def _about(session: Session, backup: Backup) -> list[tuple[str, str]]:
    engine = session.engine()
    metadata = json.dumps(dict(backup.metadata), sort_keys=True, ensure_ascii=False) if backup.metadata else ""
    return [
        ("Id", backup.id),
        ("Type", visible(backup.type)),
        ("Created", f"{local(backup.created, engine.zone)} ({age(backup.created, engine.clock.now())})"),
        ("Message", visible(backup.message)),
        ("Description", "\n".join(map(visible, backup.description.split("\n")))),
        ("Labels", visible(", ".join(backup.labels))),
        ("Pinned", "yes" if backup.pinned else ""),
        ("Metadata", visible(metadata)),
        ("Holds", f"{plural(backup.files, 'file')}, {size(backup.size_bytes)}"),
        (
            "Changes",
            f"{changes(backup)} since {backup.parent}" if backup.parent else f"{changes(backup)}, the first of its scope",
        ),
        ("Scope", visible(backup.scope)),
        ("Sequence", f"{backup.sequence}"),
        ("Commit", backup.commit),
        ("Tag", backup.tag),
    ]


def _made(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    rules, counts = record.get("rules", {}), record.get("counts", {})
    paths = record.get("scope", {}).get("paths", [""])
    excluded = counts.get("excluded_files", 0), counts.get("excluded_directories", 0)
    left = f"{plural(excluded[0], 'file')}, {plural(excluded[1], 'directory', 'directories')}" if any(excluded) else ""
    return [
        ("Paths", visible(", ".join(paths)) if paths != [""] else ""),
        ("Made by", visible(f"{record.get('user', '?')}@{record.get('host', '?')}, cronos {record.get('tool_version', '?')}")),
        ("Project", visible(str(record.get("project_root", "")))),
        ("Git", _git_state(record.get("git"))),
        (
            "Nested Git",
            "\n".join(f"{visible(path)}: {_git_state(state)}" for path, state in sorted(record.get("nested_git", {}).items())),
        ),
        ("Excluded", visible(", ".join(rules.get("exclude", ())))),
        ("Included", visible(", ".join(rules.get("include", ())))),
        ("Left out", left),
        ("Problems", f"{counts['problems']:,}" if counts.get("problems") else ""),
    ]


def _git_state(state: Mapping[str, Any] | None) -> str:
    if not state:
        return ""
    where = state.get("branch") or "detached"
    head = str(state.get("head") or "no commit")[:12]
    return visible(f"{where} at {head}" + (", with uncommitted changes" if state.get("dirty") else ""))
