"""What every request passes before it comes to a route. Plain ASGI: a layer costs a microsecond."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.types import ASGIApp

from stepwell.api.body_limit import BodyLimit
from stepwell.api.context import ServerContext

Middleware = Callable[[ASGIApp, ServerContext], ASGIApp]
"""Puts a layer around an application."""

MIDDLEWARES: Sequence[Middleware] = (BodyLimit,)
"""From the outermost to the innermost."""


def surrounded(app: ASGIApp, context: ServerContext, middlewares: Sequence[Middleware] = MIDDLEWARES) -> ASGIApp:
    """The application with all layers around it."""
    for middleware in reversed(middlewares):
        app = middleware(app, context)
    return app
