"""The tasks of a workflow of Orquesta as native steps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from stepwell.definition.findings import Findings
from stepwell.definition.graph import StepGraph
from stepwell.definition.model import Edge, Path, Step
from stepwell.definition.reading import describe, wrong_type
from stepwell.definition.reading import read as read_mapping
from stepwell.dialects.dialect import Reading
from stepwell.dialects.graphs.actions import UNKNOWN, action_step, plain
from stepwell.dialects.graphs.commands import COMMANDS, failing_step
from stepwell.dialects.graphs.conditions import either
from stepwell.dialects.graphs.inline import InlineError, Pair, pairs, split_action
from stepwell.dialects.graphs.publish import WHOLE, published
from stepwell.dialects.graphs.results import Shape, shape_of
from stepwell.dialects.native.parts import given
from stepwell.dialects.origin import Taken
from stepwell.dialects.orquesta.document import (
    COMMAND_TRIES,
    MAX_VISITS,
    UNLIMITED,
    ItemsDoc,
    TaskDoc,
    TransitionDoc,
)
from stepwell.dialects.orquesta.expressions import (
    DELIMITERS,
    PLAIN,
    Expressions,
    is_expression,
    of_items,
    of_shaped,
    of_tried,
    whenever_it_ended,
)

_NAMED_ITEMS: Final = re.compile(r"\s*(\w+(?:\s*,\s*\w+)*)\s+in\s+((?:<%|\{\{).*)", re.DOTALL)
_EXPRESSION: Final = re.compile(r"\{\{ (.*) \}\}", re.DOTALL)


class Transition(NamedTuple):
    """An entry of `next`: where it leads, and what it says beside."""

    when: str | None
    targets: tuple[str, ...]
    commands: frozenset[str]
    doc: TransitionDoc
    path: Path


class Task(NamedTuple):
    """A task as it is written, what it does as a part of a native step, the expressions of what follows it, and the
    shape that its action gives its output."""

    doc: TaskDoc
    next: list[Transition]
    path: Path
    action: dict[str, Any]
    after: Expressions
    shape: Shape | None


class Ways(NamedTuple):
    """Where edges lead: `doors` by task is the step that delays it, `fails` the step that fails the workflow."""

    doors: Mapping[str, str]
    fails: str | None


def delaying_step(task: str) -> str:
    """The name of the step that waits before a task whose delay is computed."""
    return f"{task}__delay"


def read_tasks(written: Mapping[str, Any], reading: Reading) -> list[Any]:
    """The native steps, in the order in which Orquesta begins those that are due at the same time: by their names.

    Those that fail the workflow stand last: what the same entry leads to begins before them.
    """
    findings = reading.findings
    tasks = {name: task for name, entry in written.items() if (task := _task(name, entry, reading)) is not None}
    _check_names(written, findings)
    circling = _circling(tasks)
    steps: list[Any] = []
    failing: dict[str, Any] = {}
    doors = {name: delaying_step(name) for name, task in tasks.items() if is_expression(task.doc.delay)}
    for name, task in sorted(tasks.items()):
        if any("fail" in each.commands for each in task.next):
            failing[name] = failing_step(name, [*tasks, *failing.values()])
        if name in doors:
            steps.append(Taken(_delaying(name, task, circling, findings), task.path))
        steps.append(Taken(_step(name, task, circling, Ways(doors, failing.get(name)), findings), task.path))
    for name, step in failing.items():
        config = {"message": f"task {name!r} fails the workflow"}
        steps.append(Taken({"name": step, "type": "fail", "config": config}, tasks[name].path))
    return steps


def _task(name: str, entry: Any, reading: Reading) -> Task | None:
    path, findings = ("tasks", name), reading.findings
    doc = read_mapping(TaskDoc, {} if entry is None else entry, path, findings)
    if doc is None:
        return None
    action = _action(doc, path, reading)
    shape = shape_of(plain(action["type"]), action.get("output"))
    after = of_items(name) if doc.with_ is not None else PLAIN if shape is None else of_shaped(name, shape)
    asking = after if doc.with_ is not None else of_tried(shape)
    entries = [(each, (*path, "next", number)) for number, each in enumerate(doc.next or [])]
    found = [_transition(each, after, asking, place, findings) for each, place in entries]
    return Task(doc, [each for each in found if each is not None], path, action, after, shape)


def _transition(
    entry: Any, after: Expressions, asking: Expressions, path: Path, findings: Findings
) -> Transition | None:
    doc = read_mapping(TransitionDoc, entry, path, findings)
    if doc is None:
        return None
    names = [each.strip() for each in doc.do.split(",")] if isinstance(doc.do, str) else list(doc.do or [])
    when = (asking if "retry" in names else after).condition(doc.when, (*path, "when"), findings)
    targets = tuple(each for each in names if each not in COMMANDS)
    return Transition(when, targets, frozenset(names) & COMMANDS, doc, path)


def _check_names(written: Mapping[str, Any], findings: Findings) -> None:
    for name in written:
        if name in COMMANDS:
            message = f"{name!r} is a command in `do`, so no task can be called that"
            findings.add("reserved-name", message, ("tasks", name), hint="choose another name", key=True)


def _circling(tasks: Mapping[str, Task]) -> frozenset[str]:
    """The tasks that run in circles."""
    edges = {name: tuple(target for each in task.next for target in each.targets) for name, task in tasks.items()}
    steps = [Step(name=name, edges=(Edge(to=to),)) for name, to in edges.items()]
    tangled = {steps[node].name for members in StepGraph(steps).tangles for node in members}
    return frozenset(tangled | {name for name, to in edges.items() if name in to})


def _step(name: str, task: Task, circling: frozenset[str], ways: Ways, findings: Findings) -> dict[str, Any]:
    doc, path = task.doc, task.path
    is_delayed = name in ways.doors
    return {
        "name": Taken(name, path),
        **task.action,
        **given(
            join=Taken(doc.join, (*path, "join")) if doc.join and not is_delayed else None,
            delay=None if is_delayed else _seconds(doc.delay, (*path, "delay"), findings),
            for_each=_items(doc.with_, (*path, "with"), findings),
            retry=_retry(task, findings),
            next=[_edge(each, task.after, ways, findings) for each in task.next if _is_followed(each)],
            max_visits=MAX_VISITS if name in circling else None,
        ),
    }


def _delaying(name: str, task: Task, circling: frozenset[str], findings: Findings) -> dict[str, Any]:
    """The step that waits as long as an expression says, and then goes on to the task."""
    path = (*task.path, "delay")
    return {
        "name": delaying_step(name),
        "type": "wait",
        "config": {"for": Taken(PLAIN.template(task.doc.delay, path, findings), path)},
        "next": [{"to": [name]}],
        **given(
            join=Taken(task.doc.join, (*task.path, "join")) if task.doc.join else None,
            max_visits=MAX_VISITS if name in circling else None,
        ),
    }


# What a task does


def _action(doc: TaskDoc, path: Path, reading: Reading) -> dict[str, Any]:
    findings = reading.findings
    if doc.action is None:
        if doc.with_ is not None:
            findings.add("missing-key", "a task that runs for items needs an `action`", path)
        if doc.input is not None:
            findings.add("no-effect", "without an `action`, `input` has no effect", (*path, "input"), key=True)
        return {"type": "noop"}
    place = (*path, "action")
    try:
        reference, pairs = split_action(doc.action, DELIMITERS)
    except InlineError as error:
        findings.add(
            "wrong-value", f"behind the action come parameters `name=value`: {error}", place, offset=error.offset
        )
        return dict(UNKNOWN)
    if pairs and doc.input is not None:
        message = "parameters stand behind the action and in `input`; only one of both can be given"
        findings.add("conflicting-keys", message, (*path, "input"), key=True)
    inline = {
        pair.name: Taken(PLAIN.inline(pair.value, place, _begins(doc.action, pair), findings), place) for pair in pairs
    }
    return _called(reference, inline or _input(doc.input, (*path, "input"), findings), place, reading)


def _begins(text: str, pair: Pair) -> int:
    """Where the value of a pair begins, the quotes around it aside."""
    return pair.value_at + (text[pair.value_at : pair.value_at + 1] in ("'", '"'))


def _input(written: Any, path: Path, findings: Findings) -> dict[str, Any] | Taken:
    """The input of an action: by name, or an expression that yields it all."""
    if written is None:
        return {}
    if isinstance(written, dict):
        return {
            name: Taken(PLAIN.template(value, (*path, name), findings), (*path, name))
            for name, value in written.items()
        }
    if is_expression(written):
        return Taken(PLAIN.template(written, path, findings), path)
    wrong_type("a mapping, or an expression that yields one", written, path, findings)
    return {}


def _called(reference: str, values: dict[str, Any] | Taken, path: Path, reading: Reading) -> dict[str, Any]:
    known = reading.known
    if is_expression(reference):
        return {
            "type": "python",
            "config": {"task": Taken(PLAIN.template(reference, path, reading.findings), path), "args": values},
        }
    is_task = known.tasks is not None and reference in known.tasks
    if isinstance(values, Taken):
        if not is_task and known.workflows is not None and reference in known.workflows:
            return {"type": "workflow", "config": {"name": Taken(reference, path), "input": values}}
        return {"type": "python", "config": {"task": Taken(reference, path), "args": values}}
    if is_task:
        return {"type": Taken(reference, path), "config": values}
    return action_step(reference, values, known, reading.findings, path) or dict(UNKNOWN)


# Running a task several times


def _items(written: str | ItemsDoc | None, path: Path, findings: Findings) -> dict[str, Any] | None:
    if written is None:
        return None
    place = (*path, "items") if isinstance(written, ItemsDoc) else path
    text = (written.items if isinstance(written, ItemsDoc) else written).strip()
    concurrency = (
        _concurrency(written.concurrency, (*path, "concurrency"), findings) if isinstance(written, ItemsDoc) else None
    )
    named = _NAMED_ITEMS.fullmatch(text)
    source = named[2] if named is not None else text
    items = PLAIN.template(source, place, findings)
    if not is_expression(text) or not isinstance(items, str) or _EXPRESSION.fullmatch(items) is None:
        if items:
            message = (
                f"expected one expression that yields a list, perhaps as `a, b in <% ... %>`; saw {describe(text)}"
            )
            findings.add("wrong-type", message, place)
        return None
    names = [each.strip() for each in named[1].split(",")] if named is not None else []
    return {
        "items": Taken(_named(items, names), place),
        "concurrency": concurrency if concurrency is not None else UNLIMITED,
    }


def _named(items: str, names: list[str]) -> str:
    """The items as mappings from these names to their parts."""
    if not names:
        return items
    whole = _EXPRESSION.fullmatch(items)
    assert whole is not None, "checked before"
    parts = ", ".join(f"'{name}': it[{number}]" for number, name in enumerate(names))
    value = f"{{{parts}}}" if len(names) > 1 else f"{{{parts}}} if (it is list) else {{'{names[0]}': it}}"
    return f"{{{{ select({whole[1]}, {value}) }}}}"


def _concurrency(written: Any, path: Path, findings: Findings) -> Any:
    if written is None:
        return None
    if is_expression(written) or (isinstance(written, int) and written > 0):
        return Taken(PLAIN.template(written, path, findings), path)
    wrong_type("a number from 1 on, or an expression", written, path, findings)
    return None


def _retry(task: Task, findings: Findings) -> dict[str, Any] | None:
    """How a task is tried again: as its `retry` says, or as a command in `do` says, which counts more."""
    told = [each for each in task.next if "retry" in each.commands]
    if told:
        when = either([whenever_it_ended(each.when) for each in told])
        return _policy(Taken(COMMAND_TRIES, told[0].path), when, {"initial_delay": 0})
    written, path = task.doc.retry, (*task.path, "retry")
    if written is None:
        return None
    asking = task.after if task.doc.with_ is not None else of_tried(task.shape)
    asked_for = asking.condition(written.when, (*path, "when"), findings)
    asked = "failed()" if written.when is None else whenever_it_ended(asked_for)
    attempts: Any = Taken(1 if isinstance(written.count, str) else written.count + 1, (*path, "count"))
    if isinstance(written.count, str):
        counted = _computed(written.count, "count", path, findings)
        attempts, asked = Taken(UNLIMITED, (*path, "count")), f"attempt <= {counted} and ({asked})"
    return _policy(attempts, Taken(asked, (*path, "when")), _wait(written.delay, path, findings))


def _wait(written: int | str | None, path: Path, findings: Findings) -> dict[str, Any]:
    """How long to wait between tries."""
    if not isinstance(written, str):
        return {"initial_delay": Taken(written, (*path, "delay")) if written else 0}
    return {
        "initial_delay": 0,
        "delay": Taken(f"{{{{ {_computed(written, 'delay', path, findings)} }}}}", (*path, "delay")),
    }


def _computed(written: str, key: str, path: Path, findings: Findings) -> str:
    """A number that an expression gives, as a native expression."""
    found = PLAIN.template(written, (*path, key), findings)
    whole = _EXPRESSION.fullmatch(found) if isinstance(found, str) else None
    if whole is not None:
        return f"({whole[1]})"
    message = f"`{key}` is a number, or an expression that yields one; saw {describe(written)}"
    findings.add("wrong-value", message, (*path, key))
    return "0"


def _policy(attempts: Any, when: Any, wait: Mapping[str, Any]) -> dict[str, Any]:
    return {"max_attempts": attempts, "backoff": "constant", "jitter": 0, "when": when, **wait}


def _seconds(written: int | str | None, path: Path, findings: Findings) -> Taken | None:
    if isinstance(written, str):
        message = f"a number of seconds is expected here; saw {describe(written)}"
        findings.add("wrong-value", message, path, hint="it cannot be computed while the workflow runs")
        return None
    return Taken(written, path) if written else None


# What follows a task


def _is_followed(transition: Transition) -> bool:
    """Whether an entry says anything but to try again. With that alone nothing is published."""
    return transition.commands != {"retry"} or bool(transition.targets)


def _edge(transition: Transition, after: Expressions, ways: Ways, findings: Findings) -> Taken:
    doc, path = transition.doc, transition.path
    to = [Taken(ways.doors.get(name, name), (*path, "do")) for name in transition.targets]
    if "fail" in transition.commands and ways.fails is not None:
        to.append(Taken(ways.fails, (*path, "do")))
    goes_on = bool(to) or "noop" in transition.commands
    variables = _published(doc.publish, (*path, "publish"), after, findings) if doc.publish is not None else {}
    made = {
        "when": Taken(whenever_it_ended(transition.when), (*path, "when") if doc.when is not None else path),
        "to": to,
        **given(publish=variables, handles=None if goes_on else False, ends=_ends_too(transition) or None),
    }
    return Taken(made, path)


def _ends_too(transition: Transition) -> bool:
    """Whether it leads on, and ends a way all the same, where the output sees what it publishes."""
    return bool(transition.targets) and not transition.commands.isdisjoint({"noop", "continue"})


def _published(written: Any, path: Path, after: Expressions, findings: Findings) -> dict[str, Any]:
    """The variables that an entry publishes, in either form."""
    if isinstance(written, str):
        return _published_inline(written, path, after, findings)
    variables: dict[str, Any] = {}
    for each in published(written, path, findings, DELIMITERS):
        if each.value is WHOLE:
            wrong_type("one `name: value`", each.name, each.path, findings)
        else:
            variables[each.name] = Taken(after.template(each.value, each.path, findings), each.path)
    return variables


def _published_inline(written: str, path: Path, after: Expressions, findings: Findings) -> dict[str, Any]:
    try:
        found = pairs(written, DELIMITERS)
    except InlineError as error:
        message = f"variables are published as `name=value`: {error}"
        findings.add("wrong-value", message, path, offset=error.offset)
        return {}
    return {pair.name: Taken(after.inline(pair.value, path, _begins(written, pair), findings), path) for pair in found}
