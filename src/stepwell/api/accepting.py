"""Which types of content a request has, and which it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request

from stepwell.api.problems import MEDIA_TYPE, Problem

_JSON: Final = "application/json"
_LONGEST_HEADER: Final = 255


def check_content_type(request: Request, *accepted: str) -> str:
    """The content type of the request, which must be one of those, or end in `+json` where JSON is accepted.

    Raises:
        Problem: 415.
    """
    named = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if named in accepted or (_JSON in accepted and named.startswith("application/") and named.endswith("+json")):
        return named
    expected = " or ".join(accepted)
    raise Problem(
        415,
        f"the body is {named[:100]}; expected {expected}" if named else f"Content-Type is missing; expected {expected}",
        code="unsupported-media-type",
        errors=[{"parameter": "Content-Type", "message": f"expected {expected}"}],
        headers={"Accept": ", ".join(accepted)},
    )


def check_accept(request: Request, produced: Sequence[str]) -> None:
    """The request must accept one of the types that there are.

    Raises:
        Problem: 406.
    """
    wanted = request.headers.get("accept")
    if wanted is None or "*/*" in wanted:
        return
    for part in wanted.split(","):
        kind, *parameters = (each.strip().lower() for each in part.split(";"))
        refused = any(each.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000") for each in parameters)
        if not refused and any(_fits(kind, each) for each in (*produced, MEDIA_TYPE)):
            return
    expected = ", ".join(produced)
    raise Problem(
        406,
        f"Accept asks for {wanted[:100]}; there is {expected}",
        code="not-acceptable",
        errors=[{"parameter": "Accept", "message": f"there is {expected}"}],
    )


def _fits(wanted: str, produced: str) -> bool:
    return wanted in ("", "*/*", produced) or (wanted.endswith("/*") and produced.startswith(wanted[:-1]))


def check_header(request: Request, name: str) -> str | None:
    """The value of a header that is a key: printable characters, not too many; None when it is not there.

    Raises:
        Problem: 400, code `invalid-header`.
    """
    value = request.headers.get(name)
    if value is None:
        return None
    if not value or len(value) > _LONGEST_HEADER or not value.isascii() or not value.isprintable():
        message = f"expected 1 to {_LONGEST_HEADER} printable ASCII characters"
        errors = [{"parameter": name, "message": message}]
        raise Problem(400, f"{name}: {message}", code="invalid-header", errors=errors)
    return value
