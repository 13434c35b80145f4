"""Answers: JSON documents, `304 Not Modified`, and what a request must say about what it has seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepwell.api.problems import Problem

JSON: Final = "application/json"

_encode: Final = msgspec.json.Encoder().encode


def answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON document."""
    return Response(_encode(document), status, headers=dict(headers or {}), media_type=JSON)


def created(document: Any, location: str, headers: Mapping[str, str] | None = None) -> Response:
    """201: what was made is at `location`."""
    return answer(document, 201, {"Location": location, **(headers or {})})


def tagged(request: Request, document: Any, tag: str) -> Response:
    """The document with its `ETag`; 304 without it when the request says that it has it."""
    quoted = f'"{tag}"'
    headers = {"ETag": quoted, "Cache-Control": "private, no-cache"}
    if _names(request.headers.get("if-none-match"), quoted):
        return Response(None, 304, headers)
    return answer(document, headers=headers)


def check_unchanged(request: Request, tag: str) -> None:
    """The caller must say, with `If-Match`, which state of the thing it wants to change.

    Raises:
        Problem: 428 when it does not; 412 when the thing has changed meanwhile.
    """
    named = request.headers.get("if-match")
    if named is None:
        raise Problem(
            428,
            "a change needs If-Match, so that nobody undoes what he has not seen",
            code="if-match-missing",
            hint="send the ETag of what you have read, or *",
            errors=[{"parameter": "If-Match", "message": "it is missing"}],
        )
    if not _names(named, f'"{tag}"'):
        raise Problem(
            412,
            f'it was changed meanwhile: its ETag is "{tag}", If-Match says {named[:100]}',
            code="changed-meanwhile",
            hint="read it again, and decide anew",
            errors=[{"parameter": "If-Match", "message": "it names another ETag"}],
        )


def _names(header: str | None, quoted: str) -> bool:
    """Whether a list of entity tags has this one; weak ones count as strong ones do."""
    if header is None:
        return False
    tags = [part.strip().removeprefix("W/") for part in header.split(",")]
    return "*" in tags or quoted in tags
