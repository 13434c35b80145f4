"""Every kind of finding has an example here, and each example is found where it stands."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import stepwell.definition
from stepwell.definition.codes import CODES, NATIVE_CODES
from stepwell.definition.context import Known
from tests.definition.documents import HEAD, codes, found, marked, spec, steps, the

TWO = "- {name: a, type: noop}\n- {name: b, type: noop, depends_on: [a]}\n"
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]\n" for number in range(1, 9)
)
KNOWN = Known(
    step_types=frozenset({"greet"}),
    tasks=frozenset({"assign_agent"}),
    services=frozenset({"users"}),
    workflows=frozenset({"cleanup"}),
    rules=frozenset({"email"}),
    policies=frozenset({"shared"}),
    channels=frozenset({"slack"}),
)


def python(value: str, **more: str) -> str:
    extra = "".join(f", {key}: {text}" for key, text in more.items())
    return steps(f"- {{name: a, type: transform, config: {{value: {value}}}{extra}}}")


EXAMPLES: dict[str, tuple[str, str]] = {
    "unreadable-text": ("a: \x00", "\x00"),
    "too-large": ("x" * (8 * 1024 * 1024 + 1), ""),
    "too-deep": ("[" * 60_000, "["),
    "too-many-aliases": (BOMB, "*a3"),
    "too-many-steps": (HEAD + "spec:\n  steps: [" + "&a {}, " + "*a, " * 50_000 + "]", "[&a"),
    "too-many-findings": (HEAD + "spec:\n  steps: [" + "1, " * 2_000 + "]", "1"),
    "yaml-syntax": ("a: [1", ""),
    "json-syntax": ('{"a": 1,,}', ","),
    "empty-document": ("# nothing\n", ""),
    "several-documents": (steps(TWO) + "---\na: 1\n", "---"),
    "duplicate-key": (steps("- {name: a, type: noop, name: b}"), "name"),
    "bad-key": (steps("- {name: a, type: transform, config: {value: {1: 2}}}"), "1"),
    "bad-number": (python(".nan"), ".nan"),
    "bad-alias": ("a: *b", "*b"),
    "bad-merge": (steps("- {name: a, type: noop, <<: 3}"), "3"),
    "unknown-tag": (python("!secret x"), "!secret x"),
    "unquoted-expression": (python("{{ input.x }}"), "{{ input.x }}"),
    "not-a-workflow": ("- 1", "- 1"),
    "missing-key": (steps("- {name: a, type: transform, config: {}}"), "{}"),
    "unknown-key": (steps("- {name: a, type: noop, dependson: [a]}"), "dependson"),
    "conflicting-keys": (steps("- {name: a, type: noop, when: true, condition: true}"), "condition"),
    "misplaced-key": (
        spec("compensation: {steps: [{name: u, type: noop}, {name: v, type: noop, depends_on: u}]}"), "u",
    ),
    "wrong-type": (steps("- {name: a, type: noop, max_visits: abc}"), "abc"),
    "wrong-value": (steps("- {name: a, type: noop, join: some}"), "some"),
    "no-steps": (HEAD + "spec: {steps: []}", "[]"),
    "bad-duration": (steps("- {name: a, type: noop, delay: 5 min}"), "5 min"),
    "bad-version": (HEAD.replace('"1.0.0"', "1.0") + "spec: {steps: [{name: a, type: noop}]}", "1.0"),
    "bad-name": (steps("- {name: a b, type: noop}"), "a b"),
    "bad-quantity": (steps("- {name: a, type: noop, resources: {memory: {limit: 2 gigs}}}"), "2 gigs"),
    "bad-url": (steps("- {name: a, type: http, config: {url: ftp://x}}"), "ftp://x"),
    "bad-schedule": (spec("triggers: [{schedule: {cron: '* *'}}]"), "'* *'"),
    "bad-webhook": (spec("triggers: [{webhook: {path: /in}}]"), "/in"),
    "unknown-operator": (spec("triggers: [{event: t, filter: {priority: {~equals: high}}}]"), "~equals"),
    "unknown-state": (
        steps("- {name: a, type: state_machine, config: {initial: opn, states: {open: {final: true}}}}"), "opn",
    ),
    "bad-schema": (spec("input: {schema: {properties: {a: {type: strng}}}}"), "strng"),
    "bad-default": (spec("input: {schema: {properties: {a: {type: integer, default: x}}}}"), "x"),
    "reserved-name": (steps("- {name: input, type: noop}"), "input"),
    "duplicate-name": (steps(TWO + "- {name: a, type: noop}"), "a"),
    "unknown-step": (steps("- {name: a, type: noop}\n- {name: b, type: noop, depends_on: [A]}"), "A"),
    "self-dependency": (steps("- {name: a, type: noop, depends_on: a}"), "a"),
    "cycle": (steps("- {name: a, type: noop, depends_on: b}\n- {name: b, type: noop, depends_on: a}"), "a"),
    "impossible-join": (steps("- {name: a, type: noop}\n- {name: b, type: noop, depends_on: a, join: 2}"), "2"),
    "unreachable-step": (
        steps("- {name: a, type: noop}\n- {name: b, type: noop, depends_on: b2, max_visits: 3}\n"
              "- {name: b2, type: noop, depends_on: b}"), "b",
    ),
    "no-entry": (steps("- {name: a, type: noop, max_visits: 2, next: [a]}", "config: {branches: separate}"), "a"),
    "never-started": (
        steps(
            "- {name: a, type: noop}\n- {name: b, type: noop, max_visits: 2, next: [b]}", "config: {branches: separate}"
        ), "b",
    ),
    "several-defaults": (
        steps("- {name: a, type: noop, decision: [{default: b}, {default: b}]}\n- {name: b, type: noop}"),
        "{default: b}",
    ),
    "unknown-type": (steps("- {name: a, type: gret}"), "gret"),
    "unknown-task": (steps("- {name: a, type: python, config: {task: asign_agent}}"), "asign_agent"),
    "unknown-service": (steps("- {name: a, config: {service: user, endpoint: /}}"), "user"),
    "unknown-rule": (
        steps("- {name: a, type: validation, config: {validation_rules: [{field: x, rule: emial}]}}"), "emial",
    ),
    "unknown-policy": (steps("- {name: a, type: greet, bulkhead: shred}"), "shred"),
    "impossible-milestone": (
        steps("- {name: a, type: noop, milestone: {after: b}}\n- {name: b, type: noop, depends_on: a}"), "b",
    ),
    "fallback-has-edges": (
        steps("- {name: a, type: noop, on_failure: {action: fallback, fallback: b}}\n- {name: c, type: noop}\n"
              "- {name: b, type: noop, depends_on: c}"), "b",
    ),
    "expression-in-code": (
        steps("- {name: a, type: shell, config: {script: 'ls {{ input.folder }}'}}"), "'ls",
    ),
    "not-a-condition": (steps("- {name: a, type: noop, when: 5}"), "5"),
    "undeclared-policy": (steps("- {name: a, type: greet, bulkhead: shred}"), "shred"),
    "unrecognised-step": (
        steps("- {name: a, type: noop, on_failure: {action: fallback, fallback: bakcup}}\n"
              "- {name: backup, type: noop}"), "bakcup",
    ),
    "cancels-later-step": (
        steps("- {name: a, type: noop, cancels: b}\n- {name: b, type: noop, depends_on: a}"), "b",
    ),
    "behind-failure": (steps("- {name: a, type: fail}\n- {name: b, type: noop, depends_on: [a]}"), "a"),
    "decision-without-default": (
        steps("- {name: a, type: noop, decision: [{when: input.x, next: b}]}\n- {name: b, type: noop}"), "decision",
    ),
    "default-not-last": (
        steps("- {name: a, type: noop, decision: [{default: b}, {when: input.x, next: c}]}\n- {name: b, type: noop}\n"
              "- {name: c, type: noop}"), "{when: input.x, next: c}",
    ),
    "unreachable-branch": (
        steps("- {name: a, type: noop, decision: [{when: true, next: b}, {default: b}]}\n- {name: b, type: noop}"),
        "{default: b}",
    ),
    "unreachable-state": (
        steps("- {name: a, type: state_machine, config: {initial: x, states: {x: {final: true}, lo: {final: true}}}}"),
        "lo",
    ),
    "endless-state": (
        steps("- {name: a, type: state_machine, config: {initial: idle, states: {idle: {}}}}"), "states",
    ),
    "duplicate-checkpoint": (
        steps("- {name: a, type: noop, checkpoint: here}\n- {name: b, type: noop, checkpoint: here}"), "here",
    ),
    "shadowed-name": (
        steps("- {name: a, type: loop, config: {items: [1], as: x, steps: [\n"
              "    {name: b, type: noop, for_each: {items: [1], as: x}}]}}"), "x",
    ),
    "unrecognised-error": (steps("- {name: a, type: greet, retry: {retry_on: [timeuot]}}"), "timeuot"),
    "confusing-name": (steps("- {name: a, type: noop, publish: {result: 1}}"), "result"),
    "expression-syntax": (python('"{{ 1 + }}"'), "}"),
    "unknown-function": (python('"{{ uper(1) }}"'), "u"),
    "misplaced-function": (steps("- {name: a, type: noop, when: succeeded()}"), "s"),
    "wrong-arguments": (python('"{{ upper() }}"'), "u"),
    "method-call": (python('"{{ input.x.strip() }}"'), "."),
    "unknown-name": (python('"{{ customer }}"'), "c"),
    "misplaced-name": (python('"{{ response.id }}"'), "r"),
    "unknown-input": (
        steps("- {name: a, type: transform, config: {value: '{{ input.nam }}'}}",
              "input: {schema: {properties: {name: {}}, additionalProperties: false}}"), "i",
    ),
    "unknown-variable": (python('"{{ vars.total }}"'), "v"),
    "unknown-field": (python('"{{ workflow.nam }}"'), "w"),
    "undeclared-input": (
        steps("- {name: a, type: transform, config: {value: '{{ input.nam }}'}}",
              "input: {schema: {properties: {name: {}}}}"), "i",
    ),
    "step-not-upstream": (
        steps("- {name: a, type: noop}\n- {name: b, type: transform, config: {value: '{{ steps.a.output }}'}}"), "s",
    ),
    "duplicate-dependency": (steps("- {name: a, type: noop}\n- {name: b, type: noop, depends_on: [a, a]}"), "a"),
    "unknown-channel": (
        steps("- {name: a, type: notify, config: {channels: [slak], message: hello}}"), "slak"
    ),
    "unknown-workflow": (steps("- {name: a, type: workflow, config: {name: clean}}"), "clean"),
    "unrecognised-type": (steps("- {name: a, type: transfrom}"), "transfrom"),
    "timeout-too-long": (
        steps("- {name: a, type: transform, config: {value: 1}, timeout: 1h}", "config: {timeout: 30m}"), "1h",
    ),
    "no-timeout": (steps("- {name: a, type: noop, on_timeout: {action: continue}}"), "{action: continue}"),
    "no-effect": (steps("- {name: a, type: noop, concurrency: 3}"), "concurrency"),
    "literal-secret": (
        steps("- {name: a, type: http, config: {url: 'https://x', headers: {Authorization: Bearer abc}}}"),
        "Bearer abc",
    ),
}  # fmt: skip
"""By code: a document in which nothing else is wrong, and what stands at the place of the finding."""

KNOWLEDGE = {
    "unknown-type", "unknown-task", "unknown-service", "unknown-rule", "unknown-policy", "unknown-workflow",
    "unknown-channel",
}  # fmt: skip
"""Findings that need to know what there is outside of the document."""


def test_every_code_has_an_example() -> None:
    assert EXAMPLES.keys() == NATIVE_CODES.keys()


@pytest.mark.parametrize("code", sorted(EXAMPLES))
def test_each_example_is_found_alone_and_where_it_stands(code: str) -> None:
    text, place = EXAMPLES[code]
    known = KNOWN if code in KNOWLEDGE else None
    findings = found(text, known=known)
    if code == "too-many-findings":
        findings = findings[-1:]
    assert [finding.code for finding in findings] == [code], [str(finding) for finding in findings]
    assert findings[0].severity == CODES[code].severity
    assert marked(text, findings[0]).startswith(place)


@pytest.mark.parametrize("code", sorted(KNOWLEDGE))
def test_what_cannot_be_known_is_not_checked(code: str) -> None:
    assert codes(EXAMPLES[code][0]) in ([], ["unrecognised-type"], ["undeclared-policy"])


def test_every_code_is_used_and_every_used_code_is_listed() -> None:
    folder = Path(stepwell.definition.__file__ or "").parent
    texts, first_arguments = set(), set()
    for file in folder.glob("*.py"):
        if file.name in ("codes.py", "dialect_codes.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            if isinstance(node, ast.Call) and _name(node.func) in {"add", "add_at", "_add", "wrong", "Diagnostic"}:
                first_arguments.update(_texts(node.args[0]))
    from_expressions = {"unknown-function", "misplaced-function", "wrong-arguments", "method-call"}
    assert NATIVE_CODES.keys() - texts == from_expressions
    assert first_arguments - CODES.keys() == set()


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _texts(argument: ast.expr) -> list[str]:
    return [node.value for node in ast.walk(argument) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_all_findings_come_in_one_pass_in_the_order_of_their_places() -> None:
    text = steps("""
        - {name: a, type: noop, depends_on: [c], timeout: soon}
        - {name: a, type: http, config: {uri: 'x', method: post}}
        - {name: b, type: transform, config: {value: '{{ steps.zzz.output }} {{ nope( }}'}, retry: 3}
    """)
    findings = found(text)
    assert [(finding.span.line, finding.code) for finding in findings] == [
        (7, "unknown-step"),
        (7, "bad-duration"),
        (8, "duplicate-name"),
        (8, "missing-key"),
        (8, "unknown-key"),
        (8, "wrong-value"),
        (9, "expression-syntax"),
        (9, "wrong-type"),
    ]


def test_a_cycle_is_named_by_its_path() -> None:
    text = steps("""
        - {name: a, type: noop, depends_on: c}
        - {name: b, type: noop, depends_on: a}
        - {name: c, type: noop, depends_on: b}
    """)
    assert the(text, "cycle").message.endswith("a -> b -> c -> a")


def test_a_hint_names_the_nearest_name() -> None:
    unknown = the(steps("- {name: first, type: noop}\n- {name: b, type: noop, depends_on: frist}"), "unknown-step")
    assert unknown.hint == "did you mean 'first'?"


def test_a_second_position_is_named_by_its_line() -> None:
    assert the(EXAMPLES["duplicate-name"][0], "duplicate-name").message.endswith("the first is in line 7")
    assert the(EXAMPLES["duplicate-key"][0], "duplicate-key").message.endswith("the first is in line 7")


def test_an_example_of_an_aliased_mistake_is_reported_once() -> None:
    text = steps("- &a {name: a, type: noop, tiemout: 1}\n- {<<: *a, name: b}\n- {<<: *a, name: c}")
    assert codes(text) == ["unknown-key"]
