"""The page behind a link that answers a question: for people who have no key. It is plain HTML, without scripts."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Annotated, Any, Final
from urllib.parse import parse_qs

import msgspec
from fastapi import Path
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from stepwell.api.context import Here
from stepwell.api.problems import status_of
from stepwell.api.routing import produces
from stepwell.api.routing import router as new_router
from stepwell.base.errors import StepwellError, UsageError

router = new_router("approvals", prefix="")

Token = Annotated[str, Path(description="What a link that was made holds.", max_length=4_000)]

_STYLE: Final = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:38rem;margin:4rem auto;padding:0 1rem;color:#1c2733}"
    "button{font:inherit;padding:.5rem 1.2rem;margin:0 .6rem .6rem 0;border:1px solid #7a8794;border-radius:.4rem;"
    "background:#fff;cursor:pointer}button:hover{background:#eef3f7}textarea{font:1rem/1.4 monospace;width:100%;"
    "box-sizing:border-box}small{color:#5b6875}pre{white-space:pre-wrap;background:#f4f6f8;padding:.8rem}"
)
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'",
}
_LONGEST: Final = 64 * 1024
_FIELD: Final = "response"


@router.get("/answer/{token}", include_in_schema=False)
@produces("text/html")
async def show(here: Here, token: Token) -> Response:
    """The question, and a way to answer it."""
    try:
        link = here.approval_care.read_link(token)
        question = await here.approvals.question(link.execution, link.step)
    except StepwellError as error:
        return _sorry(error)
    asked = f"<h1>{escape(str(question['prompt']))}</h1>{_form(question.get('response_schema'))}"
    about = f"<p><small>{escape(question['workflow'])}, asked of {escape(link.by)}</small></p>"
    return _page("A question", asked + about)


@router.post("/answer/{token}", include_in_schema=False)
@produces("text/html")
async def take(here: Here, token: Token, request: Request) -> Response:
    """Take the answer that the page sends: `response` holds it as JSON, in a form."""
    try:
        link = here.approval_care.read_link(token)
        await here.publishing.answer(link.execution, link.step, _given(await request.body()), link.by)
    except StepwellError as error:
        return _sorry(error)
    return _page("Thank you", "<h1>Thank you</h1><p>The answer was taken. This page can be closed.</p>")


def _given(body: bytes) -> Any:
    """The answer in a form.

    Raises:
        UsageError: (code `invalid-answer`) there is none, or it is not JSON.
    """
    try:
        fields = parse_qs(body[:_LONGEST].decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=10)
        return msgspec.json.decode(fields[_FIELD][0])
    except (ValueError, KeyError, msgspec.DecodeError):
        raise UsageError('the answer is not JSON, such as true or "yes"', code="invalid-answer") from None


def _form(schema: Any) -> str:
    """What is to be pressed or filled in."""
    choices = _choices(schema)
    if choices is not None:
        buttons = "".join(
            f'<button name="{_FIELD}" value="{escape(_json(value))}">{escape(_shown(value))}</button>'
            for value in choices
        )
        return f'<form method="post">{buttons}</form>'
    expected = f"<pre>{escape(_json(schema))}</pre>" if schema is not None else ""
    return (
        f'<form method="post"><p>The answer, as JSON:</p>{expected}<textarea name="{_FIELD}" rows="6" required>'
        "</textarea><p><button>Answer</button></p></form>"
    )


def _choices(schema: Any) -> list[Any] | None:
    if not isinstance(schema, Mapping):
        return None
    if schema.get("type") == "boolean" and "enum" not in schema:
        return [True, False]
    values = schema.get("enum")
    return list(values) if isinstance(values, list) and 0 < len(values) <= 12 else None


def _shown(value: Any) -> str:
    return {True: "Yes", False: "No"}[value] if isinstance(value, bool) else str(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _sorry(error: StepwellError) -> Response:
    return _page("Not possible", f"<h1>This is not possible</h1><p>{escape(error.message)}.</p>", status_of(error))


def _page(title: str, content: str, status: int = 200) -> Response:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>{title}</title><style>{_STYLE}</style></head><body>{content}</body></html>',
        status,
        headers=_HEADERS,
    )
