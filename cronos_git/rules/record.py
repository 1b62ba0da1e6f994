"""The text of tags and commits, written and read back (docs/reference/store-format.md, "Tag").

A tag carries all that `list` and the filters need, so reading it is kept cheap: one decode, one split, no parser. What people
wrote is cleaned on the way in, never on the way out: text cannot end a paragraph that it should not, hide in control characters,
or pass for a trailer, and stock `git fsck --strict` accepts every line. Floor F4.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cronos_git.errors import RecordFormatError, UsageError
from cronos_git.model import Backup


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who makes backups, on which machine."""

    user: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit taken apart; `committer` is the identity line without its keyword."""

    tree: str
    parents: tuple[str, ...]
    committer: bytes
    message: str


# --- cleaning -------------------------------------------------------------------------------------------------------

_CONTROLS = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+"
_CONTROLS_IN_TEXT = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+"
_CONTROL_BYTES = bytes(code for code in (*range(32), 127) if code not in b"\t\n")


def clean_line(text: str) -> str:
    """*text* as it is stored on one line: each run of control characters or undecodable bytes is a space, ends trimmed."""
    return re.sub(_CONTROLS, " ", text).strip()


def clean_text(text: str) -> str:
    """*text* as a description is stored: newlines and tabs stay, blank lines at the ends go, all else as `clean_line`."""
    lines = re.sub(_CONTROLS_IN_TEXT, " ", text.replace("\r\n", "\n")).split("\n")
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def identity_line(identity: Identity, when: datetime) -> bytes:
    """Give `user <user@host> seconds +0000`, cleaned so that git accepts it; times before 1970 become 1970."""
    name = " ".join(re.sub(r"[<>]", " ", clean_line(identity.user)).split()) or "unknown"
    user, host = (re.sub(r"[<>\s]+", "-", clean_line(part)).strip("-") or "unknown" for part in (identity.user, identity.host))
    return f"{name} <{user}@{host}> {max(0, int(when.timestamp()))} +0000".encode()


def format_json(record: Mapping[str, object]) -> bytes:
    """Give canonical JSON: sorted keys, no spaces, ASCII (`\\u` escapes, so surrogates survive), one line and `\\n`.

    Raises:
        UsageError: A value that JSON cannot say, such as a date, a set, NaN, or keys that are not text.
    """
    try:
        text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"This cannot be recorded as JSON: {error}.", hint="Use text, numbers, booleans, null, lists and mappings."
        ) from error
    return text.replace("\x7f", "\\u007f").encode() + b"\n"


# --- tags -----------------------------------------------------------------------------------------------------------

# The format itself, in two matches: lists read every tag, so none is taken apart line by line.
_HEADER = re.compile(
    r"object ([0-9a-f]{40})\ntype commit\ntag backup/([a-z0-9_][a-z0-9._-]*_[0-9]{8}_[0-9]{6}(?:_[0-9]+)?)\ntagger .+"
)
_TRAILERS = re.compile(
    r"Cronos-Id: (.*)\nCronos-Type: (.*)\nCronos-Name: (.*)\nCronos-Scope: ([a-z0-9_][a-z0-9._+-]*)\n"
    r"Cronos-Created: (.*Z)\nCronos-Sequence: ([0-9]+)\n(?:Cronos-Parent: (.*)\n)?((?:Cronos-Label: .*\n)*)"
    r"(?:Cronos-Pinned: (true)\n)?Cronos-Files: ([0-9]+)\nCronos-Bytes: ([0-9]+)\n"
    r"Cronos-Added: ([0-9]+)\nCronos-Changed: ([0-9]+)\nCronos-Removed: ([0-9]+)\n"
    r"(?:Cronos-Metadata: (\{.*\})\n)?(?:Cronos-(?!Parent:|Label:|Pinned:|Metadata:).*\n)*"  # what a later version adds
)
_LABEL = r"Cronos-Label: (.*)\n"
_AMENDABLE = ("Label", "Pinned", "Metadata")
_TAGGER = rb"(?m)^tagger ([^\n]+)$"


def format_tag(backup: Backup, identity: Identity) -> bytes:
    """Give the body of the tag object of *backup*; its `tag` field is ignored, its texts are cleaned.

    Raises:
        UsageError: The metadata cannot be said in JSON.
    """
    header = f"object {backup.commit}\ntype commit\ntag backup/{backup.id}\ntagger ".encode()
    text = f"\n\n{_paragraphs(backup)}\n\n".encode()
    trailers = "".join(f"Cronos-{key}: {value}\n" for key, value in _trailers(backup))
    return header + identity_line(identity, backup.created) + text + trailers.encode()


def _subject(backup: Backup) -> str:
    return clean_line(backup.message) or clean_line(backup.name) or backup.id


def _paragraphs(backup: Backup) -> str:
    description = clean_text(backup.description)
    return _subject(backup) + (f"\n\n{description}" if description else "")


def _trailers(backup: Backup) -> list[tuple[str, object]]:
    created = backup.created.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
    found: list[tuple[str, object]] = [
        ("Id", backup.id),
        ("Type", clean_line(backup.type)),
        ("Name", clean_line(backup.name)),
        ("Scope", backup.scope),
        ("Created", created),
        ("Sequence", backup.sequence),
    ]
    if backup.parent:
        found.append(("Parent", backup.parent))
    found += [("Label", label) for label in map(clean_line, backup.labels) if label]
    if backup.pinned:
        found.append(("Pinned", "true"))
    found += [("Files", backup.files), ("Bytes", backup.size_bytes)]
    found += [("Added", backup.added), ("Changed", backup.changed), ("Removed", backup.removed)]
    if backup.metadata:
        found.append(("Metadata", format_json(backup.metadata).decode().rstrip("\n")))
    return found


def amend_tag(raw: bytes, amended: Backup) -> bytes:
    """Give the body of a tag with message, description, labels, pin and metadata as *amended* has them, cleaned.

    All else stays byte for byte: object, tagger, every other trailer, what later versions add.

    Args:
        raw: The body of the tag as it is, which `parse_tag` can read.

    Raises:
        UsageError: The metadata cannot be said in JSON.
    """
    head, _, body = raw.partition(b"\n\n")
    text, _, trailers = body.decode().rpartition("\n\n")
    if text.partition("\n\n")[::2] != (amended.message, amended.description):
        text = _paragraphs(amended)
    return head + f"\n\n{text}\n\n{_amend_trailers(trailers, amended)}".encode()


def _amend_trailers(trailers: str, amended: Backup) -> str:
    own = dict.fromkeys(_AMENDABLE, "")
    for key, value in _trailers(amended):
        if key in own:
            own[key] += f"Cronos-{key}: {value}\n"
    others = re.sub(rf"(?m)^Cronos-(?:{'|'.join(own)}): .*\n", "", trailers)
    with_metadata = re.sub(r"(?m)^Cronos-Removed: .*\n", lambda line: line[0] + own["Metadata"], others)
    return with_metadata.replace("\nCronos-Files: ", f"\n{own['Label']}{own['Pinned']}Cronos-Files: ", 1)


def parse_tag(raw: bytes, oid: str) -> Backup:
    """Read the body of a tag object.

    Args:
        oid: Its object id, which becomes `Backup.tag`.

    Raises:
        RecordFormatError: It is not a backup's tag as `format_tag` writes it; trailers of later versions are passed over.

    Cost: some 10 microseconds.
    """
    try:
        head, _, body = _readable(raw).partition("\n\n")
        text, _, trailers = body.rpartition("\n\n")
        header, fields = _HEADER.fullmatch(head), _TRAILERS.fullmatch(trailers)
        if header is None or fields is None or not text:
            raise ValueError("it lacks what the tag of a backup says, or says it in another form")
        if header[2] != fields[1]:
            raise ValueError(f"it is called {header[2]!r} and says {fields[1]!r}")
        return _backup(header[1], text, fields.groups(), oid)
    except (ValueError, RecursionError) as error:
        raise RecordFormatError(
            f"Tag {oid} cannot be read as a backup: {error}. Other backups are not affected.",
            hint="Run `cronos verify` to see what is damaged.",
            oid=oid,
        ) from error


def _readable(raw: bytes) -> str:
    """Decode a tag. One that was not written here must not bring control characters to the terminal."""
    text = raw.decode()
    if len(raw.translate(None, _CONTROL_BYTES)) < len(raw) or (not text.isascii() and re.search(_CONTROLS_IN_TEXT, text)):
        raise ValueError("it holds control characters")
    return text


def _backup(commit: str, text: str, fields: tuple[Any, ...], oid: str) -> Backup:
    message, _, description = text.partition("\n\n")
    backup_id, kind, name, scope, created, sequence, parent, labels, pinned, *counts, metadata = fields
    files, size_bytes, added, changed, removed = map(int, counts)
    return Backup(
        id=backup_id,
        name=name,
        type=kind,
        scope=scope,
        created=datetime.fromisoformat(created),
        sequence=int(sequence),
        parent=parent,
        message=message,
        description=description,
        labels=tuple(re.findall(_LABEL, labels)) if labels else (),
        pinned=pinned is not None,
        files=files,
        size_bytes=size_bytes,
        added=added,
        changed=changed,
        removed=removed,
        metadata=json.loads(metadata) if metadata else {},
        commit=commit,
        tag=oid,
    )


def tagger_line(raw_tag: bytes) -> bytes:
    """Give who made a tag and when, as `identity_line` wrote it.

    Raises:
        RecordFormatError: The tag names no tagger.
    """
    match = re.search(_TAGGER, raw_tag.partition(b"\n\n")[0])
    if match is None:
        raise RecordFormatError("A tag does not say who made it.", hint="Run `cronos verify` to see what is damaged.")
    return match[1]


# --- commits --------------------------------------------------------------------------------------------------------


def snapshot_message(backup: Backup) -> str:
    """Give the message of the snapshot commit: message, description, `Cronos-Id` trailer."""
    return f"{_paragraphs(backup)}\n\nCronos-Id: {backup.id}\n"


def timeline_message(backup: Backup) -> str:
    """Give the message of the backup's commit on its timeline: message, `Cronos-Id` trailer."""
    return f"{_subject(backup)}\n\nCronos-Id: {backup.id}\n"


def format_commit(*, tree: str, parents: tuple[str, ...], identity_line: bytes, message: str) -> bytes:
    """Give the body of a commit object whose author and committer are the same."""
    links = "".join(f"{kind} {oid}\n" for kind, oid in (("tree", tree), *(("parent", parent) for parent in parents)))
    people = b"author %b\ncommitter %b\n\n" % (identity_line, identity_line)
    return links.encode() + people + message.encode("utf-8", "replace")


_COMMIT_HEADER = rb"tree ([0-9a-f]{40})\n((?:parent [0-9a-f]{40}\n)*)author [^\n]+\ncommitter ([^\n]+)(?:\n[^\n]+)*"


def parse_commit(raw: bytes) -> Commit:
    """Read the body of a commit object; headers after the committer are passed over.

    Raises:
        RecordFormatError: It is not a commit.
    """
    header, _, message = raw.partition(b"\n\n")
    match = re.fullmatch(_COMMIT_HEADER, header)
    if match is None:
        raise RecordFormatError("A commit of the store cannot be read.", hint="Run `cronos verify` to see what is damaged.")
    parents = tuple(line[7:].decode() for line in match[2].splitlines())
    return Commit(tree=match[1].decode(), parents=parents, committer=match[3], message=message.decode("utf-8", "replace"))
