"""Functions on lists and objects; several of them also take strings."""

from __future__ import annotations

import itertools
from typing import Any, Final

from stepwell.base.filters import filter_problem, matches
from stepwell.expression.access import follow
from stepwell.expression.data import a_kind, check_count, identity_of, kind_of, same
from stepwell.expression.errors import ExpressionError, Undefined
from stepwell.expression.functions import FunctionSet
from stepwell.expression.scope import Scope

LISTS: Final = FunctionSet()


@LISTS.define(inspects=False)
def length(value: str | list[Any] | dict[str, Any]) -> int:
    """How many characters, items or fields there are. Example: length([1, 2]) == 2"""
    return len(value)


@LISTS.define(inspects=False)
def first(value: str | list[Any]) -> Any:
    """The first item or character; undefined when there is none. Example: first([1, 2]) == 1"""
    return _end("first", value, 0)


@LISTS.define(inspects=False)
def last(value: str | list[Any]) -> Any:
    """The last item or character; undefined when there is none. Example: last([1, 2]) == 2"""
    return _end("last", value, -1)


def _end(name: str, value: str | list[Any], index: int) -> Any:
    if not value:
        raise Undefined(f"{name}() of an empty {kind_of(value)} is not defined", code="undefined-index")
    return value[index]


@LISTS.define(inspects=False)
def append(value: str | list[Any], item: Any) -> Any:
    """The list with one more item, or the string with more text, at the end. Example: append([1], 2) == [1, 2]"""
    if isinstance(value, list):
        return [*value, item]
    return value + _more_text("append", item)


@LISTS.define(inspects=False)
def prepend(value: str | list[Any], item: Any) -> Any:
    """The list with one more item, or the string with more text, in front. Example: prepend('b', 'a') == 'ab'"""
    if isinstance(value, list):
        return [item, *value]
    return _more_text("prepend", item) + value


def _more_text(name: str, item: Any) -> str:
    if isinstance(item, str):
        return item
    raise ExpressionError(
        f"{name}(): {a_kind(item)} does not go with a string", code="wrong-type", hint="string() converts"
    )


@LISTS.define(inspects=False)
def list_(value: str | list[Any] | dict[str, Any]) -> list[Any]:
    """A list as it is, the characters of a string, or the keys of an object. Example: list('ab') == ['a', 'b']"""
    if isinstance(value, str):
        check_count(len(value))
    return list(value)


@LISTS.define(inspects=False)
def slice_(value: str | list[Any], start: int = 0, end: int | None = None) -> Any:
    """The items or characters from `start` up to `end`, counted from 0. Example: slice([1, 2, 3], start=1) == [2, 3]"""
    return value[start:end]


@LISTS.define(inspects=False)
def reversed_(value: str | list[Any]) -> Any:
    """The items or characters in the opposite order. Example: reversed([1, 2]) == [2, 1]"""
    return value[::-1]


@LISTS.define(inspects=False)
def chunks(items: list[Any], size: int) -> list[list[Any]]:
    """The items in lists of `size`; the last one may be shorter. Example: chunks([1, 2, 3], 2) == [[1, 2], [3]]"""
    return batch(items, size)


@LISTS.define(inspects=False)
def batch(items: list[Any], size: int) -> list[list[Any]]:
    """The items in lists of `size`, the same as `chunks`. Example: batch([1, 2, 3], size=2) == [[1, 2], [3]]"""
    if size < 1:
        raise ExpressionError(f"the size of a batch is {size}; expected at least 1", code="invalid-argument")
    return [items[start : start + size] for start in range(0, len(items), size)]


@LISTS.define(inspects=False)
def range_(scope: Scope, start: int, end: int | None = None, step: int = 1) -> list[int]:
    """The whole numbers from `start` (0 when only one is given) to before `end`. Example: range(1, 4) == [1, 2, 3]"""
    if step == 0:
        raise ExpressionError("range(): the step is 0", code="invalid-argument")
    if end is None:
        start, end = 0, start
    count = -((start - end) // step)  # rounded up; len() of a range fails above 63 bits
    check_count(count)
    scope.charge(max(count, 0))
    return list(range(start, end, step))


@LISTS.define(inspects=False)
def zip_(scope: Scope, *lists: list[Any]) -> list[list[Any]]:
    """Lists of the first items, the second ones, and so on. Example: zip([1], ['a']) == [[1, 'a']]"""
    scope.charge(min(map(len, lists)) * len(lists))
    return [list(items) for items in zip(*lists, strict=False)]


@LISTS.define(inspects=False)
def zip_longest(scope: Scope, *lists: list[Any] | None) -> list[list[Any]]:
    """As `zip`, up to the end of the longest list, with null for what others lack; null counts as an empty list.

    Example: zip_longest([1, 2], ['a']) == [[1, 'a'], [2, null]]
    """
    given = [each or [] for each in lists]
    scope.charge(max(map(len, given)) * len(given))
    return [list(items) for items in itertools.zip_longest(*given)]


@LISTS.define()
def flat(items: list[Any], depth: int = 1) -> list[Any]:
    """Inner lists replaced by their items, `depth` levels deep. Example: flat([1, [2, [3]]]) == [1, 2, [3]]"""
    for _ in range(min(depth, 64)):
        if not any(isinstance(item, list) for item in items):
            break
        check_count(sum(len(item) if isinstance(item, list) else 1 for item in items))
        items = [inner for item in items for inner in (item if isinstance(item, list) else [item])]
    return items


@LISTS.define()
def contains(value: str | list[Any] | dict[str, Any], item: Any) -> bool:
    """Whether a list has the item, a string the text, or an object the key. Example: contains([1, 2], 2)"""
    if isinstance(value, list):
        return any(same(item, other) for other in value)
    if isinstance(item, str):
        return item in value
    raise ExpressionError(
        f"contains(): {kind_of(value)}s are searched for a string, not for {a_kind(item)}", code="wrong-type"
    )


@LISTS.define()
def satisfies(value: dict[str, Any], filter: dict[str, Any]) -> bool:  # noqa: A002 - the parameter's name
    """Whether an object satisfies a filter as events have them: dotted paths with values or `~` operators.
    Example: satisfies({'a': {'b': 3}}, {'a.b': {'~gt': 2}})"""
    problem = filter_problem(filter)
    if problem is not None:
        raise ExpressionError(f"satisfies(): {problem}", code="invalid-argument")
    return matches(filter, value)


@LISTS.define()
def index_of(value: str | list[Any], item: Any) -> int:
    """Where the item or text is first, counted from 0; -1 when nowhere. Example: index_of(['a', 'b'], 'b') == 1"""
    if isinstance(value, list):
        return next((index for index, other in enumerate(value) if same(item, other)), -1)
    return value.find(_more_text("index_of", item))


@LISTS.define()
def count(value: str | list[Any], item: Any) -> int:
    """How often the item or the text occurs. Example: count([1, 2, 1], 1) == 2"""
    if isinstance(value, list):
        return sum(same(item, other) for other in value)
    return value.count(_more_text("count", item))


@LISTS.define()
def unique(items: list[Any], attribute: str | None = None) -> list[Any]:
    """The items without repetitions, by the given field of each or as a whole. Example: unique([1, 2, 1]) == [1, 2]"""
    found: dict[Any, Any] = {}
    for item in items:
        found.setdefault(identity_of(_by("unique", item, attribute)), item)
    return list(found.values())


@LISTS.define()
def sort(items: list[Any], attribute: str | None = None, reverse: bool = False) -> list[Any]:
    """The items in ascending order, by the given field of each or as they are. Example: sort([2, 1]) == [1, 2]"""
    keys = [_by("sort", item, attribute) for item in items]
    kinds = {kind_of(key) for key in keys}
    if len(kinds) > 1 or not kinds <= {"number", "string"}:
        raise ExpressionError(
            f"sort(): the items are of the types {', '.join(sorted(kinds))}; expected only numbers or only strings",
            code="wrong-type",
            hint="sort(items, 'field') orders objects by one of their fields",
        )
    order = sorted(range(len(items)), key=keys.__getitem__, reverse=reverse)
    return [items[index] for index in order]


@LISTS.define()
def map_(items: list[Any], attribute: str) -> list[Any]:
    """One field of each item; a dotted path reaches deeper. Example: map([{'a': 1}], attribute='a') == [1]"""
    return [_by("map", item, attribute) for item in items]


def _by(name: str, item: Any, attribute: str | None) -> Any:
    return item if attribute is None else follow(item, attribute.split("."), f"{name}(): item")


@LISTS.define()
def filter_(items: list[Any], **fields: Any) -> list[Any]:
    """The objects whose fields have these values. Example: filter([{'a': 1}, {'a': 2}], a=2) == [{'a': 2}]"""
    wrong = next((item for item in items if not isinstance(item, dict)), fields)
    if wrong is not fields:
        raise ExpressionError(f"filter(): an item is {a_kind(wrong)}; expected objects", code="wrong-type")
    return [item for item in items if all(key in item and same(item[key], value) for key, value in fields.items())]


@LISTS.define(inspects=False)
def keys(value: dict[str, Any]) -> list[str]:
    """The keys of the object. Example: keys({'a': 1}) == ['a']"""
    return list(value)


@LISTS.define(inspects=False)
def values(value: dict[str, Any]) -> list[Any]:
    """The values of the object. Example: values({'a': 1}) == [1]"""
    return list(value.values())


@LISTS.define(inspects=False)
def entries(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of the object as a list to go through. Example: entries({'a': 1}) == [{'key': 'a', 'value': 1}]"""
    return [{"key": key, "value": item} for key, item in value.items()]


@LISTS.define()
def from_pairs(pairs: list[Any]) -> dict[str, Any]:
    """The object with these pairs of a key and a value. Example: from_pairs([['a', 1]]) == {'a': 1}"""
    made: dict[str, Any] = {}
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise ExpressionError(
                f"from_pairs(): an item is {a_kind(pair)}; expected a list of a string and a value", code="wrong-type"
            )
        made[pair[0]] = pair[1]
    return made


@LISTS.define(inspects=False)
def merge(*objects: dict[str, Any]) -> dict[str, Any]:
    """The fields of all objects together; later ones win. Example: merge({'a': 1}, {'b': 2}) == {'a': 1, 'b': 2}"""
    merged: dict[str, Any] = {}
    for each in objects:
        merged |= each
    return merged
