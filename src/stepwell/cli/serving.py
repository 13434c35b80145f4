"""`serve`: the HTTP API on a socket, until the process is told to end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from stepwell.app.configuration import Configuration
from stepwell.app.process import settle_process
from stepwell.app.registries import Registries
from stepwell.base.durations import format_duration
from stepwell.base.errors import ConfigurationError, UsageError
from stepwell.base.version import VERSION
from stepwell.cli.interrupts import Interrupted, Interrupts
from stepwell.cli.opening import configuration_of, registries_of
from stepwell.cli.options import Setup
from stepwell.cli.streams import output_kept_clean, say
from stepwell.cli.words import count

if TYPE_CHECKING:
    import uvicorn

    from stepwell.api.context import ServerContext
    from stepwell.ports.store import Store

_PATIENCE: Final = 10
"""Seconds that requests under way have to end when the server does."""
_BACKLOG: Final = 2_048
_ANY_ADDRESS: Final = ("0.0.0.0", "::", "[::]")  # noqa: S104 - compared, not bound
_PHRASES: Final = {"Address already in use": "something else listens there already"}


def serve(host: str, port: int, setup: Setup, *, insecure: bool) -> int:
    """Serve until the process is told to end, or the engine has stopped: whoever supervises the process starts it anew.

    Raises:
        UsageError: (code `address-unusable`) nothing can listen there. ConfigurationError: (code `missing-library`)
            what a server needs is not installed; (code `open-server`) it would be open to everybody. StoreError. Why
            the engine has stopped.
    """
    with output_kept_clean():
        configuration = configuration_of(setup)
        registries = registries_of(setup)
    _check_installed()
    listening = listening_socket(host, port)
    with listening, asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(_serve(host, listening, configuration, registries, insecure))
    return 0


def _check_installed() -> None:
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"the server needs {error.name}, which is not installed",
            code="missing-library",
            hint="pip install 'stepwell[server]'",
        ) from None


def _new_loop() -> asyncio.AbstractEventLoop:
    """The quickest event loop there is here."""
    try:
        import uvloop
    except ImportError:  # there is none for this system
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there, before anything else is done.

    Raises:
        UsageError: code `address-unusable`.
    """
    bare = host.removeprefix("[").removesuffix("]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise _unusable(host, port, error) from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise _unusable(host, port, error) from None
    return listening


def _unusable(host: str, port: int, error: Exception) -> UsageError:
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return UsageError(
        f"cannot listen on {host} port {port}: {_PHRASES.get(said, said.lower())}",
        code="address-unusable",
        hint="choose another with --host and --port",
    )


def url_of(host: str, listening: socket.socket) -> str:
    """Where the server is to be found."""
    port = listening.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - shown, not bound
    return f"http://{f'[{shown}]' if ':' in shown and not shown.startswith('[') else shown}:{port}"


async def _serve(
    host: str, listening: socket.socket, configuration: Configuration, registries: Registries, insecure: bool
) -> None:
    from stepwell.api.context import ServerContext
    from stepwell.api.origins import hosts_of
    from stepwell.api.server import serving_app
    from stepwell.app.security import check_binding
    from stepwell.app.serving import open_server
    from stepwell.app.session import open_store

    interrupts = Interrupts()
    with interrupts.listening():
        async with AsyncExitStack() as stack:

            async def opened() -> ServerContext:
                store = await stack.enter_async_context(open_store(configuration, outlasts=True))
                warning = await check_binding(configuration, store, host, insecure=insecure)
                url = url_of(host, listening) if host not in _ANY_ADDRESS else None
                opening = open_server(configuration, registries, store=store, announce=say, url=url)
                parts = await stack.enter_async_context(opening)
                say(f"stepwell {VERSION}: {await _counted(store)}")
                if warning is not None:
                    say(f"warning: {warning}")
                return ServerContext(parts, hosts_of(configuration, host))

            try:
                context = await interrupts.wait_for(opened())
            except Interrupted:
                say("stopped before anything was served")
                return
            server = _server(serving_app(context), configuration)
            settle_process()
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            say(f"serving {url_of(host, listening)}/api/v1, described at {url_of(host, listening)}/docs")
            await _until_told(interrupts, serving, server, context)


async def _counted(store: Store) -> str:
    """What is in the store, in words."""
    status = await store.status()
    versions = count(status.registered, "registered workflow version")
    executions = count(sum(status.executions.values()), "execution")
    return f"{status.location} with {versions} and {executions}"


async def _until_told(
    interrupts: Interrupts, serving: asyncio.Task[None], server: uvicorn.Server, context: ServerContext
) -> None:
    """Raises: StepwellError: why the engine has stopped."""
    engine, is_told = context.parts.session.engine, False
    stopped = asyncio.create_task(engine.stopped())

    async def going_on() -> None:
        await asyncio.wait((serving, stopped), return_when=asyncio.FIRST_COMPLETED)

    try:
        await interrupts.wait_for(going_on())
    except Interrupted:
        is_told = True
        await _drain(interrupts, server, context)
    stopped.cancel()
    context.closing.set()
    server.should_exit = True
    await serving
    if engine.failure is not None and not is_told:
        raise engine.failure


async def _drain(interrupts: Interrupts, server: uvicorn.Server, context: ServerContext) -> None:
    """Begin nothing new, and let what is at work end, while its workers can still report."""
    engine, drain = context.parts.session.engine, context.configuration.cluster.drain

    def hurry() -> None:
        say("stopping at once")
        server.force_exit = True
        engine.hurry()

    interrupts.hurry = hurry
    longest = f"for {format_duration(drain)} at most" if drain else "not waited for"
    say(f"stopping: requests under way are answered, and attempts at work may end, {longest}; once more stops at once")
    context.closing.set()
    context.parts.store.hasten()
    await engine.drain(drain)


def _server(app: Any, configuration: Configuration) -> uvicorn.Server:
    import uvicorn

    class Server(uvicorn.Server):
        """Leaves signals to this command."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    proxies = list(configuration.security.trusted_proxies)
    return Server(
        uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=proxies,
            timeout_graceful_shutdown=_PATIENCE,
        )
    )
