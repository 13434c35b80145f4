"""Random definitions: whole documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from random import Random

from tests.simulation.draft import Draft, Scope
from tests.simulation.gen_basics import gen_condition, gen_retry, gen_value
from tests.simulation.gen_beside import gen_beside
from tests.simulation.gen_constructs import gen_block
from tests.simulation.gen_steps import gen_noop, gen_wait
from tests.simulation.language import Tree, document

LEAST_STEPS, MOST_STEPS = 2, 12


def gen_document(
    random: Random, language: Collection[str], name: str, children: Sequence[str] = ()
) -> tuple[Tree, Counter[str]]:
    """A document, and the parts of the language that it uses.

    Args:
        children: names of workflows that its steps may run.
    """
    most = random.choice((4, 8, MOST_STEPS)) if not name.startswith("child") else 3
    draft = Draft(random, language, random.randint(LEAST_STEPS, most), children)
    draft.leaning = draft.pick(("",) * 12 + ("joins", "joins", "text"))
    spec: Tree = {
        "vars": {"n": draft.count(1, 3), "m": draft.pick((0, "{{ vars.n + 1 }}"))},
        "steps": gen_block(draft, Scope(), draft.budget, draft.budget),
    }
    spec["config"] = gen_config(draft)
    if draft.chance(0.45):
        spec["compensation"] = gen_compensation(draft)
    if draft.chance(0.3):
        spec["output"] = gen_output(draft)
    draft.used += gen_beside(spec, language)
    return document({key: value for key, value in spec.items() if value}, name), draft.used


def gen_config(draft: Draft) -> Tree:
    """How the workflow runs as a whole."""
    config: Tree = {}
    if draft.chance(0.3):
        config["retry_policy"] = gen_retry(draft)
    if draft.chance(0.4):
        config["max_parallel_steps"] = draft.count(1, 3)
    if draft.chance(0.35):
        config["failure_mode"] = "drain"
    if draft.chance(0.15):
        config["timeout"] = draft.seconds(3, 6, 9)
    if draft.chance(0.15):
        config["deadline"] = draft.seconds(5, 10, 20)
    if draft.chance(0.2):
        config["strict_failures"] = True
    if draft.chance(0.45):
        config["on_error"] = gen_on_error(draft)
    if draft.chance(0.3):
        config["cancellation"] = draft.pick(("allow_finish", "cancel_running"))
    if draft.use("cancellation.compensate", 0.2):
        config["cancellation"] = {"policy": draft.pick(("allow_finish", "cancel_running")), "compensate": True}
    if draft.used["policies"]:
        config["policies"] = {"p": {"circuit_breaker": {"threshold": 2, "open_for": draft.seconds(1, 2)}}}
    on_limit = draft.pick(("queue", "reject", "replace"))
    if draft.use(f"concurrency.{on_limit}", 0.12):
        config["concurrency"] = {"limit": draft.count(1, 2), "on_limit": on_limit}
    return config


def gen_on_error(draft: Draft) -> Tree:
    """What follows a failure."""
    on_error: Tree = {"strategy": draft.pick(("compensate", "compensate", "terminate", "continue"))}
    if draft.use("on_error.steps", 0.2):
        on_error["steps"] = [_gen_undoing_step(draft)]
    return on_error


def gen_compensation(draft: Draft) -> Tree:
    """How it is undone."""
    compensation: Tree = {"steps": [_gen_undoing_step(draft) for _ in range(draft.count(1, 3))]}
    if draft.can("compensate") and draft.chance(0.5):
        del compensation["steps"]
    strategies = ["reverse", "forward"] + ["parallel"] * draft.can("compensation.parallel")
    if draft.chance(0.5):
        compensation["strategy"] = draft.pick(strategies)
        draft.used["compensation.parallel"] += compensation["strategy"] == "parallel"
        draft.used["compensate.forward"] += compensation["strategy"] == "forward" and draft.used["compensate"] > 0
    if draft.use("compensation.manual", 0.15):
        compensation["mode"] = "manual"
    if draft.use("compensation.timeout", 0.2):
        compensation["timeout"] = draft.seconds(2, 5)
    return compensation


def _gen_undoing_step(draft: Draft) -> Tree:
    done = [name for name in draft.names if not name.startswith("u")]
    scope = Scope(seen=tuple(done), undoing=True)
    step: Tree = {"name": f"u{len(draft.names)}"}
    draft.names.append(step["name"])
    match draft.pick(("python", "python", "python", "noop", "wait")):
        case "python":
            reads = f"{{{{ steps.{draft.pick(done)}.output }}}}" if draft.chance(0.6) else gen_value(draft, scope)
            step |= {"type": "python", "config": {"task": "undo", "args": {"x": reads}}}
            if draft.chance(0.3):
                step["retry"] = gen_retry(draft)
        case "noop":
            step |= gen_noop(draft, scope)
        case _:
            step |= gen_wait(draft, scope)
    if draft.chance(0.25):
        step["when"] = gen_condition(draft, scope)
    return step


def gen_output(draft: Draft) -> Tree:
    """What it gives back."""
    values = {"n": "{{ vars.n }}"}
    if draft.chance(0.5):
        name = draft.pick([name for name in draft.names if not name.startswith("u")])
        values["x"] = f"{{{{ steps.{name}.output }}}}" if draft.chance(0.3) else f"{{{{ steps.{name}.status }}}}"
    return {"values": values}
