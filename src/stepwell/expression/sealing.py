"""Computing with values that hold secrets, and counting what a computation reads.

A *sealed* value is opened, computed with, and the result is sealed again; so what is derived from a secret stays one.
A reference to a secret that is fetched later cannot be computed with at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from stepwell.base.values import Sealed, SecretRef, SecretText, transform_leaves
from stepwell.expression.data import SCALARS, check_length, secret_misuse, text_of
from stepwell.expression.errors import ExpressionError, Undefined
from stepwell.expression.limits import LARGE, MAX_WORK
from stepwell.expression.scope import Lookup, Scope


class Weight(NamedTuple):
    """How much there is in a value: the values and the characters in it, and whether one of them is sealed."""

    values: int
    characters: int
    sealed: bool


def weigh(scope: Scope, value: Any) -> Weight:
    """Count everything in `value` and charge for it.

    Raises:
        ExpressionError: it holds a secret that is not known here, or is too much.
    """
    values = characters = 0
    sealed = False
    waiting = [value]
    allowed = MAX_WORK - scope.work
    while waiting:
        item = waiting.pop()
        values += 1
        if isinstance(item, str):
            characters += len(item)
        elif isinstance(item, list):
            waiting.extend(item if len(item) <= allowed else item[:allowed])
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, Sealed):
            sealed = True
            waiting.append(item.value)
        elif isinstance(item, (SecretRef, SecretText)):
            raise secret_misuse()
        if values + (characters >> 6) > allowed:
            break
    scope.charge(values + (characters >> 6))
    return Weight(values, characters, sealed)


def opened(value: Any) -> Any:
    """`value` with everything sealed in it opened."""
    return transform_leaves(value, lambda leaf: opened(leaf.value) if isinstance(leaf, Sealed) else leaf)


def computed(scope: Scope, compute: Callable[..., Any], operands: Sequence[Any], *, inspects: bool = True) -> Any:
    """`compute(*operands)`, sealed when an operand is, and charged for what it reads and builds.

    Args:
        inspects: whether `compute` looks into lists and objects. One that only moves their items about does not meet
            the sealed values inside.

    Raises:
        ExpressionError: from `compute`. Its words are withheld when an operand is sealed, for they could tell about it.
    """
    sealed = False
    for operand in operands:
        if inspects or not isinstance(operand, (list, dict)):
            sealed |= weigh(scope, operand).sealed
    if not sealed:
        return charged(scope, compute(*operands))
    plain = [opened(operand) for operand in operands]
    try:
        return Sealed(charged(scope, compute(*plain)))
    except Undefined:
        raise Undefined("this is not defined for the sealed value", hint="use default(...)") from None
    except ExpressionError as error:
        raise ExpressionError(
            "this cannot be computed from the sealed value", code=error.code, hint="check its type and form"
        ) from None


def charged(scope: Scope, result: Any) -> Any:
    """`result`, after charging for its size when it is large."""
    if isinstance(result, str):
        if len(result) > LARGE:
            check_length(len(result))
            scope.charge(len(result) >> 6)
    elif isinstance(result, (list, dict)) and len(result) > LARGE:
        scope.charge(len(result))
    return result


def inserted(scope: Scope, value: Any) -> str | Sealed | SecretRef | SecretText:
    """`value` as a part of a text: a string, sealed when anything in the value is, or a secret as it is.

    Raises:
        ExpressionError: it is too large, or a list or an object with a secret in it.
    """
    if isinstance(value, Lookup):
        value = value.as_data()
    if isinstance(value, (SecretRef, SecretText)):
        return value
    if value.__class__ in SCALARS:
        return str(charged(scope, text_of(value)))
    weight = weigh(scope, value)
    check_length(weight.characters + 2 * weight.values)
    text = str(charged(scope, text_of(opened(value))))
    return Sealed(text) if weight.sealed else text


def joined(scope: Scope, parts: Sequence[str | Sealed | SecretRef | SecretText]) -> str | Sealed | SecretText:
    """The parts as one text: plain, sealed, or with secrets to be fetched later."""
    if any(isinstance(part, (SecretRef, SecretText)) for part in parts):
        return SecretText(tuple(_flattened(parts)))
    text = "".join(part.value if isinstance(part, Sealed) else str(part) for part in parts)
    charged(scope, text)
    return Sealed(text) if any(isinstance(part, Sealed) for part in parts) else text


def _flattened(parts: Sequence[str | Sealed | SecretRef | SecretText]) -> list[str | Sealed | SecretRef]:
    flat: list[str | Sealed | SecretRef] = []
    for part in parts:
        if isinstance(part, SecretText):
            flat.extend(part.parts)
        elif part != "":
            flat.append(part)
    return flat
