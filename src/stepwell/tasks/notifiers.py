"""Channels that need no library: a line in the log, and a request to a webhook."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from stepwell.base.durations import SECOND
from stepwell.ports.notices import Notice, Notifier
from stepwell.ports.work import TaskContext, TaskError

if TYPE_CHECKING:
    from stepwell.tasks.client import HttpClient

_LEVELS: Final = {"": logging.WARNING, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_TIMEOUT: Final = 10 * SECOND
_LARGEST_ANSWER: Final = 1024 * 1024

_log = logging.getLogger("stepwell.notifications")


class LogNotifier(Notifier):
    """`log:` or `log:LEVEL`: a line in the engine's log; without a level a warning, which is shown by default."""

    async def send(self, url: str, notice: Notice, context: TaskContext) -> None:
        """Write the line.

        Raises:
            TaskError: (type `invalid_channel`) there is no such level.
        """
        level = _LEVELS.get(url.partition(":")[2].strip("/").lower())
        if level is None:
            raise TaskError("invalid_channel", f"after log: comes one of {', '.join(filter(None, _LEVELS))}")
        _log.log(level, "%s", one_line(context.hide(text_of(notice))))


class WebhookNotifier(Notifier):
    """`json://HOST/PATH`, or `jsons://` with TLS: a POST of the notice as a JSON object.

    Its keys are `title`, `message`, `priority`, `recipient` (null for none), `workflow`, `execution_id` and `key`,
    which is also the `Idempotency-Key`.

    Args:
        client: gives the client; it is made when it is first needed.
    """

    def __init__(self, client: Callable[[], HttpClient]) -> None:
        self._make_client = client
        self._client: HttpClient | None = None

    async def send(self, url: str, notice: Notice, context: TaskContext) -> None:
        """Send the request.

        Raises:
            TaskError: see `HttpClient.exchange`; `invalid_request` if the URL is none.
        """
        from stepwell.tasks.requests import HttpRequest, encode_body, first_headers, take_credentials
        from stepwell.tasks.urls import parse_url

        scheme, _, rest = url.partition(":")
        headers = first_headers(notice.key)
        target = take_credentials(parse_url(f"http{'s' if scheme.lower() == 'jsons' else ''}:{rest}"), headers)
        body = {
            "title": notice.title,
            "message": notice.message,
            "priority": notice.priority,
            "recipient": notice.recipient or None,
            "workflow": notice.workflow,
            "execution_id": notice.execution,
            "key": notice.key,
        }
        request = HttpRequest(
            method="POST",
            url=target,
            headers=headers,
            body=encode_body(body, None, headers),
            timeout=_TIMEOUT,
            max_bytes=_LARGEST_ANSWER,
        )
        self._client = self._client or self._make_client()
        try:
            await self._client.exchange(request)
        except TaskError as error:
            raise _without_address(error) from None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()


def _without_address(error: TaskError) -> TaskError:
    """The same without the request, whose address may be a secret, and without what was answered."""
    status = (error.details or {}).get("status")
    what = f"the server answered {status}" if status is not None else _REASONS.get(error.type, "the request failed")
    return TaskError(error.type, what, retryable=error.retryable)


_REASONS: Final = {
    "timeout": "the server did not answer in time",
    "connection_error": "the server cannot be reached",
    "tls_error": "the server's certificate is refused",
    "forbidden_address": "no step may connect to its host",
    "redirect_error": "the server leads somewhere else",
    "invalid_request": "its URL is not one of a host that can be reached",
}


def one_line(text: str) -> str:
    """The text on one line, without anything that a terminal would act on."""
    return "".join(each if each.isprintable() else "?" for each in " ".join(text.split()))


def text_of(notice: Notice) -> str:
    """The notice as one text, with whom it is for."""
    return f"{for_whom(notice)}{notice.title + ': ' if notice.title else ''}{notice.message}"


def for_whom(notice: Notice) -> str:
    """What stands before a message on a channel that many read."""
    return f"[{notice.recipient}] " if notice.recipient else ""
