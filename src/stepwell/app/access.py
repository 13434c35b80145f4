"""Who calls, and what each role may do."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Final, Literal

import msgspec

from stepwell.base.errors import StepwellError, UsageError
from stepwell.base.namespaces import is_namespace, namespace_of
from stepwell.base.suggest import hint_for

Role = Literal["viewer", "operator", "developer", "admin"]
"""Each may do what those before it may."""

ROLES: Final[tuple[Role, ...]] = ("viewer", "operator", "developer", "admin")

Proof = Literal["none", "key", "token", "system"]
"""How it is known who somebody is: not at all, by an API key, by a token of an issuer, as a user of the machine."""


class Unauthenticated(StepwellError):
    """The server asks who calls, and what was said does not prove it."""

    code = "unauthenticated"
    exit_status = 2


class Forbidden(StepwellError):
    """It is known who calls, and that one may not do this."""

    code = "forbidden"
    exit_status = 2


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody, or some program, that calls.

    Attributes:
        name: who it is, as records show it.
        namespaces: those that it may see; None for all.
        proof: how that is known.
        id: of the API key, or what the issuer calls it; tells apart who has the same name.
    """

    name: str
    role: Role
    namespaces: Set[str] | None = None
    proof: Proof = "none"
    id: str = ""

    def sees(self, workflow: str) -> bool:
        """Whether the workflow, and all that belongs to it, is there for this caller."""
        return self.namespaces is None or namespace_of(workflow) in self.namespaces

    @property
    def has_all(self) -> bool:
        """Whether it may do everything everywhere, but for what is denied to all."""
        return self.role == "admin" and self.namespaces is None

    def has(self, role: Role) -> bool:
        """Whether it may do what this role may."""
        return ROLES.index(self.role) >= ROLES.index(role)


ANONYMOUS: Final = Caller(name="anonymous", role="admin")
"""Whoever calls a server that asks nobody who he is."""


def checked_role(text: str) -> Role:
    """The role of that name.

    Raises:
        UsageError: code `unknown-role`.
    """
    for role in ROLES:
        if role == text:
            return role
    raise UsageError(f"there is no role {text!r}", code="unknown-role", hint=hint_for(text, ROLES))


def checked_namespaces(names: Iterable[str] | None) -> tuple[str, ...] | None:
    """The namespaces in order, without doubles; None stays None.

    Raises:
        UsageError: (code `invalid-namespace`) one of them cannot be the name of one, or there are none.
    """
    if names is None:
        return None
    found = tuple(sorted(set(names)))
    wrong = next((name for name in found if not is_namespace(name)), None)
    if wrong is not None or not found:
        said = f"{wrong!r} is not the name of a namespace" if wrong is not None else "no namespace is named"
        hint = "letters, digits, '_' and '-', beginning with a letter or '_'"
        raise UsageError(said, code="invalid-namespace", hint=hint)
    return found
