"""`subscription`: in a store, and through a server that has one."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepwell.app.subscriptions import Subscriptions
from tests.api.processes import serving
from tests.cli.conftest import Stepwell

URL = "https://billing.example/hooks"
CREATE = ("create", URL, "--id", "billing", "--type", "stepwell.execution.*", "--workflow", "payments.*")


@pytest.fixture(autouse=True)
def store(stepwell: Stepwell) -> None:
    stepwell("db", "migrate")


def goes_round(stepwell: Stepwell, *where: str) -> None:
    """A subscription from its making to its end."""

    def on(verb: str, *more: str) -> tuple[str, ...]:
        return ("subscription", verb, *more, *where)

    assert stepwell(*on("list")).out == "no subscriptions\n"
    made = stepwell(*on(*CREATE))
    assert made.status == 0
    assert made.out.startswith("whsec_")
    assert "not shown again" in made.err
    again = stepwell(*on(*CREATE))
    assert (again.status, again.err.startswith("error[subscription-exists]")) == (2, True)
    (item,) = stepwell(*on("list", "-o", "json")).json()["items"]
    assert (item["id"], item["types"], item["workflows"]) == ("billing", ["stepwell.execution.*"], ["payments.*"])
    assert "secret" not in item
    line = stepwell(*on("list")).out.splitlines()[1]
    assert line.split() == ["billing", "active", "stepwell.execution.*", "payments.*", URL]
    changed = stepwell(*on("change", "billing", "--not-active", "--description", "for the books"))
    assert changed.out == "subscription billing changed; it is not active\n"
    shown = stepwell(*on("show", "billing")).out
    assert "for the books" in shown
    assert "delivered     never\n" in shown
    assert stepwell(*on("deliveries", "billing")).out == "nothing was sent\n"
    lost = stepwell(*on("redeliver", "billing", "msg_x_1"))
    assert (lost.status, lost.err.startswith("error[unknown-message]")) == (2, True)
    nothing = stepwell(*on("change", "billing"))
    assert (nothing.status, nothing.err.startswith("error[usage]: nothing is to be changed")) == (2, True)
    assert stepwell(*on("delete", "billing")).out == "subscription billing deleted\n"
    gone = stepwell(*on("show", "billing"))
    assert (gone.status, gone.err.startswith("error[unknown-subscription]")) == (2, True)


def test_a_subscription_in_a_store_goes_round(stepwell: Stepwell) -> None:
    goes_round(stepwell)
    noted = stepwell("audit", "list", "-o", "json").json()["items"]
    assert [each["what"] for each in noted] == ["subscription.delete", "subscription.change", "subscription.create"]


def test_a_subscription_of_a_server_goes_round(stepwell: Stepwell, folder: Path) -> None:
    with serving(folder, "--store", "sqlite:server.db") as server:
        goes_round(stepwell, "--server", server.url)


@pytest.mark.parametrize(
    ("given", "field"),
    [((URL, "--id", "a b"), "id"), (("ftp://x",), "url"), ((URL, "--type", "a b"), "types")],
)
def test_a_subscription_that_cannot_be_is_refused(stepwell: Stepwell, given: tuple[str, ...], field: str) -> None:
    refused = stepwell("subscription", "create", *given)
    assert refused.status == 2
    assert f"error[bad-subscription]: {field}: " in refused.err


def test_what_was_sent_is_listed_in_parts(stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deliveries(self: Subscriptions, id_: str, **asked: object) -> dict[str, object]:
        sent = {"at": "2026-11-20T10:00:00Z", "type": "t", "attempt": 2, "id": "msg_1", "problem": None, "status": 200}
        failed = {**sent, "id": "msg_0", "problem": "no answer", "status": None, "outcome": "given_up"}
        return {"items": [{**sent, "outcome": "delivered"}, failed], "next": 7 if asked["before"] is None else None}

    monkeypatch.setattr(Subscriptions, "deliveries", deliveries)
    out = stepwell("subscription", "deliveries", "billing").out
    assert [line.split()[-1] for line in out.splitlines()[1:3]] == ["200", "answer"]
    assert "given up" in out
    cursor = out.splitlines()[-1].removeprefix("more with --cursor ")
    assert "more with" not in stepwell("subscription", "deliveries", "billing", "--cursor", cursor).out
