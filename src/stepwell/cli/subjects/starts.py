"""Starting registered workflows where an engine runs them: at a server, or beside a process that works on the store."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NamedTuple, Protocol

from stepwell.app.audit import act_entry, local_doer
from stepwell.app.registry import Reference, Registry
from stepwell.app.session import cipher_for
from stepwell.base.clock import SystemClock
from stepwell.base.errors import Conflict
from stepwell.base.ids import execution_id
from stepwell.cli.opening import definitions_of, reading_of
from stepwell.cli.options import Setup
from stepwell.cli.remote.address import quoted
from stepwell.cli.streams import say
from stepwell.cli.subjects.opening import OpenStore, Served, opened
from stepwell.decider.create import Start, create
from stepwell.decider.plan import Plan
from stepwell.engine.requests import StartRequest, item_of
from stepwell.execution.codec import Codec
from stepwell.ports.records import Registration

_LOOKED_FOR: Final = 0.02
"""Seconds between two looks whether an engine has taken up what was asked for."""
_LOOKS: Final = 100


class Begun(NamedTuple):
    """An execution that was asked for.

    Attributes:
        is_new: False when one with the same key was there.
        has_engine: an engine runs it, or is about to.
        warning: what speaks against starting this version, or None.
    """

    execution: str
    workflow: str
    version: str
    status: str
    is_new: bool = True
    has_engine: bool = True
    warning: str | None = None


class Starts(Protocol):
    """Starts executions."""

    async def start(self, reference: Reference, given: Any, key: str | None) -> Begun:
        """Start one; durable when this returns.

        Args:
            key: the same key and input return the first execution.

        Raises:
            NotFound: it is not registered. InvalidInput. Conflict: it must not be started, or (code
            `start-key-reused`) the key was used with another input or version.
        """
        ...


def open_starts(setup: Setup) -> AbstractAsyncContextManager[Starts]:
    """Starts executions of what is registered in the store or at the server that the user named."""
    return opened(setup, StoredStarts, ServedStarts)


class StoredStarts:
    """Asks whoever works on the store to start it."""

    def __init__(self, at: OpenStore) -> None:
        self._at = at
        self._store = at.store

    async def start(self, reference: Reference, given: Any, key: str | None) -> Begun:
        found = await Registry(self._store).startable(reference)
        registration, now = found.registration, SystemClock().now()
        plan = Plan(await definitions_of(self._store).stored(registration.digest))
        created = create(plan, Start(id="", input=given, seed=b""), now)
        execution = execution_id(secrets.token_bytes(16))
        # The form of the keys of a server, so that the same key means the same on both ways.
        start_key = f"http:{reference.name}:{key}" if key is not None else f"cli:{execution}"
        first = await self._store.find_start(start_key)
        if first is not None:
            return await self._present(first, reference, created.input)
        codec = Codec(cipher_for(self._at.configuration, say))
        request = StartRequest(execution, registration.digest, created.input, start_key)
        entry = act_entry(local_doer(), "execution.start", f"execution:{execution}", now)
        await self._store.write([], now, posts=[item_of(request, codec)], entries=[entry])
        return await self._begun(execution, registration, found.warning, now)

    async def _present(self, execution: str, reference: Reference, wanted: Any) -> Begun:
        state = await reading_of(self._store).state(execution)
        if state.input != wanted or reference.version not in (None, state.version):
            raise Conflict(
                f"the key was used to start {state.workflow} {state.version} with another input or version",
                code="start-key-reused",
                hint=f"use another key, or look at execution {execution}",
            )
        report = await reading_of(self._store).execution(execution)
        return Begun(execution, report["workflow"], report["version"], report["status"], is_new=False)

    async def _begun(self, execution: str, registration: Registration, warning: str | None, now: int) -> Begun:
        """How it stands once an engine has taken it up, or when none does."""
        begun = Begun(execution, registration.name, registration.version, "pending", warning=warning)
        owners = await self._store.owners()
        if not any(not owner.get("gone") and owner["expires_at"] > now for owner in owners):
            return begun._replace(has_engine=False)
        for _ in range(_LOOKS):
            stored = await self._store.load(execution)
            if stored is not None:
                return begun._replace(status=stored.summary.status)
            await asyncio.sleep(_LOOKED_FOR)
        return begun


class ServedStarts:
    """Has a server start it."""

    def __init__(self, at: Served) -> None:
        self._client = at.client

    async def start(self, reference: Reference, given: Any, key: str | None) -> Begun:
        body = {"input": given, "version": reference.version}
        headers = {"Idempotency-Key": key} if key is not None else {}
        path = f"/workflows/{quoted(reference.name)}/executions"
        answer = await self._client.send("POST", path, body, headers=headers)
        report = answer.document
        return Begun(
            report["execution_id"],
            report["workflow"],
            report["version"],
            report["status"],
            is_new="Idempotency-Replayed" not in answer.headers,
            warning=_warning_in(answer.headers.get("Warning")),
        )


def _warning_in(header: str | None) -> str | None:
    """The text of `299 - "text"`."""
    return header.partition('"')[2].removesuffix('"') if header else None
