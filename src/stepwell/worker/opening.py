"""Opening what is secret in a configuration, just before the task is called."""

from __future__ import annotations

from typing import Any, Final

from stepwell.base.values import Sealed, SecretRef, SecretText
from stepwell.ports.services import SecretSource

SHORTEST_TEXT: Final = 4
"""Shorter texts occur everywhere by chance: hiding them would garble messages and hide nothing."""

SHORTEST_NUMBER: Final = 6
"""The same for numbers, in digits."""

_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


def opened(value: Any, secrets: SecretSource, found: list[str]) -> Any:
    """`value` with its secrets in clear text; the very same object when there are none in it.

    The texts of the secrets are added to `found`.

    Raises:
        NotFound: (code `unknown-secret`) a secret is not known.
    """
    kind = type(value)
    if kind is dict:
        return _opened_object(value, secrets, found)
    if kind in _PLAIN:
        return value
    if kind is list or kind is tuple:
        return _opened_list(value, secrets, found)
    return _opened_secret(value, secrets, found)


def _opened_object(value: dict[str, Any], secrets: SecretSource, found: list[str]) -> dict[str, Any]:
    result = value
    for key, item in value.items():
        if type(item) in _PLAIN:
            continue
        clear = opened(item, secrets, found)
        if clear is not item:
            if result is value:
                result = dict(value)
            result[key] = clear
    return result


def _opened_list(value: list[Any] | tuple[Any, ...], secrets: SecretSource, found: list[str]) -> Any:
    result: list[Any] | None = None
    for position, item in enumerate(value):
        if type(item) in _PLAIN:
            continue
        clear = opened(item, secrets, found)
        if clear is not item:
            if result is None:
                result = list(value)
            result[position] = clear
    return value if result is None else result


def _opened_secret(value: Any, secrets: SecretSource, found: list[str]) -> Any:
    if isinstance(value, Sealed):
        clear = opened(value.value, secrets, found)
    elif isinstance(value, SecretRef):
        clear = secrets.get(value.name)
    elif isinstance(value, SecretText):
        return "".join(str(opened(part, secrets, found)) for part in value.parts)
    else:
        return value
    _collect(clear, found)
    return clear


def _collect(clear: Any, found: list[str]) -> None:
    """Add the texts of an opened secret that are long enough to be recognised."""
    if isinstance(clear, str):
        if len(clear) >= SHORTEST_TEXT:
            found.append(clear)
    elif isinstance(clear, (int, float)):
        text = str(clear)
        if sum(map(str.isdigit, text)) >= SHORTEST_NUMBER:
            found.append(text)
    elif isinstance(clear, dict):
        for item in clear.values():
            _collect(item, found)
    elif isinstance(clear, list):
        for item in clear:
            _collect(item, found)
