"""Events that are refused are dead letters: listed, shown, tried again, discarded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from stepwell.app.dead_events import DeadEvents, Refusal
from stepwell.app.dead_letters import DeadLetters
from stepwell.app.requeuing import Requeued, Requeuing
from stepwell.app.triggering import PublishedEvent
from stepwell.base.errors import Conflict, ErrorInfo, NotFound, StepwellError, UsageError
from stepwell.base.values import Sealed
from stepwell.execution.event import Event, EventTooLarge
from stepwell.ports.ledger import DEAD_EVENT
from stepwell.ports.listings import DeadLetterQuery
from tests.app.scheduling import MONDAY, Node, memory_store, node_on, workflow
from tests.conformance.store import scene_on
from tests.conformance.store_dead_letters import leaving, letter
from tests.virtual_clock import VirtualClock

NUMBERED = {"schema": {"properties": {"n": {"type": "integer"}}}}

SECRETIVE = {"n": "x", "password": "hunter2"}


class Desk:
    """A node, and its dead letters."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.store = node.store
        self.letters = DeadLetters(node.store)
        self.dead = DeadEvents(node.store)
        self.requeuing = Requeuing(
            node.store,
            node.session.triggering,
            node.session.codec,
            node.clock,
            self._publish,
            node.session.engine.write,
        )

    async def _publish(self, event: Event, writes: Any, also: Any = ()) -> PublishedEvent:
        session, now = self.node.session, self.node.clock.now()
        return await session.triggering.publish_by(session.engine, event, now, also=also, writes=writes)

    async def send(self, data: Any, id_: str = "e1", type_: str = "paid") -> PublishedEvent:
        event = Event(id=id_, type=type_, source="shop", data=data, time=self.node.clock.now())
        return await self._publish(event, [])

    async def refuse(self, at: int, **fields: Any) -> str:
        return await self.dead.refuse(refusal(**fields), at, self.node.session.codec)

    async def retry(self, id_: str, given: Mapping[str, Any] | None = None) -> Requeued:
        done = await self.requeuing.retry(id_, given, by="ada", reason="mended")
        await self.node.clock.settle()
        return done

    async def listed(self, **query: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.letters.list(DeadLetterQuery(**query)))["items"]
        return items

    async def inputs(self) -> list[Any]:
        """Of all executions."""
        return await self.node.inputs()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with memory_store() as store, node_on(store, VirtualClock(MONDAY)) as node:
        yield Desk(node)


async def refused(desk: Desk, data: Any = SECRETIVE, **trigger: Any) -> str:
    """The id of the dead letter that an event leaves."""
    await desk.node.register(workflow({"event": "paid", **trigger}, input=NUMBERED))
    published = await desk.send(data)
    assert [each.outcome for each in published.firings] == ["refused"]
    (item,) = await desk.listed()
    return str(item["id"])


async def code_of(call: Any) -> str:
    with pytest.raises(StepwellError) as raised:
        await call
    return raised.value.code


# What becomes one


async def test_an_event_that_a_workflow_refuses_is_listed_with_its_cause_and_shown_without_secrets(desk: Desk) -> None:
    id_ = await refused(desk)
    (item,) = await desk.listed(workflow="report", error_type="invalid-input")
    assert item["event"] == {"type": "paid", "source": "shop", "id": "e1"}
    assert (item["kind"], item["workflow"], item["version"], item["trigger"]) == ("event", "report", "1.0.0", 0)
    assert (item["execution_id"], item["step"], item["seq"], item["attempts"]) == (None, None, None, 1)
    shown = await desk.letters.show(id_)
    assert shown["input"]["data"] == {"n": "x", "password": "***"}
    (document,) = await desk.store.documents(DEAD_EVENT)
    assert b"hunter2" not in document.body
    assert (await desk.store.census()).dead_letters == (await desk.store.status()).dead_letters == 1


@pytest.mark.parametrize(
    ("trigger", "data", "code"),
    [
        ({"map": {"n": "{{ event.data.gone }}"}}, {}, "undefined-field"),
        ({"filter": "event.data.n > 'a'"}, {"n": 1}, "wrong-type"),
        ({"dedupe_key": "{{ event.data.gone }}"}, {}, "undefined-field"),
    ],
)
async def test_what_a_trigger_cannot_compute_of_an_event_is_the_cause(
    desk: Desk, trigger: dict[str, Any], data: Any, code: str
) -> None:
    id_ = await refused(desk, data, **trigger)
    assert (await desk.letters.show(id_))["error"]["type"] == code


async def test_what_is_filtered_or_taken_leaves_none(desk: Desk) -> None:
    await desk.node.register(workflow({"event": "paid", "filter": "event.data.n > 1"}, input=NUMBERED))
    for number, data in enumerate([{"n": 1}, {}, {"n": 2}]):
        await desk.send(data, f"e{number}")
    assert await desk.listed() == []


async def test_every_trigger_that_refuses_an_event_leaves_one_and_a_duplicate_leaves_none(desk: Desk) -> None:
    await desk.node.register(workflow({"event": "paid"}, {"event": "p*"}, input=NUMBERED))
    await desk.node.register(workflow({"event": "paid"}, name="other"))
    for _ in range(2):
        await desk.send({"n": "x"})
    items = await desk.listed()
    assert sorted(each["trigger"] for each in items) == [0, 1]
    assert len({each["id"] for each in items}) == 2
    assert len(await desk.inputs()) == 1  # the other workflow takes it


# Trying again


async def test_tried_again_with_other_data_it_starts_what_it_should_have_once(desk: Desk) -> None:
    id_ = await refused(desk)
    done = await desk.retry(id_, {"n": 7})
    assert await desk.inputs() == [{"n": 7, "password": Sealed("hunter2")}]
    assert await desk.listed() == []
    assert (await desk.store.census()).dead_letters == 0
    assert await code_of(desk.retry(id_)) == "unknown-dead-letter"
    firings = (await desk.node.session.triggering.firings.list())["items"]
    assert [(each["outcome"], each["execution_id"]) for each in firings] == [
        ("started", done.executions[0]),
        ("refused", None),
    ]
    assert (firings[0]["dead_letter"], firings[0]["by"], firings[0]["why"]) == (id_, "ada", "mended")


async def test_of_two_who_try_it_at_once_one_starts_it(desk: Desk) -> None:
    id_ = await refused(desk)
    answers = await asyncio.gather(*[desk.retry(id_, {"n": each}) for each in (1, 2)], return_exceptions=True)
    codes = [each.code for each in answers if isinstance(each, StepwellError)]
    assert codes in (["changed-meanwhile"], ["unknown-dead-letter"])
    assert len(await desk.inputs()) == 1


async def test_refused_again_it_stays_with_the_new_cause_and_counts_the_tries(desk: Desk) -> None:
    id_ = await refused(desk)
    assert await code_of(desk.retry(id_)) == "refused-again"
    assert await code_of(desk.retry(id_, {"n": "y"})) == "refused-again"
    shown = await desk.letters.show(id_)
    assert (shown["attempts"], shown["input"]["data"]["n"]) == (3, "x")
    await desk.retry(id_, {"n": 1})
    assert len(await desk.inputs()) == 1


async def test_a_filter_that_does_not_hold_any_more_keeps_it(desk: Desk) -> None:
    id_ = await refused(desk, {"n": "x"}, filter="event.data.n == 'x'")
    assert await code_of(desk.retry(id_, {"n": 1})) == "refused-again"
    assert (await desk.letters.show(id_))["error"]["type"] == "filtered"


async def test_a_workflow_that_is_no_longer_active_takes_nothing_again_until_it_is(desk: Desk) -> None:
    id_ = await refused(desk)
    await desk.store.set_lifecycle("report", "1.0.0", "deprecated", at=1, by="ann")
    assert await code_of(desk.retry(id_, {"n": 1})) == "unknown-trigger"
    await desk.node.register(workflow({"event": "paid"}, version="1.1.0", input=NUMBERED))
    await desk.retry(id_, {"n": 1})
    assert await desk.inputs() == [{"n": 1, "password": Sealed("hunter2")}]


async def test_too_much_data_is_refused_and_the_dead_letter_stays(desk: Desk) -> None:
    id_ = await refused(desk)
    with pytest.raises(EventTooLarge):
        await desk.retry(id_, {"n": "x" * 300_000})
    assert len(await desk.listed()) == 1


# What came to no trigger


def refusal(**fields: Any) -> Refusal:
    known: dict[str, Any] = {
        "type": "paid",
        "source": "kafka/orders",
        "id": "0/17",
        "data": "{not json",
        "error": ErrorInfo("bad-message", "it is no JSON"),
        "time": MONDAY - 5,
    }
    return Refusal(**{**known, **fields})


async def test_what_could_not_be_taken_is_kept_once_and_taken_when_it_is_mended(desk: Desk) -> None:
    ids = {await desk.refuse(MONDAY + each) for each in range(2)}
    (id_,) = ids
    (item,) = await desk.listed()
    assert (item["id"], item["workflow"], item["trigger"], item["error"]["type"]) == (id_, None, None, "bad-message")
    assert (await desk.letters.show(id_))["input"]["data"] == "{not json"
    await desk.node.register(workflow({"event": "paid"}, input=NUMBERED))
    done = await desk.retry(id_, {"n": 3})
    assert (len(done.executions), await desk.inputs(), await desk.listed()) == (1, [{"n": 3}], [])


async def test_mended_it_may_be_refused_by_a_trigger_and_is_that_ones_then(desk: Desk) -> None:
    await desk.node.register(workflow({"event": "paid"}, input=NUMBERED))
    id_ = await desk.refuse(MONDAY)
    assert "1 triggers refused it" in (await desk.retry(id_, {"n": "x"})).said
    (item,) = await desk.listed()
    assert (item["workflow"], item["error"]["type"]) == ("report", "invalid-input")


async def test_one_that_had_been_taken_before_is_done_with(desk: Desk) -> None:
    await desk.node.register(workflow({"event": "paid"}, input=NUMBERED))
    id_ = await desk.refuse(MONDAY, source="shop", id="e1")
    await desk.send({"n": 1})
    assert "taken before" in (await desk.retry(id_, {"n": 2})).said
    assert (await desk.listed(), await desk.inputs()) == ([], [{"n": 1}])


async def test_of_a_reserved_type_it_can_only_be_discarded(desk: Desk) -> None:
    id_ = await desk.refuse(MONDAY, type="stepwell.approval.answered")
    with pytest.raises(UsageError):
        await desk.retry(id_, {})
    assert len(await desk.listed()) == 1


async def test_a_value_that_cannot_be_kept_as_it_is_is_kept_as_text(desk: Desk) -> None:
    id_ = await desk.refuse(MONDAY, data={"n": 2**70})
    assert (await desk.letters.show(id_))["input"]["data"] == '{"n":1180591620717411303424}'
    long = await desk.refuse(MONDAY, id="2", data="x" * 400_000)
    assert len((await desk.letters.show(long))["input"]["data"]) < 310_000


# Discarding and listing


async def test_discarded_it_says_who_and_why_its_data_is_gone_and_it_cannot_be_tried(desk: Desk) -> None:
    id_ = await refused(desk)
    first = await desk.letters.discard(id_, at=MONDAY, by="ada", reason="a test")
    assert (first["outcome"], first["discarded"]["by"], first["discarded"]["reason"]) == ("discarded", "ada", "a test")
    assert (await desk.letters.discard(id_, at=MONDAY, by="bob", reason=None))["outcome"] == "unchanged"
    assert (await desk.letters.show(id_))["input"] is None
    assert (await desk.listed(), [each["id"] for each in await desk.listed(discarded=True)]) == ([], [id_])
    assert await code_of(desk.retry(id_)) == "discarded-dead-letter"
    assert (await desk.store.census()).dead_letters == 0


@pytest.mark.parametrize("id_", ["event/1/1", f"event/{'9' * 19}-{'0' * 32}/1", "event/", "event/x\0/1"])
async def test_one_that_is_not_there_is_as_unknown_as_a_step(desk: Desk, id_: str) -> None:
    for call in (desk.letters.show(id_), desk.retry(id_), desk.letters.discard(id_, at=1, by="ada", reason=None)):
        with pytest.raises(NotFound) as raised:
            await call
        assert raised.value.code == "unknown-dead-letter"
    assert await desk.letters.about(id_) is None


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 10])
async def test_events_and_steps_are_one_list_newest_first_part_by_part(desk: Desk, limit: int) -> None:
    scene = await scene_on(desk.store)
    handle = await scene.create("a")
    await scene.append(leaving(handle, *[letter("a", seq=seq, at=MONDAY + seq * 10) for seq in (2, 4, 6)], seq=20))
    for seq in (1, 3, 5, 7):
        await desk.refuse(MONDAY + seq * 10, id=str(seq), time=None)
    seen: list[Any] = []
    cursor: str | None = None
    while True:
        page = await desk.letters.list(DeadLetterQuery(limit=limit, cursor=cursor))
        assert len(page["items"]) <= limit
        seen += [each["seq"] or int(each["event"]["id"]) for each in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]


async def test_lists_of_one_execution_or_namespace_have_what_belongs_there(desk: Desk) -> None:
    await desk.refuse(MONDAY, type="team.paid")
    await desk.refuse(MONDAY, id="2")
    assert len(await desk.listed(namespaces=("team",))) == 1
    assert len(await desk.listed(namespaces=("default",))) == 1
    assert await desk.listed(execution="a") == []


@pytest.mark.parametrize("cursor", ["x", "~x", "1~x", "~", "9~~"])
async def test_what_is_no_cursor_is_refused(desk: Desk, cursor: str) -> None:
    await desk.refuse(MONDAY)
    if cursor == "~":  # behind nothing
        assert len(await desk.listed(cursor=cursor)) == 1
        return
    with pytest.raises(UsageError):
        await desk.listed(cursor=cursor)


async def test_who_discards_what_somebody_else_has_just_tried_changes_nothing(desk: Desk) -> None:
    id_ = await refused(desk)
    kept = await desk.dead.get(id_)
    assert kept is not None
    await desk.retry(id_, {"n": 1})
    with pytest.raises(Conflict):
        await desk.store.write([kept.dead.written(expected=kept.revision)], MONDAY)
    assert len(await desk.inputs()) == 1
