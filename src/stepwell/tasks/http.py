"""`http {url, method, headers, query, body, form, timeout, expect_status, ...}`: a request to any address."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from stepwell.decider.checking import SchemaCheck
from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult
from stepwell.tasks.client import HttpClient
from stepwell.tasks.replies import decode
from stepwell.tasks.requests import HttpRequest, checked_method, encode_body, first_headers, take_credentials
from stepwell.tasks.settings import HTTP_TIMEOUT, invalid_config, read_settings, read_timeout
from stepwell.tasks.urls import extend_query, parse_url

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
    request_schema: dict[str, Any] | None = None
    response_schema: dict[str, Any] | None = None


class HttpHandler(TaskHandler):
    """Requests to any address. The result is the decoded body."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Send the request.

        Raises:
            TaskError: see `HttpClient.exchange`; `invalid_config`, `invalid_request` if it cannot be sent;
                `validation_error` when the body does not satisfy `request_schema`, and nothing was sent;
                `invalid_response` when the answer does not satisfy `response_schema`.
        """
        settings = read_settings(config, _HttpSettings, "http")
        if settings.request_schema is not None:
            sent = settings.body if settings.body is not None else settings.form or settings.query
            _check(sent, settings.request_schema, "validation_error", "the request")
        reply = await self._client.exchange(_request(settings, context))
        answer = decode(reply)
        if settings.response_schema is not None:
            _check(answer, settings.response_schema, "invalid_response", "the answer")
        return TaskResult(answer, reply.scope())

    async def close(self) -> None:
        await self._client.close()


def _request(settings: _HttpSettings, context: TaskContext) -> HttpRequest:
    headers = first_headers(context.idempotency_key)
    headers.set("traceparent", context.traceparent)
    url = take_credentials(parse_url(settings.url), headers)
    headers.update(settings.headers)
    return HttpRequest(
        method=checked_method(settings.method),
        url=extend_query(url, settings.query),
        headers=headers,
        body=encode_body(settings.body, settings.form, headers),
        timeout=read_timeout(settings.timeout, HTTP_TIMEOUT, "http"),
        max_bytes=MAX_RESPONSE_BYTES,
        expected=_statuses(settings.expect_status),
    )


def _check(value: Any, schema: dict[str, Any], type_: str, what: str) -> None:
    try:
        check = SchemaCheck(schema)
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise invalid_config("http", f"the schema of {what} cannot be used: {reason}") from None
    problems = check.problems(value)
    if problems:
        said = "; ".join(f"{path or 'the whole'}: {message}" for path, message in problems)
        details = {"errors": [{"field": path, "message": message} for path, message in problems]}
        raise TaskError(type_, f"{what} does not satisfy its schema: {said}", details=details)


def _statuses(expected: int | list[int] | None) -> frozenset[int]:
    if expected is None:
        return frozenset()
    return frozenset(expected if isinstance(expected, list) else (expected,))
