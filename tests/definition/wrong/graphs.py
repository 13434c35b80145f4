"""Wrong edges and joins, and steps that are wrongly named otherwise."""

from __future__ import annotations

from tests.definition.documents import steps
from tests.definition.wrong.documents import A, Wrong, config, falling_back, step

JOINS = {
    "more than there are": Wrong(
        step("depends_on: a, join: 3"), "impossible-join", "3", "`join: 3` can never be met: 1 edge leads to 's'", None,
    ),
    "of nothing": Wrong(step("join: 1"), "impossible-join", "1", "0 edges lead to 's'", None),
    "without an edge": Wrong(step("join: any"), "no-effect", "join", "no edge leads to 's'", None),
    "both branches of a decision": Wrong(
        steps("- {name: a, type: noop, decision: [{when: input.x, next: b}, {default: c}]}\n- {name: b, type: noop}\n"
              "- {name: c, type: noop}\n- {name: d, type: noop, depends_on: [b, c]}\n"
              "- {name: e, type: noop, depends_on: d}"),
        "impossible-join", "c", "'d' waits for all of its edges, but those from 'b' and from 'c' are never both taken: "
        "'a' takes one of the two ways; nor can what stands behind it: 'e'", "join: sync",
    ),
    "success and failure": Wrong(
        steps("- {name: a, type: noop, on_success: b, on_failure: b}\n- {name: b, type: noop, join: all}"),
        "impossible-join", "all", "those from 'a' and from 'a' on failure are never both taken", "join: any",
    ),
    "branches far apart": Wrong(
        steps("- {name: a, type: noop, on_success: b, on_failure: c}\n- {name: b, type: noop, next: d}\n"
              "- {name: c, type: noop, next: [x, y]}\n- {name: d, type: noop}\n- {name: x, type: noop, next: z}\n"
              "- {name: y, type: noop, next: z}\n- {name: z, type: noop}\n"
              "- {name: end, type: noop, depends_on: [d, z]}"),
        "impossible-join", "z", "those from 'd' and from 'z' are never both taken: 'a' takes one", "join: sync",
    ),
    "two of one decision": Wrong(
        steps("- {name: a, type: noop, decision: [{when: input.x, next: b}, {when: input.y, next: b}, {default: b}]}\n"
              "- {name: b, type: noop, join: 2}"),
        "impossible-join", "2", "at most 1 of its edges can be taken", "exclude each other",
    ),
    "two outcomes": Wrong(
        steps("- {name: a, type: noop}\n- {name: b, type: noop, join: 2, depends_on: [{step: a, on: success}, "
              "{step: a, on: failure}]}"),
        "impossible-join", "2", "at most 1 of its edges can be taken", "exclude each other",
    ),
    "behind a failure": Wrong(
        steps("- {name: a, type: fail}\n- {name: b, type: noop, depends_on: a}\n"
              "- {name: c, type: noop, depends_on: b}"),
        "behind-failure", "a", "'b' can never run: 'a' always fails; nor can what stands behind it: 'c'",
        "on: failure",
    ),
    "pushed by a failure": Wrong(
        steps("- {name: a, type: fail, next: b}\n- {name: b, type: noop}"), "behind-failure", "b",
        "'b' can never run: 'a' always fails", "on: complete",
    ),
    "a closed circle": Wrong(
        steps("- {name: a, type: noop}\n- {name: b, type: noop, depends_on: c, max_visits: 2}\n"
              "- {name: c, type: noop, depends_on: b}\n- {name: d, type: noop, depends_on: c}"),
        "unreachable-step", "b", "nothing ever starts 'b': only steps of its own cycle lead to it; nor can what stands "
        "behind it: 'd'", "outside the cycle",
    ),
    "a cycle": Wrong(
        steps("- {name: a, type: noop, depends_on: c}\n- {name: b, type: noop, depends_on: a}\n"
              "- {name: c, type: noop, depends_on: b}"),
        "cycle", "a", "a -> b -> c -> a", "`max_visits`",
    ),
    "a cycle through a fallback": Wrong(
        steps("- {name: a, type: noop, depends_on: c, on_failure: {action: fallback, fallback: b}}\n"
              "- {name: b, type: noop, next: c}\n- {name: c, type: noop}"),
        "cycle", "a", "a -> b -> c -> a", "`max_visits`",
    ),
    "max_visits without a cycle": Wrong(
        step("max_visits: 3"), "no-effect", "max_visits", "'s' stands in no cycle", None,
    ),
    "skipped without a condition": Wrong(
        step("depends_on: {step: a, on: skipped}"), "no-effect", "a", "'a' has no `when`", "does not count as skipped",
    ),
    "the same target twice": Wrong(step("next: [{to: [z, z]}]"), "duplicate-dependency", "{to",
    "'z' is named twice", None),
    "a step of a group": Wrong(
        steps("- {name: g, type: parallel_group, config: {steps: [{name: x, type: noop}]}}\n"
              "- {name: b, type: noop, depends_on: x}"),
        "unknown-step", "x", "the step 'x' is not beside this one, but inside 'g'", "'g' stands beside it",
    ),
    "a step around a group": Wrong(
        steps("- {name: a, type: noop}\n"
              "- {name: g, type: parallel_group, config: {steps: [{name: x, type: noop, depends_on: a}]}}"),
        "unknown-step", "a", "the step 'a' is not beside this one, but outside of 'g'", "let 'g' wait for it",
    ),
    "a step of another group": Wrong(
        steps("- {name: g, type: parallel_group, config: {steps: [{name: x, type: noop}]}}\n"
              "- {name: h, type: parallel_group, config: {steps: [{name: y, type: noop, next: x}]}}"),
        "unknown-step", "x", "the step 'x' is not beside this one", "steps of the same group",
    ),
    "a nested misspelling": Wrong(
        config("parallel_group", "{steps: [{name: first, type: noop}, {name: y, type: noop, depends_on: frist}]}"),
        "unknown-step", "frist", "there is no step 'frist'", "did you mean 'first'?",
    ),
    "a nested cycle": Wrong(
        config("parallel_group", "{steps: [{name: x, type: noop, depends_on: y}, {name: y, type: noop, next: x}, "
                                 "{name: z, type: noop, next: y, depends_on: x}]}"),
        "cycle", "x", "x -> z -> y -> x", "`max_visits`",
    ),
    "a nested join": Wrong(
        config("parallel_group", "{steps: [{name: x, type: noop}, {name: y, type: noop, depends_on: x, join: 2}]}"),
        "impossible-join", "2", "1 edge leads to 'y'", None,
    ),
}  # fmt: skip

MENTIONS = {
    "cancels nobody": Wrong(step("cancels: [a, zz]"), "unknown-step", "zz", "no step 'zz'", "did you mean 'z'?"),
    "cancels itself": Wrong(step("cancels: s"), "self-dependency", "s", "'s' names itself in `cancels`", "other steps"),
    "cancels twice": Wrong(step("cancels: [z, z]"), "duplicate-dependency", "z", "'z' is named twice", None),
    "cancels what has ended": Wrong(
        step("depends_on: a, cancels: a"), "no-effect", "a", "'a' has always ended before 's' starts", "may still run",
    ),
    "cancels what waits for it": Wrong(
        step("next: z, cancels: [z]"), "cancels-later-step", "z", "'z' waits for 's', which cancels it",
        "take the edge",
    ),
    "cancels a step of another group": Wrong(
        steps("- {name: g, type: parallel_group, config: {steps: [{name: x, type: noop}]}}\n"
              "- {name: b, type: noop, cancels: x}"),
        "unknown-step", "x", "but inside 'g'", "'g' stands beside it",
    ),
    "a milestone of nothing": Wrong(step("milestone: {}"), "missing-key", "{}", "needs `after` or `before`", None),
    "a milestone of empty lists": Wrong(
        step("milestone: {after: []}"), "missing-key", "{after", "needs `after` or `before`", None,
    ),
    "after nobody": Wrong(step("milestone: {after: [b]}"), "unknown-step", "b", "no step 'b'", "a, s, z"),
    "before nobody": Wrong(step("milestone: {before: zz}"), "unknown-step", "zz", "no step 'zz'"),
    "after itself": Wrong(step("milestone: {after: s}"), "self-dependency", "s", "names itself in `after`", "other"),
    "after what waits for it": Wrong(
        step("next: y, milestone: {after: z}", A + "- {name: y, type: noop, next: z}\n"), "impossible-milestone", "z",
        "'z' in its turn waits for 's', so neither ever starts", "can complete before",
    ),
    "after what it is a part of": Wrong(
        config("parallel_group", "{steps: [{name: x, type: noop, milestone: {after: a}}]}"), "impossible-milestone",
        "a",
        "'a' completes only after 'x', which is a part of it", "can complete before",
    ),
    "before what it is a part of": Wrong(
        config("parallel_group", "{steps: [{name: x, type: noop, milestone: {before: a}}]}"), "no-effect", "a",
        "'x' is a part of 'a'", None,
    ),
    "before what has ended": Wrong(
        step("depends_on: a, milestone: {before: a}"), "impossible-milestone", "a",
        "'a' has always ended when 's' is due",
        "may end later",
    ),
    "after and before the same": Wrong(
        step("milestone: {after: a, before: a}"), "impossible-milestone", "a", "so 's' never runs", "may end later",
    ),
    "a lock without a name": Wrong(step("mutex: {timeout: 5s}"), "missing-key", "{timeout", "`key` is missing", "name"),
    "a lock with an empty name": Wrong(step("mutex: ''"), "wrong-value", "''", "must not be empty", None),
    "a lock that is a number": Wrong(
        step("mutex: 5"), "wrong-type", "5", "expected the name of a lock or a mapping with `key`", None,
    ),
    "a lock that cannot be waited for": Wrong(
        step("mutex: {key: k, timeout: 0}"), "bad-duration", "0", "longer than zero", None,
    ),
    "a lock named by nothing": Wrong(
        step("mutex: 'l{{ vars.x }}'"), "unknown-variable", "v", "no variable 'x'",
    ),
}  # fmt: skip

FALLBACKS = {
    "nothing": Wrong(
        step("on_failure: {action: fallback}"), "missing-key", "{action", "`action: fallback` needs `fallback`", None,
    ),
    "without the action": Wrong(
        step("on_failure: {action: continue, fallback: z}"), "no-effect", "fallback",
        "no effect with `action: continue`",
        "`action: fallback`",
    ),
    "itself": Wrong(falling_back("s"), "self-dependency", "s", "'s' cannot stand in for itself", "use `retry`"),
    "a misspelt step": Wrong(
        falling_back("bakcup"), "unrecognised-step", "bakcup", "so this is the value to use", "did you mean 'backup'?",
    ),
    "a step that is nowhere": Wrong(
        falling_back("nowhere"), "unrecognised-step", "nowhere", "there is no step 'nowhere'",
        "a text is written \"{{ 'nowhere' }}\"",
    ),
    "a step that is reached": Wrong(
        falling_back("backup", "- {name: c, type: noop, next: backup}"), "fallback-has-edges", "backup",
        "'backup' stands in for 's', and an edge from 'c' leads to it as well", "take the edge out",
    ),
    "behind an edge": Wrong(
        falling_back("5", "- {name: c, type: noop, depends_on: [{step: s, on: failure}]}"), "no-effect", "5",
        "a failure of 's' takes the edge to 'c', so the fallback has no effect", "keep one of them",
    ),
    "behind an edge that is always taken": Wrong(
        step("timeout: 5s, on_complete: z, on_timeout: {action: fallback, fallback: 5}"), "no-effect", "5",
        "takes the edge to 'z'", "keep one of them",
    ),
    "a step of another group": Wrong(
        falling_back("inner", "- {name: g, type: parallel_group, config: {steps: [{name: inner, type: noop}]}}"),
        "unknown-step", "inner", "is not beside this one, but inside 'g'", "'g' stands beside it",
    ),
    "a step without its type": Wrong(
        falling_back("{config: {url: 'https://x'}}"), "unrecognised-step", "{config", "a value, not a step",
        "its `type`",
    ),
    "a wrong step": Wrong(
        falling_back("{type: http, config: {url: 'https://x', metod: GET}}"), "unknown-key", "metod", "`metod`",
        "did you mean 'method'?",
    ),
    "a group": Wrong(
        falling_back("{type: loop, config: {count: 2, steps: [{name: x, type: noop}]}}"), "wrong-value", "loop",
        "'loop' cannot stand in for another or undo it", "type: workflow",
    ),
    "a place in the graph": Wrong(
        falling_back("{type: noop, depends_on: backup}"), "unknown-key", "depends_on", "`depends_on` is not known here",
    ),
    "an expression": Wrong(falling_back("'{{ nope }}'"), "unknown-name", "n", "`nope` is not defined"),
    "an expression in a step": Wrong(
        falling_back("{type: transform, config: {value: '{{ response }}'}}"), "misplaced-name", "r",
        "`response` is not known in what happens after a failure",
    ),
    "of a bulkhead": Wrong(
        step("bulkhead: {max_concurrent: 1, fallback: s}"), "self-dependency", "s", "cannot stand in for itself",
    ),
    "of a shared policy": Wrong(
        steps(A, "config: {policies: {few: {bulkhead: {max_concurrent: 1, fallback: a}}}}"), "unknown-step", "a",
        "a policy that is shared cannot name the step 'a'", "write the bulkhead into the step",
    ),
}  # fmt: skip
