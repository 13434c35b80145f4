"""Reaching into values: `a.b`, `a['b']`, `a[0]`, `a[1:3]`. Only data can be reached, never an attribute of an object.

A path such as `steps.create.output.id` is what expressions mostly are. It is followed by plain subscription first,
which is right whenever it succeeds (objects, lists, strings and `Lookup` all answer to it); only when that fails is it
walked step by step, to find a sealed value on the way or to say what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from stepwell.base.values import Sealed, SecretRef, SecretText
from stepwell.expression.compiled import Evaluate
from stepwell.expression.data import SCALARS, a_kind, secret_misuse
from stepwell.expression.errors import ExpressionError, UnavailableOutput, Undefined
from stepwell.expression.scope import Lookup, Scope

_DATA: Final[frozenset[type]] = SCALARS | {dict, list, Sealed, SecretRef, SecretText}
_FAILED: Final = (KeyError, IndexError, TypeError)
_SHOWN: Final = 60


def path(root: str, keys: tuple[str | int, ...], shown: str) -> Evaluate:
    """The value at `keys` below the root name `root`, which was written as `shown`."""
    if len(keys) > 3:
        return _long_path(root, keys, shown)
    return (_path_0, _path_1, _path_2, _path_3)[len(keys)](root, keys, shown)


def _path_0(root: str, keys: Sequence[str | int], shown: str) -> Evaluate:
    def get(scope: Scope) -> Any:
        try:
            value = scope.roots[root]
        except KeyError:
            return _walk(scope, root, keys, shown)
        return value if value.__class__ in _DATA else plain(value)

    return get


def _path_1(root: str, keys: Sequence[Any], shown: str) -> Evaluate:
    (first,) = keys

    def get(scope: Scope) -> Any:
        try:
            value = scope.roots[root][first]
        except _FAILED:
            return _walk(scope, root, keys, shown)
        return value if value.__class__ in _DATA else plain(value)

    return get


def _path_2(root: str, keys: Sequence[Any], shown: str) -> Evaluate:
    first, second = keys

    def get(scope: Scope) -> Any:
        try:
            value = scope.roots[root][first][second]
        except _FAILED:
            return _walk(scope, root, keys, shown)
        return value if value.__class__ in _DATA else plain(value)

    return get


def _path_3(root: str, keys: Sequence[Any], shown: str) -> Evaluate:
    first, second, third = keys

    def get(scope: Scope) -> Any:
        try:
            value = scope.roots[root][first][second][third]
        except _FAILED:
            return _walk(scope, root, keys, shown)
        return value if value.__class__ in _DATA else plain(value)

    return get


def _long_path(root: str, keys: Sequence[Any], shown: str) -> Evaluate:
    def get(scope: Scope) -> Any:
        try:
            value = scope.roots[root]
            for key in keys:
                value = value[key]
        except _FAILED:
            return _walk(scope, root, keys, shown)
        return value if value.__class__ in _DATA else plain(value)

    return get


def record(root: str, keys: tuple[str | int, ...], shown: str) -> Evaluate:
    """Like `path`, but a `Lookup` at its end stays one: something is still to be asked of it."""
    return lambda scope: _walk_raw(scope, root, keys, shown)


def plain(value: Any) -> Any:
    """`value` as data: a `Lookup` that stands for itself is asked for its data."""
    if isinstance(value, Sealed) and isinstance(value.value, Lookup):
        return Sealed(value.value.as_data())
    return value.as_data() if isinstance(value, Lookup) else value


def _walk(scope: Scope, root: str, keys: Sequence[str | int], shown: str) -> Any:
    return plain(_walk_raw(scope, root, keys, shown))


def _walk_raw(scope: Scope, root: str, keys: Sequence[str | int], shown: str) -> Any:
    try:
        value = scope.roots[root]
    except KeyError:
        raise Undefined(
            f"{shown} is not defined here", code="undefined-name", name=shown, known=scope.roots.keys
        ) from None
    return follow(value, keys, shown)


def follow(value: Any, keys: Sequence[str | int], shown: str) -> Any:
    """The value at `keys` below `value`, which messages call `shown`.

    Raises:
        Undefined: naming the path up to what is missing.
    """
    for key in keys:
        value = step(value, key, shown)
        shown += _written(key)
    return value


def step(value: Any, key: Any, shown: str) -> Any:
    """The field or item `key` of `value`, which messages call `shown`. What is found in a sealed value is sealed.

    Raises:
        Undefined: there is none.
        ExpressionError: `key` is neither a string nor a whole number.
    """
    if isinstance(value, Sealed):
        return Sealed(_step_hidden(value.value, key, shown))
    if isinstance(key, Sealed):
        return Sealed(_step_hidden(value, key.value, shown))
    if isinstance(value, (SecretRef, SecretText)) or isinstance(key, (SecretRef, SecretText)):
        raise secret_misuse()
    if key.__class__ is not int and not isinstance(key, str):
        raise ExpressionError(
            f"{shown}[...] is indexed with {a_kind(key)}; expected a string or a whole number", code="wrong-type"
        )
    if isinstance(value, Lookup) or (isinstance(value, dict) and isinstance(key, str)):
        return _field(value, key, shown)
    if isinstance(value, (list, str)) and key.__class__ is int:
        return _indexed(value, key, shown)
    raise _not_a_container(value, key, shown)


def _field(value: Lookup | dict[str, Any], key: Any, shown: str) -> Any:
    try:
        return value[key]
    except KeyError:
        known = value.names if isinstance(value, Lookup) else value.keys
        raise Undefined(f"{shown}{_written(key)} is not defined", name=str(key), known=known) from None


def _indexed(value: list[Any] | str, index: int, shown: str) -> Any:
    try:
        return value[index]
    except IndexError:
        count = f"{len(value)} {'items' if isinstance(value, list) else 'characters'}"
        raise Undefined(f"{shown}[{index}] is not defined: {shown} has {count}", code="undefined-index") from None


def _step_hidden(value: Any, key: Any, shown: str) -> Any:
    """A step into, or with, a sealed value: what is missing is not told, nor what there is instead."""
    try:
        return step(value, key, shown)
    except Undefined as error:
        kind = UnavailableOutput if isinstance(error, UnavailableOutput) else Undefined
        raise kind(f"{shown} has no such field; which one is sealed") from None


def _not_a_container(value: Any, key: str | int, shown: str) -> Undefined:
    code = "undefined-field" if isinstance(key, str) else "undefined-index"
    hint = None
    if isinstance(value, list):
        hint = f"items are read by number, such as {shown}[0]; map({shown}, {key!r}) takes the field of each"
    elif isinstance(value, dict):
        hint = f"fields are read by name, such as {shown}['{key}']"
    written = _written(key)
    return Undefined(f"{shown}{written} is not defined: {shown} is {a_kind(value)}", code=code, hint=hint)


def _written(key: Any) -> str:
    """The step to `key` as it would be written after the path."""
    if isinstance(key, str):
        short = key if len(key) <= _SHOWN else key[:_SHOWN] + "..."
        return f".{key}" if key.isidentifier() and short is key else f"[{short!r}]"
    return f"[{key if key.__class__ is int else '***'}]"


def sliced(value: Any, start: Any, end: Any, step_: Any) -> Any:
    """`value[start:end:step]` of a plain list or string.

    Raises:
        ExpressionError: it is neither, or a bound is not a whole number.
    """
    if not isinstance(value, (list, str)):
        raise ExpressionError(f"{a_kind(value)} cannot be sliced; expected a list or a string", code="wrong-type")
    for bound in (start, end, step_):
        if bound is not None and bound.__class__ is not int:
            raise ExpressionError(f"a slice is bounded by {a_kind(bound)}; expected whole numbers", code="wrong-type")
    if step_ == 0:
        raise ExpressionError("the step of a slice is 0", code="invalid-argument")
    return value[start:end:step_]
