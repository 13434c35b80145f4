"""The commands that may stand in `do` in place of a task's name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

COMMANDS: Final = frozenset({"continue", "fail", "noop", "retry"})
"""`continue`: leave a failure as it is. `noop`: it is dealt with, and nothing follows. `fail`: the workflow has failed.
`retry`: run the task again."""


class Do(NamedTuple):
    """What an entry of `next` says to do: the tasks to go on with, and the commands, each once."""

    targets: tuple[str, ...]
    commands: frozenset[str]


def split_do(names: Iterable[str]) -> Do:
    """Tell tasks from commands. A task that is named twice is named twice in the result, so that it is found."""
    listed = tuple(names)
    return Do(tuple(name for name in listed if name not in COMMANDS), frozenset(listed) & COMMANDS)


def failing_step(task: str, taken: Iterable[str]) -> str:
    """The name of the step that fails the workflow on behalf of a task: one that nothing else has."""
    names = frozenset(taken)
    name = f"{task}__fail"
    while name in names:
        name += "_"
    return name
