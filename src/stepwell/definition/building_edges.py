"""From what a step says about its place in the graph to dependencies and edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stepwell.definition import document as doc
from stepwell.definition.context import Context
from stepwell.definition.model import Dependency, Edge, EdgeOn, Path
from stepwell.definition.places import EDGE_PUBLISH, EDGE_WHEN
from stepwell.definition.shapes import as_names, is_certain
from stepwell.definition.words import check_variable

_OUTCOME_FUNCTIONS = frozenset({"succeeded", "failed", "timed_out", "skipped"})

_SUGAR: tuple[tuple[str, EdgeOn], ...] = (
    ("on_success", "success"),
    ("on_failure", "failure"),
    ("on_timeout", "timeout"),
    ("on_complete", "complete"),
)

EDGE_KEYS = frozenset({"next", "decision", *(key for key, _ in _SUGAR)})
"""The keys of a step that make edges."""


def build_dependencies(written: Any, path: Path) -> tuple[Dependency, ...]:
    """`depends_on`: a name, a mapping, or a list of them."""
    if written is None:
        return ()
    if not isinstance(written, list):
        return (_dependency(written, path),)
    return tuple(_dependency(entry, (*path, position)) for position, entry in enumerate(written))


def _dependency(entry: str | doc.DependencyDoc, path: Path) -> Dependency:
    if isinstance(entry, str):
        return Dependency(step=entry, path=path)
    return Dependency(step=entry.step, on=entry.on or "satisfied", path=(*path, "step"))


def build_edges(step: doc.StepDoc, path: Path, name: str, context: Context, names: frozenset[str]) -> tuple[Edge, ...]:
    """Every pushed edge of a step: `next`, its sugar `on_...`, and `decision`.

    An entry of `next` is taken on success, unless its `when` asks how the step ended: then the condition alone decides.
    """
    edges = list(_next(step.next, (*path, "next"), name, context, names))
    for key, on in _SUGAR:
        written = getattr(step, key)
        if isinstance(written, (str, list)):
            edges += [Edge(to=(to,), on=on, path=place) for to, place in _places(written, (*path, key))]
    edges += _decision(step.decision, (*path, "decision"), name, context, names)
    return tuple(edges)


def _places(written: str | list[str], path: Path) -> Iterator[tuple[str, Path]]:
    if isinstance(written, str):
        yield written, path
    else:
        yield from ((to, (*path, position)) for position, to in enumerate(written))


def _next(written: Any, path: Path, name: str, context: Context, names: frozenset[str]) -> Iterator[Edge]:
    if written is None:
        return
    entries = enumerate(written) if isinstance(written, list) else [(None, written)]
    for position, entry in entries:
        place = path if position is None else (*path, position)
        if isinstance(entry, str):
            yield Edge(to=(entry,), path=place)
        else:
            yield _next_entry(entry, place, name, context, names)


def _next_entry(entry: doc.NextDoc, path: Path, name: str, context: Context, names: frozenset[str]) -> Edge:
    condition = context.condition(entry.when, (*path, "when"), EDGE_WHEN, name, names)
    asks = condition is not None and not _OUTCOME_FUNCTIONS.isdisjoint(condition.functions)
    publish = entry.publish or {}
    for variable, value in publish.items():
        check_variable(variable, (*path, "publish", variable), context)
        context.template(value, (*path, "publish", variable), EDGE_PUBLISH, name, names)
    return Edge(
        to=as_names(entry.to),
        on="complete" if asks else "success",
        when=entry.when,
        publish=tuple(publish.items()),
        delay=entry.delay or 0,
        handles=entry.handles is not False,
        ends=entry.ends is True,
        path=path,
    )


def _decision(
    written: list[doc.DecisionDoc] | None, path: Path, name: str, context: Context, names: frozenset[str]
) -> list[Edge]:
    """The branches in order, the default last; more than one default is a finding."""
    if written is None:
        return []
    branches: list[Edge] = []
    defaults: list[Edge] = []
    for position, entry in enumerate(written):
        place = (*path, position)
        to = as_names(entry.default) if isinstance(entry.default, (str, list)) else as_names(entry.next)
        is_default = entry.default is not None and entry.default is not False
        _check_branch(entry, is_default=is_default, to=to, path=place, context=context)
        context.condition(entry.when, (*place, "when"), EDGE_WHEN, name, names)
        edge = Edge(to=to, when=None if is_default else entry.when, decision=0, path=place)
        (defaults if is_default else branches).append(edge)
    for extra in defaults[1:]:
        first = context.findings.place(defaults[0].path)
        context.findings.add("several-defaults", f"a decision has one default; the first is in {first}", extra.path)
    _check_order(branches, defaults, path, context)
    return branches + defaults[:1]


def _check_order(branches: list[Edge], defaults: list[Edge], path: Path, context: Context) -> None:
    """A branch that is never taken, one that seems not to be, and a decision that may take none."""
    findings = context.findings
    if not branches and not defaults:
        findings.add("missing-key", "a decision needs a branch: `{when, next}`", path)
        return
    certain = next((number for number, edge in enumerate(branches) if is_certain(edge.when)), None)
    if certain is not None:
        for edge in branches[certain + 1 :] + defaults[:1]:
            message = f"this branch is never taken: the one in {findings.place(branches[certain].path)} always is"
            findings.add("unreachable-branch", message, edge.path, hint="write it before, or take it out")
    elif not defaults:
        message = "no branch is certainly taken: when no condition holds, nothing follows"
        findings.add("decision-without-default", message, path, hint="add a branch `{default: STEP}`", key=True)
    for edge in branches:
        if defaults and edge.path > defaults[0].path:
            message = "this branch stands behind the default, which is taken only when no branch is"
            findings.add("default-not-last", message, edge.path, hint="write the default last")


def _check_branch(
    entry: doc.DecisionDoc, *, is_default: bool, to: tuple[str, ...], path: Path, context: Context
) -> None:
    findings = context.findings
    if is_default and entry.when is not None:
        findings.add("conflicting-keys", "the default branch of a decision has no `when`", (*path, "when"), key=True)
    if isinstance(entry.default, (str, list)) and entry.next is not None:
        findings.add("conflicting-keys", "`default` and `next` both name the step", (*path, "next"), key=True)
    if not is_default and entry.when is None:
        findings.add("missing-key", "a branch needs `when`, or `default: true`", path)
    if not to:
        findings.add("missing-key", "a branch needs `next`: the step to go on with", path)
