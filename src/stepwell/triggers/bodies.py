"""The bodies of incoming webhooks as JSON values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

from stepwell.base.errors import UsageError
from stepwell.base.values import MAX_DEPTH, check_json

MOST_FIELDS: Final = 1_000
_FORM: Final = "application/x-www-form-urlencoded"


class BadBody(UsageError):
    """The body of a webhook is not what its content type says (code `invalid-body`), or of one that is not read
    (`unsupported-media-type`)."""

    code = "invalid-body"


def read_body(headers: Mapping[str, str], body: bytes) -> Any:
    """The value of a body: JSON as it is, a form as an object of texts (a list of them where a name comes twice), text
    as text; null when there is none.

    Args:
        headers: with names in lower case.

    Raises:
        BadBody: it is not what its content type says, or of another one.
    """
    if not body:
        return None
    kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return read_json(body)
    if kind == _FORM:
        return _form(body)
    if kind.startswith("text/"):
        return _text(body)
    message = f"a webhook's body of type {kind[:80]!r} is not read"
    raise BadBody(message, code="unsupported-media-type", hint="send JSON, a form or text")


def read_json(body: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        BadBody: it is none, or one that cannot be stored.
    """
    try:
        value = json.loads(body, parse_constant=_refuse)
        check_json(value, what="the body")
    except RecursionError:
        raise BadBody(f"the body is nested more than {MAX_DEPTH} deep") from None
    except ValueError as error:  # of which a JSON error and a wrong encoding are kinds
        raise BadBody(f"the body is not usable JSON: {error}") from None
    return value


def _form(body: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise BadBody(f"the body is not a form in UTF-8 with at most {MOST_FIELDS} fields") from None
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def _text(body: bytes) -> str:
    try:
        text = body.decode()
        check_json(text, what="the body")
    except ValueError:
        raise BadBody("the body is not text in UTF-8") from None
    return text


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")
