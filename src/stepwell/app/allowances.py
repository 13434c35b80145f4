"""What definitions may use, by who registers them: a definition cannot gain what its sender may not do.

Whoever starts the server decides, in its configuration. Definitions that are registered on the store itself, by the
command line, are his; an admin may register everything that is not denied; for everybody else what can do harm beyond
the workflow itself must be allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from stepwell.app.access import Caller, Forbidden, Role
from stepwell.app.security_sections import Rule, Security
from stepwell.app.uses import Kind, Use, uses_of, uses_of_settings
from stepwell.base.clock import Clock
from stepwell.base.errors import Conflict
from stepwell.base.namespaces import namespace_of
from stepwell.definition.diagnostics import Diagnostic, InvalidDefinition
from stepwell.definition.model import CONTROL_TYPES, LEAF_TYPES, WorkflowDefinition
from stepwell.ports.ledger import Write
from stepwell.ports.records import Registration
from stepwell.ports.store import Store
from stepwell.services.secret_table import KIND as SECRET
from stepwell.services.secret_table import decoded

KIND: Final = "grant"
RISKY: Final = frozenset({"shell", "file", "sql", "python", "dynamic"})
"""Types of steps that reach what the server's machine or its operator has. Steps that a `dynamic` one makes can be of
any type."""

_BASE: Final = Rule(steps=sorted((LEAF_TYPES | CONTROL_TYPES) - RISKY), services=["*"], channels=["*"])
"""What everybody's definitions may use unless it is denied. Secrets of the store say themselves who may use them."""

_WORDS: Final[Mapping[Kind, str]] = {
    "steps": "steps of type",
    "tasks": "the task",
    "services": "the service",
    "secrets": "the secret",
    "channels": "the channel",
    "workflows": "the workflow",
    "events": "events of type",
}


class NotAllowed(InvalidDefinition):
    """A definition uses what its sender may not; `diagnostics` says what, and where."""

    code = "not-allowed"


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """With whose rights a definition was registered over the API."""

    role: Role
    by: str
    namespaces: tuple[str, ...] | None = None


class Allowances:
    """Who may have what done, on one server."""

    def __init__(self, section: Security, store: Store, clock: Clock) -> None:
        self._allow = section.allow
        self._deny = section.deny
        self._store = store
        self._clock = clock

    async def check(self, definition: WorkflowDefinition, caller: Caller) -> None:
        """Whether the caller may register a definition.

        Raises:
            NotAllowed: with everything that it uses and the caller may not.
        """
        self._refuse(definition, caller.role, caller, await self._secrets_for(definition.name))

    async def keep(self, definition: WorkflowDefinition, caller: Caller) -> None:
        """Remember, before it is registered, with whose rights that is done."""
        is_there = await self._store.registered(definition.name, definition.version) is not None
        if is_there or caller.has_all:
            return
        grant = Grant(role=caller.role, by=caller.name, namespaces=_sorted(caller))
        write = Write(kind=KIND, key=definition.digest, body=msgspec.json.encode(grant), expected=0)
        try:
            await self._store.write([write], self._clock.now())
        except Conflict:  # it was sent before
            return

    async def check_start(self, registration: Registration, definition: WorkflowDefinition) -> None:
        """Whether what a registered definition uses is still allowed.

        Raises:
            NotAllowed: permission was withdrawn since.
        """
        document = await self._store.document(KIND, registration.digest)
        if document is None:  # an admin's, or registered on the store itself
            if self._deny:
                self._refuse(definition, "admin", None, frozenset())
            return
        grant = msgspec.json.decode(document.body, type=Grant)
        namespaces = frozenset(grant.namespaces) if grant.namespaces is not None else None
        whose = Caller(name=grant.by, role=grant.role, namespaces=namespaces)
        self._refuse(definition, grant.role, whose, await self._secrets_for(definition.name))

    async def check_settings(self, definition: WorkflowDefinition, caller: Caller, settings: Mapping[str, Any]) -> None:
        """Whether the caller may put other settings over those of a step: who may not register the definition could
        have its secrets sent elsewhere so.

        Raises:
            Forbidden: code `settings-not-allowed`.
        """
        hint = "try again without other settings, or ask an admin"
        if not caller.has("developer"):
            message = f"other settings take the role developer, and {caller.name} has the role {caller.role}"
            raise Forbidden(message, code="settings-not-allowed", hint=hint)
        try:
            await self.check(definition, caller)
        except NotAllowed as refused:
            message = f"{caller.name} may not register this workflow: {refused.diagnostics[0].message}"
            raise Forbidden(message, code="settings-not-allowed", hint=hint) from None
        namespace = namespace_of(definition.name)
        for use in uses_of_settings(settings):
            if not self._is_allowed(use, namespace, caller.role, caller, frozenset()):
                raise Forbidden(self._problem(use), code="settings-not-allowed", hint=hint)

    async def _secrets_for(self, workflow: str) -> frozenset[str]:
        """The secrets of the store that a workflow may use."""
        found: list[str] = []
        after = ""
        while page := await self._store.documents(SECRET, after=after):
            after = page[-1].key
            for document in page:
                namespaces = decoded(document).namespaces
                if namespaces is None or namespace_of(workflow) in namespaces:
                    found.append(document.key)
        return frozenset(found)

    def _refuse(
        self, definition: WorkflowDefinition, role: Role, caller: Caller | None, secrets: frozenset[str]
    ) -> None:
        namespace = namespace_of(definition.name)
        refused = [use for use in uses_of(definition) if not self._is_allowed(use, namespace, role, caller, secrets)]
        if refused:
            found = dict.fromkeys(refused)
            raise NotAllowed(tuple(_finding(definition, use, self._problem(use)) for use in found), definition.source)

    def _is_allowed(self, use: Use, namespace: str, role: Role, caller: Caller | None, secrets: frozenset[str]) -> bool:
        if any(_covers(rule, use, namespace, role, denies=True) for rule in self._deny):
            return False
        if caller is None or caller.has_all:
            return True
        if use.kind == "secrets" and use.name in secrets:
            return True
        if use.kind in ("workflows", "events") and _is_seen(caller, use.name):
            return True
        return any(_covers(rule, use, namespace, role) for rule in (_BASE, *self._allow))

    def _problem(self, use: Use) -> str:
        what = _WORDS[use.kind]
        if use.name is None:
            return f"{use.kind} that only a run knows may not be used"
        return f"{what} {use.name!r} may not be used"


def _covers(rule: Rule, use: Use, namespace: str, role: Role, *, denies: bool = False) -> bool:
    """Whether a rule speaks of this use. What only a run knows is allowed where everything is, and denied where
    anything is."""
    if role not in rule.roles or not _matches(rule.namespaces, namespace):
        return False
    if use.kind == "tasks" and "python" in rule.steps:
        return True
    patterns: Sequence[str] = getattr(rule, use.kind)
    if use.name is None:
        return bool(patterns) if denies else "*" in patterns
    return _matches(patterns, use.name)


def _matches(patterns: Sequence[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_seen(caller: Caller, name: str | None) -> bool:
    """Whether the caller may speak in the namespace of a name; in all of them for a name that only a run knows."""
    return caller.namespaces is None or (name is not None and caller.sees(name))


def _sorted(caller: Caller) -> tuple[str, ...] | None:
    return tuple(sorted(caller.namespaces)) if caller.namespaces is not None else None


def _finding(definition: WorkflowDefinition, use: Use, message: str) -> Diagnostic:
    return Diagnostic(
        code="not-allowed",
        message=message,
        span=definition.spans.at(use.path),
        hint="the operator of the server allows it: security.allow of its configuration",
        path=use.path,
        source_name=definition.source.name,
    )
