"""Whether the settings of a step give the same when they are rendered again, so that they need not be recorded.

The input never changes, nor do the names of an item. A step's output never changes once it is there, and reading it
before is an error, unless `default` or the like hides that. Everything about a direct predecessor is settled when all
of them must have succeeded; one that failed or was skipped may be completed by hand. Variables and the rest may change
while the step runs; so may what is read of a step that can run more than once, or that stands in another block: then
the rendered settings are recorded.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from stepwell.expression.compiled import Reference

if TYPE_CHECKING:
    from stepwell.decider.graph import Graph, Node

_SETTLED_ROOTS: Final = frozenset({"input", "execution", "secrets"})


def is_stable(node: Node) -> bool:
    """Whether everything that the settings read is settled for good once they could be rendered."""
    waits_for_all = node.join in ("all", "sync")
    succeeded = (dependency.step for dependency in node.step.depends_on if dependency.on == "success")
    before = frozenset(succeeded) if waits_for_all else frozenset[str]()
    return all(_is_settled(reference, before, node.graph) for reference in node.config.references)


def _is_settled(reference: Reference, before: Collection[str], graph: Graph) -> bool:
    path = reference.path
    if path[0] in _SETTLED_ROOTS or path[0] in graph.items:
        return True
    if path[0] != "steps" or len(path) < 3 or not _runs_once(str(path[1]), graph):
        return False
    return path[1] in before or (path[2] in ("output", "result") and not reference.optional)


def _runs_once(name: str, graph: Graph | None) -> bool:
    """Whether the step stands in this graph or around it, and in each of them no step can run twice."""
    while graph is not None:
        if graph.is_cyclic:
            return False
        if name in graph.nodes:
            return True
        graph = graph.parent.graph if graph.parent is not None else None
    return False
