"""`notify {channels, recipients, title, message, priority}`: tell every recipient over every channel.

That somebody could not be told is a result like any other: it is said in it, and logged, and never an error.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from stepwell.base.durations import SECOND, format_duration
from stepwell.base.suggest import hint_for
from stepwell.base.values import Sealed
from stepwell.policy.retry import RetryPolicy
from stepwell.ports.notices import Notice, Notifier
from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult
from stepwell.tasks.notifiers import one_line
from stepwell.tasks.settings import invalid_config, read_settings

TRIES: Final = RetryPolicy(max_attempts=3, backoff="exponential", initial_delay=SECOND, multiplier=3)
"""How often, and when, a delivery is tried."""
LONGEST: Final = 10 * SECOND
"""How long one try may take, in microseconds."""
AT_ONCE: Final = 10
"""So many deliveries of one step are under way at once."""
SHORTEST_SECRET: Final = 8
"""Shorter parts of a channel's URL are names rather than secrets."""

_log = logging.getLogger("stepwell.notifications")

Sleep = Callable[[float], Awaitable[None]]


class _NotifySettings(msgspec.Struct, forbid_unknown_fields=True):
    message: str
    channels: Any = None
    recipients: Any = None
    title: str | None = None
    priority: Literal["low", "normal", "high", "urgent"] | None = None


class NotifyHandler(TaskHandler):
    """Delivers over the configured channels.

    The result is `{deliveries: [{channel, recipient, delivered, reason}], delivered, undelivered}`, the last two being
    counts.

    Args:
        channels: their URLs by name; may be `SecretText` and `SecretRef`.
        notifiers: who delivers over channels with URLs of a scheme, by the scheme; `otherwise`: who does over others.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        channels: Mapping[str, Any],
        notifiers: Mapping[str, Notifier],
        otherwise: Notifier,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._channels = channels
        self._notifiers = notifiers
        self._otherwise = otherwise
        self._sleep = sleep

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Tell everybody.

        Raises:
            TaskError: (type `invalid_config`) the settings are wrong.
        """
        settings = read_settings(config, _NotifySettings, "notify")
        channels = _names(settings.channels, "channels") or sorted(self._channels)
        recipients = _names(settings.recipients, "recipients") or [""]
        pairs = [(channel, who) for channel in channels for who in recipients]
        places = asyncio.Semaphore(AT_ONCE)

        async def deliver(number: int, channel: str, recipient: str) -> str:
            async with places:
                return await self._deliver(channel, _notice(settings, recipient, number, context), context)

        reasons = await asyncio.gather(*(deliver(number, *pair) for number, pair in enumerate(pairs, 1)))
        deliveries = [
            {"channel": channel, "recipient": who or None, "delivered": not reason, "reason": reason or None}
            for (channel, who), reason in zip(pairs, reasons, strict=True)
        ]
        failed = sum(bool(reason) for reason in reasons)
        return TaskResult({"deliveries": deliveries, "delivered": len(pairs) - failed, "undelivered": failed})

    async def close(self) -> None:
        for notifier in {id(each): each for each in (*self._notifiers.values(), self._otherwise)}.values():
            await notifier.close()

    async def _deliver(self, channel: str, notice: Notice, context: TaskContext) -> str:
        """Try until it is delivered or given up; why it was not, or empty text."""
        attempt = 0
        while True:
            attempt += 1
            error = await self._try(channel, notice, context)
            if error is None:
                return ""
            if not error.retryable or attempt >= TRIES.max_attempts:
                break
            await self._sleep(TRIES.delay_after(attempt, b"", notice.key) / SECOND)
        reason = one_line(context.hide(str(error)))
        told = f" to {one_line(context.hide(notice.recipient))}" if notice.recipient else ""
        _log.warning("%s: nothing was delivered%s over the channel %r: %s", notice.key, told, channel, reason)
        return reason

    async def _try(self, channel: str, notice: Notice, context: TaskContext) -> TaskError | None:
        url = self._channels.get(channel)
        if url is None:
            hint = hint_for(channel, self._channels) if self._channels else "there is none"
            return TaskError("unknown_channel", f"there is no channel {channel!r} in the configuration ({hint})")
        try:
            url = _opened(url, context)
            notifier = self._notifiers.get(_scheme(url), self._otherwise)
            async with asyncio.timeout(LONGEST / SECOND):
                await notifier.send(url, notice, context)
        except TaskError as error:
            return error
        except TimeoutError:
            return TaskError("timeout", f"it was not done within {format_duration(LONGEST)}", retryable=True)
        except Exception as error:  # a notifier that breaks must not break more than its delivery
            return TaskError(type(error).__name__, f"{type(error).__name__}: {error}")
        return None


def _names(value: Any, key: str) -> list[str]:
    """The texts in a list, and in lists inside it, each once; a text alone is a list of one.

    Raises:
        TaskError: (type `invalid_config`) there is something else in it.
    """
    names: dict[str, None] = {}
    pending = [value]
    while pending:
        one = pending.pop(0)
        if isinstance(one, list):
            pending[:0] = one
        elif isinstance(one, str):
            names[one] = None
        elif one is not None:
            raise invalid_config("notify", f"{key} must be a list of texts, not of type {type(one).__name__}")
    names.pop("", None)
    return list(names)


def _notice(settings: _NotifySettings, recipient: str, number: int, context: TaskContext) -> Notice:
    return Notice(
        recipient=recipient,
        title=settings.title or "",
        message=settings.message,
        priority=settings.priority or "normal",
        key=f"{context.idempotency_key}/{number}",
        workflow=context.workflow,
        execution=context.execution,
    )


def _opened(channel: Any, context: TaskContext) -> str:
    """The channel's URL in clear text; it, and what is secret in it, is hidden from now on.

    Raises:
        NotFound: (code `unknown-secret`).
    """
    url = str(context.open(channel))
    context.open(Sealed([url, *_secrets_in(url)]))
    return url


def _secrets_in(url: str) -> Iterator[str]:
    """Parts that may be passwords and tokens: services put them anywhere, as the host too."""
    _, _, rest = url.partition(":")
    for part in re.split(r"[/?&=#@:]+", rest):
        if len(part) >= SHORTEST_SECRET and part != _host(url):
            yield part


def _host(url: str) -> str:
    """Its host when it is one that can be reached."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return host if "." in host else ""


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()
