"""The HTTP application."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from fastapi import APIRouter, FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp

from stepwell.api import documents
from stepwell.api.context import ServerContext
from stepwell.api.hot_routes import HotRoutes
from stepwell.api.middlewares import MIDDLEWARES, Middleware, surrounded
from stepwell.api.problems import add_handlers
from stepwell.api.routes.table import HOT_ROUTES, ROUTERS
from stepwell.base.version import VERSION

TITLE: Final = "stepwell"


def build(context: ServerContext, routers: Sequence[APIRouter] = ROUTERS) -> FastAPI:
    """The application of a server whose parts are open: its routes, without the layers around them."""
    app = FastAPI(title=TITLE, version=VERSION, docs_url=None, redoc_url=None, redirect_slashes=False, openapi_url=None)
    app.state.context = context
    add_handlers(app)
    app.router.routes.extend((*HOT_ROUTES, *documents.ROUTES))
    for router in routers:
        app.include_router(router)
    return app


def serving_app(context: ServerContext, middlewares: Sequence[Middleware] = MIDDLEWARES) -> ASGIApp:
    """The application as it is served: with the layers around it."""
    return surrounded(HotRoutes(build(context)), context, middlewares)


def routes_of(app: FastAPI, routers: Sequence[APIRouter] = ROUTERS) -> Iterator[tuple[str, str]]:
    """Every (method, path template) that the application answers; HEAD goes with GET and is not named."""
    own = [route for route in app.router.routes if isinstance(route, Route)]
    included = [route for router in routers for route in router.routes if isinstance(route, Route)]
    for route in (*own, *included):
        for method in sorted(route.methods or ()):
            if method != "HEAD":
                yield method, route.path
