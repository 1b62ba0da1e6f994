"""What to do when a remote fails, told by what git, ssh, gpg and git-remote-gcrypt said about it. Floor F4: pure.

They speak English, as they are run with `LC_ALL=C.UTF-8`. What nobody has foreseen gets the general advice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_GENERIC = re.compile(r"Could not read from remote repository|make sure you have the correct access|^and the repository exists")

_ADVICE = (
    (
        r"remote-gcrypt' is not a git command",
        "Install git-remote-gcrypt and GnuPG (`apt install git-remote-gcrypt` on Debian and Ubuntu), then run the command again.",
    ),
    (
        r"No secret key|Failed to decrypt",
        "The copies there are encrypted for a GnuPG key that is not here, or that is locked: see `gpg --list-secret-keys`.",
    ),
    (
        r"\.\.but repository ID is set",
        "Is the place there, and can it be reached? If the copies there are gone for good, `cronos remote remove {name}` and add "
        "it again; the next push makes them anew.",
    ),
    (
        r"gpg: .*(failed|can't get input|no default|skipped|unusable)",
        "See whether GnuPG can use a key here, off a terminal too: `echo test | gpg --batch -se --default-recipient-self`.",
    ),
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|[Hh]ost key .*has changed",
        "If the server has a new key on purpose, remove the old one as ssh says; if not, somebody else may answer in its place.",
    ),
    (
        r"Host key verification failed",
        "Log in there once with ssh on a terminal, and compare the key that it shows with the server's; then run this again.",
    ),
    (
        r"Permission denied \(|Too many authentication failures",
        "The server takes no key that ssh offers: see `ssh -v`. Off a terminal a key needs an agent, or no passphrase.",
    ),
    (
        r"Authentication failed|could not read (Username|Password)|terminal prompts disabled|[Aa]ccess denied|error: 40[13]",
        "Give the name in the URL and the password to a credential helper of git (gitcredentials(7)), then run this again.",
    ),
    (
        r"certificate",
        "Let git know who signed the server's certificate, with its setting http.<url>.sslCAInfo, then run the command again.",
    ),
    (
        r"[Rr]esolve host|Connection (refused|reset|closed)|No route to host|Network is unreachable|Failed to connect|timed out",
        "Check the network and the address; then run this again, it goes on where it stopped.",
    ),
    (
        r"does not appear to be a git repository|[Rr]epository .*not found",
        "Check the URL with `cronos remote list`. If the repository is still to be made: `git init --bare DIRECTORY` there.",
    ),
)
_GENERAL = (
    "Check the network, the URL and your access with `cronos remote list`; then run this again, it goes on where it stopped."
)


def advice(said: Sequence[str], name: str) -> str:
    """What the user can do, one sentence or two.

    Args:
        said: The lines that were said.
        name: What the remote is called.
    """
    text = "\n".join(said)
    found = next((hint for pattern, hint in _ADVICE if re.search(pattern, text)), _GENERAL)
    return found.replace("{name}", name)


def telling(said: Sequence[str]) -> list[str]:
    """The lines that say something of their own, without those that git adds to every failure; all when these are all."""
    return [line for line in said if not _GENERIC.search(line)] or list(said)
