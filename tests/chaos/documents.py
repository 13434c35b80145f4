"""What runs: workflows, and how much of each."""

from __future__ import annotations

from typing import Any, Final

import msgspec

QUEUE: Final = "chaos"
NUMBER: Final = "{{ input.number }}"

Document = dict[str, Any]


def _note(name: str, number: str = NUMBER, **more: Any) -> Document:
    return {"name": name, "type": "note", "config": {"number": number}, **more}


def _workflow(name: str, steps: list[Document], **more: Any) -> Document:
    return {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": {"name": name, "version": "1.0.0"},
        "spec": {"steps": steps, **more},
    }


PLAIN: Final = _workflow(
    "plain",
    [
        _note("first"),
        _note("elsewhere", depends_on="first", queue=QUEUE),
        _note("alone", depends_on="elsewhere", mutex="account-{{ input.number % 50 }}"),
    ],
)
WAITING: Final = _workflow(
    "waiting",
    [
        _note("first"),
        {
            "name": "paid",
            "type": "wait_for_event",
            "depends_on": "first",
            "config": {"event_type": "order.paid", "filter": {"number": NUMBER}, "timeout": "1h"},
            "output": {"number": "{{ response.event_data.number }}"},
        },
        _note("after", "{{ steps.paid.output.number }}", depends_on="paid"),
    ],
)
PLACED: Final = _workflow(
    "placed",
    [_note("first"), _note("elsewhere", depends_on="first", queue=QUEUE)],
    triggers=[
        {
            "event": "order.placed",
            "map": {"number": "{{ event.data.number }}"},
            "dedupe_key": "{{ event.data.number }}",
        }
    ],
)
WORKFLOWS: Final = (PLAIN, WAITING, PLACED)
STEPS: Final = {
    document["metadata"]["name"]: frozenset(step["name"] for step in document["spec"]["steps"])
    for document in WORKFLOWS
}
NOTED: Final = {
    document["metadata"]["name"]: frozenset(
        step["name"] for step in document["spec"]["steps"] if step["type"] == "note"
    )
    for document in WORKFLOWS
}
"""The steps that write into the ledger."""


class Amount(msgspec.Struct, frozen=True):
    """How many executions of each workflow; of events there are as many as of executions that they start or wake, and
    `unwanted` ones."""

    plain: int
    waiting: int
    placed: int
    unwanted: int

    @property
    def executions(self) -> int:
        """All of them."""
        return self.plain + self.waiting + self.placed

    @property
    def events(self) -> int:
        """All of them."""
        return self.waiting + self.placed + self.unwanted


FULL: Final = Amount(plain=2_000, waiting=1_000, placed=2_000, unwanted=2_000)
