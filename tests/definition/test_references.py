"""Names that expressions read: whether they exist, and whether they are known where they stand."""

from __future__ import annotations

import pytest

from tests.definition.documents import codes, found, marked, spec, steps, the

NAMED = ["input", "parameters", "vars", "variables", "steps", "task", "tasks", "workflow", "execution", "system"]


def transform(expression: str, before: str = "", spec: str = "") -> str:
    return steps(f"{before}\n- {{name: last, type: transform, config: {{value: '{expression}'}}}}", spec)


@pytest.mark.parametrize("root", NAMED)
def test_these_names_are_known_in_every_setting(root: str) -> None:
    path = {"steps": "steps.last.attempts", "task": "task.last.attempts", "tasks": "tasks.last.attempts"}
    named = path.get(root, {"vars": "vars.x", "variables": "variables.x"}.get(root, root))
    assert codes(transform(f"{{{{ {named} }}}}", spec="vars: {x: 1}")) == []


TRANSFORM = "type: transform, config: {value: '{{ NAME }}'}"

PLACES: dict[str, tuple[str, list[str]]] = {
    "settings": (TRANSFORM, ["secrets.X"]),
    "when": ("when: NAME", []),
    "output": (
        "output: {x: '{{ NAME }}'}",
        ["response", "result", "response_status", "response_headers", "event", "secrets.X"],
    ),
    "publish": ("publish: {x: '{{ NAME }}'}", ["response", "result", "secrets.X"]),
    "retry": (
        "retry: {when: NAME}",
        ["response", "result", "response_status", "response_headers", "error", "attempt", "failed()"],
    ),
    "repeat": ("repeat: {until: NAME}", ["response", "result", "succeeded()"]),
    "repeat for each": (
        "for_each: {items: [1]}, repeat: {until: NAME}", ["response", "result", "item", "index", "succeeded()"],
    ),
    "edge": ("next: [{when: NAME}]", ["response", "result", "error", "failed()", "result()"]),
    "edge variable": ("next: [{publish: {x: '{{ NAME }}'}}]", ["response", "result", "error", "failed()", "secrets.X"]),
    "decision": ("decision: [{when: NAME, next: last}, {default: last}]", ["response", "result", "error", "failed()"]),
    "failure": (
        "on_failure: {action: terminate, message: '{{ NAME }}'}", ["error", "attempt", "failed()", "secrets.X"],
    ),
    "fallback": (
        "on_failure: {action: fallback, fallback: '{{ NAME }}'}", ["error", "attempt", "failed()", "secrets.X"],
    ),
    "items": ("for_each: {items: '{{ NAME }}'}", ["secrets.X"]),
    "item condition": ("for_each: {items: [1], when: NAME}", ["item", "index"]),
    "for each": (f"for_each: {{items: [1]}}, {TRANSFORM}", ["item", "index", "secrets.X"]),
    "named item": (
        f"for_each: {{items: [1], as: host, index: n}}, {TRANSFORM}",
        ["host", "n", "secrets.X"],
    ),
    "cache": ("cache: {key: '{{ NAME }}'}", ["secrets.X"]),
    "undo": ("compensate: {type: transform, config: {value: '{{ NAME }}'}}", ["error", "secrets.X"]),
}  # fmt: skip
"""A key of a step, and which names beside the usual ones are known in it."""

EVERYWHERE = [
    "secrets.X", "response", "result", "response_status", "response_headers", "error", "attempt", "event", "item",
    "index", "host", "n", "failed()", "succeeded()", "result()",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_name_is_known_exactly_where_it_has_a_meaning(place: str, name: str) -> None:
    written, known = PLACES[place]
    kind = "" if written.endswith(TRANSFORM) else "type: process, "
    text = steps(f"- {{name: a, {kind}{written.replace('NAME', name)}}}\n- {{name: last, type: noop}}")
    outcome = name.endswith("()") and any(each.endswith("()") for each in known)
    unknown = "unknown-name" if name in ("host", "n") else "misplaced-name"
    expected = [] if name in known or outcome else ["misplaced-function" if name.endswith("()") else unknown]
    assert codes(text) == expected


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (spec("vars: {a: '{{ NAME }}'}"), ["input", "secrets.X", "execution.id"]),
        (spec("output: {values: {a: '{{ NAME }}'}}"), ["input", "execution.id", "steps.only.output"]),
        (spec("triggers: [{event: t, map: {a: '{{ NAME }}'}}]"), ["event"]),
        (spec("triggers: [{event: t, filter: NAME}]"), ["event"]),
        (spec("triggers: [{event: t, filter: {a: '{{ NAME }}'}}]"), ["event"]),
        (spec("config: {concurrency: {limit: 1, key: '{{ NAME }}'}}"), ["input", "execution.id"]),
        (spec("compensation: {steps: [{name: u, type: transform, config: {value: '{{ NAME }}'}}]}"),
         ["input", "error", "secrets.X", "execution.id", "steps.only.output"]),
        (spec("compensation: {steps: [{name: u, type: noop, when: NAME}]}"),
         ["input", "error", "execution.id", "steps.only.output"]),
        (spec("config: {on_error: {notify: {message: '{{ NAME }}'}}}"),
         ["input", "error", "secrets.X", "execution.id", "steps.only.output"]),
        (steps("- {name: only, type: wait_for_event, config: {event_type: t, filter: NAME}}"),
         ["input", "event", "execution.id", "steps.only.attempts"]),
        (steps("- {name: only, type: wait_for_event, config: {event_type: t, filter: {a: '{{ NAME }}'}}}"),
         ["input", "secrets.X", "execution.id", "steps.only.attempts"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["input", "event", "error", "item", "secrets.X", "execution.id", "steps.only.output"])
def test_names_are_known_in_the_parts_of_a_workflow(text: str, known: list[str], name: str) -> None:
    if name == "steps.only.output" and "wait_for_event" in text:
        name = "steps.only.attempts"
    assert codes(text.replace("NAME", name)) == ([] if name in known else ["misplaced-name"])


def test_steps_in_a_loop_see_its_item() -> None:
    loop = """
        - name: loop
          type: loop
          config:
            items: [1]
            as: host
            steps:
              - {name: a, type: transform, config: {value: "{{ host }} {{ index }}"}}
              - name: deeper
                type: parallel_group
                config: {steps: [{name: b, type: transform, config: {value: "{{ host }}"}}]}
        - {name: outside, type: transform, config: {value: "{{ host }}"}}
    """
    assert codes(steps(loop)) == ["unknown-name"]


def test_a_name_that_is_not_known_says_which_are() -> None:
    finding = the(transform("{{ response.id }}"), "misplaced-name")
    assert finding.message == "`response` is not known in the settings of a step"
    assert finding.hint == "known here: execution, input, secrets, steps, vars"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("total", "a variable is read as `vars.total`"),
        ("customer", "an input is read as `input.customer`"),
        ("first", "a step is read as `steps.first.output`"),
        ("inputs", "did you mean 'input'?"),
        ("stepz", "did you mean 'steps'?"),
    ],
)
def test_a_bare_name_gets_a_hint_of_where_it_lives(name: str, hint: str) -> None:
    more = "vars: {total: 0}\ninput: {schema: {properties: {customer: {}}}}"
    assert the(transform(f"{{{{ {name} }}}}", "- {name: first, type: noop}", more), "unknown-name").hint == hint


SCHEMA = """
input:
  schema:
    properties:
      name: {type: string}
      address: {type: object, properties: {city: {}, street: {}}, additionalProperties: false}
      open: {type: object}
      any: {anyOf: [{type: object}]}
"""


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        ("input.name", []),
        ("input.address.city", []),
        ("input.open.whatever.deeper", []),
        ("input.any.x", []),
        ("input[vars.which]", []),
        ("input.nam", ["undeclared-input"]),
        ("input.nothing_like_it", ["undeclared-input"]),
        ("input.address.citty", ["unknown-input"]),
        ("input['address']['citty']", ["unknown-input"]),
        ("input.nam | default(1)", []),
        ("input.nam is defined", []),
    ],
)
def test_inputs_are_looked_up_in_the_schema(read: str, expected: list[str]) -> None:
    text = steps(
        f'- {{name: a, type: transform, config: {{value: "{{{{ {read} }}}}"}}}}', SCHEMA + "vars: {which: name}"
    )
    assert codes(text) == expected


def test_an_input_without_a_schema_is_not_looked_up() -> None:
    assert codes(transform("{{ input.x.y.z }}")) == []
    assert codes(transform("{{ input.x }}", spec="input: {schema: {type: object}}")) == []


def test_an_unknown_input_names_the_nearest_one() -> None:
    assert the(transform("{{ input.nam }}", spec=SCHEMA), "undeclared-input").hint == "did you mean 'name'?"


@pytest.mark.parametrize(
    "way",
    [
        "vars: {total: 0}",
        "variables: {total: 0}",
    ],
)
def test_a_declared_variable_is_known(way: str) -> None:
    assert codes(transform("{{ vars.total }}", spec=way)) == []


@pytest.mark.parametrize(
    "way",
    [
        "- {name: first, type: noop, publish: {total: 1}}",
        "- {name: first, type: noop, next: [{publish: {total: 1}}]}",
        "- {name: first, type: set, config: {total: 1}}",
        "- {name: g, type: parallel_group, config: {steps: [{name: s, type: set, config: {total: 1}}]}}",
        "- {name: d, type: dynamic, config: {task: plan}}",
    ],
)
def test_a_variable_that_a_step_sets_is_known(way: str) -> None:
    assert codes(transform("{{ vars.total }}", way)) == []


def test_first_values_of_variables_see_only_earlier_ones() -> None:
    assert codes(spec("vars: {a: 1, b: '{{ vars.a }}'}")) == []
    assert codes(spec("vars: {a: '{{ vars.b }}', b: 1}")) == ["unknown-variable"]
    assert codes(spec("vars: {a: '{{ vars.a }}'}")) == ["unknown-variable"]


@pytest.mark.parametrize("field", ["output", "result", "status", "completed", "failed", "skipped", "error", "attempts",
                                   "started_at", "completed_at"])  # fmt: skip
def test_these_fields_of_a_step_are_known(field: str) -> None:
    read = f"{{{{ steps.first.{field} }}}}"
    assert codes(steps(f"""
        - {{name: first, type: noop}}
        - {{name: last, type: transform, depends_on: first, config: {{value: '{read}'}}}}
    """)) == []  # fmt: skip


def test_an_unknown_field_of_a_step_gets_a_hint() -> None:
    before = "- {name: first, type: noop}"
    assert the(transform("{{ steps.first.outptu }}", before), "unknown-field").hint == "did you mean 'output'?"
    hint = the(transform("{{ steps.first.customer_id }}", before), "unknown-field").hint
    assert hint == "what the step gave is in `steps.first.output.customer_id`"


def test_a_step_with_a_hyphen_is_explained() -> None:
    finding = found(transform("{{ steps.my-step.output }}", "- {name: my-step, type: noop}"))[0]
    assert finding.hint == "a name with a hyphen is written steps['my-step']"


ORDER = """
- {name: a, type: noop}
- {name: b, type: noop, depends_on: a}
- {name: c, type: noop, depends_on: b, next: [e]}
- {name: d, type: noop}
- {name: e, type: noop}
- {name: group, type: parallel_group, depends_on: b, config: {steps: [
    {name: g1, type: noop}, {name: g2, type: noop, depends_on: g1}, {name: g3, type: noop}]}}
- {name: after, type: noop, depends_on: group}
"""


@pytest.mark.parametrize(
    ("reader", "read", "fine"),
    [
        ("c", "b", True), ("c", "a", True), ("e", "c", True), ("e", "a", True), ("a", "b", False), ("c", "d", False),
        ("d", "e", False), ("after", "group", True), ("after", "g2", True), ("after", "a", True), ("g1", "a", True),
        ("g2", "g1", True), ("g1", "g2", False), ("g1", "g3", False), ("g1", "group", False), ("g1", "after", False),
        ("g1", "d", False), ("d", "g1", False), ("group", "g1", True), ("a", "a", False),
    ],
)  # fmt: skip
def test_a_step_is_read_only_by_those_it_leads_to(reader: str, read: str, fine: bool) -> None:
    line = f"name: {reader}, type: noop"
    text = steps(ORDER.replace(line, f"{line}, when: steps.{read}.output.x"))
    findings = found(text)
    assert [finding.code for finding in findings] == ([] if fine else ["step-not-upstream"])
    if findings:
        assert marked(text, findings[0]) == "s"


def test_a_step_may_read_itself_when_it_has_ended() -> None:
    assert (
        codes(
            steps(
                "- {name: a, type: noop, output: {x: '{{ steps.a.attempts }}'}, publish: {y: '{{ steps.a.output }}'}}"
            )
        )
        == []
    )


@pytest.mark.parametrize("read", ["steps.d.completed", "steps.d.status", "steps.d.output | default(1)",
                                  "steps.d.output is defined"])  # fmt: skip
def test_asking_whether_a_step_ran_is_no_mistake(read: str) -> None:
    assert codes(steps(ORDER.replace("name: c, type: noop", f'name: c, type: noop, when: "{read}"'))) == []


def test_steps_of_an_allowed_cycle_read_each_other() -> None:
    text = """
        - {name: start, type: noop}
        - {name: a, type: noop, depends_on: [start, b], join: any, max_visits: 3, when: steps.b.output.x}
        - {name: b, type: noop, depends_on: a, when: steps.a.output.x}
        - {name: c, type: noop, depends_on: b, when: steps.a.output.x}
    """
    assert codes(steps(text)) == []


def test_a_cycle_with_max_visits_outside_of_it_is_still_one() -> None:
    text = """
        - {name: a, type: noop, depends_on: [start, b]}
        - {name: b, type: noop, depends_on: a}
        - {name: start, type: noop, max_visits: 3}
    """
    assert codes(steps(text)) == ["cycle"]


def test_a_finding_in_an_expression_points_into_it() -> None:
    text = steps("""
        - name: a
          type: transform
          config:
            value: >
              some text {{ input.x }}
              and {{ vars.total }}
            """)
    finding = the(text, "unknown-variable")
    assert (finding.span.line, finding.span.column) == (12, 18)
    assert finding.path == ("spec", "steps", 0, "config", "value")


def test_edges_stay_inside_their_group() -> None:
    text = steps("""
        - {name: a, type: noop}
        - name: group
          type: parallel_group
          config: {steps: [{name: inner, type: noop, depends_on: a}]}
        - {name: b, type: noop, depends_on: inner}
    """)
    messages = [finding.message for finding in found(text)]
    assert messages == [
        "the step 'a' is not beside this one, but outside of 'group'",
        "the step 'inner' is not beside this one, but inside 'group'",
    ]


def test_nested_steps_share_one_set_of_names() -> None:
    text = steps("""
        - {name: a, type: noop}
        - {name: g, type: parallel_group, config: {steps: {a: {type: noop}}}}
    """, "compensation: {steps: [{name: g, type: noop}]}")  # fmt: skip
    assert codes(text) == ["duplicate-name", "duplicate-name"]
