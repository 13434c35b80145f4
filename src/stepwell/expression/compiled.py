"""What compiling gives: a function of the scope, and what can be known of it without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from stepwell.expression.scope import Scope

Evaluate = Callable[[Scope], Any]
"""A compiled expression. A function's parameter annotated with it is evaluated by the function itself, if at all."""


EMPTY: Final[frozenset[str]] = frozenset()


class Reference(NamedTuple):
    """A name that an expression reads, as far as it is known without evaluating.

    Attributes:
        path: the root name (the canonical one, see `Grammar.aliases`) and what is read below it, up to the first index
            that is computed: `steps.a.output['x']` is `("steps", "a", "output", "x")`.
        where: the path, in the value that was compiled, of the string with the expression.
        offset: where the name begins in that string, in characters.
        optional: it stands under `default()`, `coalesce()` or `is defined`, so it may be undefined.
    """

    path: tuple[str | int, ...]
    where: tuple[str | int, ...]
    offset: int
    optional: bool = False


class Compiled(NamedTuple):
    """A compiled expression or text.

    Attributes:
        evaluate: gives its value.
        references: the names it reads, in the order in which they are written.
        functions: the names of the functions it calls.
        constant: whether its value depends on nothing, so that any scope will do.
        source: the expression as it was written, when it is one.
        kind: what its value always is (`number`, `list`, ...; see `kind_of`), when it is one expression whose form says
            so: a constant, a list or an object. Empty otherwise.
    """

    evaluate: Evaluate
    references: tuple[Reference, ...] = ()
    functions: frozenset[str] = EMPTY
    constant: bool = False
    source: str = ""
    kind: str = ""


def constant(value: Any) -> Evaluate:
    """Always `value`."""
    return lambda scope: value
