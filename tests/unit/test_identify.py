from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from cronos_git.errors import AmbiguousBackupError, BackupNotFoundError, UsageError
from cronos_git.model import Backup
from cronos_git.rules.identify import Resolution, resolve, split_path

NOW = datetime(2026, 4, 3, 12, 0, tzinfo=UTC)


def _backup(sequence: int, backup_id: str, kind: str = "manual", name: str = "", created: str = "") -> Backup:
    stem, day, clock = backup_id.split("_2026", 1)[0], *backup_id.removesuffix("_2").rsplit("_", 2)[1:]
    return Backup(
        id=backup_id,
        name=name or stem,
        type=kind,
        scope="project",
        created=datetime.fromisoformat(created or f"{day}T{clock}").replace(tzinfo=UTC),
        sequence=sequence,
        parent=None,
        message=stem,
        description="",
        labels=(),
        pinned=False,
        files=1,
        size_bytes=1,
        added=1,
        changed=0,
        removed=0,
        metadata={},
        commit=f"{sequence:02x}" + "c0ffee" + "0" * 32,
        tag="bead" + f"{sequence:02x}" + "1" * 34,
    )


BACKUPS = [
    _backup(1, "nightly_20260401_020000", "auto"),
    _backup(2, "deploy_20260401_100000", "pre-deploy"),
    _backup(3, "deploy_20260401_103000", "pre-deploy"),
    _backup(4, "deploy_20260401_103000_2", "pre-deploy"),
    _backup(5, "before-restore_20260401_110000", "restore-point"),
    _backup(6, "my_backup_20260402_080000", "import", "my_backup"),
    _backup(7, "nightly_20260402_020000", "auto", created="20260402T020000"),  # its clock ran behind
    _backup(8, "release-2_20260403_090000", "milestone", "Release 2"),
    _backup(9, "deploy_20260403_093000"),
    _backup(10, "before-restore_20260403_110000", "restore-point"),
]


def _find(text: str) -> Resolution:
    shuffled = BACKUPS[::2] + BACKUPS[1::2]
    return resolve(text, shuffled, NOW, timezone(timedelta(hours=2)))


@pytest.mark.parametrize("backup", BACKUPS)
def test_exact_id_wins_bare_zipped_or_as_a_path(backup: Backup) -> None:
    for form in (backup.id, f"{backup.id}.zip", f"/var/backups/{backup.id}.zip", f"C:\\b\\{backup.id}.zip", f" {backup.id}\n"):
        assert _find(form) == Resolution(backup=backup, matches=1, note="")


@pytest.mark.parametrize(
    ("text", "sequence", "matches"),
    [
        # a timestamp or the beginning of one
        ("20260401_100000", 2, 1),
        ("20260401_103000", 4, 2),
        ("20260401_103000_2", 4, 1),
        ("20260401_10", 4, 3),
        ("20260401", 4, 4),
        ("20260401_", 4, 4),
        ("202604", 9, 8),
        ("2026", 9, 8),
        # a name, however it is spelled
        ("deploy", 9, 4),
        ("Deploy", 9, 4),
        ("nightly", 7, 2),
        ("Release 2", 8, 1),
        ("release-2", 8, 1),
        ("my_backup", 6, 1),
        # a name and a timestamp
        ("deploy_20260403", 9, 1),
        ("deploy_20260401", 4, 3),
        ("deploy_20260401_10", 4, 3),
        ("deploy_20260401_1000", 2, 1),
        ("DEPLOY_20260401_100000", 2, 1),
        ("Release 2_20260403_090000", 8, 1),
        # the n-th of a day, or, when there is none, that beginning of a time
        ("deploy_20260401_001", 2, 1),
        ("deploy_20260401_003", 4, 1),
        ("nightly_20260402_001", 7, 1),
        ("deploy_20260401_103", 4, 2),
        ("nightly_20260401_000", 0, 0),
        ("deploy_20260401_004", 0, 0),
        # what EGOS called its files
        ("egos_backup_pre-deploy_deploy_20260401_103000.zip", 4, 2),
        ("/old/egos_backup_import_my_backup_20260402_080000.zip", 6, 1),
        ("egos_backup_manual_my_backup_20260402_080000", 6, 1),
        ("egos_backup_milestone_release_2_20260403_090000.zip", 8, 1),
        ("egos_backup_manual_your_backup_20260402_090000.zip", 0, 0),
        # restore points only when nothing else fits
        ("before-restore", 10, 2),
        ("20260401_11", 5, 1),
        ("20260403", 9, 2),
        # the latest
        ("latest", 9, 1),
        ("latest~0", 9, 1),
        ("latest~", 8, 1),
        ("latest~1", 8, 1),
        ("latest~7", 1, 1),
        ("latest~8", 0, 0),
        ("latest:pre-deploy", 4, 1),
        ("latest:pre-deploy~2", 2, 1),
        ("latest:pre-deploy~3", 0, 0),
        ("latest:milestone", 8, 1),
        ("latest:restore-point", 10, 1),
        ("latest:restore-point~1", 5, 1),
        ("latest:unheard-of", 0, 0),
        # the last at or before a time; without an offset two hours ahead of UTC
        ("@2026-04-01T12:00", 2, 1),
        ("@2026-04-01T11:59:59", 1, 1),
        ("@2026-04-01T10:30Z", 4, 1),
        ("@2026-04-01", 4, 1),
        ("@2026-04-02T05:00", 7, 1),
        ("@2026-04-02T12:00", 6, 1),
        ("@20260401_100000", 2, 1),
        ("@2 days ago", 4, 1),
        ("@yesterday", 6, 1),
        ("@now", 9, 1),
        ("@2026-04-01T03:59", 0, 0),
        # a beginning that only one has: of an id, a commit, a tag
        ("rel", 8, 1),
        ("nightly_20260401", 1, 1),
        ("NIGHTLY_20260401_02000", 1, 1),
        ("my_b", 6, 1),
        ("02c0ffee", 2, 1),
        ("0AC0FFEE", 10, 1),
        ("bead03", 3, 1),
        ("bead0311111111111111111111111111111111111".ljust(40, "1")[:40], 3, 1),
        # what nothing fits
        ("02c0f", 0, 0),
        ("0bc0ffee", 0, 0),
        ("nothing", 0, 0),
        ("???", 0, 0),
        ("backup", 0, 0),
        ("20260404", 0, 0),
        ("deploy_20260402", 0, 0),
        ("latest~x", 0, 0),
        ("deploy_20260401_100000.tar", 0, 0),
    ],
)
def test_identifier_finds(text: str, sequence: int, matches: int) -> None:
    if not matches:
        with pytest.raises(BackupNotFoundError) as caught:
            _find(text)
        assert "cronos list" in caught.value.hint
        assert caught.value.context["identifier"] == text.strip()
        return
    found = _find(text)
    assert (found.backup.sequence, found.matches) == (sequence, matches)
    assert bool(found.note) == (matches > 1)
    if found.note:
        assert found.backup.id in found.note
        assert f"{matches} backups match" in found.note


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("nightly_2026", ["nightly_20260401_020000", "nightly_20260402_020000"]),
        ("n", ["nightly_20260401_020000", "nightly_20260402_020000"]),
        ("before", ["before-restore_20260401_110000", "before-restore_20260403_110000"]),
    ],
)
def test_beginning_of_several_ids_is_an_error_that_names_them(text: str, candidates: list[str]) -> None:
    with pytest.raises(AmbiguousBackupError) as caught:
        _find(text)
    assert caught.value.context["candidates"] == candidates
    assert all(candidate in caught.value.hint for candidate in candidates)
    assert caught.value.exit_status == 12


def test_beginning_of_several_object_ids_is_an_error() -> None:
    twin = _backup(11, "twin_20260403_113000")
    with pytest.raises(AmbiguousBackupError) as caught:
        resolve("bead0b", [*BACKUPS, twin, _backup(11, "twin_20260403_113000_2")], NOW, UTC)
    assert caught.value.context["candidates"] == ["twin_20260403_113000", "twin_20260403_113000_2"]


def test_many_candidates_are_not_all_shown() -> None:
    many = [_backup(n, f"x{n:02}_20260401_100000") for n in range(20)]
    with pytest.raises(AmbiguousBackupError) as caught:
        resolve("x", many, NOW, UTC)
    assert caught.value.hint.count("x") == 5
    assert len(caught.value.context["candidates"]) == 20  # type: ignore[arg-type]


def test_misspelled_name_gets_the_nearest_id_as_a_hint() -> None:
    with pytest.raises(BackupNotFoundError) as caught:
        _find("nigthly")
    assert caught.value.hint.startswith("Did you mean nightly_20260402_020000?")
    assert caught.value.context["candidates"] == ["nightly_20260402_020000"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("latest~8", "there are 8 backups."),
        ("latest:milestone~1", "there is 1 backup of type milestone."),
        ("latest:none", "there are no backups of type none."),
    ],
)
def test_too_far_back_says_how_many_there_are(text: str, told: str) -> None:
    with pytest.raises(BackupNotFoundError) as caught:
        _find(text)
    assert caught.value.message.endswith(told)


@pytest.mark.parametrize("text", ["@2026-04-01T10:30", "@2026-04-01 10:30:00", "@20260401_103000"])
def test_time_as_it_is_shown_takes_in_what_was_made_within_it(text: str) -> None:
    late = _backup(11, "late_20260401_103000", created="2026-04-01T10:30:00.900000")
    assert resolve(text, [*BACKUPS, late], NOW, UTC).backup == late


def test_empty_store_says_how_to_make_the_first_backup() -> None:
    for text in ("latest", "@now", "deploy", "20260401"):
        with pytest.raises(BackupNotFoundError) as caught:
            resolve(text, [], NOW, UTC)
        assert "cronos create" in caught.value.hint


@pytest.mark.parametrize("text", ["", "  ", "@", "@soon", "@2026-13-01"])
def test_identifier_that_says_nothing_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        _find(text)


@pytest.mark.parametrize(
    ("text", "backup", "path"),
    [
        ("latest", "latest", None),
        ("latest:", "latest", ""),
        ("latest:.", "latest", ""),
        ("latest:./", "latest", ""),
        ("latest:src/app.py", "latest", "src/app.py"),
        ("latest:README", "latest", "README"),
        ("latest:src:odd", "latest", "src:odd"),
        ("latest~2:src/app.py", "latest~2", "src/app.py"),
        ("latest:pre-deploy", "latest:pre-deploy", None),
        ("latest:pre-deploy~2", "latest:pre-deploy~2", None),
        ("latest:pre-deploy:src/a:b", "latest:pre-deploy", "src/a:b"),
        ("latest:pre-deploy~2:src", "latest:pre-deploy~2", "src"),
        ("latest:pre-deploy:", "latest:pre-deploy", ""),
        ("latest:./pre-deploy", "latest", "pre-deploy"),
        ("latest:pre-deploy/notes", "latest", "pre-deploy/notes"),
        ("latest:nightly", "latest", "nightly"),
        ("deploy:manual", "deploy", "manual"),
        ("deploy_20260401_100000:src\nx", "deploy_20260401_100000", "src\nx"),
        ("@2026-04-01T10:00", "@2026-04-01T10:00", None),
        ("@2026-04-01T10:00:30.5+02:00", "@2026-04-01T10:00:30.5+02:00", None),
        ("@2026-04-01 9:05:src/app.py", "@2026-04-01 9:05", "src/app.py"),
        ("@2026-04-01T10:00+02:00:src", "@2026-04-01T10:00+02:00", "src"),
        ("@2026-04-01:12/34", "@2026-04-01", "12/34"),
        ("@2026-04-01:12:34", "@2026-04-01", "12:34"),
        ("@2026-04-01:src", "@2026-04-01", "src"),
        ("@10:30", "@10:30", None),
        ("@10:30:src", "@10:30", "src"),
        ("@2 days ago:src/app.py", "@2 days ago", "src/app.py"),
        ("@2 days ago:", "@2 days ago", ""),
    ],
)
def test_backup_and_path_are_parted(text: str, backup: str, path: str | None) -> None:
    assert split_path(text) == (backup, path)


def test_types_of_the_user_are_types_when_they_are_known() -> None:
    assert split_path("latest:nightly", types={"nightly"}) == ("latest:nightly", None)
    assert split_path("latest:manual", types={"nightly"}) == ("latest", "manual")
