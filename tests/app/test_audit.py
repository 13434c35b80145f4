"""The audit log."""

from __future__ import annotations

import pytest

from stepwell.app.audit import Audit, AuditQuery, Doer, Refusals, act_entry
from stepwell.base.durations import MINUTE
from stepwell.base.errors import StoreError, UsageError
from stepwell.base.instants import to_rfc3339
from stepwell.ports.ledger import JournalQuery
from stepwell.store.memory.store import MemoryStore
from tests.virtual_clock import START

ADA, BOB = Doer(name="ada", proof="key", id="k1", address="10.0.0.1", request="r1"), Doer(name="bob")


@pytest.fixture
def audit(store: MemoryStore) -> Audit:
    return Audit(store)


async def test_an_entry_says_who_did_what_to_what_from_where_and_how_it_went(audit: Audit) -> None:
    await audit.note(act_entry(ADA, "POST /executions/{id}/pause", "execution:1", START, status=200))
    (item,) = (await audit.list(AuditQuery()))["items"]
    assert item == {
        "number": 1,
        "at": to_rfc3339(START),
        "who": "ada",
        "proof": "key",
        "id": "k1",
        "what": "POST /executions/{id}/pause",
        "on": "execution:1",
        "outcome": "done",
        "status": 200,
        "address": "10.0.0.1",
        "request": "r1",
        "detail": None,
    }


async def test_entries_are_chained(audit: Audit, store: MemoryStore) -> None:
    for number in range(3):
        await audit.note(act_entry(ADA, "x", str(number), START))
    rows = await store.journal(JournalQuery(kind="audit"))
    assert len({row.hash for row in rows}) == 3
    assert None not in {row.hash for row in rows}
    assert [chain.length for chain in await store.chains()] == [3]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (AuditQuery(who="ada"), ["3", "1"]),
        (AuditQuery(what="key."), ["2", "1"]),
        (AuditQuery(on="api-key:2"), ["2"]),
        (AuditQuery(outcome="refused"), ["3"]),
        (AuditQuery(since=START + 2), ["3", "2"]),
        (AuditQuery(until=START + 2), ["1"]),
        (AuditQuery(who="ada", what="execution."), ["3"]),
        (AuditQuery(who='"'), []),
    ],
)
async def test_entries_are_found_by_what_they_say(audit: Audit, query: AuditQuery, expected: list[str]) -> None:
    await audit.note(act_entry(ADA, "key.create", "api-key:1", START + 1))
    await audit.note(act_entry(BOB, "key.create", "api-key:2", START + 2))
    await audit.note(act_entry(ADA, "execution.pause", "execution:3", START + 3, outcome="refused"))
    found = (await audit.list(query))["items"]
    assert [item["on"][-1] for item in found] == expected


async def test_pages_hold_every_entry_once(audit: Audit) -> None:
    for number in range(25):
        await audit.note(act_entry(ADA if number % 2 else BOB, "x", str(number), START))
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await audit.list(AuditQuery(who="ada", limit=5, cursor=cursor))
        found += [item["on"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == [str(number) for number in range(23, 0, -2)]


@pytest.mark.parametrize("cursor", ["x", "-1", "", "9" * 30, "١"])
async def test_a_cursor_that_no_list_returned_is_refused(audit: Audit, cursor: str) -> None:
    with pytest.raises(UsageError) as raised:
        await audit.list(AuditQuery(cursor=cursor))
    assert raised.value.code == "invalid-cursor"


async def test_names_from_outside_are_bounded_and_on_one_line(audit: Audit) -> None:
    await audit.note(act_entry(Doer(name="a\nb" * 500), "x", "y" * 1_000, START))
    (item,) = (await audit.list(AuditQuery()))["items"]
    assert len(item["who"]) == 200
    assert "\n" not in item["who"]
    assert len(item["on"]) == 200


async def test_whoever_notes_something_is_told_when_it_cannot_be_written(
    audit: Audit, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*args: object, **more: object) -> list[int]:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", full)
        with pytest.raises(StoreError, match="full"):
            await audit.note(act_entry(ADA, "x", "1", START))
    await audit.note(act_entry(ADA, "x", "2", START))
    assert [item["on"] for item in (await audit.list(AuditQuery()))["items"]] == ["2"]


async def test_an_entry_of_a_later_version_is_shown_as_it_stands(audit: Audit, store: MemoryStore) -> None:
    entry = act_entry(ADA, "x", "1", START)
    await store.write([], START, entries=[type(entry)(kind="audit", subject="", at=START, body="{}", chained=True)])
    (item,) = (await audit.list(AuditQuery()))["items"]
    assert item["what"] == "unknown"
    assert item["detail"] == {"body": "{}"}


async def test_a_flood_of_refusals_is_counted_and_not_written_down(audit: Audit) -> None:
    refusals = Refusals(audit, of_address=3, in_all=5)
    for number in range(50):
        await refusals.note("GET /x", "invalid-token", f"10.0.0.{number % 2}", "r", START)
    assert len((await audit.list(AuditQuery()))["items"]) == 5
    await refusals.note("GET /x", "invalid-token", "10.0.0.9", "r", START + MINUTE)
    newest = (await audit.list(AuditQuery(limit=1)))["items"][0]
    assert newest["detail"] == {"code": "invalid-token", "not_noted_before": 45}
    assert newest["outcome"] == "refused"
