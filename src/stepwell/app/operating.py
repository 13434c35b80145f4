"""Operators' verbs on the executions of a store, wherever they run.

Where an engine runs the execution it is asked through the inbox of the shard, and the answer is waited for; where none
does, the shard is owned for a moment and the change made here.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from stepwell.app.dead_events import unknown
from stepwell.app.dead_letters import is_event
from stepwell.app.definitions import Definitions
from stepwell.app.registry import Reference, Registry
from stepwell.app.requeuing import Requeued, Requeuing
from stepwell.app.triggering import PublishedEvent, Triggering
from stepwell.app.triggers import Fired
from stepwell.base.clock import Clock
from stepwell.base.durations import SECOND, format_duration
from stepwell.base.errors import Conflict, StepwellError, UsageError
from stepwell.decider.plan import Plan
from stepwell.decider.verbs_legal import check_legal
from stepwell.decider.verbs_migrate import problems
from stepwell.engine.applying import Alone
from stepwell.engine.engine import Limits
from stepwell.engine.forking import Forked
from stepwell.engine.loaded import run_of
from stepwell.engine.operating import VERB, Answer, Request, decode_answer, encode_request, unknown_execution
from stepwell.engine.post_box import PostBox
from stepwell.engine.requests import StartRequest, item_of
from stepwell.execution.codec import Codec
from stepwell.execution.event import Event
from stepwell.execution.status import WAITING, ExecutionStatus
from stepwell.execution.verbs import Migrate, Retry, Verb
from stepwell.ports.ledger import JournalEntry, Write
from stepwell.ports.listings import ExecutionQuery
from stepwell.ports.records import InboxItem, Registration
from stepwell.ports.store import Store

LONGEST_WAIT: Final = 30 * SECOND
"""For the answer of an engine, unless something else is asked for."""
_TRIED_ALONE: Final = 2.0
"""Seconds after which it is asked whether the engine is still there."""
_MOVABLE: Final = (
    ExecutionStatus.PENDING.value,
    ExecutionStatus.RUNNING.value,
    WAITING,
    ExecutionStatus.PAUSED.value,
)
_PAGE: Final = 200


class NoAnswer(StepwellError):
    """The engine that runs an execution has not answered in time; what was asked for stays in its inbox."""

    code = "no-answer"
    exit_status = 3


class Done(NamedTuple):
    """What became of a verb, and whether an engine runs the execution."""

    answer: Answer
    has_engine: bool


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an execution can be moved to another version, and whether it was.

    Attributes:
        problems: why it cannot; empty when it can.
    """

    execution: str
    workflow: str
    version: str
    to: str
    moved: bool
    problems: Sequence[str] = ()


def requeued(done: Requeued, *, has_engine: bool) -> Done:
    """What became of a dead event, as of a verb: the execution is the first that it started, or empty."""
    execution = done.executions[0] if done.executions else ""
    later = "; it begins as soon as an engine runs" if execution and not has_engine else ""
    answer = Answer(execution=execution, verb="retry", changed=True, said=f"{done.said}{later}", status="pending")
    return Done(answer, has_engine=True)  # there is nothing yet that could be resumed


class Operators:
    """Asks for what operators want.

    Args:
        owner: unique text for this process, shown to whoever finds a shard taken for a moment.
        longest_wait: for an engine's answer, in microseconds.
        keep_events: for how long, in microseconds.
        box: where answers come; None for one of its own.
    """

    def __init__(
        self,
        store: Store,
        codec: Codec,
        definitions: Definitions,
        clock: Clock,
        owner: str,
        longest_wait: int = LONGEST_WAIT,
        keep_events: int = Limits().keep_events,
        box: PostBox | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._keep_events = keep_events
        self._codec = codec
        self._definitions = definitions
        self._registry = Registry(store)
        self._alone = Alone(store, codec, clock, self._plan, owner)
        self._longest_wait = longest_wait
        self._box = box or PostBox(store)

    async def ask(self, execution: str, verb: Verb) -> Done:
        """Do what is asked for; durable when it returns.

        Raises:
            NotFound: there is no such execution, step, checkpoint. Conflict: it makes no sense now. NoAnswer.
        """
        try:
            answer = await self._alone.ask(execution, verb)
        except Conflict as conflict:
            if conflict.code != "shard-owned":
                raise
            return Done(await self._ask_engine(execution, verb), True)
        assert answer is not None, "nothing was posted that somebody else could have taken"
        return Done(answer, False)

    async def retry_letter(self, id_: str, settings: dict[str, object] | None, *, by: str, reason: str) -> Done:
        """Try the step of a dead letter again, with what is put over its settings; an event with what is put over its
        data.

        Raises:
            NotFound: code `unknown-dead-letter`. What `ask` raises; of an event what `Requeuing.retry` does.
        """
        if is_event(id_):
            return await self._requeue(id_, settings, by, reason)
        letter = await self._store.dead_letter(id_)
        if letter is None:
            raise unknown(id_)
        return await self.ask(letter.execution, Retry(by=by, reason=reason, steps=(letter.step,), settings=settings))

    async def _requeue(self, id_: str, given: Mapping[str, object] | None, by: str, reason: str) -> Done:
        triggering = Triggering(self._store, self._definitions.stored)

        async def publish(event: Event, writes: Sequence[Write], also: Sequence[Fired]) -> PublishedEvent:
            now = self._clock.now()
            return await triggering.publish(event, self._codec, now, now + self._keep_events, writes, also)

        async def start(
            writes: Sequence[Write], requests: Sequence[StartRequest], entries: Sequence[JournalEntry]
        ) -> None:
            posts = [item_of(request, self._codec) for request in requests]
            await self._store.write(writes, self._clock.now(), posts=posts, entries=entries)

        requeuing = Requeuing(self._store, triggering, self._codec, self._clock, publish, start)
        done = await requeuing.retry(id_, given, by=by, reason=reason)
        return requeued(done, has_engine=await self._is_worked_on())

    async def _is_worked_on(self) -> bool:
        """Whether an engine is there that will act on what was put into the store."""
        owners, now = await self._store.owners(), self._clock.now()
        return any(not owner.get("gone") and owner["expires_at"] > now for owner in owners)

    async def fork(self, execution: str, at_event: int, *, by: str, reason: str) -> Forked:
        """Begin another execution with the history of this one. Nothing of it runs until an engine takes it up.

        Raises:
            NotFound: (code `unknown-execution`, `unknown-event`). Conflict: there is nothing to go on with there.
        """
        return await self._alone.fork(execution, at_event, by, reason, secrets.token_bytes)

    # ── Versions ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def executions_of(self, workflow: str, version: str) -> AsyncIterator[str]:
        """The executions of a version that have not ended."""
        cursor: str | None = None
        while True:
            query = ExecutionQuery(workflow=workflow, version=version, statuses=_MOVABLE, limit=_PAGE, cursor=cursor)
            page = await self._store.list(query)
            for item in page.items:
                yield item.id
            if page.next is None:
                return
            cursor = page.next

    async def move(
        self,
        execution: str,
        to: str,
        names: Mapping[str, str],
        *,
        by: str,
        reason: str,
        dry_run: bool,
        ask: Callable[[str, Verb], Awaitable[object]] | None = None,
    ) -> Move:
        """Have an execution go on with another registered version of its workflow, or only look whether it can.

        Args:
            ask: asks the execution; None for `ask` of this object.

        Raises:
            NotFound: (code `unknown-execution`, `unknown-workflow`, `unknown-version`). NoAnswer.
        """
        stored = await self._store.load(execution)
        if stored is None:
            raise unknown_execution(execution)
        target = await self._target(Reference(stored.created.workflow, to))
        move = Move(
            execution=execution,
            workflow=stored.created.workflow,
            version=stored.created.version,
            to=target.version,
            moved=False,
        )
        found = await self._problems(execution, target, names)
        if found or dry_run:
            return msgspec.structs.replace(move, problems=found)
        verb = Migrate(by=by, reason=reason, version=target.version, digest=target.digest, names=dict(names))
        try:
            await (ask or self.ask)(execution, verb)
        except Conflict as conflict:
            return msgspec.structs.replace(move, problems=[conflict.message])
        return msgspec.structs.replace(move, moved=True)

    async def _target(self, reference: Reference) -> Registration:
        registration = await self._registry.find(reference)
        if registration.lifecycle in ("draft", "retired"):
            message = f"{reference.name} {registration.version} is {registration.lifecycle}: nothing can be moved to it"
            raise Conflict(message, code=f"version-{registration.lifecycle}")
        return registration

    async def _problems(self, execution: str, target: Registration, names: Mapping[str, str]) -> list[str]:
        stored = await self._store.load(execution)
        assert stored is not None, "executions are not deleted"
        run = run_of(self._codec, await self._plan(stored.created.digest), stored)
        try:
            check_legal(run.state, "migrate")
        except Conflict as conflict:
            return [conflict.message]
        if run.state.digest == target.digest:
            return [f"it runs version {target.version} already"]
        return problems(run, await self._plan(target.digest), names)

    async def _plan(self, digest: str) -> Plan:
        """For deciding only: nothing is dispatched with it, so that no task need be known here."""
        return Plan(await self._definitions.stored(digest), channels=self._definitions.channels)

    # ── Asking an engine ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _ask_engine(self, execution: str, verb: Verb) -> Answer:
        stored = await self._store.load(execution)
        if stored is None:
            raise unknown_execution(execution)
        request = Request(secrets.token_hex(8), self._box.number, verb)
        payload = encode_request(request, self._codec)
        item = InboxItem(shard=stored.handle.shard, kind=VERB, payload=payload, execution=execution)
        await self._store.post([item])
        try:
            async with asyncio.timeout(self._longest_wait / SECOND):
                return await self._answer(execution, request)
        except TimeoutError:
            waited = format_duration(self._longest_wait)
            raise NoAnswer(
                f"the engine that runs execution {execution} has not answered within {waited}",
                hint="it acts on it as soon as it can: `stepwell execution history` will show that",
            ) from None

    async def _answer(self, execution: str, request: Request) -> Answer:
        with self._box.answer(request.id) as answered:
            while True:
                await asyncio.wait((answered,), timeout=_TRIED_ALONE)
                if answered.done():
                    return decode_answer(answered.result().payload, self._codec)
                answer = await self._alone_after_all(execution, request)
                if answer is not None:
                    return answer

    async def _alone_after_all(self, execution: str, request: Request) -> Answer | None:
        """The engine may be gone, without having looked."""
        try:
            return await self._alone.ask(execution, request.verb, request.id)
        except Conflict as conflict:
            if conflict.code == "shard-owned":
                return None
            raise


def names_of(pairs: Sequence[str]) -> dict[str, str]:
    """New names of steps by their old ones, from `old=new`.

    Raises:
        UsageError: one of them is written in another way, or names a step twice.
    """
    names: dict[str, str] = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not (old and equals and new):
            raise UsageError(f"--map takes old=new, not {pair!r}")
        if old in names:
            raise UsageError(f"--map names step {old!r} twice")
        names[old] = new
    return names
