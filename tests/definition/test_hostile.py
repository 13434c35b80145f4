"""Documents made to break a reader are refused with a finding: quickly, with little memory, and alive."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.spans import Source
from stepwell.definition.diagnostics import InvalidDefinition, render_all
from stepwell.definition.document import SpecDoc, StepDoc
from stepwell.definition.loading import load
from stepwell.definition.reading import known_keys
from stepwell.definition.settings import SETTINGS
from stepwell.dialects.loading import load_or_raise
from tests.definition.documents import HEAD, codes, found, loaded, spec, steps, the

LETHAL = {
    "brackets": "[" * 60_000,
    "braces": "{" * 60_000,
    "both": "[{" * 30_000,
    "closed": "[" * 30_000 + "]" * 30_000,
    "json": '{"a":' * 30_000,
    "dashes": "- " * 60_000,
    "questions": "? " * 60_000,
    "block": "".join(" " * depth + "-\n" for depth in range(2_000)),
    "mappings": "".join(" " * depth + "a:\n" for depth in range(2_000)),
    "expressions": "a: " + "{{" * 30_000,
    "in a step": HEAD + "spec:\n  steps:\n  - name: a\n    config: " + "[" * 60_000,
    "in an expression": spec(f"vars: {{a: '{{{{ {'(' * 30_000} }}}}'}}"),
    "operators": spec(f"vars: {{a: '{{{{ 1 {'+ 1' * 30_000} }}}}'}}"),
    "a power": spec("vars: {a: '{{ 9 ** 9 ** 9 ** 9 }}'}"),
    "a schema": spec("input: {schema: {" + "not: {" * 70 + "}" * 72),
    "an alias bomb": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60)),
    "a merge bomb": "a0: &a0 {x: 1}\n" + "".join(
        f"a{n}: &a{n} {{l{n}: *a{n - 1}, r{n}: *a{n - 1}, <<: *a{n - 1}}}\n" for n in range(1, 60)
    ),
    "deep aliases": "- &a0 [[[[x]]]]\n" + "".join(f"- &a{n} [[[[*a{n - 1}]]]]\n" for n in range(1, 60)),
}  # fmt: skip


@pytest.mark.parametrize("name", LETHAL)
@pytest.mark.parametrize("file", ["w.yaml", "w.json", "<string>"])
def test_what_could_exhaust_the_stack_is_refused(name: str, file: str) -> None:
    if name in ("a power",) and file != "w.json":
        assert codes(LETHAL[name], file) in ([], ["expression-syntax"])
        return
    assert found(LETHAL[name], file)


def test_a_process_that_reads_them_all_stays_alive_and_small() -> None:
    """In a process of its own, with a small stack and bounded memory: a crash there would not fail this one."""
    script = """
import resource
resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from stepwell.base.spans import Source
from stepwell.definition.loading import load
from tests.definition.test_hostile import LETHAL
for text in LETHAL.values():
    for name in ("w.yaml", "w.json"):
        load(Source(name, text))
print("alive")
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert run.stdout.strip() == "alive", run.stderr[-2_000:]


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "x" * 1_000_000,
        '"' + "x" * 1_000_000,
        steps(f"- {{name: {'x' * 1_000_000}, type: noop}}"),
        steps(f"- {{name: a, type: noop, {'k' * 1_000}: 1}}"),
        steps(f"- {{name: a, type: noop, timeout: '{'9' * 1_000_000}'}}"),
        steps(f"- {{name: a, type: noop, depends_on: '{'b' * 1_000_000}'}}"),
        HEAD.replace("1.0.0", "1." + "0" * 1_000_000) + "spec: {steps: [{name: a, type: noop}]}",
        "a: " + "- " * 1_000_000,
        "!" * 1_000_000,
        "&a " * 300_000,
        "#\n" * 1_000_000,
        "\n" * 1_000_000,
        " " * 1_000_000 + "{",
        ": " * 500_000,
        "%" * 1_000_000,
    ],
    ids=lambda text: text[:12].strip(),
)
def test_a_long_text_is_refused_soon_and_with_a_short_message(text: str) -> None:
    started = time.perf_counter()
    findings = found(text)
    assert findings
    assert len(render_all(findings, Source("w.yaml", text))) < 3_000
    assert time.perf_counter() - started < 10


COUNT = 8_000


def _each(text: str, between: str = ", ", count: int = COUNT) -> str:
    """`text` many times, with N for the number and M for the next one."""
    return between.join(text.replace("N", str(number)).replace("M", str(number + 1)) for number in range(count))


def _lines(line: str, last: str = "", count: int = COUNT) -> str:
    return f"{HEAD}spec:\n  steps:\n  - {_each(line, chr(10) + '  - ', count)}\n{last}"


NOOP = "name: aN, type: noop"
CASE = "{when: true, steps: [{name: bN, type: noop}]}"
STATE = "sN: {transitions: [{event: e, to: sM}, {event: e, to: sN}]}"
SLOW = {
    "many cycles": _lines(
        "{name: aN, type: noop, depends_on: bN}\n  - {name: bN, type: noop, depends_on: aN}", count=COUNT // 2
    ),
    "one cycle": _lines(f"{{{NOOP}, depends_on: aM}}", f"  - {{name: a{COUNT}, type: noop, depends_on: a0}}\n"),
    "unknown steps": _lines(f"{{{NOOP}, output: {{x: '{{{{ steps.bN.output }}}}'}}, depends_on: cN}}"),
    "far reads": _lines(
        f"{{{NOOP}, depends_on: aM, output: {{x: '{{{{ steps.a{COUNT}.output }}}}'}}}}",
        f"  - {{name: a{COUNT}, type: noop}}\n",
    ),
    "a wide join": _lines(
        f"{{{NOOP}}}",
        f"  - name: z\n    type: noop\n    depends_on: [{_each('aN')}]\n"
        f"    output: {{{_each('oN: ' + chr(39) + '{{ steps.aN.output }}' + chr(39))}}}\n",
    ),
    "misspelt keys": _lines(f"{{{NOOP}, dependson: x}}"),
    "variables": spec(f"vars: {{v0: 0, {_each('vM: ' + chr(39) + '{{ vars.vN }}' + chr(39))}}}"),
    "cases": steps(f"- {{name: a, type: conditional, config: {{cases: [{_each(CASE)}]}}}}"),
    "defaults": spec(
        f"input: {{schema: {{$defs: {{{_each('dN: {}')}}}, properties: {{{_each('pN: {default: 1}')}}}}}}}"
    ),
    "misspelt fallbacks": _lines("{name: aN, type: x, on_failure: {action: fallback, fallback: bN}}"),
    "milestones": _lines(
        f"{{{NOOP}, milestone: {{after: [aM], before: [a0, a{COUNT}]}}, cancels: [a{COUNT}, aM]}}",
        f"  - {{name: a{COUNT}, type: noop}}\n",
    ),
    "a step that cancels all": _lines(f"{{{NOOP}}}", f"  - {{name: z, type: noop, cancels: [{_each('aN')}]}}\n"),
    "branches": steps(
        f"- {{name: a, type: noop, decision: [{_each('{when: input.x, next: b}')}]}}\n"
        f"- {{name: b, type: noop, join: {COUNT}}}"
    ),
    "states": steps(f"- {{name: a, type: state_machine, config: {{initial: s0, states: {{{_each(STATE)}}}}}}}"),
    "checkpoints": _lines(f"{{{NOOP}, checkpoint: c}}"),
    "expressions": spec(f"vars: {{a: '{'{{ 1 + }} ' * COUNT}'}}"),
}


@pytest.mark.parametrize("name", SLOW)
def test_the_time_to_load_grows_no_faster_than_the_document(name: str) -> None:
    """Each of these takes about a second; with work squared it would be a minute or more."""
    started = time.perf_counter()
    loaded(SLOW[name])
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xfea\x00:\x00", "the file is UTF-16"),
        (b"\xfe\xff\x00a", "the file is UTF-16"),
        (b"a: \xe9", "the byte 0xe9 here is not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "the byte 0x89 here is not UTF-8"),
        (b"a: \xed\xa0\x80", "the byte 0xed here is not UTF-8"),
    ],
)
def test_bytes_that_are_no_text_are_told_as_bytes(data: bytes, said: str) -> None:
    assert said in the(data.decode(errors="surrogateescape"), "unreadable-text").message


def test_the_place_of_bytes_that_are_no_text_is_told() -> None:
    text = ("é: 1\nb: é".encode() + b"\xff").decode(errors="surrogateescape")
    finding = the(text, "unreadable-text")
    assert (finding.span.line, finding.span.column) == (2, 5)


def test_a_schema_that_is_none_hides_no_other_finding() -> None:
    bad = ["[]", "5", "{properties: 5}", "{properties: []}", "{properties: {a: 1}}", "{type: x}", "{required: {}}"]
    for schema in bad:
        text = spec(f"input: {{schema: {schema}}}\noutput: {{values: {{a: '{{{{ b }}}}', c: '{{{{ input.d.e }}}}'}}}}")
        assert set(codes(text)) <= {"bad-schema", "wrong-type", "unknown-name"}
        assert len(codes(text)) >= 2


@pytest.mark.parametrize("text", ["a: \x00", "\x1b[31m", "a: \ud800", "a: \x7f", "a: \ufffe", "\x00\x01\x02"])
def test_characters_that_no_document_holds_are_refused(text: str) -> None:
    assert codes(text) == ["unreadable-text"]
    assert "\x1b" not in render_all(found(text), Source("w.yaml", text))


@pytest.mark.parametrize("text", ["", " ", "\n\n", "# only a comment\n", "---\n", "---\n...\n", "\ufeff"])
@pytest.mark.parametrize("name", ["w.yaml", "w.json"])
def test_a_document_without_content_is_refused(text: str, name: str) -> None:
    assert set(codes(text, name)) <= {"empty-document", "json-syntax", "not-a-workflow"}
    assert codes(text, name)


@pytest.mark.parametrize("text", ["- a\n- b", "text", "5", "null", "true", "[[]]"])
def test_a_document_that_is_no_mapping_is_refused(text: str) -> None:
    assert codes(text) == ["not-a-workflow"]


def test_an_error_that_is_raised_says_how_many_and_which_first() -> None:
    source = Source("w.yaml", steps("- {name: a, type: noop, delay: x, join: y}"))
    with pytest.raises(InvalidDefinition) as caught:
        load_or_raise(source)
    assert caught.value.code == "invalid-definition"
    assert caught.value.exit_status == 2
    assert str(caught.value).startswith("the definition has 2 errors; w.yaml:")
    assert caught.value.rendered().count("^") == 2


SNIPPETS = st.sampled_from([
    "name: a", "type: http", "config:", "steps:", "spec:", "- ", "  ", "\n", "{", "}", "[", "]", ": ", ", ", '"', "'",
    "{{ ", " }}", "input.x", "steps.a.output", "depends_on: [a]", "when: ", "&a ", "*a", "<<: ", "!!str ", "|\n", "5",
    "null", "then:", "else:", "cases:", "for_each:", "retry:", "on_failure:", "publish:", "compensate:", "\t", "#",
    "type: conditional", "type: loop", "type: state_machine", "states:", "vars:", "output:", "schema:", "$ref: '#'",
    "properties:", "pattern: '('", "timeout: 5m", "a.b", "next:", "to:", "decision:", "default: ", "triggers:", "1e400",
])  # fmt: skip


@given(st.lists(SNIPPETS, max_size=30).map("".join))
@settings(max_examples=300, deadline=None)
def test_generated_garbage_is_never_a_crash(garbage: str) -> None:
    for text in (garbage, HEAD + garbage, HEAD + "spec:\n  steps:\n    - " + garbage.replace("\n", "\n      ")):
        result = load(Source("w.yaml", text))
        assert result.definition is not None or result.diagnostics


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats(0, 2) | st.sampled_from(["a", "5m", "{{ item }}", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def _settings_of(kind: str) -> st.SearchStrategy[dict[str, object]]:
    return st.dictionaries(st.sampled_from([*known_keys(SETTINGS[kind]), "other"]), ANYTHING, max_size=6)


@st.composite
def wrong_documents(draw: st.DrawFn) -> dict[str, object]:
    """A workflow whose steps have any of the known keys with any values."""
    kind = draw(st.sampled_from(sorted(SETTINGS)))
    step = draw(st.dictionaries(st.sampled_from(known_keys(StepDoc)), ANYTHING, max_size=8))
    step |= {"type": kind, "config": draw(_settings_of(kind))}
    spec = draw(st.dictionaries(st.sampled_from(known_keys(SpecDoc)), ANYTHING, max_size=3))
    return {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": draw(ANYTHING),
        "spec": {**spec, "steps": [step]},
    }


@given(wrong_documents())
@settings(max_examples=300, deadline=None)
def test_wrong_values_under_known_keys_are_findings_in_our_own_words(document: dict[str, object]) -> None:
    text = json.dumps(document)
    for finding in load(Source("w.json", text)).diagnostics:
        assert "Input should" not in finding.message
        assert "pydantic" not in finding.message
        assert "does not fit here" not in finding.message, finding
