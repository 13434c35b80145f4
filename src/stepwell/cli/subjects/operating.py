"""What operators do with executions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import msgspec

from stepwell.app.checking import catalogue_of
from stepwell.app.dead_letters import is_event
from stepwell.app.definitions import Definitions
from stepwell.app.notifications import channels_of
from stepwell.app.operating import LONGEST_WAIT, Done, Move, NoAnswer, Operators
from stepwell.app.publishing import signal_event
from stepwell.app.registries import Registries
from stepwell.app.session import cipher_for, limits_of, owner_name
from stepwell.base.clock import SystemClock
from stepwell.base.durations import SECOND, format_duration
from stepwell.base.errors import Conflict, UsageError
from stepwell.cli.noting import note
from stepwell.cli.opening import reading_of
from stepwell.cli.options import Setup
from stepwell.cli.remote.address import quoted
from stepwell.cli.streams import say
from stepwell.cli.subjects.letter_paths import letter_path
from stepwell.cli.subjects.opening import OpenStore, Served, opened
from stepwell.engine.forking import Forked
from stepwell.engine.operating import Answer
from stepwell.execution.codec import Codec
from stepwell.execution.verbs import Verb, name_of

MOVABLE: Final = ("pending", "running", "waiting", "paused")
_LONGER_THAN_THE_SERVER: Final = 10.0
"""Seconds that a request may take beyond what the server waits for an engine."""
_NAMES: Final = {"stop": "stop_running"}
"""Fields of verbs that have another name in a request."""


class Operating(Protocol):
    """What can be asked for. Raises NotFound, Conflict, NoAnswer as `app.operating` does."""

    async def ask(self, execution: str, verb: Verb) -> Done:
        """Do what is asked for."""
        ...

    async def retry_letter(self, id_: str, settings: dict[str, Any] | None, *, by: str, reason: str) -> Done:
        """Try the step of a dead letter again."""
        ...

    async def fork(self, execution: str, at_event: int, *, by: str, reason: str) -> Forked:
        """Begin another execution with the history of this one."""
        ...

    async def move(
        self, execution: str, to: str, names: Mapping[str, str], *, by: str, reason: str, dry_run: bool
    ) -> Move:
        """Have it go on with another version."""
        ...

    def executions_of(self, workflow: str, version: str) -> AsyncIterator[str]:
        """The executions of a version that have not ended."""
        ...

    async def signal(self, execution: str, type_: str, data: Any) -> Mapping[str, Any]:
        """Send an event to one execution."""
        ...


def open_operating(setup: Setup, by: str | None, wait: int | None) -> AbstractAsyncContextManager[Operating]:
    """What can be asked of the executions of the store or the server that the user named.

    Args:
        by: who asks, when that was said.
        wait: for an engine's answer, in microseconds; None for as long as usual.

    Raises:
        UsageError: of a server, `by` was said.
    """
    check_by(setup, by)
    return opened(setup, lambda at: StoredOperating(at, wait), lambda at: ServedOperating(at, wait))


def check_by(setup: Setup, by: str | None) -> None:
    """A server knows itself who asks.

    Raises:
        UsageError: somebody was named.
    """
    if setup.server is not None and by is not None:
        raise UsageError("--by goes with a store: a server knows by the token who asks")


class StoredOperating(Operators):
    """Asks for it in a store."""

    def __init__(self, at: OpenStore, wait: int | None) -> None:
        self._keep = limits_of(at.configuration).keep_events
        self._opened = at.store
        codec = Codec(cipher_for(at.configuration, say))
        channels = channels_of(at.configuration).keys()
        definitions = Definitions(at.store, catalogue_of(Registries(), set(), None, channels=channels))
        longest = LONGEST_WAIT if wait is None else wait
        super().__init__(at.store, codec, definitions, SystemClock(), owner_name(), longest, self._keep)

    async def ask(self, execution: str, verb: Verb) -> Done:
        done = await super().ask(execution, verb)
        await note(self._opened, f"execution.{name_of(verb)}", f"execution:{execution}")
        return done

    async def retry_letter(self, id_: str, settings: dict[str, object] | None, *, by: str, reason: str) -> Done:
        done = await super().retry_letter(id_, settings, by=by, reason=reason)
        if is_event(id_):
            await note(self._opened, "dlq.retry", f"dead-letter:{id_}")
        return done

    async def fork(self, execution: str, at_event: int, *, by: str, reason: str) -> Forked:
        forked = await super().fork(execution, at_event, by=by, reason=reason)
        await note(self._opened, "execution.fork", f"execution:{execution}")
        return forked

    async def signal(self, execution: str, type_: str, data: Any) -> Mapping[str, Any]:
        now = SystemClock().now()
        event = await signal_event(reading_of(self._opened), execution, type_, data, now)
        published = await self._opened.publish(event, now, now + self._keep)
        await note(self._opened, "execution.signal", f"execution:{execution}")
        return {"execution_id": execution, "event_id": event.id, "type": event.type, "waits": published.waits}


class ServedOperating:
    """Asks a server for it."""

    def __init__(self, at: Served, wait: int | None) -> None:
        self._client = at.client
        self._wait = wait

    async def ask(self, execution: str, verb: Verb) -> Done:
        fields = msgspec.to_builtins(verb)
        body = {
            _NAMES.get(name, name): value
            for name, value in fields.items()
            if name not in ("verb", "by") and value is not None
        }
        return _done(await self._post(f"/executions/{quoted(execution)}/{name_of(verb)}", body))

    async def retry_letter(self, id_: str, settings: dict[str, Any] | None, *, by: str, reason: str) -> Done:
        path = letter_path(id_)
        return _done(await self._post(f"{path}/retry", {"settings": settings, "reason": reason}))

    async def fork(self, execution: str, at_event: int, *, by: str, reason: str) -> Forked:
        made = await self._post(f"/executions/{quoted(execution)}/fork", {"at": at_event, "reason": reason})
        return Forked(execution=made["execution_id"], origin=made["forked_from"], seq=made["seq"])

    async def move(
        self, execution: str, to: str, names: Mapping[str, str], *, by: str, reason: str, dry_run: bool
    ) -> Move:
        path = f"/executions/{quoted(execution)}/migrate"
        asked = {"to": to, "names": dict(names), "reason": reason}
        move = msgspec.convert(await self._post(path, {**asked, "dry_run": True}), Move)
        if dry_run or move.problems:
            return move
        try:
            return msgspec.convert(await self._post(path, asked), Move)
        except Conflict as conflict:
            return msgspec.structs.replace(move, problems=[conflict.message])

    async def executions_of(self, workflow: str, version: str) -> AsyncIterator[str]:
        asked = {"workflow": workflow, "version": version, "status": MOVABLE}
        for item in await self._client.pages("/executions", asked):
            yield item["execution_id"]

    async def signal(self, execution: str, type_: str, data: Any) -> Mapping[str, Any]:
        sent: Mapping[str, Any] = await self._post(
            f"/executions/{quoted(execution)}/signal", {"type": type_, "data": data}
        )
        return sent

    async def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        """What the server answers. How long it waits for an engine is its own affair; how long this waits is not.

        Raises:
            NoAnswer: `--wait` has passed.
        """
        from stepwell.cli.remote.errors import ServerError

        longest = LONGEST_WAIT / SECOND + _LONGER_THAN_THE_SERVER if self._wait is None else self._wait / SECOND
        try:
            return (await self._client.send("POST", path, body, patience=longest)).document
        except ServerError as error:
            if error.code != "server-timeout" or self._wait is None:
                raise
            waited = format_duration(self._wait)
            hint = "it may still be done: `stepwell execution history` will show that"
            raise NoAnswer(f"the server has not answered within {waited}", hint=hint) from None


def _done(document: Mapping[str, Any]) -> Done:
    answer = Answer(
        execution=document["execution_id"] or "",
        verb=document["verb"],
        changed=document["changed"],
        said=document["message"],
        status=document["status"],
    )
    return Done(answer, has_engine=True)
