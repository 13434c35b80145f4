"""What describes the server: the OpenAPI document, and a page that shows it. Neither needs anything from elsewhere."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stepwell.api.openapi import described
from stepwell.base.derive import digest

_FOLDER: Final = Path(__file__).parent / "page"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load: its own files, and what it calls."""
_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


async def _openapi(request: Request) -> Response:
    """The OpenAPI document; made when it is first asked for."""
    state = request.app.state
    if getattr(state, "openapi", None) is None:
        state.openapi = msgspec.json.encode(described(request.app))
    return _kept(request, state.openapi, "application/json")


async def _file(request: Request, name: str) -> Response:
    """A file of the page."""
    path = _FOLDER / name
    return _kept(request, path.read_bytes(), _TYPES[path.suffix])


def _kept(request: Request, content: bytes, media_type: str) -> Response:
    """The content; 304 when the browser has it."""
    tag = f'"{digest(content)[:20]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Security-Policy": _POLICY}
    if request.headers.get("if-none-match") == tag:
        return Response(None, 304, headers)
    return Response(content, 200, headers, media_type)


ROUTES: Final = (
    Route("/openapi.json", _openapi, methods=["GET"]),
    Route("/docs", partial(_file, name="docs.html"), methods=["GET"]),
    Route("/docs/docs.js", partial(_file, name="docs.js"), methods=["GET"]),
    Route("/docs/docs.css", partial(_file, name="docs.css"), methods=["GET"]),
)
"""None of them is among those that the document describes."""
