"""Laws of what is let through to git, of what is shown, and of what two sides have in common."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cronos_git.errors import CronosError, RefusedError, UsageError
from cronos_git.model import Backup, PushPlan, PushRequest, Remote
from cronos_git.ops import push
from cronos_git.ops.chronicle import History, replay
from cronos_git.rules.remotes import (
    BACKUPS,
    backups_of,
    check_name,
    check_url,
    choose,
    is_path,
    shown,
)
from tests.support.stores import make_backup

PIECES = st.sampled_from(
    [
        "\n",
        "\x00",
        "\x1b",
        "\x7f",
        " ",
        "%",
        "~",
        "C:",
        "a",
        "1",
        "é",
        "ftp",
        "git",
        "+",
        "\\",
        "-",
        "--",
        "-o",
        "::",
        ":",
        "/",
        "//",
        "://",
        "@",
        "ext",
        "gcrypt::",
        "ssh",
        "https",
        "file",
        "host",
        "u:p@",
        "[::1]",
        "..",
    ]
)
URLS = st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=30)
HOST = st.from_regex(r"[a-z][a-z0-9.-]{0,10}[a-z0-9]", fullmatch=True)
SECRET = st.text(string.ascii_letters + string.digits + "!$&'()*+,;=%:-._~@", min_size=8, max_size=30)


@given(URLS)
@example("gcrypt::ext::sh")
@example("ssh://u@-x/y")
@example("u@-x:y")
@example("[-x]:y")
@example("ssh://[-x]/y")
@example("https://u:p@-x/")
@example("-x/y:z")
@example("ssh://-x@host/y")
def test_what_is_let_through_is_no_option_no_helper_and_holds_no_control_character(url: str) -> None:
    try:
        assert check_url(url) == url
    except (RefusedError, UsageError) as error:
        assert error.hint
        return
    plain = url.removeprefix("gcrypt::")
    assert not plain.startswith("-")
    assert not re.match(r"[a-zA-Z0-9.+-]*::", plain)
    assert not re.search(r"[\x00-\x1f\x7f]", url)
    scheme, found, rest = plain.partition("://")
    if found and re.fullmatch("[a-zA-Z][a-zA-Z0-9+.-]*", scheme):
        assert scheme.lower() in {"file", "ssh", "https", "http"} | ({"rsync", "sftp"} if plain != url else set())
        if scheme.lower() != "file":
            authority = rest.partition("/")[0]
            assert not authority.rpartition("@")[2].strip("[]").startswith("-")
            assert authority
            assert not authority.startswith("-")
    elif not is_path(plain):
        assert not plain.partition(":")[0].rpartition("@")[2].strip("[").startswith("-")


@given(HOST, st.sampled_from(["https://", "http://", "ssh://", "gcrypt::https://"]), st.text("abc/", max_size=5))
def test_ordinary_urls_are_let_through_and_shown_as_they_are(host: str, scheme: str, path: str) -> None:
    for url in (f"{scheme}{host}/{path}", f"{scheme}me@{host}:2222/{path}", f"me@{host}:{path}x", f"/{host}/{path}"):
        assert check_url(url) == shown(url) == url


@given(HOST, SECRET, st.sampled_from(["alice", "", "x-access-token"]))
def test_a_password_is_never_shown(host: str, secret: str, user: str) -> None:
    url = f"https://{user}:{secret}@{host}/x y.git"
    text = f"fatal: unable to access '{url}': no"
    assert secret not in shown(url).replace(host, "")
    assert secret not in shown(text).replace(host, "")
    assert shown(url).startswith(f"https://{user}:***@")
    assert shown(shown(text)) == shown(text)


@given(HOST, st.text(string.ascii_letters + string.digits + "_", min_size=20, max_size=60))
def test_a_token_in_place_of_a_user_is_never_shown(host: str, token: str) -> None:
    assert shown(f"https://{token}@{host}/x.git") == f"https://***@{host}/x.git"


@given(st.text(max_size=12) | st.from_regex(r"[a-z.-]{1,6}", fullmatch=True))
def test_a_name_is_one_that_git_takes_for_a_name(name: str) -> None:
    try:
        check_name(name)
    except UsageError:
        return
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)
    assert ".." not in name
    assert not name.endswith((".lock", "."))


@given(st.lists(st.sampled_from(["a", "b", "origin"]), unique=True), st.sampled_from([None, "a", "b", "origin", "c"]))
def test_a_remote_is_chosen_or_the_call_was_wrong(names: list[str], asked: str | None) -> None:
    remotes = [Remote(name=name, url="/x") for name in sorted(names)]
    if asked in names or (asked is None and (len(names) == 1 or "origin" in names)):
        assert choose(remotes, asked).name == (asked or ("origin" if len(names) > 1 else names[0]))
    else:
        with pytest.raises(CronosError):
            choose(remotes, asked)


# --- what a push would do ---


def stored(number: int, commit: int, tag: int) -> Backup:
    return replace(make_backup(number, name=f"n{number % 3}"), commit=f"{commit:040x}", tag=f"{tag:040x}")


BACKUPS_HERE = st.lists(st.integers(1, 9), unique=True, max_size=6).map(
    lambda numbers: [stored(number, number, 100 + number) for number in numbers]
)
THERE = st.dictionaries(st.integers(1, 9), st.tuples(st.integers(1, 12), st.sampled_from([100, 200])), max_size=6)


def refs_of(there: Mapping[int, tuple[int, int]]) -> dict[str, str]:
    """A remote with backups under the ids of these numbers, with other numbers' commits."""
    refs: dict[str, str] = {}
    for number, (commit, tags) in there.items():
        name = BACKUPS + make_backup(number, name=f"n{number % 3}").id
        refs |= {name: f"{tags + commit:040x}", name + "^{}": f"{commit:040x}"}
    return refs


def after(plan: PushPlan, refs: Mapping[str, str]) -> dict[str, str]:
    """What the remote has when all of the plan was done."""
    new = dict(refs)
    for backup in plan.missing:
        name = BACKUPS + plan.names.get(backup.id, backup.id)
        assert name not in new
        new |= {name: backup.tag, name + "^{}": backup.commit}
    for backup in plan.amended if plan.request.amended else ():
        new[BACKUPS + backup.id] = backup.tag
    for copy in plan.dropped if plan.request.prune else ():
        del new[BACKUPS + copy.id], new[BACKUPS + copy.id + "^{}"]
    return new


@given(BACKUPS_HERE, THERE, st.booleans(), st.sets(st.integers(1, 9)))
def test_after_a_push_nothing_is_missing_and_nothing_of_others_was_touched(
    backups: list[Backup], there: dict[int, tuple[int, int]], everything: bool, gone: set[int]
) -> None:
    dropped = [stored(number, number, 100 + number) for number in gone - {backup.sequence for backup in backups}]
    records: list[dict[str, object]] = [
        {"verb": "create", "backup": one.id, "tag": one.tag, "result": "done"} for one in (*backups, *dropped)
    ]
    records += [{"verb": "delete", "backups": [one.id], "result": "done"} for one in dropped]
    history: History = replay(records)
    remote, request = Remote(name="r", url="/r"), PushRequest(amended=everything, prune=everything)
    refs = refs_of(there)
    plan = push.plan(remote, request, backups, refs, history)
    new = after(plan, refs)
    again = push.plan(remote, request, backups, new, history)
    assert (again.missing, again.names, again.there) == ((), {}, len(backups))
    assert len(plan.missing) + plan.there == len(backups)
    assert [backup.sequence for backup in plan.missing] == sorted(backup.sequence for backup in plan.missing)
    if everything:
        assert (again.amended, again.dropped) == ((), ())
    commits = {backup.commit for backup in (*backups, *dropped)}
    for copy in backups_of(refs):
        if copy.commit not in commits:
            assert new[BACKUPS + copy.id] == copy.tag
    assert {copy.commit for copy in backups_of(new)} >= {backup.commit for backup in backups}
