"""What a task says itself, without the secrets that were opened for it."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.values import Sealed
from stepwell.ports.work import TaskContext
from tests.conformance.dispatcher import assignment
from tests.worker.harness import LocalHarness


@pytest.mark.parametrize(
    ("config", "shown"),
    [({"token": Sealed("hunter22")}, "the token is ***"), ({"token": "plain-text"}, "the token is plain-text")],
)
async def test_a_task_can_hide_what_was_opened_for_it_and_nothing_else(config: Any, shown: str) -> None:
    async def say(config: Any, context: TaskContext) -> Any:
        return context.hide(f"the token is {config['token']}")

    harness = LocalHarness(say)
    harness.dispatcher.dispatch(assignment(config=config))
    assert (await harness.report()).result == shown


async def test_what_a_task_opens_itself_is_hidden_too() -> None:
    async def say(config: Any, context: TaskContext) -> Any:
        opened = context.open(Sealed(["abcd-efgh", "ijkl-mnop"]))
        return context.hide(" and ".join(opened))

    harness = LocalHarness(say)
    harness.dispatcher.dispatch(assignment())
    assert (await harness.report()).result == "*** and ***"
