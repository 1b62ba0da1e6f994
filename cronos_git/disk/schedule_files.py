"""Keeps schedules, one file each, and beside them how each ran last.

What stands in the files is `rules/schedules.py`'s, the machine's timers are `timers.py`'s. Floor F5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cronos_git.disk import files
from cronos_git.disk.directories import make_directory
from cronos_git.model import Schedule, ScheduleRun
from cronos_git.rules.schedules import format_run, format_schedule, parse_run, parse_schedule, schedule_id


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleFiles:
    """All schedules of this user.

    Attributes:
        directory: Where they are kept.
        runs: Where it is noted how they ran.
    """

    directory: Path
    runs: Path

    def find(self, project: str, name: str) -> Schedule | None:
        """The schedule of that name of *project*.

        Raises:
            ConfigError, AccessError, HostError: Its file cannot be read.
        """
        return _load(self._path(project, name))

    def all(self) -> Iterator[Schedule]:
        """Every schedule, by project and name; errors as for `find`."""
        found = [_load(path) for path in self.directory.glob("cronos-*.json")]
        yield from sorted(filter(None, found), key=lambda schedule: (schedule.project, schedule.name))

    def save(self, schedule: Schedule) -> None:
        """Keep *schedule*.

        Raises:
            DiskFullError, AccessError, HostError: It is not kept.

        Durability: when this returns, it survives a power cut.
        """
        make_directory(self.directory)
        files.write_durable(self._path(schedule.project, schedule.name), format_schedule(schedule))

    def remove(self, schedule: Schedule) -> None:
        """Forget *schedule*, and how it ran; no error when it is gone already.

        Raises:
            AccessError, HostError: It may still be there.
        """
        try:
            files.unlink(self._path(schedule.project, schedule.name))
            files.unlink(self._run_path(schedule))
        except OSError as error:
            raise files.host_error(error, f"remove the schedule {schedule.name}") from error

    def last_run(self, schedule: Schedule) -> ScheduleRun | None:
        """How *schedule* ran last; None when it has not, or it is not known."""
        try:
            return parse_run(self._run_path(schedule).read_bytes())
        except OSError:
            return None

    def note_run(self, schedule: Schedule, run: ScheduleRun) -> None:
        """Note how *schedule* ran.

        Raises:
            DiskFullError, AccessError, HostError: It is not noted; the run itself has nothing to do with that.
        """
        make_directory(self.runs)
        files.write_disposable(self._run_path(schedule), format_run(run))

    def _path(self, project: str, name: str) -> Path:
        return self.directory / f"{schedule_id(project, name)}.json"

    def _run_path(self, schedule: Schedule) -> Path:
        return self.runs / f"{schedule_id(schedule.project, schedule.name)}.json"


def _load(path: Path) -> Schedule | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.host_error(error, f"read the schedule {path}") from error
    return parse_schedule(content, str(path))
