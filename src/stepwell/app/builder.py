"""Workflows written in Python: a builder that makes native documents.

    orders = Workflow("orders", version="1.0.0", input={"required": ["order"]})
    charge = orders.step("charge", task="charge", args={"order": orders.input.order})
    orders.step("ship", task="ship", args={"receipt": charge.output.receipt}, after=charge)
    orders.returns(receipt=charge.output.receipt)
    execution_id = await engine.start_workflow(orders, {"order": 7})

What it makes is the document that somebody would have written by hand, and it goes through the same checks. A name that
is wrong is refused at once: a key of a step, a step that is not there, a name that two steps have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias, TypedDict, Unpack

from stepwell.base.durations import format_duration
from stepwell.base.errors import UsageError
from stepwell.base.spans import Source
from stepwell.base.suggest import hint_for
from stepwell.definition.diagnostics import InvalidDefinition
from stepwell.definition.document import ConfigDoc
from stepwell.definition.reading import bad_name, known_keys
from stepwell.definition.shapes import NAME
from stepwell.definition.words import RESERVED
from stepwell.dialects.loading import load
from stepwell.dialects.writing import as_text
from stepwell.tasks.registry import task_name

Duration: TypeAlias = str | float | timedelta
"""`"30s"`, a number of seconds, or a `timedelta`."""

Outcome: TypeAlias = Literal["success", "failure", "timeout", "complete", "skipped"]


class Expression:
    """A value that is known when the workflow runs: `workflow.input.order`, `charge.output["receipt"]`.

    In a text it can stand beside other words: `f"Order {workflow.input.order}"`. A comparison is a condition:
    `when=workflow.input.amount > 100`. What cannot be said so is written as a text: `when="input.a and not input.b"`.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __getattr__(self, name: str) -> Expression:
        if name.startswith("__"):
            raise AttributeError(name)
        return Expression(f"{self._text}.{name}")

    def __getitem__(self, key: str | int) -> Expression:
        return Expression(f"{self._text}[{key!r}]")

    def __str__(self) -> str:
        return f"{{{{ {self._text} }}}}"

    def __repr__(self) -> str:
        return f"Expression({self._text!r})"

    def __iter__(self) -> Any:
        raise TypeError(f"{self} is known when the workflow runs, and not before; use `for_each` to go through it")

    def __bool__(self) -> bool:
        raise TypeError(f"{self} is known when the workflow runs, and not before; use `when` to decide by it")

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return self._compared("==", other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return self._compared("!=", other)

    def __lt__(self, other: object) -> Expression:
        return self._compared("<", other)

    def __le__(self, other: object) -> Expression:
        return self._compared("<=", other)

    def __gt__(self, other: object) -> Expression:
        return self._compared(">", other)

    def __ge__(self, other: object) -> Expression:
        return self._compared(">=", other)

    def _compared(self, operator: str, other: object) -> Expression:
        return Expression(f"({self._text} {operator} {_in_expressions(other)})")


def _in_expressions(value: object) -> str:
    """How expressions write a value."""
    if isinstance(value, Expression):
        return str(value).removeprefix("{{ ").removesuffix(" }}")
    if isinstance(value, str):
        return repr(value)
    if value is None or isinstance(value, (bool, int, float)):
        return str(value).lower()
    raise UsageError(f"an expression cannot be compared with {value!r}", code="wrong-value")


class Step:
    """A step, or the body of one: what `step` and `Workflow.step` make.

    Attributes:
        name: None when it is the body of a compensation.
        document: the step as a native document has it, without its name.
    """

    __slots__ = ("document", "name")

    def __init__(self, name: str | None, document: dict[str, Any]) -> None:
        self.name = name
        self.document = document

    @property
    def output(self) -> Expression:
        """What the step will have given."""
        return Expression(f"{self._path()}.output")

    @property
    def status(self) -> Expression:
        """How the step stands."""
        return Expression(f"{self._path()}.status")

    @property
    def error(self) -> Expression:
        """What the step will have failed with."""
        return Expression(f"{self._path()}.error")

    def on(self, outcome: Outcome) -> After:
        """This step with an outcome, for `after`: `after=charge.on("failure")`."""
        return After(self, outcome)

    def _path(self) -> str:
        if self.name is None:
            raise UsageError("this step has no name, so no other can refer to it", code="missing-name")
        return f"steps['{self.name}']" if "-" in self.name else f"steps.{self.name}"


class After:
    """A step that another waits for, and the outcome that it waits for."""

    __slots__ = ("outcome", "step")

    def __init__(self, step: Step, outcome: Outcome) -> None:
        self.step = step
        self.outcome = outcome


Waits: TypeAlias = Step | After | str


class StepKeys(TypedDict, total=False):
    """What is said of a step. What is not described here is as in a document."""

    type: str
    """What does it, with `config` as its settings. For a registered function there are `task` and `args` instead."""
    config: Mapping[str, Any]
    task: str | Callable[..., Any]
    """The name of a registered function, or the function, which has to be registered all the same."""
    args: Mapping[str, Any]
    after: Waits | Sequence[Waits]
    """The steps that it depends on."""
    when: str | Expression
    for_each: Mapping[str, Any] | Sequence[Any] | Expression
    """Run it once for every item: a list, an expression that yields one, or a mapping as in a document."""
    retry: Mapping[str, Any] | int
    """How it is tried again, or how often it is tried in all."""
    timeout: Duration
    delay: Duration
    compensate: Step
    """What undoes it: a step without a name."""
    description: str
    output: Mapping[str, Any]
    publish: Mapping[str, Any]
    repeat: Mapping[str, Any]
    join: str | int
    next: Sequence[Mapping[str, Any]]
    decision: Sequence[Mapping[str, Any]]
    on_success: str | Sequence[str]
    on_failure: str | Sequence[str] | Mapping[str, Any]
    on_timeout: str | Sequence[str] | Mapping[str, Any]
    on_complete: str | Sequence[str]
    circuit_breaker: str | Mapping[str, Any]
    bulkhead: str | Mapping[str, Any]
    rate_limit: str | Mapping[str, Any]
    cache: Mapping[str, Any]
    checkpoint: str
    mutex: str | Mapping[str, Any]
    cancels: str | Sequence[str]
    milestone: Mapping[str, Any]
    max_visits: int
    queue: str | Mapping[str, Any]
    resources: Mapping[str, Any]


def step(name: str | None = None, **keys: Unpack[StepKeys]) -> Step:
    """A step that belongs to no workflow yet: one of a block (`config={"steps": [step("a", ...)]}`), or a body that
    undoes another step (`compensate=step(task="refund")`), which has no name.

    What it does is said by `type` and `config`, or by `task` (the name of a registered function, or the function) and
    `args`. `after` names the steps that it depends on: steps, names, or outcomes such as `charge.on("failure")`.
    `when` is a condition. `for_each` is a list, an expression that yields one, or a mapping as in a document; `retry` a
    policy, or how often it is tried in all; `compensate` a step without a name. All other keys that a step of a
    document has can be given as well, and mean the same.

    Raises:
        UsageError: a key is not known (code `unknown-key`), a name is none (`bad-name`, `reserved-name`), both `type`
            and `task` are given (`conflicting-keys`), ...
    """
    given: dict[str, Any] = dict(keys)
    _check_keys(given, list(StepKeys.__annotations__), "a step")
    work = _work(*(given.pop(key, None) for key in ("type", "config", "task", "args")))
    for key, written in _WRITTEN.items():
        if given.get(key) is not None:
            given[key] = written(given[key])
    document = {_NATIVE_KEYS.get(key, key): value for key, value in given.items() if not _is_nothing(value)}
    return Step(None if name is None else _checked_name(name), {**work, **document})


class Workflow:
    """A workflow that is put together in Python.

    Args:
        name, version: what it is stored under.
        input: the JSON Schema of its input.
        vars: its variables and their first values.
        output: its output, by name; `output_schema`: the JSON Schema of it.
        retry, timeout, max_parallel_steps: of the workflow as a whole, see `spec.config` of a document; `config` holds
            everything else that stands there.
        triggers, compensation: as in a document.

    Raises:
        UsageError: a key of `config` is not known (code `unknown-key`).
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "1.0.0",
        description: str = "",
        tags: Sequence[str] = (),
        input: Mapping[str, Any] | None = None,  # noqa: A002
        vars: Mapping[str, Any] | None = None,  # noqa: A002
        output: Mapping[str, Any] | None = None,
        output_schema: Mapping[str, Any] | None = None,
        retry: Mapping[str, Any] | int | None = None,
        timeout: Duration | None = None,
        max_parallel_steps: int | None = None,
        config: Mapping[str, Any] | None = None,
        triggers: Sequence[Mapping[str, Any]] = (),
        compensation: Mapping[str, Any] | None = None,
    ) -> None:
        _check_keys(config or {}, known_keys(ConfigDoc), "`config`")
        self.name = name
        self._metadata = {"name": name, "version": version, **_given(description=description, tags=list(tags))}
        self._config = {
            **(config or {}),
            **_given(
                retry_policy=_retry(retry),
                timeout=timeout,
                max_parallel_steps=max_parallel_steps,
            ),
        }
        self._around = _given(input=_given(schema=input), vars=vars, triggers=list(triggers), compensation=compensation)
        self._output = {"values": output, "schema": output_schema}
        self._steps: dict[str, Step] = {}

    @property
    def input(self) -> Expression:
        """The workflow's input, in expressions: `workflow.input.order`."""
        return Expression("input")

    @property
    def vars(self) -> Expression:
        """The workflow's variables, in expressions."""
        return Expression("vars")

    @property
    def item(self) -> Expression:
        """The item of a step that runs once for each."""
        return Expression("item")

    @property
    def steps(self) -> Sequence[Step]:
        """The steps so far."""
        return tuple(self._steps.values())

    def step(self, name: str, **keys: Unpack[StepKeys]) -> Step:
        """Add a step; returns it, for others to depend on and to take its output from.

        Raises:
            UsageError: what the function `step` raises; another step has the name (code `duplicate-name`), or a step in
                `after` is not there (code `unknown-step`).
        """
        return self.add(step(name, **keys))

    def add(self, made: Step) -> Step:
        """Add a step that `step` made; returns it. Raises what `Workflow.step` raises."""
        if made.name is None:
            raise UsageError("a step of a workflow needs a name", code="missing-name")
        if made.name in self._steps:
            message = f"the workflow {self.name!r} has a step {made.name!r} already"
            raise UsageError(message, code="duplicate-name", hint="give one of them another name")
        for dependency in made.document.get("depends_on", ()):
            name = dependency["step"] if isinstance(dependency, dict) else dependency
            if name not in self._steps:
                message = f"step {made.name!r} is to come after {name!r}, which is no step of this workflow"
                raise UsageError(message, code="unknown-step", hint=hint_for(name, self._steps))
        self._steps[made.name] = made
        return made

    def returns(self, **values: Any) -> None:
        """Say what the workflow gives back, by name: `orders.returns(receipt=charge.output.receipt)`."""
        self._output["values"] = {**(self._output["values"] or {}), **values}

    def to_dict(self) -> dict[str, Any]:
        """The native document, made of plain values."""
        spec = {
            **_given(config=self._config),
            **self._around,
            "steps": list(self._steps.values()),
            **_given(output=_given(**self._output)),
        }
        document: dict[str, Any] = _plain(
            {"apiVersion": "workflow/v1", "kind": "Workflow", "metadata": self._metadata, "spec": spec}
        )
        return document

    def to_yaml(self) -> str:
        """The native document as YAML."""
        return as_text(self.to_dict(), "yaml")

    def check(self) -> None:
        """Check the whole workflow, as far as that is possible without an engine.

        Raises:
            InvalidDefinition: with every finding, and its place in the YAML.
        """
        source = Source(f"<{self.name}>", self.to_yaml())
        loaded = load(source)
        if loaded.definition is None:
            raise InvalidDefinition(loaded.diagnostics, source)


def _work(type_: Any, config: Any, task: Any, args: Any) -> dict[str, Any]:
    """The keys that say what the step does."""
    if task is None:
        if args is not None:
            raise UsageError("`args` are the arguments of a task, and there is no `task`", code="conflicting-keys")
        return _given(type=type_, config=config)
    if type_ is not None or config is not None:
        raise UsageError("a step has `task` and `args`, or `type` and `config`, not both", code="conflicting-keys")
    name = task if isinstance(task, str) else task_name(task)
    if name is None:
        raise UsageError(f"{task!r} has no name: mark it with `@task(NAME)`", code="missing-name")
    return {"type": "python", "config": {"task": name, **_given(args=args)}}


def _undoing(body: Step) -> dict[str, Any]:
    if body.name is not None:
        message = f"what undoes a step has no name of its own: leave {body.name!r} out"
        raise UsageError(message, code="conflicting-keys")
    return body.document


def _dependencies(after: Waits | Sequence[Waits]) -> list[Any]:
    return [_dependency(each) for each in ([after] if isinstance(after, (Step, After, str)) else after)]


def _dependency(each: Waits) -> Any:
    if isinstance(each, str):
        return each
    found = each if isinstance(each, Step) else each.step
    if found.name is None:
        raise UsageError("a step without a name cannot be waited for", code="missing-name")
    return found.name if isinstance(each, Step) else {"step": found.name, "on": each.outcome}


def _iteration(items: Any) -> Any:
    return items if isinstance(items, Mapping) else {"items": items}


def _retry(policy: Any) -> Any:
    return {"max_attempts": policy} if isinstance(policy, int) else policy


_NATIVE_KEYS: Final = {"after": "depends_on"}
"""Keys that are called otherwise in a document."""

_WRITTEN: Final[Mapping[str, Callable[[Any], Any]]] = {
    "after": _dependencies,
    "for_each": _iteration,
    "retry": _retry,
    "compensate": _undoing,
}
"""How a document writes what is said here in another way."""


def _check_keys(keys: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    for key in keys:
        if key not in known:
            raise UsageError(f"{what} has no key {key!r}", code="unknown-key", hint=hint_for(key, known))


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UsageError(bad_name(str(name)), code="bad-name")
    if name in RESERVED:
        message = f"{name!r} means something else in expressions, so no step can be called that"
        raise UsageError(message, code="reserved-name", hint="choose another name")
    return name


def _given(**parts: Any) -> dict[str, Any]:
    """The parts that say something."""
    return {key: part for key, part in parts.items() if not _is_nothing(part)}


def _is_nothing(part: Any) -> bool:
    return part is None or (isinstance(part, (Mapping, list, tuple, str)) and not part)


def _plain(value: Any) -> Any:
    """A value of a document without anything of the builder's own."""
    match value:
        case Expression():
            return str(value)
        case Step():
            return _plain({**_given(name=value.name), **value.document})
        case timedelta():
            return format_duration(value // timedelta(microseconds=1))
        case Mapping():
            return {str(key): _plain(part) for key, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
        case None | bool() | int() | float() | str():
            return value
        case _:
            message = f"a workflow's document holds JSON values, and {value!r} is none"
            raise UsageError(message, code="wrong-value", hint="give it to the workflow as its input")
