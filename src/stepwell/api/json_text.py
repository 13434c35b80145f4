"""JSON as it comes in: what is doubtful in it is refused, with the place, before anything is done with it."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from stepwell.api.problems import Problem
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
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
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


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; the same key twice is a mistake, and which of the two would count is a guess."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in an object")
    return made


def _invalid(message: str, place: dict[str, Any] | None = None) -> Problem:
    return Problem(
        400, message, code="invalid-json", errors=[place] if place else [{"pointer": "", "message": message}]
    )
