"""Operators' verbs in an engine: answered after the commit, whole after a crash, from other processes too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stepwell.base.errors import Conflict, NotFound, StepwellError, StoreError
from stepwell.decider.plan import Plan
from stepwell.engine.applying import Alone
from stepwell.engine.operating import (
    ANSWER,
    VERB,
    Answer,
    Request,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
)
from stepwell.execution.codec import Codec
from stepwell.execution.history import HistoryEvent
from stepwell.execution.verbs import (
    Cancel,
    CompleteStep,
    Migrate,
    Pause,
    Rerun,
    Resume,
    Retry,
    SkipStep,
    Terminate,
    Verb,
)
from stepwell.ports.listings import ExecutionQuery
from stepwell.ports.records import InboxItem
from tests.decider.story import step, workflow
from tests.decider.verb_story import document
from tests.engine.world import BOOM, SECOND, World, a_world
from tests.execution.ciphers import Toy

BY: dict[str, Any] = {"by": "ada", "reason": "why"}
TWO = workflow(step("a"), step("b", "a"), step("c", "b"))
REPLY = -77


async def ask(world: World, execution: str, verb: Verb) -> Answer:
    answer = await world.engine.operate(execution, verb)
    await world.clock.settle()
    return answer


async def post(world: World, execution: str, verb: Verb, id: str = "r1") -> None:  # noqa: A002
    """Ask from another process."""
    stored = await world.store.load(execution)
    assert stored is not None
    payload = encode_request(Request(id, REPLY, verb), world.codec)
    await world.store.post([InboxItem(shard=stored.handle.shard, kind=VERB, payload=payload, execution=execution)])
    await world.clock.settle()


async def answers(world: World) -> list[Any]:
    """What was answered: the words, or the code of the refusal."""
    found: list[Any] = []
    for item in await world.store.inbox(REPLY):
        assert item.kind == ANSWER
        try:
            found.append(decode_answer(item.payload, world.codec).said)
        except StepwellError as error:
            found.append(error.code)
    return found


async def status(world: World, execution: str) -> str:
    """As it is listed."""
    page = await world.store.list(ExecutionQuery())
    return next(item.summary.status for item in page.items if item.id == execution)


# In the engine itself


async def test_a_pause_is_answered_after_its_commit_and_kept_by_a_crash() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        world.gate.open.clear()
        asked = asyncio.create_task(world.engine.operate(id_, Pause(**BY)))
        await world.clock.settle()
        assert not asked.done()
        world.gate.open.set()
        answer = await asked
        assert (answer.status, answer.changed, answer.said) == ("paused", True, "paused; 1 running step may still end")
        await world.done("a")
        assert (await status(world, id_), world.work.steps()) == ("paused", [])
        await world.crash()
        assert world.work.steps() == []
        again = await ask(world, id_, Pause(**BY))
        assert (again.changed, again.said) == (False, "it is paused already: why")
        await ask(world, id_, Resume(**BY))
        assert world.work.steps() == ["b"]


async def test_a_paused_execution_with_nothing_at_work_needs_no_memory_and_no_alarm() -> None:
    async with a_world() as world:
        id_ = await world.start(document("steps: [{name: w, type: wait, config: {for: 1h}, delay: 1s}]"))
        await ask(world, id_, Pause(**BY))
        assert world.engine._ground.loaded.get(id_) is None
        await world.clock.advance(10 * SECOND)
        assert await world.statuses(id_) == {"w": "waiting"}
        assert await world.store.next_wake([0]) is None
        await ask(world, id_, Resume(**BY))
        assert (await world.state(id_)).steps["w"].held == ""


async def test_work_that_is_in_flight_when_it_is_paused_is_dispatched_again_after_a_crash() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        await ask(world, id_, Pause(**BY))
        await world.crash()
        assert world.work.steps() == ["a"]
        await world.done("a")
        assert (await world.state(id_)).status.value == "paused"


async def test_a_cancel_waits_for_what_runs_and_a_terminate_does_not() -> None:
    async with a_world() as world:
        slow, quick = await world.start(TWO), await world.start(TWO)
        await ask(world, slow, Cancel(**BY))
        assert await status(world, slow) == "running"
        ended = asyncio.create_task(world.engine.ended(slow))
        await ask(world, quick, Terminate(**BY))
        assert (await status(world, quick), world.work.stopped) == ("cancelled", [f"{quick}/a/1"])
        await world.done("a")
        assert (await ended).status.value == "cancelled"


async def test_a_cancel_survives_a_crash() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        await ask(world, id_, Cancel(**BY))
        await world.crash()
        await world.done("a")
        state = await world.state(id_)
        assert (state.status.value, state.cancel_reason) == ("cancelled", "why")


async def test_a_retry_resolves_the_dead_letter_in_its_own_commit() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        await world.done("a", error=BOOM)
        seq = (await world.state(id_)).steps["a"].order
        assert await world.store.dead_letter(f"{id_}/a/{seq}") is not None
        await ask(world, id_, Retry(**BY, settings={"task": "other"}, steps=("a",)))
        assert await world.store.dead_letter(f"{id_}/a/{seq}") is None
        (again,) = world.work.out.values()
        assert (again.id, again.idempotency_key, again.config) == (f"{id_}/a/2", f"{id_}/a", {"task": "other"})
        assert await status(world, id_) == "running"
        await world.crash()
        assert [work.config for work in world.work.out.values()] == [{"task": "other"}]
        for name in "abc":
            await world.done(name)
        assert await status(world, id_) == "completed"


async def test_a_retry_that_fails_leaves_a_dead_letter_again() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        await world.done("a", error=BOOM)
        await ask(world, id_, Retry(**BY))
        await world.done("a", error=BOOM)
        seq = (await world.state(id_)).steps["a"].order
        letter = await world.store.dead_letter(f"{id_}/a/{seq}")
        assert letter is not None
        assert letter.attempts == 2


async def test_an_execution_that_ended_is_rerun_from_the_store() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        for name in "abc":
            await world.done(name)
        assert await status(world, id_) == "completed"
        answer = await ask(world, id_, Rerun(**BY, step="b"))
        assert answer.said == "run again: b, c"
        assert [work.idempotency_key for work in world.work.out.values()] == [f"{id_}/b/r1"]
        assert (await world.store.load(id_)).summary.finished_at is None  # type: ignore[union-attr]


async def test_a_refusal_records_nothing_and_leaves_the_execution_as_it_is() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        before = (await world.state(id_)).seq
        with pytest.raises(Conflict) as caught:
            await world.engine.operate(id_, Resume(**BY))
        assert caught.value.code == "not-paused"
        with pytest.raises(NotFound):
            await world.engine.operate("none", Pause(**BY))
        assert (await world.state(id_)).seq == before
        await world.done("a")
        assert world.work.steps() == ["b"]


async def test_what_cannot_be_stored_is_not_acknowledged() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        world.gate.error = StoreError("the disk is full")
        with pytest.raises(StoreError):
            await world.engine.operate(id_, Pause(**BY))
        world.gate.error = None
        await world.crash()
        assert await status(world, id_) == "running"


async def test_a_step_is_skipped_and_another_completed_by_hand() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        await ask(world, id_, SkipStep(**BY, step="a", force=True))
        assert (world.work.stopped, world.work.steps()) == ([f"{id_}/a/1"], ["b"])
        await ask(world, id_, CompleteStep(**BY, step="b", output={"n": 1}, force=True))
        assert world.work.steps() == ["c"]
        await world.done("c")
        assert await world.statuses(id_) == {"a": "skipped", "b": "completed", "c": "completed"}


async def test_a_late_report_of_stopped_work_changes_nothing() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        (work,) = world.work.out.values()
        await ask(world, id_, Terminate(**BY))
        world.work.out[work.id] = work
        await world.done("a")
        assert await status(world, id_) == "cancelled"


# Versions


async def test_an_execution_is_moved_to_another_version_and_goes_on_with_it_after_a_crash() -> None:
    old = document("steps: [{name: a, type: python, config: {task: t}}]")
    more = "{name: z, type: python, config: {task: u}, depends_on: [a]}"
    new = document(f"steps: [{{name: a, type: python, config: {{task: t}}}}, {more}]", "2.0.0")
    async with a_world() as world:
        id_ = await world.start(old)
        plan = world.plan(new)
        answer = await ask(world, id_, Migrate(**BY, version="2.0.0", digest=plan.digest))
        assert answer.said == "test 1.0.0 → 2.0.0"
        stored = await world.store.load(id_)
        assert stored is not None
        assert (stored.created.version, stored.created.digest) == ("2.0.0", plan.digest)
        await world.crash()
        await world.done("a")
        assert world.work.steps() == ["z"]


# Forks


async def test_a_fork_goes_on_under_its_own_id_and_the_other_one_is_untouched() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        await world.done("a", 7)
        await world.done("b")
        forked = await world.engine.fork(id_, 5, by="ada", reason="what if")
        await world.clock.settle()
        assert (forked.origin, forked.seq) == (id_, 5)
        assert sorted(work.id for work in world.work.out.values()) == sorted([f"{id_}/c/1", f"{forked.execution}/b/2"])
        stored = await world.store.load(forked.execution)
        assert stored is not None
        assert stored.created.forked_from == id_
        await world.crash()
        assert f"{forked.execution}/b/2" in world.work.out
        state = await world.state(forked.execution)
        assert (state.id, state.steps["a"].output, state.forked_from) == (forked.execution, 7, id_)


async def test_a_fork_at_an_event_inside_of_a_turn_takes_the_whole_turn() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        forked = await world.engine.fork(id_, 2, by="ada")
        assert forked.seq == 3
        for wrong in (0, 99):
            with pytest.raises(NotFound, match="they are numbered from 1"):
                await world.engine.fork(id_, wrong, by="ada")
        with pytest.raises(NotFound):
            await world.engine.fork("none", 1, by="ada")


async def test_a_fork_where_the_execution_had_ended_is_refused() -> None:
    async with a_world() as world:
        id_ = await world.start(workflow(step("a")))
        await world.done("a")
        seq = (await world.state(id_)).seq
        with pytest.raises(Conflict, match=r"cannot be forked at event 5: there it is completed") as caught:
            await world.engine.fork(id_, seq, by="ada")
        assert caught.value.code == "already-ended"


# From elsewhere


async def test_a_verb_from_another_process_comes_through_the_inbox_and_is_answered_there() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        await post(world, id_, Pause(**BY))
        assert await answers(world) == ["paused; 1 running step may still end"]
        await post(world, id_, Pause(**BY), "r2")
        await post(world, id_, Retry(**BY), "r3")
        assert (await answers(world))[1:] == ["it is paused already: why", "not-failed"]
        shard = (await world.store.load(id_)).handle.shard  # type: ignore[union-attr]
        assert await world.store.inbox(shard) == []
        assert (await world.state(id_)).paused_by == "ada"


async def test_a_verb_for_an_execution_that_is_not_there_is_answered() -> None:
    async with a_world() as world:
        payload = encode_request(Request("r", REPLY, Pause(**BY)), world.codec)
        await world.store.post([InboxItem(shard=0, kind=VERB, payload=payload, execution="none")])
        await world.clock.settle()
        assert await answers(world) == ["unknown-execution"]


async def test_an_inbox_item_and_its_effect_are_one_transaction() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        world.gate.open.clear()
        await post(world, id_, Cancel(**BY, stop=True))
        assert (await answers(world), world.work.stopped) == ([], [])
        world.gate.open.set()
        await world.clock.settle()
        assert (await answers(world), world.work.stopped) == (["cancelled"], [f"{id_}/a/1"])


async def test_a_verb_is_acted_upon_when_nobody_waits_for_the_answer() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        payload = encode_request(Request("r", None, Terminate(**BY)), world.codec)
        await world.store.post([InboxItem(shard=0, kind=VERB, payload=payload, execution=id_)])
        await world.clock.settle()
        assert await status(world, id_) == "cancelled"
        assert await answers(world) == []


# Alone


@pytest.fixture
def codec() -> Codec:
    return Codec(Toy())


def alone(world: World) -> Alone:
    return Alone(world.store, world.codec, world.clock, world._plan, "somebody")


async def test_an_execution_that_a_living_engine_runs_is_not_touched() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        with pytest.raises(Conflict) as caught:
            await alone(world).ask(id_, Pause(**BY))
        assert caught.value.code == "shard-owned"


async def test_an_execution_that_nobody_runs_is_changed_and_goes_on_when_it_is_taken_up() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        await world.done("a", error=BOOM)
        await world.engine.close()
        answer = await alone(world).ask(id_, Retry(**BY))
        assert answer is not None
        assert (answer.said, answer.status) == ("tried again: a", "running")
        assert world.work.steps() == []
        await world.crash()
        assert world.work.steps() == ["a"]
        await world.done("a")
        assert world.work.steps() == ["b"]


async def test_a_request_that_was_posted_before_is_withdrawn_when_it_is_done_alone() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        await world.engine.close()
        await post(world, id_, Pause(**BY), "mine")
        await post(world, id_, Resume(**BY), "another")
        await alone(world).ask(id_, Pause(**BY), "mine")
        left = [decode_request(item.payload, world.codec).id for item in await world.store.inbox(0)]
        assert left == ["another"]
        assert await alone(world).ask(id_, Pause(**BY), "mine") is None
        with pytest.raises(Conflict):
            await alone(world).ask(id_, Retry(**BY), "another")
        assert await world.store.inbox(0) == []


async def test_a_fork_alone_waits_for_somebody_to_run_it() -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        forked = await alone(world).fork(id_, 3, "ada", "", world._entropy)
        assert await status(world, forked.execution) == "running"
        assert world.work.steps() == ["a"]
        with pytest.raises(NotFound):
            await alone(world).fork("none", 3, "ada", "", world._entropy)
        with pytest.raises(NotFound):
            await alone(world).ask("none", Pause(**BY))
        await world.crash()
        assert len(world.work.out) == 2


# As bytes


def test_what_may_hold_secrets_is_not_readable_in_an_inbox(codec: Codec) -> None:
    for verb in (Retry(**BY, settings={"card": "4111"}), CompleteStep(**BY, step="a", output="4111")):
        request = Request("r", 1, verb)
        payload = encode_request(request, codec)
        assert b"4111" not in payload
        assert decode_request(payload, codec) == request
    assert b"why" in encode_request(Request("r", 1, Pause(**BY)), codec)


def test_an_answer_says_the_same_on_the_other_side(codec: Codec) -> None:
    done = Answer(execution="e", verb="pause", changed=True, said="paused", status="paused")
    assert decode_answer(encode_answer(done, codec), codec) == done
    for error in (Conflict("no", code="not-paused", hint="why"), NotFound("none", code="unknown-step")):
        with pytest.raises(type(error)) as caught:
            decode_answer(encode_answer(error, codec), codec)
        assert (caught.value.code, caught.value.message, caught.value.hint) == (error.code, error.message, error.hint)


# Crashes around verbs


EVERY: dict[str, Verb] = {
    "pause": Pause(**BY),
    "cancel": Cancel(**BY, stop=True),
    "terminate": Terminate(**BY),
    "rerun": Rerun(**BY, step="a"),
    "skip-step": SkipStep(**BY, step="b", force=True),
    "complete-step": CompleteStep(**BY, step="b", force=True),
}


@pytest.mark.parametrize("name", EVERY)
async def test_a_power_cut_before_the_commit_leaves_nothing_of_a_verb_and_it_is_done_once_after(name: str) -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        await world.done("a")
        before = (await world.state(id_)).seq
        world.gate.open.clear()
        await post(world, id_, EVERY[name])
        assert (await answers(world), (await world.state(id_)).seq) == ([], before)
        world.gate.open.set()
        await world.crash()
        assert len(await answers(world)) == 1
        recorded = [type(event) for event in await history(world, id_) if getattr(event, "by", "") == "ada"]
        assert recorded
        assert len(recorded) == len(set(recorded))
        stored = await world.store.load(id_)
        assert stored is not None
        assert await world.store.inbox(stored.handle.shard) == []


@pytest.mark.parametrize("name", EVERY)
async def test_a_power_cut_after_the_commit_repeats_nothing(name: str) -> None:
    async with a_world() as world:
        id_ = await world.start(TWO)
        await world.done("a")
        await ask(world, id_, EVERY[name])
        state, at_work = await world.state(id_), sorted(world.work.out)
        await world.crash()
        assert await world.state(id_) == state
        assert sorted(world.work.out) == at_work


async def history(world: World, execution: str) -> list[HistoryEvent]:
    rows = await world.store.history(execution)
    return [event for row in rows for event in world.codec.decode_events(row.events)]


# Sub-workflows


PARENT = document(
    "steps: [{name: sub, type: workflow, config: {name: child}}, {name: z, type: noop, depends_on: [sub]}]"
)
CHILD = workflow(step("x"), step("y", "x"), name="child")


@asynccontextmanager
async def family() -> AsyncIterator[tuple[World, str, str]]:
    """A parent whose sub-workflow is at its first step."""
    async with a_world() as world:
        plan = world.plan(CHILD)

        async def named(name: str, version: str | None) -> Plan:
            return plan

        world.engine._incoming.children._named = named
        parent = await world.start(PARENT)
        yield world, parent, (await world.store.children(parent))[0]


async def test_a_pause_and_a_resume_go_down_to_sub_workflows() -> None:
    async with family() as (world, parent, child):
        await ask(world, parent, Pause(**BY))
        assert (await status(world, child), (await world.state(child)).paused_by) == ("paused", "ada")
        await world.done("x")
        assert world.work.steps() == []
        await ask(world, parent, Resume(**BY))
        await world.done("y")
        assert (await status(world, child), await status(world, parent)) == ("completed", "completed")


@pytest.mark.parametrize("verb", [Terminate(**BY), Cancel(**BY, stop=True)])
async def test_the_end_of_the_parent_is_that_of_its_sub_workflows(verb: Verb) -> None:
    async with family() as (world, parent, child):
        await ask(world, parent, verb)
        await world.done("x") if world.work.out else None
        assert (await status(world, child), await status(world, parent)) == ("cancelled", "cancelled")


async def test_a_step_that_is_run_again_starts_another_sub_workflow() -> None:
    async with family() as (world, parent, child):
        await world.done("x")
        await world.done("y", error=BOOM)
        assert (await status(world, child), await status(world, parent)) == ("failed", "failed")
        await ask(world, parent, Retry(**BY))
        first, second = await world.store.children(parent)
        assert (first, await status(world, second)) == (child, "running")
        await world.done("x")
        await world.done("y")
        assert await status(world, parent) == "completed"


async def test_a_sub_workflow_can_be_paused_alone() -> None:
    async with family() as (world, parent, child):
        await ask(world, child, Pause(**BY))
        assert (await status(world, child), await status(world, parent)) == ("paused", "waiting")
