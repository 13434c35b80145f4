"""HTTP requests as plain data, and how a step's settings become one."""

from __future__ import annotations

import base64
import functools
import importlib.metadata
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from yarl import URL

from stepwell.tasks.headers import Headers
from stepwell.tasks.urls import invalid_request, pairs, shown

_METHOD: Final = re.compile(r"[A-Z]{1,20}")
_FORBIDDEN_METHODS: Final = frozenset({"CONNECT", "TRACE"})


@dataclass(frozen=True, slots=True)
class Tls:
    """How the server's certificate is checked, and which one the client shows. Files in PEM format."""

    verify: bool = True
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request.

    Attributes:
        timeout: for everything, redirects and the body included, in microseconds.
        max_bytes: the largest body that is read, decompressed.
        expected: statuses that count as success; empty means every 2xx.
        follows: whether redirects are followed.
    """

    method: str
    url: URL
    headers: Headers
    body: bytes | None
    timeout: int
    max_bytes: int
    expected: frozenset[int] = frozenset()
    tls: Tls = Tls()
    follows: bool = True

    def is_success(self, status: int) -> bool:
        """Whether an answer with this status is one that was hoped for."""
        return status in self.expected if self.expected else 200 <= status < 300

    def __str__(self) -> str:
        return f"{self.method} {shown(self.url)}"


def checked_method(method: str | None) -> str:
    """The method in capitals; GET when there is none.

    Raises:
        TaskError: (type `invalid_request`) it is none, or one that makes a tunnel or a trace.
    """
    name = "GET" if method is None else method.upper()
    if not _METHOD.fullmatch(name) or name in _FORBIDDEN_METHODS:
        raise invalid_request(f"{method!r} is not a method that a step can use")
    return name


def first_headers(idempotency_key: str) -> Headers:
    """What every request says unless the step says otherwise."""
    headers = Headers()
    headers.set("User-Agent", f"stepwell/{_version()}")
    headers.set("Accept", "application/json, text/*;q=0.9, */*;q=0.5")
    headers.set("Accept-Encoding", "gzip, deflate")
    headers.set("Idempotency-Key", idempotency_key)
    return headers


def authorization(auth: Mapping[str, Any]) -> tuple[str, str]:
    """The name and value of the header that an `auth` setting stands for.

    Raises:
        TaskError: (type `invalid_request`) it is none of `bearer`, `basic` and `header`.
    """
    match auth:
        case {"bearer": str(token)}:
            return "Authorization", f"Bearer {token}"
        case {"basic": {"username": str(username), "password": str(password)}}:
            return "Authorization", _basic(username, password)
        case {"header": {"name": str(name), "value": str(value)}}:
            return name, value
        case _:
            raise invalid_request("auth must be {bearer}, {basic: {username, password}} or {header: {name, value}}")


def take_credentials(url: URL, headers: Headers) -> URL:
    """The URL without the user and password in it, which become an `Authorization` header."""
    if url.user is None:
        return url
    headers.set("Authorization", _basic(url.user, url.password or ""))
    return url.with_user(None)


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def encode_body(body: Any, form: Mapping[str, Any] | None, headers: Headers) -> bytes | None:
    """The bytes of a body: text as it is, a form in its own notation, everything else as JSON; null is no body.

    Sets `Content-Type` unless there is one.

    Raises:
        TaskError: (type `invalid_request`) there is both a body and a form, or a value that cannot be written.
    """
    if form is not None:
        if body is not None:
            raise invalid_request("it has both a body and a form")
        return _typed(headers, "application/x-www-form-urlencoded", urlencode(list(pairs(form, "form"))))
    if body is None:
        return None
    if isinstance(body, str):
        return _typed(headers, "text/plain; charset=utf-8", body)
    try:
        text = json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, TypeError) as error:
        raise invalid_request(f"the body cannot be written as JSON: {error}") from None
    return _typed(headers, "application/json", text)


def _typed(headers: Headers, content_type: str, text: str) -> bytes:
    if "content-type" not in headers:
        headers.set("Content-Type", content_type)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise invalid_request("the body holds a lone surrogate, which is not Unicode text") from None


@functools.cache
def _version() -> str:
    return importlib.metadata.version("stepwell")
