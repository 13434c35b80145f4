"""The expressions of the dialect: `${workflow.ticket_id}`, and `{{context.event.message.payload.id}}` of the API.

The payload of the event that starts a workflow is its input, and what activities publish are its variables; in the
dialect both are variables, and what was published later hides what came with the event.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Final, NamedTuple

from jinja2 import nodes

from stepwell.base.suggest import hint_for
from stepwell.dialects.execution.names import step_name
from stepwell.dialects.language import Delimited, Language, Reader, read_expression, refuse
from stepwell.expression.unparsing import unparse

EVENT_FIELDS: Final = ("id", "type", "source", "subject", "time")
"""What of an event is read by these names; `payload` and `data` are its payload, and other names are fields of that."""
PAYLOAD: Final = ("payload", "data")
EVENT: Final = "event"
"""The name under which the input holds the event itself, where the workflow reads more of it than its payload."""

SAME: Final = ("error", "execution", "secrets")
"""Names that mean the same natively."""
_ROOTS: Final = ("workflow", "event", "trigger", "activities", "output", *SAME)
_API_FIELDS: Final = {"eventId": "id", "eventType": "type", "timestamp": "time"}


@dataclass(slots=True)
class Names:
    """What the expressions of a document need to know of it, and what is known of them.

    Attributes:
        published: the variables that its activities publish.
        reads_event: whether an expression read more of the event than its payload.
    """

    published: frozenset[str]
    reads_event: bool = False


def activities_language(names: Names) -> Language:
    """The expressions of documents with `execution` or `saga`."""
    return Language(Delimited("${", "}", _reader(lambda node: _of_activities(node, names)), _as_it_is))


def api_language(names: Names) -> Language:
    """The expressions of `workflowDefinition`."""
    return Language(Delimited("{{", "}}", _reader(lambda node: _of_api(node, names)), _as_it_is))


def variables(published: frozenset[str]) -> nodes.Expr:
    """All variables of the dialect, as a native expression."""
    if not published:
        return _name("input")
    return nodes.Call(_name("merge"), [_name("input"), _name("vars")], [], None, None)


def step_text(step: str) -> str:
    """The native expression of a step's record."""
    return unparse(member(_name("steps"), step))


def member(base: nodes.Expr, name: str) -> nodes.Expr:
    """`base.name`, written so that it can be read again."""
    if name.isidentifier():
        return nodes.Getattr(base, name, "load")
    return nodes.Getitem(base, nodes.Const(name), "load")


def variable(name: str, published: frozenset[str]) -> nodes.Expr:
    """One variable of the dialect, as a native expression."""
    given = member(_name("input"), name)
    if name not in published:
        return given
    return nodes.Filter(member(_name("vars"), name), "default", [given], [], None, None)


EVENT_MAP: Final = f"{{{{ merge(event.data, {{'{EVENT}': event}}) }}}}"
"""The input of what an event starts, where more of it is read than its payload."""


class Chain(NamedTuple):
    """A name and what is read of it: `a.b[0].c`. Keys that are not constants end the chain."""

    root: nodes.Name
    keys: tuple[str, ...]
    steps: tuple[nodes.Getattr | nodes.Getitem, ...]


Rewrite = Callable[[Chain], nodes.Expr]
Recognise = Callable[[nodes.Expr], nodes.Expr | None]
"""Gives what takes the place of a node that is more than a chain; None for every other."""


def _as_it_is(node: nodes.Expr) -> nodes.Expr:
    return node


def _reader(rewrite: Rewrite) -> Reader:
    def read(text: str, start: int, closing: str) -> tuple[nodes.Expr, int]:
        tree, end = read_expression(text, start, closing)
        return rewritten(tree, rewrite), end

    return read


def rewritten(node: nodes.Expr, rewrite: Rewrite, recognise: Recognise = lambda node: None) -> nodes.Expr:
    """The tree with its names exchanged, from the outside in: a name means something with what is read of it."""
    found = recognise(node)
    if found is not None:
        return found
    chain = _chain_of(node)
    if chain is not None:
        return rewrite(chain)
    return _with_inner(node, rewrite, recognise)


def _with_inner(node: nodes.Node, rewrite: Rewrite, recognise: Recognise) -> nodes.Expr:
    made = copy(node)
    for field in node.fields:
        value = getattr(node, field)
        if isinstance(value, nodes.Node):
            called = field == "node" and isinstance(node, nodes.Call)
            setattr(made, field, _inner(value, rewrite, recognise, called=called))
        elif isinstance(value, list):
            inner = [_inner(part, rewrite, recognise) if isinstance(part, nodes.Node) else part for part in value]
            setattr(made, field, inner)
    return made  # type: ignore[return-value]


def _inner(node: nodes.Node, rewrite: Rewrite, recognise: Recognise, *, called: bool = False) -> nodes.Node:
    if called and isinstance(node, nodes.Name):
        return node  # the name of a function
    if isinstance(node, nodes.Expr):
        return rewritten(node, rewrite, recognise)
    return _with_inner(node, rewrite, recognise)


def _chain_of(node: nodes.Expr) -> Chain | None:
    """The chain that a node is, with the constant keys that come first."""
    steps: list[nodes.Getattr | nodes.Getitem] = []
    inner: nodes.Node = node
    while isinstance(inner, (nodes.Getattr, nodes.Getitem)):
        steps.insert(0, inner)
        inner = inner.node
    if not isinstance(inner, nodes.Name):
        return None
    keys: list[str] = []
    for step in steps:
        key = step.attr if isinstance(step, nodes.Getattr) else getattr(step.arg, "value", None)
        if not isinstance(key, str):
            break
        keys.append(key)
    return Chain(inner, tuple(keys), tuple(steps))


def read_of_chain(base: nodes.Expr, chain: Chain, used: int, rewrite: Rewrite) -> nodes.Expr:
    """What is read of `base` by the chain but for its first `used` keys."""
    for step in chain.steps[used:]:
        made = copy(step)
        made.node = base
        if isinstance(made, nodes.Getitem):
            made.arg = _inner(made.arg, rewrite, lambda node: None)  # type: ignore[assignment]
        base = made
    return base


def _of_activities(chain: Chain, names: Names) -> nodes.Expr:
    first = chain.keys[0] if chain.keys else None
    base: nodes.Expr = chain.root
    used = 0
    match chain.root.name:
        case "workflow":
            base = variables(names.published) if first is None else variable(first, names.published)
            used = min(len(chain.keys), 1)
        case "event" | "trigger":
            base, used = _of_event(chain, first, names)
        case "activities" if first is not None:
            base, used = member(_name("steps"), step_name(first)), 1
        case "activities":
            refuse("all activities at once cannot be read", chain.root, "name one: `activities.NAME.output`")
        case "output":
            base = _name("response")
        case name if name not in SAME:
            refuse(f"the name {name!r} means nothing here", chain.root, hint_for(name, _ROOTS))
        case _:
            pass
    return read_of_chain(base, chain, used, lambda inner: _of_activities(inner, names))


def _of_event(chain: Chain, first: str | None, names: Names) -> tuple[nodes.Expr, int]:
    """What the event is natively, and how many of the chain's keys are used up."""
    if first is None:
        refuse("the event as a whole cannot be read", chain.root, "read its payload: `event.payload`")
    if first in PAYLOAD:
        return _name("input"), 1
    return (_event(names), 0) if first in EVENT_FIELDS else (_name("input"), 0)


def _of_api(chain: Chain, names: Names) -> nodes.Expr:
    def read_of(base: nodes.Expr) -> nodes.Expr:
        return read_of_chain(base, chain, 3, lambda inner: _of_api(inner, names))

    first, message, field = (*chain.keys[:3], *(None,) * 3)[:3]
    if chain.root.name != "context":
        refuse(f"the name {chain.root.name!r} means nothing here", chain.root, _API_HINT)
    if (first, message) != ("event", "message") or field is None:
        refuse("only the message of the event can be read of the context", chain.root, _API_HINT)
    if field == "payload":
        return read_of(_name("input"))
    known = _API_FIELDS.get(field)
    if known is None:
        hint = f"known: payload, {', '.join(sorted(_API_FIELDS))}"
        refuse(f"events carry no {field!r} here", chain.root, hint)
    return read_of(member(_event(names), known))


_API_HINT: Final = "such as `context.event.message.payload.id`"


def _event(names: Names) -> nodes.Expr:
    names.reads_event = True
    return member(_name("input"), EVENT)


def _name(name: str) -> nodes.Name:
    return nodes.Name(name, "load")
