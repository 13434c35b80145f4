"""Every wrong construct is a finding at its place, before anything runs."""

from __future__ import annotations

import pytest

from stepwell.definition.context import Known
from stepwell.definition.diagnostics import Diagnostic
from stepwell.definition.words import RESERVED
from tests.definition.documents import found, spec, steps

NOOP = "type: noop"


def finding(text: str, known: Known | None = None) -> Diagnostic:
    """The only error about `text`."""
    (error,) = [each for each in found(text, known=known) if each.severity == "error"]
    return error


def marked(text: str, each: Diagnostic) -> str:
    """What the finding points at."""
    return text.splitlines()[each.span.line - 1][each.span.column - 1 : each.span.end_column - 1]


def check(text: str, code: str, place: str) -> None:
    error = finding(text)
    assert (error.code, marked(text, error)) == (code, place)


@pytest.mark.parametrize(
    "settings",
    [
        "type: parallel_group, config: {steps: []}",
        "type: loop, config: {count: 2, steps: []}",
        "type: conditional, config: {condition: 'input.x', then: []}",
        "type: conditional, config: {cases: []}",
        "type: conditional, config: {cases: [{when: 'input.x', steps: []}]}",
        "type: state_machine, config: {initial: s, states: {s: {on_enter: [], final: true}}}",
    ],
)
def test_an_empty_group_is_refused(settings: str) -> None:
    check(steps(f"- {{name: g, {settings}}}"), "no-steps", "[]")


def test_a_workflow_without_steps_is_refused() -> None:
    check(spec("").partition("  steps:")[0] + "  steps: []\n", "no-steps", "[]")


@pytest.mark.parametrize("count", ["0", "-1"])
@pytest.mark.parametrize(
    "step",
    [
        "for_each: {items: [1], batch_size: N}",
        "for_each: {items: [1], concurrency: N}",
        "with_items: [1], batch_size: N",
        "with_items: [1], concurrency: N",
        "repeat: {while: 'input.x', max_iterations: N}",
        "max_visits: N, depends_on: a",
        "join: N, depends_on: a",
    ],
)
def test_a_zero_or_negative_batch_concurrency_bound_or_join_is_refused(step: str, count: str) -> None:
    check(steps(f"- {{name: a, {NOOP}}}\n- {{name: g, {NOOP}, {step.replace('N', count)}}}"), "wrong-value", count)


@pytest.mark.parametrize(
    "keys",
    ["depends_on: nobody", "next: nobody", "on_success: nobody", "on_failure: nobody", "on_complete: nobody",
     "on_timeout: nobody, timeout: 5s", "decision: [{when: 'input.x', next: nobody}, {default: z}]",
     "decision: [{default: nobody}]", "milestone: {after: nobody}", "milestone: {before: nobody}", "cancels: [nobody]"],
)  # fmt: skip
def test_a_target_that_does_not_exist_is_refused_naming_it(keys: str) -> None:
    text = steps(f"- {{name: a, type: greet, {keys}}}\n- {{name: z, {NOOP}}}")
    error = finding(text)
    assert (error.code, error.message) == ("unknown-step", "there is no step 'nobody'")
    assert "nobody" in marked(text, error)


def test_an_unknown_compensation_target_is_refused() -> None:
    text = spec("compensation: {steps: [{name: u, type: transform, config: {value: '{{ steps.nobody.output }}'}}]}")
    error = finding(text)
    assert (error.code, error.message) == ("unknown-step", "there is no step 'nobody'")


def test_an_unknown_compensation_workflow_is_warned_of() -> None:
    action = "on_failure: {action: compensate, compensation_workflow: nobody}"
    (warning,) = found(steps(f"- {{name: a, type: greet, {action}}}"), known=Known(workflows={"cleanup"}))
    assert (warning.code, warning.severity) == ("unknown-workflow", "warning")


@pytest.mark.parametrize(
    ("policy", "code", "place"),
    [
        ("circuit_breaker: {threshold: -5}", "wrong-value", "-5"),
        ("circuit_breaker: {threshold: 0}", "wrong-value", "0"),
        ("circuit_breaker: {open_for: -1s}", "bad-duration", "-1s"),
        ("circuit_breaker: {half_open_calls: 0}", "wrong-value", "0"),
        ("circuit_breaker: {window: 0s}", "bad-duration", "0s"),
        ("bulkhead: {max_concurrent: 0}", "wrong-value", "0"),
        ("bulkhead: {max_concurrent: 1, max_queue_size: -1}", "wrong-value", "-1"),
        ("rate_limit: {limit: 0, per: 1s}", "wrong-value", "0"),
        ("rate_limit: {limit: 1, per: 0s}", "bad-duration", "0s"),
        ("rate_limit: {limit: 1, per: 1s, key: 5}", "wrong-type", "5"),
        ("rate_limit: {limit: 1, per: 1s, key: ''}", "wrong-value", "''"),
        ("rate_limit: {limit: 1, per: 1s, key: '{{ nope( }}'}", "expression-syntax", "("),
        ("rate_limit: {limit: 1, per: 1s, key: '{{ secrets.X }}'}", "misplaced-name", "s"),
        ("rate_limit: {limit: 1, per: 1s, key: '{{ steps.zzz.output }}'}", "unknown-step", "s"),
        ("retry: {max_attempts: 0}", "wrong-value", "0"),
        ("retry: {max_attempts: 2, multiplier: 0.5}", "wrong-value", "0.5"),
        ("retry: {max_attempts: 2, initial_delay: -1s}", "bad-duration", "-1s"),
        ("retry: {max_attempts: 2, backoff: quadratic}", "wrong-value", "quadratic"),
        ("timeout: 0", "bad-duration", "0"),
    ],
)
def test_a_policy_with_a_number_or_time_that_makes_no_sense_is_refused(policy: str, code: str, place: str) -> None:
    check(steps(f"- {{name: a, type: http, config: {{url: 'https://x'}}, {policy}}}"), code, place)


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ("on_error: {strategy: pray}", "pray"),
        ("failure_mode: never", "never"),
        ("cancellation: maybe", "maybe"),
        ("max_parallel_steps: 0", "0"),
        ("concurrency: {limit: 0}", "0"),
        ("concurrency: {limit: 1, on_limit: panic}", "panic"),
    ],
)
def test_a_setting_of_the_workflow_that_makes_no_sense_is_refused(config: str, place: str) -> None:
    check(spec(f"config: {{{config}}}"), "wrong-value", place)


@pytest.mark.parametrize(("key", "value"), [("strategy", "sideways"), ("mode", "sometimes")])
def test_an_unknown_strategy_or_mode_of_compensation_is_refused(key: str, value: str) -> None:
    check(spec(f"compensation: {{{key}: {value}}}"), "wrong-value", value)


def test_a_decision_that_may_take_no_branch_is_warned_of() -> None:
    text = steps(f"- {{name: a, {NOOP}, decision: [{{when: 'input.x', next: b}}]}}\n- {{name: b, {NOOP}}}")
    (warning,) = found(text)
    assert (warning.code, warning.severity) == ("decision-without-default", "warning")


@pytest.mark.parametrize(
    ("decision", "code"),
    [("[]", "missing-key"), ("[{next: b}]", "missing-key"), ("[{default: b}, {default: b}]", "several-defaults")],
)
def test_a_decision_without_branches_or_with_two_defaults_is_refused(decision: str, code: str) -> None:
    assert finding(steps(f"- {{name: a, {NOOP}, decision: {decision}}}\n- {{name: b, {NOOP}}}")).code == code


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_reserved_name_is_refused_wherever_a_step_stands(name: str) -> None:
    check(steps(f"- {{name: {name}, {NOOP}}}"), "reserved-name", name)
    inside = f"[{{name: {name}, {NOOP}}}]"
    check(steps(f"- {{name: g, type: loop, config: {{count: 1, steps: {inside}}}}}"), "reserved-name", name)


@pytest.mark.parametrize("condition", ["5", "'5'", "\"'text'\"", "'[1]'", "[1]", "'{}'"])
@pytest.mark.parametrize(
    "step",
    [
        "type: noop, when: C",
        "type: noop, for_each: {items: [1], when: C}",
        "type: noop, repeat: {until: C}",
        "type: http, config: {url: 'https://x'}, retry: {max_attempts: 2, when: C}",
        "type: loop, config: {while: C, steps: [{name: x, type: noop}]}",
        "type: conditional, config: {condition: C, then: [{name: x, type: noop}]}",
        "type: conditional, config: {cases: [{when: C, steps: [{name: x, type: noop}]}]}",
        "type: noop, next: [{when: C, to: z}]",
        "type: noop, decision: [{when: C, next: z}, {default: z}]",
    ],
)
def test_an_expression_that_is_never_a_boolean_is_refused_where_one_is_needed(step: str, condition: str) -> None:
    text = steps(f"- {{name: a, {step.replace('C', condition)}}}\n- {{name: z, {NOOP}}}")
    error = finding(text)
    assert error.code == "not-a-condition"
    assert marked(text, error) in (condition, condition.strip('"'))


def test_steps_that_all_wait_for_each_other_are_refused_for_none_could_start() -> None:
    text = steps(f"- {{name: a, {NOOP}, depends_on: b, max_visits: 2}}\n- {{name: b, {NOOP}, depends_on: a}}")
    error = finding(text)
    assert (error.code, error.message) == (
        "unreachable-step", "nothing ever starts 'a': only steps of its own cycle lead to it",
    )  # fmt: skip


def test_cycles_and_self_dependencies_are_refused_naming_the_path() -> None:
    cycle = finding(steps(f"- {{name: a, {NOOP}, depends_on: b}}\n- {{name: b, {NOOP}, depends_on: a}}"))
    assert (cycle.code, cycle.message) == ("cycle", "the steps wait for each other: a -> b -> a")
    own = finding(steps(f"- {{name: a, {NOOP}, depends_on: a}}"))
    assert (own.code, own.message) == ("self-dependency", "'a' leads to itself")


def test_a_join_that_can_never_be_met_is_refused() -> None:
    text = steps(f"- {{name: a, {NOOP}}}\n- {{name: b, {NOOP}, depends_on: a, join: 2}}")
    assert finding(text).message == "`join: 2` can never be met: 1 edge leads to 'b'"
    group = "type: parallel_group, config: {wait_for: 2, steps: [{name: x, type: noop}]}"
    assert finding(steps(f"- {{name: g, {group}}}")).code == "impossible-join"
