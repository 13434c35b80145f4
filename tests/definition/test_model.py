"""What a document says becomes the canonical model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stepwell.base.derive import digest
from stepwell.base.durations import DAY, EXPECTED, HOUR, MINUTE, SECOND
from stepwell.base.spans import Source
from stepwell.definition.context import Known
from stepwell.definition.graph import fallback_steps
from stepwell.definition.loading import load
from stepwell.definition.model import (
    Bulkhead,
    Cache,
    CircuitBreaker,
    Concurrency,
    Dependency,
    FailureAction,
    Fallback,
    Iteration,
    Milestone,
    Mutex,
    RateLimit,
    Repetition,
    WorkflowConfig,
    all_steps,
)
from stepwell.policy.retry import RetryPolicy
from tests.definition.documents import HEAD, codes, content, definition, found, spec, step, steps, the
from tests.definition.trees import value

EVERYTHING = """\
apiVersion: workflow/v1
kind: Workflow
metadata: {name: order-fulfilment, version: "1.2.0", description: "All of it", tags: [orders, demo]}
spec:
  config:
    timeout: 30m
    deadline: 7d
    retry_policy: {max_attempts: 4, backoff: fixed, initial_delay: 5s, max_delay: 5m, multiplier: 3, jitter: 0.1}
    max_parallel_steps: 10
    failure_mode: drain
    concurrency: {key: "{{ input.customer }}", limit: 1, on_limit: replace}
    cancellation: {policy: cancel_running, compensate: true}
    on_error: {strategy: compensate, notify: {channels: [slack], recipients: [ops]},
               steps: [{name: report, type: emit_event, config: {type: failed, data: "{{ error.message }}"}}]}
    policies: {slow: {circuit_breaker: {threshold: 3}}, few: {bulkhead: {max_concurrent: 2}},
               rare: {rate_limit: {limit: 5, per: 1m}}}
    strict_failures: true
  input: {schema: {type: object, properties: {customer: {type: string}, hosts: {type: array}}}}
  vars: {attempts: 0, label: "order of {{ input.customer }}"}
  triggers:
    - {event: "order:created", filter: {amount: {~gt: 10}, country: de}, map: {customer: "{{ event.data.customer }}"},
       dedupe_key: "{{ event.id }}"}
    - {schedule: {cron: "0 9 * * mon-fri", timezone: Europe/Berlin, catch_up: one, jitter: 5m}}
    - {schedule: {every: 1h}}
    - {webhook: {path: orders, verify: {scheme: hmac, secret: "{{ secrets.HOOK }}"}}}
    - {topic: {broker: kafka, name: orders, filter: "{{ event.type == 'x' }}"}}
  steps:
    - name: fetch
      description: Get it
      type: http
      timeout: 10s
      config: {url: "https://example.com/{{ input.customer }}", method: GET, expect_status: [200, 404]}
      output: {id: "{{ response.id }}", status: "{{ response_status }}"}
      publish: {order: "{{ result.id }}", twice: "{{ vars.order }}{{ vars.order }}"}
      circuit_breaker: slow
      rate_limit: rare
      bulkhead: {max_concurrent: 3, max_queue_size: 5, timeout: 5s, fallback: null}
      on_timeout: {action: compensate, compensation_workflow: undo-order, message: "gone: {{ error.message }}"}
      on_failure: [notify_failure]
      compensate: {type: http, config: {url: "https://example.com/{{ steps.fetch.output.id }}", method: DELETE}}
    - name: each_host
      type: shell
      depends_on: [{step: fetch, on: success}, fetch]
      for_each: {items: "{{ input.hosts }}", as: host, index: number, batch_size: 2, concurrency: 3,
                 when: "{{ host != '' }}", on_error: continue}
      with: {command: ["deploy", "{{ host }}", "{{ number }}"], env: {A: "1"}}
      retry: {max_attempts: 2, when: "{{ error.type != 'exit' and attempt < 2 }}"}
      queue: builders
      resources: {cpu: {request: 500m, limit: 2}, memory: {request: 1Gi, limit: 2Gi}}
      cache: {key: "{{ host }}", ttl: 1d}
      checkpoint: deployed
      parallel: true
    - name: poll
      type: python
      depends_on: each_host
      config: {task: poll, args: {id: "{{ vars.order }}"}}
      repeat: {until: "{{ result.done }}", max_iterations: 5, delay: 2s}
      next:
        - {when: "{{ failed() and error.type == 'x' }}", to: notify_failure, publish: {why: "{{ error.message }}"}}
        - {when: "{{ result.big }}", to: [choose, group], delay: 1s}
        - group
    - name: choose
      type: noop
      join: any
      decision:
        - {when: "{{ vars.attempts > 1 }}", next: notify_failure}
        - {default: group}
    - name: group
      type: parallel_group
      join: 1
      config:
        wait_for: 1
        steps:
          one: {type: transform, config: {value: 1}}
          two:
            type: conditional
            config:
              cases:
                - {when: "{{ vars.attempts == 0 }}", steps: [{name: first_case, type: set, config: {attempts: 1}}]}
              default: [{name: other_case, type: fail, config: {message: no}}]
    - name: looped
      type: loop
      depends_on: group
      config:
        items: [1, 2]
        as: number
        steps:
          - {name: inside, type: transform, config: {value: "{{ number }} {{ index }}"}}
          - {name: after, type: wait, depends_on: inside, config: {for: "{{ number }}s"}}
    - name: machine
      type: state_machine
      when: "{{ steps.group.completed }}"
      depends_on: group
      config:
        initial: open
        states:
          open:
            on_enter: [{name: entered, type: noop}]
            transitions: [{event: close, when: "{{ event.data.sure }}", to: closed,
                           actions: [{name: closing, type: noop}]}]
          closed: {final: true}
    - {name: approve, type: approval, condition: true, depends_on: looped,
       config: {prompt: "ok?", response_schema: {type: object}, timeout: 1d, default: {ok: false}}}
    - {name: notify_failure, type: notify, config: {channels: [slack], message: "{{ vars.why | default('?') }}"}}
    - {name: check, type: transform, depends_on: [looped, recheck], join: any, max_visits: 3, config: {value: 1}}
    - {name: recheck, type: wait, depends_on: check, config: {for: 1s}}
    - name: charge
      type: http
      depends_on: looped
      config: {url: "https://example.com/charge", method: POST}
      mutex: {key: "account {{ input.customer }}", timeout: 10s}
      milestone: {after: fetch, before: [approve, machine]}
      cancels: [recheck]
      retry: {retry_on: [timeout, http_error], give_up_on: card_refused}
      on_failure: {action: fallback, fallback: charge_later}
    - {name: charge_later, type: set, mutex: later, config: {later: true}}
  compensation:
    strategy: forward
    mode: manual
    timeout: 5m
    steps: [{name: undo, type: noop, when: "{{ steps.fetch.completed }}"}]
  output: {schema: {type: object}, values: {id: "{{ vars.order }}", state: "{{ steps.fetch.status }}"}}
"""


def test_the_whole_language_is_loaded_without_a_finding_but_its_one_duplicate() -> None:
    assert codes(EVERYTHING) == ["duplicate-dependency"]


def test_yaml_and_json_give_the_same_model() -> None:
    as_json = json.dumps(value(EVERYTHING))
    ours = content(definition(EVERYTHING))
    assert content(definition(as_json, "w.json")) == ours
    assert content(definition(as_json, "w.yaml")) == ours


def test_what_a_definition_was_read_from_is_kept() -> None:
    source = Source("a.yaml", EVERYTHING)
    workflow = load(source).definition
    assert workflow is not None
    assert workflow.source is source
    assert workflow.digest == digest(EVERYTHING.encode())
    assert workflow.dialect == "native"
    assert (workflow.spans.at(("spec", "steps", 0, "type")).line, workflow.spans.at(("nowhere",)).line) == (30, 1)


def test_every_path_in_the_model_leads_to_its_place() -> None:
    workflow = definition(EVERYTHING)
    lines = EVERYTHING.splitlines()
    for each in all_steps(workflow.steps):
        assert each.name in lines[workflow.spans.at(each.path).line - 1] + lines[workflow.spans.at(each.path).line - 2]
        for dependency in each.depends_on:
            assert dependency.step in lines[workflow.spans.at(dependency.path).line - 1]


def test_metadata_config_and_the_rest_of_the_spec_are_read() -> None:
    workflow = definition(EVERYTHING)
    assert (workflow.name, workflow.version, workflow.description) == ("order-fulfilment", "1.2.0", "All of it")
    assert workflow.tags == ("orders", "demo")
    assert workflow.vars == (("attempts", 0), ("label", "order of {{ input.customer }}"))
    assert workflow.output_schema == {"type": "object"}
    assert workflow.output_values == {"id": "{{ vars.order }}", "state": "{{ steps.fetch.status }}"}
    config = workflow.config
    assert (config.timeout, config.deadline) == (30 * MINUTE, 7 * DAY)
    assert config.retry == RetryPolicy(
        max_attempts=4, backoff="constant", initial_delay=5 * SECOND, max_delay=5 * MINUTE, multiplier=3, jitter=0.1
    )
    assert config.concurrency == Concurrency(limit=1, key="{{ input.customer }}", on_limit="replace")
    assert (config.cancellation, config.compensate_on_cancel) == ("cancel_running", True)
    assert (config.failure_mode, config.max_parallel_steps, config.strict_failures) == ("drain", 10, True)
    assert config.on_error.strategy == "compensate"
    assert config.on_error.notify == {"channels": ["slack"], "recipients": ["ops"]}
    assert [each.name for each in config.on_error.steps] == ["report"]
    assert config.policies == {
        "slow": CircuitBreaker(threshold=3),
        "few": Bulkhead(max_concurrent=2),
        "rare": RateLimit(limit=5, per=MINUTE),
    }
    assert workflow.compensation.strategy == "forward"
    assert workflow.compensation.mode == "manual"
    assert workflow.compensation.timeout == 5 * MINUTE
    assert workflow.compensation.declared
    assert workflow.compensation.steps[0].when == "{{ steps.fetch.completed }}"


def test_a_document_without_config_has_the_defaults() -> None:
    workflow = definition(steps("- {name: a, type: noop}"))
    assert workflow.config == WorkflowConfig()
    assert not workflow.compensation.declared
    assert workflow.compensation.strategy is None
    assert workflow.input_schema is None


def test_triggers_are_read() -> None:
    triggers = definition(EVERYTHING).triggers
    assert [trigger.kind for trigger in triggers] == ["event", "schedule", "schedule", "webhook", "topic"]
    assert triggers[0].config == {"event": "order:created"}
    assert triggers[0].filter == {"amount": {"~gt": 10}, "country": "de"}
    assert triggers[0].map == {"customer": "{{ event.data.customer }}"}
    assert triggers[0].dedupe_key == "{{ event.id }}"
    assert triggers[1].config == {
        "cron": "0 9 * * mon-fri", "timezone": "Europe/Berlin", "catch_up": "one", "jitter": 5 * MINUTE,
    }  # fmt: skip
    assert triggers[2].config == {"every": HOUR}
    assert triggers[3].config == {"path": "orders", "verify": {"scheme": "hmac", "secret": "{{ secrets.HOOK }}"}}
    assert triggers[4].config == {"broker": "kafka", "name": "orders", "filter": "{{ event.type == 'x' }}"}


def test_a_step_is_read() -> None:
    fetch, each_host, poll, *_ = definition(EVERYTHING).steps
    assert fetch.timeout == 10 * SECOND
    assert fetch.output == {"id": "{{ response.id }}", "status": "{{ response_status }}"}
    assert fetch.publish == (("order", "{{ result.id }}"), ("twice", "{{ vars.order }}{{ vars.order }}"))
    assert (fetch.circuit_breaker, fetch.rate_limit) == ("slow", "rare")
    assert fetch.bulkhead == Bulkhead(max_concurrent=3, max_queue_size=5, timeout=5 * SECOND)
    assert fetch.on_timeout == FailureAction(
        action="compensate",
        compensation_workflow="undo-order",
        message="gone: {{ error.message }}",
        path=("spec", "steps", 0, "on_timeout"),
    )
    assert fetch.on_failure is None
    assert fetch.compensate is not None
    assert fetch.compensate.config["method"] == "DELETE"
    assert each_host.config == {"command": ["deploy", "{{ host }}", "{{ number }}"], "env": {"A": "1"}}
    assert each_host.for_each == Iteration(
        items="{{ input.hosts }}", as_name="host", index_name="number", batch_size=2, concurrency=3,
        when="{{ host != '' }}", on_error="continue",
    )  # fmt: skip
    assert each_host.resources == {
        "cpu": {"request": "500m", "limit": 2}, "memory": {"request": "1Gi", "limit": "2Gi"},
    }  # fmt: skip
    assert each_host.cache == Cache(key="{{ host }}", ttl=DAY)
    assert (each_host.queue, each_host.checkpoint, each_host.parallel) == ("builders", "deployed", True)
    assert poll.repeat == Repetition(condition="{{ result.done }}", until=True, max_iterations=5, delay=2 * SECOND)


def test_locks_milestones_and_what_a_step_cancels_are_read() -> None:
    charge, later = (each for each in definition(EVERYTHING).steps if each.name.startswith("charge"))
    place = charge.path
    assert charge.mutex == Mutex(key="account {{ input.customer }}", timeout=10 * SECOND, path=(*place, "mutex"))
    assert later.mutex == Mutex(key="later", path=(*later.path, "mutex"))
    assert charge.cancels == ("recheck",)
    assert charge.milestone == Milestone(
        after=("fetch",), before=("approve", "machine"), path=(*place, "milestone")
    )  # fmt: skip
    assert charge.retry is not None
    assert (charge.retry.retry_on, charge.retry.give_up_on) == (("timeout", "http_error"), ("card_refused",))
    assert charge.on_failure is not None
    assert charge.on_failure.fallback == Fallback(step="charge_later", path=(*place, "on_failure", "fallback"))
    assert fallback_steps(definition(EVERYTHING).steps) == {"charge_later"}


def test_nested_steps_are_in_blocks_and_not_in_the_settings() -> None:
    by_name = {each.name: each for each in all_steps(definition(EVERYTHING).steps)}
    assert by_name["group"].config == {"wait_for": 1}
    assert [each.name for each in dict(by_name["group"].blocks)["steps"]] == ["one", "two"]
    assert [name for name, _ in by_name["two"].blocks] == ["cases.0", "default"]
    assert by_name["two"].config == {"cases": [{"when": "{{ vars.attempts == 0 }}"}]}
    assert [name for name, _ in by_name["machine"].blocks] == ["states.open.on_enter", "states.open.transitions.0"]
    assert by_name["machine"].config["states"]["open"]["transitions"] == [
        {"event": "close", "when": "{{ event.data.sure }}", "to": "closed"}
    ]
    assert by_name["one"].path == ("spec", "steps", 4, "config", "steps", "one")
    assert dict(by_name["looped"].config) == {"items": [1, 2], "as": "number"}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a", [Dependency(step="a")]),
        ("[a]", [Dependency(step="a")]),
        ("{step: a, on: failure}", [Dependency(step="a", on="failure")]),
        ("[{step: a, on: skipped}]", [Dependency(step="a", on="skipped")]),
        ("[{step: a}]", [Dependency(step="a", on="satisfied")]),
        ("null", []),
        ("[]", []),
    ],
)
def test_dependencies_are_written_in_several_ways(written: str, expected: list[Dependency]) -> None:
    text = steps(f"- {{name: a, type: noop}}\n- {{name: b, type: noop, depends_on: {written}}}")
    read = definition(text).steps[1].depends_on
    assert [(each.step, each.on) for each in read] == [(each.step, each.on) for each in expected]


EDGES: dict[str, list[Any]] = {
    "next: b": [("b", "success", None)],
    "next: [b, c]": [("b", "success", None), ("c", "success", None)],
    "next: {to: b}": [("b", "success", None)],
    "next: [{to: [b, c]}]": [("b c", "success", None)],
    "next: [{when: 'input.x > 1', to: b}]": [("b", "success", None)],
    "next: [{when: '{{ succeeded() }}', to: b}]": [("b", "complete", None)],
    "next: [{when: 'timed_out()', to: b}]": [("b", "complete", None)],
    "next: [{when: 'skipped() or input.x', to: b}]": [("b", "complete", None)],
    "next: [{when: 'result().ok', to: b}]": [("b", "success", None)],
    "next: [{when: 'failed()', publish: {x: 1}}]": [("", "complete", None)],
    "on_success: b": [("b", "success", None)],
    "on_success: [b, c]": [("b", "success", None), ("c", "success", None)],
    "on_failure: b": [("b", "failure", None)],
    "on_failure: [b]": [("b", "failure", None)],
    "timeout: 1s, on_timeout: b": [("b", "timeout", None)],
    "on_complete: b": [("b", "complete", None)],
    "on_success: b, on_failure: c": [("b", "success", None), ("c", "failure", None)],
    "decision: [{when: 'input.x', next: b}, {default: true, next: c}]": [("b", "success", 0), ("c", "success", 0)],
    "decision: [{default: c}, {when: 'input.x', next: [b]}]": [("b", "success", 0), ("c", "success", 0)],
    "decision: [{default: [c, b]}]": [("c b", "success", 0)],
}


@pytest.mark.parametrize("written", EDGES)
def test_edges_are_written_in_several_ways(written: str) -> None:
    text = steps(f"- {{name: a, type: noop, {written}}}\n- {{name: b, type: noop}}\n- {{name: c, type: noop}}")
    edges = definition(text).steps[0].edges
    assert [(" ".join(edge.to), edge.on, edge.decision) for edge in edges] == EDGES[written]


def test_conditions_of_edges_are_kept_as_written() -> None:
    text = steps("- {name: a, type: noop, next: [{when: '{{ failed() }}', to: b, delay: 5s, publish: {x: 1, y: 2}}]}\n"
                 "- {name: b, type: noop}")  # fmt: skip
    edge = definition(text).steps[0].edges[0]
    assert (edge.when, edge.delay, edge.publish) == ("{{ failed() }}", 5 * SECOND, (("x", 1), ("y", 2)))
    assert edge.path == ("spec", "steps", 0, "next", 0)


def test_on_failure_with_an_action_is_a_policy() -> None:
    read = step("- {name: a, type: noop, on_failure: {action: retry, max_attempts: 3}}")
    assert read.edges == ()
    assert read.on_failure == FailureAction(action="retry", max_attempts=3, path=("spec", "steps", 0, "on_failure"))
    assert read.retry is None


def test_steps_as_a_mapping_are_steps_in_that_order() -> None:
    workflow = definition(steps("z: {type: noop}\na: {type: noop, depends_on: z}"))
    assert [each.name for each in workflow.steps] == ["z", "a"]
    assert workflow.steps[1].path == ("spec", "steps", "a")


@pytest.mark.parametrize(("written", "key"), [("when: true", "when"), ("condition: true", "condition")])
def test_when_and_condition_mean_the_same(written: str, key: str) -> None:
    assert step(f"- {{name: a, type: noop, {written}}}").when is True


def test_with_items_is_short_for_for_each() -> None:
    long = step("- {name: a, type: noop, for_each: {items: [1], batch_size: 2, concurrency: 3}}")
    short = step("- {name: a, type: noop, with_items: [1], batch_size: 2, concurrency: 3}")
    assert short.for_each == long.for_each
    assert step("- {name: a, type: noop, with_items: '{{ input.x }}'}").for_each == Iteration(items="{{ input.x }}")


def test_a_retry_block_that_says_nothing_means_three_tries() -> None:
    assert step("- {name: a, type: noop, retry: {}}").retry == RetryPolicy(max_attempts=3)
    assert definition(spec("config: {retry_policy: {initial_delay: 2s}}")).config.retry == RetryPolicy(
        max_attempts=3, initial_delay=2 * SECOND
    )


def test_what_a_step_does_not_say_about_retries_comes_from_the_workflow() -> None:
    policy = "{max_attempts: 2, backoff: linear, initial_delay: 9s, jitter: 0.5}"
    read = step("- {name: a, type: noop, retry: {max_attempts: 7, jitter: 0}}", f"config: {{retry_policy: {policy}}}")
    assert read.retry == RetryPolicy(max_attempts=7, backoff="linear", initial_delay=9 * SECOND, jitter=0.0)


def test_a_step_without_retry_leaves_it_to_the_workflow() -> None:
    assert step("- {name: a, type: noop}", "config: {retry_policy: {max_attempts: 2}}").retry is None


@pytest.mark.parametrize("name", ["assign_agent", "greet"])
def test_a_task_or_plug_in_is_a_type_that_takes_any_settings(name: str) -> None:
    known = Known(step_types=frozenset({"greet"}), tasks=frozenset({"assign_agent"}))
    read = definition(
        steps(f"- {{name: a, type: {name}, config: {{anything: [1, '{{{{ input.x }}}}']}}}}"), known=known
    )
    assert read.steps[0].type == name


@pytest.mark.parametrize(
    ("written", "micros"),
    [("90", 90 * SECOND), ("1.5", 1_500_000), ("500ms", 500_000), ("1h30m", 90 * MINUTE), ("PT5M", 5 * MINUTE)],
)
def test_durations_are_microseconds(written: str, micros: int) -> None:
    assert step(f"- {{name: a, type: noop, delay: {written}}}").delay == micros


def test_a_queue_may_name_labels_of_its_workers_which_are_text() -> None:
    found = step("- {name: a, type: noop, queue: {name: q, labels: {gpu: true, zone: eu, cores: 8}}}")
    assert (found.queue, dict(found.labels)) == ("q", {"gpu": "true", "zone": "eu", "cores": "8"})
    assert dict(step("- {name: a, type: noop, queue: q}").labels) == {}


def test_null_means_the_same_as_leaving_a_key_out() -> None:
    keys = "when output publish for_each repeat retry timeout delay on_failure next join config depends_on queue cache"
    written = ", ".join(f"{key}: null" for key in keys.split())
    assert step(f"- {{name: a, type: noop, {written}}}") == step("- {name: a, type: noop}")


WRONG = {
    "max_visits: '3'": ("`max_visits`: expected a whole number, saw '3'", "write it without quotes"),
    "max_visits: 3.0": ("`max_visits`: expected a whole number, saw the number 3.0", None),
    "max_visits: 0": ("`max_visits`: must be at least 1, saw the number 0", None),
    "parallel: yes": ("`parallel`: expected true or false, saw 'yes'", "write true"),
    "queue: 5": (
        "`queue`: expected the name of a queue or a mapping with `name` and `labels`, saw the number 5", None,
    ),
    "queue: {name: q, labels: {gpu: 1.5}}": (
        "`gpu`: expected text, a whole number, true or false, saw the number 1.5", None,
    ),
    "queue: {labels: {gpu: true}}": ("the key `name` is missing in `queue`", "`name`: the queue that they serve"),
    "queue: ''": ("`queue`: must not be empty", None),
    "output: [a]": ("`output`: expected a mapping, saw a list", None),
    "retry: 3": (
        "`retry`: expected a mapping, saw the number 3",
        "write `retry: {max_attempts: 3}`; all tries are counted, the first one too",
    ),
    "retry: {backoff: exponental}": (
        "`backoff`: expected constant, fixed, linear or exponential, saw 'exponental'", "did you mean 'exponential'?",
    ),
    "retry: {jitter: 2}": ("`jitter`: must be at most 1, saw the number 2", None),
    "retry: {initial_delay: 10s, max_delay: 5s}": (
        "`max_delay` is shorter than `initial_delay`", "the longest wait cannot be below the first one",
    ),
    "depends_on: [1]": ("`depends_on[0]`: expected a name or a mapping with `step` and `on`, saw the number 1", None),
    "depends_on: 1": ("`depends_on`: expected a name or a list of names, saw the number 1", None),
    "join: 1.5": ("`join`: expected all, sync, any, each or a number, saw the number 1.5", None),
    "on_failure: 1": (
        "`on_failure`: expected a name, a list of names, or a mapping with `action`, saw the number 1", None,
    ),
    "on_failure: {}": ("the key `action` is missing in `on_failure`", "`action`: what to do"),
    "on_failure: {action: fallback}": (
        "`action: fallback` needs `fallback`: a step to run instead, or a value to use", None,
    ),
    "timeout: 0": ("`timeout`: must be longer than zero", None),
    "for_each: '{{ input.x }}'": ("`for_each`: expected a mapping, saw '{{ input.x }}'", None),
    "repeat: {}": ("a repetition is exactly one of `while` and `until`", None),
    "repeat: {while: true, until: true}": ("a repetition is exactly one of `while` and `until`", None),
    "next: [{too: a}]": ("the key `too` is not known here", "did you mean 'to'?"),
    "config: 5": ("`config`: expected a mapping, saw the number 5", None),
    "config: {a: 1}, with: {}": ("`config` and `with` mean the same; only one of them can be given", None),
    "decision: [{next: a}]": ("a branch needs `when`, or `default: true`", None),
    "decision: [{when: true}]": ("a branch needs `next`: the step to go on with", None),
    "cache: {}": ("the key `key` is missing in `cache`", "`key`: results with the same key are reused"),
    "resources: {gpu: 1}": ("the key `gpu` is not known here", "did you mean 'cpu'?"),
}  # fmt: skip


@pytest.mark.parametrize("written", WRONG)
def test_what_does_not_fit_is_said_in_our_own_words(written: str) -> None:
    findings = found(steps(f"- {{name: b, type: greet, {written}}}"))
    said = [(finding.message, finding.hint) for finding in findings if finding.code != "unknown-step"]
    assert WRONG[written] in said


SETTINGS = {
    "http: {url: 'https://x', method: post}": ("`method`: 'post' is written in capitals", "write POST"),
    "http: {url: 'https://x', expect_status: 99}": ("`expect_status`: must be at least 100, saw the number 99", None),
    "http: {url: 'https://x', body: 1, form: {}}": ("a request has a `body` or a `form`, not both", None),
    "shell: {command: a, script: b}": ("shell takes only one of `command` or `script`", None),
    "shell: {}": ("shell needs `command` or `script`", None),
    "wait: {}": ("wait needs `for` or `until`", None),
    "wait: {until: soon}": ("`until`: 'soon' is not a time", "write it as 2026-11-20T10:00:00Z"),
    "wait: {for: soon}": (f"`for`: 'soon' is not a duration; expected {EXPECTED}", None),
    "wait_for_event: {event_type: t, filter: [a]}": (
        "expected a mapping from paths to values, or an expression; saw a list", None),
    "conditional: {condition: true}": ("conditional needs `then` or `else`", None),
    "conditional: {condition: true, then: [{name: x, type: noop}], default: [{name: y, type: noop}]}": (
        "`default` does not go with `condition`", None),
    "loop: {steps: [{name: x, type: noop}]}": ("loop needs `items` or `while` or `until` or `count`", None),
    "loop: {count: 0, steps: [{name: x, type: noop}]}": (
        "no round is asked for, so the steps of the loop never run", "take the loop out, or compute the number"),
    "loop: {count: -1, steps: [{name: x, type: noop}]}": ("`count`: must be at least 0, saw the number -1", None),
    "parallel_group: {steps: []}": ("there are no steps here", "give it at least one"),
    "parallel_group: {steps: 5}": (
        "`steps`: expected a list of steps, or a mapping from name to step, saw the number 5", None,
    ),
    "validation: {validation_rules: [{rule: email}]}": (
        "the key `field` is missing", "`field`: a dotted path into the data"),
    "set: {a b: 1}": ("'a b' is not a name: letters, digits, _ and -, beginning with a letter or _", None),
    "ai: {prompt: p, output_schema: {type: nope}}": (
        'not a JSON Schema: "nope" is not a type; types are array, boolean, integer, null, number, object, string',
        None,
    ),
    "noop: {x: 1}": ("the key `x` is not known here", "nothing is known here"),
}  # fmt: skip


@pytest.mark.parametrize("written", SETTINGS)
def test_the_settings_of_each_type_are_checked(written: str) -> None:
    kind, _, config = written.partition(": ")
    findings = found(steps(f"- {{name: a, type: {kind}, config: {config}}}"))
    assert SETTINGS[written] in [(finding.message, finding.hint) for finding in findings]


@pytest.mark.parametrize(
    "written",
    [
        "http: {url: '{{ input.u }}', method: '{{ input.m }}', headers: '{{ input.h }}', timeout: '{{ input.t }}'}",
        "http: {url: '{{ input.u }}', expect_status: '{{ input.s }}', form: '{{ input.f }}'}",
        "loop: {count: '{{ input.n }}', max_iterations: '{{ input.m }}', steps: [{name: x, type: noop}]}",
        "wait: {for: '{{ input.d }}'}",
        "wait: {until: '{{ input.d }}'}",
        "workflow: {name: '{{ input.n }}', wait: '{{ input.w }}', input: '{{ input }}'}",
        "file: {op: '{{ input.o }}', path: '{{ input.p }}', format: '{{ input.f }}'}",
        "notify: {channels: '{{ input.c }}', message: m}",
    ],
)
def test_an_expression_may_stand_in_place_of_any_typed_setting(written: str) -> None:
    kind, _, config = written.partition(": ")
    assert codes(steps(f"- {{name: a, type: {kind}, config: {config}}}")) == []


def test_a_step_without_type_and_settings_is_explained() -> None:
    finding = the(steps("- {name: a}"), "missing-key")
    assert finding.message.startswith("a step without `type` calls a service")


@pytest.mark.parametrize(
    ("version", "hint"),
    [("1.0", '"1.0.0"'), ("1", '"1.0.0"'), ('"v1.2"', '"1.2.0"'), ('"1.2.3.4"', '"1.2.3"'), ("latest", '"1.0.0"'),
     ('"01.2.3"', '"1.2.3"'), ("true", '"1.0.0"')],
)  # fmt: skip
def test_a_version_that_is_not_semantic_gets_a_suggestion(version: str, hint: str) -> None:
    finding = the(HEAD.replace('"1.0.0"', version) + "spec: {steps: [{name: a, type: noop}]}", "bad-version")
    assert finding.hint == f"for instance {hint}"


@pytest.mark.parametrize("version", ["0.0.1", "1.2.3-beta.1", "1.2.3+build.5", "10.20.30-a-b.c+d"])
def test_semantic_versions_are_accepted(version: str) -> None:
    assert definition(HEAD.replace("1.0.0", version) + "spec: {steps: [{name: a, type: noop}]}").version == version


def test_missing_parts_of_the_document_are_all_named() -> None:
    assert [finding.message for finding in found("kind: Workflow\n")] == [
        "the key `apiVersion` is missing", "the key `metadata` is missing", "the key `spec` is missing",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "like"),
    [
        ("execution: {workflow: x, activities: []}", "activities"),
        ("saga: {steps: []}", "activities"),
        ("workflowDefinition: []", "activities"),
        ("id: x\nsteps: {a: {type: input}}", "step map"),
        ("ref: a.b\ntasks: [{name: a, action: x.y}]", "task graph"),
        ("version: 1.0\ntasks: {a: {action: x}}", "Orquesta"),
    ],
)
def test_a_document_of_another_kind_gets_one_finding(text: str, like: str) -> None:
    finding = the(text + "\n---\nmore: documents\n", "not-a-workflow")
    assert like in finding.message
    assert finding.hint == "a native workflow begins with `apiVersion: workflow/v1` and `kind: Workflow`"
