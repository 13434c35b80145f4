"""What operators ask for, on its way to an execution and back.

In the process of the engine that runs the execution it is asked for directly. From elsewhere it comes through the inbox
of the execution's shard; the answer goes back through an inbox of its own, in the transaction of the effects, so that
who asked learns exactly what happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from stepwell.base.errors import Conflict, NotFound, StepwellError, StoreError
from stepwell.base.values import Sealed
from stepwell.decider.decide import decide
from stepwell.decider.plan import Plan
from stepwell.decider.turn import Decision
from stepwell.engine.committer import SHARD_LOST, Entry
from stepwell.engine.ground import Ground
from stepwell.engine.hot import Hot
from stepwell.engine.loop import Loop
from stepwell.execution.codec import Codec
from stepwell.execution.verbs import (
    Cancel,
    CompleteStep,
    Migrate,
    Pause,
    Rerun,
    Resume,
    Retry,
    Terminate,
    Verb,
    name_of,
)
from stepwell.ports.records import InboxItem, NewVersion

VERB: Final = "verb"
"""The kind of the inbox items that ask for something."""
ANSWER: Final = "answer"
"""The kind of those that answer."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of what an operator asked for.

    Attributes:
        changed: False when it was so already.
        said: what was done, in words.
        status: that of the execution afterwards.
    """

    execution: str
    verb: str
    changed: bool
    said: str
    status: str


class Request(msgspec.Struct, frozen=True):
    """A verb in an inbox. `reply_to` is the number of the inbox for the answer, or None when nobody waits for it; `id`
    is the `step` of the answer."""

    id: str
    reply_to: int | None
    verb: Verb


# ── As bytes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def encode_request(request: Request, codec: Codec) -> bytes:
    """For the inbox. What may hold secrets (edited settings, an output) is encrypted."""
    verb = msgspec.to_builtins(request.verb)
    hides = isinstance(request.verb, (Retry, Rerun, CompleteStep))
    return codec.encode_value([request.id, request.reply_to, Sealed(verb) if hides else verb])


def decode_request(payload: bytes, codec: Codec) -> Request:
    """The other way round."""
    id_, reply_to, verb = codec.decode_value(payload)
    return Request(id_, reply_to, msgspec.convert(verb.value if isinstance(verb, Sealed) else verb, Verb))


def told_verb(payload: bytes, codec: Codec) -> Verb:
    """What an execution tells a sub-workflow to do."""
    name, by, reason = msgspec.convert(codec.decode_value(payload), tuple[str, str, str])
    return _TOLD[name](by=by, reason=reason)


_TOLD: Final[Mapping[str, Callable[..., Verb]]] = {
    "pause": Pause,
    "resume": Resume,
    "cancel": Cancel,
    "terminate": Terminate,
}


def encode_answer(answer: Answer | StepwellError, codec: Codec) -> bytes:
    """For the inbox of who asked."""
    if isinstance(answer, Answer):
        return codec.encode_value(["done", msgspec.to_builtins(answer)])
    kind = "unknown" if isinstance(answer, NotFound) else "refused"
    return codec.encode_value([kind, [answer.code, answer.message, answer.hint]])


def decode_answer(payload: bytes, codec: Codec) -> Answer:
    """The answer.

    Raises:
        Conflict, NotFound: it was refused.
    """
    kind, content = codec.decode_value(payload)
    if kind == "done":
        return msgspec.convert(content, Answer)
    code, message, hint = msgspec.convert(content, tuple[str, str, str | None])
    raise (NotFound if kind == "unknown" else Conflict)(message, code=code, hint=hint)


# ── Asking ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def decided(hot: Hot, verb: Verb, at: int, plan: Plan | None) -> Decision:
    """What is decided about a verb.

    Raises:
        Conflict, NotFound: it is refused; nothing has changed.
    """
    return decide(hot.run, verb, at, plan)


def new_version(verb: Verb) -> NewVersion | None:
    """Where a verb has moved the execution to."""
    return NewVersion(verb.version, verb.digest) if isinstance(verb, Migrate) else None


def answer_of(hot: Hot, verb: Verb, decision: Decision) -> Answer:
    """What is answered when a verb was not refused."""
    state = hot.run.state
    return Answer(
        execution=state.id,
        verb=name_of(verb),
        changed=bool(decision.events),
        said=decision.said,
        status=state.status.value,
    )


class Operating:
    """Acts on what operators ask for.

    Args:
        load: an execution of a shard owned here; None when there is none of that id; raises Conflict `run-elsewhere`
            when it is of another shard.
    """

    def __init__(self, ground: Ground, loop: Loop, load: Callable[[str], Awaitable[Hot | None]]) -> None:
        self._codec = ground.codec
        self._clock = ground.clock
        self._plans = ground.plans
        self._loop = loop
        self._load = load

    async def ask(self, execution: str, verb: Verb) -> Answer:
        """Do what is asked for; durable when it returns.

        Raises:
            NotFound: there is no such execution, step, checkpoint. Conflict: it makes no sense now.
        """
        plan = await self._plan_for(verb)
        hot = await self._load(execution)
        if hot is None:
            raise unknown_execution(execution)
        at = self._clock.now()
        decision = self._decide(hot, verb, at, plan)
        answer = answer_of(hot, verb, decision)
        if decision.events or decision.commands:
            done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            self._loop.submit(hot, decision, at, moved_to=new_version(verb), started=done)
            try:
                await done
            except Conflict as conflict:
                if conflict.code != SHARD_LOST:
                    raise
                raise Conflict(conflict.message, code="run-elsewhere") from None
        return answer

    async def take(self, item: InboxItem) -> None:
        """Act on an inbox item that asks for something; it is deleted, and answered, together with its effects.

        Raises:
            StoreError: the store cannot be read; the item stays.
        """
        if item.kind == VERB:
            request = decode_request(item.payload, self._codec)
        else:
            request = Request("", None, told_verb(item.payload, self._codec))
        try:
            plan = await self._plan_for(request.verb)
            hot = await self._load(item.execution or "")
            if hot is None:
                raise unknown_execution(item.execution or "")
            at = self._clock.now()
            decision = self._decide(hot, request.verb, at, plan)
        except StepwellError as error:
            if isinstance(error, StoreError) and error.code != "unusable-definition":
                raise
            if error.code == "run-elsewhere":
                return  # its shard is not owned any more; the item stays for whoever owns it
            entry = Entry(None, None, None, (item.id,), posts=self._posts(request, error), shard=item.shard)
            self._loop.committer.submit(entry)
            return
        posts = self._posts(request, answer_of(hot, request.verb, decision))
        if decision.events or decision.commands:
            self._loop.submit(hot, decision, at, (item.id,), posts=posts, moved_to=new_version(request.verb))
        else:
            self._loop.committer.submit(Entry(None, None, None, (item.id,), posts=posts, shard=item.shard))

    async def _plan_for(self, verb: Verb) -> Plan | None:
        return await self._plans(verb.digest) if isinstance(verb, Migrate) else None

    def _decide(self, hot: Hot, verb: Verb, at: int, plan: Plan | None) -> Decision:
        try:
            return decided(hot, verb, at, plan)
        except (Conflict, NotFound):
            raise
        except Exception as error:  # a defect: the state in memory is spoilt, what is stored is not
            self._loop.quarantine(hot, error)
            name = name_of(verb)
            raise StepwellError(f"a defect in deciding on {name!r}: {type(error).__name__}: {error}") from error

    def _posts(self, request: Request, answer: Answer | StepwellError) -> list[InboxItem]:
        if request.reply_to is None:
            return []
        payload = encode_answer(answer, self._codec)
        return [InboxItem(shard=request.reply_to, kind=ANSWER, payload=payload, step=request.id)]


def unknown_execution(execution: str) -> NotFound:
    """There is no execution of that id."""
    return NotFound(
        f"there is no execution {execution!r} in this store",
        code="unknown-execution",
        hint="`stepwell execution list` shows them; --store names another store",
    )


def request_in(items: Sequence[InboxItem], id_: str, codec: Codec) -> InboxItem | None:
    """The item that holds the request of that id, if it is still there."""
    asked: Any = (item for item in items if item.kind == VERB)
    return next((item for item in asked if decode_request(item.payload, codec).id == id_), None)
