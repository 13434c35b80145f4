"""Finding instances by what operators call them, and what is inside and behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stepwell.base.errors import Conflict, NotFound
from stepwell.base.suggest import hint_for
from stepwell.decider.graph import Graph, Node
from stepwell.decider.keys import split_key, undo_key
from stepwell.decider.region import Instance, Region
from stepwell.decider.restore import Found, by_path, found_in, inner_regions
from stepwell.decider.run import Run
from stepwell.execution.state import StepState

SHOWN = 10
"""So many names are listed in a message."""


class Tree:
    """What has happened in an execution, from the outside in: regions, and instances in them, as they stand last.

    Regions are made for looking: they are not those that the run has open.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.root = Region(run.plan.root)
        self._found: Mapping[str, list[Found]] = by_path(run)

    def of(self, region: Region) -> Iterator[tuple[Instance, StepState]]:
        """The instances in a region, in the order in which something first happened to them."""
        for name, visit, _, step in found_in(region, self._found):
            yield Instance(region.graph.nodes[name], region, visit), step

    def inside(self, one: Instance, step: StepState) -> list[Region]:
        """The regions that a construct has, or had when it ended."""
        return list(inner_regions(self.run, one, step)) if step.block is not None else []

    def everything(self, region: Region | None = None) -> Iterator[tuple[Instance, StepState]]:
        """All instances of a region (of all, when None), outer before inner."""
        for one, step in self.of(region or self.root):
            yield one, step
            for inner in self.inside(one, step):
                yield from self.everything(inner)

    def find(self, text: str) -> Instance:
        """The instance that is meant: by its key, or by the name of its step, of which it is then the latest visit.

        Raises:
            NotFound: (code `unknown-step`) there is no such step. Conflict: (code `ambiguous-step`) it has several
                instances; (code `never-executed`) it has none.
        """
        everything = [one for one, _ in self.everything()]
        exact = next((one for one in everything if one.key == text), None)
        if exact is not None and (exact.visit > 1 or not _has_visits(exact)):
            return exact
        named = [one for one in everything if one.node.name == text and not _is_layer_of(one)]
        if not named:
            raise self._nothing(text)
        regions = {one.region.path for one in named}
        if len(regions) > 1:
            keys = ", ".join(one.key for one in named[:SHOWN]) + (", ..." if len(named) > SHOWN else "")
            raise Conflict(
                f"step {text!r} has run {len(named)} times: say which run is meant", code="ambiguous-step", hint=keys
            )
        return max(named, key=lambda one: one.visit)

    def _nothing(self, text: str) -> NotFound | Conflict:
        name = split_key(text)[0] if text else text
        if self.run.plan.node(name) is None:
            return unknown_step(self.run, text)
        return Conflict(f"step {text!r} has not run", code="never-executed")


def unknown_step(run: Run, text: str) -> NotFound:
    """There is no step of that name."""
    workflow = f"{run.state.workflow} {run.state.version}"
    return NotFound(
        f"{workflow} has no step {text!r}", code="unknown-step", hint=hint_for(text, sorted(run.plan.by_name))
    )


def _has_visits(one: Instance) -> bool:
    return one.region.graph.is_cyclic


def _is_layer_of(one: Instance) -> bool:
    """Whether it is a run of a step inside what repeats that step: the whole is meant by the name."""
    owner = one.region.owner
    return owner is not None and owner.node.name == one.node.name


def inside_keys(tree: Tree, one: Instance) -> list[str]:
    """The keys of all that belongs to an instance and is recorded: what is or was inside it, in earlier tries too, and
    what undoes that."""
    run = tree.run
    names = {one.node.name, *(name for graph in one.node.blocks.values() for name in names_in(graph))}
    front = _parts(one.region.path)
    mark = [f"#{one.visit}"] if one.visit > 1 else []
    step = run.state.steps.get(one.key)
    keys = {inner.key for region in (tree.inside(one, step) if step else ()) for inner, _ in tree.everything(region)}
    for key in run.state.steps:
        name, path, _ = split_key(key)
        parts = _parts(path)
        if name not in names or key == one.key or parts[: len(front)] != front:
            continue
        rest = parts[len(front) :]
        is_deeper = bool(rest) or name != one.node.name
        if is_deeper and (
            rest[:1] == mark if mark else not (one.region.graph.is_cyclic and rest[:1] and rest[0][0] == "#")
        ):
            keys.add(key)
    keys |= {undo_key(key) for key in (*keys, one.key)}
    return [key for key in run.state.steps if key in keys]


def _parts(path: str) -> list[str]:
    return path.split(",") if path else []


def names_in(graph: Graph) -> Iterator[str]:
    """The names of the steps of a graph, and of all that is inside them."""
    for name, node in graph.nodes.items():
        yield name
        for inner in node.blocks.values():
            yield from names_in(inner)


def behind(node: Node) -> list[Node]:
    """The steps of the same graph that can be reached from this one by edges, in the order of the document."""
    found: dict[str, Node] = {}
    pending = [node]
    while pending:
        for link in pending.pop().links:
            if link.target.name not in found:
                found[link.target.name] = link.target
                pending.append(link.target)
    return sorted(found.values(), key=lambda each: each.position)


def live_regions(run: Run) -> Iterator[Region]:
    """The regions that are open, outer before inner."""
    pending = [run.root]
    while pending:
        region = pending.pop()
        yield region
        for one in region.open.values():
            pending.extend((one.regions or {}).values())
