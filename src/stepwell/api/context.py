"""What the handlers of requests work with."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from stepwell.app.configuration import Configuration
from stepwell.app.serving import Parts
from stepwell.app.starting import Closing


class ServerContext:
    """One server.

    Attributes:
        parts: what it is made of.
        hosts: the names by which it may be called; None for any. See `origins.hosts_of`.
        closing: set when the server is about to end: what would go on for ever, such as a stream, ends then.
    """

    def __init__(self, parts: Parts, hosts: frozenset[str] | None = None) -> None:
        self.parts = parts
        self.hosts = hosts
        self.closing = Closing()

    @property
    def configuration(self) -> Configuration:
        """The configuration in force."""
        return self.parts.configuration


def context_of(request: Request) -> ServerContext:
    """The context of the server that a request came to."""
    context: ServerContext = request.app.state.context
    return context


def parts_of(request: Request) -> Parts:
    """The parts of the server that a request came to."""
    return context_of(request).parts


Context = Annotated[ServerContext, Depends(context_of)]
"""The type of a handler's argument that is the server's context."""

Here = Annotated[Parts, Depends(parts_of)]
"""The type of a handler's argument that are the server's parts."""
