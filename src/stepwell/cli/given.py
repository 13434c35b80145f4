"""JSON that the user gives: on the command line, in a file, or on standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from stepwell.base.errors import UsageError
from stepwell.base.json_text import strict_json

_BEFORE: Final = 60
_SHOWN: Final = 100


def read_json(given: str, what: str) -> Any:
    """The value of `JSON`, `@FILE` or `-`.

    Args:
        what: names it in messages, such as `the input`.

    Raises:
        UsageError: (code `invalid-json`) it is not JSON, with the place; (code `unreadable-file`).
    """
    name, text = _text(given, what)
    try:
        return strict_json(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        hint = None if given.startswith(("@", "-")) else 'write objects as \'{"name": "value"}\', in single quotes'
        message = (error.msg[0].lower() + error.msg[1:]).removesuffix(" at")
        raise _invalid(f"{name} is not JSON: {message} at {place}\n{_excerpt(text, error.pos)}", hint) from None
    except RecursionError:
        raise _invalid(f"{name} is not usable JSON: it is nested too deep") from None
    except ValueError as error:
        raise _invalid(f"{name} is not usable JSON: {error}") from None


def _text(given: str, what: str) -> tuple[str, str]:
    """What to call it, and the text itself."""
    if given == "-":
        return f"{what} from standard input", _decoded(sys.stdin.buffer.read(), f"{what} from standard input")
    if not given.startswith("@"):
        return what, given
    path = Path(given[1:])
    try:
        return str(path), _decoded(path.read_bytes(), str(path))
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{what}: {path} cannot be read: {said}", code="unreadable-file") from None


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _invalid(f"{name} is not JSON: byte {error.start} is not UTF-8 text") from None


def _excerpt(text: str, position: int) -> str:
    """The line of the place, cut to a readable length, with a caret below."""
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line = text[start : end if end >= 0 else len(text)]
    column = position - start
    first = max(0, column - _BEFORE)
    shown = "".join(each if each.isprintable() else " " for each in line[first : first + _SHOWN])
    return f"    {shown}\n    {' ' * (column - first)}^"


def _invalid(message: str, hint: str | None = None) -> UsageError:
    return UsageError(message, code="invalid-json", hint=hint)
