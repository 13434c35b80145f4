"""Every construct that can be written wrongly: what is said of it, where, and what to do."""

from __future__ import annotations

import pytest

from stepwell.definition.context import Known
from stepwell.policy.limits import Bulkhead, CircuitBreaker, Policy
from tests.definition.documents import codes, found, loaded, marked, steps
from tests.definition.wrong import blocks, graphs, policies
from tests.definition.wrong.documents import ONE, Wrong, config, falling_back, machine, step

TABLES = {
    "groups": blocks.GROUPS,
    "loops": blocks.LOOPS,
    "names": blocks.NAMES,
    "machines": blocks.MACHINES,
    "decisions": blocks.DECISIONS,
    "limits": policies.LIMITS,
    "conditions": policies.CONDITIONS,
    "effects": policies.EFFECTS,
    "compensation": policies.COMPENSATION,
    "joins": graphs.JOINS,
    "mentions": graphs.MENTIONS,
    "fallbacks": graphs.FALLBACKS,
}
ALL = [(f"{table}: {name}", wrong) for table, examples in TABLES.items() for name, wrong in examples.items()]

KNOWN = Known(workflows=frozenset({"undo"}))


@pytest.mark.parametrize("wrong", [wrong for _, wrong in ALL], ids=[name for name, _ in ALL])
def test_a_wrong_construct_is_found_with_its_place_and_what_to_do(wrong: Wrong) -> None:
    findings = found(wrong.text, known=KNOWN)
    assert [finding.code for finding in findings] == [wrong.code], [str(finding) for finding in findings]
    (finding,) = findings
    assert marked(wrong.text, finding).startswith(wrong.place)
    assert wrong.message in finding.message
    assert finding.hint is None if wrong.hint is None else wrong.hint in (finding.hint or "")


FINE = {
    "cases with a default": config("conditional", f"{{cases: [{{when: input.x, steps: {ONE}}}], "
                                                  "default: [{name: y, type: noop}]}"),
    "branches that meet": steps(
        "- {name: a, type: noop, decision: [{when: input.x, next: b}, {default: c}]}\n- {name: b, type: noop}\n"
        "- {name: c, type: noop}\n- {name: d, type: noop, depends_on: [b, c], join: sync}"
    ),
    "a failure that is handled": steps(
        "- {name: a, type: fail, on_failure: b}\n- {name: b, type: noop}\n"
        "- {name: c, type: fail, on_failure: {action: fallback, fallback: 1}}\n- {name: d, type: noop, depends_on: c}\n"
        "- {name: e, type: fail, on_failure: {action: continue}}\n- {name: f, type: noop, depends_on: e}"
    ),
    "a cycle that is entered": steps(
        "- {name: a, type: noop}\n- {name: b, type: noop, depends_on: [a, c], max_visits: 3}\n"
        "- {name: c, type: noop, depends_on: b}\n- {name: d, type: noop, depends_on: c}"
    ),
    "a decision in a cycle that leads both ways": steps(
        "- {name: a, type: noop, max_visits: 3, decision: [{when: input.x, next: b}, {default: c}]}\n"
        "- {name: b, type: noop, next: a}\n- {name: c, type: noop, depends_on: b, join: sync}"
        "\n- {name: start, type: noop, next: a}"
    ),
    "names nested and around": config(
        "parallel_group", "{steps: [{name: x, type: noop, cancels: [y, a]}, {name: y, type: noop}]}"
    ),
    "a milestone around": steps(
        "- {name: a, type: noop}\n- {name: z, type: noop}\n"
        "- {name: g, type: parallel_group, config: {steps: [{name: x, type: noop, milestone: {after: a, before: z}}]}}"
    ),
    "a milestone in a cycle": steps(
        "- {name: start, type: noop}\n- {name: a, type: noop, depends_on: [start, b], max_visits: 3, "
        "milestone: {after: b}, join: any}\n- {name: b, type: noop, depends_on: a}"
    ),
    "any of two before": step("depends_on: [a, z], join: any, milestone: {before: a}"),
    "a fallback step": falling_back("backup"),
    "a fallback beside a condition": step("next: [{when: failed() and input.x, to: z}], "
                                          "on_failure: {action: fallback, fallback: 1}"),
    "a fallback step that reads what came before, and is read": steps(
        "- {name: a, type: noop}\n"
        "- {name: s, type: greet, depends_on: a, on_failure: {action: fallback, fallback: backup}}\n"
        "- {name: backup, type: transform, config: {value: '{{ steps.a.output }}'}}\n"
        "- {name: z, type: transform, depends_on: backup, config: {value: '{{ steps.backup.output }}'}}"
    ),
    "a shared fallback step": falling_back(
        "backup", "- {name: t, type: greet, timeout: 5s, on_timeout: {action: fallback, fallback: backup}}\n"
                  "- {name: after, type: noop, depends_on: backup}"
    ),
    "a fallback value": falling_back("{total: 0, config: 1}"),
    "a fallback text": falling_back("\"{{ 'unavailable' }}\""),
    "a fallback sentence": falling_back("not available"),
    "a fallback step in its place": falling_back("{type: http, config: {url: 'https://x/{{ error.type }}'}}"),
    "a bulkhead's fallback": step("bulkhead: {max_concurrent: 1, fallback: z}"),
    "a default answer from an expression": config(
        "approval", "{prompt: p, response_schema: {type: integer}, default: '{{ input.n }}'}"
    ),
    "a fitting default answer": config(
        "approval", "{prompt: p, response_schema: {type: object, required: [ok]}, default: {ok: true}}"
    ),
    "error types": step("retry: {retry_on: [timeout, ValueError, my_error], give_up_on: [TimeoutError, out_of_stock]}"),
    "nested items": config("loop", "{items: [[1]], steps: [{name: x, type: noop, for_each: {items: '{{ item }}'}}]}"),
    "an undone workflow": steps("- {name: w, type: workflow, config: {name: undo}, on_failure: {action: compensate}}"),
    "guarded transitions": machine(
        "{x: {transitions: [{event: e, when: event.data.ok, to: end}, {event: e, to: x}]}, end: {final: true}}"
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", FINE.values(), ids=FINE.keys())
def test_what_is_right_is_not_found(text: str) -> None:
    assert codes(text, known=KNOWN) == []


def test_a_warning_keeps_nothing_from_being_used() -> None:
    warned = [wrong for _, wrong in ALL if loaded(wrong.text, known=KNOWN).definition is not None]
    assert {"no-effect", "decision-without-default", "undeclared-policy", "endless-state", "shadowed-name"} <= {
        wrong.code for wrong in warned
    }


@pytest.mark.parametrize(
    "place", ["config", "on_failure", "when", "publish", "next", "output", "retry", "mutex", "rate"]
)
def test_what_belongs_to_each_item_sees_the_item_and_what_belongs_to_the_step_does_not(place: str) -> None:
    written = {
        "config": "config: {value: '{{ item }}'}",
        "on_failure": "on_failure: {action: fallback, fallback: '{{ item }}'}",
        "when": "when: item == 1",
        "publish": "publish: {x: '{{ item }}'}",
        "next": "next: [{when: item == 1, to: z}]",
        "output": "output: {x: '{{ item }}'}",
        "retry": "retry: {when: item == 1}",
        "mutex": "mutex: 'lock {{ item }}'",
        "rate": "rate_limit: {limit: 1, per: 1s, key: '{{ item }}'}",
    }
    text = steps(f"- {{name: s, type: greet, for_each: {{items: [1]}}, {written[place]}}}\n- {{name: z, type: noop}}")
    assert codes(text) == ([] if place in ("config", "output", "retry", "rate") else ["misplaced-name"])


CONFIGURED: dict[str, Policy] = {"shared": CircuitBreaker(), "few": Bulkhead(max_concurrent=1)}


@pytest.mark.parametrize(
    ("keys", "message", "hint"),
    [
        ("circuit_breaker: shared", "", ""),
        ("bulkhead: shared", "the policy 'shared' is not a bulkhead", "known: few"),
        ("bulkhead: fwe", "there is no policy 'fwe'", "did you mean 'few'?"),
    ],
)
def test_a_policy_of_the_configuration_must_be_of_the_kind_that_is_needed(keys: str, message: str, hint: str) -> None:
    findings = found(step(keys), known=Known(policies=CONFIGURED))
    expected = [("unknown-policy", message, hint)] if message else []
    assert [(finding.code, finding.message, finding.hint) for finding in findings] == expected
