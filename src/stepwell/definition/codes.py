"""Every kind of finding about a definition: its code, what it means, what to do about it."""

from __future__ import annotations

from stepwell.definition.code import Code as Code
from stepwell.definition.code import a_warning as _warning
from stepwell.definition.code import an_error as _error
from stepwell.definition.dialect_codes import DIALECT_CODES

NATIVE_CODES: dict[str, Code] = {
    # The text
    "unreadable-text": _error(
        "The file is not UTF-8 text, or holds control characters or half of a surrogate pair.",
        "Save it as UTF-8; write unusual characters as escapes in a quoted text.",
    ),
    "too-large": _error(
        "The document has more characters or values than are read.",
        "Split it into several workflows (`type: workflow`), or make the steps in a loop.",
    ),
    "too-deep": _error("Lists and mappings are nested too deep.", "Give inner parts a workflow of their own."),
    "too-many-aliases": _error("Aliases (`*name`) repeat too many values.", "Repeat less, or use a loop."),
    "too-many-steps": _error(
        "The workflow has more steps than are allowed.", "Use a loop, `for_each`, or sub-workflows."
    ),
    "too-many-findings": _warning("Only the first findings are shown.", "Correct those and validate again."),
    # YAML and JSON
    "yaml-syntax": _error("The text is not YAML.", "Mend the place shown, or the line before it; most often a quote."),
    "json-syntax": _error("The text is not JSON.", "Mend the place shown; JSON has no comments or trailing commas."),
    "empty-document": _error("There is nothing in the document.", "Write a workflow; `kind: Workflow` says it is one."),
    "several-documents": _error("The file holds more than one document.", "Put each workflow into a file of its own."),
    "duplicate-key": _error("A mapping has the same key twice.", "Remove or rename one of them."),
    "bad-key": _error("A key is not text.", 'Put the key into quotes: `"200": ok`.'),
    "bad-number": _error(
        "A number is infinite, not a number, or has more than 64 bits.", "Quote it if it is meant as text."
    ),
    "bad-alias": _error("An alias repeats an anchor that does not exist, or itself.", "Define `&name` before `*name`."),
    "bad-merge": _error("`<<` holds something that is not a mapping.", "Write `<<: *name` with a mapping's anchor."),
    "unknown-tag": _error("A YAML tag (`!name`) means nothing here.", "Leave the tag out, or quote the value."),
    "unquoted-expression": _error("YAML reads `{{ ... }}` without quotes as a mapping.", 'Write `"{{ ... }}"`.'),
    # The form of the document
    "not-a-workflow": _error(
        "The document is not a native workflow, or not a mapping at all.",
        "Begin with `apiVersion: workflow/v1` and `kind: Workflow`.",
    ),
    "missing-key": _error("A key that is needed is not there.", "Add it."),
    "unknown-key": _error("A key means nothing where it stands.", "Correct its spelling, or its indentation."),
    "conflicting-keys": _error("Two keys say the same, or contradict each other.", "Keep one of them."),
    "misplaced-key": _error("A key has no meaning in this part of the workflow.", "Take it out."),
    "wrong-type": _error("A value is of another type than expected.", "Write it as the message says."),
    "wrong-value": _error("A value is of the right type but not possible.", "Choose one that is."),
    "expression-in-code": _error(
        "An expression stands in text that is run as code, so that whoever gives the value could give code.",
        "Pass the value as a parameter or an environment variable.",
    ),
    "no-steps": _error("A workflow or a group has no steps.", "Give it at least one; `noop` does nothing."),
    "bad-duration": _error("A duration cannot be read.", "Write 30s, 5m, 1h30m, 500ms, 90 (seconds) or PT5M."),
    "bad-version": _error(
        "The version is not a semantic version.",
        'Write three numbers in quotes, such as `version: "1.2.0"`: MAJOR.MINOR.PATCH, and if you like a suffix '
        "such as `-beta.1`. MAJOR grows with changes that break callers, MINOR with additions, PATCH with corrections.",
    ),
    "bad-name": _error("A name has characters in it that names cannot have.", "Use letters, digits, `_` and `-`."),
    "bad-quantity": _error("An amount of processors or memory cannot be read.", "Write 2 or 500m; 512Mi or 2Gi."),
    "bad-url": _error("A URL cannot be used.", "Begin it with http:// or https://."),
    "bad-schedule": _error("A cron expression, a time or a timezone cannot be read.", "Write it as the hint says."),
    "bad-webhook": _error(
        "The path of a webhook, or how its sender is verified, cannot be used.", "Write it as the hint says."
    ),
    "unknown-operator": _error("An event filter uses an operator that does not exist.", "Use one of those listed."),
    "unknown-state": _error("A state machine names a state that it does not have.", "Declare it under `states`."),
    "bad-schema": _error("A JSON Schema is not one, or cannot be used.", "Correct the keyword that is shown."),
    "bad-default": _error("A default does not satisfy the schema it stands in.", "Change the default or the schema."),
    # Names and edges
    "reserved-name": _error("A step is called like a name that expressions use.", "Choose another name."),
    "duplicate-name": _error("Two steps have the same name.", "Rename one; nested steps count too."),
    "unknown-step": _error("A step is named that does not exist, or not here.", "Correct the name."),
    "self-dependency": _error("A step leads to itself.", "Use `repeat` or `retry` to run it again."),
    "cycle": _error(
        "Steps wait for each other in a circle.",
        "Take an edge out; or give one of the steps `max_visits` to allow so many rounds.",
    ),
    "impossible-join": _error("A join waits for more edges than lead to the step.", "Lower it or add edges."),
    "no-entry": _error("Something leads to every step, so none ever begins.", "Let nothing lead to one of them."),
    "never-started": _warning(
        "Where branches are separate, a step is never started: only steps of its own cycle lead to it.",
        "Let a step outside the cycle lead into it.",
    ),
    "unreachable-step": _error("No way leads to a step.", "Let a step that is reached lead into it."),
    "impossible-milestone": _error(
        "A step waits for what can only come after it, or only before it.", "Name a step that can end in time."
    ),
    "fallback-has-edges": _error(
        "A step that stands in for another one is reached by an edge as well.", "Take the edge out."
    ),
    "several-defaults": _error("A decision has more than one default.", "Keep one."),
    "unknown-type": _error("A step's type is neither built in nor a plug-in's nor a task.", "Correct or register it."),
    "unknown-task": _error("A task is not registered.", "Import the module that registers it, or correct the name."),
    "unknown-service": _error(
        "A service is not in the configuration.", "Add it under `services`, or correct the name."
    ),
    "unknown-rule": _error("A validation rule is neither built in nor registered.", "Register it or name a service."),
    "unknown-policy": _error("A policy is not declared, or of another kind.", "Declare it in `spec.config.policies`."),
    # Expressions
    "not-a-condition": _error("A condition is something that is neither true nor false.", "Compare it with something."),
    "expression-syntax": _error("An expression cannot be read.", "Mend the place that is shown."),
    "unknown-function": _error("An expression calls a function that does not exist.", "Correct its name."),
    "misplaced-function": _error(
        "A function is called where it has no meaning.",
        "succeeded() failed() timed_out() skipped() result() work in edges, after a failure, and in `retry.when`.",
    ),
    "wrong-arguments": _error("A function is called with other arguments than it takes.", "See the hint."),
    "method-call": _error("An expression calls a method; values have none.", "Use a filter: `x | upper`."),
    "unknown-name": _error("An expression reads a name that is not defined anywhere.", "See the hint."),
    "misplaced-name": _error(
        "An expression reads a name that is not known where it stands.",
        "`response` is known in `output`, `item` inside a loop, `error` after a failure, `event` in triggers.",
    ),
    "unknown-input": _error("An expression reads an input that the schema refuses.", "Correct it, or declare it."),
    "unknown-variable": _error("An expression reads a variable that is never set.", "Declare it under `vars`."),
    "unknown-field": _error("An expression reads a field that does not exist.", "Correct its name."),
    # Worth a look
    "undeclared-input": _warning(
        "An expression reads an input that the schema does not mention.",
        "Correct it or declare it; `additionalProperties: false` makes this an error.",
    ),
    "step-not-upstream": _warning(
        "An expression reads a step that need not have run by then.",
        "Add the step to `depends_on`, or say what to use instead: `... | default(x)`.",
    ),
    "duplicate-dependency": _warning("A step is named twice in `depends_on`.", "Remove one."),
    "unknown-workflow": _warning("A workflow is not stored yet.", "Store it before it is needed."),
    "unknown-channel": _warning(
        "A channel is not in the configuration: nobody is told anything over it.",
        "Add it under `notifications`, or correct its name.",
    ),
    "unrecognised-type": _warning("A step's type looks like a misspelt built-in one.", "Correct it."),
    "unrecognised-error": _warning("A type of error looks like a misspelt built-in one.", "Correct it."),
    "timeout-too-long": _warning(
        "A step may take longer than the whole workflow.", "Shorten one, or lengthen the other."
    ),
    "no-timeout": _warning("What follows a timeout never happens: there is none.", "Give the step a `timeout`."),
    "no-effect": _warning("A key has no effect beside another.", "Take it out, or change the other."),
    "undeclared-policy": _warning(
        "A policy is not declared in the document, so it must be in the server's configuration.",
        "Declare it in `spec.config.policies`, or see that the configuration has it.",
    ),
    "unrecognised-step": _warning(
        "A fallback is taken as a value, though it looks like a step.",
        "Correct the name of the step or add its `type`; a value that is meant is written `\"{{ 'text' }}\"`.",
    ),
    "behind-failure": _warning(
        "A step stands behind one that always fails, so it never runs.", "Say so if it is meant: `on: failure`."
    ),
    "cancels-later-step": _warning(
        "A step cancels one that can only start after it.", "Take the edge out, or do not cancel it."
    ),
    "decision-without-default": _warning(
        "A decision has no branch that is certainly taken.",
        "Add `{default: step}`; without one nothing follows when no condition holds.",
    ),
    "default-not-last": _warning(
        "A branch stands behind the default of its decision.",
        "Write the default last: it is taken when no other branch is, wherever it stands.",
    ),
    "unreachable-branch": _warning(
        "A branch, case or transition stands behind one that is always taken.", "Take it out, or change the order."
    ),
    "unreachable-state": _warning("No transition leads to a state.", "Let one lead there, or take the state out."),
    "endless-state": _warning(
        "From a state no final state can be reached.", "Mark a state as `final: true`, or add a transition to one."
    ),
    "duplicate-checkpoint": _warning("Two steps set the same checkpoint.", "Give each a name of its own."),
    "shadowed-name": _warning(
        "The name of an item hides that of an item around it.", "Choose another name with `as` or `index`."
    ),
    "confusing-name": _warning(
        "A variable is called like a name that expressions use for something else.",
        "It is read as `vars.NAME` only; choose another name.",
    ),
    "literal-secret": _warning("A secret seems to stand in plain text.", 'Write "{{ secrets.NAME }}".'),
}
"""Those about native documents."""

CODES: dict[str, Code] = {**NATIVE_CODES, **DIALECT_CODES}
"""All of them."""
