"""The simulated world: executions, clients, operators, events, workers, faults, and one engine after the other."""

from __future__ import annotations

import asyncio
import copy
import hashlib
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final

from stepwell.base.derive import derived_bytes
from stepwell.base.errors import NotFound, StepwellError
from stepwell.base.spans import Source
from stepwell.decider.notifying import is_delivery
from stepwell.decider.plan import Plan
from stepwell.decider.unsupported import unsupported
from stepwell.definition.diagnostics import InvalidDefinition
from stepwell.engine.hot import Hot
from stepwell.engine.membership import Joining
from stepwell.engine.requests import StartRequest, item_of
from stepwell.execution.codec import Codec
from stepwell.execution.event import ANSWER, SIGNAL, Event
from stepwell.execution.history import ApprovalRequested, ExecutionCreated, HistoryEvent, StepReset
from stepwell.execution.status import ExecutionStatus, StepStatus
from stepwell.execution.verbs import Compensate, Migrate, Resume, Terminate, Verb, name_of
from stepwell.execution.work import Assignment
from stepwell.ports.records import Batch, Published
from stepwell.store.memory.content import Content
from stepwell.store.memory.store import MemoryStore
from tests.execution.ciphers import Plain
from tests.simulation.agenda import SECOND, Agenda, Entry
from tests.simulation.behaviour import Behaviour, behave
from tests.simulation.bounds import MOST_HAPPENINGS, MOST_HISTORY, Halt, for_ever
from tests.simulation.gen_basics import EVENTS
from tests.simulation.invariants import AT_END, AT_REST, Violation, check_all, check_dispatch, ledger_rule
from tests.simulation.language import LEAF_TYPES
from tests.simulation.ledger import Ledger
from tests.simulation.life import Life
from tests.simulation.locks import Locks
from tests.simulation.loop import new_loop
from tests.simulation.people import FORK, MIGRATE, VERBS, WHO, sensible
from tests.simulation.scenario import HALF, Asking, Fault, Publishing, Scenario, Starting, json_source, loaded
from tests.simulation.watching import watched

CODEC: Final = Codec(Plain())
ACTIVE: Final = 20 * SECOND
"""How long faults happen and people do things; after that everything is only let through."""
PATIENCE: Final = 7_200 * SECOND
"""After that much more, what has not ended is stuck."""
OFTEN_ENOUGH: Final = 3
"""So often an operator lets an execution go on that pauses because a step fails; then he ends it."""
LOOKS: Final = 4
"""One time in so many, when nothing more can happen at an instant, it is looked at what must hold then."""
TURNS: Final = 3
"""One turn in so many is also decided by a run that is rebuilt from history."""


class World:
    """One simulation.

    Args:
        thorough: look at everything every time, which takes longer and changes nothing else.

    Attributes:
        ledgers: what is committed, by execution.
        life: the engine that is there, or None after a power cut.
        acknowledged: the ids that starts were answered with, and their start keys.
        assignments: the first delivery of every attempt.
        behaviours: what attempts did, by their ids.
        settings: those of the first attempt of every step, by its idempotency key.
        published: ids of events that somebody tried to publish.
        requested: what events were to start, by the id that it would have; accepted: those whose event is stored.
    """

    def __init__(self, scenario: Scenario, *, thorough: bool = False) -> None:
        self.scenario = scenario
        self._looks = 1 if thorough else LOOKS
        self._turns = 1 if thorough else TURNS
        self.agenda = Agenda(scenario.seed)
        self.content = Content()
        self.codec = CODEC
        self.plans = [_plan(source) for source in scenario.sources()]
        self._by_digest = {plan.digest: plan for plan in self.plans}
        self.ledgers: dict[str, Ledger] = {}
        self.acknowledged: list[tuple[str, str | None]] = []
        self.assignments: dict[str, Assignment] = {}
        self.behaviours: dict[str, Behaviour] = {}
        self.settings: dict[str, Any] = {}
        self.published: set[str] = set()
        self.requested: dict[str, StartRequest] = {}
        self.accepted: set[str] = set()
        self._asking: list[tuple[Event, Sequence[StartRequest]]] = []
        self.locks = Locks()
        self.tried = Counter[str]()
        self.life: Life | None = None
        self.joins: Joining | None = None
        self._resumed = Counter[str]()
        self._lives = self._commits = self._drawn = self._asked = self._happened = 0
        self.begun = self.agenda.now
        self._at_commit = {fault.at: fault for fault in scenario.faults if fault.kind in ("lost", "kept", "refused")}
        self._calm_after = False
        self._broken: Violation | None = None
        self._closing = False

    # ── The whole ────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> None:
        """Simulate from the beginning to the end.

        Raises:
            Violation: something that must hold does not.
        """
        try:
            with watched(self, self._turns):
                self._run()
        except Halt:
            self._raise_broken()
            raise

    def _run(self) -> None:
        self._new_life()
        self._put_on_agenda()
        self._go_on(self.begun + ACTIVE, lambda: False)
        self._calm_after = True
        self.agenda.after(0, "help", self._help_along)
        self._go_on(self.agenda.now + PATIENCE, self._is_over)
        if not self._is_over():
            raise Violation("nothing_is_stuck", self._stuck())
        self._shut_down()
        check_all(self, AT_END)

    def _answer_all(self, ledger: Ledger) -> None:
        for step in ledger.state.steps.values():
            if step.status is StepStatus.WAITING and step.event_type == ANSWER:
                self._drawn += 1
                data = {**step.filter, "by": WHO, "response": {"ok": True}}
                made = Event(id=f"answer{self._drawn}", type=ANSWER, source="test", data=data, time=self.agenda.now)
                self.published.add(made.id)
                self._send(made)

    def _put_on_agenda(self) -> None:
        at = self.begun
        for number, start in enumerate(self.scenario.starts):
            self.agenda.at(at + start.at, f"start {number}", lambda start=start: self._start(start))  # type: ignore[misc]
            if start.again and start.key is not None:
                self.agenda.at(at + start.at + SECOND, f"start {number} again", lambda start=start: self._start(start))  # type: ignore[misc]
        for number, event in enumerate(self.scenario.events):
            self.agenda.at(at + event.at, f"event {number}", lambda event=event: self._publish(event))  # type: ignore[misc]
        for number, asking in enumerate(self.scenario.verbs):
            self.agenda.at(at + asking.at, f"verb {number}", lambda asking=asking: self._ask(asking))  # type: ignore[misc]
        for number, fault in enumerate(self.scenario.faults):
            if fault.kind in ("cut", "restart"):
                self.agenda.at(at + fault.at, f"fault {number}", lambda fault=fault: self._fail(fault))  # type: ignore[misc]

    def _go_on(self, until: int, over: Callable[[], bool]) -> None:
        while not over() and (entry := self.agenda.next(until)) is not None:
            self._happen(entry)
        self.agenda.now = max(self.agenda.now, min(until, self.agenda.now))

    def _happen(self, entry: Entry) -> None:
        self._happened += 1
        if self._happened > MOST_HAPPENINGS:
            raise for_ever(f"the world goes on after {MOST_HAPPENINGS:,} happenings, with {entry.what}")
        entry.action()
        self._drain()

    def _drain(self) -> None:
        life = self.life
        if life is not None:
            life.loop.drain()
            self._raise_broken()
            if life.loop.defects:
                raise Violation("the_engine_has_no_defect", "; ".join(life.loop.defects))
            self._look_after(life)
        if self.life is not None and not self.life.over and not self._closing:
            self._asked += 1
            if self._asked % self._looks == 0:
                check_all(self, AT_REST)

    def _look_after(self, life: Life) -> None:
        """An engine that the store has failed is closed, and another one is opened."""
        failure = life.engine.failure
        if failure is None or self._closing or life.over:
            return
        if failure.code != "store-full":
            raise Violation("the_engine_has_no_defect", f"it stopped: {failure}")
        self._close(self.scenario.away)

    def _raise_broken(self) -> None:
        if self._broken is not None:
            raise self._broken

    def note(self, violation: Violation) -> None:
        """Something was found where it cannot be raised; the first counts."""
        self._broken = self._broken or violation

    # ── Lives ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _new_life(self) -> None:
        self._lives += 1
        self._closing = False
        self.life = Life(self, self._lives)
        self.life.open()

    def after_cut(self) -> None:
        """The power has failed: after a while there is another engine."""
        self.tried["power cuts"] += 1
        self.life = None
        self.agenda.after(self.scenario.away, "a new engine", self._new_life)

    def _fail(self, fault: Fault) -> None:
        if self.life is None or self._closing:
            return
        if fault.kind == "cut":
            self.life.end()
            self.after_cut()
        else:
            self.tried["restarts"] += 1
            self._close(self.scenario.away)

    def _close(self, away: int) -> None:
        assert self.life is not None
        self._closing = True

        def then() -> None:
            self.life = None
            self.agenda.after(away, "a new engine", self._new_life)

        self.life.close(then)

    def _shut_down(self) -> None:
        assert self.life is not None
        self._closing = True
        life = self.life
        life.close(lambda: None)
        self._go_on(self.agenda.now + 60 * SECOND, lambda: life.over)
        if not life.over:
            raise Violation("nothing_is_stuck", "the engine does not close")

    # ── People ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _start(self, start: Starting) -> None:
        life = self._ready_life(lambda: self._start(start), "start")
        if life is None:
            return
        plan = self.plans[start.document]

        def answered(task: asyncio.Task[str]) -> None:
            if not task.cancelled() and task.exception() is None:
                self.acknowledged.append((task.result(), start.key))

        self._ask_engine(life, life.engine.start(plan, start.input, start_key=start.key)).add_done_callback(answered)

    def _publish(self, event: Publishing) -> None:
        made = self._made(event)
        if made is None:
            return
        self.published.add(event.id)
        requests = [self._request(event.starts)] if event.starts is not None else []
        self._asking.append((made, requests))
        if event.foreign:
            self._elsewhere(lambda store: self._publish_elsewhere(store, made, requests))
        else:
            self._send(made, requests)

    def _made(self, event: Publishing) -> Event | None:
        """The event; None when it is a signal to nobody."""
        data, now = {"n": event.n}, self.agenda.now
        if event.to is None:
            return Event(id=event.id, type=event.type, source="test", data=data, time=now)
        if not self.ledgers:
            return None
        self.tried["signals"] += 1
        subject = list(self.ledgers)[event.to % len(self.ledgers)]
        return Event(id=event.id, type=event.type, source=SIGNAL, subject=subject, data=data, time=now)

    def _request(self, start: Starting) -> StartRequest:
        assert start.key is not None, "whoever asks for a start gives a key"
        self._drawn += 1
        request = StartRequest(f"asked-{self._drawn}", self.plans[start.document].digest, start.input, start.key)
        self.requested[request.execution] = request
        return request

    async def _publish_elsewhere(self, store: MemoryStore, event: Event, requests: Sequence[StartRequest]) -> None:
        now = self.agenda.now
        posts = [item_of(request, self.codec) for request in requests]
        self.published_as(event, await store.publish(event, now, now + 3_600 * SECOND, posts))

    def _send(self, event: Event, requests: Sequence[StartRequest] = ()) -> None:
        life = self._ready_life(lambda: self._send(event, requests), f"event {event.id}")
        if life is not None:
            self._ask_engine(life, life.engine.publish(event, requests))

    def published_as(self, event: Event, published: Published) -> Published:
        """An event is stored, with what it starts, unless it is a duplicate."""
        if not published.duplicate:
            requests = next((requests for made, requests in self._asking if made is event), ())
            self.accepted |= {request.execution for request in requests}
            self.tried["starts asked for"] += len(requests)
        return published

    def _elsewhere(self, work: Callable[[MemoryStore], Coroutine[Any, Any, Any]]) -> None:
        """Another process does something with the store."""
        loop = self.life.loop if self.life is not None else new_loop()

        async def whole() -> None:
            store = MemoryStore(self.content)
            await store.open()
            await work(store)
            await store.close()

        loop.run(whole())

    def _ask(self, asking: Asking) -> None:
        """An operator asks for something, of an execution that he has seen in the list."""
        life = self._ready_life(lambda: self._ask(asking), asking.verb)
        if life is None or not self.ledgers:
            return
        ledger = list(self.ledgers.values())[asking.execution % len(self.ledgers)]
        random = self.agenda.random(f"verb {asking}")
        name = sensible(asking.verb, ledger.state, random)
        if name == FORK:
            at_event = random.randint(1, len(ledger.history))
            self._ask_engine(life, life.engine.fork(ledger.id, at_event, by=WHO))
        elif name == MIGRATE:
            newer = self._newer(ledger.plan.definition.name)
            verb = Migrate(by=WHO, version=newer.definition.version, digest=newer.digest)
            self._operate(life, ledger, verb)
        else:
            self._operate(life, ledger, VERBS[name](ledger.state, random))

    def _newer(self, name: str) -> Plan:
        """The next version of a workflow: the same with a step more."""
        trees = (*self.scenario.documents, *self.scenario.children)
        tree = copy.deepcopy(next(tree for tree in trees if tree["metadata"]["name"] == name))
        tree["metadata"]["version"] = "1.1.0"
        tree["spec"]["steps"].append({"name": "added", "type": "noop"})
        plan = _plan(json_source(tree))
        return self._by_digest.setdefault(plan.digest, plan)

    def _operate(self, life: Life, ledger: Ledger, verb: Verb) -> None:
        def answered(task: asyncio.Task[Any]) -> None:
            refused = task.cancelled() or task.exception() is not None
            self.tried[f"{name_of(verb)} {'refused' if refused else 'done'}"] += 1

        self._ask_engine(life, life.engine.operate(ledger.id, verb)).add_done_callback(answered)

    def _help_along(self) -> None:
        """No more faults: whoever waits for an operator, an answer or an event gets what he waits for."""
        life = self.life
        if life is not None and not self._closing and life.engine.failure is None:
            for event_type in sorted({*EVENTS}):
                self._drawn += 1
                self._publish(Publishing(0, event_type, f"help{self._drawn}", self._drawn % 4))
            for ledger in self.ledgers.values():
                self._answer_all(ledger)
                if ledger.state.status is ExecutionStatus.PAUSED:
                    self._resumed[ledger.id] += 1
                    again = self._resumed[ledger.id] > OFTEN_ENOUGH
                    self._operate(life, ledger, Terminate(by=WHO) if again else Resume(by=WHO))
                elif ledger.state.status is ExecutionStatus.COMPENSATING and ledger.state.compensation_awaited:
                    self._operate(life, ledger, Compensate(by=WHO))
        self.agenda.after(10 * SECOND, "help", self._help_along)

    def _ready_life(self, later: Callable[[], None], what: str) -> Life | None:
        """The engine; when none is there, they come back later."""
        if self.life is None or self._closing or self.life.engine.failure is not None:
            self.agenda.after(SECOND, f"{what} later", later)
            return None
        return self.life

    def _ask_engine(self, life: Life, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """What is refused is refused; only a defect is ours to know."""
        task = life.loop.create_task(work)

        def refused(task: asyncio.Task[Any]) -> None:
            if (
                not task.cancelled()
                and (error := task.exception()) is not None
                and not isinstance(error, StepwellError)
            ):
                life.loop.defects.append(f"{type(error).__name__}: {error}")

        task.add_done_callback(refused)
        return task

    # ── What the engine asks of the world ────────────────────────────────────────────────────────────────────────────

    async def plan(self, digest: str) -> Plan:
        """The plan of a definition."""
        return self._by_digest[digest]

    async def named_plan(self, name: str, version: str | None) -> Plan:
        """The plan of a workflow that a step runs."""
        found = next((plan for plan in self.plans if plan.definition.name == name), None)
        if found is None:
            raise NotFound(f"there is no workflow {name!r}", code="unknown-workflow")
        return found

    def entropy(self, size: int) -> bytes:
        """Bytes that are other ones each time, and the same in every simulation of the scenario."""
        self._drawn += 1
        return derived_bytes(b"simulation", self.scenario.seed, self._drawn, size=size)

    def begin_commit(self, batch: Batch) -> int:
        """A commit is on its way; its number."""
        self._commits += 1
        return self._commits

    def commit_duration(self, number: int) -> int:
        """How long that commit takes."""
        disk = self.scenario.disk
        return disk[self.agenda.number(f"commit {number}") % len(disk)]

    def fault_at(self, number: int) -> str | None:
        """What goes wrong at that commit."""
        fault = self._at_commit.pop(number, None)
        if fault is None or self._calm_after or self._closing:
            return None
        self.tried[fault.kind] += 1
        return fault.kind

    def committed(self, batch: Batch) -> None:
        """A batch is stored: look at it."""
        for change in batch.changes:
            events = self.codec.decode_events(change.events) if change.events else []
            ledger = self.ledgers.get(change.handle.id)
            if ledger is None:
                (created, *events) = events
                assert isinstance(created, ExecutionCreated)
                plan = self._by_digest[created.digest]
                ledger = self.ledgers[change.handle.id] = Ledger(change.handle.id, len(self.ledgers) + 1, plan, created)
            if len(ledger.history) > MOST_HISTORY:
                self.note(for_ever(f"the history of execution {ledger.number} has {len(ledger.history):,} events"))
                raise Halt
            try:
                ledger.take(events, self._by_digest)
                self.locks.see(ledger.id, events)
                self._answer(events)
                self._forget_what_is_reset(ledger.id, events)
            except AssertionError as error:
                self.note(ledger_rule(ledger, error))

    def _forget_what_is_reset(self, execution: str, events: Sequence[HistoryEvent]) -> None:
        """What runs again at an operator's wish may have other settings."""
        for event in events:
            if isinstance(event, StepReset):
                name = f"{execution}/{event.step}"
                for known in (self.settings, self.assignments):
                    for id_ in [id_ for id_ in known if id_.startswith(name)]:
                        del known[id_]

    def _answer(self, events: Sequence[HistoryEvent]) -> None:
        """People who are asked answer, sooner or later, now and then wrongly."""
        for event in events:
            if isinstance(event, ApprovalRequested):
                random = self.agenda.random(f"answer {event.step} {event.at}")
                for number in range(random.choice((0, 1, 1, 2))):
                    response = random.choice(({"ok": True}, {"ok": False}, "yes"))
                    data = {**event.filter, "by": random.choice(("ann", "bob")), "response": response}
                    self._drawn += 1
                    made = Event(id=f"answer{self._drawn}", type=ANSWER, source="test", data=data, time=event.at)
                    after = random.choice((0, HALF, SECOND, 3 * SECOND))
                    self.published.add(made.id)
                    self.agenda.after(after, f"answer {event.step} {number}", lambda made=made: self._send(made))  # type: ignore[misc]

    def dispatched(self, assignment: Assignment) -> None:
        """An attempt is handed to a worker."""
        self.tried["attempts"] += 1
        try:
            check_dispatch(self, assignment)
        except Violation as violation:
            self.note(violation)

    def behaviour_of(self, assignment: Assignment) -> Behaviour:
        """What this attempt does."""
        behaviour = self._behaviour_of(assignment)
        self.behaviours[assignment.id] = behaviour
        return behaviour

    def _behaviour_of(self, assignment: Assignment) -> Behaviour:
        if assignment.step.split("[")[0].split("#")[0] in self.scenario.calm:
            return Behaviour(0, {"n": 1})
        who = self.ledgers[assignment.execution].number
        behaviour = behave(self.agenda, assignment, who, unruly=self.scenario.unruly)
        if is_delivery(assignment.step):
            return behaviour._replace(result={"deliveries": [{"delivered": True}]})
        return behaviour

    def life_for(self, life: Life) -> Life | None:
        """The engine that a worker of this one reports to now."""
        return self.life

    # ── Looking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def settled(self) -> Iterator[Hot]:
        """The executions in memory of which nothing is on its way to the store."""
        assert self.life is not None
        for hot in self.life.engine._ground.loaded:
            record = self.content.records.get(hot.handle.id)
            if record is not None and not hot.uncommitted and not hot.refused:
                yield hot

    def is_here(self, ledger: Ledger) -> bool:
        """Whether the engine that is looked at runs the execution."""
        return True

    def digest(self) -> str:
        """A digest of everything that was recorded."""
        whole = hashlib.sha256()
        for ledger in self.ledgers.values():
            whole.update(self.codec.encode_events(ledger.history))
        return whole.hexdigest()

    def _is_over(self) -> bool:
        return (
            self.life is not None
            and not self._closing
            and all(ledger.ended and not ledger.state.untold for ledger in self.ledgers.values())
            and len(self.ledgers) == len(self.content.records)
            and self.life.engine._loop.committer._idle.is_set()
        )

    def _stuck(self) -> str:
        left = [ledger for ledger in self.ledgers.values() if not ledger.ended]
        return "; ".join(
            f"execution {ledger.number} is {ledger.state.status} with "
            + ", ".join(f"{name} {step.status}" for name, step in ledger.state.steps.items())
            for ledger in left
        )


def _plan(source: Source) -> Plan:
    """Raises: InvalidDefinition: the document of a scenario is none."""
    found = loaded(source)
    if found.definition is None:
        raise InvalidDefinition(found.diagnostics, source)
    refused = unsupported(found.definition, LEAF_TYPES)
    assert not refused, f"the definition uses what is not run: {refused}"
    return Plan(found.definition)
