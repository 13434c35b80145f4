"""What can stand after `is`: `x is string`, `x is not null`. (`defined` and `undefined` are built by the compiler.)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from stepwell.expression.data import kind_of

PREDICATES: Final[dict[str, Callable[[Any], bool]]] = {
    "null": lambda value: value is None,
    "none": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "number": lambda value: kind_of(value) == "number",
    "integer": lambda value: value.__class__ is int,
    "string": lambda value: isinstance(value, str),
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "mapping": lambda value: isinstance(value, dict),
    "true": lambda value: value is True,
    "false": lambda value: value is False,
    "empty": lambda value: value is None or (isinstance(value, (str, list, dict)) and not value),
}
"""By name; each is given a plain value."""
