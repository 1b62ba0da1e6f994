"""Encrypted copies with the real git-remote-gcrypt and throwaway GnuPG keys, in a directory and in a Git repository."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cronos_git.engine import Cronos
from cronos_git.errors import RemoteError
from cronos_git.model import AmendRequest, CompactRequest, PushRequest, RestoreRequest
from tests.support.git import git
from tests.support.remotes import assert_sound, machine, make_remote, object_count, saved
from tests.support.trees import make_tree, read_tree

pytestmark = pytest.mark.skipif(
    not (shutil.which("git-remote-gcrypt") and shutil.which("gpg")), reason="git-remote-gcrypt or gpg is not installed"
)
SECRET = "nobody else reads this"


def make_keys(home: Path, *names: str) -> Path:
    """A GnuPG home with keys of these names and without passphrases."""
    home.mkdir(mode=0o700)
    for name in names:
        words = ("--batch", "--quiet", "--passphrase", "", "--quick-generate-key", name, "future-default", "default", "never")
        subprocess.run(["gpg", "--homedir", home, *words], check=True, capture_output=True)
    return home


@pytest.fixture(scope="module")
def keys() -> Iterator[Path]:
    """Homes of GnuPG: `ann` and `ben` with a key each, `both` knows ben's too, `none` has none. Their paths must be short."""
    base = Path(tempfile.mkdtemp(prefix="gpg"))
    make_keys(base / "none")
    for name in ("ann", "ben"):
        make_keys(base / name, f"{name}@example.org")
    shutil.copytree(base / "ann", base / "both", ignore=shutil.ignore_patterns("S.*"))
    told = subprocess.run(["gpg", "--homedir", base / "ben", "--export"], check=True, capture_output=True).stdout
    subprocess.run(["gpg", "--homedir", base / "both", "--quiet", "--import"], check=True, capture_output=True, input=told)
    shutil.copytree(base / "ben", base / "reader", ignore=shutil.ignore_patterns("S.*"))
    told = subprocess.run(["gpg", "--homedir", base / "ann", "--export"], check=True, capture_output=True).stdout
    subprocess.run(["gpg", "--homedir", base / "reader", "--quiet", "--import"], check=True, capture_output=True, input=told)
    yield base
    for home in base.iterdir():
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)
    shutil.rmtree(base)


Hold = Callable[[str], None]


@pytest.fixture(autouse=True)
def hold(keys: Path, monkeypatch: pytest.MonkeyPatch) -> Hold:
    """Take another ring of keys; ann's at first."""

    def take(ring: str) -> None:
        monkeypatch.setenv("GNUPGHOME", str(keys / ring))

    take("ann")
    return take


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A bare repository that the encrypted copies go to."""
    return make_remote(tmp_path / "place")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where gcrypt makes a directory for them."""
    return tmp_path / "place"


def joined(tmp_path: Path, host: str, place: Path) -> Cronos:
    """The engine of a machine that knows the place as origin."""
    engine = machine(tmp_path, host)
    engine.add_remote("origin", f"gcrypt::{place}")
    return engine


def size_of(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def test_copies_come_back_on_a_new_machine_and_tell_nothing_where_they_are(tmp_path: Path, directory: Path) -> None:
    engine = joined(tmp_path, "ann", directory)
    make_tree(engine.project, {"diary.txt": SECRET, "sub": {"empty": {}}})
    sent = [saved(engine, "a"), saved(engine, "b")]
    assert engine.push().pushed == tuple(backup.id for backup in sent)
    raw = b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
    assert not any(word in raw for word in (SECRET.encode(), b"diary", sent[0].id.encode()))
    other = machine(tmp_path, "new")
    shutil.rmtree(other.project)
    assert [(got.id, got.tag) for got in other.clone(f"gcrypt::{directory}").backups] == [(one.id, one.tag) for one in sent]
    other.restore(RestoreRequest(backup="latest", target=str(other.project)))
    assert read_tree(other.project) == read_tree(engine.project)
    assert_sound(engine.store.path, other.store.path)


def test_gcrypt_leaves_nothing_among_the_backups(tmp_path: Path, repository: Path) -> None:
    engine = joined(tmp_path, "ann", repository)
    saved(engine, "a")
    count, refs = object_count(engine.store.path), git("--git-dir", engine.store.path, "for-each-ref")
    engine.push()
    assert (object_count(engine.store.path), git("--git-dir", engine.store.path, "for-each-ref")) == (count, refs)
    assert not (engine.store.path / "remote-gcrypt").exists()
    engine.compact(CompactRequest())
    assert engine.verify().damage == ()
    assert engine.push().pushed == ()
    engine.remove_remote("origin")
    assert not (engine.store.path / "cronos/encrypted").exists()
    assert "gcrypt" not in (engine.store.path / "config").read_text()


def test_only_what_is_new_travels_also_after_pruning(tmp_path: Path, repository: Path) -> None:
    engine = joined(tmp_path, "ann", repository)
    (engine.project / "big").write_bytes(bytes(range(256)) * 20 + b"".join(i.to_bytes(4, "big") for i in range(100_000)))
    first = saved(engine, "a")
    saved(engine, "b")
    engine.push()
    before = size_of(repository)
    engine.delete([first.id])
    engine.compact(CompactRequest(trash_days=0))
    saved(engine, "c")
    engine.push()
    assert before > 100_000
    assert size_of(repository) - before < 20_000


def test_two_machines_share_an_encrypted_remote(tmp_path: Path, repository: Path) -> None:
    ann, ben = joined(tmp_path, "ann", repository), joined(tmp_path, "ben", repository)
    for engine in (ann, ben):
        make_tree(engine.project, {"same": "x" * 5000, "of": engine.identity.host})
    saved(ann, "a", "1")
    theirs = saved(ben, "b", "2")
    ann.push()
    assert ben.push().branches == ("machine/ben/main",)
    report = ann.check_remote()
    assert (report.same, report.missing, report.others) == (1, (), (theirs.id,))
    assert [got.commit for got in ann.fetch().backups] == [theirs.commit]
    reachable = git("--git-dir", ann.store.path, "rev-list", "--objects", "--all").splitlines()
    assert object_count(ann.store.path) - len(reachable) <= 1  # the tag as it was there, and not all that gcrypt got
    assert ann.push().branches == ("module/imported",)
    assert_sound(ann.store.path, ben.store.path)


def test_what_was_amended_and_compacted_is_still_known_there(tmp_path: Path, directory: Path) -> None:
    engine = joined(tmp_path, "ann", directory)
    backup = saved(engine, "a")
    engine.push()
    engine.amend(AmendRequest(backups=("latest",), add_labels=("good",)))
    engine.compact(CompactRequest(trash_days=0))
    plan = engine.plan_push()
    assert ([one.id for one in plan.amended], plan.missing) == ([backup.id], ())
    shutil.rmtree(engine.store.path / "cronos/encrypted")
    assert engine.plan_push() == plan
    assert not (engine.store.path / "cronos/fetch").exists()
    assert engine.push(PushRequest(amended=True)).amended == (backup.id,)
    assert engine.check_remote().amended == ()


def test_pruning_reaches_an_encrypted_remote_when_asked_to(tmp_path: Path, directory: Path) -> None:
    engine = joined(tmp_path, "ann", directory)
    first = saved(engine, "a")
    saved(engine, "b")
    engine.push()
    engine.delete([first.id])
    assert engine.push(PushRequest(prune=True)).removed == (first.id,)
    report = engine.check_remote()
    assert (report.same, report.others) == (1, ())


def test_without_the_key_nothing_is_read_or_sent(tmp_path: Path, directory: Path, hold: Hold) -> None:
    engine = joined(tmp_path, "ann", directory)
    backup = saved(engine, "a")
    hold("none")
    with pytest.raises(RemoteError, match="did not take anything"):
        engine.push()
    hold("ann")
    assert engine.push().pushed == (backup.id,)
    hold("ben")
    stranger = machine(tmp_path, "ben")
    with pytest.raises(RemoteError, match="decrypt") as failed:
        stranger.clone(f"gcrypt::{directory}")
    assert "key that is not here" in (failed.value.hint or "")
    assert not stranger.store_path.exists()


def test_every_participant_can_read_them(tmp_path: Path, directory: Path, hold: Hold) -> None:
    hold("both")
    engine = joined(tmp_path, "ann", directory)
    backup = saved(engine, "a")
    git("--git-dir", engine.store.path, "config", "gcrypt.participants", "ann@example.org ben@example.org")
    # Of several hidden keys gpg 2.2 ends with an error when the first one is another's.
    git("--git-dir", engine.store.path, "config", "gcrypt.publish-participants", "true")
    engine.push()
    hold("reader")
    assert [got.id for got in machine(tmp_path, "ben").clone(f"gcrypt::{directory}").backups] == [backup.id]


def test_a_remote_that_vanished_is_not_made_anew(tmp_path: Path, directory: Path) -> None:
    engine = joined(tmp_path, "ann", directory)
    saved(engine, "a")
    engine.push()
    directory.rename(tmp_path / "away")
    with pytest.raises(RemoteError, match="repository ID is set") as failed:
        engine.push()
    assert "Is the place there" in (failed.value.hint or "")
    assert not directory.exists()
    (tmp_path / "away").rename(directory)
    assert engine.push().pushed == ()


def test_a_remote_that_was_replaced_is_refused(tmp_path: Path, directory: Path) -> None:
    engine = joined(tmp_path, "ann", directory)
    saved(engine, "a")
    engine.push()
    git("--git-dir", engine.store.path, "config", "remote.origin.gcrypt-id", ":id:anotherone")
    for _ in range(2):
        with pytest.raises(RemoteError, match="its id has changed from :id:anotherone"):
            engine.push()
    engine.remove_remote("origin")
    engine.add_remote("origin", f"gcrypt::{directory}")
    assert engine.push().pushed == ()


def test_cloning_from_nothing_is_an_error_and_leaves_no_store(tmp_path: Path, directory: Path) -> None:
    engine = machine(tmp_path, "ann")
    with pytest.raises(RemoteError, match="no encrypted repository"):
        engine.clone(f"gcrypt::{directory}")
    assert not engine.store_path.exists()
    assert not directory.exists()
