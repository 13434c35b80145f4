"""What a YAQL expression says, as a tree. `at` of every part is its offset in the text that it was read from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a string in quotes, or one of `true`, `false` and `null`."""

    value: str | int | float | bool | None
    at: int


@dataclass(frozen=True, slots=True)
class Word:
    """A name without anything around it, which stands for itself as text: `ctx(name)`."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Dollar:
    """`$`: what a query looks at; with a name, a variable of `let`."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Listed:
    """`[a, b]`"""

    items: tuple[Yaql, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Mapped:
    """`{a => b}`"""

    pairs: tuple[tuple[Yaql, Yaql], ...]
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """`f(a, b => c)`, and with a target, `target.f(a, b => c)`."""

    name: str
    target: Yaql | None
    args: tuple[Yaql, ...]
    pairs: tuple[tuple[Yaql, Yaql], ...]
    at: int


@dataclass(frozen=True, slots=True)
class Property:
    """`target.name`"""

    target: Yaql
    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Index:
    """`target[key]`"""

    target: Yaql
    key: Yaql
    at: int


@dataclass(frozen=True, slots=True)
class Unary:
    """`not a`, `-a`, `+a`"""

    sign: str
    operand: Yaql
    at: int


@dataclass(frozen=True, slots=True)
class Binary:
    """`a + b`, `a = b`, `a and b`"""

    sign: str
    left: Yaql
    right: Yaql
    at: int


Yaql = Constant | Word | Dollar | Listed | Mapped | Call | Property | Index | Unary | Binary
