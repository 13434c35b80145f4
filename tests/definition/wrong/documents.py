"""Documents with one mistake in them, and what must be said of it."""

from __future__ import annotations

from typing import NamedTuple

from tests.definition.documents import steps

A = "- {name: a, type: noop}\n"
ONE = "[{name: x, type: noop}]"
TWO = "[{name: x, type: noop}, {name: y, type: noop}]"


class Wrong(NamedTuple):
    """A document with one mistake in it, and the finding: its code, what stands at its place, and parts of its text."""

    text: str
    code: str
    place: str
    message: str
    hint: str | None = ""


def config(kind: str, settings: str) -> str:
    return steps(f"- {{name: a, type: {kind}, config: {settings}}}")


def step(keys: str, before: str = A, kind: str = "greet") -> str:
    """A step `s` with these keys, behind a step `a`."""
    return steps(f"{before}- {{name: s, type: {kind}, {keys}}}\n- {{name: z, type: noop}}")


def machine(states: str, initial: str = "x") -> str:
    return config("state_machine", f"{{initial: {initial}, states: {states}}}")


def falling_back(fallback: str, more: str = "") -> str:
    return steps(f"- {{name: s, type: greet, on_failure: {{action: fallback, fallback: {fallback}}}}}\n"
                 f"- {{name: backup, type: noop}}\n{more}")  # fmt: skip
