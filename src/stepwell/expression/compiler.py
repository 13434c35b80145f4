"""From a syntax tree to closures, over an allow-list of its nodes. What is not in `_NODES` cannot be written.

Imported only when an expression is more than a plain path, since it brings Jinja with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from jinja2 import nodes

from stepwell.base.suggest import hint_for
from stepwell.base.values import SecretRef
from stepwell.expression import build
from stepwell.expression.access import path, record
from stepwell.expression.compiled import Compiled, Evaluate, Reference, constant
from stepwell.expression.data import kind_of
from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.functions import Function, Parameter
from stepwell.expression.functions_queries import ITEM
from stepwell.expression.grammar import Grammar
from stepwell.expression.lexer import KEYWORDS, Token
from stepwell.expression.limits import MAX_NESTING
from stepwell.expression.operators import ARITHMETIC, COMPARISONS, affirmed, negated
from stepwell.expression.parser import parse
from stepwell.expression.predicates import PREDICATES

_METHODS: Final = {
    "startswith": "starts_with",
    "endswith": "ends_with",
    "strip": "trim",
    "find": "index_of",
    "index": "index_of",
    "includes": "contains",
    "get": "default",
    "items": "entries",
    "size": "length",
    "len": "length",
    "push": "append",
    "toUpperCase": "upper",
    "toLowerCase": "lower",
    "toString": "string",
    "str": "string",
    "float": "number",
    "tojson": "to_json",
    "fromjson": "from_json",
    "typeof": "type_of",
    "dict": "merge",
    "selectattr": "filter",
}
"""What people try in place of a function of the language."""


def compile_expression(tokens: list[Token], start: int, end: int, grammar: Grammar, *, outcome: bool) -> Compiled:
    """Compile the expression whose tokens stand from `start` to `end`.

    Raises:
        ExpressionSyntaxError: it is not an expression of the language.
    """
    tree = parse(tokens, start, end)
    compiler = Compiler(grammar, outcome=outcome)
    try:
        evaluate = compiler.compile(tree)
    except RecursionError:
        raise ExpressionSyntaxError("the expression is nested too deeply", offset=start) from None
    references = tuple(sorted(compiler.references, key=lambda reference: reference.offset))
    constant_ = isinstance(tree, nodes.Const)
    return Compiled(evaluate, references, frozenset(compiler.functions), constant_, kind=_kind(tree))


def _kind(tree: nodes.Node) -> str:
    """What the value always is, as far as the form of the expression says."""
    if isinstance(tree, nodes.Const):
        return kind_of(tree.value)
    return "list" if isinstance(tree, nodes.List | nodes.Tuple) else "object" if isinstance(tree, nodes.Dict) else ""


class Compiler:
    """Compiles one expression, and notes the names it reads and the functions it calls."""

    def __init__(self, grammar: Grammar, *, outcome: bool) -> None:
        self.references: list[Reference] = []
        self.functions: set[str] = set()
        self._grammar = grammar
        self._outcome = outcome
        self._depth = 0
        self._attempts = 0
        self._items = 0

    def compile(self, node: nodes.Node) -> Evaluate:
        """The closure that evaluates `node`."""
        handler = _NODES.get(type(node))
        if handler is None:
            _refuse(f"{type(node).__name__} is not part of the language", node)
        self._depth += 1
        if self._depth > MAX_NESTING:
            _refuse(f"operations are nested more than {MAX_NESTING} deep", node, "compute parts of it in earlier steps")
        evaluate = handler(self, node)
        self._depth -= 1
        return evaluate

    def _compile_all(self, children: Sequence[nodes.Node]) -> tuple[Evaluate, ...]:
        return tuple(self.compile(child) for child in children)

    def const(self, node: nodes.Const) -> Evaluate:
        return constant(node.value)

    def list_(self, node: nodes.List | nodes.Tuple) -> Evaluate:
        return build.list_of(self._compile_all(node.items))

    def object_(self, node: nodes.Dict) -> Evaluate:
        return build.object_of(
            self._compile_all([pair.key for pair in node.items]), self._compile_all([pair.value for pair in node.items])
        )

    def unary(self, node: nodes.UnaryExpr) -> Evaluate:
        return build.unary(negated if node.operator == "-" else affirmed, self.compile(node.node))

    def negation(self, node: nodes.Not) -> Evaluate:
        return build.negation(self.compile(node.node))

    def binary(self, node: nodes.BinExpr) -> Evaluate:
        return build.binary(ARITHMETIC[node.operator], self.compile(node.left), self.compile(node.right))

    def concatenation(self, node: nodes.Concat) -> Evaluate:
        return build.text(self._compile_all(node.nodes))

    def conjunction(self, node: nodes.And) -> Evaluate:
        return build.conjunction(self._compile_all(_chain(node)))

    def disjunction(self, node: nodes.Or) -> Evaluate:
        return build.disjunction(self._compile_all(_chain(node)))

    def comparison(self, node: nodes.Compare) -> Evaluate:
        left = self.compile(node.expr)
        pairs = [(COMPARISONS[operand.op], self.compile(operand.expr)) for operand in node.ops]
        if len(pairs) == 1:
            return build.binary(pairs[0][0], left, pairs[0][1])
        return build.comparisons(left, tuple(pairs))

    def conditional(self, node: nodes.CondExpr) -> Evaluate:
        otherwise = constant(None) if node.expr2 is None else self.compile(node.expr2)
        return build.conditional(self.compile(node.test), self.compile(node.expr1), otherwise)

    def access(self, node: nodes.Expr, *, whole: bool = True) -> Evaluate:
        """A name and what is read below it: the longest static part of it at once, the rest step by step.

        Args:
            whole: the value itself is wanted, so a `Lookup` is asked for its data.
        """
        root, steps = _unwound(node)
        if not isinstance(root, nodes.Name):
            return build.data(self._steps(self.compile(root), steps, _shown(root)))
        keys: list[str | int] = []
        while len(keys) < len(steps) and (key := _static_key(steps[len(keys)])) is not None:
            keys.append(key)
        name = self._root_name(root)
        self._note(name, keys, root)
        if name == self._grammar.secrets:
            return self._secret(keys, steps, root)
        if whole and len(keys) == len(steps):
            return path(name, tuple(keys), root.name)
        reached = _shown(steps[len(keys) - 1]) if keys else root.name
        found = self._steps(record(name, tuple(keys), root.name), steps[len(keys) :], reached)
        return build.data(found) if whole else found

    def _root_name(self, node: nodes.Name) -> str:
        if node.name in KEYWORDS:
            _refuse(f"{node.name!r} is a keyword; a value is expected here", node)
        return self._grammar.aliases.get(node.name, node.name)

    def _note(self, name: str, keys: Sequence[str | int], node: nodes.Node) -> None:
        if name == ITEM and self._items:
            return
        self.references.append(Reference((name, *keys), (), node.lineno, self._attempts > 0))

    def _secret(self, keys: Sequence[str | int], steps: Sequence[nodes.Expr], node: nodes.Name) -> Evaluate:
        if len(keys) != 1 or len(steps) != 1 or not isinstance(keys[0], str):
            _refuse(
                "a secret is read by its name and as a whole", node, f"write {self._grammar.secrets}.NAME, nothing more"
            )
        return constant(SecretRef(keys[0]))

    def _steps(self, base: Evaluate, steps: Sequence[nodes.Expr], shown: str) -> Evaluate:
        for step in steps:
            base = self._step(base, step, shown)
            shown = _shown(step)
        return base

    def _step(self, base: Evaluate, step: nodes.Expr, shown: str) -> Evaluate:
        if isinstance(step, nodes.Getattr):
            return build.item(base, constant(step.attr), shown)
        assert isinstance(step, nodes.Getitem)
        if isinstance(step.arg, nodes.Slice):
            bounds = (step.arg.start, step.arg.stop, step.arg.step)
            return build.slice_of(base, *(constant(None) if bound is None else self.compile(bound) for bound in bounds))
        if isinstance(step.arg, nodes.Tuple):
            _refuse("one index is expected between the brackets", step)
        return build.item(base, self.compile(step.arg), shown)

    def name(self, node: nodes.Name) -> Evaluate:
        if node.name == "null":
            return constant(None)
        return self.access(node)

    def call(self, node: nodes.Call) -> Evaluate:
        if isinstance(node.node, nodes.Getattr):
            self._refuse_method(node.node)
        if not isinstance(node.node, nodes.Name):
            _refuse("only functions can be called, by their names", node)
        return self._called(node.node.name, node.node.lineno, node.args, node)

    def filter(self, node: nodes.Filter) -> Evaluate:
        assert node.node is not None
        return self._called(node.name, node.lineno, [node.node, *node.args], node)

    def test(self, node: nodes.Test) -> Evaluate:
        if node.args or node.kwargs:
            _refuse(f"the test {node.name!r} takes no argument", node)
        if node.name in ("defined", "undefined"):
            self._attempts += 1
            found = self.access(node.node, whole=False) if _is_path(node.node) else self.compile(node.node)
            self._attempts -= 1
            return build.definedness(found, expected=node.name == "defined")
        holds = PREDICATES.get(node.name)
        if holds is None:
            _refuse(f"there is no test {node.name!r}", node, hint_for(node.name, ["defined", "undefined", *PREDICATES]))
        return build.predicate(holds, self.compile(node.node))

    def _attempted(self, node: nodes.Expr) -> Evaluate:
        self._attempts += 1
        evaluate = self.compile(node)
        self._attempts -= 1
        return evaluate

    def _called(
        self, name: str, offset: int, arguments: Sequence[nodes.Expr], node: nodes.Call | nodes.Filter
    ) -> Evaluate:
        function = self._function(name, offset)
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            _refuse("arguments cannot be unpacked with '*'", node)
        keywords = [keyword for keyword in node.kwargs if isinstance(keyword, nodes.Keyword)]
        positional, named = self._bound(function, arguments, keywords, offset)
        return build.call(function, positional, named)

    def _function(self, name: str, offset: int) -> Function:
        function = self._grammar.functions.get(name)
        if function is None:
            known = _METHODS.get(name)
            raise ExpressionSyntaxError(
                f"there is no function {name!r}",
                code="unknown-function",
                offset=offset,
                hint=f"use {known!r}" if known else hint_for(name, self._grammar.functions),
            )
        if function.outcome and not self._outcome:
            raise ExpressionSyntaxError(
                f"{name}() has no meaning here",
                code="misplaced-function",
                offset=offset,
                hint="it can be used where the end of a step is judged: in edges (next), hooks and retry.when",
            )
        self.functions.add(name)
        return function

    def _bound(
        self, function: Function, arguments: Sequence[nodes.Expr], keywords: Sequence[nodes.Keyword], offset: int
    ) -> tuple[tuple[Evaluate, ...], dict[str, Evaluate]]:
        """The arguments in the order of the parameters, and those that only have a name."""
        parameters = function.parameters
        if len(arguments) > len(parameters) and not function.variadic:
            _refuse_arguments(f"{function.name}() takes at most {len(parameters)} arguments", function, offset)
        bound = [
            self._argument(parameters[min(position, len(parameters) - 1)], argument)
            for position, argument in enumerate(arguments)
        ]
        given = {keyword.key: keyword for keyword in keywords}
        if len(given) < len(keywords):
            _refuse_arguments("an argument is given twice", function, offset)
        for parameter in parameters[len(bound) :]:
            keyword = given.pop(parameter.name, None)
            if keyword is not None:
                bound.append(self._argument(parameter, keyword.value))
            elif parameter.required:
                _refuse_arguments(f"{function.name}() needs the argument {parameter.name!r}", function, offset)
            else:
                bound.append(constant(parameter.default))
        if given and not function.named:
            _refuse_arguments(f"{function.name}() has no argument {next(iter(given))!r} left", function, offset)
        return tuple(bound), {key: self.compile(keyword.value) for key, keyword in given.items()}

    def _argument(self, parameter: Parameter, node: nodes.Expr) -> Evaluate:
        if parameter.of_items:
            self._items += 1
            evaluate = self.compile(node)
            self._items -= 1
            return evaluate
        return self._attempted(node) if parameter.attempted else self.compile(node)

    def _refuse_method(self, node: nodes.Getattr) -> NoReturn:
        known = _METHODS.get(node.attr, node.attr)
        if known not in self._grammar.functions:
            hint = hint_for(node.attr, self._grammar.functions)
        else:
            hint = f"write {_shown(node.node)} | {known}"
        _refuse(f"values have no methods, so .{node.attr}() cannot be called", node, hint, code="method-call")


def _chain(node: nodes.And | nodes.Or) -> list[nodes.Expr]:
    """The operands of `a and b and c`, which the parser nests to the left."""
    operands: list[nodes.Expr] = []
    current: nodes.Expr = node
    while isinstance(current, type(node)):
        operands.append(current.right)
        current = current.left
    return [current, *reversed(operands)]


def _unwound(node: nodes.Expr) -> tuple[nodes.Expr, list[nodes.Expr]]:
    """What a chain of `.a` and `[b]` begins with, and the chain."""
    steps: list[nodes.Expr] = []
    while isinstance(node, (nodes.Getattr, nodes.Getitem)):
        steps.append(node)
        node = node.node
    steps.reverse()
    return node, steps


def _is_path(node: nodes.Expr) -> bool:
    root, _ = _unwound(node)
    return isinstance(root, nodes.Name) and root.name != "null"


def _static_key(node: nodes.Expr) -> str | int | None:
    """The key of a step when it is written out."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    assert isinstance(node, nodes.Getitem)
    value = node.arg.value if isinstance(node.arg, nodes.Const) else None
    if isinstance(node.arg, nodes.Neg) and isinstance(node.arg.node, nodes.Const):
        value = node.arg.node.value
        return -value if value.__class__ is int else None
    return value if isinstance(value, (str, int)) and not isinstance(value, bool) else None


def _shown(node: nodes.Expr) -> str:
    """How messages call the value of `node`."""
    root, steps = _unwound(node)
    if isinstance(root, nodes.Name):
        shown = root.name
    elif isinstance(root, nodes.Call) and isinstance(root.node, nodes.Name):
        shown = f"{root.node.name}(...)"
    elif isinstance(root, nodes.Filter):
        shown = f"(... | {root.name})"
    else:
        shown = "(...)"
    return shown + "".join(_shown_step(step) for step in steps)


def _shown_step(step: nodes.Expr) -> str:
    if isinstance(step, nodes.Getattr):
        return f".{step.attr}"
    assert isinstance(step, nodes.Getitem)
    if isinstance(step.arg, nodes.Const):
        return f"[{step.arg.value!r}]"
    return f"[{_shown(step.arg)}]" if isinstance(step.arg, (nodes.Name, nodes.Getattr)) else "[...]"


def _refuse(message: str, node: nodes.Node, hint: str | None = None, *, code: str | None = None) -> NoReturn:
    raise ExpressionSyntaxError(message, code=code, offset=node.lineno, hint=hint)


def _refuse_arguments(message: str, function: Function, offset: int) -> NoReturn:
    raise ExpressionSyntaxError(message, code="wrong-arguments", offset=offset, hint=f"usage: {function.signature}")


_NODES: Final[dict[type[nodes.Node], Callable[[Compiler, Any], Evaluate]]] = {
    nodes.Const: Compiler.const,
    nodes.Name: Compiler.name,
    nodes.Getattr: Compiler.access,
    nodes.Getitem: Compiler.access,
    nodes.List: Compiler.list_,
    nodes.Tuple: Compiler.list_,
    nodes.Dict: Compiler.object_,
    nodes.Compare: Compiler.comparison,
    nodes.And: Compiler.conjunction,
    nodes.Or: Compiler.disjunction,
    nodes.Not: Compiler.negation,
    nodes.CondExpr: Compiler.conditional,
    nodes.Concat: Compiler.concatenation,
    nodes.Neg: Compiler.unary,
    nodes.Pos: Compiler.unary,
    nodes.Add: Compiler.binary,
    nodes.Sub: Compiler.binary,
    nodes.Mul: Compiler.binary,
    nodes.Div: Compiler.binary,
    nodes.FloorDiv: Compiler.binary,
    nodes.Mod: Compiler.binary,
    nodes.Pow: Compiler.binary,
    nodes.Call: Compiler.call,
    nodes.Filter: Compiler.filter,
    nodes.Test: Compiler.test,
}
"""The whole language: what may be written, and what compiles it."""
