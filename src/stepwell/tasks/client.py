"""The HTTP client of the steps: one session, connections kept open, no cookies, no proxy from the environment."""

from __future__ import annotations

import asyncio
import functools
import os
import ssl

import aiohttp

from stepwell.base.durations import SECOND, format_duration
from stepwell.ports.work import TaskError
from stepwell.tasks.addresses import AddressGuard, ForbiddenAddress, guarded_socket, is_forbidden_name
from stepwell.tasks.redirects import MOST, next_request, redirect_error
from stepwell.tasks.replies import HttpReply, check_status, read_body
from stepwell.tasks.requests import HttpRequest, Tls
from stepwell.tasks.urls import invalid_request

_CHUNK = 64 * 1024
_FAILURE_BYTES = 64 * 1024


class HttpClient:
    """Sends requests.

    Args:
        guard: says where it may connect to.
    """

    def __init__(self, guard: AddressGuard | None = None) -> None:
        self._guard = guard or AddressGuard()
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[Tls, ssl.SSLContext] = {}

    async def exchange(self, request: HttpRequest) -> HttpReply:
        """Send the request, follow redirects, and return the answer if it is a success.

        Raises:
            TaskError: `http_error` (the status is none of success), `timeout`, `connection_error`, `tls_error`,
                `forbidden_address`, `redirect_error`, `response_too_large`, `invalid_response`, `invalid_request`.
        """
        try:
            async with asyncio.timeout(request.timeout / SECOND):
                reply = await self._follow(request)
        except TimeoutError:
            message = f"{request} timed out after {format_duration(request.timeout)}"
            raise TaskError("timeout", message, retryable=True) from None
        check_status(reply)
        return reply

    async def close(self) -> None:
        """Close all connections. May be called twice; a later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _follow(self, request: HttpRequest) -> HttpReply:
        current = request
        for _ in range(MOST + 1):
            reply = await self._send(current)
            following = next_request(reply) if request.follows else None
            if following is None:
                return reply
            current = following
        raise redirect_error(request, f"there are more than {MOST} in a row")

    async def _send(self, request: HttpRequest) -> HttpReply:
        if is_forbidden_name(request.url.host or ""):
            raise _forbidden(request)
        try:
            async with self._open_session().request(
                request.method,
                request.url,
                headers=list(request.headers.items()),
                data=request.body,
                allow_redirects=False,
                ssl=self._context(request.tls) if request.url.scheme == "https" else True,
            ) as response:
                return await _read(request, response)
        except UnicodeError:  # a host name that cannot be written in DNS
            raise invalid_request("its host is not a name that exists") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(request, error) from None

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            factory = functools.partial(guarded_socket, guard=self._guard)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, socket_factory=factory),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                auto_decompress=False,  # we do it within limits
                trust_env=False,
            )
        return self._session

    def _context(self, tls: Tls) -> ssl.SSLContext:
        context = self._contexts.get(tls)
        if context is None:
            context = self._contexts[tls] = _new_context(tls)
        return context


async def _read(request: HttpRequest, response: aiohttp.ClientResponse) -> HttpReply:
    success = request.is_success(response.status)
    limit = request.max_bytes if success else min(request.max_bytes, _FAILURE_BYTES)
    encoding = response.headers.get("Content-Encoding", "")
    body, more = await read_body(response.content.iter_chunked(_CHUNK), encoding, limit)
    if more:
        response.close()  # what is left of the body would have to be read before the connection is of use again
        if success:
            raise TaskError("response_too_large", f"the answer to {request} is larger than {limit} bytes")
    headers = {name.lower(): ", ".join(response.headers.getall(name)) for name in response.headers}
    return HttpReply(request, response.status, headers, body)


def _failure(request: HttpRequest, error: aiohttp.ClientError | OSError) -> TaskError:
    """The error for an exchange that did not come to an answer."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "") or "it is not valid"
            return TaskError("tls_error", f"{request}: the server's certificate is refused: {reason}")
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return invalid_request("its url is not valid")
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, ForbiddenAddress):
            return _forbidden(request)
    return TaskError("connection_error", f"{request} failed: {_reason(error)}", retryable=True)


def _forbidden(request: HttpRequest) -> TaskError:
    return TaskError("forbidden_address", f"{request} is refused: no step may connect to {request.url.host}")


def _reason(error: aiohttp.ClientError | OSError) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"the name {error.host} cannot be resolved"
        case aiohttp.ClientConnectorSSLError():
            return f"no secure connection could be made ({error.os_error.reason or 'TLS'})"
        case OSError() if error.errno:
            return os.strerror(error.errno)
        case aiohttp.ServerDisconnectedError() | OSError():
            return "the server closed the connection before it answered"
        case aiohttp.ClientPayloadError():
            return "the answer broke off"
        case aiohttp.ClientResponseError():
            return "the answer is not HTTP"
    return type(error).__name__


def _new_context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context()
        if tls.ca_file is not None:
            context.load_verify_locations(tls.ca_file)
        if tls.client_cert is not None:
            context.load_cert_chain(tls.client_cert, tls.client_key)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file of certificates and keys"
        raise TaskError("invalid_config", f"the certificate files of the service cannot be read: {reason}") from None
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
