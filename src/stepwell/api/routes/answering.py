"""The page behind a link that answers a question: for people who have no key. It is plain HTML, without scripts."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

import msgspec
from fastapi import Path
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from stepwell.api.context import Here
from stepwell.api.json_text import read_json
from stepwell.api.problems import status_of
from stepwell.api.routing import produces
from stepwell.api.routing import router as new_router
from stepwell.app.approval_care import Link
from stepwell.app.serving import Parts
from stepwell.base.errors import StepwellError, UsageError

router = new_router("approvals", prefix="")

Token = Annotated[str, Path(description="What a link that was made holds.", max_length=4_000)]

_STYLE: Final = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:38rem;margin:4rem auto;padding:0 1rem;color:#1c2733}"
    "h1{font-size:1.6rem;line-height:1.3;white-space:pre-line;overflow-wrap:anywhere}[role=alert]{color:#a63030}"
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
_TEXT: Final = "text"


@router.get("/answer/{token}", include_in_schema=False)
@produces("text/html")
async def show(here: Here, token: Token) -> Response:
    """The question, and a way to answer it."""
    try:
        return await _asking(here, here.approval_care.read_link(token))
    except StepwellError as error:
        return _sorry(error)


@router.post("/answer/{token}", include_in_schema=False)
@produces("text/html")
async def take(here: Here, token: Token, request: Request) -> Response:
    """Take the answer that the page sends, in a form: `response` holds it as JSON, or `text` as text. One that cannot
    be taken is shown again, with the reason."""
    try:
        link = here.approval_care.read_link(token)
        given = _fields(await request.body())
        try:
            await here.publishing.answer(link.execution, link.step, _value(given), link.by)
        except UsageError as error:
            if error.code != "invalid-answer":
                raise
            return await _asking(here, link, error, next(iter(given.values()), ""))
    except StepwellError as error:
        return _sorry(error)
    return _page("Thank you", "<h1>Thank you</h1><p>The answer was taken. This page can be closed.</p>")


async def _asking(here: Parts, link: Link, refused: StepwellError | None = None, written: str = "") -> Response:
    """The page that asks.

    Args:
        refused: why the answer cannot be taken that was `written` there before.

    Raises:
        StepwellError: nothing is asked any more.
    """
    question = await here.approvals.question(link.execution, link.step)
    why = f'<p role="alert">{_sentence(refused.message)}</p>' if refused is not None else ""
    form = _form(question.get("response_schema"), written)
    about = f"<p><small>{escape(question['workflow'])}, asked of {escape(link.by)}</small></p>"
    asked = f"<h1>{escape(str(question['prompt']))}</h1>{why}{form}{about}"
    return _page("A question", asked, status_of(refused) if refused is not None else 200)


def _fields(body: bytes) -> dict[str, str]:
    """What was filled in: one of `response` and `text`, once.

    Raises:
        UsageError: (code `bad-form`) it is not such a form.
    """
    if len(body) > _LONGEST:
        raise UsageError(f"the answer takes more than {_LONGEST:,} bytes", code="bad-form")
    try:
        ((name, text),) = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=10)
    except ValueError:
        name, text = "", ""
    if name not in (_FIELD, _TEXT):
        raise UsageError(f"this is not what the page sends: one field, {_FIELD} or {_TEXT}", code="bad-form")
    return {name: text}


def _value(given: Mapping[str, str]) -> Any:
    """The answer.

    Raises:
        UsageError: (code `invalid-answer`) it is not JSON where that is expected.
    """
    if _TEXT in given:
        return given[_TEXT].replace("\r\n", "\n")  # which browsers make of every end of a line
    try:
        return read_json(given[_FIELD].encode(), "the answer")
    except StepwellError as error:
        raise UsageError(f'{error.message}; write it as JSON, such as true or "yes"', code="invalid-answer") from None


def _form(schema: Any, written: str) -> str:
    """What is to be pressed or filled in."""
    choices = _choices(schema)
    if choices is not None:
        buttons = "".join(
            f'<button name="{_FIELD}" value="{escape(_json(value))}">{escape(_shown(value))}</button>'
            for value in choices
        )
        return f'<form method="post">{buttons}</form>'
    is_text = isinstance(schema, Mapping) and schema.get("type") == "string"
    name, label = (_TEXT, "The answer:") if is_text else (_FIELD, "The answer, as JSON:")
    expected = f"<pre>{escape(_json(schema))}</pre>" if schema is not None and not is_text else ""
    return (
        f'<form method="post"><p><label for="answer">{label}</label></p>{expected}<textarea id="answer" name="{name}" '
        f'rows="6" required>\n{escape(written)}</textarea><p><button>Answer</button></p></form>'
    )


def _choices(schema: Any) -> list[Any] | None:
    if not isinstance(schema, Mapping):
        return None
    if schema.get("type") == "boolean" and "enum" not in schema:
        return [True, False]
    values = schema.get("enum")
    return list(values) if isinstance(values, list) and 0 < len(values) <= 12 else None


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _sentence(message: str) -> str:
    return escape(f"{message[:1].upper()}{message[1:]}.")


def _sorry(error: StepwellError) -> Response:
    return _page("Not possible", f"<h1>This is not possible</h1><p>{_sentence(error.message)}</p>", status_of(error))


def _page(title: str, content: str, status: int = 200) -> Response:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>{title}</title><style>{_STYLE}</style></head><body>{content}</body></html>',
        status,
        headers=_HEADERS,
    )
