"""What a backup is of: the project, the part of it that is covered, and the rules in force. Floor F7, below the verbs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from cronos_git.disk.modules import narrow_scope, resolve_scope
from cronos_git.disk.walk import WalkRules, open_project
from cronos_git.model import Dependency, Scope, SnapshotRequest
from cronos_git.rules.patterns import DEFAULT_EXCLUDES, Matcher, build_matcher
from cronos_git.rules.requests import check_snapshot
from cronos_git.rules.schema import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is backed up and by which rules.

    Attributes:
        root: The project's real path.
        modules: Configured paths by module name.
        dependencies: What was added to the scope as the rest of it needs that.
        described_rules: The rules as `meta/snapshot.json` records them.
    """

    root: str
    scope: Scope
    rules: WalkRules
    chunk_threshold: int
    described_rules: Mapping[str, object]
    modules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dependencies: tuple[Dependency, ...] = ()


def describe(
    root: str, settings: Settings, request: SnapshotRequest, *, scope: Scope | None = None, forced: frozenset[str] = frozenset()
) -> Subject:
    """The subject of a request under the configuration in force.

    Args:
        scope: What is covered, in place of the request's modules.
        forced: Paths that are taken whatever the rules say.

    Raises:
        ModuleScopeError, PatternError, ProjectError: The request cannot be met.
        UsageError: It calls something by an empty name.

    Cost: as `disk.modules.resolve_scope` and `narrow_scope`.
    """
    check_snapshot(request)
    os.close(open_project(root))  # before anything is made for a project that cannot be read
    matcher = _matcher(settings, request)
    return Subject(
        root=root,
        scope=scope or _scope(root, settings, request, matcher),
        rules=WalkRules(
            matcher=matcher,
            ignore_files=(".gitignore", ".cronosignore") if settings.respect_gitignore else (".cronosignore",),
            skip_git_dirs=settings.git_dirs == "skip",
            skip_caches=settings.cachedir_tags,
            forced=forced,
        ),
        chunk_threshold=settings.chunk_threshold,
        modules=settings.modules,
        described_rules={
            "exclude": [*settings.exclude, *request.exclude],
            "request_exclude": [*request.exclude],
            "include": [*settings.include, *request.include],
            "defaults": settings.default_excludes,
            "respect_gitignore": settings.respect_gitignore,
            "git_dirs": settings.git_dirs,
            "cachedir_tags": settings.cachedir_tags,
            "chunk_threshold": settings.chunk_threshold,
            **({"only": [*request.only]} if request.only else {}),
            **({"forced": sorted(forced)} if forced else {}),
        },
    )


def _scope(root: str, settings: Settings, request: SnapshotRequest, matcher: Matcher) -> Scope:
    return narrow_scope(root, resolve_scope(root, request.modules, settings.modules, matcher), request.only, matcher)


def _matcher(settings: Settings, request: SnapshotRequest) -> Matcher:
    return build_matcher(
        defaults=DEFAULT_EXCLUDES if settings.default_excludes else (),
        exclude=settings.exclude,
        include=(*settings.include, *request.include),
        request_exclude=request.exclude,
    )
