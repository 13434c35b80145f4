"""What an event starts: the event triggers of the registered workflows.

Of every name the default version counts, as long as it is active. What a trigger starts is asked for in the transaction
that stores the event, so an event that was accepted is never without its starts, and published twice it starts nothing
twice. The start key sees to that too, and lets events with the same `dedupe_key` start one execution.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from stepwell.base.derive import digest
from stepwell.base.errors import Conflict, InvalidInput, NotFound
from stepwell.base.ids import execution_id
from stepwell.base.values import check_json
from stepwell.decider.create import Start, create
from stepwell.decider.plan import Plan
from stepwell.definition.model import Trigger, WorkflowDefinition
from stepwell.engine.requests import StartRequest, item_of
from stepwell.execution.codec import Codec
from stepwell.execution.event import Event
from stepwell.execution.matching import filter_problem, matches
from stepwell.expression.errors import ExpressionError
from stepwell.expression.scope import Scope
from stepwell.expression.template import Condition, Template, compile_condition, compile_template
from stepwell.ports.records import Published, Registration
from stepwell.ports.store import Store

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


class PublishedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event.

    Attributes:
        duplicate: it was accepted before, and nothing was done.
        waits: so many waiting steps it was handed to.
        engine_present: an engine is there that will act on it.
        firings: what the triggers for its type made of it.
    """

    duplicate: bool
    waits: int
    engine_present: bool
    firings: tuple[Firing, ...] = ()

    @property
    def started(self) -> tuple[str, ...]:
        """The ids of the executions that it started."""
        return tuple(each.execution_id for each in self.firings if each.execution_id and each.outcome == "started")


class Occasion(NamedTuple):
    """What the triggers make of an event, and the starts to ask for when it is stored."""

    firings: Sequence[Firing]
    requests: Sequence[StartRequest]

    def published(self, published: Published) -> PublishedEvent:
        """The same with what became of the event."""
        return PublishedEvent(
            duplicate=published.duplicate,
            waits=published.waits,
            engine_present=published.engine_present,
            firings=() if published.duplicate else tuple(self.firings),
        )


class Triggering:
    """The triggers of a store's registered workflows.

    Args:
        load: gives a stored definition by its digest; raises NotFound when it cannot be read.
    """

    def __init__(self, store: Store, load: Callable[[str], Awaitable[WorkflowDefinition]]) -> None:
        self._store = store
        self._load = load
        self._watching: dict[str, Sequence[_Watching]] = {}
        self._mark: Any = None
        self._active: Sequence[tuple[Registration, _Watching]] = ()
        self._counts: Counter[tuple[str, int, Outcome]] = Counter()

    async def occasion(self, event: Event) -> Occasion:
        """What the event starts. Nothing is started yet."""
        firings: list[Firing] = []
        requests: list[StartRequest] = []
        for registration, watching in await self._triggers():
            if watching.pattern.fullmatch(event.type):
                firing, request = await self._fire(watching, registration, event)
                firings.append(firing)
                requests += [request] if request is not None else []
        return Occasion(firings, requests)

    async def publish(self, event: Event, codec: Codec, now: int, keep_until: int) -> PublishedEvent:
        """Store the event where no engine is at hand, and ask for what it starts; whichever engine there is, or comes,
        begins that."""
        occasion = await self.occasion(event)
        posts = [item_of(request, codec) for request in occasion.requests]
        return occasion.published(await self._store.publish(event, now, keep_until, posts))

    def count(self, published: PublishedEvent) -> None:
        """Count what the triggers made of an event that was accepted."""
        self._counts.update((each.workflow, each.trigger, each.outcome) for each in published.firings)

    def counts(self) -> list[dict[str, Any]]:
        """How often the triggers of each workflow fired, were filtered and so on, since this was made."""
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for (workflow, trigger, outcome), count in sorted(self._counts.items()):
            line = found.setdefault(
                (workflow, trigger),
                {"workflow": workflow, "trigger": trigger, "started": 0, "present": 0, "filtered": 0, "refused": 0},
            )
            line[outcome] = count
        return list(found.values())

    async def _triggers(self) -> Sequence[tuple[Registration, _Watching]]:
        """The triggers that count, read anew only when something has changed."""
        mark = await self._store.registry_mark()
        if mark != self._mark:
            counting = [each for each in await self._store.registrations(lifecycle="active") if each.is_default]
            self._active = [(each, watching) for each in counting for watching in await self._of(each)]
            self._mark = mark
        return self._active

    async def _of(self, registration: Registration) -> Sequence[_Watching]:
        known = self._watching.get(registration.digest)
        if known is None:
            try:
                definition = await self._load(registration.digest)
            except NotFound:
                known = ()  # this version cannot read it, so it cannot run it either
            else:
                known = list(_watching(definition))
            self._watching[registration.digest] = known
        return known

    async def _fire(
        self, watching: _Watching, registration: Registration, event: Event
    ) -> tuple[Firing, StartRequest | None]:
        def firing(outcome: Outcome, execution: str | None = None, reason: str | None = None) -> Firing:
            return Firing(
                workflow=registration.name,
                version=registration.version,
                trigger=watching.position,
                outcome=outcome,
                execution_id=execution,
                reason=reason,
            )

        scope = Scope({"event": event.as_dict()}, event.time, event.id.encode(errors="surrogatepass"))
        reason = watching.filtered(event, scope)
        if reason is not None:
            return firing("filtered", reason=reason), None
        try:
            given = watching.input(event, scope)
            key = watching.start_key(registration.name, event, scope)
            create(watching.plan, Start(id="", input=given, seed=b""), event.time)
        except (ExpressionError, InvalidInput, Conflict) as error:
            return firing("refused", reason=str(error)), None
        first = await self._store.find_start(key)
        if first is not None:
            return firing("present", first), None
        execution = execution_id(secrets.token_bytes(16))
        request = StartRequest(execution, registration.digest, given, key)
        return firing("started", execution), request


class _Watching(NamedTuple):
    """An event trigger, compiled.

    Attributes:
        condition: the filter, when it is an expression; otherwise `filter` is it, as a map or None.
    """

    position: int
    trigger: Trigger
    plan: Plan
    pattern: re.Pattern[str]
    condition: Condition | None
    filter: Template | None
    map: Template | None
    dedupe: Template | None

    def filtered(self, event: Event, scope: Scope) -> str | None:
        """Why the trigger does not want the event; None when it does. What is missing in the event is no error."""
        if not self.trigger.active:
            return "the trigger is not active"
        if not self.plan.definition.config.enabled:
            return "the workflow is not enabled"
        try:
            if self.condition is not None:
                return None if self.condition.holds(scope) else f"its filter does not hold: {self.trigger.filter}"
            wanted = self.filter.render(scope) if self.filter is not None else None
        except ExpressionError as error:
            return f"its filter cannot be decided: {error}"
        problem = filter_problem(wanted)
        if problem is not None:
            return f"its filter cannot be used: {problem}"
        failing = [{path: part} for path, part in (wanted or {}).items() if not matches({path: part}, event.data)]
        return f"its filter asks for {_shown(failing[0])}" if failing else None

    def input(self, event: Event, scope: Scope) -> Any:
        """The input of what is started.

        Raises:
            ExpressionError: it cannot be computed.
        """
        if self.map is None:
            return event.data
        given = self.map.render(scope)
        try:
            check_json(given, what="the input")
        except ValueError as error:
            raise ExpressionError(str(error), code="invalid-argument") from None
        return given

    def start_key(self, workflow: str, event: Event, scope: Scope) -> str:
        """The same for everything of which one execution is enough.

        Raises:
            ExpressionError: it cannot be computed.
        """
        same = [event.source, event.id] if self.dedupe is None else ["", self.dedupe.render(scope)]
        return f"trigger:{workflow}/{self.position}:{digest(json.dumps(same, sort_keys=True).encode())}"


def _watching(definition: WorkflowDefinition) -> Iterator[_Watching]:
    plan: Plan | None = None
    for position, trigger in enumerate(definition.triggers):
        if trigger.kind != "event":
            continue
        plan = plan or Plan(definition)
        is_condition = isinstance(trigger.filter, str)
        yield _Watching(
            position,
            trigger,
            plan,
            _pattern(trigger.config["event"]),
            compile_condition(trigger.filter) if is_condition else None,
            compile_template(trigger.filter) if not is_condition and trigger.filter is not None else None,
            compile_template(trigger.map) if trigger.map is not None else None,
            compile_template(trigger.dedupe_key) if trigger.dedupe_key is not None else None,
        )


def _pattern(event: str) -> re.Pattern[str]:
    """Matches the types of event that a trigger names; `*` stands for any characters."""
    return re.compile(".*".join(map(re.escape, event.split("*"))), re.DOTALL)


def _shown(filter_: Mapping[str, Any]) -> str:
    text = json.dumps(filter_, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:197]}..."
