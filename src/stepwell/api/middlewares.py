"""What every request passes before it comes to a route. Plain ASGI: a layer costs a microsecond."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.types import ASGIApp

from stepwell.api.authentication import Authentication
from stepwell.api.authorization import Authorization
from stepwell.api.body_limit import BodyLimit
from stepwell.api.context import ServerContext
from stepwell.api.known_paths import KnownPaths
from stepwell.api.methods import Head, Options
from stepwell.api.origins import Hosts, Origins, allowed_origins
from stepwell.api.outages import Outages
from stepwell.api.response_headers import ResponseHeaders

Middleware = Callable[[ASGIApp, ServerContext], ASGIApp]
"""Puts a layer around an application."""

MIDDLEWARES: Sequence[Middleware] = (
    ResponseHeaders,
    Hosts,
    allowed_origins,
    BodyLimit,
    Options,
    KnownPaths,
    Origins,
    Outages,
    Authentication,
    Authorization,
    Head,
)
"""From the outermost to the innermost."""


def surrounded(app: ASGIApp, context: ServerContext, middlewares: Sequence[Middleware] = MIDDLEWARES) -> ASGIApp:
    """The application with all layers around it."""
    for middleware in reversed(middlewares):
        app = middleware(app, context)
    return app
