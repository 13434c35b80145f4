"""The page about error codes: the table of findings, the classes of errors, and every place that raises one."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import stepwell
from markdown import first_line, table
from stepwell.app.checking import ENGINE_CODES
from stepwell.base.errors import Conflict, StepwellError
from stepwell.decider.verbs_legal import REFUSALS
from stepwell.definition.codes import CODES

INTRODUCTION = """\
# Error codes

Every error and every finding has a code that does not change. The message beside it says what was seen, what was
expected, where, and what to do.

The exit status of the command line is 0 when all went well; 1 when an execution failed or was cancelled; 2 for wrong
usage, an invalid definition or input; 3 when waiting took too long; 4 when the store cannot be reached or used.
"""
FINDINGS = """
## Findings about a definition

`stepwell validate` prints them as `file:line:column: error[code]: message`. A definition with an error is not run; one
with a warning is.

"""
ERRORS = """
## Errors

Printed as `error[code]: message`, and raised as a `StepwellError` with that `code`. `…` stands for what differs.

"""


STEPS = """
## Errors of steps

What a step failed with is recorded as `{type, message, details, retryable}`; expressions see it as `error`. Besides
these types there are those of Python: a task that raises `ValueError` fails with the type `ValueError`.

"""
UNSAID = {
    "internal-error": "a defect of stepwell",
    "invalid-event": "the event holds what cannot be written as JSON",
    "invalid-store": "the URL is not that of a store",
    "expression_error": "an expression of the step cannot be evaluated: …",
    "http_error": "… was answered with a status that is no success",
    "invalid_result": "what the task returned cannot be written as JSON",
}
"""Where the code does not show what is said."""


@dataclass(frozen=True)
class Raised:
    """A place in the code that makes an error: its code or type, the exit status where it has one, what it says."""

    code: str
    exit_status: int
    message: str


def error_page() -> str:
    """The page."""
    findings = [
        (f"`{code}`", known.severity, known.summary, known.advice)
        for code, known in sorted({**CODES, **ENGINE_CODES}.items())
    ]
    return "".join((
        INTRODUCTION,
        FINDINGS,
        table(("code", "kind", "meaning", "what to do"), findings),
        ERRORS,
        table(("code", "exit status", "says"), _error_rows()),
        STEPS,
        table(("type", "says"), _step_rows()),
    ))  # fmt: skip


def _error_rows() -> Iterator[tuple[str, str, str]]:
    classes = error_classes()
    statuses: dict[str, int] = {}
    says: dict[str, dict[str, None]] = {}
    for class_ in classes.values():
        statuses.setdefault(class_.code, class_.exit_status)
        says.setdefault(class_.code, {})[first_line(class_.__doc__)] = None
    for raised in _made(lambda call: _with_code(call, classes)):
        statuses.setdefault(raised.code, raised.exit_status)
        says.setdefault(raised.code, {})[raised.message] = None
    for code, meaning in REFUSALS.items():
        statuses.setdefault(code, Conflict.exit_status)
        says.setdefault(code, {})[meaning] = None
    for code in sorted(says):
        yield f"`{code}`", str(statuses[code]), _said(code, says[code])


def _step_rows() -> Iterator[tuple[str, str]]:
    says: dict[str, dict[str, None]] = {}
    for raised in _made(_of_a_step):
        says.setdefault(raised.code, {})[raised.message] = None
    for type_ in sorted(says):
        yield f"`{type_}`", _said(type_, says[type_])


def _said(code: str, messages: Iterable[str]) -> str:
    """The messages, without those of which nothing is known before they are made."""
    known = [message for message in messages if message.strip("… ")]
    return UNSAID[code] if code in UNSAID else "<br>".join(known)


def error_classes() -> dict[str, type[StepwellError]]:
    """Every class of errors by its name."""
    for module in pkgutil.walk_packages(stepwell.__path__, "stepwell."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: dict[str, type[StepwellError]] = {}
    pending: list[type[StepwellError]] = [StepwellError]
    while pending:
        class_ = pending.pop()
        found[class_.__name__] = class_
        pending += class_.__subclasses__()
    return dict(sorted(found.items()))


Recognise = Callable[[ast.Call], tuple[str, int, ast.expr] | None]
"""The code or type, the exit status and the message of a call that makes an error; None when it makes none."""


def _with_code(call: ast.Call, classes: Mapping[str, type[StepwellError]]) -> tuple[str, int, ast.expr] | None:
    code = next((keyword.value for keyword in call.keywords if keyword.arg == "code"), None)
    if not (isinstance(code, ast.Constant) and call.args and isinstance(call.func, ast.Name)):
        return None
    class_ = classes.get(call.func.id)
    return (str(code.value), class_.exit_status, call.args[0]) if class_ is not None else None


def _of_a_step(call: ast.Call) -> tuple[str, int, ast.expr] | None:
    match call:
        case ast.Call(func=ast.Name(id="ErrorInfo" | "TaskError"), args=[ast.Constant(value=str(type_)), message, *_]):
            return type_, 1, message
        case _:
            return None


def _made(recognise: Recognise) -> Iterator[Raised]:
    """Every error that is made somewhere in the code, in the order of files and lines."""
    for file in sorted(Path(stepwell.__path__[0]).rglob("*.py")):
        module = ast.parse(file.read_text("utf-8"))
        for function in _functions(module):
            for call in _calls(function):
                if (made := recognise(call)) is not None:
                    code, status, message = made
                    yield from (Raised(code, status, text) for text in _texts(message, function, module))


def _functions(module: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _calls(part: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(part) if isinstance(node, ast.Call))


def _texts(message: ast.expr, function: ast.FunctionDef | ast.AsyncFunctionDef, module: ast.AST) -> Iterator[str]:
    """What a message may say: for a parameter of a function that only makes the error, what its callers say."""
    parameters = [argument.arg for argument in function.args.args]
    if not (isinstance(message, ast.Name) and message.id in parameters):
        yield _text(message, function)
        return
    place = parameters.index(message.id)
    for caller in _functions(module):
        for call in _calls(caller):
            if isinstance(call.func, ast.Name) and call.func.id == function.name and len(call.args) > place:
                yield _text(call.args[place], caller)


def _text(node: ast.expr, function: ast.AST) -> str:
    """What a message says; where it is put together at run time, an ellipsis."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part, function) for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left, function) + _text(right, function)
        case ast.Name(id=name):
            return next((_text(value, function) for value in _assigned(name, function)), "…")
        case _:
            return "…"


def _assigned(name: str, function: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets):
            yield node.value
