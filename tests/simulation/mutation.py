"""Putting a deliberate bug into a module that is in use, and taking it out again."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple


class Mutation(NamedTuple):
    """A deliberate bug.

    Attributes:
        name: what goes wrong.
        module: where.
        before: a part of its source that stands there once.
        after: what stands there instead.
    """

    name: str
    module: str
    before: str
    after: str


class Stale(Exception):
    """The source no longer holds what the mutation replaces."""


@contextmanager
def mutated(mutation: Mutation) -> Iterator[None]:
    """The bug is in the code meanwhile.

    Functions get the code that the changed source would have given them; so whoever holds one meets the bug, however it
    was imported. What is computed when the module is imported stays as it was.

    Raises:
        Stale: the source has changed.
    """
    module = importlib.import_module(mutation.module)
    changed = _changed(module, mutation)
    try:
        for function, code, _ in changed:
            function.__code__ = code
        yield
    finally:
        for function, _, original in changed:
            function.__code__ = original


def _changed(module: ModuleType, mutation: Mutation) -> list[tuple[FunctionType, CodeType, CodeType]]:
    """The functions that the bug changes, with their code then and now."""
    source = inspect.getsource(module)
    count = source.count(mutation.before)
    if count != 1:
        raise Stale(f"{mutation.name!r}: {mutation.module} holds what it replaces {count} times")
    text = source.replace(mutation.before, mutation.after)
    codes = dict(_codes(compile(text, module.__file__ or "", "exec", dont_inherit=True)))
    before = dict(_codes(compile(source, module.__file__ or "", "exec", dont_inherit=True)))
    changed = [
        (function, codes[name], function.__code__)
        for name, function in _functions(module, module)
        if name in codes and _content(codes[name]) != _content(before[name])
    ]
    if not changed:
        raise Stale(f"{mutation.name!r} changes no function of {mutation.module}")
    return changed


def _codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    """Every code object in a module's, by its qualified name; lambdas and the like have none of their own."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant.co_qualname, constant
            yield from _codes(constant)


def _functions(holder: Any, module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    """The functions and methods that a module defines."""
    for value in list(vars(holder).values()):
        inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if isinstance(inner, FunctionType) and inner.__module__ == module.__name__:
            yield inner.__qualname__, inner
        elif inspect.isclass(value) and value.__module__ == module.__name__ and value is not holder:
            yield from _functions(value, module)


def _content(code: CodeType) -> tuple[Any, ...]:
    """What a function does, without where it stands."""
    constants = tuple(_content(one) if isinstance(one, CodeType) else one for one in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames
