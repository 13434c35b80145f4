"""The page about the public Python surface, from its signatures and docstrings."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Iterator
from typing import Any, Final

import stepwell

INTRODUCTION: Final = """\
# Python

Everything public, as the package `stepwell` has it. `from stepwell import ...`; names are imported when they are first
used. [How to use it](../how-to/use-from-python.md) shows it at work.
"""

GROUPS: Final = {
    "Engines": ("WorkflowEngine", "WorkflowExecutionEngine", "WorkflowExecution", "WorkflowStatus"),
    "Executions": ("WorkflowHandle", "LifecycleEvent"),
    "Workflows in Python": ("Workflow", "step"),
    "Functions as steps": ("task", "rule", "TaskContext", "TaskError"),
    "Step types of your own": (
        "StepExecutor",
        "ExecutionContext",
        "ExecutionResult",
        "StepExecutorFactory",
        "StepType",
        "TaskHandler",
        "TaskResult",
    ),
    "Models": ("ModelProvider", "ModelQuestion", "ModelAnswer"),
}
"""What stands together; what is in no group comes last."""


def python_page() -> str:
    """The page."""
    named = {name for names in GROUPS.values() for name in names}
    rest = tuple(name for name in stepwell.__all__ if name not in named and name != "__version__")
    groups = {**GROUPS, "More": rest} if rest else GROUPS
    return INTRODUCTION + "".join(_group(title, names) for title, names in groups.items())


def _group(title: str, names: tuple[str, ...]) -> str:
    return f"\n## {title}\n" + "".join(_entry(name, getattr(stepwell, name)) for name in names)


def _entry(name: str, thing: Any) -> str:
    if not isinstance(thing, type):
        return f"\n### {name}\n\n```python\n{_signature(name, thing)}\n```\n\n{_prose(thing.__doc__)}"
    if issubclass(thing, enum.Enum):
        members = ", ".join(f"`{member.name}`" for member in thing)
        return f"\n### {name}\n\n{_prose(thing.__doc__)}\n{members}\n"
    methods = "".join(_method(name, *each) for each in _members(thing))
    head = "" if _is_plain(thing) else f"```python\n{_signature(name, thing)}\n```\n\n"
    return f"\n### {name}\n\n{head}{_prose(thing.__doc__)}{methods}"


def _is_plain(thing: type) -> bool:
    """Whether it is not for being called: a protocol or an abstract class."""
    return inspect.isabstract(thing) or getattr(thing, "_is_protocol", False)


def _members(thing: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that the class defines itself and describes, in their order."""
    for name, member in vars(thing).items():
        plain = getattr(member, "__func__", member)
        if not name.startswith("_") and (inspect.isfunction(plain) or isinstance(member, property)) and plain.__doc__:
            yield name, plain


def _method(owner: str, name: str, member: Any) -> str:
    if isinstance(member, property):
        return f"\n**`{name}`** {_prose(member.__doc__)}"
    word = "await " if inspect.iscoroutinefunction(member) else ""
    return f"\n```python\n{word}{_signature(f'{owner}.{name}', member)}\n```\n\n{_prose(member.__doc__)}"


def _signature(name: str, thing: Any) -> str:
    """The call as it is written, on several lines when it is long."""
    signature = inspect.signature(thing)
    parameters = [each for each in signature.parameters.values() if each.name not in ("self", "cls")]
    written = [_parameter(each) for each in parameters]
    keyword = next((n for n, each in enumerate(parameters) if each.kind is each.KEYWORD_ONLY), None)
    starred = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    if keyword is not None and not starred:
        written.insert(keyword, "*")
    gives = "" if isinstance(thing, type) or signature.return_annotation is signature.empty else _gives(signature)
    line = f"{name}({', '.join(written)}){gives}"
    return line if len(line) <= _WIDTH else f"{name}(\n" + "".join(f"    {each},\n" for each in written) + f"){gives}"


def _parameter(parameter: inspect.Parameter) -> str:
    """A parameter as it is written: annotations are texts here, which Python would show in quotes."""
    stars = (
        "**" if parameter.kind is parameter.VAR_KEYWORD else "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
    )
    kind, default = parameter.annotation, parameter.default
    annotation = "" if kind is parameter.empty else f": {_written(kind)}"
    if default is parameter.empty:
        return f"{stars}{parameter.name}{annotation}"
    return f"{parameter.name}{annotation}{' = ' if annotation else '='}{default!r}"


def _gives(signature: inspect.Signature) -> str:
    return f" -> {_written(signature.return_annotation)}"


def _written(annotation: Any) -> str:
    """An annotation as it is written, whether it is kept as a text or as what it means."""
    if isinstance(annotation, str):
        return annotation
    return getattr(annotation, "__name__", None) or re.sub(r"[\w.]+\.", "", str(annotation))


_WIDTH: Final = 110
_HEADING: Final = re.compile(r"^(Args|Attributes|Raises|Raises \(all methods\)):$")


def _prose(docstring: str | None) -> str:
    """A docstring as Markdown: arguments and attributes as lists, indented examples as code."""
    made: list[str] = []
    section = ""
    for line in inspect.cleandoc(docstring or "").splitlines():
        heading = _HEADING.match(line)
        indented = line.startswith("    ")
        if section == "code" and line and not indented:
            made.append("```")
            section = ""
        if heading:
            section = heading[1]
            made += [] if section.startswith("Raises") else [f"{section}:", ""]
            made += [f"{section}:"] if section.startswith("Raises") else []
        elif indented and section:
            made.append(line[4:] if section == "code" or section.startswith("Raises") else _item(line[4:]))
        elif indented:
            section = "code"
            made += ["```python", line[4:]]
        else:
            section = section if section == "code" or line else ""
            made.append(line)
    text = "\n".join([*made, *(["```"] if section == "code" else [])])
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"\n\n```\n(?!\n)", "\n```\n\n", text)).strip() + "\n"


def _item(line: str) -> str:
    name, colon, rest = line.partition(": ")
    if line.startswith(" ") or not colon:
        return f"  {line.strip()}"
    return f"- `{name}`: {rest}"
