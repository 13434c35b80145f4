"""What a worker reports to a node that does not run the execution."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.app.peers import Passed, Peers
from tests.api.conftest import Server
from tests.api.documents import API


@pytest.mark.parametrize(
    ("answered", "status", "code"),
    [(204, 204, None), (409, 409, "not-assigned"), (429, 503, "node-unreachable"), (None, 503, "node-unreachable")],
)
@pytest.mark.parametrize("verb", ["complete", "fail"])
async def test_a_report_is_taken_refused_or_to_be_sent_again_as_the_other_node_says(
    server: Server, monkeypatch: pytest.MonkeyPatch, verb: str, answered: int | None, status: int, code: str | None
) -> None:
    async def runs(self: Peers, execution: str) -> str:
        return "http://other.test"

    async def pass_on(self: Peers, url: str, path: str, *more: Any) -> Passed:
        assert (url, path) == ("http://other.test", f"{API}/workers/{verb}")
        if answered is None:
            raise ConnectionError("it does not answer")
        return Passed(answered, None)

    monkeypatch.setattr(Peers, "is_alone", False)
    monkeypatch.setattr(Peers, "runs", runs)
    monkeypatch.setattr(Peers, "pass_on", pass_on)
    report = {"complete": {"id": "e/one/1"}, "fail": {"id": "e/one/1", "type": "Oops", "message": "no"}}
    answer = await server.post(f"{API}/workers/{verb}", json=report[verb])
    assert answer.status_code == status
    assert (answer.json()["code"] if answer.content else None) == code
