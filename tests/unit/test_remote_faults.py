"""What to do about failures of remotes, by words that git 2.39, OpenSSH 9.2, GnuPG 2.2 and git-remote-gcrypt 1.5 really say."""

from __future__ import annotations

import pytest

from cronos_git.rules.remote_faults import advice, telling

GENERIC = [
    "fatal: Could not read from remote repository.",
    "Please make sure you have the correct access rights",
    "and the repository exists.",
]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("git: 'remote-gcrypt' is not a git command. See 'git --help'.", "apt install git-remote-gcrypt"),
        ("gpg: decryption failed: No secret key", "gpg --list-secret-keys"),
        ("gcrypt: ..but repository ID is set. Aborting.", "`cronos remote remove nas`"),
        ("gpg: Sorry, no terminal at all requested - can't get input", "can use a key here"),
        ("Host key for [nas]:22 has changed and you have requested strict checking.", "new key on purpose"),
        ("Host key verification failed.", "Log in there once"),
        ("root@nas: Permission denied (publickey,keyboard-interactive).", "no key that ssh offers"),
        ("fatal: Authentication failed for 'https://nas/r.git/'", "credential helper"),
        ("fatal: could not read Password for 'https://ann@nas': terminal prompts disabled", "credential helper"),
        ("server certificate verification failed. CAfile: none CRLfile: none", "sslCAInfo"),
        ("ssh: connect to host nas port 22: Connection refused", "network and the address"),
        ("ssh: Could not resolve hostname nas: Name or service not known", "network and the address"),
        ("Connection to 10.255.255.1 port 22 timed out", "network and the address"),
        ("Failed to connect to localhost port 1 after 0 ms: Couldn't connect to server", "network and the address"),
        ("fatal: '/srv/none.git' does not appear to be a git repository", "git init --bare"),
        ("fatal: repository 'https://nas/none.git/' not found", "git init --bare"),
        ("fatal: something nobody has foreseen", "the network, the URL and your access"),
    ],
)
def test_advice_meets_the_cause(said: str, told: str) -> None:
    assert told in advice([said, *GENERIC], "nas")


def test_a_changed_key_of_a_host_is_not_taken_for_an_unknown_one() -> None:
    said = ["Host key for [nas]:22 has changed and you have requested strict checking.", "Host key verification failed."]
    assert "remove the old one" in advice(said, "nas")


def test_what_git_adds_to_every_failure_is_left_out_unless_it_is_all() -> None:
    assert telling(["Connection refused", *GENERIC]) == ["Connection refused"]
    assert telling(GENERIC) == GENERIC
