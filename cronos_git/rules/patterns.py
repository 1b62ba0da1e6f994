"""Which entries of a project a backup takes: the exclusion rules in force at one place of the walk.

Rules rank, lowest first: default exclusions, `exclude` of the configuration, `.gitignore` files, `.cronosignore` files (in both,
deeper files rank higher), the request's `exclude`. The highest rule that matches an entry decides; what lies below an excluded
directory is excluded. An `include` pattern takes what it matches, and everything below a directory that it matches, whatever the
rules say. Reading ignore files and CACHEDIR.TAG belong to the walk, the pattern language to `globs.py`. Floor F4: pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from cronos_git.errors import PatternError
from cronos_git.rules.globs import Rule, compiled, parse_lines, parse_pattern, rule_regex, translate

TAKE, SKIP, SEARCH = 0, 1, 2
"""Verdicts: in the backup; left out; an excluded directory, but something below it could be included."""

DEFAULT_EXCLUDES = (
    "__pycache__/",
    "*.pyc",
    ".venv/",
    "venv/",
    "node_modules/",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".tox/",
)
"""Left out unless `default_excludes` is off: only what tools make again by themselves."""

_Rules = tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tiers:
    """The rules in force, by rank."""

    settings: _Rules = ()
    gitignore: _Rules = ()
    cronosignore: _Rules = ()
    request: _Rules = ()

    def all(self) -> _Rules:
        return self.settings + self.gitignore + self.cronosignore + self.request


class _Sieve:
    """The excluding rules that can concern one kind of entry, sorted by how fast they can be asked."""

    __slots__ = ("general", "name_globs", "names", "path_globs", "paths", "suffixes")

    def __init__(self, rules: Iterable[Rule]) -> None:
        fast: dict[str, list[str]] = {"names": [], "suffixes": [], "paths": [], "name_globs": [], "path_globs": []}
        for rule in rules:
            kind, value = _sort(rule)
            fast[kind].append(value)
        self.names = frozenset(fast["names"])
        self.suffixes = tuple(fast["suffixes"])
        self.paths = frozenset(fast["paths"])
        self.name_globs = _any_of(fast["name_globs"])
        self.path_globs = _any_of(fast["path_globs"])
        self.general = bool(self.paths or self.name_globs or self.path_globs)

    def catches(self, path: str, name: str) -> bool:
        """Whether a rule matches that is not a plain name or suffix."""
        return (
            path in self.paths
            or (self.name_globs is not None and self.name_globs.fullmatch(name) is not None)
            or (self.path_globs is not None and self.path_globs.fullmatch(path) is not None)
        )


def _sort(rule: Rule) -> tuple[str, str]:
    if rule.is_literal:
        return ("paths", rule.base + rule.glob) if rule.anchored else ("names", rule.glob)
    if rule.is_suffix:
        return "suffixes", rule.glob[1:]
    return "path_globs" if rule.anchored else "name_globs", rule_regex(rule)


def _any_of(regexes: Iterable[str]) -> re.Pattern[str] | None:
    alternatives = "|".join(dict.fromkeys(regexes))
    return compiled(alternatives) if alternatives else None


class _Includes:
    """The include patterns as two expressions: what they take, and which directories lead to it."""

    __slots__ = ("_leads", "_taken")

    def __init__(self, rules: _Rules) -> None:
        self._taken = _any_of(_subtree_regex(rule) for rule in rules)
        self._leads = _any_of(lead for rule in rules for lead in _leads(rule))

    def verdict(self, path: str, is_directory: bool) -> int:
        """The verdict on an entry that the rules exclude."""
        if self._taken is None:
            return SKIP
        if self._taken.fullmatch(f"{path}/" if is_directory else path):
            return TAKE
        return SEARCH if is_directory and self._leads is not None and self._leads.fullmatch(path) else SKIP


def _subtree_regex(rule: Rule) -> str:
    """Matches paths (of directories: with a slash behind) that *rule* matches, and everything below."""
    start = "" if rule.anchored else "(?:.*/)?"
    return f"{start}{rule_regex(rule)}{'/.*' if rule.directories_only else '(?:/.*)?'}"


def _leads(rule: Rule) -> tuple[str, ...]:
    translation = translate(rule.glob)
    return translation.leads if rule.anchored and translation else (".*",)


class Matcher:
    """Judges the entries of a directory, and of those below it as long as no ignore file adds rules.

    Attributes:
        digest: 16 bytes that identify the rules in force: equal digests judge equally.
    """

    __slots__ = ("_directories", "_exact", "_files", "_includes", "_tiers", "digest")

    def __init__(self, tiers: _Tiers, includes: _Includes, digest: bytes) -> None:
        rules = tiers.all()
        excluding = [rule for rule in rules if not rule.negated]
        self.digest = digest
        self._tiers = tiers
        self._includes = includes
        self._directories = _Sieve(excluding)
        self._files = _Sieve(rule for rule in excluding if not rule.directories_only)
        # Without negation the order does not matter, and what the sieve catches is excluded.
        self._exact = rules[::-1] if len(excluding) < len(rules) else ()

    def judge(self, path: str, name: str, is_dir: bool) -> int:
        """TAKE, SKIP or SEARCH for one entry, supposing that the directory it lies in is taken.

        Args:
            path: Path in the project; *name* is its last part.
            is_dir: Whether it is a directory; a symlink to one is not.

        Cost: two look-ups when all rules are plain names and suffixes; a regular expression or two when there are others.
        """
        sieve = self._directories if is_dir else self._files
        if name in sieve.names or name.endswith(sieve.suffixes) or (sieve.general and sieve.catches(path, name)):
            return self._judge_caught(path, name, is_dir)
        return TAKE

    def _judge_caught(self, path: str, name: str, is_dir: bool) -> int:
        for rule in self._exact:
            if rule.matches(path, name, is_dir):
                if rule.negated:
                    return TAKE
                break
        return self._includes.verdict(path, is_dir)

    def below(self, directory: str, ignore_files: Sequence[bytes]) -> Matcher:
        """The matcher for what lies in *directory*, given the ignore files found there.

        Args:
            ignore_files: Contents, lowest rank first. The last is `.cronosignore` (`b""` when there is none but a `.gitignore`
                is given); any before it is `.gitignore`.
        """
        gitignore, cronosignore = (
            tuple(rule for content in contents for rule in parse_lines(content, directory))
            for contents in (ignore_files[:-1], ignore_files[-1:])
        )
        if not gitignore and not cronosignore:
            return self
        tiers = _Tiers(
            settings=self._tiers.settings,
            gitignore=self._tiers.gitignore + gitignore,
            cronosignore=self._tiers.cronosignore + cronosignore,
            request=self._tiers.request,
        )
        digest = _digest(self.digest, [directory], _texts(gitignore), _texts(cronosignore))
        return Matcher(tiers, self._includes, digest)

    def inside_skipped(self) -> Matcher:
        """The matcher for what lies in a SEARCH directory: only include patterns count there."""
        return _InsideSkipped(self._tiers, self._includes, _digest(self.digest, ["inside an excluded directory"]))


class _InsideSkipped(Matcher):
    """Everything is excluded but what an include pattern takes."""

    __slots__ = ()

    def judge(self, path: str, name: str, is_dir: bool) -> int:
        return self._includes.verdict(path, is_dir)

    def below(self, directory: str, ignore_files: Sequence[bytes]) -> Matcher:
        return self

    def inside_skipped(self) -> Matcher:
        return self


def build_matcher(
    *, defaults: Sequence[str], exclude: Sequence[str], include: Sequence[str], request_exclude: Sequence[str] = ()
) -> Matcher:
    """The matcher for the root of a project.

    Args:
        defaults: DEFAULT_EXCLUDES, or nothing.
        exclude: Patterns of the configuration.
        include: Patterns of the configuration and of the request.
        request_exclude: Patterns of the request; they outrank ignore files.

    Raises:
        PatternError: A pattern is broken or can match nothing; the message names it.
    """
    settings = parse_patterns(defaults) + parse_patterns(exclude)
    request = parse_patterns(request_exclude)
    includes = parse_includes(include)
    digest = _digest(b"", _texts(settings), _texts(request), _texts(includes))
    return Matcher(_Tiers(settings=settings, request=request), _Includes(includes), digest)


def parse_patterns(patterns: Sequence[str]) -> _Rules:
    """Parse exclude patterns; PatternError names the first bad one."""
    return tuple(parse_pattern(pattern) for pattern in patterns)


def parse_includes(patterns: Sequence[str]) -> _Rules:
    """Parse include patterns, which cannot be negated; PatternError names the first bad one."""
    rules = parse_patterns(patterns)
    for pattern, rule in zip(patterns, rules, strict=True):
        if rule.negated:
            raise PatternError(
                f"The include pattern {pattern!r} begins with `!`.",
                hint="Put it among the exclude patterns, or write \\! for a name that begins with !.",
                pattern=pattern,
            )
    return rules


def _texts(rules: _Rules) -> list[str]:
    return [rule.canonical for rule in rules]


def _digest(start: bytes, *groups: list[str]) -> bytes:
    text = "\x01".join("\0".join(group) for group in groups)
    return blake2b(start + b"\x01" + text.encode("utf-8", "surrogateescape"), digest_size=16).digest()
