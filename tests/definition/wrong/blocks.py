"""Wrong groups, loops, names, state machines and decisions."""

from __future__ import annotations

from tests.definition.documents import spec, steps
from tests.definition.wrong.documents import ONE, TWO, A, Wrong, config, machine, step

GROUPS = {
    "an empty group": Wrong(config("parallel_group", "{steps: []}"), "no-steps", "[]", "no steps here", "at least one"),
    "an empty loop": Wrong(config("loop", "{count: 2, steps: {}}"), "no-steps", "{}", "no steps here", "at least one"),
    "an empty branch": Wrong(
        config("conditional", "{condition: input.x, then: []}"), "no-steps", "[]", "no steps here", "at least one",
    ),
    "an empty case": Wrong(
        config("conditional", "{cases: [{when: input.x, steps: []}]}"), "no-steps", "[]", "no steps here",
    ),
    "no cases": Wrong(config("conditional", "{cases: []}"), "no-steps", "[]", "no cases here", "at least one"),
    "wait_for too much": Wrong(
        config("parallel_group", f"{{wait_for: 3, steps: {TWO}}}"), "impossible-join", "3",
        "`wait_for: 3` can never be met: the group has 2 steps", "at most",
    ),
    "wait_for zero": Wrong(
        config("parallel_group", f"{{wait_for: 0, steps: {ONE}}}"), "wrong-value", "0", "at least 1", None,
    ),
    "wait_for a word": Wrong(
        config("parallel_group", f"{{wait_for: al, steps: {ONE}}}"), "wrong-value", "al", "all or any",
        "did you mean 'all'?",
    ),
    "a conditional with both forms": Wrong(
        config("conditional", f"{{condition: input.x, cases: [{{when: input.y, steps: {ONE}}}]}}"), "conflicting-keys",
        "cases", "only one of `condition` or `cases`", None,
    ),
    "a conditional with neither": Wrong(
        config("conditional", "{}"), "missing-key", "{}", "conditional needs `condition` or `cases`", None,
    ),
    "a default beside a condition": Wrong(
        config("conditional", f"{{condition: input.x, then: {ONE}, default: [{{name: y, type: noop}}]}}"),
        "conflicting-keys", "default", "`default` does not go with `condition`", None,
    ),
    "a case without when": Wrong(
        config("conditional", f"{{cases: [{{steps: {ONE}}}]}}"), "missing-key", "{steps", "`when` is missing",
        "condition",
    ),
    "a case with an empty when": Wrong(
        config("conditional", f"{{cases: [{{when: null, steps: {ONE}}}]}}"), "missing-key", "{when",
        "a case needs `when`",
        "or write it as `default`",
    ),
    "a case behind a certain one": Wrong(
        config("conditional", "{cases: [{when: true, steps: [{name: x, type: noop}]}, "
                              "{when: input.y, steps: [{name: y, type: noop}]}]}"),
        "unreachable-branch", "{when: input.y", "never taken: the one in line 7 always is", "write it before",
    ),
    "a default behind a certain case": Wrong(
        config("conditional", "{cases: [{when: '{{ true }}', steps: [{name: x, type: noop}]}], "
                              "default: [{name: y, type: noop}]}"),
        "unreachable-branch", "default", "the default is never taken", "take one of them out",
    ),
}  # fmt: skip

LOOPS = {
    "neither form": Wrong(
        config("loop", f"{{steps: {ONE}}}"), "missing-key", "{steps",
        "loop needs `items` or `while` or `until` or `count`",
        None,
    ),
    "two forms": Wrong(
        config("loop", f"{{count: 2, until: input.x, steps: {ONE}}}"), "conflicting-keys", "count",
        "loop takes only one of", None,
    ),
    "count zero": Wrong(
        config("loop", f"{{count: 0, steps: {ONE}}}"), "no-effect", "0", "no round is asked for", "compute",
    ),
    "count negative": Wrong(config("loop", f"{{count: -1, steps: {ONE}}}"), "wrong-value", "-1", "at least 0", None),
    "max_iterations zero": Wrong(
        config("loop", f"{{while: input.x, max_iterations: 0, steps: {ONE}}}"), "wrong-value", "0", "at least 1", None,
    ),
    "concurrency zero": Wrong(
        config("loop", f"{{items: [1], concurrency: 0, steps: {ONE}}}"), "wrong-value", "0", "at least 1", None,
    ),
    "more rounds than allowed": Wrong(
        config("loop", f"{{count: 20, max_iterations: 5, steps: {ONE}}}"), "wrong-value", "5",
        "20 rounds are asked for, but `max_iterations` allows 5", "raise it",
    ),
    "more items than allowed": Wrong(
        config("loop", f"{{items: [1, 2], max_iterations: 1, steps: {ONE}}}"), "wrong-value", "1", "2 rounds",
        "raise it",
    ),
    "items that are no list": Wrong(
        config("loop", f"{{items: '{{{{ 5 }}}}', steps: {ONE}}}"), "wrong-type", "'{{ 5 }}'", "this is always a number",
        None,
    ),
    "concurrency of a condition": Wrong(
        config("loop", f"{{while: input.x, concurrency: 2, steps: {ONE}}}"), "no-effect", "concurrency",
        "one round at a time", None,
    ),
    "item of a condition": Wrong(
        config("loop", "{while: input.x, steps: [{name: x, type: transform, config: {value: '{{ item }}'}}]}"),
        "misplaced-name", "i", "`item` is not known", "known here: execution, index",
    ),
    "for_each without items": Wrong(
        step("for_each: {concurrency: 2}"), "missing-key", "{concurrency", "`items` is missing in `for_each`", "a list",
    ),
    "for_each over a text": Wrong(
        step("for_each: {items: abc}"), "wrong-type", "abc", "expected a list, or an expression that yields one", None,
    ),
    "for_each over an object": Wrong(
        step("for_each: {items: '{{ {} }}'}"), "wrong-type", "'{{ {} }}'", "this is always a object", None,
    ),
    "batch_size zero": Wrong(
        step("for_each: {items: [1], batch_size: 0}"), "wrong-value", "0", "`batch_size`: must be at least 1", None,
    ),
    "for_each concurrency zero": Wrong(
        step("for_each: {items: [1], concurrency: -2}"), "wrong-value", "-2", "`concurrency`: must be at least 1", None,
    ),
    "with_items batch_size zero": Wrong(
        step("with_items: [1], batch_size: 0"), "wrong-value", "0", "`batch_size`: must be at least 1", None,
    ),
    "repeat without end": Wrong(
        step("repeat: {while: result.x, max_iterations: 0}"), "wrong-value", "0",
        "`max_iterations`: must be at least 1",
        None,
    ),
}  # fmt: skip

NAMES = {
    "a step": Wrong(steps("- {name: task, type: noop}"), "reserved-name", "task", "no step can be called that",
    "choose"),
    "an item": Wrong(
        step("for_each: {items: [1], as: steps}"), "reserved-name", "steps", "no item can be called that", "choose",
    ),
    "an item called like a place's own name": Wrong(
        step("for_each: {items: [1], as: attempt}"), "reserved-name", "attempt", "no item can be called that", "choose",
    ),
    "the number of an item": Wrong(
        step("for_each: {items: [1], index: error}"), "reserved-name", "error", "no item can be called that", "choose",
    ),
    "an item called like an operator": Wrong(
        step("for_each: {items: [1], as: and}"), "reserved-name", "and", "no item can be called that", "choose",
    ),
    "an item of a loop": Wrong(
        config("loop", f"{{items: [1], as: input, steps: {ONE}}}"), "reserved-name", "input",
        "no item can be called that",
        "choose",
    ),
    "an item that reads as a subtraction": Wrong(
        step("for_each: {items: [1], as: my-item}"), "bad-name", "my-item", "as a subtraction", "write my_item",
    ),
    "an item and its number alike": Wrong(
        step("for_each: {items: [1], as: n, index: n}"), "conflicting-keys", "n", "both called 'n'", "another name",
    ),
    "a loop's item called like its number": Wrong(
        config("loop", f"{{items: [1], as: index, steps: {ONE}}}"), "conflicting-keys", "index", "both called 'index'",
    ),
    "an item that hides another": Wrong(
        config("loop", "{items: [1], as: host, steps: [{name: x, type: noop, for_each: {items: [1], as: host}}]}"),
        "shadowed-name", "host", "'host' hides the item", "choose another name to read both",
    ),
    "a loop that hides an item": Wrong(
        config("loop", "{items: [1], steps: [{name: x, type: loop, config: "
                       "{items: [2], as: item, steps: [{name: y, type: noop}]}}]}"),
        "shadowed-name", "item", "'item' hides the item", "choose another name to read both",
    ),
    "a variable": Wrong(
        spec("vars: {response: 1}"), "confusing-name", "response", "is something else than this variable",
        "`vars.response` only",
    ),
    "a published variable": Wrong(step("publish: {error: 1}"), "confusing-name", "error", "else", "`vars.error` only"),
    "a variable of an edge": Wrong(
        step("next: [{to: z, publish: {item: 1}}]"), "confusing-name", "item", "else", "`vars.item` only",
    ),
    "a variable that is set": Wrong(config("set", "{steps: 1}"), "confusing-name", "steps", "else",
    "`vars.steps` only"),
}  # fmt: skip

MACHINES = {
    "unknown initial": Wrong(
        machine("{open: {final: true}}", "opne"), "unknown-state", "opne", "no state 'opne'", "did you mean 'open'?",
    ),
    "unknown target": Wrong(
        machine("{x: {transitions: [{event: e, to: clsed}, {event: f, to: closed}]}, closed: {final: true}}"),
        "unknown-state", "clsed", "no state 'clsed'", "did you mean 'closed'?",
    ),
    "a state that nothing leads to": Wrong(
        machine("{x: {final: true}, lost: {transitions: [{event: e, to: x}]}}"), "unreachable-state", "lost",
        "no transition leads to the state 'lost'", "let one lead there",
    ),
    "a final state with transitions": Wrong(
        machine("{x: {final: true, transitions: [{event: e, to: x}]}}"), "no-effect", "transitions",
        "the machine ends in 'x'", "take them out",
    ),
    "no end": Wrong(
        machine("{x: {transitions: [{event: e, to: y}]}, y: {transitions: [{event: e, to: x}]}}"), "endless-state",
        "states", "no final state can be reached", "final: true",
    ),
    "a dead end": Wrong(
        machine("{x: {transitions: [{event: e, to: y}, {event: f, to: end}]}, y: {}, end: {final: true}}"),
        "endless-state", "y", "from the state 'y' no final state can be reached", "add a transition",
    ),
    "two transitions for one event": Wrong(
        machine("{x: {transitions: [{event: e, to: end}, {event: e, to: x}]}, end: {final: true}}"),
        "unreachable-branch", "{event: e, to: x}", "an earlier transition for 'e' has no condition", "a `when`",
    ),
    "a condition that is none": Wrong(
        machine("{x: {transitions: [{event: e, when: 3, to: end}]}, end: {final: true}}"), "not-a-condition", "3",
        "this is a number", "compare it",
    ),
    "an empty entry": Wrong(machine("{x: {final: true, on_enter: []}}"), "no-steps", "[]", "no steps here"),
}  # fmt: skip

DECISIONS = {
    "no branch": Wrong(step("decision: []"), "missing-key", "[]", "a decision needs a branch", None),
    "no default": Wrong(
        step("decision: [{when: input.x, next: z}]"), "decision-without-default", "decision",
        "when no condition holds, nothing follows", "{default: STEP}",
    ),
    "a branch behind the default": Wrong(
        step("decision: [{default: z}, {when: input.x, next: y}]", A + "- {name: y, type: noop}\n"), "default-not-last",
        "{when: input.x", "behind the default", "write the default last",
    ),
    "a branch behind a certain one": Wrong(
        step("decision: [{when: '{{ true }}', next: z}, {when: input.x, next: y}]", A + "- {name: y, type: noop}\n"),
        "unreachable-branch", "{when: input.x", "never taken: the one in line 9 always is", "write it before",
    ),
    "a default behind a certain branch": Wrong(
        step("decision: [{when: true, next: z}, {default: y}]", A + "- {name: y, type: noop}\n"),
        "unreachable-branch", "{default: y}", "never taken", "take it out",
    ),
    "two defaults": Wrong(
        step("decision: [{default: z}, {default: z}]"), "several-defaults", "{default: z}",
        "a decision has one default",
        None,
    ),
    "a branch without anything": Wrong(
        step("decision: [{next: z}, {default: z}]"), "missing-key", "{next: z}", "`when`, or `default: true`", None,
    ),
}  # fmt: skip
