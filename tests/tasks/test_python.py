"""Steps that call Python functions."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import decimal
import enum
import functools
import threading
import types
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal

import pydantic
import pytest

from stepwell.base.errors import ConfigurationError, NotFound
from stepwell.ports.work import TaskContext, TaskError
from stepwell.tasks.python import PythonHandler, TaskFunctionHandler
from stepwell.tasks.registry import RuleRegistry, TaskRegistry, rule, task
from tests.tasks.context import PlainContext

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]


async def call(function: Callable[..., Any], arguments: Any) -> Any:
    """Call a function as a step of type `python` does."""
    tasks = TaskRegistry()
    tasks.register(function, "it")
    return (await PythonHandler(tasks).run({"task": "it", "args": arguments}, PlainContext())).value


async def problems(function: Callable[..., Any], arguments: Any) -> list[str]:
    """What is wrong with the arguments."""
    with pytest.raises(TaskError) as raised:
        await call(function, arguments)
    error = raised.value
    assert (error.type, error.retryable) == ("invalid_arguments", False)
    assert error.details is not None
    found = [f"{each['argument']} {each['message']}" for each in error.details["problems"]]
    assert all(each["message"] in error.message for each in error.details["problems"])
    return found


# Registration


def test_a_mark_leaves_the_function_as_it_is() -> None:
    def plain(a: int) -> int:
        return a

    assert task("x")(plain) is plain
    assert task(plain) is plain
    assert plain(3) == 3


def module(**members: Any) -> types.ModuleType:
    found = types.ModuleType("shop.tasks")
    vars(found).update(members)
    return found


def test_a_registry_collects_what_is_marked_in_a_module() -> None:
    @task("assign_agent")
    def assign(ticket: str) -> str:
        return ticket

    @task
    async def by_its_own_name() -> None: ...

    @task()
    def also_by_its_own_name() -> None: ...

    @rule("unique")
    def unique(value: Any) -> bool:
        return True

    def unmarked() -> None: ...

    shop = module(a=assign, b=by_its_own_name, c=also_by_its_own_name, d=unique, e=unmarked, f=5, g=assign)
    tasks, rules = TaskRegistry(), RuleRegistry()
    assert tasks.collect(shop) == ["assign_agent", "by_its_own_name", "also_by_its_own_name", "assign_agent"]
    assert list(tasks.names()) == ["assign_agent", "by_its_own_name", "also_by_its_own_name"]
    assert rules.collect(shop) == ["unique"]
    assert list(TaskRegistry().names()) == []


def test_two_functions_of_one_name_are_refused_and_both_are_named() -> None:
    def first() -> None: ...

    def second() -> None: ...

    tasks = TaskRegistry()
    tasks.register(first, "pay")
    tasks.register(first, "pay")
    with pytest.raises(ConfigurationError, match=r"first.*second") as raised:
        tasks.register(second, "pay")
    assert raised.value.code == "duplicate-name"
    assert "tests.tasks.test_python" in str(raised.value)


def test_an_object_without_a_name_needs_one() -> None:
    tasks = TaskRegistry()
    nameless = functools.partial(int, "5")
    with pytest.raises(ConfigurationError, match="no name"):
        tasks.register(nameless)
    tasks.register(nameless, "five")


async def test_an_unknown_task_is_named_with_the_nearest_known_one() -> None:
    tasks = TaskRegistry()
    tasks.register(print, "assign_agent")
    with pytest.raises(NotFound, match="did you mean 'assign_agent'") as raised:
        await PythonHandler(tasks).run({"task": "asign_agent"}, PlainContext())
    assert raised.value.code == "unknown-task"


# Calling


async def test_a_sync_function_runs_in_a_thread_and_an_async_one_on_the_loop() -> None:
    def sync() -> bool:
        return threading.current_thread() is threading.main_thread()

    async def on_loop() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert await call(sync, None) is False
    assert await call(on_loop, {}) is True


async def test_every_kind_of_callable_can_be_a_task() -> None:
    class Adder:
        async def __call__(self, a: int) -> int:
            return a + 1

        def method(self, a: int) -> int:
            return a + 2

    async def three(a: int, b: int) -> int:
        return a + b

    def hidden(a: int) -> Awaitable[int]:
        return three(a, 4)

    assert await call(Adder(), {"a": 0}) == 1
    assert await call(Adder().method, {"a": 0}) == 2
    assert await call(functools.partial(three, b=3), {"a": 0}) == 3
    assert await call(hidden, {"a": 0}) == 4


async def test_arguments_reach_every_kind_of_parameter() -> None:
    def shapes(a: int, /, b: str, *args: int, c: bool = False, **others: Any) -> Any:
        return [a, b, args, c, others]

    assert await call(shapes, {"a": 1, "b": "x", "z": [1]}) == [1, "x", (), False, {"z": [1]}]
    assert await call(shapes, {"a": 1, "b": "x", "c": True}) == [1, "x", (), True, {}]


async def test_a_type_of_a_tasks_own_name_takes_its_configuration_as_arguments() -> None:
    def add(a: int, b: int = 1) -> int:
        return a + b

    tasks = TaskRegistry()
    tasks.register(add)
    handler = TaskFunctionHandler(tasks.get("add"))
    assert (await handler.run({"a": 2}, PlainContext())).value == 3
    with pytest.raises(TaskError, match="by name"):
        await handler.run([2], PlainContext())


async def test_the_context_is_given_to_who_asks_for_it() -> None:
    def by_name(a: int, context) -> Any:  # type: ignore[no-untyped-def]
        return [a, context.idempotency_key, context.attempt]

    async def by_type(info: TaskContext) -> Any:
        return [info.execution, info.workflow, info.step]

    def optional(info: TaskContext | None = None) -> bool:
        return info is not None

    def something_else(context: dict[str, int]) -> int:
        return context["x"]

    assert await call(by_name, {"a": 1}) == [1, "e1/call", 1]
    assert await call(by_type, None) == ["e1", "shop", "call"]
    assert await call(optional, None) is True
    assert await call(something_else, {"context": {"x": 1}}) == 1
    assert await problems(by_name, {"a": 1, "context": 2}) == ["context is given by the engine"]


async def test_a_function_may_change_what_it_is_given() -> None:
    def spoil(plain, items: list[Any], anything: Any, **others: Any) -> None:  # type: ignore[no-untyped-def]
        for each in (plain, items, anything, others["more"]):
            each[0].append("spoilt")

    arguments: dict[str, Any] = {"plain": [[]], "items": [[]], "anything": [[]], "more": [[]]}
    await call(spoil, arguments)
    assert arguments == {"plain": [[]], "items": [[]], "anything": [[]], "more": [[]]}


async def test_a_task_takes_what_is_available_and_has_the_name_of_a_parameter() -> None:
    def few(a: int, b: int = 0) -> Any:
        return [a, b]

    def many(a: int, context: TaskContext, **others: Any) -> Any:
        return [a, others]

    tasks = TaskRegistry()
    tasks.register(few)
    tasks.register(many)

    async def result(task: str, **settings: Any) -> Any:
        return (await PythonHandler(tasks).run({"task": task, **settings}, PlainContext())).value

    available = {"a": 1, "b": 2, "c": 3, "context": 4}
    assert await result("few", available=available) == [1, 2]
    assert await result("few", available=available, args={"b": 5}) == [1, 5]
    assert await result("many", available=available) == [1, {"b": 2, "c": 3}]
    with pytest.raises(TaskError, match="'a' is missing"):
        await result("few", available={"c": 3})


async def test_what_a_function_raises_is_raised() -> None:
    def fail() -> None:
        raise LookupError("x")

    with pytest.raises(LookupError):
        await call(fail, None)


# Arguments


async def test_everything_that_is_wrong_is_said_at_once() -> None:
    def assign(ticket_id: str, priority: int, *, notify: bool) -> None:
        raise AssertionError("called")

    assert sorted(await problems(assign, {"ticket": "t", "priority": "high", "notify": 1})) == [
        "notify must be true or false, not an integer",
        "priority must be an integer, not text",
        "ticket is unexpected (did you mean 'ticket_id'?)",
        "ticket_id is missing",
    ]


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


class Address(pydantic.BaseModel):
    city: str
    number: int = 1


@dataclasses.dataclass
class Customer:
    name: str
    address: Address
    since: datetime.date


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, 5, 5),
        (float, 5, 5.0),
        (float, 1.5, 1.5),
        (str, "5", "5"),
        (bool, True, True),
        (dict, {"a": 1}, {"a": 1}),
        (list, [1], [1]),
        (Any, [1], [1]),
        (object, None, None),
        (str | None, None, None),
        (int | str, "x", "x"),
        (float | None, 2, 2.0),
        (list[int], [1, 2], [1, 2]),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[str], ["a"], {"a"}),
        (bytes, "ab", b"ab"),
        (datetime.datetime, "2026-01-02T03:04:05Z", datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)),
        (datetime.date, "2026-01-02", datetime.date(2026, 1, 2)),
        (datetime.timedelta, "PT5M", datetime.timedelta(minutes=5)),
        (datetime.date | None, "2026-01-02", datetime.date(2026, 1, 2)),
        (uuid.UUID, str(uuid.UUID(int=5)), uuid.UUID(int=5)),
        (decimal.Decimal, "1.10", decimal.Decimal("1.10")),
        (Colour, "red", Colour.RED),
        (Size, 3, Size.LARGE),
        (Literal["a", "b"], "a", "a"),
        (Address, {"city": "Ulm"}, Address(city="Ulm")),
        (
            list[Customer],
            [{"name": "Ann", "address": {"city": "Ulm", "number": 2}, "since": "2026-01-02"}],
            [Customer("Ann", Address(city="Ulm", number=2), datetime.date(2026, 1, 2))],
        ),
    ],
)
async def test_values_become_what_the_annotation_says(annotation: Any, value: Any, expected: Any) -> None:
    given: list[Any] = []

    def take(a) -> None:  # type: ignore[no-untyped-def]
        given.append(a)

    take.__annotations__["a"] = annotation
    await call(take, {"a": value})
    assert given == [expected]
    assert type(given[0]) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "5"),
        (int, 5.0),
        (int, True),
        (float, "1.5"),
        (float, False),
        (str, 5),
        (str, None),
        (bool, 0),
        (bool, "true"),
        (list, {"a": 1}),
        (dict, [1]),
        (int | None, "5"),
        (list[int], ["1"]),
        (list[int], [True]),
        (datetime.datetime, 5),
        (datetime.date, "yesterday"),
        (uuid.UUID, "x"),
        (decimal.Decimal, "x"),
        (Colour, "blue"),
        (Literal["a"], "b"),
        (Address, {"city": 5}),
        (Address, {}),
    ],
)
async def test_values_of_another_type_are_refused(annotation: Any, value: Any) -> None:
    def take(a) -> None:  # type: ignore[no-untyped-def]
        raise AssertionError("called")

    take.__annotations__["a"] = annotation
    (problem,) = await problems(take, {"a": value})
    assert problem.startswith("a")


async def test_the_place_inside_a_value_is_named() -> None:
    def take(customers: list[Customer]) -> None: ...

    value = [{"name": "Ann", "address": {"city": 5}, "since": "2026-01-02"}]
    assert await problems(take, {"customers": value}) == ["customers.0.address.city must be a valid string"]


async def test_annotations_that_say_nothing_about_json_are_not_checked() -> None:
    def take(a: threading.Lock, b: Unknown, c: undefined) -> Any:  # type: ignore[name-defined] # noqa: F821
        return [a, b, c]

    assert await call(take, {"a": 1, "b": "x", "c": None}) == [1, "x", None]


async def test_tasks_run_side_by_side() -> None:
    together = threading.Barrier(5)

    def meet() -> int:
        return together.wait(10)

    tasks = TaskRegistry()
    tasks.register(meet)
    handler = PythonHandler(tasks)
    runs = [handler.run({"task": "meet"}, PlainContext()) for _ in range(5)]
    assert sorted(result.value for result in await asyncio.gather(*runs)) == [0, 1, 2, 3, 4]
