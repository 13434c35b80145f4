"""What goes wrong with documents of every dialect: each finding says what was seen and what was expected."""

from __future__ import annotations

import pytest

from stepwell.base.spans import Source
from stepwell.definition.diagnostics import Diagnostic
from stepwell.dialects.loading import load

PARTS = {
    "native": "apiVersion: workflow/v1\nkind: Workflow\nmetadata: {name: w, version: 1.0.0}\nspec: {}\n",
    "execution": "execution: {workflow: w, activities: [{name: a}]}\n",
    "step-map": "id: w\nsteps: {a: {type: input}}\n",
    "task-graph": "ref: a.b\ntasks: [{name: a, action: core.noop}]\n",
    "orquesta": "tasks: {a: {action: core.noop}}\n",
}
"""What a document of each dialect is told by."""


def found(text: str) -> tuple[Diagnostic, ...]:
    return load(Source("w.yaml", text)).diagnostics


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("native", "execution"),
        ("native", "step-map"),
        ("native", "task-graph"),
        ("execution", "step-map"),
        ("execution", "task-graph"),
        ("execution", "orquesta"),
        ("step-map", "task-graph"),
        ("step-map", "orquesta"),
    ],
)
def test_keys_of_two_dialects_are_refused_naming_both(one: str, other: str) -> None:
    (finding,) = found(PARTS[one] + PARTS[other])
    assert finding.code == "ambiguous-dialect"
    assert finding.hint is not None
    assert f"`dialect: {one}`" in finding.hint
    assert f"`dialect: {other}`" in finding.hint


def test_a_dialect_that_cannot_be_told_is_answered_with_what_was_seen_and_how_each_looks() -> None:
    (finding,) = found("hello: world\nwhat: now\n")
    assert finding.message == "it cannot be told which dialect this is written in; saw `hello`, `what`"
    assert finding.hint is not None
    assert all(each in finding.hint for each in ("apiVersion", "`execution`", "`steps`", "`ref`", "`version`"))
    (many,) = found("".join(f"k{number}: 1\n" for number in range(20)))
    assert many.message.endswith("`k7` and more")
    assert found("{}\n")[0].message.endswith("saw no keys")


DOCUMENTS = {
    "native": "apiVersion: workflow/v1\nkind: Workflow\nmetadata: {name: w, version: 1.0.0}\n"
    "spec: {steps: [{name: a, type: noop, KEYS}]}\n",
    "execution": "execution: {workflow: w, activities: [{name: a, KEYS}]}\n",
    "step-map": "id: w\nsteps: {a: {type: input, input: {data: 1}, KEYS}}\n",
    "task-graph": "ref: a.b\nversion: 1.0.0\ntasks: [{name: a, action: ops.do, KEYS}]\n",
    "orquesta": "version: 1.0\ntasks: {a: {action: ops.do, KEYS}}\n",
}


@pytest.mark.parametrize(
    ("dialect", "keys", "code", "message", "hint"),
    [
        ("native", "depends_onn: []", "unknown-key", "the key `depends_onn` is not known here", "depends_on"),
        ("execution", "fallbak: {}", "unknown-key", "the key `fallbak` is not known here", "fallback"),
        ("step-map", "max_retry: 1", "unknown-key", "the key `max_retry` is not known here", "max_retries"),
        ("task-graph", "on_sucess: b", "unknown-key", "the key `on_sucess` is not known here", "on_success"),
        ("orquesta", "retries: {}", "unknown-key", "the key `retries` is not known here", "retry"),
        # unquoted times are texts, and no durations
        ("native", "timeout: 12:30", "bad-duration", "'12:30' is not a duration", ""),
        ("execution", "timeout: 12:30", "bad-duration", "'12:30' is not a duration", ""),
        ("step-map", "timeout: 12:30", "bad-duration", "'12:30' is not a duration", ""),
        ("task-graph", "timeout: 12:30", "bad-duration", "'12:30' is not a duration", ""),
        ("orquesta", "delay: 12:30", "wrong-value", "saw '12:30'", ""),
        # yes and on are words, and no truth values
        ("native", "parallel: yes", "wrong-type", "expected true or false, saw 'yes'", "true"),
        ("execution", "approval: {required: on}", "wrong-type", "expected true or false, saw 'on'", "true"),
        ("step-map", "max_retries: yes", "wrong-type", "expected a whole number, saw 'yes'", ""),
        ("task-graph", "when: yes", "unknown-name", "Variable not found: yes", "write true"),
        ("orquesta", "next: [{when: yes}]", "not-a-condition", "saw 'yes'", ""),
        # and so is the key
        ("native", "on: x", "unknown-key", "the key `on` is not known here", ""),
        ("execution", "on: x", "unknown-key", "the key `on` is not known here", ""),
        ("step-map", "on: x", "unknown-key", "the key `on` is not known here", ""),
        ("task-graph", "yes: x", "unknown-key", "the key `yes` is not known here", ""),
        ("orquesta", "on: x", "unknown-key", "the key `on` is not known here", ""),
    ],
)
def test_what_is_wrong_with_a_step_says_what_was_seen_and_what_was_expected(
    dialect: str, keys: str, code: str, message: str, hint: str
) -> None:
    text = DOCUMENTS[dialect].replace("KEYS", keys)
    finding = next(each for each in found(text) if each.code == code)
    assert message in finding.message
    assert hint in (finding.hint or "")
    assert text.splitlines()[finding.span.line - 1][finding.span.column - 1 :].startswith(
        (keys.partition(":")[0], "12:30", "yes", "on")
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (DOCUMENTS["native"].replace("1.0.0", "1.0").replace(", KEYS", ""), 3),
        (DOCUMENTS["task-graph"].replace("1.0.0", "1.0").replace(", KEYS", ""), 2),
    ],
    ids=["native", "task-graph"],
)
def test_a_number_is_no_version_and_says_how_one_is_written(text: str, line: int) -> None:
    (finding,) = found(text)
    assert (finding.code, finding.span.line, finding.hint) == ("bad-version", line, 'for instance "1.0.0"')
    assert "the number 1.0 is not a semantic version" in finding.message


@pytest.mark.parametrize("dialect", sorted(DOCUMENTS))
def test_a_key_that_is_here_twice_is_refused(dialect: str) -> None:
    text = DOCUMENTS[dialect].replace("KEYS", "timeout: 1s, timeout: 2s")
    (finding,) = [each for each in found(text) if each.code == "duplicate-key"]
    assert "the key 'timeout' is here twice" in finding.message
