"""The bounds of the expression language: what one expression, and one rendering, may cost.

The language has no loops and no recursion, so an expression evaluates every part of itself at most once. What is left
to bound is its size, and the size of what its functions and operators read and build.
"""

from __future__ import annotations

from typing import Final

from stepwell.base.values import MAX_BYTES

MAX_EXPRESSION: Final = 8_192
"""Characters in one expression."""
MAX_TOKENS: Final = 2_000
"""Names, literals, operators and brackets in one expression."""
MAX_BRACKETS: Final = 32
"""Brackets within brackets; the parser needs about fifteen stack frames for each."""
MAX_NESTING: Final = 100
"""Operations within operations; evaluating needs about two stack frames for each."""
MAX_TEXT: Final = MAX_BYTES
"""Characters in a string that an expression builds: no more than could be stored."""
MAX_ITEMS: Final = 100_000
"""Items in a list that an expression makes longer than what it was given."""
MAX_WORK: Final = 2_000_000
"""Units of work in one rendering: one for a value read or built, or for 64 characters of text. Under a second."""
HASH_WORK: Final = 100_000
"""What one `hash()` is charged: it is slow on purpose."""
LARGE: Final = 1_024
"""Strings and lists below this size are not worth charging for."""
MAX_PATTERN: Final = 1_000
"""Characters in a regular expression."""
PATTERN_MEMORY: Final = 1_048_576
"""Bytes a compiled regular expression may take."""
