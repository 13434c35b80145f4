"""A connection to NATS that is kept: made again, patiently, whenever it is lost."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import random
import re
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stepwell.base.errors import ConfigurationError

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0
"""Seconds before it is tried again."""
CONNECT_SECONDS: Final = 5
CLOSE_SECONDS: Final = 1
PING_SECONDS: Final = 20
"""So often it is asked whether the other end is there; after two pings without an answer it is not."""

_REFUSED: Final = re.compile(r"authorization|authentication|permissions|credentials|nkey|jwt", re.IGNORECASE)

_log = logging.getLogger("stepwell.worker")


class NatsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How NATS is reached.

    Attributes:
        urls: of one cluster; they may hold `user:password@` or `token@`. With one that begins with `tls:`, and with
            `ca_file` or `client_cert`, nothing is said to a server that does not encrypt.
        prefix: the first part of all subjects, and of the stream's name; one for each database.
        credentials: a file with a JWT and a seed.
        ca_file, client_cert, client_key: whom to trust, and what to show.
        replicas: of the stream, on how many servers of the cluster it is kept.
    """

    urls: Sequence[str]
    prefix: str = "stepwell"
    credentials: str | None = None
    user: str | None = None
    password: str | None = None
    token: str | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    replicas: int = 1

    @property
    def where(self) -> str:
        """The servers, without what is secret in their URLs."""
        return ", ".join(re.sub(r"//[^@/]*@", "//***@", url) for url in self.urls)


OnUp = Callable[["Client"], Awaitable[None]]
"""Makes on a new connection what is needed there. May raise; then the connection is closed and made again."""


class Link:
    """The connection, once `run` runs.

    Args:
        name: shown in the server's list of connections.
    """

    def __init__(self, options: NatsOptions, name: str) -> None:
        self.options = options
        self._name = name
        self._client: Client | None = None
        self._ups: list[OnUp] = []
        self._problem: str | None = "it has not been reached yet"
        self._told: str | None = None
        self._denied: str | None = None
        self._refused = False
        self._gone = asyncio.Event()
        self._tried = asyncio.Event()
        self._is_up = asyncio.Event()

    def on_up(self, callback: OnUp) -> None:
        """Have it called with every new connection, before anybody else gets that."""
        self._ups.append(callback)

    def problem(self) -> str | None:
        """Why there is no connection, a sentence; None when there is one."""
        return self._problem or self._denied

    @property
    def client(self) -> Client:
        """The connection.

        Raises:
            ConnectionError: there is none at the moment.
        """
        if self._client is None or not self._client.is_connected:
            raise ConnectionError(
                f"NATS at {self.options.where} cannot be reached: {self._problem or 'the connection was lost'}"
            )
        return self._client

    @property
    def is_up(self) -> bool:
        """Whether there is a connection."""
        return self._client is not None and self._client.is_connected

    async def up(self) -> None:
        """Wait until there is a connection."""
        await self._is_up.wait()

    async def request(self, subject: str, body: bytes, patience: float) -> Msg:
        """The answer to a request. When the connection is lost that is known at once; the library would go on waiting.

        Raises:
            ConnectionError: there is no connection any more. TimeoutError: no answer. nats.errors.Error: other trouble.
        """
        asking = asyncio.ensure_future(self.client.request(subject, body, timeout=patience))
        losing = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait((asking, losing), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise ConnectionError("the connection was lost")
            return asking.result()
        finally:
            asking.cancel()
            losing.cancel()

    async def first(self) -> None:
        """Wait until it was tried to connect.

        Raises:
            ConfigurationError: (code `nats-refused`) the server is there, and refuses.
        """
        await self._tried.wait()
        if self._refused:
            raise ConfigurationError(
                f"NATS at {self.options.where} refuses this client: {self._problem}",
                code="nats-refused",
                hint="check `nats.url`, `nats.user` and `nats.password`, `nats.token`, `nats.credentials`",
            )

    async def run(self) -> None:
        """Keep the connection until cancelled.

        Raises:
            ConfigurationError: the library is missing, or a file that the options name.
        """
        self.check()
        pause = FIRST_PAUSE
        try:
            while True:
                gone = asyncio.Event()
                try:
                    client = await self._connected(gone)
                except Exception as error:  # whatever the library raises, and what is done on a new connection
                    self._down(error)
                    check_cancelled()
                    await asyncio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - so that not all come at once
                    pause = min(2 * pause, LONGEST_PAUSE)
                    continue
                self._up(client, gone)
                check_cancelled()
                pause = FIRST_PAUSE
                await gone.wait()
                self._down(ConnectionError("the connection was lost"))
        finally:
            await self.close()

    def check(self) -> None:
        """That what is needed for a connection is there.

        Raises:
            ConfigurationError: the library is missing, or a file that the options name.
        """
        try:
            import nats.aio.client  # noqa: F401 - only whether it is there

            if self.options.credentials is not None:
                importlib.import_module("nkeys")
        except ImportError as error:
            missing = "'stepwell[nats]'" if error.name != "nkeys" else "nkeys"
            message = f"work through NATS needs a library that is not installed: {error.name}"
            raise ConfigurationError(message, code="missing-library", hint=f"pip install {missing}") from None
        for key in ("credentials", "ca_file", "client_cert", "client_key"):
            path = getattr(self.options, key)
            if path is not None and not Path(path).is_file():
                raise ConfigurationError(f"nats.{key}: there is no file {path}")
        try:
            self._shown()
        except (ssl.SSLError, OSError, ValueError) as error:
            said = getattr(error, "reason", None) or error
            message = f"nats.ca_file, nats.client_cert, nats.client_key: these are no certificates and keys ({said})"
            raise ConfigurationError(message) from None

    async def close(self) -> None:
        """Give the connection up."""
        client, self._client = self._client, None
        self._is_up.clear()
        if client is not None:
            await _close(client)

    async def _connected(self, gone: asyncio.Event) -> Client:
        import nats.errors
        from nats.aio.client import Client

        met: list[Exception] = []

        async def noted(error: Exception) -> None:
            met[:] = [error]
            if isinstance(error, nats.errors.Error | OSError | TimeoutError):
                _log.debug("NATS: %s", error)
            else:
                _log.error("a message from NATS could not be dealt with", exc_info=error)
            if "permissions violation" in str(error).lower() and self._denied is None:
                self._denied = _words(error)
                _log.warning(
                    "NATS at %s does not allow everything that is needed: %s", self.options.where, self._denied
                )

        async def closed() -> None:
            gone.set()

        self._denied = None
        client = Client()
        if self._is_encrypted:
            _insist_on_encryption(client)
        try:
            await client.connect(
                servers=list(self.options.urls),
                name=self._name,
                error_cb=noted,
                closed_cb=closed,
                disconnected_cb=closed,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=CONNECT_SECONDS,
                ping_interval=PING_SECONDS,
                **self._shown(),
            )
            for callback in self._ups:
                await callback(client)
        except BaseException as error:
            await _close(client)
            if isinstance(error, nats.errors.NoServersError) and met:
                raise met[0] from None  # why none of them can be used
            if isinstance(error, ConnectionError) and self._is_encrypted and self.options.client_cert is None:
                raise ConnectionError(f"{str(error) or 'the server hung up'}: it may want a certificate") from None
            raise
        return client

    @property
    def _is_encrypted(self) -> bool:
        """Whether the connection has to be."""
        options = self.options
        has_files = options.ca_file is not None or options.client_cert is not None
        return has_files or any(url.startswith("tls:") for url in options.urls)

    def _shown(self) -> dict[str, Any]:
        """What proves who this is, and whom it trusts."""
        options = self.options
        shown: dict[str, Any] = {
            "user_credentials": options.credentials,
            "user": options.user,
            "password": options.password,
            "token": options.token,
        }
        if options.ca_file is not None or options.client_cert is not None:
            context = ssl.create_default_context(cafile=options.ca_file)
            if options.client_cert is not None:
                # Without a password it would be asked for on the terminal.
                context.load_cert_chain(options.client_cert, options.client_key, password=lambda: "")
            shown["tls"] = context
        return {key: value for key, value in shown.items() if value is not None}

    def _up(self, client: Client, gone: asyncio.Event) -> None:
        if self._told is not None:
            _log.warning("NATS at %s is reached again", self.options.where)
        self._client, self._problem, self._told, self._refused = client, None, None, False
        self._gone = gone
        self._tried.set()
        self._is_up.set()

    def _down(self, error: Exception) -> None:
        """There is no connection; said once, and again when the reason is another."""
        self._client = None
        self._is_up.clear()
        self._problem = _words(error)
        self._refused = bool(_REFUSED.search(self._problem))
        if self._told is None or self._refused != bool(_REFUSED.search(self._told)):
            _log.warning("NATS at %s cannot be reached: %s; it is tried again", self.options.where, self._problem)
            self._told = self._problem
        self._tried.set()


async def _close(client: Client) -> None:
    """Close it. The library waits for ever for the end of a connection whose encryption did not come about."""
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close()


def check_cancelled() -> None:
    """Be cancelled now, if that was asked for: to be called after the library was waited for, since the
    `asyncio.wait_for` of Python 3.11, which it uses, may lose a cancellation.

    Raises:
        CancelledError: it was asked for.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _insist_on_encryption(client: Client) -> None:
    """Have it say nothing to a server that does not encrypt. The library would: it goes by what the server says, for
    which whoever stands between the two can speak."""
    from nats.errors import Error

    greeting = client._connect_command  # noqa: SLF001 - nothing public lies between the server's word and ours

    def checked() -> bytes:
        if not client._server_info.get("tls_required"):  # noqa: SLF001
            raise Error("the server does not offer the encryption that is configured here")
        return greeting()

    client._connect_command = checked  # type: ignore[method-assign]  # noqa: SLF001


def _words(error: Exception) -> str:
    """The error in words, without what is secret in a URL."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no encrypted connection comes about: {error.reason}"
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_SECONDS} seconds"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    text = str(error).strip() or type(error).__name__
    return re.sub(r"//[^@/\s]*@", "//***@", text.removeprefix("nats: ").strip("'\""))
