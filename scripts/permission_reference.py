"""The page about who may do what over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

from markdown import table
from stepwell.api.permissions import PERMISSIONS, UNAUDITED, WHOLE_SERVER, Permission
from stepwell.api.routing import PREFIX
from stepwell.app.access import ROLES

INTRODUCTION = """\
# Who may do what

Every path of the server, and the roles that may call it. Each role may do what those before it may. How to make keys,
and how tokens give roles: [how-to](../how-to/secure.md).

A caller sees what belongs to its namespaces (`own`); everything else is, for it, not there (404). What it sees and may
not do is refused (403). What concerns `all` namespaces takes a caller that is not confined to some.

The last column says what is in the audit log. What is missing there changes nothing, or is recorded elsewhere: the work
of workers in the history of the execution, the firings of webhooks in their own journal.

"""


def permission_page() -> str:
    """The page."""
    return INTRODUCTION + table(("method", "path", "anybody", *ROLES, "namespaces", "audit log"), _rows())


def _rows() -> Iterator[tuple[str, ...]]:
    for (method, path), permission in sorted(PERMISSIONS.items(), key=lambda line: (line[0][1], line[0][0])):
        changes = method != "GET" and (method, path) not in UNAUDITED
        shown = path.replace(":path}", "}")
        yield (
            method,
            f"`{shown}`",
            "yes" if permission == "anybody" else "",
            *("yes" if _may(role, permission) else "" for role in ROLES),
            "all" if (method, path) in WHOLE_SERVER else "own" if path.startswith(PREFIX) else "",
            "yes" if changes else "",
        )


def _may(role: str, permission: Permission) -> bool:
    return permission == "anybody" or ROLES.index(role) >= ROLES.index(permission)
