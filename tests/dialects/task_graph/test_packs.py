"""Packs: their actions are tasks, everything else in them is a workflow."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from stepwell.app.packs import packs_in
from stepwell.app.workflow_engine import WorkflowEngine
from stepwell.base.errors import ConfigurationError, Conflict
from stepwell.definition.diagnostics import InvalidDefinition
from tests.virtual_clock import VirtualClock

DELIVERY = Path(__file__).parents[3] / "examples" / "dialects" / "task-graph" / "packs" / "delivery"


def engine_with(*folders: Path, store: str = "memory:") -> WorkflowEngine:
    return WorkflowEngine(
        {"packs": [str(folder) for folder in folders], "state_store": {"connection_string": store}},
        clock=VirtualClock(),
    )


def a_pack(folder: Path, **files: str) -> Path:
    """A pack of these files; two underscores stand for a slash, and a file is YAML unless it says otherwise."""
    for name, text in {"pack": 'ref: p\nversion: "1.0.0"\n', **files}.items():
        path = folder / name.replace("__", "/")
        path = path if path.suffix else path.with_suffix(".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


async def test_a_workflow_of_a_pack_is_run_as_an_action_with_the_configuration_of_the_pack() -> None:
    async with engine_with(DELIVERY) as engine:
        report = await engine.execute_workflow("delivery.nightly")
        (child,) = report["children"]
        assert report["status"] == "completed"
        assert (await engine.result(child["execution_id"]))["output"] == {"said": "app-nightly.tar goes to eu-west"}


async def test_an_event_starts_the_action_of_a_rule_when_its_conditions_hold() -> None:
    async with engine_with(DELIVERY) as engine:
        published = await engine.publish_event("git.tag_pushed", {"branch": "main", "tag": "2.1"}, id="e1")
        (execution,) = published.started
        report = await engine.result(execution)
        (child,) = report["children"]
        assert (await engine.result(child["execution_id"]))["output"] == {"said": "app-2.1.tar goes to eu-west"}
        filtered = await engine.publish_event("git.tag_pushed", {"branch": "topic", "tag": "2.2"}, id="e2")
        assert filtered.started == ()


async def test_a_timer_is_a_schedule_by_the_minute() -> None:
    async with engine_with(DELIVERY) as engine:
        session = await engine._open()
        plan = await session.definitions.plan_of("delivery.every_night")
    (trigger,) = plan.definition.triggers
    assert (trigger.kind, trigger.config) == ("schedule", {"cron": "30 2 * * *", "timezone": "Europe/Berlin"})


async def test_a_folder_of_packs_brings_them_all(tmp_path: Path) -> None:
    a_pack(tmp_path / "one")
    a_pack(tmp_path / "two", pack='ref: q\nversion: "1.0.0"\n')
    assert [pack.ref for pack in packs_in([str(tmp_path)])] == ["p", "q"]


async def test_the_parameters_of_an_action_are_checked_and_have_defaults() -> None:
    (pack,) = packs_in([str(DELIVERY)])
    assert list(pack.tasks) == ["delivery.build"]
    async with engine_with(DELIVERY) as engine:
        document = (
            'ref: t.t\nversion: "1.0.0"\ntasks: [{name: b, action: delivery.build, input: {version: 1, kind: rar}}]'
        )
        report = await engine.execute_workflow(document + "\n")
    assert report["error"]["type"] == "invalid_arguments"
    assert "kind" in report["error"]["message"]


async def test_a_pack_is_opened_again_and_again() -> None:
    engine = engine_with(DELIVERY)
    for _ in range(2):
        async with engine:
            assert (await engine.execute_workflow("delivery.nightly"))["status"] == "completed"


async def test_other_content_needs_another_version(tmp_path: Path) -> None:
    pack = a_pack(tmp_path / "p", workflows__w="tasks: [{name: a, action: core.noop}]\n")
    store = f"sqlite:{tmp_path / 'p.db'}"
    async with engine_with(pack, store=store) as engine:
        assert (await engine.execute_workflow("p.w"))["status"] == "completed"
    a_pack(pack, workflows__w="tasks: [{name: other, action: core.noop}]\n")
    with pytest.raises(Conflict, match=r"raise `version` in .*pack\.yaml"):
        async with engine_with(pack, store=store):
            pass


async def test_what_is_wrong_with_a_workflow_stands_in_its_file(tmp_path: Path) -> None:
    pack = a_pack(
        tmp_path / "p",
        actions__w="ref: p.w\nworkflow_file: workflows/w.yaml\n",
        actions__workflows__w="# the graph\ntasks:\n  - name: a\n    action: core.nope\n",
    )
    with pytest.raises(InvalidDefinition) as raised:
        async with engine_with(pack):
            pass
    (finding,) = raised.value.diagnostics
    assert (finding.code, finding.span.line) == ("unknown-action", 4)
    assert finding.source_name.endswith("actions/workflows/w.yaml")


async def test_an_http_action_is_a_request(tmp_path: Path) -> None:
    pack = a_pack(
        tmp_path / "p",
        actions__ask="""
            ref: p.ask
            runner_type: http
            entry_point: POST http://127.0.0.1:9/x
            parameters: {json_body: {type: object}}
            """,
    )
    async with engine_with(pack) as engine:
        session = await engine._open()
        (step,) = (await session.definitions.plan_of("p.ask")).definition.steps
    assert step.type == "http"
    assert step.config == {
        "url": "http://127.0.0.1:9/x",
        "method": "POST",
        "body": "{{ input.json_body | default(none) }}",
    }


@pytest.mark.parametrize(
    ("timer", "schedule"),
    [
        ("trigger_ref: core.intervaltimer\ntrigger_params: {unit: minutes, interval: 5}", {"every": 300_000_000}),
        ("timer: {interval: {unit: hour, interval: 1}}", {"every": 3_600_000_000}),
        ('timer: {cron: {expression: "*/5 * * * *"}}', {"cron": "*/5 * * * *"}),
        ('trigger_ref: core.cron\ntrigger_params: {expression: "0 0 9 * * *"}', {"cron": "0 9 * * *"}),
        ('timer: {cron: {expression: "30 0 9 * * *"}}', {"cron": "30 0 9 * * *"}),
        (
            """trigger_ref: core.webhook
trigger_params: {path: /builds, verify: {scheme: github, secret: "{{ secrets.HUB }}"}}""",
            {"path": "builds", "verify": {"scheme": "github", "secret": "{{ secrets.HUB }}"}},
        ),
        (
            'timer: {datetime: {fire_at: "2026-12-01T08:00:00", timezone: Europe/Berlin}}',
            {"at": "2026-12-01T07:00:00Z"},
        ),
    ],
)
async def test_each_timer_is_a_schedule_and_each_webhook_a_webhook(
    tmp_path: Path, timer: str, schedule: dict[str, Any]
) -> None:
    pack = a_pack(tmp_path / "p", rules__r=f"ref: p.r\n{timer}\naction_ref: core.noop\n")
    async with engine_with(pack) as engine:
        session = await engine._open()
        (trigger,) = (await session.definitions.plan_of("p.r")).definition.triggers
    assert trigger.config == schedule


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"actions__a": "ref: p.a\nrunner_type: python\nentry_point: none.py\n"}, "there is no such file beside it"),
        ({"actions__a": "ref: p.a\nrunner_type: python\n", "actions__a.py": "x = 1"}, "no function `run` or `main`"),
        ({"actions__a": "ref: p.a\nrunner_type: python\n", "actions__a.py": "1 / 0"}, "ZeroDivisionError"),
        ({"actions__a": "ref: p.a\nrunner_type: http\n"}, "entry_point: GET https://"),
        ({"actions__a": "ref: p.a\nworkflow_file: none.yaml\n"}, "cannot be read"),
        ({"actions__a": "- a list\n"}, "a mapping was expected"),
        ({"actions__a": "a: [\n"}, "line "),
        ({"rules__r": "trigger_ref: a.b\n"}, "a rule says its `action_ref`"),
        ({"rules__r": "action_ref: core.noop\n"}, "a rule says what starts it"),
        ({"rules__r": "timer: {moon: {}}\naction_ref: core.noop\n"}, "there is no timer 'moon'"),
        ({"rules__r": "timer: {interval: {unit: moons, interval: 1}}\naction_ref: core.noop\n"}, "an interval has"),
        ({"rules__r": "trigger_ref: core.webhook\naction_ref: core.noop\n"}, "says its `path`"),
        ({"rules__r": "timer: {datetime: {fire_at: soon}}\naction_ref: core.noop\n"}, "is no time"),
        ({"rules__r": "trigger_ref: a.b\nconditions: [{field: x}, {}]\naction_ref: core.noop\n"}, "operators are"),
        ({"workflows__a": "tasks: []\n", "workflows__b": "ref: p.a\ntasks: []\n"}, "has 'p.a' twice"),
    ],
)
def test_what_is_wrong_with_a_pack_is_said_with_its_file(tmp_path: Path, files: dict[str, str], said: str) -> None:
    pack = a_pack(tmp_path / "p", **files)
    with pytest.raises(ConfigurationError) as raised:
        packs_in([str(pack)])
    assert raised.value.code == "invalid-pack"
    assert said in raised.value.message
    assert str(tmp_path) in raised.value.message


def test_a_folder_without_a_pack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no pack in"):
        packs_in([str(tmp_path)])


async def test_what_runs_elsewhere_is_no_action_here(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pack = a_pack(tmp_path / "p", actions__a="ref: p.a\nrunner_type: shell\nentry_point: a.sh\n")
    assert packs_in([str(pack)])[0].tasks == {}
    assert "runner_type 'shell' is not run here" in caplog.text


async def test_what_is_disabled_is_not_there(tmp_path: Path) -> None:
    off = "enabled: false\n"
    pack = a_pack(
        tmp_path / "p",
        actions__a=f"ref: p.a\nrunner_type: python\n{off}",
        rules__r=f"trigger_ref: a.b\naction_ref: core.noop\n{off}",
    )
    (read,) = packs_in([str(pack)])
    assert (read.tasks, read.workflows) == ({}, {})
    a_pack(pack, pack=f"ref: p\n{off}")
    assert packs_in([str(pack)])[0].workflows == {}


async def test_the_conditions_of_a_rule_may_be_a_list_or_an_expression(tmp_path: Path) -> None:
    pack = a_pack(
        tmp_path / "p",
        rules__listed="""
            trigger_ref: a.b
            conditions: [{field: event.payload.n, operator: greater_than, value: 3}, {field: payload.k, value: x}]
            action_ref: core.noop
            """,
        rules__said="""
            trigger_ref: a.b
            conditions: "{{ event.payload.n == 1 }}"
            action_ref: core.noop
            """,
    )
    async with engine_with(pack) as engine:
        for number, started in ((5, ["p.listed"]), (1, ["p.said"]), (2, [])):
            published = await engine.publish_event("a.b", {"n": number, "k": "x"}, id=f"e{number}")
            firings = [firing.workflow for firing in published.firings if firing.outcome == "started"]
            assert firings == started
