"""Who does something, for the record."""

from __future__ import annotations

import getpass
import socket


def this_user() -> str:
    """`user@host`, as the system knows them."""
    return f"{user_name()}@{socket.gethostname()}"


def user_name() -> str:
    """The name that the user is logged in with."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user without a name, as in some containers
        return "unknown"
