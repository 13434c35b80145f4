"""JSON as it comes in: what is doubtful in it is refused, with the place, before anything is done with it."""

from __future__ import annotations

import json
from typing import Any

from stepwell.api.problems import Problem
from stepwell.base.json_text import strict_json
from stepwell.base.values import MAX_DEPTH, check_json


def read_json(content: bytes, what: str = "the body") -> Any:
    """The value of a JSON text.

    Refused are keys that stand twice in an object, `NaN` and the like, lone surrogates, integers of more than 64 bits,
    and deep nesting.

    Raises:
        Problem: 400, code `invalid-json`.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _invalid(f"{what} is not JSON: byte {error.start} is not UTF-8 text") from None
    if not text.strip():
        raise _invalid(f"{what} is empty where a JSON value is expected")
    try:
        value = strict_json(text)
        check_json(value, what=what)
    except json.JSONDecodeError as error:
        message = (error.msg[0].lower() + error.msg[1:]).removesuffix(" at")
        place = {"line": error.lineno, "column": error.colno, "message": message}
        raise _invalid(f"{what} is not JSON: {message}, line {error.lineno}, column {error.colno}", place) from None
    except RecursionError:
        raise _invalid(f"{what} is nested too deep: more than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise _invalid(f"{what} is not usable JSON: {error}") from None
    return value


def _invalid(message: str, place: dict[str, Any] | None = None) -> Problem:
    return Problem(
        400, message, code="invalid-json", errors=[place] if place else [{"pointer": "", "message": message}]
    )
