"""Where a command does its work: in a store that this process opens, or through a server that has one.

For every subject there is a protocol, which is all that commands know, and two classes that do it, one on a store and
one through a server. The documents are the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from stepwell.app.configuration import Configuration
from stepwell.cli.opening import configuration_of, existing_store
from stepwell.cli.options import Setup
from stepwell.ports.store import Store

if TYPE_CHECKING:
    from stepwell.cli.remote.client import Client

T = TypeVar("T")
R = TypeVar("R")


class OpenStore(NamedTuple):
    """A store that was opened, and how: `options` name it in another call, with a space before them."""

    store: Store
    configuration: Configuration
    options: str


class Served(NamedTuple):
    """A server that is called, and how: `options` name it in another call, with a space before them."""

    client: Client
    options: str


@asynccontextmanager
async def opened(
    setup: Setup, stored: Callable[[OpenStore], T], served: Callable[[Served], T], *, make: bool = False
) -> AsyncIterator[T]:
    """What `stored` makes of the store, or `served` of the server, that the user named.

    Args:
        make: the store is made when it is not there.

    Raises:
        StoreError: the store is not there, or cannot be used. UsageError: the server cannot be called so.
    """
    if setup.server is not None:
        from stepwell.cli.remote.client import open_client

        async with open_client(setup) as client:
            yield served(Served(client, setup.same_store()))
        return
    configuration = configuration_of(setup)
    async with _store(configuration, make=make) as store:
        yield stored(OpenStore(store, configuration, setup.same_store()))


def _store(configuration: Configuration, *, make: bool) -> AbstractAsyncContextManager[Store]:
    if not make:
        return existing_store(configuration)

    from stepwell.app.session import open_store

    return open_store(configuration)


def run_in(opening: AbstractAsyncContextManager[T], work: Callable[[T], Awaitable[R]]) -> R:
    """What `work` returns, given what was opened; it is closed afterwards."""

    async def whole() -> R:
        async with opening as subject:
            return await work(subject)

    return asyncio.run(whole())
