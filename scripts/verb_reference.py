"""The page about operators' verbs: what each does, and in which status it makes sense."""

from __future__ import annotations

from typing import get_args

from markdown import first_line, table
from stepwell.decider.verbs_legal import LEGAL, REFUSALS
from stepwell.execution.status import ExecutionStatus
from stepwell.execution.verbs import Verb

INTRODUCTION = """\
# What operators can do

Each of these is recorded in the history of the execution, with who asked for it (`--by`), why (`--reason`) and when.
What makes no sense is refused: nothing changes, nothing is recorded, and the message says what is possible.

On the command line: `stepwell execution VERB ID`. In Python: the methods of `engine.handle(ID)`. How it is done:
[how-to](../how-to/intervene.md).

"""
STATUSES = """
## In which status

A paused execution that is paused again stays as it is, and the answer says so. `waiting` is a running execution with
nothing to do but wait.

"""
REFUSED = """
## When it is refused

"""
FORK = "Begin another execution with the history of this one, up to the end of the turn of an event."
FIRST = ("pause", "resume", "cancel", "terminate", "retry", "rerun", "rollback", "fork", "skip-step", "complete-step",
         "migrate", "compensate")  # fmt: skip


def verb_page() -> str:
    """The page."""
    meanings = {verb.__struct_config__.tag: first_line(verb.__doc__) for verb in get_args(Verb)}
    meanings["fork"] = FORK
    assert set(FIRST) == meanings.keys(), "every verb has its place"
    allowed = [(f"`{verb}`", *("yes" if verb in LEGAL[status] else "" for status in ExecutionStatus)) for verb in FIRST]
    return "".join((
        INTRODUCTION,
        table(("verb", "what it does"), ((f"`{verb}`", meanings[verb]) for verb in FIRST)),
        STATUSES,
        table(("verb", *(f"`{status}`" for status in ExecutionStatus)), allowed),
        REFUSED,
        table(("code", "meaning"), ((f"`{code}`", meaning) for code, meaning in REFUSALS.items())),
    ))  # fmt: skip
