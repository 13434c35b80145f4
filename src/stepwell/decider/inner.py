"""What the settings of a control construct say about its blocks, compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from stepwell.definition.model import Iteration, Repetition, Step
from stepwell.expression.template import Condition, Template, compile_condition, compile_template

DEFAULT_ROUNDS: Final = 100
"""How often a loop with a condition runs at most when it does not say."""


class Branches:
    """Of a `conditional`: its blocks in order, each with what chooses it; None for that of last resort."""

    __slots__ = ("branches",)

    def __init__(self, step: Step) -> None:
        config = step.config
        if "cases" in config:
            conditions = [compile_condition(case["when"]) for case in config["cases"]]
            self.branches: list[tuple[str, Condition | None]] = [
                (f"cases.{position}", condition) for position, condition in enumerate(conditions)
            ]
            self.branches.append(("default", None))
        else:
            self.branches = [("then", compile_condition(config["condition"])), ("else", None)]


class Rounds:
    """Of what runs again and again: `loop`, `for_each`, `repeat`.

    Attributes:
        items: what it runs for; count: how often; one of both, or neither when a condition decides.
        before, after: the condition that is looked at before or after each round.
        until: rounds go on until the condition holds, rather than while it does.
        item, index: the names of an item and its number in expressions.
        batch: items that make up one round, or None.
        only: the condition of an item.
        delay: between two rounds: microseconds, or a template that gives a duration.
        goes_on: an item that fails does not fail the whole.
    """

    __slots__ = (
        "after", "batch", "before", "concurrency", "count", "delay", "goes_on", "index", "item", "items", "kind",
        "limit", "only", "until",
    )  # fmt: skip

    def __init__(self, kind: Literal["loop", "for_each", "repeat"]) -> None:
        self.kind = kind
        self.items: Template | None = None
        self.count: Template | None = None
        self.before: Condition | None = None
        self.after: Condition | None = None
        self.until = False
        self.item, self.index = "item", "index"
        self.batch: int | None = None
        self.only: Condition | None = None
        self.delay: Template | int = 0
        self.concurrency: Template = compile_template(1)
        self.limit: Template = compile_template(DEFAULT_ROUNDS)
        self.goes_on = False

    def names(self, items: Sequence[Any] | None, index: int) -> dict[str, Any]:
        """What the expressions of a round see beside the usual names."""
        if self.kind == "repeat":
            return {}
        names: dict[str, Any] = {self.index: index}
        if items is not None:
            names[self.item] = items[index]
        return names


def rounds_of_items(said: Iteration) -> Rounds:
    """What `for_each` says."""
    rounds = Rounds("for_each")
    rounds.items = compile_template(said.items)
    rounds.item, rounds.index = said.as_name, said.index_name
    rounds.batch = said.batch_size
    rounds.only = compile_condition(said.when) if said.when is not None else None
    rounds.concurrency = compile_template(said.concurrency)
    rounds.goes_on = said.on_error == "continue"
    return rounds


def rounds_of_repetition(said: Repetition) -> Rounds:
    """What `repeat` says."""
    rounds = Rounds("repeat")
    rounds.after = compile_condition(said.condition, outcome=True)
    rounds.until = said.until
    rounds.limit = compile_template(said.max_iterations)
    rounds.delay = said.delay
    return rounds


def rounds_of_loop(config: Mapping[str, Any]) -> Rounds:
    """What the settings of a `loop` say: over items, so often, as long as (looked at before each round), or until
    (looked at after each)."""
    rounds = Rounds("loop")
    rounds.item = config.get("as") or rounds.item
    if config.get("items") is not None:
        rounds.items = compile_template(config["items"])
    elif config.get("count") is not None:
        rounds.count = compile_template(config["count"])
    elif config.get("while") is not None:
        rounds.before = compile_condition(config["while"])
    else:
        rounds.after, rounds.until = compile_condition(config["until"]), True
    for name, key in (("delay", "delay"), ("concurrency", "concurrency"), ("limit", "max_iterations")):
        if config.get(key) is not None:
            setattr(rounds, name, compile_template(config[key]))
    return rounds


class Transition(NamedTuple):
    """A way out of a state; `block` names its actions, whether it has any or not."""

    block: str
    event_type: str
    when: Condition | None
    to: str


class Machine:
    """Of a `state_machine`: its states and what leads from one to another.

    Attributes:
        event_types: those that any of its transitions waits for.
        strict: an event without a transition in the present state fails the machine.
    """

    __slots__ = ("event_types", "final", "initial", "strict", "transitions")

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.initial: str = config["initial"]
        self.strict = bool(config.get("strict"))
        states: Mapping[str, Any] = config["states"]
        self.final = frozenset(name for name, state in states.items() if (state or {}).get("final"))
        self.transitions: dict[str, list[Transition]] = {
            name: [
                Transition(
                    f"states.{name}.transitions.{position}",
                    said["event"],
                    compile_condition(said["when"]) if said.get("when") is not None else None,
                    said["to"],
                )
                for position, said in enumerate((state or {}).get("transitions") or ())
            ]
            for name, state in states.items()
        }
        every = (transition.event_type for transitions in self.transitions.values() for transition in transitions)
        self.event_types = tuple(dict.fromkeys(every))


class Generated:
    """Of a `dynamic` step: where its steps come from. One of both.

    Attributes:
        steps: a template that gives them.
        task: the step that makes them.
    """

    __slots__ = ("steps", "task")

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.steps = compile_template(config["steps"]) if config.get("steps") is not None else None
        self.task = {"task": config["task"], "args": config.get("args") or {}} if config.get("task") else None


Inner = Branches | Rounds | Machine | Generated | None


def inner_of(step: Step) -> Inner:
    """What the settings of the step say about its blocks."""
    match step.type:
        case "conditional":
            return Branches(step)
        case "loop":
            return rounds_of_loop(step.config)
        case "state_machine":
            return Machine(step.config)
        case "dynamic":
            return Generated(step.config)
        case _:
            return None
