"""What differs between dialects: the delimiters, the names and the functions. The expressions between are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stepwell.expression.functions import Function
from stepwell.expression.functions_drawn import DRAWN
from stepwell.expression.functions_lists import LISTS
from stepwell.expression.functions_numbers import NUMERIC
from stepwell.expression.functions_queries import QUERIES
from stepwell.expression.functions_text import TEXT
from stepwell.expression.functions_time import TIMES
from stepwell.expression.functions_values import GENERAL

FUNCTIONS: Final[Mapping[str, Function]] = {**TEXT, **LISTS, **NUMERIC, **GENERAL, **DRAWN, **TIMES, **QUERIES}
"""Every function there is."""


@dataclass(frozen=True, slots=True, eq=False)
class Grammar:
    """A dialect of the expression language.

    Attributes:
        opening, closing: the delimiters of an expression within a string. All others are plain text.
        aliases: other names of root names. A scope holds only the canonical ones.
        functions: what can be called.
        secrets: the root name of secrets. `secrets.NAME` is not looked up: it stands for a secret fetched later.
    """

    opening: str
    closing: str
    aliases: Mapping[str, str]
    functions: Mapping[str, Function]
    secrets: str = "secrets"


NATIVE: Final = Grammar(
    opening="{{",
    closing="}}",
    aliases={
        "parameters": "input",
        "variables": "vars",
        "task": "steps",
        "tasks": "steps",
        "result": "response",
        "workflow": "execution",
        "system": "execution",
    },
    functions=FUNCTIONS,
)
"""The grammar of native documents."""
