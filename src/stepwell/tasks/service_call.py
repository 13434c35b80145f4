"""`service_call {service, endpoint, method, payload, headers, query, timeout}`: a request to a configured service."""

from __future__ import annotations

from typing import Any

import msgspec
from yarl import URL

from stepwell.ports.services import Service, ServiceRegistry
from stepwell.ports.work import TaskContext, TaskHandler, TaskResult
from stepwell.tasks.client import HttpClient
from stepwell.tasks.headers import Headers
from stepwell.tasks.replies import decode
from stepwell.tasks.requests import (
    HttpRequest,
    Tls,
    authorization,
    checked_method,
    encode_body,
    first_headers,
    take_credentials,
)
from stepwell.tasks.settings import read_settings, read_timeout
from stepwell.tasks.urls import extend_query, join_endpoint


class _ServiceCallSettings(msgspec.Struct, forbid_unknown_fields=True):
    service: str
    endpoint: str | None = None
    method: str | None = None
    payload: Any = None
    headers: dict[str, Any] | None = None
    query: dict[str, Any] | None = None
    timeout: Any = None


class ServiceCallHandler(TaskHandler):
    """Requests to services of the configuration. The result is the decoded body."""

    def __init__(self, services: ServiceRegistry, client: HttpClient) -> None:
        self._services = services
        self._client = client

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Call the service.

        Raises:
            NotFound: (code `unknown-service`, `unknown-secret`).
            TaskError: see `HttpClient.exchange`; `invalid_config`, `invalid_request` if the call cannot be made.
        """
        settings = read_settings(config, _ServiceCallSettings, "service_call")
        async with self._services.calling(settings.service) as service:
            reply = await self._client.exchange(_request(settings, service, context))
            return TaskResult(decode(reply), reply.scope())

    async def close(self) -> None:
        await self._client.close()


def _request(settings: _ServiceCallSettings, service: Service, context: TaskContext) -> HttpRequest:
    headers = first_headers(context.idempotency_key)
    headers.set("traceparent", context.traceparent)
    url = identify(service, join_endpoint(service.url, settings.endpoint or ""), headers, context)
    headers.update(settings.headers)
    return HttpRequest(
        method=checked_method(settings.method),
        url=extend_query(url, settings.query),
        headers=headers,
        body=encode_body(settings.payload, None, headers),
        timeout=read_timeout(settings.timeout, service.timeout, "service_call"),
        max_bytes=service.max_response_bytes,
        tls=tls_of(service),
    )


def identify(service: Service, url: URL, headers: Headers, context: TaskContext) -> URL:
    """Put the service's own headers and its credentials, opened for this attempt, into `headers`; the URL without any.

    Raises:
        NotFound: (code `unknown-secret`). TaskError: (type `invalid_request`) they cannot be sent.
    """
    url = take_credentials(url, headers)
    headers.update(context.open(dict(service.headers)))
    if service.auth is not None:
        headers.set(*authorization(context.open(dict(service.auth))))
    return url


def tls_of(service: Service) -> Tls:
    """How connections to the service are secured."""
    return Tls(service.verify, service.ca_file, service.client_cert, service.client_key)
