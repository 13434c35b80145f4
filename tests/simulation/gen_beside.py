"""What is added to a document once its course is written: who is told of it, waits that take too long, and that its
branches are separate.

It is drawn from what the document says, not from the source of everything else: so that the same seed writes the same
document around it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator
from random import Random
from typing import Any

from tests.simulation.draft import Draft
from tests.simulation.language import Tree

RECIPIENTS = (["ann"], ["{{ vars.n }}", "bob"], ["{{ [1][vars.n + 7] }}"])
"""The last cannot be rendered."""


def gen_beside(spec: Tree, language: Collection[str]) -> Counter[str]:
    """Add to the `spec`; the parts of the language that are used."""
    draft = Draft(Random(json.dumps(spec, sort_keys=True)), language, 0)
    for part in list(_mappings(spec)):
        if "action" in part and draft.use("notify.action", 0.4):
            part["notify"] = gen_notify(draft) if draft.chance(0.8) else True
        if part.get("type") == "wait" and "name" in part and draft.use("wait.timeout", 0.15):
            part["timeout"] = draft.seconds(1, 2)
            if draft.chance(0.5):
                part["retry"] = {"max_attempts": 2, "initial_delay": "1s"}
    config, compensation = spec["config"], spec.get("compensation")
    if "on_error" in config and draft.use("notify.error", 0.4):
        config["on_error"]["notify"] = gen_notify(draft)
    if compensation is not None and draft.use("notify.compensation", 0.4):
        compensation["notification"] = gen_notify(draft)
    if draft.use("branches.separate", 0.12):
        _separate(spec)
    return draft.used


def _separate(spec: Tree) -> None:
    """Have the branches of a document separate, and take out what has no meaning there."""
    spec["config"]["branches"] = "separate"
    for step in spec["steps"]:
        if step.get("join") in ("sync", "any"):
            del step["join"]
        for part in _mappings(step.get("config")):
            part.pop("publish", None)
            if part.get("type") == "set" and "name" in part:
                part |= {"type": "noop", "config": {}}


def gen_notify(draft: Draft) -> Tree:
    """Who is told, and what."""
    channels = draft.pick((["c"], ["c", "d"]))
    return {
        "channels": channels,
        "recipients": draft.pick(RECIPIENTS),
        "message": draft.pick(("look", "{{ error.message }}")),
    }


def _mappings(value: Any) -> Iterator[Tree]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _mappings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _mappings(inner)
