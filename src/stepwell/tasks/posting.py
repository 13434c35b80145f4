"""Sending data to an address."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from stepwell.base.durations import SECOND
from stepwell.ports.work import TaskContext
from stepwell.tasks.client import HttpClient
from stepwell.tasks.requests import HttpRequest, first_headers, take_credentials
from stepwell.tasks.urls import parse_url

TIMEOUT: Final = 30 * SECOND
MAX_RESPONSE_BYTES: Final = 64 * 1024


async def post_json(client: HttpClient, url: str, data: Any, context: TaskContext) -> None:
    """Post a JSON value to a URL. What is answered does not matter, as long as it is a success.

    Raises:
        TaskError: see `HttpClient.exchange`; (type `invalid_request`) it cannot be sent.
    """
    headers = first_headers(context.idempotency_key)
    to = take_credentials(parse_url(url), headers)
    headers.set("Content-Type", "application/json")
    body = msgspec.json.encode(data)
    await client.exchange(HttpRequest("POST", to, headers, body, TIMEOUT, MAX_RESPONSE_BYTES))
