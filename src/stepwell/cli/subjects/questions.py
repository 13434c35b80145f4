"""Questions to people, and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import msgspec

from stepwell.app.approval_care import ApprovalCare, InboxQuery
from stepwell.app.approvals import Approvals
from stepwell.app.session import cipher_for, limits_of
from stepwell.app.who import user_name
from stepwell.base.clock import SystemClock
from stepwell.base.errors import Conflict
from stepwell.cli.noting import note
from stepwell.cli.opening import reading_of
from stepwell.cli.options import Setup
from stepwell.cli.remote.address import quoted
from stepwell.cli.streams import say
from stepwell.cli.subjects.opening import OpenStore, Served, opened
from stepwell.execution.codec import Codec

Report = Mapping[str, Any]


class Questions(Protocol):
    """What commands ask about questions."""

    async def page(self, query: InboxQuery) -> Report:
        """Those that wait for an answer, those of the oldest executions first."""
        ...

    async def answer(self, execution: str, step: str, response: Any, by: str | None) -> Report:
        """Answer one; what became of the answer.

        Raises:
            UsageError, NotFound, Conflict: see `Approvals.answer`; nothing was sent then.
        """
        ...


def open_questions(setup: Setup) -> AbstractAsyncContextManager[Questions]:
    """The questions in the store or at the server that the user named."""
    return opened(setup, StoredQuestions, ServedQuestions)


class StoredQuestions:
    """Those in a store."""

    def __init__(self, at: OpenStore) -> None:
        self._at = at
        self._approvals = Approvals(at.store, reading_of(at.store), at.options)
        codec = Codec(cipher_for(at.configuration, say))
        self._care = ApprovalCare(at.store, self._approvals, codec, SystemClock())

    async def page(self, query: InboxQuery) -> Report:
        return await self._care.inbox(query)

    async def answer(self, execution: str, step: str, response: Any, by: str | None) -> Report:
        now, name = SystemClock().now(), by if by is not None else user_name()
        event = await self._approvals.answer(execution, step, response, name, now)
        published = await self._at.store.publish(event, now, now + limits_of(self._at.configuration).keep_events)
        if not published.waits:  # it was waiting a moment ago
            raise Conflict(f"step {step!r} of execution {execution} has just ceased to wait", code="not-waiting")
        await note(self._at.store, "approval.respond", f"execution:{execution}/step:{step}")
        return {
            "execution_id": execution,
            "step": step,
            "by": name,
            "event_id": event.id,
            "engine_present": published.engine_present,
        }


class ServedQuestions:
    """Those at a server."""

    def __init__(self, at: Served) -> None:
        self._client = at.client
        self._options = at.options

    async def page(self, query: InboxQuery) -> Report:
        asked = msgspec.to_builtins(query)
        page = await self._client.page("/approvals", {name: asked[name] for name in asked if name != "namespaces"})
        return {**page, "items": [{**item, "respond": item["respond"] + self._options} for item in page["items"]]}

    async def answer(self, execution: str, step: str, response: Any, by: str | None) -> Report:
        """Where nobody has to say who he is, the name is the one that a store would be told."""
        name = by if by is not None or self._client.has_token else user_name()
        body = {"response": response, **({"by": name} if name is not None else {})}
        path = f"/approvals/{quoted(execution)}/{quoted(step)}"
        given: Report = (await self._client.send("POST", path, body)).document
        return given
