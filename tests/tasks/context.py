"""A task's context without a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stepwell.execution.work import Assignment
from stepwell.ports.work import TaskContext
from stepwell.worker.masking import Mask
from stepwell.worker.opening import opened
from tests.conformance.dispatcher import KnownSecrets, assignment


class PlainContext(TaskContext):
    """Opens what it is asked to, and runs functions in the loop's own threads."""

    def __init__(self, secrets: Mapping[str, str] | None = None, work: Assignment | None = None) -> None:
        self._secrets = KnownSecrets(secrets or {})
        self._work = work or assignment("call")
        self._texts: list[str] = []

    @property
    def assignment(self) -> Assignment:
        return self._work

    def sealed(self) -> Sequence[str]:
        return tuple(self._texts)

    def open(self, value: Any) -> Any:
        return opened(value, self._secrets, self._texts)

    def hide(self, text: str) -> str:
        return Mask(self._texts).hide(text)

    async def run_sync(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(function, *args, **kwargs)
