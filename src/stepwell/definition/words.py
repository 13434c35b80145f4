"""Names that a document gives, to steps, items and variables, and what stands against them."""

from __future__ import annotations

from stepwell.definition.context import Context
from stepwell.definition.model import Path
from stepwell.definition.places import ROOTS
from stepwell.definition.reading import bad_name
from stepwell.definition.shapes import NAME

RESERVED = frozenset({
    "input", "parameters", "vars", "variables", "steps", "task", "tasks", "item", "index", "system", "workflow",
    "execution", "secrets", "event", "response", "result", "error",
})  # fmt: skip
"""Names that mean something in expressions, so no step is called that."""

_ITEM_WORDS = frozenset({"item", "index"})
_KEYWORDS = frozenset({"and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "null"})


def check_item_names(item: tuple[str, Path], index: tuple[str, Path], around: frozenset[str], context: Context) -> None:
    """Check what the item and its number are called, each with the place where that is written."""
    for name, path in (item, index):
        _check_item_name(name, path, around, context)
    if item[0] == index[0]:
        message = f"the item and its number are both called {item[0]!r}"
        context.findings.add("conflicting-keys", message, item[1], hint="choose another name for one of them")


def _check_item_name(name: str, path: Path, around: frozenset[str], context: Context) -> None:
    findings = context.findings
    if (name in RESERVED | ROOTS and name not in _ITEM_WORDS) or name.lower() in _KEYWORDS:
        message = f"{name!r} means something else in expressions, so no item can be called that"
        findings.add("reserved-name", message, path, hint="choose another name")
    elif "-" in name:
        message = f"an expression would read {name!r} as a subtraction"
        findings.add("bad-name", message, path, hint=f"write {name.replace('-', '_')}")
    elif name in around and findings.tree is not None and findings.tree.at(path) is not ...:
        message = f"{name!r} hides the item of the same name around it"
        findings.add("shadowed-name", message, path, hint="choose another name to read both")


def check_variable(name: str, path: Path, context: Context) -> None:
    """Check what a variable is called, whose name is the key at `path`."""
    if not NAME.fullmatch(name):
        context.findings.add("bad-name", bad_name(name), path, key=True)
    elif name in RESERVED:
        message = f"`{name}` in an expression is something else than this variable"
        context.findings.add("confusing-name", message, path, hint=f"it is read as `vars.{name}` only", key=True)
