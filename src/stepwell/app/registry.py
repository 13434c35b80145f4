"""Workflows by name and version: registering them, finding them, and what they are allowed to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, Final, NamedTuple

from stepwell.base.errors import Conflict, NotFound, StoreError
from stepwell.base.instants import to_rfc3339
from stepwell.base.spans import Source
from stepwell.base.suggest import hint_for
from stepwell.definition.model import WorkflowDefinition
from stepwell.definition.shapes import WORKFLOW_NAME_PATTERN
from stepwell.dialects.loading import load
from stepwell.ports.records import Deed, Lifecycle, Registered, Registration, StoredDefinition
from stepwell.ports.store import Store
from stepwell.store.lifecycle import check_startable, reason_of

_REFERENCE: Final = re.compile(rf"(?P<name>{WORKFLOW_NAME_PATTERN.strip('^$')})(?:@(?P<version>[0-9A-Za-z.+-]+))?")

_SUFFIXES: Final = (".yaml", ".yml", ".json")
_LONGEST_FILE_NAME: Final = 255


class Reference(NamedTuple):
    """A registered workflow as people name it: `NAME`, which means its default version, or `NAME@VERSION`."""

    name: str
    version: str | None = None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


def reference_of(text: str) -> Reference | None:
    """What `text` refers to, or None when it has not the form of a reference."""
    match = _REFERENCE.fullmatch(text)
    return Reference(match["name"], match["version"]) if match is not None else None


def reference_unless_file(text: str) -> Reference | None:
    """The same where both a file and a reference may be given; None when it is a file, or has a file's suffix."""
    reference, path = reference_of(text), Path(text)
    if reference is None or path.suffix in _SUFFIXES:
        return None
    return reference if len(text) > _LONGEST_FILE_NAME or not path.exists() else None


class Startable(NamedTuple):
    """A definition that may be started; `warning` says what speaks against it, or is None."""

    registration: Registration
    definition: StoredDefinition
    warning: str | None


class Registry:
    """The registered workflows of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def register(
        self, definition: WorkflowDefinition, *, draft: bool, at: int, by: str, reason: str | None = None
    ) -> Registered:
        """Register a definition, which must be right, under its name and version.

        Raises:
            Conflict: (code `version-exists`) the version is there with other content; (code `webhook-path-taken`)
                another workflow has a webhook with the same path.
        """
        await self._check_webhooks(definition)
        return await self._store.register(
            stored_definition(definition),
            tags=definition.tags,
            lifecycle="draft" if draft else "active",
            at=at,
            by=by,
            reason=reason,
        )

    async def _check_webhooks(self, definition: WorkflowDefinition) -> None:
        """Refuse a path that the active version of another workflow has."""
        paths = {each.config["path"] for each in definition.triggers if each.kind == "webhook"}
        for other in await self._store.registrations(lifecycle="active") if paths else ():
            if other.name == definition.name or not other.is_default:
                continue
            stored = await self.definition(other)
            if any(path in stored.text for path in paths):  # reading all of them would take long
                taken = paths & _webhook_paths(load(stored_source(stored)).definition)
                if taken:
                    message = f"the webhook {min(taken)!r} belongs to the workflow {other.name!r}"
                    raise Conflict(message, code="webhook-path-taken", hint="choose another path")

    async def find(self, reference: Reference) -> Registration:
        """The version that is referred to, whatever its lifecycle: for looking. A name alone means its default, or the
        newest version where none is to be started.

        Raises:
            NotFound: code `unknown-workflow`, or `unknown-version`.
        """
        found = await self._store.registered(*reference)
        if found is not None:
            return found
        versions = await self._store.registrations(name=reference.name)
        if not versions:
            raise await self._unknown(reference)
        if reference.version is None:
            return versions[0]
        raise NotFound(
            f"{reference.name} {reference.version} is not registered",
            code="unknown-version",
            hint=hint_for(reference.version, [each.version for each in versions]),
        )

    async def startable(self, reference: Reference) -> Startable:
        """The version that is referred to, for starting it.

        Raises:
            NotFound: see `find`. Conflict: (code `version-draft`, `version-retired`) it must not be started.
        """
        registration = await self.find(reference)
        check_startable(registration)
        name, warning = Reference(registration.name, registration.version), None
        if registration.lifecycle == "deprecated":
            warning = f"{name} is deprecated{reason_of(registration)}"
        return Startable(registration, await self.definition(registration), warning)

    async def definition(self, registration: Registration) -> StoredDefinition:
        """What is registered, as it was given."""
        definition = await self._store.definition(registration.digest)
        if definition is None:  # the schema forbids it: the store is damaged
            raise StoreError(
                f"the definition {registration.digest[:12]} is not in the store", code="unusable-definition"
            )
        return definition

    async def list(
        self, *, name: str | None = None, tag: str | None = None, lifecycle: Lifecycle | None = None
    ) -> dict[str, Any]:
        """What is registered, by name, the newest version first: `{"items": [...], "next": null}`."""
        found = await self._store.registrations(name=name, tag=tag, lifecycle=lifecycle)
        return {"items": [registration_report(each) for each in found], "next": None}

    async def names(self) -> Set[str]:
        """The names of all registered workflows."""
        return {each.name for each in await self._store.registrations()}

    async def _unknown(self, reference: Reference) -> NotFound:
        names = await self.names()
        hint = hint_for(reference.name, names) if names else "`stepwell workflow apply FILE` registers one"
        return NotFound(f"no workflow {reference.name!r} is registered", code="unknown-workflow", hint=hint)


def stored_definition(definition: WorkflowDefinition) -> StoredDefinition:
    """The definition as a store keeps it."""
    return StoredDefinition(
        digest=definition.digest,
        name=definition.name,
        version=definition.version,
        dialect=definition.dialect,
        source_name=definition.source.name,
        text=definition.source.text,
    )


def _webhook_paths(definition: WorkflowDefinition | None) -> set[str]:
    triggers = definition.triggers if definition is not None else ()
    return {each.config["path"] for each in triggers if each.kind == "webhook"}


def stored_source(stored: StoredDefinition) -> Source:
    """The text of a stored definition, to be read as it was when it was stored: what was let pass then is again."""
    return Source(stored.source_name, stored.text, stored.dialect, lenient=True)


def registration_report(registration: Registration) -> dict[str, Any]:
    """A registered version as users see it."""
    first = registration.log[0]
    return {
        "name": registration.name,
        "version": registration.version,
        "lifecycle": registration.lifecycle,
        "default": registration.is_default,
        "default_chosen": registration.is_chosen,
        "tags": list(registration.tags),
        "digest": registration.digest,
        "registered_at": to_rfc3339(first.at),
        "registered_by": first.by,
        "log": [_deed(deed) for deed in registration.log],
    }


def full_report(registration: Registration, definition: StoredDefinition) -> dict[str, Any]:
    """The same, with the source text."""
    return {
        **registration_report(registration),
        "dialect": definition.dialect,
        "source_name": definition.source_name,
        "text": definition.text,
    }


def _deed(deed: Deed) -> Mapping[str, Any]:
    return {"what": deed.what, "at": to_rfc3339(deed.at), "by": deed.by, "reason": deed.reason}
