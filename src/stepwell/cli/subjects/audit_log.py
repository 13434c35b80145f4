"""The audit log."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import msgspec

from stepwell.app.audit import Audit, AuditQuery
from stepwell.base.instants import to_rfc3339
from stepwell.cli.options import Setup
from stepwell.cli.subjects.opening import OpenStore, Served, opened

Report = Mapping[str, Any]


class AuditLog(Protocol):
    """What commands ask about the log."""

    async def page(self, query: AuditQuery) -> Report:
        """A page, the newest entry first."""
        ...


def open_audit_log(setup: Setup) -> AbstractAsyncContextManager[AuditLog]:
    """The log of the store or the server that the user named."""
    return opened(setup, StoredAuditLog, ServedAuditLog)


class StoredAuditLog:
    """That of a store."""

    def __init__(self, at: OpenStore) -> None:
        self._audit = Audit(at.store)

    async def page(self, query: AuditQuery) -> Report:
        return await self._audit.list(query)


class ServedAuditLog:
    """That of a server."""

    def __init__(self, at: Served) -> None:
        self._client = at.client

    async def page(self, query: AuditQuery) -> Report:
        asked = msgspec.structs.asdict(query)
        for name in ("since", "until"):
            asked[name] = to_rfc3339(asked[name]) if asked[name] is not None else None
        return await self._client.page("/audit", asked)
