"""Functions that evaluate one of their arguments for every item of a list, which is called `it` there."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from stepwell.base.values import Sealed
from stepwell.expression.access import plain
from stepwell.expression.compiled import Evaluate
from stepwell.expression.data import a_kind, truthy
from stepwell.expression.errors import ExpressionError
from stepwell.expression.functions import Each, FunctionSet
from stepwell.expression.scope import Scope

QUERIES: Final = FunctionSet()
ITEM: Final = "it"
"""The root name of the item in such an argument."""


class _Answers(NamedTuple):
    """The items and what was asked of each; `sealed` when which they are must not be seen."""

    items: list[Any]
    found: list[Any]
    sealed: bool

    def kept(self, result: Any, *, tells: bool) -> Any:
        """The result, sealed when the list was, or when it tells of sealed answers."""
        hidden = self.sealed or (tells and any(isinstance(each, Sealed) for each in self.found))
        return Sealed(result) if hidden else result


@QUERIES.define()
def select(scope: Scope, items: Evaluate, value: Each) -> Any:
    """What the second argument gives for each item, `it`. Example: select([{'a': 1}], it.a) == [1]"""
    answers = _ask(scope, "select", items, value)
    return answers.kept(answers.found, tells=False)


@QUERIES.define()
def where(scope: Scope, items: Evaluate, condition: Each) -> Any:
    """The items, `it`, for which the condition holds. Example: where([1, 2, 3], it > 1) == [2, 3]"""
    answers = _ask(scope, "where", items, condition)
    kept = [item for item, found in zip(answers.items, answers.found, strict=True) if truthy(found)]
    return answers.kept(kept, tells=True)


@QUERIES.define()
def any_of(scope: Scope, items: Evaluate, condition: Each) -> Any:
    """Whether the condition holds for at least one item, `it`. Example: any_of([1, 2], it > 1)"""
    answers = _ask(scope, "any_of", items, condition)
    return answers.kept(any(map(truthy, answers.found)), tells=True)


@QUERIES.define()
def all_of(scope: Scope, items: Evaluate, condition: Each) -> Any:
    """Whether the condition holds for every item, `it`. Example: not all_of([1, 2], it > 1)"""
    answers = _ask(scope, "all_of", items, condition)
    return answers.kept(all(map(truthy, answers.found)), tells=True)


def _ask(scope: Scope, name: str, items: Evaluate, asked: Evaluate) -> _Answers:
    listed = plain(items(scope))
    sealed = isinstance(listed, Sealed)
    listed = listed.value if isinstance(listed, Sealed) else listed
    if not isinstance(listed, list):
        raise ExpressionError(f"{name}(): items is {a_kind(listed)}; expected a list", code="wrong-type")
    around, found = scope.roots, []
    try:
        for item in listed:
            scope.charge(1)
            scope.roots = {**around, ITEM: Sealed(item) if sealed and not isinstance(item, Sealed) else item}
            found.append(asked(scope))
    finally:
        scope.roots = around
    return _Answers(listed, found, sealed)
