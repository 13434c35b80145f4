"""Who calls."""

from __future__ import annotations

from collections.abc import Set
from typing import Annotated, Final, Literal

import msgspec
from fastapi import Depends
from starlette.requests import Request

from stepwell.base.namespaces import namespace_of

Role = Literal["viewer", "operator", "developer", "admin"]
"""Each may do what those before it may."""

ROLES: Final[tuple[Role, ...]] = ("viewer", "operator", "developer", "admin")


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody, or some program, that calls.

    Attributes:
        name: who it is, as records show it.
        namespaces: those that it may see; None for all.
    """

    name: str
    role: Role
    namespaces: Set[str] | None = None

    def sees(self, workflow: str) -> bool:
        """Whether the workflow, and all that belongs to it, is there for this caller."""
        return self.namespaces is None or namespace_of(workflow) in self.namespaces

    def has(self, role: Role) -> bool:
        """Whether it may do what this role may."""
        return ROLES.index(self.role) >= ROLES.index(role)


ANONYMOUS: Final = Caller(name="anonymous", role="admin")
"""Whoever calls a server that asks nobody who he is."""


def caller_of(request: Request) -> Caller:
    """Who sent the request."""
    caller: Caller = request.scope.get("caller", ANONYMOUS)
    return caller


Calling = Annotated[Caller, Depends(caller_of)]
"""The type of a handler's argument that is the caller."""
