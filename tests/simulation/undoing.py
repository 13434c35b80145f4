"""The part of the witness that knows about undoing: what is undone, in which order, and when that is through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.history import (
    CompensationEnded,
    CompensationStarted,
    StepCompensated,
    StepCompleted,
    StepFailed,
)
from tests.simulation.book import Line, kind_of
from tests.simulation.things import Thing, element_of, key_with

TOLERATED = ("continue", "fallback")


class Undoing:
    """Reads along from the beginning of a compensation to its end.

    Attributes:
        steps: the instances that are undone, in their order.
        names: the steps of `compensation.steps`, in their order.
    """

    def __init__(self, definition: WorkflowDefinition) -> None:
        compensation = definition.compensation
        self.together = compensation.strategy == "parallel"
        self.forward = compensation.strategy == "forward"
        self.names = [step.name for step in compensation.steps]
        if compensation.strategy == "reverse":
            self.names.reverse()
        self.steps: list[str] = []
        self.listed = False
        self.under_way = False

    def begin(self, event: CompensationStarted, things: Iterable[Thing], book: Mapping[str, Line]) -> None:
        """Exactly what completed, and says how it is undone, is undone: the last first, or in the document's order."""
        self.under_way, self.listed, self.steps = True, event.listed, list(event.steps)
        if event.instead or not event.listed:
            return
        done = sorted((thing for thing in things if _is_undoable(thing, book)), key=lambda thing: -thing.order)
        if self.forward:
            places = list(book)
            done.reverse()
            done.sort(key=lambda thing: places.index(thing.name))
        wanted = [thing.key for thing in done]
        undone = [key for key in event.steps if book[key.split("[")[0].split("#")[0]].step.compensate is not None]
        assert undone == wanted, f"{undone} are to be undone, and {wanted} have completed"

    def see_first(self, thing: Thing, things: Mapping[str, Thing]) -> None:
        """What undoes an instance begins: not before the compensation, and in its order."""
        assert self.under_way, f"{thing.key} undoes outside of a compensation"
        if self.together and self.listed:
            before = [] if element_of(thing.key) == "undo" else self.steps
        elif element_of(thing.key) == "undo":
            before = self.steps[: self.steps.index(_undone(thing))]
        else:
            before = self.steps
            self._check_ended(thing, self.names[: self.names.index(thing.name)], things)
        self._check_ended(thing, [key_with(key, "undo") for key in before], things)

    def _check_ended(self, thing: Thing, before: Iterable[str], things: Mapping[str, Thing]) -> None:
        late = [key for key in before if key not in things or things[key].end is None]
        assert not late, f"{thing.key} undoes before {late}"

    def add_late(self, key: str, place: int) -> None:
        """A step completed after all, and is undone too."""
        if place >= 0:
            self.steps.insert(place, key)

    def see_compensated(self, event: StepCompensated, things: Mapping[str, Thing]) -> None:
        """What undid the step has ended well."""
        undo = things.get(key_with(event.step, "undo"))
        done = undo is not None and isinstance(undo.end, StepCompleted)
        assert done, f"{event.step} is compensated, and what undoes it has not completed"

    def finish(self, event: CompensationEnded, things: Mapping[str, Thing]) -> None:
        """All of it is through, unless it was broken off; and it says whether something failed."""
        self.under_way = False
        keys = [key_with(key, "undo") for key in self.steps] + (self.names if self.listed else [])
        ends = [things[key].end if key in things else None for key in keys]
        if not event.reason:
            left = [key for key, end in zip(keys, ends, strict=True) if end is None]
            assert not left or event.outcome == "nothing" or not keys, (
                f"the compensation ends, and {left} have not ended"
            )
        failed = [end.step for end in ends if isinstance(end, StepFailed) and end.handled not in TOLERATED]
        assert not failed or event.outcome == "failed", f"{failed} failed, and the compensation is {event.outcome}"


def _undone(thing: Thing) -> str:
    """The instance that this one undoes."""
    front, _, _ = thing.path.rpartition(",")
    name = f"{thing.name}[{front}]" if front else thing.name
    return name if thing.visit == 1 else f"{name}#{thing.visit}"


def _is_undoable(thing: Thing, book: Mapping[str, Line]) -> bool:
    if thing.name not in book or not thing.completed or thing.reused:
        return False
    if any(part.isalpha() for part in thing.path.split(",")):
        return False
    step = book[thing.name].step
    is_inside = thing.owner is not None and thing.owner.name == thing.name
    is_layer = kind_of(step) in ("for_each", "repeat") and (thing.block is not None or not is_inside)
    return step.compensate is not None and not is_layer
