"""`http {url, method, headers, query, body, form, timeout, expect_status}`: a request to any address."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from stepwell.base.durations import SECOND
from stepwell.ports import TaskContext, TaskHandler, TaskResult
from stepwell.tasks.client import HttpClient
from stepwell.tasks.replies import decode
from stepwell.tasks.requests import HttpRequest, checked_method, encode_body, first_headers, take_credentials
from stepwell.tasks.settings import read_settings, read_timeout
from stepwell.tasks.urls import extend_query, parse_url

DEFAULT_TIMEOUT: Final = 30 * SECOND
MAX_RESPONSE_BYTES: Final = 8 * 1024 * 1024


class _HttpSettings(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    method: str | None = None
    headers: dict[str, Any] | None = None
    query: dict[str, Any] | None = None
    body: Any = None
    form: dict[str, Any] | None = None
    timeout: Any = None
    expect_status: int | list[int] | None = None


class HttpHandler(TaskHandler):
    """Requests to any address. The result is the decoded body."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Send the request.

        Raises:
            TaskError: see `HttpClient.exchange`; `invalid_config`, `invalid_request` if it cannot be sent.
        """
        reply = await self._client.exchange(_request(read_settings(config, _HttpSettings, "http"), context))
        return TaskResult(decode(reply), reply.scope())

    async def close(self) -> None:
        await self._client.close()


def _request(settings: _HttpSettings, context: TaskContext) -> HttpRequest:
    headers = first_headers(context.idempotency_key)
    url = take_credentials(parse_url(settings.url), headers)
    headers.update(settings.headers)
    return HttpRequest(
        method=checked_method(settings.method),
        url=extend_query(url, settings.query),
        headers=headers,
        body=encode_body(settings.body, settings.form, headers),
        timeout=read_timeout(settings.timeout, DEFAULT_TIMEOUT, "http"),
        max_bytes=MAX_RESPONSE_BYTES,
        expected=_statuses(settings.expect_status),
    )


def _statuses(expected: int | list[int] | None) -> frozenset[int]:
    if expected is None:
        return frozenset()
    return frozenset(expected if isinstance(expected, list) else (expected,))
