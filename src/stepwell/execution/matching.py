"""Which event wakes which wait.

The filter of a wait is one of `stepwell.base.filters`, over the event's data. So that an event finds its waits without
looking at all of them, every wait is filed under one *match key*: a number made from the first equality of its filter.
An event computes the keys of all its fields and looks only there. A key can collide and covers one field only:
`matches` decides. Two equalities make no key: of a secret, whose key would be stored in the clear and could be guessed;
and of an item of a list, so that the items need no keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

from stepwell.base.filters import COMBINATIONS as COMBINATIONS
from stepwell.base.filters import MISSING, is_position, operators_of
from stepwell.base.filters import OPERATORS as OPERATORS
from stepwell.base.filters import filter_problem as filter_problem
from stepwell.base.filters import matches as matches

ANY: Final = 0
"""The match key of a wait whose filter has no equality."""


def match_key_of_filter(filter_: Any) -> int:
    """The key a wait with this rendered filter is filed under."""
    if isinstance(filter_, Mapping):
        for path in sorted(filter_):
            if path in COMBINATIONS:
                continue
            wanted = _equality(filter_[path])
            if wanted is not MISSING and not _may_pass_a_list(path):
                return _key(path, wanted)
    return ANY


def match_keys_of_event(data: Any) -> list[int]:
    """The keys under which every wait is filed that this data could satisfy; `ANY` is always among them."""
    return [ANY, *(_key(path, value) for path, value in _scalars(data, ""))]


def _equality(wanted: Any) -> Any:
    """The plain scalar that the field must equal, or `MISSING` when the entry asks for something else."""
    if "~eq" in operators_of(wanted):
        wanted = wanted["~eq"]
    return wanted if _is_scalar(wanted) else MISSING


def _may_pass_a_list(path: str) -> bool:
    return any(is_position(part) for part in path.split("."))


def _key(path: str, value: Any) -> int:
    content = f"{path}={_notation(value)}".encode(errors="surrogatepass")
    return int.from_bytes(blake2b(content, digest_size=8).digest(), signed=True)


def _notation(value: Any) -> str:
    """The same text for equal values, and for no others: 1 and 1.0 are equal, 1 and true and "1" are not.

    It goes into keys that are stored: it must not change from version to version.
    """
    if isinstance(value, str):
        return f"'{value}"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return repr(value)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool))


def _scalars(data: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(data, Mapping):
        return
    for name, value in data.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _scalars(value, path + ".")
        elif _is_scalar(value):
            yield path, value
