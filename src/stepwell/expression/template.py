"""Templates and conditions: values with expressions in their strings, compiled once and rendered often.

    template = compile_template({"url": "/users/{{ input.id }}", "body": "{{ input.profile }}"})
    template.render(Scope({"input": {"id": 7, "profile": {"name": "Ada"}}}))

A string that is exactly one expression keeps the type of its value; any other string becomes text. What was rendered is
never rendered again.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from stepwell.base.values import MAX_DEPTH
from stepwell.expression.compiled import EMPTY, Compiled, Evaluate, Reference, constant
from stepwell.expression.data import a_kind, truthy
from stepwell.expression.errors import ExpressionError, ExpressionSyntaxError
from stepwell.expression.grammar import NATIVE, Grammar
from stepwell.expression.scope import Scope
from stepwell.expression.strings import compile_condition_text, compile_text

Where = tuple[str | int, ...]
"""The path of a value within the value that is compiled."""

_ANY: Final = Scope({})
"""The scope for what is constant."""


class Template:
    """A compiled value.

    Attributes:
        constant: no expression in it depends on anything, so it renders the same in any scope.
        references: the names its expressions read, secrets included.
        functions: the names of the functions they call.
        kind: what the value always is (`number`, `list`, ...), when it is one expression whose form says so; or "".
    """

    __slots__ = ("_evaluate", "_source", "constant", "functions", "kind", "references")

    def __init__(self, compiled: Compiled) -> None:
        self._evaluate = compiled.evaluate
        self._source = compiled.source
        self.constant = compiled.constant
        self.references = compiled.references
        self.functions = compiled.functions
        self.kind = compiled.kind

    def render(self, scope: Scope) -> Any:
        """The value with every expression replaced by its value: JSON values, `Sealed`, `SecretRef` and `SecretText`.

        Lists and objects written in the template are new each time. What an expression found in the scope is passed on
        as it is: it must be copied before it is changed.

        Raises:
            ExpressionError: with the expression that failed and where it stands.
        """
        scope.work = scope.draws = 0
        try:
            return self._evaluate(scope)
        except ExpressionError as error:
            error.locate(self._source)
            raise
        except RecursionError:
            raise ExpressionError("what is evaluated is nested too deeply", code="limit-exceeded") from None


class Condition(Template):
    """A compiled condition."""

    __slots__ = ()

    def holds(self, scope: Scope) -> bool:
        """Whether the condition holds; see `stepwell.expression.data.truthy` for what counts as true.

        Raises:
            ExpressionError: it cannot be evaluated, or is a secret.
        """
        value = self.render(scope)
        if value is True:
            return True
        try:
            return truthy(value)
        except ExpressionError as error:
            error.locate(self._source)
            raise


def compile_template(
    value: Any,
    *,
    grammar: Grammar = NATIVE,
    outcome: bool = False,
    problems: list[ExpressionSyntaxError] | None = None,
) -> Template:
    """Compile every string in a JSON value; the keys of objects are plain.

    Args:
        outcome: `succeeded() failed() timed_out() skipped() result()` may be called.
        problems: when given, what is wrong is added to it instead of being raised, and that string is plain text.

    Raises:
        ExpressionSyntaxError: a string holds something that is not an expression of the language.
    """
    return Template(_compile(value, (), _Options(grammar, outcome, problems)))


def compile_condition(
    value: Any,
    *,
    grammar: Grammar = NATIVE,
    outcome: bool = False,
    problems: list[ExpressionSyntaxError] | None = None,
) -> Condition:
    """Compile a condition: true, false, or a string that is one expression, with or without delimiters around it.

    Args:
        outcome: as for `compile_template`.
        problems: when given, what is wrong is added to it instead of being raised, and the condition never holds.

    Raises:
        ExpressionSyntaxError: it is none of these.
    """
    try:
        return Condition(_condition(value, grammar, outcome))
    except ExpressionSyntaxError as error:
        if problems is None:
            raise
        problems.append(error)
        return Condition(Compiled(constant(False), constant=True))


class _Options(NamedTuple):
    grammar: Grammar
    outcome: bool
    problems: list[ExpressionSyntaxError] | None


def _condition(value: Any, grammar: Grammar, outcome: bool) -> Compiled:
    if isinstance(value, bool):
        return Compiled(constant(value), constant=True)
    if isinstance(value, str):
        return compile_condition_text(value, grammar, outcome=outcome)
    raise ExpressionSyntaxError(
        f"a condition is true, false or an expression, not {a_kind(value)}", offset=0, hint="put quotes around it"
    )


def _compile(value: Any, where: Where, options: _Options) -> Compiled:
    if isinstance(value, str):
        return _string(value, where, options)
    if not isinstance(value, (dict, list)):
        return Compiled(constant(value), constant=True)
    if len(where) >= MAX_DEPTH:
        return _reported(ExpressionSyntaxError(f"nested more than {MAX_DEPTH} deep", offset=0), None, where, options)
    return _container(value, where, options)


def _string(text: str, where: Where, options: _Options) -> Compiled:
    try:
        compiled = compile_text(text, options.grammar, outcome=options.outcome)
    except ExpressionSyntaxError as error:
        return _reported(error, text, where, options)
    if not where or not compiled.references:
        return compiled
    evaluate, references, functions, is_constant, source, kind = compiled
    placed = tuple(Reference(each.path, where, each.offset, each.optional) for each in references)
    return Compiled(evaluate, placed, functions, is_constant, source, kind)


def _reported(error: ExpressionSyntaxError, value: Any, where: Where, options: _Options) -> Compiled:
    error.where = where
    if options.problems is None:
        raise error
    options.problems.append(error)
    return Compiled(constant(value), constant=True)


def _container(value: Any, where: Where, options: _Options) -> Compiled:
    """A list or an object. Each rendering copies a base and puts into the copy what is not a constant scalar."""
    base, opening = value.copy(), options.grammar.opening
    dynamic: list[tuple[Any, Evaluate, str]] = []
    references: list[Reference] = []
    functions = EMPTY
    is_constant = True
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        is_text = isinstance(item, str)
        if not isinstance(item, (dict, list)) and not (is_text and opening in item):
            continue
        part = _compile(item, (*where, key), options)
        if part.constant and is_text:
            base[key] = part.evaluate(_ANY)
        else:
            dynamic.append((key, part.evaluate, part.source))
        references += part.references
        functions |= part.functions
        is_constant = is_constant and part.constant
    evaluate = _filled(base, tuple(dynamic)) if dynamic else lambda scope: base.copy()
    return Compiled(evaluate, tuple(references), functions, is_constant)


def _filled(base: Any, dynamic: tuple[tuple[Any, Evaluate, str], ...]) -> Evaluate:
    def evaluate(scope: Scope) -> Any:
        made = base.copy()
        key, source = "", ""
        try:
            for each in dynamic:
                key, part, source = each
                made[key] = part(scope)
        except ExpressionError as error:
            error.locate(source)
            error.where = (key, *error.where)
            raise
        return made

    return evaluate
