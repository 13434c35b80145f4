"""The edges of a step as the ways of a task."""

from __future__ import annotations

from typing import Any, Final

from stepwell.definition.model import Edge, Step
from stepwell.dialects.dialect import Writing
from stepwell.dialects.graphs.conditions import ANY, both, functions_in, without_any
from stepwell.dialects.task_graph.expressions import Purpose
from stepwell.dialects.task_graph.saying import Saying

_LEGACY: Final = {
    "success": "on_success",
    "failure": "on_failure",
    "timeout": "on_timeout",
    "complete": "on_complete",
}
_OUTCOMES: Final = {"success": "succeeded()", "failure": "failed()", "timeout": "timed_out()"}


class Ways:
    """Writes the edges of one step.

    Args:
        fails: the step that fails the workflow on its behalf, when there is one.
        again: conditions under which it runs again, as `do: retry` says them.
    """

    def __init__(self, step: Step, fails: str | None, again: list[str], saying: Saying, writing: Writing) -> None:
        self._step = step
        self._fails = fails
        self._again = again
        self._saying = saying
        self._writing = writing
        self._edges = [edge for edge in step.edges if edge.decision is None]
        self._decision = [edge for edge in step.edges if edge.decision is not None]
        asked = [*again, *(edge.when for edge in self._edges)]
        self._apart = any(edge.on == "timeout" for edge in self._edges) or any(
            "timed_out" in functions_in(condition) for condition in asked
        )

    def keys(self) -> dict[str, Any]:
        """The keys of the task that say its edges."""
        if not self._again and all(_is_plain(edge) for edge in self._edges):
            return {**self._legacy(), **self._decided()}
        if self._decision:
            self._writing.lost(self._decision[0].path, f"the decision of {self._step.name!r}, beside edges of its own")
        ways = [self._next(edge) for edge in self._edges]
        return {"next": [*ways, *(self._run_again(condition) for condition in self._again)]}

    def _run_again(self, condition: str) -> dict[str, Any]:
        asked = without_any(condition)
        return {"do": ["retry"]} if asked is None else {"when": self._said(asked, "again"), "do": ["retry"]}

    def _legacy(self) -> dict[str, Any]:
        found: dict[str, list[str]] = {}
        for edge in self._edges:
            found.setdefault(_LEGACY[edge.on], []).extend(self._targets(edge))
        return {key: names[0] if len(names) == 1 else names for key, names in found.items()}

    def _decided(self) -> dict[str, Any]:
        return {"decision": [self._branch(edge) for edge in self._decision]} if self._decision else {}

    def _branch(self, edge: Edge) -> dict[str, Any]:
        names = self._targets(edge)
        if len(names) != 1:
            self._writing.lost(edge.path, f"a branch of the decision of {self._step.name!r} to several tasks")
        if edge.when is None:
            return {"default": True, "next": names[0]}
        return {"when": self._said(edge.when), "next": names[0]}

    def _next(self, edge: Edge) -> dict[str, Any]:
        if edge.delay:
            self._writing.lost(edge.path, f"the delay of an edge of {self._step.name!r}")
        if edge.to and edge.ends:
            self._writing.lost(edge.path, f"that the output sees what an edge of {self._step.name!r} publishes")
        if edge.to and not edge.handles:
            self._writing.lost(edge.path, f"that an edge of {self._step.name!r} leaves the failure as it is")
        way: dict[str, Any] = {}
        if edge.when is None and edge.on in _OUTCOMES and not self._includes_timeouts(edge):
            way["when"] = f"{{{{ {_OUTCOMES[edge.on]} }}}}"
        elif (condition := self._condition(edge)) is not None:
            way["when"] = self._said(condition)
        if edge.publish:
            way["publish"] = [
                {name: self._saying.template(value, edge.path, self._step, "edge", timeouts_apart=self._apart)}
                for name, value in edge.publish
            ]
        names = self._targets(edge)
        if names or edge.handles or not edge.publish:
            way["do"] = names or (["noop"] if edge.handles else ["continue"])
        return way

    def _condition(self, edge: Edge) -> str | None:
        """The condition of a way, which of itself is for any outcome."""
        if edge.on == "complete":
            condition = without_any(edge.when) if isinstance(edge.when, str) else None
            if condition is None and edge.when is not None and edge.to and not edge.publish:
                return ANY  # left out it would be an edge without a condition
            return condition
        is_apart = edge.on == "failure" and self._apart and not self._includes_timeouts(edge)
        return both("failed() and not timed_out()" if is_apart else _OUTCOMES[edge.on], edge.when)

    def _includes_timeouts(self, edge: Edge) -> bool:
        """Whether an edge for failures is one for timeouts too, although there are ways that are about timeouts."""
        return edge.on == "failure" and self._apart and not any(other.on == "timeout" for other in self._edges)

    def _said(self, condition: str, purpose: Purpose = "edge") -> Any:
        return self._saying.condition(condition, self._step.path, self._step, purpose, timeouts_apart=self._apart)

    def _targets(self, edge: Edge) -> list[str]:
        return ["fail" if name == self._fails else name for name in edge.to]


def _is_plain(edge: Edge) -> bool:
    return edge.when is None and not edge.publish and not edge.delay and bool(edge.to) and edge.handles
