"""Hears of changes in a project from the system, and tells those apart that no backup would hold.

What is heard is only a hint: the system may lose events, and says nothing of what happened before. Whoever listens must look
for themselves from time to time. Listening is watchfiles'; what the rules take is asked of `rules/patterns.py`, as the walk does.
Floor F5.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from threading import Event

from cronos_git.disk.walk import CACHEDIR_SIGNATURE, STAGING_PREFIX, WalkRules, read_start
from cronos_git.errors import HostError, ProjectError
from cronos_git.rules.patterns import SEARCH, SKIP, Matcher

TICK_S = 0.5
"""How often a listener comes up for air when nothing happens."""

_GROUP_MS = 1000
_STEP_MS = 100
_IGNORE_FILE_BYTES = 1 << 20
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def listen(root: str, stopped: Event) -> Iterator[set[str] | None]:
    """What changes below *root*: sets of paths below it, an empty one twice a second when nothing does, until *stopped* is set.

    None stands for changes that cannot be named: the system gave up, and listening began anew.

    Raises:
        HostError: The system does not let us listen, or to no more directories.

    Cost: one inotify watch a directory, whether the rules take it or not; nothing is read while nothing changes.
    """
    import watchfiles

    prefix = len(root.rstrip("/")) + 1
    is_new = False
    while not stopped.is_set():
        try:
            for changes in watchfiles.watch(
                root,
                watch_filter=None,
                debounce=_GROUP_MS,
                step=_STEP_MS,
                stop_event=stopped,
                rust_timeout=int(TICK_S * 1000),
                yield_on_timeout=True,
                debug=False,
                force_polling=False,
                ignore_permission_denied=False,  # with True, watchfiles passes over every reason not to hear anything
            ):
                yield None if is_new else {path[prefix:] for _, path in changes}
                is_new = False
        except FileNotFoundError:
            yield None  # the project itself is gone, which is for the listener to find out
        except OSError as error:
            raise _not_heard(root, str(error)) from error
        except UnicodeEncodeError as error:
            raise _not_heard(root, "its path is no UTF-8") from error
        except RuntimeError as error:  # a name that is no UTF-8, mostly
            if "creating recommended watcher" in str(error):
                raise _not_heard(root, str(error)) from error
            is_new = True
            stopped.wait(TICK_S)


def _not_heard(root: str, reason: str) -> HostError:
    is_limit = "limit reached" in reason or "Too many open files" in reason
    return HostError(
        f"The system tells nothing of changes in {root}: {reason.partition(' about [')[0].rstrip('.')}.",
        hint="Allow more with `sysctl fs.inotify.max_user_watches=524288` (or max_user_instances)." if is_limit else "",
    )


class Ground:
    """The directory that is watched, and whether it is still that one.

    Raises:
        ProjectError: It is not there.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._known = self._identity()

    def check(self) -> None:
        """Raise ProjectError when the directory is gone, or another one stands in its place."""
        if self._identity() != self._known:
            raise ProjectError(
                f"{self._root} is not the directory any more that was watched: it was replaced.", hint="Watch it anew."
            )

    def _identity(self) -> tuple[int, int]:
        try:
            info = os.stat(self._root)
        except OSError as error:
            raise ProjectError(
                f"The project {self._root} is gone: {error.strerror}. Its backups are safe.", hint="Bring it back, or restore it."
            ) from error
        return info.st_dev, info.st_ino


class Sieve:
    """Says which paths a backup concerns, by the rules in force where they lie.

    Remembers what it learned of directories until an ignore file or a CACHEDIR.TAG changes.

    Args:
        root: The project's real path.
        scope: Covered paths; `""` for everything.
    """

    def __init__(self, root: str, rules: WalkRules, scope: Sequence[str]) -> None:
        self._root = root
        self._rules = rules
        self._scope = scope
        self._ruling = {*rules.ignore_files, "CACHEDIR.TAG"}
        self._inside: dict[str, Matcher | None] = {}

    def concerns(self, path: str) -> bool:
        """Whether a backup may differ because *path* has changed, appeared or gone. When in doubt, it does."""
        parent, _, name = path.rpartition("/")
        if not self._is_covered(path):
            return False
        if name in self._ruling:
            self._inside.clear()
        if not path:
            return True
        matcher = self._matcher(parent)
        if matcher is None or self._is_passed_over(name):
            return False
        if path in self._inside and self._inside[path] is None and not self._exists(path):
            del self._inside[path]
            return False  # a directory that was left out is gone
        return matcher.judge(path, name, self._is_directory(path)) != SKIP

    def _is_covered(self, path: str) -> bool:
        return any(
            not covered or path == covered or path.startswith(f"{covered}/") or not path or covered.startswith(f"{path}/")
            for covered in self._scope
        )

    def _matcher(self, directory: str) -> Matcher | None:
        """The rules for what lies in *directory*; None when nothing in it is taken."""
        if directory not in self._inside:
            self._inside[directory] = self._learn(directory)
        return self._inside[directory]

    def _learn(self, directory: str) -> Matcher | None:
        if not directory:
            return self._with_ignore_files("", self._rules.matcher)
        parent, _, name = directory.rpartition("/")
        matcher = self._matcher(parent)
        if matcher is None or self._is_passed_over(name) or self._is_link(directory):
            return None
        verdict = matcher.judge(directory, name, True)
        if verdict == SKIP:
            return None
        return self._with_ignore_files(directory, matcher.inside_skipped() if verdict == SEARCH else matcher)

    def _with_ignore_files(self, directory: str, matcher: Matcher) -> Matcher | None:
        try:
            fd = os.open(self._full(directory), _OPEN_DIRECTORY)
        except OSError:
            return matcher  # gone already, or closed to us: no rules of its own
        try:
            tag = read_start(fd, "CACHEDIR.TAG", len(CACHEDIR_SIGNATURE)) if directory and self._rules.skip_caches else b""
            if tag == CACHEDIR_SIGNATURE:
                return None
            return matcher.below(directory, [read_start(fd, name, _IGNORE_FILE_BYTES) for name in self._rules.ignore_files])
        finally:
            os.close(fd)

    def _is_passed_over(self, name: str) -> bool:
        return name.startswith(STAGING_PREFIX) or (name == ".git" and self._rules.skip_git_dirs)

    def _is_directory(self, path: str) -> bool:
        return stat.S_ISDIR(self._mode(path))

    def _is_link(self, path: str) -> bool:
        return stat.S_ISLNK(self._mode(path))

    def _exists(self, path: str) -> bool:
        return self._mode(path) != 0

    def _mode(self, path: str) -> int:
        try:
            return os.lstat(self._full(path)).st_mode
        except OSError:
            return 0

    def _full(self, path: str) -> str:
        return os.path.join(self._root, path) if path else self._root
