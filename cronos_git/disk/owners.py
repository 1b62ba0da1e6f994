"""Names (and homes) of users and groups by number, from the machine's own database, each asked once. Floor F5."""

from __future__ import annotations

import functools
import grp
import pwd
from collections.abc import Mapping
from dataclasses import replace

from cronos_git.model import Attributes


@functools.cache
def user_name(uid: int) -> str:
    """The user's name, empty when the machine has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def home_of(uid: int) -> str:
    """The user's home directory as the machine knows it, empty when it has none."""
    try:
        return pwd.getpwuid(uid).pw_dir
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


def with_local_owner(attributes: Attributes, users: Mapping[int, str], groups: Mapping[int, str]) -> Attributes:
    """The attributes with the numbers that the recorded names have here; a number without name stands for itself.

    Args:
        users: Recorded names by number.
        groups: The same for groups.
    """
    uid = user_number(users.get(attributes.uid, ""))
    gid = group_number(groups.get(attributes.gid, ""))
    uid, gid = attributes.uid if uid is None else uid, attributes.gid if gid is None else gid
    return attributes if (uid, gid) == (attributes.uid, attributes.gid) else replace(attributes, uid=uid, gid=gid)
