"""Who does something, for the record."""

from __future__ import annotations

import getpass
import socket


def this_user() -> str:
    """`user@host`, as the system knows them."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user without a name, as in some containers
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
