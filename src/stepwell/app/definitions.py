"""Definitions on their way to plans: checked, stored by content, compiled once."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stepwell.app.builder import Workflow
from stepwell.app.checking import Catalogue, check
from stepwell.app.files import read_file
from stepwell.app.registry import Reference, Registry, reference_unless_file, stored_definition, stored_source
from stepwell.base.derive import digest
from stepwell.base.errors import NotFound, StoreError, UsageError
from stepwell.base.spans import Source
from stepwell.decider.plan import Plan
from stepwell.definition.context import Known
from stepwell.definition.diagnostics import InvalidDefinition
from stepwell.definition.loading import Loaded
from stepwell.definition.model import WorkflowDefinition
from stepwell.dialects.loading import load
from stepwell.dialects.native.dialect import NATIVE
from stepwell.ports.records import Registered, Registration
from stepwell.ports.store import Store

if TYPE_CHECKING:
    from stepwell.decider.plan import Plan

MOST_PLANS: Final = 256
"""Plans kept compiled; an older one is compiled again when it is needed."""

Definition = Mapping[str, Any] | Workflow | str | Path
"""What a caller may give as a definition: a dict, a `Workflow`, YAML or JSON text, a file, or the name of a registered
workflow (`NAME` or `NAME@VERSION`), which it is where there is no such file."""

_log = logging.getLogger(__name__)


def read_source(definition: Definition) -> Source:
    """The text of a definition, with the name it is shown under.

    Raises:
        UsageError: the file cannot be read, or a dict holds what JSON cannot.
    """
    if isinstance(definition, Workflow):
        definition = definition.to_dict()
    if not isinstance(definition, (str, Path)):
        return Source("<dict>", _json(definition))
    if isinstance(definition, str) and _is_document(definition):
        return Source("<text>", definition)
    return read_file(Path(definition))


def _json(definition: Any) -> str:
    try:
        return json.dumps(definition, ensure_ascii=False, indent=1)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"the definition cannot be written as JSON: {error}",
            code="not-json",
            hint="a definition holds texts, numbers, true, false, null, lists and mappings",
        ) from None


class Definitions:
    """The definitions of one store.

    Args:
        permit: raises when a registered definition must not be started by its name; None when all may be.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        permit: Callable[[Registration, WorkflowDefinition], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._permit = permit
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._stored: set[str] = set()
        self._expected: set[str] = set()
        self._contents: dict[tuple[str, str | None], str] = {}  # by the digest of a text, and the dialect it is read in

    def check(self, source: Source) -> Loaded:
        """Read and validate a text, and find what this version would not run. Stores nothing."""
        return check(source, self._catalogue)

    async def plan_of(self, definition: Definition, *, dialect: str | None = None) -> Plan:
        """The plan of a definition, which is then stored by its content.

        Args:
            dialect: what a text or file is written in; told from it when None.

        Raises:
            InvalidDefinition: with everything that is wrong; nothing is stored. What `plan_named` raises, for a name.
        """
        if isinstance(definition, str) and (reference := _name_in(definition)) is not None:
            return await self.plan_named(reference)
        source = replace(read_source(definition), dialect=dialect)
        text = (digest(source.text.encode("utf-8", errors="surrogatepass")), dialect)
        known = self._plans.get(self._contents.get(text, text[0] if dialect in (None, NATIVE.name) else ""))
        if known is None:
            loaded = await self._checked(source)
            errors = [finding for finding in loaded.diagnostics if finding.severity == "error"]
            if loaded.definition is None or errors:
                raise InvalidDefinition(tuple(loaded.diagnostics), source)
            known = self._compiled(loaded.definition)
            self._contents[text] = known.digest
        await self._keep(known.definition)
        return known

    async def plan_named(self, reference: Reference) -> Plan:
        """The plan of a registered workflow, for starting it.

        Raises:
            NotFound: (code `unknown-workflow`, `unknown-version`) it is not registered. Conflict: (code
            `version-draft`, `version-retired`) it must not be started. StoreError: see `plan`. What `permit` raises.
        """
        found = await Registry(self._store).startable(reference)
        if found.warning is not None:
            _log.warning("%s", found.warning)
        plan = await self.plan(found.registration.digest)
        if self._permit is not None:
            await self._permit(found.registration, plan.definition)
        return plan

    async def keep(self, plan: Plan) -> None:
        """Store the definition of a plan that was made, and checked, elsewhere, and know the plan from now on."""
        self._plans[plan.digest] = plan
        await self._keep(plan.definition)

    async def plan(self, content: str) -> Plan:
        """The plan of a stored definition, by its digest.

        Raises:
            StoreError: (code `unusable-definition`) it is not there, or this version cannot run it.
        """
        known = self._plans.get(content)
        if known is not None:
            return known
        stored = await self._store.definition(content)
        if stored is None:
            raise StoreError(f"the definition {content[:12]} is not in the store", code="unusable-definition")
        loaded = await self._checked(stored_source(stored))
        if loaded.definition is None:
            first = next(finding for finding in loaded.diagnostics if finding.severity == "error")
            raise StoreError(
                f"the stored definition of {stored.name!r} {stored.version} cannot be run: {first.message}",
                code="unusable-definition",
                hint="it may need tasks that were not imported, or another version of stepwell",
            )
        return self._compiled(loaded.definition)

    async def stored(self, content: str) -> WorkflowDefinition:
        """A stored definition for showing, whether or not this engine could run it.

        Raises:
            NotFound: it is not there, or cannot be read.
        """
        found = await self._store.definition(content)
        known = await self._named() if found is not None and found.dialect != "native" else None
        definition = load(stored_source(found), known=known).definition if found is not None else None
        if definition is None:
            raise NotFound(f"the definition {content[:12]} is not in the store", code="unusable-definition")
        return definition

    def expect(self, names: Iterable[str]) -> None:
        """Workflows of these names are about to be registered: actions may name them already."""
        self._expected.update(names)

    async def register(
        self,
        source: Source,
        *,
        at: int,
        by: str,
        reason: str | None,
        draft: bool = False,
        check: Callable[[WorkflowDefinition], Awaitable[None]] | None = None,
    ) -> tuple[Registered, Loaded]:
        """Check a text, and register the workflow in it; returns what became of it, and what was found in the text.

        Args:
            check: given what is about to be registered; raises when that must not be.

        Raises:
            InvalidDefinition: with everything that is wrong. Conflict: see `Registry.register`.
        """
        loaded = await self._checked(source)
        if loaded.definition is None:
            raise InvalidDefinition(tuple(loaded.diagnostics), source)
        if check is not None:
            await check(loaded.definition)
        self._compiled(loaded.definition)
        registry = Registry(self._store)
        return await registry.register(loaded.definition, draft=draft, at=at, by=by, reason=reason), loaded

    async def findings(self, source: Source) -> Loaded:
        """What is found in a text, with the workflows that are registered. Stores nothing."""
        return await self._checked(source)

    async def _checked(self, source: Source) -> Loaded:
        """`check`; with the workflows that are registered, where an action may be one of them."""
        loaded = self.check(source)
        if any(finding.code == "unknown-action" for finding in loaded.diagnostics):
            self._catalogue.workflows = (await self._named()).workflows
            return self.check(source)
        return loaded

    async def _named(self) -> Known:
        """The registered workflows."""
        return Known(workflows=await Registry(self._store).names() | self._expected)

    @property
    def channels(self) -> Sequence[str]:
        """The names of the configured channels for notifications."""
        return sorted(self._catalogue.channels or ())

    def _compiled(self, definition: WorkflowDefinition) -> Plan:
        from stepwell.decider.plan import Plan  # a command that only checks files needs none of the decider

        plan = Plan(definition, self._catalogue.policies, self.channels)
        self._plans[plan.digest] = plan
        if len(self._plans) > MOST_PLANS:
            self._plans.popitem(last=False)
            self._contents.clear()
        return plan

    async def _keep(self, definition: WorkflowDefinition) -> None:
        if definition.digest in self._stored:
            return
        await self._store.put_definition(stored_definition(definition))
        self._stored.add(definition.digest)


def _name_in(definition: str) -> Reference | None:
    return None if _is_document(definition) else reference_unless_file(definition)


def _is_document(definition: str) -> bool:
    return "\n" in definition or definition.lstrip().startswith("{")
