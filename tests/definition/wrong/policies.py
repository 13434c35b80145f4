"""Wrong limits, conditions and compensations, and keys without effect."""

from __future__ import annotations

from tests.definition.documents import spec, steps
from tests.definition.wrong.documents import ONE, Wrong, config, step

LIMITS = {
    "threshold": Wrong(step("circuit_breaker: {threshold: -1}"), "wrong-value", "-1", "at least 1", None),
    "half_open_calls": Wrong(step("circuit_breaker: {half_open_calls: 0}"), "wrong-value", "0", "at least 1", None),
    "open_for": Wrong(step("circuit_breaker: {open_for: 0}"), "bad-duration", "0", "longer than zero", None),
    "window": Wrong(step("circuit_breaker: {window: -5s}"), "bad-duration", "-5s", "'-5s' is not a duration", None),
    "max_concurrent": Wrong(step("bulkhead: {max_concurrent: 0}"), "wrong-value", "0", "at least 1", None),
    "no max_concurrent": Wrong(
        step("bulkhead: {max_queue_size: 3}"), "missing-key", "{max_queue", "`max_concurrent` is missing",
        "calls running",
    ),
    "max_queue_size": Wrong(
        step("bulkhead: {max_concurrent: 1, max_queue_size: -1}"), "wrong-value", "-1", "at least 0", None,
    ),
    "limit": Wrong(step("rate_limit: {limit: 0, per: 1s}"), "wrong-value", "0", "at least 1", None),
    "per": Wrong(step("rate_limit: {limit: 1, per: 0}"), "bad-duration", "0", "`per`: must be longer than zero", None),
    "a declared limit": Wrong(
        spec("config: {policies: {slow: {circuit_breaker: {threshold: 0}}}}"), "wrong-value", "0", "at least 1", None,
    ),
    "a policy of no kind": Wrong(spec("config: {policies: {slow: {}}}"), "missing-key", "{}", "exactly one of", None),
    "an unknown policy": Wrong(
        steps("- {name: s, type: greet, circuit_breaker: slwo}", "config: {policies: {slow: {circuit_breaker: {}}}}"),
        "undeclared-policy", "slwo", "must be in the server's configuration", "did you mean 'slow'?",
    ),
    "a policy nowhere near": Wrong(
        step("rate_limit: shared"), "undeclared-policy", "shared", "the rate_limit 'shared' is not declared here",
        "or declare it in `spec.config.policies`",
    ),
    "a policy of another kind": Wrong(
        steps("- {name: s, type: greet, bulkhead: slow}",
              "config: {policies: {slow: {circuit_breaker: {}}, few: {bulkhead: {max_concurrent: 1}}}}"),
        "unknown-policy", "slow", "the policy 'slow' is not a bulkhead", "known: few",
    ),
    "a request above the limit": Wrong(
        step("resources: {memory: {request: 2Gi, limit: 1000M}}"), "wrong-value", "2Gi",
        "asks for 2Gi and may use 1000M",
        "at most",
    ),
    "processors above the limit": Wrong(
        step("resources: {cpu: {request: 2, limit: 1500m}}"), "wrong-value", "2", "asks for 2 and may use 1500m",
        "at most",
    ),
    "one try": Wrong(
        step("retry: {max_attempts: 1, retry_on: [timeout]}"), "no-effect", "retry_on", "no effect with one try",
        "counts the first try",
    ),
    "tried again and given up": Wrong(
        step("retry: {retry_on: [timeout, x], give_up_on: x}"), "no-effect", "x", "giving up wins", "one of the lists",
    ),
    "a misspelt error": Wrong(
        step("retry: {give_up_on: [http_eror]}"), "unrecognised-error", "http_eror", "'http_eror'",
        "did you mean 'http_error'?",
    ),
    "types that are none": Wrong(step("retry: {retry_on: 5}"), "wrong-type", "5", "a name or a list of names", None),
    "a deadline before the timeout": Wrong(
        spec("config: {timeout: 2h, deadline: 1h}"), "timeout-too-long", "2h", "the deadline ends it after 1h",
        "shorter",
    ),
}  # fmt: skip

CONDITIONS = {
    "a number": Wrong(step("when: 5"), "not-a-condition", "5", "this is a number", "compare it"),
    "a constant number": Wrong(step("when: '{{ 5 }}'"), "not-a-condition", "'{{ 5 }}'", "always a number",
    "compare it"),
    "a constant text": Wrong(step("condition: \"'yes'\""), "not-a-condition", "\"'yes'\"", "always a string",
    "compare"),
    "a list": Wrong(step("when: '{{ [input.x] }}'"), "not-a-condition", "'{{ [", "always a list", "compare it"),
    "an object": Wrong(step("when: \"{{ {'a': 1} }}\""), "not-a-condition", '"{{ {', "always an object", "compare it"),
    "a written list": Wrong(step("when: [true]"), "not-a-condition", "[true]", "this is a list", "compare it"),
    "an empty one": Wrong(step("when: ''"), "expression-syntax", "'", "the condition is empty", "leave it out"),
    "of an edge": Wrong(step("next: [{when: 1, to: z}]"), "not-a-condition", "1", "this is a number", "compare it"),
    "of a retry": Wrong(step("retry: {when: '{{ [] }}'}"), "not-a-condition", "'{{ [] }}'", "always a list", "compare"),
    "of an item": Wrong(step("for_each: {items: [1], when: 1}"), "not-a-condition", "1", "this is a number", "compare"),
    "of a repetition": Wrong(step("repeat: {until: 3}"), "not-a-condition", "3", "this is a number", "compare it"),
    "of a conditional": Wrong(
        config("conditional", f"{{condition: 1, then: {ONE}}}"), "not-a-condition", "1", "this is a number",
        "compare it",
    ),
    "of a case": Wrong(
        config("conditional", f"{{cases: [{{when: {{}}, steps: {ONE}}}]}}"), "not-a-condition", "{}",
        "this is an object",
    ),
    "of a loop": Wrong(config("loop", f"{{until: 1, steps: {ONE}}}"), "not-a-condition", "1", "this is a number"),
    "of a decision": Wrong(
        step("decision: [{when: 1, next: z}, {default: z}]"), "not-a-condition", "1", "this is a number", "compare it",
    ),
}  # fmt: skip

EFFECTS = {
    "retry of a noop": Wrong(
        step("retry: {}", kind="noop"), "no-effect", "retry", "`retry` has no effect on a step of type 'noop'",
        "nothing",
    ),
    "timeout of a set": Wrong(
        steps("- {name: s, type: set, timeout: 5s, config: {x: 1}}"), "no-effect", "timeout", "of type 'set'",
        "nothing",
    ),
    "retry of a timer": Wrong(
        steps("- {name: s, type: wait, retry: {}, config: {for: 1s}}"), "no-effect", "retry", "of type 'wait'",
        "nothing",
    ),
    "retry after the failure of a timer": Wrong(
        steps("- {name: s, type: wait, on_failure: {action: retry}, config: {for: 1s}}"), "no-effect", "retry",
        "`action: retry` has no effect on a step of type 'wait'", "nothing to try again",
    ),
    "retry after the failure of a set": Wrong(
        steps("- {name: s, type: set, on_failure: {action: retry}, config: {x: 1}}"), "no-effect", "retry",
        "of type 'set'", "nothing to try again",
    ),
    "retry of what undoes": Wrong(
        step("compensate: {type: set, retry: {}, config: {x: 1}}"), "no-effect", "retry", "of type 'set'", "nothing",
    ),
    "timeout of what stands in": Wrong(
        step("on_failure: {action: fallback, fallback: {type: noop, timeout: 5s}}"), "no-effect", "timeout",
        "of type 'noop'", "nothing",
    ),
    "queue of an approval": Wrong(
        steps("- {name: s, type: approval, queue: q, config: {prompt: p}}"), "no-effect", "queue", "of type 'approval'",
        "the engine does it itself",
    ),
    "limit of a checkpoint": Wrong(
        step("rate_limit: {limit: 1, per: 1s}", kind="checkpoint"), "no-effect", "rate_limit", "of type 'checkpoint'",
    ),
    "nothing to undo": Wrong(
        spec("config: {on_error: {strategy: compensate}}"), "no-effect", "compensate", "there is nothing to undo",
        "say what undoes",
    ),
    "nothing to undo after a failure": Wrong(
        step("on_failure: {action: compensate}"), "no-effect", "compensate", "there is nothing to undo",
    ),
    "nothing to undo when cancelled": Wrong(
        spec("config: {cancellation: {compensate: true}}"), "no-effect", "true", "there is nothing to undo",
    ),
    "two checkpoints": Wrong(
        steps("- {name: s, type: checkpoint}\n- {name: b, type: noop, checkpoint: s}"), "duplicate-checkpoint", "s",
        "the checkpoint 's' is set in line 7 as well", "reached last",
    ),
    "a timeout that cannot come": Wrong(
        step("on_timeout: z", kind="noop"), "no-timeout", "z", "'s' has no timeout", "give the step a `timeout`",
    ),
    "a question to a secret": Wrong(
        config("approval", "{prompt: p, assigned_to: [ann, '{{ secrets.BOSS }}']}"), "wrong-value", "[ann",
        "`assigned_to` must not hold a secret", "name a person",
    ),
    "a schema that is none": Wrong(
        config("approval", "{prompt: p, response_schema: {type: objct}}"), "bad-schema", "objct", "is not a type",
    ),
    "an answer that does not fit": Wrong(
        config("approval", "{prompt: p, response_schema: {type: object, properties: {ok: {type: boolean}}}, "
                           "default: {ok: 5}}"),
        "bad-default", "5", "does not satisfy the schema",
    ),
    "an answer without a key": Wrong(
        config("approval", "{prompt: p, response_schema: {type: object, required: [ok]}, default: {}}"), "bad-default",
        "{}", '"ok" is a required property',
    ),
}  # fmt: skip


def undoing(keys: str) -> str:
    return spec(f"compensation: {{steps: [{{name: u, type: noop, {keys}}}, {{name: v, type: noop}}]}}")


COMPENSATION = {
    "an edge": Wrong(undoing("next: v"), "misplaced-key", "v", "run in the order in which they are listed", "`when`"),
    "a join": Wrong(undoing("join: any"), "no-effect", "join", "no edge leads to 'u'", None),
    "a checkpoint": Wrong(undoing("checkpoint: c"), "misplaced-key", "checkpoint",
    "`checkpoint` has no meaning on 'u'"),
    "undoing of undoing": Wrong(
        undoing("compensate: {type: noop}"), "misplaced-key", "compensate", "`compensate` has no meaning on 'u'",
    ),
    "cancelling": Wrong(undoing("cancels: v"), "misplaced-key", "cancels", "`cancels` has no meaning on 'u'"),
    "a step instead": Wrong(
        undoing("on_failure: {action: fallback, fallback: v}"), "misplaced-key", "v", "runs in its place in the list",
        "write the step into the fallback",
    ),
    "an unknown step": Wrong(
        undoing("when: steps.onyl.completed"), "unknown-step", "s", "there is no step 'onyl'", "did you mean 'only'?",
    ),
    "a group that undoes": Wrong(
        step("compensate: {type: dynamic, config: {task: t}}"), "wrong-value", "dynamic", "or undo it",
        "type: workflow",
    ),
    "a workflow that is not stored": Wrong(
        steps("- {name: s, type: greet, on_failure: {action: compensate, compensation_workflow: undoo}}"),
        "unknown-workflow", "undoo", "no workflow 'undoo'", "did you mean 'undo'?",
    ),
}  # fmt: skip
