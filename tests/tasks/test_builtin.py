"""The handlers put together, and `transform`."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from stepwell.base.errors import ConfigurationError
from stepwell.base.values import Sealed, SecretRef, SecretText
from stepwell.services.registry import ServiceTable
from stepwell.tasks.builtin import builtin_handlers, builtin_types, rule_names
from stepwell.tasks.registry import RuleRegistry, TaskRegistry
from tests.conformance.dispatcher import SECRETS, assignment, echo
from tests.worker.harness import LocalHarness


def handlers(*, tasks: TaskRegistry | None = None, rules: RuleRegistry | None = None) -> Any:
    return builtin_handlers(ServiceTable({}), tasks or TaskRegistry(), rules or RuleRegistry())


async def result_of(type_: str, config: Any, **more: Any) -> Any:
    harness = LocalHarness(echo, handlers=handlers(**more))
    harness.dispatcher.dispatch(assignment(type=type_, config=config))
    report = await harness.report()
    await harness.worker.close()
    return report.result if report.error is None else report.error


def double(a: int) -> int:
    return 2 * a


async def test_every_built_in_type_and_every_task_has_a_handler() -> None:
    tasks = TaskRegistry()
    tasks.register(double)
    leaves = ("http", "service_call", "validation", "notify", "python", "transform", "input", "process", "ai", "output")
    assert handlers(tasks=tasks).keys() == {*leaves, "double"}
    assert builtin_types(tasks, RuleRegistry()) == handlers(tasks=tasks).keys()
    assert await result_of("double", {"a": 3}, tasks=tasks) == 6
    assert await result_of("python", {"task": "double", "args": {"a": 4}}, tasks=tasks) == 8
    config = {"validation_rules": [{"field": "a", "rule": "required"}], "data": {"a": 1}}
    assert await result_of("validation", config) == {"validation_result": "passed"}
    assert (await result_of("http", {"url": "http://169.254.169.254"})).type == "forbidden_address"
    assert (await result_of("service_call", {"service": "x"})).type == "unknown_service"


def test_a_task_or_rule_cannot_take_a_built_in_name() -> None:
    tasks, rules = TaskRegistry(), RuleRegistry()
    tasks.register(double, "wait_for_event")
    with pytest.raises(ConfigurationError, match="'wait_for_event'"):
        handlers(tasks=tasks)
    rules.register(double, "email")
    with pytest.raises(ConfigurationError, match="'email'"):
        handlers(rules=rules)


def test_the_names_of_rules_are_known_before_anything_runs() -> None:
    rules = RuleRegistry()
    rules.register(double, "mine")
    assert {"mine", "email", "required"} <= rule_names(rules)


def test_putting_them_together_imports_no_http_library() -> None:
    program = """
import sys
from stepwell.services.registry import ServiceTable
from stepwell.tasks.builtin import builtin_handlers
from stepwell.tasks.registry import RuleRegistry, TaskRegistry
builtin_handlers(ServiceTable({}), TaskRegistry(), RuleRegistry())
print([name for name in ("aiohttp", "yarl", "pydantic") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"


async def test_a_transform_returns_its_value() -> None:
    assert await result_of("transform", {"value": {"a": [1, None]}}) == {"a": [1, None]}


async def test_a_transform_keeps_secrets_sealed_however_short() -> None:
    config = {
        "value": {
            "pin": Sealed("12"),
            "flag": Sealed(True),
            "token": SecretRef("TOKEN"),
            "header": SecretText(("Bearer ", SecretRef("TOKEN"))),
            "plain": "x",
        }
    }
    assert await result_of("transform", config) == {
        "pin": Sealed("12"),
        "flag": Sealed(True),
        "token": Sealed(SECRETS["TOKEN"]),
        "header": Sealed(f"Bearer {SECRETS['TOKEN']}"),
        "plain": "x",
    }


@pytest.mark.parametrize("config", [{}, None, {"value": 1, "x": 2}])
async def test_a_transform_without_a_value_is_an_error(config: Any) -> None:
    assert (await result_of("transform", config)).type == "invalid_config"
