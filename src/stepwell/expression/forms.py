"""How the parts of an expression are written: the patterns by which `simple` recognises them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from stepwell.expression.lexer import KEYWORDS, unescaped

KEYS: Final = r"(?:\.[A-Za-z_]\w*|\[(?:-?[0-9]{1,9}|'[^'\\]*'|\"[^\"\\]*\")\])*"
"""The pattern of what follows the root name in a plain path."""

OPERAND: Final = re.compile(
    rf"""\s*(?:
    (?P<path>(?P<name>[A-Za-z_]\w*)(?P<keys>{KEYS}))\s*(?P<call>\(\s*)?
    |(?P<float>[0-9]{{1,15}}\.[0-9]{{1,15}})
    |(?P<integer>[0-9]{{1,15}})
    |(?P<string>'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")
    |(?P<sign>[-+])
    |(?P<bracket>\()
    |(?P<list>\[\s*)
    |(?P<object>\{{\s*)
    )\s*""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)
"""What a value begins with, and the white space around it."""

OPERATOR: Final = re.compile(
    r"""(?:
    (?P<compared>==|!=|<=|>=|<|>|in\b|not\s+in\b)
    |(?P<and>and\b)
    |(?P<or>or\b)
    |(?P<if>if\b)
    |(?P<else>else\b)
    |(?P<filter>\|\s*(?P<function>[A-Za-z_]\w*)\s*(?P<opens>\(\s*)?)
    |(?P<test>is\s+(?P<not>not\s+)?(?P<predicate>[A-Za-z_]\w*))
    |(?P<term>[-+])
    |(?P<joint>~)
    |(?P<power>\*\*)
    |(?P<factor>//|[*/%])
    |(?P<comma>,)
    |(?P<colon>:)
    |(?P<close>[)\]}])
    )\s*""",
    re.VERBOSE | re.ASCII,
)
"""What may stand behind a value."""

COMPARISON: Final = re.compile(
    rf"""\s*(?P<name>[A-Za-z_]\w*)(?P<keys>{KEYS})\s*(?P<compared>==|!=|<=|>=|<|>)\s*
    (?:(?P<integer>[0-9]{{1,15}})|(?P<string>'[^'\\]*'|"[^"\\]*"))\s*""",
    re.VERBOSE | re.ASCII,
)
"""A path compared with a literal."""

LEVELS: Final[dict[str | None, int]] = {
    "or": 0,
    "and": 1,
    "compared": 3,
    "term": 4,
    "joint": 5,
    "factor": 6,
    "power": 7,
}
"""How tightly the operators bind; `not` does so between `and` and comparing."""

_KEY: Final = re.compile(
    r"""\.(?P<name>[A-Za-z_]\w*)|\[(?:(?P<index>-?[0-9]+)|'(?P<single>[^']*)'|"(?P<double>[^"]*)")\]""",
    re.ASCII,
)
COLON: Final = re.compile(r"\s*:\s*")
DOTTED: Final = re.compile(r"\.\s*(?:(?P<name>[A-Za-z_]\w*)|(?P<number>[0-9]{1,9}))\s*", re.ASCII)
NAMED: Final = re.compile(r"(?P<name>[A-Za-z_]\w*)\s*=(?!=)\s*", re.ASCII)
COMPARED: Final = {"==": "eq", "!=": "ne", "<": "lt", "<=": "lteq", ">": "gt", ">=": "gteq"}
CONSTANTS: Final[dict[str, Any]] = {
    **dict.fromkeys(("true", "True"), True),
    **dict.fromkeys(("false", "False"), False),
    **dict.fromkeys(("none", "None"), None),
}
LITERALS: Final[dict[str, Callable[[str], Any]]] = {
    "integer": int,
    "float": float,
    "string": lambda written: unescaped(written[1:-1], 0),
}
BEHIND_TEST: Final = frozenset({None, "and", "or", "else", "close", "comma", "colon"})
"""What may follow a test; anything else could be an argument of it."""
SHORTENED: Final = frozenset({"", "list", "object", "and", "or"})
"""Forms of a key in brackets that messages do not show."""
WORDS: Final = KEYWORDS | CONSTANTS.keys() | {"null"}
"""What looks like a name and is none."""


def keys_of(written: str) -> tuple[str | int, ...]:
    """The keys in what follows the root name of a plain path."""
    if "[" not in written:
        return tuple(written[1:].split(".")) if written else ()
    return tuple(_key(found) for found in _KEY.finditer(written))


def _key(found: re.Match[str]) -> str | int:
    form = str(found.lastgroup)
    return int(found[form]) if form == "index" else found[form]


def shown_keys(written: str) -> str:
    """The keys as messages show them."""
    return "".join(_shown_key(found) for found in _KEY.finditer(written))


def _shown_key(found: re.Match[str]) -> str:
    if found.lastgroup == "name":
        return f".{found['name']}"
    return "[...]" if found.group().startswith("[-") else f"[{_key(found)!r}]"


def ends_with_index(written: str) -> bool:
    """Whether the last of the keys is not a name behind a dot."""
    forms = [found.lastgroup for found in _KEY.finditer(written)]
    return bool(forms) and forms[-1] != "name"
