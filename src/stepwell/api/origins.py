"""Web pages of others cannot use the server with the rights of whoever has them open.

Nothing proves who calls by itself, such as a cookie; but a server on loopback asks nobody who he is, and a page that is
open in a browser on that machine can reach it. So it is looked at where a request comes from, and by which name.
"""

from __future__ import annotations

from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from stepwell.api.context import ServerContext
from stepwell.api.problems import Problem, problem_response
from stepwell.app.configuration import Configuration
from stepwell.app.security import is_loopback

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FORMS: Final = frozenset({b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain"})
"""What a page may send anywhere without asking first."""


def hosts_of(configuration: Configuration, host: str) -> frozenset[str] | None:
    """The names by which a server that listens on `host` may be called; None for any.

    On loopback these are known. So a page cannot have the name of its own site lead here and then pass for the server
    (DNS rebinding).
    """
    configured = frozenset(configuration.security.hosts)
    if is_loopback(host):
        return LOOPBACK | configured | {f"[{host}]" if ":" in host else host.lower()}
    return configured or None


class Hosts:
    """Answers 421 to a request for a server of another name."""

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self._app = app
        self._hosts = context.hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._hosts is None:
            return await self._app(scope, receive, send)
        given = [value for name, value in scope["headers"] if name == b"host"]
        if len(given) == 1 and _without_port(given[0].decode("latin-1")) in self._hosts:
            return await self._app(scope, receive, send)
        hint = "name it in security.hosts of the configuration, if it is this server's"
        said = "the server does not have the name in Host"
        problem = Problem(421, said, code="unknown-host", hint=hint, errors=[{"parameter": "Host", "message": said}])
        return await problem_response(problem)(scope, receive, send)


def allowed_origins(app: ASGIApp, context: ServerContext) -> ASGIApp:
    """Tells browsers that pages of the configured origins may call; without any it tells them nothing."""
    cors = context.configuration.security.cors
    if not cors.origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=cors.origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID",
                       "X-API-Key", "X-Request-Id"],
        expose_headers=["ETag", "Idempotency-Replayed", "Location", "RateLimit", "RateLimit-Policy",
                        "Retry-After", "Warning", "X-Request-Id"],
        max_age=cors.max_age // 1_000_000,
    )  # fmt: skip


class Origins:
    """Answers 403 to a change that a web page of another origin asks for, unless that is configured.

    Browsers say where a request comes from (`Origin`, `Sec-Fetch-Site`); programs say nothing. What a form could send
    is refused too, for the sake of old browsers. Paths that are open to anybody are left alone: whoever calls them has
    no rights there that a page could use.
    """

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self._app = app
        self._origins = frozenset(context.configuration.security.cors.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _READING or scope["permission"] == "anybody":
            return await self._app(scope, receive, send)
        problem = self._problem(dict(scope["headers"]))
        if problem is not None:
            return await problem_response(problem)(scope, receive, send)
        return await self._app(scope, receive, send)

    def _problem(self, headers: dict[bytes, bytes]) -> Problem | None:
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if origin:
            is_own = origin.partition("://")[2] == headers.get(b"host", b"").decode("latin-1").lower()
            refused = not is_own and origin not in self._origins
        else:
            refused = headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin")
        if refused:
            hint = "security.cors.origins of the configuration names the origins that may"
            return Problem(403, "a web page of another origin may change nothing here", code="cross-site", hint=hint)
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind in _FORMS:
            said = f"the body is {kind.decode('latin-1')}, as a web page's form sends it"
            errors = [{"parameter": "Content-Type", "message": "expected application/json"}]
            hint = "send JSON with Content-Type: application/json"
            return Problem(415, said, code="unsupported-media-type", hint=hint, errors=errors)
        return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and (port.isdigit() or not port) else host).lower().removesuffix(".")
