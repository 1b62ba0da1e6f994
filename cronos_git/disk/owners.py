"""Names of users and groups by number, from the machine's own database, each asked once. Floor F5."""

from __future__ import annotations

import functools
import grp
import pwd


@functools.cache
def user_name(uid: int) -> str:
    """The user's name, empty when the machine has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


@functools.cache
def group_name(gid: int) -> str:
    """The group's name, empty when the machine has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""


@functools.cache
def user_number(name: str) -> int | None:
    """The user's number here, None when the machine has no such name."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


@functools.cache
def group_number(name: str) -> int | None:
    """The group's number here, None when the machine has no such name."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
