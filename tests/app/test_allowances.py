"""What definitions may use, by who registers them."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.app.access import Caller, Forbidden, Role
from stepwell.app.allowances import RISKY, Allowances, NotAllowed
from stepwell.app.audit import Doer
from stepwell.app.configuration import configuration_from
from stepwell.app.registry import Registry
from stepwell.app.secret_store import SecretStore
from stepwell.app.uses import uses_of
from stepwell.base.spans import Source
from stepwell.definition.model import CONTROL_TYPES, LEAF_TYPES, WorkflowDefinition
from stepwell.dialects.loading import load
from stepwell.store.memory.store import MemoryStore
from tests.virtual_clock import VirtualClock

HEAD = "apiVersion: workflow/v1\nkind: Workflow\nmetadata: {name: payments.refund, version: 1.0.0}\nspec:\n"


def definition(steps: str, more: str = "") -> WorkflowDefinition:
    loaded = load(Source("w.yaml", f"{HEAD}  steps:\n{steps}\n{more}"))
    assert loaded.definition is not None, [str(each) for each in loaded.diagnostics]
    return loaded.definition


def allowances(store: MemoryStore, **security: Any) -> Allowances:
    return Allowances(configuration_from({"security": security}).security, store, VirtualClock())


def caller(role: Role = "developer", *namespaces: str) -> Caller:
    return Caller(name="ada", role=role, namespaces=frozenset(namespaces) or None, proof="key", id="k")


SHELL = "    - {name: a, type: shell, with: {command: ls}}"
STEPS = {
    "shell": SHELL,
    "sql": "    - {name: a, type: sql, with: {connection: main, query: 'SELECT 1'}}",
    "file": "    - {name: a, type: file, with: {op: read, path: x}}",
    "a task": "    - {name: a, type: python, with: {task: charge}}",
    "a task by its name": "    - {name: a, type: charge}",
    "steps that are made at run time": "    - {name: a, type: dynamic, with: {steps: '{{ input.steps }}'}}",
    "a tool": "    - {name: a, type: ai, with: {prompt: x, tools: [charge]}}",
    "in a block": "    - {name: a, type: parallel_group, with: {steps: [{name: b, type: shell, with: {command: ls}}]}}",
    "in what undoes": "    - {name: a, type: noop, compensate: {type: shell, with: {command: ls}}}",
    "in a fallback": (
        "    - name: a\n      type: http\n      with: {url: 'https://x.example'}\n"
        "      on_failure: {action: fallback, fallback: {type: shell, with: {command: ls}}}"
    ),
    "a secret of nobody": "    - {name: a, type: http, with: {url: 'https://x.ex', headers: {x: '{{ secrets.X }}'}}}",
    "a secret in an object": "    - {name: a, type: transform, with: {value: {b: ['{{ (secrets).X | upper }}']}}}",
    "a secret of an output": "    - {name: a, type: noop, output: {x: '{{ secrets.X }}'}}",
}


@pytest.mark.parametrize("what", STEPS)
async def test_a_developer_may_not_use_what_was_not_allowed_and_is_told_where_it_stands(
    store: MemoryStore, what: str
) -> None:
    with pytest.raises(NotAllowed) as raised:
        await allowances(store).check(definition(STEPS[what]), caller())
    assert raised.value.code == "not-allowed"
    assert all(each.code == "not-allowed" and each.span.line >= 6 for each in raised.value.diagnostics)
    assert "security.allow" in (raised.value.diagnostics[0].hint or "")


@pytest.mark.parametrize("what", STEPS)
async def test_an_admin_may(store: MemoryStore, what: str) -> None:
    await allowances(store).check(definition(STEPS[what]), caller("admin"))


@pytest.mark.parametrize(
    ("more", "used"),
    [
        ("  compensation: {steps: [{name: u, type: shell, with: {command: ls}}]}", ("steps", "shell")),
        ("  config: {on_error: {strategy: compensate, notify: {channels: [ops]}}}", ("channels", "ops")),
        ("  triggers: [{webhook: {path: x, verify: {scheme: github, secret: '{{ secrets.X }}'}}}]", ("secrets", "X")),
    ],
)
def test_what_stands_beside_the_steps_counts_too(more: str, used: tuple[str, str]) -> None:
    assert used in {use[:2] for use in uses_of(definition("    - {name: a, type: noop}", more))}


def test_every_built_in_type_is_either_risky_or_open() -> None:
    assert RISKY < LEAF_TYPES | CONTROL_TYPES


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ({"steps": ["shell"]}, "shell"),
        ({"steps": ["*"]}, "sql"),
        ({"steps": ["shell"], "namespaces": ["pay*"]}, "shell"),
        ({"steps": ["shell"], "roles": ["developer"]}, "in what undoes"),
        ({"tasks": ["char*"]}, "a task by its name"),
        ({"tasks": ["charge"], "steps": ["python"]}, "a task"),
        ({"steps": ["python"]}, "a task"),
        ({"tasks": ["charge"]}, "a tool"),
        ({"secrets": ["X"]}, "a secret of nobody"),
    ],
)
async def test_what_is_allowed_may_be_used(store: MemoryStore, rule: dict[str, Any], what: str) -> None:
    found = allowances(store, allow=[rule])
    uses = {use.kind: use for use in uses_of(definition(STEPS[what]))}
    if what == "a task" and "steps" not in rule:
        assert uses["steps"].name == "python"
    await found.check(definition(STEPS[what]), caller())


@pytest.mark.parametrize(
    "rule",
    [
        {"steps": ["sql"]},
        {"steps": ["shell"], "namespaces": ["billing"]},
        {"steps": ["shell"], "roles": ["admin"]},
        {"tasks": ["*"]},
    ],
)
async def test_what_is_allowed_to_others_may_not(store: MemoryStore, rule: dict[str, Any]) -> None:
    with pytest.raises(NotAllowed):
        await allowances(store, allow=[rule]).check(definition(SHELL), caller())


async def test_what_is_denied_nobody_may(store: MemoryStore) -> None:
    found = allowances(store, allow=[{"steps": ["*"]}], deny=[{"steps": ["shell"]}])
    for role in ("developer", "admin"):
        with pytest.raises(NotAllowed):
            await found.check(definition(SHELL), caller(role))
    web = definition("    - {name: a, type: http, with: {url: 'https://x.example'}}")
    with pytest.raises(NotAllowed):
        await allowances(store, deny=[{"steps": ["http"], "roles": ["developer"]}]).check(web, caller())
    await found.check(web, caller())


async def test_services_are_open_unless_some_are_denied_and_then_only_known_ones_are(store: MemoryStore) -> None:
    known = definition("    - {name: a, type: service_call, with: {service: crm, endpoint: /}}")
    unknown = definition("    - {name: a, type: service_call, with: {service: '{{ input.s }}', endpoint: /}}")
    rule = definition("    - {name: a, type: validation, with: {validation_rules: [{field: x, rule: y, service: hr}]}}")
    await allowances(store).check(known, caller())
    await allowances(store).check(unknown, caller())
    found = allowances(store, deny=[{"services": ["hr"]}])
    await found.check(known, caller())
    for refused in (unknown, rule):
        with pytest.raises(NotAllowed):
            await found.check(refused, caller())


async def test_secrets_of_the_store_say_who_may_use_them(store: MemoryStore) -> None:
    secrets = SecretStore(store, lambda: [bytes(32)], VirtualClock())
    using = definition(STEPS["a secret of nobody"])
    await secrets.set("X", "value", ["billing"], Doer(name="ada"))
    with pytest.raises(NotAllowed):
        await allowances(store).check(using, caller())
    await secrets.set("X", "value", ["payments"], Doer(name="ada"))
    await allowances(store).check(using, caller())
    await secrets.set("X", "value", None, Doer(name="ada"))
    await allowances(store).check(using, caller())


@pytest.mark.parametrize(
    ("step", "namespaces", "may"),
    [
        ("{name: a, type: workflow, with: {name: payments.other}}", ["payments"], True),
        ("{name: a, type: workflow, with: {name: billing.send}}", ["payments"], False),
        ("{name: a, type: workflow, with: {name: billing.send}}", ["payments", "billing"], True),
        ("{name: a, type: workflow, with: {name: billing.send}}", [], True),
        ("{name: a, type: workflow, with: {name: '{{ input.w }}'}}", ["payments"], False),
        ("{name: a, type: workflow, with: {name: '{{ input.w }}'}}", [], True),
        ("{name: a, type: emit_event, with: {type: payments.done}}", ["payments"], True),
        ("{name: a, type: emit_event, with: {type: billing.done}}", ["payments"], False),
        ("{name: a, type: emit_event, with: {type: 'order:paid'}}", ["payments"], False),
    ],
)
async def test_what_belongs_to_others_takes_who_may_see_it(
    store: MemoryStore, step: str, namespaces: list[str], may: bool
) -> None:
    found, given = definition(f"    - {step}"), caller("developer", *namespaces)
    if may:
        await allowances(store).check(found, given)
    else:
        with pytest.raises(NotAllowed):
            await allowances(store).check(found, given)
        await allowances(store, allow=[{"workflows": ["*"], "events": ["*"]}]).check(found, given)


async def _registered(store: MemoryStore, of: WorkflowDefinition) -> Any:
    return (await Registry(store).register(of, draft=False, at=0, by="ada")).registration


async def test_what_was_allowed_and_is_not_any_more_cannot_be_started(store: MemoryStore) -> None:
    shell = definition(SHELL)
    before, after = allowances(store, allow=[{"steps": ["shell"]}]), allowances(store)
    await before.check(shell, caller())
    await before.keep(shell, caller())
    registration = await _registered(store, shell)
    await before.check_start(registration, shell)
    with pytest.raises(NotAllowed, match="shell"):
        await after.check_start(registration, shell)


async def test_what_the_operator_registered_may_be_started_unless_it_is_denied(store: MemoryStore) -> None:
    shell = definition(SHELL)
    registration = await _registered(store, shell)
    await allowances(store).keep(shell, caller())  # sent again by somebody who may less: it stays the operator's
    await allowances(store).check_start(registration, shell)
    with pytest.raises(NotAllowed):
        await allowances(store, deny=[{"steps": ["shell"]}]).check_start(registration, shell)


async def test_other_settings_take_who_could_have_registered_the_definition(store: MemoryStore) -> None:
    web = definition("    - {name: a, type: http, with: {url: 'https://x.example'}}")
    found = allowances(store)
    await found.check_settings(web, caller(), {"url": "https://y.example"})
    with pytest.raises(Forbidden) as raised:
        await found.check_settings(web, caller("operator"), {"url": "https://y.example"})
    assert raised.value.code == "settings-not-allowed"
    for refused in (definition(SHELL), definition(STEPS["a secret of nobody"])):
        with pytest.raises(Forbidden):
            await found.check_settings(refused, caller(), {})
    with pytest.raises(Forbidden, match="charge"):
        await found.check_settings(web, caller(), {"task": "charge"})
    await found.check_settings(definition(SHELL), caller("admin"), {"command": "ls -l"})
