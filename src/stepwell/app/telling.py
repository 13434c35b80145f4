"""Telling people what no step asks for: over the configured channels, by the handler that does it for steps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stepwell.base.clock import Clock
from stepwell.execution.work import Assignment
from stepwell.ports.services import SecretSource
from stepwell.ports.work import TaskContext, TaskHandler
from stepwell.worker.masking import Mask
from stepwell.worker.opening import opened

_log = logging.getLogger("stepwell.notifications")


class People:
    """Tells people.

    Args:
        notify: does it, for steps too.
        about: what it is that tells them, as the notices name it in place of a workflow.
    """

    def __init__(self, notify: TaskHandler, secrets: SecretSource, clock: Clock, about: str) -> None:
        self._notify = notify
        self._secrets = secrets
        self._clock = clock
        self._about = about

    async def tell(
        self,
        key: str,
        *,
        title: str,
        message: str,
        channels: Sequence[str] | None,
        recipients: Sequence[str],
        priority: str = "normal",
    ) -> list[dict[str, Any]]:
        """Tell every recipient over every channel (None: over all there are); never raises.

        Args:
            key: the same when the same is told again.

        Returns:
            `{channel, recipient, delivered, reason}` of each.
        """
        settings: dict[str, Any] = {"title": title, "message": message, "priority": priority}
        settings |= {"recipients": list(recipients)} if recipients else {}
        settings |= {"channels": list(channels)} if channels is not None else {}
        context = _Telling(key, self._about, self._secrets, self._clock.now())
        try:
            result = await self._notify.run(settings, context)
        except Exception as error:  # whoever is told something, nothing else may depend on it
            reason = context.hide(f"{type(error).__name__}: {error}")
            _log.warning("%s: nobody could be told: %s", key, reason)
            return [
                {"channel": channel, "recipient": None, "delivered": False, "reason": reason}
                for channel in channels or ("",)
            ]
        deliveries: list[dict[str, Any]] = result.value["deliveries"]
        return deliveries


class _Telling(TaskContext):
    """What a handler knows of work that belongs to no execution."""

    __slots__ = ("_assignment", "_secrets", "_texts")

    def __init__(self, key: str, about: str, secrets: SecretSource, now: int) -> None:
        self._assignment = Assignment(
            execution="",
            workflow=about,
            version="",
            step="",
            type="notify",
            config={},
            attempt=1,
            idempotency_key=key,
            scheduled_at=now,
        )
        self._secrets = secrets
        self._texts: list[str] = []

    @property
    def assignment(self) -> Assignment:
        return self._assignment

    def sealed(self) -> Sequence[str]:
        return tuple(self._texts)

    def open(self, value: Any) -> Any:
        return opened(value, self._secrets, self._texts)

    def hide(self, text: str) -> str:
        return Mask(self._texts).hide(text) if self._texts else text

    async def run_sync(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(function, *args, **kwargs)


def undelivered(deliveries: Sequence[Mapping[str, Any]]) -> int:
    """How many of them were not made."""
    return sum(not each["delivered"] for each in deliveries)
