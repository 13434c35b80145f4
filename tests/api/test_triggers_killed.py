"""`kill -9` of a server: schedules, webhooks, batches of events and deliveries survive it."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from stepwell.base.instants import from_rfc3339
from tests.api.documents import API
from tests.api.processes import serving
from tests.app.scheduling import workflow

KILLS = 3
PATIENCE = 60
BATCH = {"Content-Type": "application/cloudevents-batch+json"}


class Inbox(ThreadingHTTPServer):
    """Takes messages; now and then one is not accepted."""

    daemon_threads = True

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int]] = []
        self.count = 0
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Inbox

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.count += 1
        accepted = self.server.count % 100 != 0
        if accepted:
            execution, _, seq = body["id"].partition("/")
            self.server.seen.append((self.headers["webhook-id"], execution, int(seq)))
        self.send_response(204 if accepted else 503)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the library's name
        return


@contextmanager
def receiving() -> Iterator[Inbox]:
    with Inbox() as inbox:
        thread = threading.Thread(target=inbox.serve_forever, daemon=True)
        thread.start()
        yield inbox
        inbox.shutdown()
        thread.join()


def _batch(ids: list[str]) -> str:
    return json.dumps(
        [{"specversion": "1.0", "id": id_, "source": "test", "type": "paid", "data": {"n": id_}} for id_ in ids]
    )


def _send(url: str, kill: int, accepted: list[str], sent: list[list[str]]) -> None:
    """Send webhooks, and batches of events, until the server is gone."""
    with httpx.Client(base_url=url, timeout=10) as client:
        for number in range(10_000):
            name = f"{kill}-{number}"
            ids = [f"{name}-{n}" for n in range(5)]
            sent.append(ids)
            try:
                hook = client.post(f"{API}/webhooks/in", json={"n": name}, headers={"Idempotency-Key": name})
                if hook.status_code == 202:
                    accepted.append(name)
                taken = client.post(f"{API}/events", content=_batch(ids), headers=BATCH)
                assert taken.status_code == 202
            except httpx.HTTPError:
                return
            time.sleep(0.02)


def _all(client: httpx.Client, path: str, **parameters: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        page = client.get(f"{API}/{path}", params={"limit": 1_000, **parameters, **cursor}).json()
        items += page["items"]
        if page["next"] is None:
            return items
        cursor = {"cursor": page["next"]}


def test_nothing_is_lost_or_done_twice(tmp_path: Path) -> None:
    flags = ("--store", "sqlite:x.db")
    accepted: list[str] = []
    sent: list[list[str]] = []
    tick = workflow({"schedule": {"every": "1s", "catch_up": "all"}}, name="tick")
    hook = workflow({"webhook": {"path": "in"}}, name="hook")
    paid = workflow({"event": "paid"}, name="paid")
    with receiving() as inbox:
        for kill in range(KILLS):
            with serving(tmp_path, *flags) as server:
                with httpx.Client(base_url=server.url, timeout=30) as client:
                    for document in (tick, hook, paid):
                        assert client.post(f"{API}/workflows", json=document).status_code in (200, 201)
                    given = {"id": "s", "url": f"http://127.0.0.1:{inbox.server_port}/", "types": ["*.execution.*"]}
                    assert client.post(f"{API}/subscriptions", json=given).status_code in (201, 409)
                sender = threading.Thread(target=_send, args=(server.url, kill, accepted, sent))
                sender.start()
                time.sleep(1.5)
                server.kill()
                sender.join()
        with serving(tmp_path, *flags) as server, httpx.Client(base_url=server.url, timeout=30) as client:
            # Who sent the last batch got no answer, and sends it again.
            assert client.post(f"{API}/events", content=_batch(sent[-1]), headers=BATCH).status_code == 202
            client.post(f"{API}/schedules/tick:0/pause", json={})
            executions = _settled(client, inbox)
            _check_schedule(client, executions)
            _check_started_once(client, executions, accepted, sent)
            _check_told(executions, inbox)


def _settled(client: httpx.Client, inbox: Inbox) -> list[dict[str, Any]]:
    """All executions, once they have ended and subscribers were told of all of them."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        executions = _all(client, "executions")
        told = Counter(execution for _, execution, _ in set(inbox.seen))
        if all(each["status"] == "completed" and told[each["execution_id"]] >= 3 for each in executions):
            return executions
        time.sleep(0.2)
    left = [each["status"] for each in executions if each["status"] != "completed" or told[each["execution_id"]] < 3]
    raise AssertionError(f"not everything was done and told in time: of {len(executions)} {Counter(left)} are left")


def _check_schedule(client: httpx.Client, executions: list[dict[str, Any]]) -> None:
    firings = _all(client, "triggers/firings", schedule="tick:0")
    due = sorted(from_rfc3339(each["due_at"]) for each in firings if each["outcome"] == "started")
    assert due == [due[0] + number * 1_000_000 for number in range(len(due))]
    assert len(due) >= KILLS
    assert sum(each["workflow"] == "tick" for each in executions) == len(due)


def _check_started_once(
    client: httpx.Client, executions: list[dict[str, Any]], accepted: list[str], sent: list[list[str]]
) -> None:
    inputs: dict[str, Counter[str]] = {"hook": Counter(), "paid": Counter()}
    for each in executions:
        if each["workflow"] in inputs:
            report = client.get(f"{API}/executions/{each['execution_id']}").json()
            inputs[each["workflow"]][report["input"]["n"]] += 1
    assert set(accepted) <= inputs["hook"].keys()
    acknowledged = {id_ for batch in sent[:-KILLS] for id_ in batch} | set(sent[-1])
    assert {id_ for id_ in acknowledged if id_ in inputs["paid"]} == inputs["paid"].keys() & acknowledged
    assert set(sent[-1]) <= inputs["paid"].keys()
    assert max(max(counter.values()) for counter in inputs.values()) == 1


def _check_told(executions: list[dict[str, Any]], inbox: Inbox) -> None:
    order: dict[str, list[int]] = {}
    for _, execution, seq in inbox.seen:
        known = order.setdefault(execution, [])
        if seq not in known:
            known.append(seq)
    for each in executions:
        assert order[each["execution_id"]] == sorted(order[each["execution_id"]])
    assert len({id_ for id_, _, _ in inbox.seen}) == sum(len(known) for known in order.values())
