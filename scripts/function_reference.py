"""The page about the functions of the expression language, from their table."""

from __future__ import annotations

import sys

from markdown import first_line, table
from stepwell.expression.functions import Function
from stepwell.expression.grammar import FUNCTIONS

INTRODUCTION = """\
# Functions

For expressions, `{{ ... }}`. `f(x, y)` and `x | f(y)` mean the same. A parameter with `=` may be left out; the others
are needed, and one of the wrong type is an error that names it. Every example holds: a test evaluates it.
"""


def function_page() -> str:
    """The page."""
    groups: dict[str, list[Function]] = {}
    for function in FUNCTIONS.values():
        groups.setdefault(function.call.__module__, []).append(function)
    return INTRODUCTION + "".join(_group(module, functions) for module, functions in groups.items())


def _group(module: str, functions: list[Function]) -> str:
    title, _, rest = first_line(sys.modules[module].__doc__).removesuffix(".").partition(": ")
    rows = [(f"`{function.signature}`", function.summary, _example(function)) for function in functions]
    explained = f"{rest[0].upper()}{rest[1:]}.\n\n" if rest else ""
    return f"\n## {title}\n\n{explained}{table(('function', 'value', 'example'), rows)}"


def _example(function: Function) -> str:
    if function.outcome:
        return "only in edges, hooks and `retry.when`"
    return f"`{function.example}`" if function.example else ""
