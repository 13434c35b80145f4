"""A client of the HTTP API. Nothing of it is imported unless a server is named."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import aiohttp
import msgspec
from yarl import URL

from stepwell.app.telemetry_sections import LoggingSection
from stepwell.base.version import VERSION
from stepwell.cli.logs import set_up_logging
from stepwell.cli.options import Setup, Token
from stepwell.cli.remote.address import PREFIX, base_of, is_in_the_clear, token_of
from stepwell.cli.remote.errors import ServerError, error_of, strange_answer
from stepwell.cli.streams import say

PATIENCE: Final = 60.0
"""Seconds that a server may take for an answer."""
_TO_CONNECT: Final = 10.0
_TRIES: Final = 3
"""Of a GET, when the connection is lost before there is an answer."""
_BETWEEN_TRIES: Final = 0.2
_PAGE: Final = 1_000
Parameters = Mapping[str, str | int | Sequence[str] | None]


class Answer(NamedTuple):
    """What a server answered. `document` is the JSON in it, or None."""

    status: int
    headers: Mapping[str, str]
    document: Any


class Client:
    """Talks to one server.

    Args:
        base: its URL, without `/api/v1`.
        token: what it is shown, or None.
        patience: seconds that it may take for an answer.
    """

    def __init__(
        self, base: str, token: Token | None, session: aiohttp.ClientSession, patience: float = PATIENCE
    ) -> None:
        self.base = base
        self.has_token = token is not None
        self._session = session
        self._patience = patience
        self._headers = {"Accept": "application/json", "User-Agent": f"stepwell/{VERSION}"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"

    async def get(self, path: str, parameters: Parameters | None = None, *, has: str | None = None) -> Any:
        """The document, an object, at a path below `/api/v1`.

        Args:
            has: a key that it has.

        Raises:
            StepwellError: what the server says is wrong. ServerError: there is no answer, or a strange one.
        """
        answer = await self._patient_get(path, parameters)
        document = answer.document
        if not isinstance(document, dict) or (has is not None and has not in document):
            raise strange_answer(self.base, answer.status)
        return document

    async def page(self, path: str, parameters: Parameters | None = None) -> dict[str, Any]:
        """A page of a list: `items`, and `next` for the parameter `cursor`."""
        page: dict[str, Any] = await self.get(path, parameters, has="next")
        if not isinstance(page.get("items"), list):
            raise strange_answer(self.base, 200)
        return page

    async def pages(self, path: str, parameters: Parameters | None = None) -> list[Any]:
        """The items of all pages of a list."""
        items: list[Any] = []
        cursor: str | None = None
        while True:
            page = await self.page(path, {**(parameters or {}), "limit": _PAGE, "cursor": cursor})
            items += page["items"]
            cursor = page["next"]
            if cursor is None:
                return items

    async def _patient_get(self, path: str, parameters: Parameters | None) -> Answer:
        for _ in range(_TRIES - 1):
            try:
                return await self._exchange("GET", PREFIX + path, parameters)
            except (aiohttp.ServerDisconnectedError, ConnectionResetError):
                await asyncio.sleep(_BETWEEN_TRIES)
        return await self.send("GET", path, parameters=parameters)

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        parameters: Parameters | None = None,
        headers: Mapping[str, str] | None = None,
        patience: float | None = None,
    ) -> Answer:
        """Ask for something, once: what was sent may have been done although there is no answer.

        Args:
            path: below `/api/v1`.
            body: bytes, sent as they are with the `Content-Type` in `headers`; anything else is sent as JSON.
            patience: seconds that the server may take, when it is not as long as usual.

        Raises:
            StepwellError: what the server says is wrong. ServerError: there is no answer, or a strange one.
        """
        try:
            return await self._exchange(method, PREFIX + path, parameters, body, headers, patience)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError):
            raise ServerError(f"{self.base} broke the connection off", code="server-unreachable") from None

    async def probe(self, path: str) -> Answer:
        """What is answered at a path of the server itself, such as `/healthz`."""
        try:
            return await self._exchange("GET", path, None)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError):
            raise ServerError(f"{self.base} broke the connection off", code="server-unreachable") from None

    @asynccontextmanager
    async def stream(self, path: str, after: int, quiet_for: float) -> AsyncIterator[aiohttp.ClientResponse]:
        """The events at a path, behind the one with this number. One error of aiohttp or another means that it broke.

        Args:
            quiet_for: seconds without a sign of life after which the server counts as gone.

        Raises:
            StepwellError: what the server says is wrong.
        """
        headers = {**self._headers, "Accept": "text/event-stream", "Last-Event-ID": str(after)}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_TO_CONNECT, sock_read=quiet_for)
        request = self._session.get(
            URL(self.base + PREFIX + path, encoded=True), headers=headers, timeout=timeout, allow_redirects=False
        )
        async with request as response:
            if response.status >= 300:
                self._check(await self._answer(response))
            yield response

    async def _exchange(
        self,
        method: str,
        path: str,
        parameters: Parameters | None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        patience: float | None = None,
    ) -> Answer:
        longest = self._patience if patience is None else patience
        content, sent = body, {**self._headers, **(headers or {})}
        if body is not None and not isinstance(body, bytes):
            content = msgspec.json.encode(body)
            sent.setdefault("Content-Type", "application/json")
        url = URL(self.base + path + _query(parameters or {}), encoded=True)
        timeout = aiohttp.ClientTimeout(total=longest, sock_connect=_TO_CONNECT)
        try:
            async with self._session.request(
                method, url, data=content, headers=sent, timeout=timeout, allow_redirects=False
            ) as response:
                return self._check(await self._answer(response))
        except aiohttp.ConnectionTimeoutError:
            raise ServerError(f"no server answers at {self.base} within {_TO_CONNECT:g}s") from None
        except aiohttp.ClientError as error:
            raise self._unreachable(error) from None
        except TimeoutError:
            message = f"{self.base} has not answered within {longest:g}s"
            raise ServerError(message, code="server-timeout", hint="what was asked for may still be done") from None

    async def _answer(self, response: aiohttp.ClientResponse) -> Answer:
        content = await response.read()
        document = None
        if response.content_type == "application/json" or response.content_type.endswith("+json"):
            try:
                document = msgspec.json.decode(content)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise strange_answer(self.base, response.status) from None
        return Answer(response.status, response.headers, document)

    def _check(self, answer: Answer) -> Answer:
        if answer.status >= 300:
            raise error_of(answer.status, answer.document, self.base, has_token=self.has_token)
        if answer.document is None and answer.status != 204:
            raise strange_answer(self.base, answer.status)
        return answer

    def _unreachable(self, error: aiohttp.ClientError) -> Exception:
        """What is said; a connection that was lost is given back as it is, for it may be tried again."""
        if isinstance(error, (aiohttp.ServerDisconnectedError, ConnectionResetError)):
            return error
        if isinstance(error, OSError) and error.errno in (errno.ECONNRESET, errno.EPIPE):
            return ConnectionResetError()
        if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError)):
            return ServerError(
                f"{self.base} is not trusted: {_reason(error)}",
                code="server-untrusted",
                hint="SSL_CERT_FILE names the certificates of authorities that are trusted",
            )
        if isinstance(error, aiohttp.ClientConnectorError):
            return ServerError(
                f"no server answers at {self.base}: {_reason(error)}",
                hint="`stepwell serve` starts one; --server or STEPWELL_SERVER names it",
            )
        if isinstance(error, (aiohttp.ClientResponseError, aiohttp.ClientPayloadError)):
            return ServerError(
                f"{self.base} does not answer as a server of stepwell does",
                code="not-a-server",
                hint="check the URL given with --server or STEPWELL_SERVER",
            )
        return ServerError(f"{self.base} cannot be reached: {type(error).__name__}")


def _reason(error: BaseException) -> str:
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    if isinstance(inner, OSError) and not isinstance(inner, ssl.SSLError) and (inner.errno or 0) > 0:
        return os.strerror(inner.errno or 0).lower()
    return str(getattr(inner, "verify_message", None) or getattr(inner, "strerror", None) or inner).lower()


def _query(parameters: Parameters) -> str:
    """The parameters that are said, as the end of a URL."""
    pairs = {name: value for name, value in parameters.items() if value is not None and value != ()}
    return "?" + urlencode(pairs, doseq=True) if pairs else ""


@asynccontextmanager
async def open_client(setup: Setup) -> AsyncIterator[Client]:
    """A client of the server that the user named.

    Raises:
        UsageError: (code `invalid-server`, `invalid-token`, `unreadable-file`) it cannot be called so.
    """
    assert setup.server is not None, "asked only when one was named"
    set_up_logging(LoggingSection())
    base, token = base_of(setup.server), token_of(setup.token)
    if token is not None and is_in_the_clear(base):
        say(f"warning: {base} is not encrypted: others on the way can read the token; use https")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Client(base, token, session, PATIENCE)
