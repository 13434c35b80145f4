"""The triggers of the registered workflows, compiled, and what firing one comes to.

Of every name the default version counts, as long as it is active.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from stepwell.base.derive import digest
from stepwell.base.errors import Conflict, ErrorInfo, InvalidInput, NotFound
from stepwell.base.ids import execution_id
from stepwell.base.values import check_json
from stepwell.decider.create import Start, create
from stepwell.decider.plan import Plan
from stepwell.definition.diagnostics import InvalidDefinition
from stepwell.definition.model import Trigger, WorkflowDefinition
from stepwell.engine.requests import StartRequest
from stepwell.execution.event import Event
from stepwell.execution.matching import filter_problem, matches
from stepwell.expression.errors import ExpressionError, Undefined
from stepwell.expression.scope import Scope
from stepwell.expression.template import Condition, Template, compile_condition, compile_template
from stepwell.ports.records import Registration
from stepwell.ports.store import Store

Kind = Literal["event", "schedule", "webhook", "topic"]

Permit = Callable[[Registration, WorkflowDefinition], Awaitable[None]]
"""Says whether a registered definition may be started."""

Outcome = Literal["started", "present", "filtered", "refused"]
"""What a trigger made of an event: an execution; nothing, for one was started by such an event before; nothing, for its
filter does not hold; nothing, for the workflow does not accept the input."""


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    """What the trigger of a workflow made of an event.

    Attributes:
        trigger: its position among the triggers of the workflow, from 0.
        execution_id: of what was started by this event, or before.
        reason: why nothing was started, or None.
    """

    workflow: str
    version: str
    trigger: int
    outcome: Outcome
    execution_id: str | None = None
    reason: str | None = None


class Fired(NamedTuple):
    """What a trigger made of an event, and the start to ask for, if there is one.

    Attributes:
        error: why it refused the event, or None.
        kind: of the trigger that did; seen: what its expressions saw beside the event.
    """

    firing: Firing
    request: StartRequest | None = None
    error: ErrorInfo | None = None
    kind: Kind | None = None
    seen: Mapping[str, Any] | None = None


class CompiledTrigger(NamedTuple):
    """A trigger, ready to be fired.

    Attributes:
        condition: the filter, when it is an expression; otherwise `filter` is it, as a map or None.
    """

    position: int
    trigger: Trigger
    plan: Plan
    condition: Condition | None
    filter: Template | None
    map: Template | None
    dedupe: Template | None

    def filtered(self, event: Event, scope: Scope) -> str | None:
        """Why the trigger does not want the event; None when it does. What is missing in the event is no error.

        Raises:
            ExpressionError: that cannot be decided.
        """
        if not self.trigger.active:
            return "the trigger is not active"
        if not self.plan.definition.config.enabled:
            return "the workflow is not enabled"
        try:
            if self.condition is not None:
                return None if self.condition.holds(scope) else f"its filter does not hold: {self.trigger.filter}"
            wanted = self.filter.render(scope) if self.filter is not None else None
        except Undefined as error:
            return f"its filter cannot be decided: {error}"
        except ExpressionError as error:
            raise ExpressionError(f"its filter cannot be decided: {error.message}", code=error.code) from None
        problem = filter_problem(wanted)
        if problem is not None:
            raise ExpressionError(f"its filter cannot be used: {problem}", code="invalid-filter")
        failing = [{path: part} for path, part in (wanted or {}).items() if not matches({path: part}, event.data)]
        return f"its filter asks for {_shown(failing[0])}" if failing else None

    def input(self, scope: Scope, otherwise: Any) -> Any:
        """The input of what is started.

        Args:
            otherwise: what it is when the trigger does not say.

        Raises:
            ExpressionError: it cannot be computed.
        """
        if self.map is None:
            return otherwise
        given = self.map.render(scope)
        try:
            check_json(given, what="the input")
        except ValueError as error:
            raise ExpressionError(str(error), code="invalid-argument") from None
        return given

    def start_key(self, workflow: str, scope: Scope, same: Sequence[Any]) -> str:
        """The same for everything of which one execution is enough: for what has the same `dedupe_key`, or, without
        one, for what is the `same`.

        Raises:
            ExpressionError: it cannot be computed.
        """
        given = same if self.dedupe is None else ["", self.dedupe.render(scope)]
        return f"trigger:{workflow}/{self.position}:{digest(json.dumps(given, sort_keys=True).encode())}"


class ActiveTrigger(NamedTuple):
    """A trigger that counts, and the version that it belongs to.

    Attributes:
        refused: why its workflow must not be started, or None.
    """

    registration: Registration
    compiled: CompiledTrigger
    refused: str | None = None

    @property
    def workflow(self) -> str:
        """The name of its workflow."""
        return self.registration.name

    @property
    def kind(self) -> Kind:
        """What fires it."""
        return self.compiled.trigger.kind

    @property
    def config(self) -> Mapping[str, Any]:
        """Its settings, as they are written."""
        return self.compiled.trigger.config

    def firing(self, outcome: Outcome, execution: str | None = None, reason: str | None = None) -> Firing:
        """What it made of something."""
        return Firing(
            workflow=self.registration.name,
            version=self.registration.version,
            trigger=self.compiled.position,
            outcome=outcome,
            execution_id=execution,
            reason=reason,
        )

    def refusing(self, code: str, reason: str, event: Event, seen: Mapping[str, Any] | None) -> Fired:
        """That it refused an event of which its expressions saw that."""
        own = event.as_dict()
        beside = {name: value for name, value in (seen or {}).items() if name not in own}
        firing = self.firing("refused", reason=reason)
        return Fired(firing, error=ErrorInfo(code, reason), kind=self.kind, seen=beside)


class ActiveTriggers:
    """The triggers that count in a store, read anew only when something that is registered has changed.

    Args:
        load: gives a stored definition by its digest; raises NotFound when it cannot be read.
        permit: raises InvalidDefinition when a registered definition must not be started; None when all may be.
    """

    def __init__(
        self, store: Store, load: Callable[[str], Awaitable[WorkflowDefinition]], permit: Permit | None = None
    ) -> None:
        self._store = store
        self._load = load
        self._permit = permit
        self._compiled: dict[str, Sequence[CompiledTrigger]] = {}
        self._mark: Any = None
        self._active: Sequence[ActiveTrigger] = ()

    async def all(self) -> Sequence[ActiveTrigger]:
        """Those that count, by the name of their workflow, then by their position."""
        mark = await self._store.registry_mark()
        if mark != self._mark:
            counting = [each for each in await self._store.registrations(lifecycle="active") if each.is_default]
            found = [trigger for each in counting for trigger in await self._active_of(each)]
            self._compiled = {each: self._compiled[each] for each in {counted.digest for counted in counting}}
            self._active, self._mark = found, mark
        return self._active

    async def of(self, kind: Kind) -> Sequence[ActiveTrigger]:
        """Those of a kind."""
        return [each for each in await self.all() if each.kind == kind]

    async def _active_of(self, registration: Registration) -> Sequence[ActiveTrigger]:
        compiled = await self._of(registration.digest)
        refused = await self.refused(registration, compiled[0].plan.definition) if compiled else None
        return [ActiveTrigger(registration, each, refused) for each in compiled]

    async def refused(self, registration: Registration, definition: WorkflowDefinition) -> str | None:
        """Why a registered definition must not be started, or None."""
        if self._permit is None:
            return None
        try:
            await self._permit(registration, definition)
        except InvalidDefinition as error:
            return error.diagnostics[0].message
        return None

    async def _of(self, content: str) -> Sequence[CompiledTrigger]:
        known = self._compiled.get(content)
        if known is None:
            try:
                known = list(_compiled(await self._load(content)))
            except NotFound:
                known = ()  # this version cannot read it, so it cannot run it either
            self._compiled[content] = known
        return known


async def fire(
    store: Store,
    active: ActiveTrigger,
    event: Event,
    *,
    otherwise: Any,
    same: Sequence[Any],
    seen: Mapping[str, Any] | None = None,
    trace: str = "",
) -> Fired:
    """What a trigger makes of an event. Nothing is started yet.

    Args:
        otherwise: the input, when the trigger does not say what it is.
        same: JSON values; an event of which they are the same starts nothing more.
        seen: what expressions see as `event`; the event itself when None.
        trace: the trace that the event came in, as the W3C writes it; empty for none.
    """
    compiled = active.compiled
    scope = Scope({"event": seen or event.as_dict()}, event.time, event.id.encode(errors="surrogatepass"))
    try:
        reason = compiled.filtered(event, scope)
        if reason is not None:
            return Fired(active.firing("filtered", reason=reason))
        if active.refused is not None:
            return active.refusing("start-refused", active.refused, event, seen)
        given = compiled.input(scope, otherwise)
        key = compiled.start_key(active.workflow, scope, same)
        created = create(compiled.plan, Start(id="", input=given, seed=b""), event.time)
    except (ExpressionError, InvalidInput, Conflict) as error:
        return active.refusing(error.code, str(error), event, seen)
    first = await store.find_start(key)
    if first is not None:
        return Fired(active.firing("present", first))
    execution = execution_id(secrets.token_bytes(16))
    # What is secret in the input is sealed by now, so that it is not in the clear in any inbox.
    return Fired(
        active.firing("started", execution),
        StartRequest(execution, active.registration.digest, created.input, key, trace),
    )


def _compiled(definition: WorkflowDefinition) -> Iterator[CompiledTrigger]:
    plan: Plan | None = None
    for position, written in enumerate(definition.triggers):
        plan = plan or Plan(definition)
        trigger = _with_filter(written)
        is_condition = isinstance(trigger.filter, str)
        yield CompiledTrigger(
            position,
            trigger,
            plan,
            compile_condition(trigger.filter) if is_condition else None,
            compile_template(trigger.filter) if not is_condition and trigger.filter is not None else None,
            compile_template(trigger.map) if trigger.map is not None else None,
            compile_template(trigger.dedupe_key) if trigger.dedupe_key is not None else None,
        )


def _with_filter(trigger: Trigger) -> Trigger:
    """The filter of a topic may stand beside its name."""
    beside = trigger.config.get("filter") if trigger.kind == "topic" else None
    return trigger if beside is None else msgspec.structs.replace(trigger, filter=beside)


def _shown(filter_: Mapping[str, Any]) -> str:
    text = json.dumps(filter_, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:197]}..."
