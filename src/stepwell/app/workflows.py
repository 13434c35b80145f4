"""Registered workflows as a server shows and changes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import msgspec

from stepwell.app.configuration import Configuration
from stepwell.app.cursors import cursor_of, place_in
from stepwell.app.definitions import Definitions
from stepwell.app.difference import difference
from stepwell.app.planning import figures_document, figures_of
from stepwell.app.registry import Reference, Registry, full_report, registration_report
from stepwell.base.clock import Clock
from stepwell.base.derive import digest
from stepwell.base.errors import Conflict
from stepwell.base.spans import Source
from stepwell.definition.model import WorkflowDefinition
from stepwell.ports.records import Lifecycle, Registration
from stepwell.ports.store import Store


class WorkflowQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which registered versions to list. None means any; `text` is contained in the name or a tag."""

    name: str | None = None
    tag: str | None = None
    lifecycle: Lifecycle | None = None
    text: str | None = None
    default: bool | None = None
    limit: int = 50
    cursor: str | None = None


class Versioned(msgspec.Struct, frozen=True):
    """A registered version as users see it, and a mark that changes whenever it does."""

    report: dict[str, Any]
    mark: str
    is_new: bool = False


class Workflows:
    """The registered workflows of a store."""

    def __init__(
        self, store: Store, registry: Registry, definitions: Definitions, configuration: Configuration, clock: Clock
    ) -> None:
        self._store = store
        self._registry = registry
        self._definitions = definitions
        self._configuration = configuration
        self._clock = clock

    async def register(
        self,
        source: Source,
        *,
        draft: bool,
        by: str,
        reason: str | None,
        check: Callable[[WorkflowDefinition], Awaitable[None]],
    ) -> Versioned:
        """Register what a text says; the report has the `warnings` about it.

        Args:
            check: given what is about to be registered; raises when that must not be.

        Raises:
            InvalidDefinition: with every finding. Conflict: (code `version-exists`) the version has other content.
        """
        registered, loaded = await self._definitions.register(
            source, at=self._clock.now(), by=by, reason=reason, draft=draft, check=check
        )
        report = registration_report(registered.registration)
        warnings = [finding.as_dict() for finding in loaded.warnings]
        return Versioned({**report, "warnings": warnings}, mark_of(registered.registration), registered.is_new)

    async def validate(self, source: Source) -> dict[str, Any]:
        """What is found in a text: `valid`, `workflow`, `version` and `items`. Stores nothing."""
        loaded = await self._definitions.findings(source)
        definition, findings = loaded.definition, loaded.diagnostics
        wrong = definition is None or any(finding.severity == "error" for finding in findings)
        return {
            "valid": not wrong,
            "workflow": definition.name if definition is not None else None,
            "version": definition.version if definition is not None else None,
            "items": [finding.as_dict() for finding in findings],
        }

    async def page(self, query: WorkflowQuery, sees: Callable[[str], bool]) -> dict[str, Any]:
        """A page, by name, the newest version first: `{"items": [...], "next": cursor or null}`.

        Raises:
            UsageError: code `invalid-cursor`.
        """
        after = place_in(query.cursor, str, str) if query.cursor is not None else None
        found = await self._store.registrations(name=query.name, tag=query.tag, lifecycle=query.lifecycle)
        wanted = [each for each in found if sees(each.name) and _is_wanted(each, query)]
        rest = wanted[_behind(wanted, after) :] if after is not None else wanted
        shown = rest[: query.limit]
        more = cursor_of(shown[-1].name, shown[-1].version) if len(rest) > query.limit else None
        return {"items": [registration_report(each) for each in shown], "next": more}

    async def full(self, reference: Reference) -> Versioned:
        """A version with its text.

        Raises:
            NotFound: see `Registry.find`.
        """
        registration = await self._registry.find(reference)
        definition = await self._registry.definition(registration)
        return Versioned(full_report(registration, definition), mark_of(registration))

    async def change(
        self,
        reference: Reference,
        *,
        lifecycle: Literal["active", "deprecated", "retired"] | None,
        default: bool,
        check: Callable[[str], None],
        by: str,
        reason: str | None,
    ) -> Versioned:
        """Move a version on in its life, make it the default, or both.

        Args:
            check: given the mark of the version as it is; raises when that is not what the caller wants to change.

        Raises:
            NotFound: see `Registry.find`. Conflict: it cannot move there, or must not be the default.
        """
        while True:
            registration = await self._registry.find(reference)
            check(mark_of(registration))
            try:
                return await self._changed(registration, lifecycle, default, by, reason)
            except Conflict as error:
                if error.code != "changed-meanwhile":
                    raise  # else whoever was first has changed its mark: `check` decides

    async def _changed(
        self, known: Registration, lifecycle: Lifecycle | None, default: bool, by: str, reason: str | None
    ) -> Versioned:
        """The version after the changes, if it was still as known; the second follows from the first."""
        registration, now = known, self._clock.now()
        if lifecycle is not None:
            registration = await self._store.set_lifecycle(
                known.name, known.version, lifecycle, at=now, by=by, reason=reason, expected=known
            )
        if default:
            expected = known if registration is known else None
            registration = await self._store.set_default(
                known.name, known.version, at=now, by=by, reason=reason, expected=expected
            )
        return Versioned(registration_report(registration), mark_of(registration))

    async def definition(self, reference: Reference) -> WorkflowDefinition:
        """What a version says.

        Raises:
            NotFound: see `Registry.find`.
        """
        return await self._definitions.stored((await self._registry.find(reference)).digest)

    async def difference(self, name: str, old: str, new: str) -> dict[str, Any]:
        """What two versions mean differently; see `app.difference`.

        Raises:
            NotFound: see `Registry.find`.
        """
        return difference(await self.definition(Reference(name, old)), await self.definition(Reference(name, new)))

    async def figures(self, reference: Reference) -> dict[str, Any]:
        """How a version would run; see `app.planning`.

        Raises:
            NotFound: see `Registry.find`.
        """
        services = {name: service.timeout for name, service in self._configuration.services.items()}
        timeout = self._configuration.execution.default_timeout
        return figures_document(figures_of(await self.definition(reference), services, timeout))


def mark_of(registration: Registration) -> str:
    """Changes whenever something about the version does."""
    content = [registration.digest, registration.lifecycle, registration.is_default, len(registration.log)]
    return digest(msgspec.json.encode(content))[:20]


def _is_wanted(registration: Registration, query: WorkflowQuery) -> bool:
    text = query.text.lower() if query.text is not None else ""
    return (query.default is None or registration.is_default == query.default) and (
        not text or any(text in each.lower() for each in (registration.name, *registration.tags))
    )


def _behind(found: Sequence[Registration], place: tuple[str, str]) -> int:
    """Where the list goes on behind a version; one that is no longer wanted is taken for the end of its name."""
    for position, each in enumerate(found):
        if (each.name, each.version) == place:
            return position + 1
    return next((position for position, each in enumerate(found) if each.name > place[0]), len(found))
