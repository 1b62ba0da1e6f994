"""The gitignore language: lines and patterns become rules, rules become regular expressions.

Follows Git's `dir.c` (`parse_path_pattern`, `match_pathname`) and `wildmatch.c` rule by rule, its oddities included; a property
test holds it against `git check-ignore`. One difference is meant: `?` and `[…]` match one character, where Git matches one byte.
Written by hand because pathspec translates character classes, escapes in brackets and `a/**/` differently from Git, matches
whole subtrees where a walk asks about single entries, and cannot say whether something below a directory could match.
Which rule wins is `patterns.py`'s affair. Floor F4: pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from cronos_git.errors import PatternError

_WILD = re.compile(r"[*?\[\\]")
_ANY = "[^/]*"
_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"!-/:-@\[-`{-~",
    "space": r" \t\n\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One pattern, parsed.

    Attributes:
        glob: The pattern without `!`, without the slash in front and at the end.
        base: Directory that an anchored pattern is relative to, with a slash at its end; `""` for the project's root.
        anchored: Matched against the path from `base`; else against the entry's name alone.
        directories_only: Written with a slash at its end.
        negated: Written with `!`: takes what an earlier rule excludes.
    """

    glob: str
    base: str
    anchored: bool
    directories_only: bool
    negated: bool

    @property
    def canonical(self) -> str:
        """The pattern in one spelling, the same for all that mean the same rule in one directory."""
        return f"{'!' * self.negated}{'/' * self.anchored}{self.glob}{'/' * self.directories_only}"

    @property
    def is_literal(self) -> bool:
        """Whether the glob is plain text."""
        return _WILD.search(self.glob) is None

    @property
    def is_suffix(self) -> bool:
        """Whether the glob is `*` and then plain text, for names."""
        return not self.anchored and self.glob[:1] == "*" and _WILD.search(self.glob, 1) is None

    def matches(self, path: str, name: str, is_directory: bool) -> bool:
        """Whether the pattern matches this very entry (not because it matches a directory above it)."""
        if self.directories_only and not is_directory:
            return False
        return compiled(rule_regex(self)).fullmatch(path if self.anchored else name) is not None


def parse_pattern(text: str) -> Rule:
    """Parse a pattern that the user gave in a configuration or on the command line.

    Raises:
        PatternError: The pattern is empty, a comment, broken, or can match nothing in a project.
    """
    rule = _parse(text, "")
    reason = _fault(text, rule)
    if reason:
        raise PatternError(
            f"The pattern {text!r} {reason}.", hint="Patterns are written as in .gitignore files (man gitignore).", pattern=text
        )
    return rule


def parse_lines(content: bytes, directory: str) -> tuple[Rule, ...]:
    """Parse an ignore file that lies in *directory*; as in Git, a broken line matches nothing."""
    base = f"{directory}/" if directory else ""
    rules = (_parse(line, base) for line in _pattern_lines(content))
    return tuple(rule for rule in rules if rule.glob and translate(rule.glob) is not None)


def _pattern_lines(content: bytes) -> Iterator[str]:
    for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if line and not line.startswith(b"#"):
            yield line.removesuffix(b"\r").partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _parse(text: str, base: str) -> Rule:
    body = _trim(text)
    negated = body.startswith("!")
    body = body[negated:]
    directories_only = body.endswith("/")
    body = body[: len(body) - directories_only]
    anchored = "/" in body
    glob = body[1:] if anchored and body[0] == "/" else body
    return Rule(glob=glob, base=base, anchored=anchored, directories_only=directories_only, negated=negated)


def _trim(text: str) -> str:
    """Without the spaces at the end, but for one behind a backslash."""
    kept = text.rstrip(" ")
    backslashes = len(kept) - len(kept.rstrip("\\"))
    return kept + " " if backslashes % 2 and kept != text else kept


def _fault(text: str, rule: Rule) -> str:
    if not rule.glob:
        return "matches nothing"
    if text.startswith("#"):
        return "is a comment; write \\# for a name that begins with #"
    if "\n" in text or "\0" in text:
        return "holds a line break or NUL; give one pattern each"
    if any(part in ("", ".", "..") for part in rule.glob.split("/")):
        return "has an empty, `.` or `..` part; patterns are relative to the project's root"
    if translate(rule.glob) is None:
        return "has an open bracket, an unknown character class, or a backslash at its end"
    return ""


# --- translation --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Translation:
    """A glob as regular expressions, to be matched in full with `compiled`.

    Attributes:
        regex: Matches what the glob matches.
        leads: Each matches directories below which the glob could match; only meant for anchored globs.
    """

    regex: str
    leads: tuple[str, ...]


@lru_cache(maxsize=1024)
def compiled(regex: str) -> re.Pattern[str]:
    """*regex* ready for use; a line break is a character like others."""
    return re.compile(regex, re.DOTALL)


def rule_regex(rule: Rule) -> str:
    """Regular expression for the path (anchored rules) or the name of an entry that *rule* matches."""
    translation = translate(rule.glob)
    body = translation.regex if translation else "(?!)"
    return re.escape(rule.base) + body if rule.anchored else body


@lru_cache(maxsize=1024)
def translate(glob: str) -> Translation | None:
    """Translate a glob; None when it is broken and so matches nothing.

    Like Git, text before the first wildcard is compared as it is and the rest seen as a pattern of its own: `a**/b` is `a`
    and then `**/b`.
    """
    wild = _WILD.search(glob)
    start = wild.start() if wild else len(glob)
    output = _Output()
    for character in glob[:start]:
        output.literal(character)
    try:
        _translate_wild(glob[start:], output)
    except _BrokenGlobError:
        return None
    output.flush()
    return Translation(output.regex, tuple(output.leads))


class _BrokenGlobError(Exception):
    """The glob matches nothing."""


@dataclass(slots=True)
class _Output:
    """Collects the expression piece by piece.

    A star takes the first place where the piece behind it fits and never tries another while one more star follows in the same
    segment (atomic group), so no pattern of stars takes exponential time.
    """

    regex: str = ""
    leads: list[str] = field(default_factory=list)
    piece: str = ""
    starred: bool = False

    def literal(self, character: str) -> None:
        if character == "/":
            self.flush()
            self.leads.append(self.regex)
            self.regex += "/"
        else:
            self.piece += re.escape(character)

    def star(self) -> None:
        if self.starred and self.piece:
            self.regex += f"(?>{_ANY}?{self.piece})"
        elif not self.starred:
            self.regex += self.piece
        self.piece, self.starred = "", True

    def anything(self, regex: str) -> None:
        self.flush()
        self.leads.append(f"{self.regex}.*")
        self.regex += regex

    def flush(self) -> None:
        self.regex += (_ANY if self.starred else "") + self.piece
        self.piece, self.starred = "", False


def _translate_wild(glob: str, output: _Output) -> None:
    at = 0
    while at < len(glob):
        character = glob[at]
        if character == "*":
            at = _translate_stars(glob, at, output)
        elif character == "[":
            at, regex = _bracket(glob, at + 1)
            output.piece += regex
        elif character == "?":
            output.piece += "[^/]"
            at += 1
        else:
            at += character == "\\"
            output.literal(_character(glob, at))
            at += 1


def _translate_stars(glob: str, start: int, output: _Output) -> int:
    """Translate the stars at *start*; give back where they end."""
    end = start + 1
    while glob[end : end + 1] == "*":
        end += 1
    fills_segment = glob[start - 1 : start] in ("", "/") and (glob[end : end + 1] in ("", "/") or glob[end : end + 2] == "\\/")
    if end - start == 1 or not fills_segment:
        output.star()
    elif glob[end : end + 1] == "/":
        output.anything("(?:.*/)?")
        end += 1
    else:
        output.anything(".*")
    return end


def _character(glob: str, at: int) -> str:
    if at >= len(glob):
        raise _BrokenGlobError
    return glob[at]


def _bracket(glob: str, at: int) -> tuple[int, str]:
    """Translate a bracket expression whose content begins at *at*; give back where it ends and its expression."""
    negated = _character(glob, at) in "!^"
    at += negated
    first, items, previous = True, "", ""
    while first or _character(glob, at) != "]":
        first = False
        at, item, previous = _bracket_item(glob, at, previous)
        items += item
    return at + 1, f"[^/{items}]" if negated else f"(?!/)[{items}]"


def _bracket_item(glob: str, at: int, previous: str) -> tuple[int, str, str]:
    """One member of a bracket expression: where it ends, its expression, and the character that a range may start from."""
    character = _character(glob, at)
    if character == "-" and previous and glob[at + 1 : at + 2] not in ("", "]"):
        at += 1 + (glob[at + 1] == "\\")
        last = _character(glob, at)
        return at + 1, f"{re.escape(previous)}-{re.escape(last)}" if previous <= last else "", ""
    if character == "[" and glob[at + 1 : at + 2] == ":":
        end = glob.find("]", at + 2)
        if end < 0:
            raise _BrokenGlobError
        if end > at + 2 and glob[end - 1] == ":":
            return end + 1, _named_class(glob[at + 2 : end - 1]), ""
    if character == "\\":
        at += 1
        character = _character(glob, at)
    return at + 1, re.escape(character), character


def _named_class(name: str) -> str:
    if name not in _CLASSES:
        raise _BrokenGlobError
    return _CLASSES[name]
