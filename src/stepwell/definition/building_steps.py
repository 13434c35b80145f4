"""From steps as they are written to steps of the canonical model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from stepwell.definition import document as doc
from stepwell.definition.blocks import ITEM_NAMES, Block, blocks, conditions, without
from stepwell.definition.building_bodies import DEFAULT_TYPE, Around, build_undo, either, settings_of
from stepwell.definition.building_edges import EDGE_KEYS, build_dependencies, build_edges
from stepwell.definition.building_policies import (
    build_action,
    build_breaker,
    build_cache,
    build_milestone,
    build_mutex,
    build_resources,
    inline_bulkhead,
    inline_or_name,
    inline_rate_limit,
)
from stepwell.definition.building_retry import build_retry
from stepwell.definition.context import MAX_STEPS, Context
from stepwell.definition.model import Iteration, Path, Repetition, Step
from stepwell.definition.places import ITEM_WHEN, ITEMS, OUTPUT, PUBLISH, REPEAT_WHEN
from stepwell.definition.reading import bad_name, describe, read, wrong_type
from stepwell.definition.settings_checks import check_list, check_secrets, check_type
from stepwell.definition.shapes import NAME, as_names, is_expression
from stepwell.definition.words import RESERVED, check_item_names, check_variable


def build_steps(written: Any, path: Path, context: Context, around: Around) -> tuple[Step, ...]:
    """The steps written at `path`: a list, or a mapping from name to step. What is wrong is recorded."""
    if not isinstance(written, (list, dict)):
        wrong_type("a list of steps, or a mapping from name to step", written, path, context.findings)
        return ()
    if not written:
        context.findings.add("no-steps", "there are no steps here", path, hint="give it at least one")
    counted = context.step_count
    context.step_count += len(written)
    if context.step_count > MAX_STEPS:
        if counted <= MAX_STEPS:
            message = f"the workflow has more than {MAX_STEPS:,} steps"
            context.findings.add("too-many-steps", message, path, hint="use a loop, `for_each` or sub-workflows")
        return ()
    within = replace(around, beside=_names(written))
    found = [_step(name, entry, place, context, within) for name, entry, place in _entries(written, path)]
    return tuple(step for step in found if step is not None)


def _entries(written: list[Any] | dict[str, Any], path: Path) -> Iterator[tuple[str | None, Any, Path]]:
    if isinstance(written, dict):
        yield from ((name, {} if entry is None else entry, (*path, name)) for name, entry in written.items())
    else:
        yield from ((None, entry, (*path, position)) for position, entry in enumerate(written))


def _names(written: list[Any] | dict[str, Any]) -> frozenset[str]:
    """The names of the steps written here, as far as they have any."""
    if isinstance(written, dict):
        return frozenset(written)
    names = (entry.get("name") for entry in written if isinstance(entry, dict))
    return frozenset(name for name in names if isinstance(name, str))


def _step(key: str | None, entry: Any, path: Path, context: Context, around: Around) -> Step | None:
    written = read(doc.StepDoc, entry, path, context.findings)
    if written is None:
        return None
    name = _name(key, written, entry, path, context)
    iteration = _iteration(written, path, name, context, around.names)
    inner = around
    if iteration is not None:
        inner = replace(around, names=around.names | {iteration.as_name, iteration.index_name})
    kind = written.type or DEFAULT_TYPE
    settings, config_path = settings_of(written, path, context)
    config, nested = _config(kind, settings, config_path, name, context, inner)
    elsewhere = written.queue is not None
    check_type(kind, written.type is not None, settings, config_path, path, context, elsewhere=elsewhere)
    when, when_path = either(written, "when", "condition", path, context)
    context.condition(when, when_path, around.when, name, around.names)
    at = _At(path, name, context, around, inner)
    optional = {key: _OPTIONAL[key](value, at) for key in entry if (value := _given(written, key)) is not None}
    return Step(
        name=name,
        type=kind,
        path=path,
        edges=() if EDGE_KEYS.isdisjoint(entry) else build_edges(written, path, name, context, around.names),
        when=when,
        config=config,
        blocks=nested,
        for_each=iteration,
        labels=_labels(written.queue),
        **optional,
    )


def _given(written: doc.StepDoc, key: str) -> Any:
    return getattr(written, key) if key in _OPTIONAL else None


class _At(NamedTuple):
    """The step that a key belongs to. `around` holds what its edges and conditions see, `inner` what its work does."""

    path: Path
    name: str
    context: Context
    around: Around
    inner: Around


def _output(written: dict[str, Any], at: _At) -> dict[str, Any]:
    at.context.template(written, (*at.path, "output"), OUTPUT, at.name, at.inner.names)
    return written


def _publish(written: dict[str, Any], at: _At) -> tuple[tuple[str, Any], ...]:
    for variable, value in written.items():
        place = (*at.path, "publish", variable)
        check_variable(variable, place, at.context)
        at.context.template(value, place, PUBLISH, at.name, at.around.names)
    return tuple(written.items())


def _as_it_is(written: Any, at: _At) -> Any:
    return written


def _queue_name(written: str | doc.QueueDoc) -> str:
    return written if isinstance(written, str) else written.name


def _labels(written: str | doc.QueueDoc | None) -> dict[str, str]:
    """What workers must be labelled with, as text: `true` and `"true"` are the same."""
    if written is None or isinstance(written, str) or not written.labels:
        return {}
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in written.labels.items()
    }


_OPTIONAL: Mapping[str, Callable[[Any, _At], Any]] = {
    **dict.fromkeys(("join", "timeout", "delay", "checkpoint", "max_visits", "parallel", "description"), _as_it_is),
    "depends_on": lambda written, at: build_dependencies(written, (*at.path, "depends_on")),
    "output": _output,
    "publish": _publish,
    "repeat": lambda written, at: _repetition(written, (*at.path, "repeat"), at.name, at.context, at.inner.names),
    "retry": lambda written, at: build_retry(
        written, at.around.retry, (*at.path, "retry"), at.context, at.name, at.inner.names
    ),
    "on_failure": lambda written, at: build_action(written, (*at.path, "on_failure"), at.name, at.context, at.around),
    "on_timeout": lambda written, at: build_action(written, (*at.path, "on_timeout"), at.name, at.context, at.around),
    "compensate": lambda written, at: build_undo(written, (*at.path, "compensate"), at.name, at.context, at.inner),
    "circuit_breaker": lambda written, at: inline_or_name(written, build_breaker),
    "bulkhead": lambda written, at: inline_bulkhead(written, (*at.path, "bulkhead"), at.name, at.context, at.inner),
    "rate_limit": lambda written, at: inline_rate_limit(
        written, (*at.path, "rate_limit"), at.name, at.context, at.inner.names
    ),
    "resources": lambda written, at: build_resources(written, (*at.path, "resources"), at.context),
    "cache": lambda written, at: build_cache(written, (*at.path, "cache"), at.name, at.context, at.inner.names),
    "queue": lambda written, at: _queue_name(written),
    "mutex": lambda written, at: build_mutex(written, (*at.path, "mutex"), at.name, at.context, at.around.names),
    "cancels": lambda written, at: as_names(written),
    "milestone": lambda written, at: build_milestone(written, (*at.path, "milestone"), at.context),
}
"""What becomes of the keys that most steps do not have."""


def _name(key: str | None, written: doc.StepDoc, entry: dict[str, Any], path: Path, context: Context) -> str:
    """The step's name; when it has none that can be used, one that no other step has."""
    findings = context.findings
    if key is not None:
        if written.name is not None and written.name != key:
            message = f"the step is called {key!r} by its key and {written.name!r} here"
            findings.add("conflicting-keys", message, (*path, "name"), hint="leave `name` out")
        if not NAME.fullmatch(key):
            findings.add("bad-name", bad_name(key), path, key=True)
    elif entry.get("name") is None:
        findings.add("missing-key", "a step needs a `name`", path)
    name = key if key is not None else written.name
    if name in RESERVED and not context.any_step_name:
        place = path if key is not None else (*path, "name")
        message = f"{name!r} means something else in expressions, so no step can be called that"
        findings.add("reserved-name", message, place, hint="choose another name", key=key is not None)
    return name if name is not None else f"step {'/'.join(map(str, path))}"


# Settings


def _config(
    kind: str, settings: dict[str, Any], path: Path, name: str, context: Context, around: Around
) -> tuple[dict[str, Any], tuple[tuple[str, tuple[Step, ...]], ...]]:
    """The settings without nested steps, and those. Expressions in them are noted."""
    found = blocks(kind, settings)
    asked = conditions(kind, settings)
    for place, value, kind_of_place in asked:
        context.condition(value, (*path, *place), kind_of_place, name, around.names)
    if isinstance(settings.get("as"), str) and kind == "loop":
        check_item_names((settings["as"], (*path, "as")), (ITEM_NAMES[1], (*path, "index")), around.names, context)
    config = without(settings, [block.path for block in found])
    check_secrets(config, path, context)
    rendered = without(config, [place for place, _, _ in asked])
    context.template(rendered, path, around.config, name, around.names)
    nested = tuple((block.name, _block(block, path, context, around)) for block in found if block.steps is not None)
    return config, nested


def _block(block: Block, path: Path, context: Context, around: Around) -> tuple[Step, ...]:
    inner = replace(around, names=around.names | block.names)
    return build_steps(block.steps, (*path, *block.path), context, inner)


# Running a step several times


def _iteration(
    written: doc.StepDoc, path: Path, name: str, context: Context, names: frozenset[str]
) -> Iteration | None:
    """`for_each`, or `with_items` with its `batch_size` and `concurrency`."""
    short = written.with_items
    if written.for_each is not None:
        for key in ("with_items", "batch_size", "concurrency"):
            if getattr(written, key) is not None:
                message = f"`{key}` beside `for_each`; it belongs inside"
                context.findings.add("conflicting-keys", message, (*path, key), key=True)
        return _for_each(written.for_each, (*path, "for_each"), name, context, names)
    if short is None:
        for key in written.given("batch_size", "concurrency"):
            message = f"`{key}` has no effect without `with_items`"
            context.findings.add("no-effect", message, (*path, key), key=True)
        return None
    _check_items(short, (*path, "with_items"), name, context, names)
    return Iteration(items=short, batch_size=written.batch_size, concurrency=written.concurrency or 10)


def _for_each(written: doc.ForEachDoc, path: Path, name: str, context: Context, names: frozenset[str]) -> Iteration:
    item, index = written.as_ or ITEM_NAMES[0], written.index or ITEM_NAMES[1]
    check_item_names((item, (*path, "as")), (index, (*path, "index")), names, context)
    _check_items(written.items, (*path, "items"), name, context, names)
    context.template(written.concurrency, (*path, "concurrency"), ITEMS, name, names)
    context.condition(written.when, (*path, "when"), ITEM_WHEN, name, names | {item, index})
    return Iteration(
        items=written.items,
        as_name=item,
        index_name=index,
        batch_size=written.batch_size,
        concurrency=written.concurrency or 10,
        when=written.when,
        on_error=written.on_error or "fail",
    )


def _check_items(items: Any, path: Path, name: str, context: Context, names: frozenset[str]) -> None:
    if not isinstance(items, list) and not is_expression(items):
        message = f"expected a list, or an expression that yields one; saw {describe(items)}"
        context.findings.add("wrong-type", message, path)
    template = context.template(items, path, ITEMS, name, names)
    if isinstance(items, str) and template is not None:
        check_list(template.kind, path, context)


def _repetition(
    written: doc.RepeatDoc | None, path: Path, name: str, context: Context, names: frozenset[str]
) -> Repetition | None:
    if written is None:
        return None
    given = [key for key in ("while", "until") if getattr(written, "while_" if key == "while" else key) is not None]
    if len(given) != 1:
        message = "a repetition is exactly one of `while` and `until`"
        context.findings.add("conflicting-keys" if given else "missing-key", message, path)
        return None
    condition = written.while_ if given[0] == "while" else written.until
    context.condition(condition, (*path, given[0]), REPEAT_WHEN, name, names)
    return Repetition(
        condition=condition,
        until=given[0] == "until",
        max_iterations=written.max_iterations or 100,
        delay=written.delay or 0,
    )
