"""The machine's timers that call schedules: user timers of systemd, the user's crontab, launchd agents.

Each of the three shows what it would write, installs it, and takes it away again. A step that fails leaves what was there
before. The texts are `rules/schedules.py`'s. Floor F5.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cronos_git.disk import files
from cronos_git.disk.commands import Answer, ask_program
from cronos_git.disk.directories import make_directory
from cronos_git.errors import CronosError, HostError, UsageError
from cronos_git.model import Schedule, TimerKind, TimerPart
from cronos_git.rules.schedules import (
    crontab_lines,
    has_crontab_lines,
    launchd_agent,
    schedule_id,
    systemd_units,
    with_crontab_lines,
    without_crontab_lines,
)

_TURN_WAIT_S = 30.0
_SYSTEMCTL = ("systemctl", "--user")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the machine's programs are given, and where their files lie.

    Attributes:
        environment: Of the processes.
        carried: What of it decides which configuration and which store are meant.
        units: Directory of the user's systemd units.
        agents: Directory of the user's launchd agents.
        is_mac: Whether launchd is the machine's own.
        lingering: Exists when systemd runs this user's timers also while they are not logged in.
        lock: Held while the crontab is read and written back.
    """

    environment: Mapping[str, str]
    carried: Mapping[str, str]
    units: Path
    agents: Path
    user_id: int
    is_mac: bool
    lingering: Path
    lock: Path


class Timer(ABC):
    """One kind of timer."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings

    @abstractmethod
    def is_available(self) -> bool:
        """Whether this machine has it."""

    @abstractmethod
    def parts(self, schedule: Schedule) -> tuple[TimerPart, ...]:
        """What `install` would write; UsageError when this kind cannot say it."""

    @abstractmethod
    def is_installed(self, schedule: Schedule) -> bool:
        """Whether it is there, and for systemd switched on."""

    @abstractmethod
    def install(self, schedule: Schedule) -> None:
        """Install it and switch it on.

        Raises:
            UsageError: This kind cannot say it.
            DiskFullError, AccessError, HostError: What was there before is there still.

        Durability: files survive a power cut when this returns; the crontab is cron's.
        """

    @abstractmethod
    def remove(self, schedule: Schedule) -> None:
        """Switch it off and take it away; nothing when it is not there. Errors as for `install`."""

    def _ask(self, *words: str, stdin: bytes = b"") -> Answer:
        return ask_program(words, self._around.environment, stdin=stdin)

    def _must(self, doing: str, *words: str, stdin: bytes = b"") -> None:
        answer = self._ask(*words, stdin=stdin)
        if answer.status:
            said = answer.error or f"it ended with status {answer.status}"
            raise HostError(f"Cannot {doing}: {words[0]}: {said}.", hint="Nothing was changed; see what it says, or try --kind.")

    def _has_program(self, name: str) -> bool:
        return shutil.which(name, path=self._around.environment.get("PATH")) is not None


@contextlib.contextmanager
def _or_back(put_back: Callable[[], None]) -> Iterator[None]:
    """Call *put_back* when the block fails; HostError tells of both when that fails too."""
    try:
        yield
    except BaseException as error:
        try:
            put_back()
        except (CronosError, OSError) as another:
            raise HostError(
                f"{error} What was there before could not be put back: {another}".lstrip(),
                hint="See what the machine's timer looks like now, then run this again.",
            ) from error
        raise


def _contents(paths: Sequence[Path]) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.exists() else None for path in paths}


def _put_back_files(contents: Mapping[Path, bytes | None]) -> None:
    for path, content in contents.items():
        if content is None:
            files.unlink(path)
        else:
            files.write_durable(path, content)


def _remove_files(paths: Sequence[Path]) -> None:
    try:
        for path in paths:
            files.unlink(path)
        files.fsync_directory(paths[0].parent)
    except OSError as error:
        raise files.host_error(error, "remove the timer") from error


class Systemd(Timer):
    """User timers of systemd: catch up after downtime, and never start twice at a time."""

    def is_available(self) -> bool:
        return self._has_program("systemctl") and not self._ask(*_SYSTEMCTL, "show-environment").status

    def parts(self, schedule: Schedule) -> tuple[TimerPart, ...]:
        texts = systemd_units(schedule)
        return tuple(TimerPart(path=str(path), text=texts[path.suffix[1:]]) for path in self._paths(schedule))

    def is_installed(self, schedule: Schedule) -> bool:
        return all(path.exists() for path in self._paths(schedule)) and self._is_on(schedule)

    def install(self, schedule: Schedule) -> None:
        parts = self.parts(schedule)
        make_directory(self._around.units)
        with self._as_it_was_on_failure(schedule):
            for part in parts:
                files.write_durable(Path(part.path), part.text.encode())
            self._must("have systemd read the timer", *_SYSTEMCTL, "daemon-reload")
            self._must("start the timer", *_SYSTEMCTL, "enable", "--now", self._timer(schedule))

    def remove(self, schedule: Schedule) -> None:
        paths = [path for path in self._paths(schedule) if path.exists()]
        if paths:
            with self._as_it_was_on_failure(schedule):
                self._must("stop the timer", *_SYSTEMCTL, "disable", "--now", self._timer(schedule))
                _remove_files(paths)
                self._must("have systemd forget the timer", *_SYSTEMCTL, "daemon-reload")

    @contextlib.contextmanager
    def _as_it_was_on_failure(self, schedule: Schedule) -> Iterator[None]:
        timer, contents, was_on = self._timer(schedule), _contents(self._paths(schedule)), self._is_on(schedule)

        def put_back() -> None:
            if not was_on:
                self._ask(*_SYSTEMCTL, "disable", "--now", timer)
            _put_back_files(contents)
            self._ask(*_SYSTEMCTL, "daemon-reload")
            if was_on:
                self._must("start the timer again", *_SYSTEMCTL, "enable", "--now", timer)

        with _or_back(put_back):
            yield

    def _is_on(self, schedule: Schedule) -> bool:
        return (self._around.units / "timers.target.wants" / self._timer(schedule)).is_symlink()

    def _timer(self, schedule: Schedule) -> str:
        return self._paths(schedule)[1].name

    def _paths(self, schedule: Schedule) -> tuple[Path, Path]:
        name = schedule_id(schedule.project, schedule.name)
        return self._around.units / f"{name}.service", self._around.units / f"{name}.timer"


class Crontab(Timer):
    """Lines in the user's crontab. Everything else in it stays byte for byte."""

    def is_available(self) -> bool:
        return self._has_program("crontab")

    def parts(self, schedule: Schedule) -> tuple[TimerPart, ...]:
        return (TimerPart(path="crontab", text=crontab_lines(schedule)),)

    def is_installed(self, schedule: Schedule) -> bool:
        return has_crontab_lines(self._read(), schedule)

    def install(self, schedule: Schedule) -> None:
        with self._alone():
            before = self._read()
            self._write(with_crontab_lines(before, schedule), before)

    def remove(self, schedule: Schedule) -> None:
        with self._alone():
            before = self._read()
            if has_crontab_lines(before, schedule):
                self._write(without_crontab_lines(before, schedule), before)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other commands of ours from writing the crontab between our reading and writing it."""
        make_directory(self._around.lock.parent)
        with files.locked(self._around.lock, wait_s=_TURN_WAIT_S):
            yield

    def _read(self) -> bytes:
        answer = self._ask("crontab", "-l")
        if answer.status == 0:
            return answer.output
        # Every other failure must not pass for an empty crontab: writing ours would delete the user's.
        if re.search(r"\bno crontab\b", answer.error) and not answer.output:
            return b""
        raise HostError(
            f"Cannot read your crontab: {answer.error or f'crontab -l ended with status {answer.status}'}.",
            hint="Nothing was changed. See whether `crontab -l` works, or choose another --kind.",
        )

    def _write(self, content: bytes, before: bytes) -> None:
        def put_back() -> None:
            if self._read() != before:
                self._must("write your crontab", "crontab", "-", stdin=before)

        with _or_back(put_back):
            self._must("write your crontab", "crontab", "-", stdin=content)
            if self._read() != content:
                raise HostError("The crontab does not hold what was written to it.", hint="See `crontab -l`.")


class Launchd(Timer):
    """Agents of launchd, which catches up after sleep."""

    def is_available(self) -> bool:
        return self._around.is_mac and self._has_program("launchctl")

    def parts(self, schedule: Schedule) -> tuple[TimerPart, ...]:
        return (TimerPart(path=str(self._path(schedule)), text=launchd_agent(schedule)),)

    def is_installed(self, schedule: Schedule) -> bool:
        return self._path(schedule).exists()

    def install(self, schedule: Schedule) -> None:
        (part,) = self.parts(schedule)
        path = Path(part.path)
        make_directory(path.parent)
        with self._as_it_was_on_failure(path):
            self._unload(path)
            files.write_durable(path, part.text.encode(), mode=0o644)
            self._load(path)

    def remove(self, schedule: Schedule) -> None:
        path = self._path(schedule)
        if path.exists():
            with self._as_it_was_on_failure(path):
                self._unload(path)
                _remove_files([path])

    @contextlib.contextmanager
    def _as_it_was_on_failure(self, path: Path) -> Iterator[None]:
        contents, was_loaded = _contents([path]), self._is_loaded(path)

        def put_back() -> None:
            if not was_loaded:
                self._unload(path)
            _put_back_files(contents)
            if was_loaded and not self._is_loaded(path):
                self._load(path)

        with _or_back(put_back):
            yield

    def _load(self, path: Path) -> None:
        self._must("start the agent", "launchctl", "bootstrap", self._domain, str(path))

    def _unload(self, path: Path) -> None:
        if self._is_loaded(path):
            self._must("stop the agent", "launchctl", "bootout", f"{self._domain}/{path.stem}")

    def _is_loaded(self, path: Path) -> bool:
        return not self._ask("launchctl", "print", f"{self._domain}/{path.stem}").status

    @property
    def _domain(self) -> str:
        return f"gui/{self._around.user_id}"

    def _path(self, schedule: Schedule) -> Path:
        return self._around.agents / f"{schedule_id(schedule.project, schedule.name)}.plist"


def timer_of(kind: TimerKind, surroundings: Surroundings) -> Timer:
    """The timers of that kind."""
    kinds: Mapping[TimerKind, type[Timer]] = {"systemd": Systemd, "crontab": Crontab, "launchd": Launchd}
    return kinds[kind](surroundings)


def choose_kind(surroundings: Surroundings) -> TimerKind:
    """The best kind that this machine has; on a Mac its own.

    Raises:
        UsageError: It has none.
    """
    order: tuple[TimerKind, ...] = ("systemd", "launchd", "crontab")
    found = next((kind for kind in order if timer_of(kind, surroundings).is_available()), None)
    if found is None:
        raise UsageError(
            "This machine has neither systemd for users, nor crontab, nor launchd that could be reached.",
            hint="Let a clock of your own run what --kind crontab shows, or use `auto_backup_hours` with `cronos serve`.",
        )
    return found
