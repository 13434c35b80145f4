"""Tasks as native steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from stepwell.base.values import MAX_INTEGER
from stepwell.definition.model import Path
from stepwell.definition.reading import read, wrong_type
from stepwell.definition.words import RESERVED
from stepwell.dialects.graphs.actions import UNKNOWN, action_step, workflow_step
from stepwell.dialects.graphs.commands import COMMANDS
from stepwell.dialects.graphs.conditions import both, either
from stepwell.dialects.graphs.inline import InlineError, split_action
from stepwell.dialects.origin import Taken
from stepwell.dialects.task_graph.book import Book
from stepwell.dialects.task_graph.document import ItemsDoc, RetryDoc, TaskDoc
from stepwell.dialects.task_graph.edges import Edges, edges_of
from stepwell.dialects.task_graph.expressions import DELIMITERS
from stepwell.dialects.task_graph.publishing import publish

RESERVED_NAMES: Final = RESERVED | COMMANDS | {"kv", "pack", "batch", "config", "keystore"}
"""Names that mean something else in a task graph."""

RETRIES_OF_COMMAND: Final = 9
"""How often `do: retry` runs a task again when its `retry` does not say."""

_PASSED: Final = ("timeout", "delay", "join", "depends_on", "max_visits")
"""Keys that mean the same natively."""
_ELSEWHERE: Final = ("permission_set_refs", "worker_selector", "worker_tolerations", "worker_affinity")
"""Keys of the system that task graphs come from, which mean nothing here."""


def steps_of(written: Iterable[Any], path: Path, book: Book) -> list[Taken]:
    """The native steps of the tasks written at `path`. Those that only fail the workflow come last, so that whatever
    else follows starts before them."""
    steps: list[Taken] = []
    last: list[Taken] = []
    for position, entry in enumerate(written):
        place = (*path, position)
        task = read(TaskDoc, entry, place, book.findings)
        if task is not None:
            edges = edges_of(task, place, book)
            steps.append(Taken(_step(task, place, edges, book), place))
            last += [edges.fails] if edges.fails is not None else []
    return steps + last


def _step(task: TaskDoc, path: Path, edges: Edges, book: Book) -> dict[str, Any]:
    _check_names(task, path, book)
    language = book.language(task.name)
    step: dict[str, Any] = {"name": Taken(task.name, (*path, "name")), **_work(task, path, book), **edges.keys}
    for key in _PASSED:
        value = getattr(task, key)
        if value is not None:
            step[key] = Taken(value, (*path, key))
    if task.description is not None:
        step["description"] = Taken(task.description, (*path, "description"))
    if task.when is not None:
        step["when"] = Taken(language.condition(task.when, (*path, "when"), book.findings), (*path, "when"))
    if task.output is not None:
        step["output"] = Taken(language.template(task.output, (*path, "output"), book.findings), (*path, "output"))
    if task.repeat is not None:
        step["repeat"] = Taken(_repeat(task.repeat, task.name, (*path, "repeat"), book), (*path, "repeat"))
    step |= _items(task, path, book)
    if task.publish is not None:
        step["publish"] = publish(task.publish, (*path, "publish"), book, book.language(task.name, "publish"))
    retry = _retry(task, path, edges.again, book)
    return step if retry is None else {**step, "retry": retry}


# What it does


def _work(task: TaskDoc, path: Path, book: Book) -> dict[str, Any]:
    """Its native type and settings."""
    if task.type == "parallel":
        return _parallel(task, path, book)
    if task.tasks is not None:
        message = f"task {task.name!r} has `tasks`, which only a parallel task has"
        book.findings.add("misplaced-key", message, (*path, "tasks"), hint="say `type: parallel`", key=True)
    if task.action is None:
        message = f"task {task.name!r} has no `action`"
        hint = "name what it runs: `action: pack.action`; core.noop does nothing"
        book.findings.add("missing-key", message, path, hint=hint)
        return dict(UNKNOWN)
    place = (*path, "action")
    reference, given = _action(task, path, book)
    if not is_reference(reference) and reference not in {*(book.known.tasks or ()), *(book.known.step_types or ())}:
        message = f"task {task.name!r}: {reference!r} is not the reference of an action; expected `pack.action`"
        book.findings.add("wrong-value", message, place)
        return dict(UNKNOWN)
    if task.type == "workflow":
        return workflow_step(reference, given, place)
    return action_step(reference, given, book.known, book.findings, place) or dict(UNKNOWN)


def _parallel(task: TaskDoc, path: Path, book: Book) -> dict[str, Any]:
    for key in task.given("action", "input"):
        message = f"`{key}` has no meaning in a parallel task, which runs its `tasks`"
        book.findings.add("misplaced-key", message, (*path, key), key=True)
    place = (*path, "tasks")
    if task.tasks is not None and not isinstance(task.tasks, list):
        wrong_type("a list of tasks", task.tasks, place, book.findings)
        return dict(UNKNOWN)
    if not task.tasks:
        message = f"parallel task {task.name!r} has no `tasks`"
        book.findings.add("no-steps", message, place if task.tasks is not None else path)
        return dict(UNKNOWN)
    return {"type": "parallel_group", "config": {"steps": Taken(steps_of(task.tasks, place, book), place)}}


def _action(task: TaskDoc, path: Path, book: Book) -> tuple[str, dict[str, Any]]:
    """The reference of the action, and its input: that in the same line, and `input`."""
    language, findings = book.language(task.name), book.findings
    place = (*path, "action")
    given = {
        key: Taken(language.template(value, (*path, "input", key), findings), (*path, "input", key))
        for key, value in (task.input or {}).items()
    }
    try:
        reference, inline = split_action(task.action or "", DELIMITERS)
    except InlineError as error:
        findings.add("wrong-value", f"task {task.name!r}: {error}", place, offset=error.offset)
        return (task.action or "").split(maxsplit=1)[0], given
    for pair in inline:
        if pair.name in given:
            message = f"task {task.name!r} is given {pair.name!r} twice: behind its action and in `input`"
            findings.add("conflicting-keys", message, place, offset=pair.at)
        given[pair.name] = Taken(language.template(pair.value, place, findings), place)
    return reference, given


def is_reference(text: str) -> bool:
    """Whether a text has the form of an action's reference: `pack.action`."""
    parts = text.split(".")
    return len(parts) > 1 and all(part.replace("-", "_").isidentifier() for part in parts)


# Again, and for every item


def _items(task: TaskDoc, path: Path, book: Book) -> dict[str, Any]:
    if task.with_items is None:
        return {key: Taken(getattr(task, key), (*path, key)) for key in task.given("batch_size", "concurrency")}
    place = (*path, "with_items")
    language = book.language(task.name)
    said: dict[str, Any] = {}
    if isinstance(task.with_items, dict):
        items = read(ItemsDoc, task.with_items, place, book.findings)
        if items is None:
            return {}
        said["items"] = Taken(language.template(items.items, (*place, "items"), book.findings), (*place, "items"))
        if items.when is not None:
            said["when"] = Taken(language.condition(items.when, (*place, "when"), book.findings), (*place, "when"))
        said |= {key: Taken(getattr(items, key), (*place, key)) for key in items.given("batch_size", "concurrency")}
    else:
        said["items"] = Taken(language.template(task.with_items, place, book.findings), place)
    for key in task.given("batch_size", "concurrency"):
        if key in said:
            message = f"`{key}` is given twice: in `with_items` and beside it"
            book.findings.add("conflicting-keys", message, (*path, key), key=True)
        said[key] = Taken(getattr(task, key), (*path, key))
    return {"for_each": Taken(said, place)}


def _repeat(written: dict[str, Any], task: str, path: Path, book: Book) -> dict[str, Any]:
    language = book.language(task, "edge")
    return {
        key: Taken(language.condition(value, (*path, key), book.findings), (*path, key))
        if key in ("while", "until")
        else value
        for key, value in written.items()
    }


def _retry(task: TaskDoc, path: Path, again: list[str], book: Book) -> Taken | None:
    """The native policy. Any failure is tried again, unless `on_error` says otherwise; what `do: retry` asks for is
    tried again too."""
    if task.retry is None and not again:
        return None
    place = (*path, "retry")
    said = task.retry or RetryDoc(count=RETRIES_OF_COMMAND)
    wanted = [*([_on_error(said, task.name, place, book)] if task.retry is not None else []), *again]
    policy: dict[str, Any] = {
        "max_attempts": said.count + 1,
        "backoff": said.backoff or "constant",
        "initial_delay": Taken(said.delay or 0, (*place, "delay")),
        "when": Taken(either(wanted), (*place, "on_error")),
    }
    if said.max_delay is not None:
        policy["max_delay"] = Taken(said.max_delay, (*place, "max_delay"))
        if said.max_delay < (said.delay or 0):
            message = f"task {task.name!r}: `retry.max_delay` is shorter than `retry.delay`"
            book.findings.add("wrong-value", message, (*place, "max_delay"))
    return Taken(policy, place)


def _on_error(said: RetryDoc, task: str, path: Path, book: Book) -> str:
    if said.on_error is None:
        return "failed()"
    language = book.language(task, "retry")
    condition = language.condition(said.on_error, (*path, "on_error"), book.findings)
    return both("failed()", condition) or "failed()"


# Names


def _check_names(task: TaskDoc, path: Path, book: Book) -> None:
    if task.name in RESERVED_NAMES:
        message = f"Task name {task.name!r} is reserved: it means something else in a task graph"
        book.findings.add("reserved-name", message, (*path, "name"), hint="choose another name")
    for key in task.given(*_ELSEWHERE):
        chosen = "workers are chosen by `queue` in a native workflow"
        book.findings.add("no-effect", f"`{key}` means nothing here", (*path, key), hint=chosen, key=True)
    for position, name in enumerate(_names(task.depends_on)):
        if name not in book.tasks:
            place = book.findings.entry_path((*path, "depends_on"), position)
            message = f"Task {task.name!r} references non-existent task {name!r}"
            hint = book.findings.hint_for(name, book.tasks)
            book.findings.add("unknown-step", message, place, hint=hint)
    if task.join is not None and task.join != "all" and not _is_count(task.join):
        wrong_type("`all` or a number of tasks, at least 1", task.join, (*path, "join"), book.findings)


def _names(written: Any) -> list[str]:
    entries = written if isinstance(written, list) else [written]
    found = [entry.get("step") if isinstance(entry, dict) else entry for entry in entries]
    return [name for name in found if isinstance(name, str)]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_INTEGER
