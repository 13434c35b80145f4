"""Shards that are shared out: who gets which, and what becomes of them when nodes come, go, die and freeze."""

from __future__ import annotations

import asyncio

import pytest

from stepwell.base.errors import Conflict, StepwellError
from stepwell.engine.engine import Engine
from stepwell.engine.membership import Joining
from stepwell.engine.ownership import LEASE_TTL, RENEW_EVERY, TAKEN_OVER_WITHIN
from stepwell.engine.sharing import fair_share, orphans, share
from stepwell.execution.status import ExecutionStatus
from stepwell.execution.verbs import Pause
from stepwell.store.memory.store import MemoryStore
from tests.decider.story import step, workflow
from tests.engine.cluster import MOMENT, SECOND, SHARDS, Cluster, a_cluster
from tests.engine.world import HandDispatcher

CHAIN = workflow(step("a"), step("b", "a"), step("c", "b"))


def at_work(cluster: Cluster) -> list[str]:
    """The attempts that are out, anywhere."""
    return sorted(id_ for node in cluster.nodes for id_ in node.work.out)


async def finish(cluster: Cluster, execution: str) -> ExecutionStatus:
    """Do what is to be done of an execution, wherever it comes up; how it ended."""
    for _ in range(20):
        for node in list(cluster.nodes):
            for assignment in list(node.work.out.values()):
                if assignment.execution == execution:
                    await node.done(assignment.step)
    return (await cluster.nodes[0].engine.state(execution)).status


# ── Who gets which ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_shares_are_fair_and_together_everything() -> None:
    for count in range(1, 12):
        nodes = [f"node {number}" for number in range(count)]
        shares = [fair_share(node, nodes, 64) for node in nodes]
        assert sum(shares) == 64
        assert max(shares) - min(shares) <= 1
    assert fair_share("stranger", ["a"], 64) == 0


def test_who_has_too_much_gives_it_up_and_claims_nothing() -> None:
    mine = share("a", ["a", "b"], owned=range(6), free=[6, 7], shards=8)
    assert (len(mine.give_up), list(mine.claim)) == (2, [])


def test_who_has_too_little_claims_what_is_free_and_no_more_than_is_missing() -> None:
    mine = share("a", ["a", "b"], owned=[0], free=[1, 2, 3, 4, 5, 6, 7, 99], shards=8)
    assert len(mine.claim) == 3
    assert set(mine.claim) < {1, 2, 3, 4, 5, 6, 7}
    assert share("a", ["a", "b"], owned=[0, 1, 2, 3], free=[4], shards=8) == ((), ())


def test_nodes_reach_for_different_shards_first() -> None:
    firsts = {share(node, ["a", "b", "c", "d"], [], range(64), 64).claim[0] for node in "abcd"}
    assert len(firsts) > 1


def test_every_orphan_has_one_node_that_looks_after_it() -> None:
    nodes = ["a", "b", "c"]
    found = [shard for node in nodes for shard in orphans(node, nodes, range(100), 64)]
    assert sorted(found) == list(range(64, 100))


async def test_a_node_alone_owns_everything_at_once() -> None:
    async with a_cluster("a") as cluster:
        assert cluster.counts() == {"a": SHARDS}


async def test_a_node_that_comes_gets_its_share_without_waiting() -> None:
    async with a_cluster("a", "b", "c") as cluster:
        assert cluster.counts() == {"a": 2, "b": 2, "c": 2}
        assert None not in cluster.owners().values()


async def test_new_executions_are_spread_over_the_shards_of_a_node() -> None:
    async with a_cluster("a") as cluster:
        (node,) = cluster.nodes
        started = [await node.start(CHAIN) for _ in range(2 * SHARDS)]
        used = {cluster.content.records[execution].handle.shard for execution in started}
        assert used == set(range(SHARDS))


async def test_nodes_that_share_another_number_out_are_refused() -> None:
    async with a_cluster("a") as cluster:
        store = MemoryStore(cluster.content)
        await store.open()
        engine = Engine(store, cluster.codec, cluster.clock, cluster.plan_of, "b", joins=Joining(shards=SHARDS + 1))
        engine.connect(HandDispatcher())
        with pytest.raises(Conflict) as refused:
            await engine.open()
        assert refused.value.code == "cluster-mismatch"
        await store.close()


# ── Nodes that come and go ───────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_at_work_in_a_shard_that_moves_may_end_and_goes_on_elsewhere() -> None:
    async with a_cluster("a") as cluster:
        (first,) = cluster.nodes
        started = [await first.start(CHAIN) for _ in range(SHARDS)]
        assert len(first.work.out) == SHARDS
        second = await cluster.join("b")
        assert cluster.counts() == {"a": SHARDS // 2, "b": 0}, "they wait for what is at work"
        for _ in range(SHARDS):
            await first.done("a")
        await cluster.clock.advance(MOMENT)
        assert cluster.counts() == {"a": SHARDS // 2, "b": SHARDS // 2}
        assert len(second.work.out) == SHARDS // 2
        assert not [id_ for id_ in first.work.stopped if "/a/" in id_], "what was at work was let end"
        assert {assignment.step for assignment in second.work.out.values()} == {"b"}
        for execution in started:
            assert await finish(cluster, execution) is ExecutionStatus.COMPLETED


async def test_what_does_not_end_in_time_is_stopped_and_done_again_elsewhere() -> None:
    async with a_cluster("a") as cluster:
        (first,) = cluster.nodes
        for _ in range(SHARDS):
            await first.start(CHAIN)
        second = await cluster.join("b")
        await cluster.clock.advance(5 * SECOND + MOMENT)
        assert cluster.counts() == {"a": SHARDS // 2, "b": SHARDS // 2}
        assert len(first.work.stopped) == SHARDS // 2
        assert set(second.work.out) == set(first.work.stopped)


async def test_a_node_that_leaves_hands_everything_over_at_once() -> None:
    async with a_cluster("a", "b") as cluster:
        first, second = cluster.nodes
        execution = await first.start(CHAIN)
        await cluster.leave(first)
        assert cluster.counts() == {"b": SHARDS}
        assert [assignment.execution for assignment in second.work.out.values()] == [execution]
        assert await finish(cluster, execution) is ExecutionStatus.COMPLETED


async def test_draining_waits_for_what_is_at_work_and_begins_nothing_new() -> None:
    async with a_cluster("a", "b") as cluster:
        first, second = cluster.nodes
        execution = await first.start(CHAIN)
        draining = asyncio.create_task(first.engine.drain(30 * SECOND))
        await cluster.clock.advance(MOMENT)
        with pytest.raises(StepwellError) as refused:
            await first.start(CHAIN)
        assert refused.value.code == "draining"
        assert len(first.shards) == 0
        assert len(second.shards) == SHARDS - 1, "only the one with work at work is still waited for"
        await first.done("a")
        await draining
        await cluster.clock.advance(MOMENT)
        assert not [id_ for id_ in first.work.stopped if "/a/" in id_]
        assert not first.work.out
        assert len(second.shards) == SHARDS
        assert [(one.execution, one.step) for one in second.work.out.values()] == [(execution, "b")]


async def test_who_is_in_a_hurry_waits_for_nothing() -> None:
    async with a_cluster("a", "b") as cluster:
        first, second = cluster.nodes
        await first.start(CHAIN)
        draining = asyncio.create_task(first.engine.drain(30 * SECOND))
        await cluster.clock.advance(MOMENT)
        first.engine.hurry()
        await draining
        await cluster.clock.advance(MOMENT)
        assert len(second.work.out) == 1


# ── Nodes that die ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("moment", [0, 1, 2, 3, 4])
async def test_a_node_that_dies_is_taken_over_within_the_bound(moment: int) -> None:
    async with a_cluster("a", "b", "c") as cluster:
        first = cluster.nodes[0]
        execution = await first.start(CHAIN)
        await cluster.clock.advance(moment * SECOND)
        await first.die()
        await cluster.clock.advance(TAKEN_OVER_WITHIN)
        assert cluster.counts() == {"b": SHARDS // 2, "c": SHARDS // 2}
        assert len(at_work(cluster)) == 1
        assert await finish(cluster, execution) is ExecutionStatus.COMPLETED


async def test_what_a_node_should_take_that_does_not_come_others_take_and_give_it_back() -> None:
    async with a_cluster("a", "b") as cluster:
        first, second = cluster.nodes
        late = await cluster.join("c")
        late.freeze()
        await first.die()
        await cluster.clock.advance(LEASE_TTL + 2 * RENEW_EVERY)
        assert set(cluster.owners().values()) == {"b"}
        assert len(second.shards) == SHARDS
        await late.thaw()
        await cluster.clock.advance(LEASE_TTL + 2 * RENEW_EVERY)
        assert cluster.counts() == {"b": SHARDS // 2, "c": SHARDS // 2}


async def test_nobody_is_taken_over_while_his_lease_lasts() -> None:
    async with a_cluster("a", "b") as cluster:
        owned = cluster.nodes[0].shards
        await cluster.nodes[0].die()
        await cluster.clock.advance(LEASE_TTL - 1)
        assert not set(owned) & set(cluster.nodes[0].shards)


async def test_after_an_outage_of_the_store_everybody_keeps_his_own() -> None:
    async with a_cluster("a", "b") as cluster:
        before = {node.name: node.shards for node in cluster.nodes}
        for node in cluster.nodes:
            node.store.cut = True
        await cluster.clock.advance(60 * SECOND)
        cluster.nodes[1].store.cut = False  # one comes back before the other
        await cluster.clock.advance(RENEW_EVERY)
        cluster.nodes[0].store.cut = False
        await cluster.clock.advance(4 * RENEW_EVERY)
        assert {node.name: node.shards for node in cluster.nodes} == before


async def test_what_an_engine_with_a_shard_of_its_own_leaves_is_taken_over() -> None:
    async with a_cluster("a", "b") as cluster:
        store = MemoryStore(cluster.content)
        await store.open()
        alone = Engine(store, cluster.codec, cluster.clock, cluster.plan_of, "alone", entropy=cluster.entropy)
        alone.connect(HandDispatcher())
        await alone.open(behind=SHARDS)
        execution = await alone.start(cluster.plan(CHAIN), None)
        assert cluster.content.records[execution].handle.shard == SHARDS
        await alone.close()
        await store.close()
        await cluster.clock.advance(RENEW_EVERY)
        assert len(at_work(cluster)) == 1
        assert await finish(cluster, execution) is ExecutionStatus.COMPLETED


# ── Nodes that freeze ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_who_was_frozen_past_its_lease_writes_nothing_and_takes_its_share_again() -> None:
    async with a_cluster("a", "b") as cluster:
        first, second = cluster.nodes
        execution = await first.start(CHAIN)
        (assignment,) = first.work.out.values()
        first.freeze()
        await cluster.clock.advance(60 * SECOND)
        assert len(second.shards) == SHARDS
        await second.done("a", {"by": "second"})
        await first.thaw()
        assert assignment.id in first.work.stopped
        await cluster.clock.advance(2 * RENEW_EVERY)
        assert cluster.counts() == {"a": SHARDS // 2, "b": SHARDS // 2}
        state = await second.engine.state(execution)
        assert state.steps["a"].output == {"by": "second"}
        assert await finish(cluster, execution) is ExecutionStatus.COMPLETED


async def test_what_comes_in_at_the_moment_of_waking_is_not_written() -> None:
    async with a_cluster("a", "b") as cluster:
        first, second = cluster.nodes
        execution = await first.start(CHAIN)
        first.freeze()
        await cluster.clock.advance(60 * SECOND)
        await second.done("a", {"by": "second"})
        first.clock.frozen = False  # the report is there before any timer rings
        await first.done("a", {"by": "first"})
        await first.thaw()
        state = await second.engine.state(execution)
        assert state.steps["a"].output == {"by": "second"}
        assert first.engine.failure is None
        assert await finish(cluster, execution) is ExecutionStatus.COMPLETED


async def test_a_start_that_could_not_be_written_where_it_was_decided_is_done_elsewhere() -> None:
    async with a_cluster("a", "b") as cluster:
        first, _ = cluster.nodes
        first.freeze()
        await cluster.clock.advance(60 * SECOND)
        first.clock.frozen = False
        starting = asyncio.create_task(first.engine.start(cluster.plan(CHAIN), None, start_key="once"))
        await cluster.clock.settle()
        await first.thaw()
        await cluster.clock.advance(2 * RENEW_EVERY)
        execution = await starting
        assert len(cluster.content.records) == 1
        assert await finish(cluster, execution) is ExecutionStatus.COMPLETED


async def test_a_node_that_is_the_only_one_keeps_its_shards_however_long_it_was_frozen() -> None:
    async with a_cluster("a") as cluster:
        (node,) = cluster.nodes
        execution = await node.start(CHAIN)
        node.freeze()
        await cluster.clock.advance(600 * SECOND)
        await node.thaw()
        assert len(node.shards) == SHARDS
        assert await finish(cluster, execution) is ExecutionStatus.COMPLETED


# ── Asking and being told ────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_verb_on_an_execution_of_another_node_is_refused_here() -> None:
    async with a_cluster("a", "b") as cluster:
        first, second = cluster.nodes
        execution = await first.start(CHAIN)
        with pytest.raises(Conflict) as refused:
            await second.engine.operate(execution, Pause(by="ada"))
        assert refused.value.code == "run-elsewhere"
        assert (await first.engine.operate(execution, Pause(by="ada"))).changed


async def test_the_end_of_an_execution_is_seen_on_every_node() -> None:
    async with a_cluster("a", "b", "c") as cluster:
        first, *others = cluster.nodes
        execution = await first.start(CHAIN)
        waiting = [asyncio.create_task(node.engine.ended(execution)) for node in others for _ in range(2)]
        await cluster.clock.settle()
        assert not any(each.done() for each in waiting)
        assert await finish(cluster, execution) is ExecutionStatus.COMPLETED
        await cluster.clock.settle()
        assert [each.result().status for each in waiting] == [ExecutionStatus.COMPLETED] * 4
        assert not cluster.content.inbox
        assert (await others[0].engine.ended(execution)).status is ExecutionStatus.COMPLETED


async def test_who_waits_for_an_execution_sees_its_end_wherever_it_has_moved() -> None:
    async with a_cluster("a", "b", "c") as cluster:
        first, second, third = cluster.nodes
        execution = await first.start(CHAIN)
        waiting = [asyncio.create_task(node.engine.ended(execution)) for node in (second, third)]
        await cluster.clock.settle()
        await first.die()
        await cluster.clock.advance(TAKEN_OVER_WITHIN)
        assert await finish(cluster, execution) is ExecutionStatus.COMPLETED
        await cluster.clock.settle()
        assert [each.result().status for each in waiting] == [ExecutionStatus.COMPLETED] * 2
        assert not cluster.content.inbox


async def test_who_was_frozen_while_others_waited_there_looks_where_it_is_now() -> None:
    async with a_cluster("a", "b") as cluster:
        first, second = cluster.nodes
        execution = await first.start(CHAIN)
        waiting = asyncio.create_task(first.engine.ended(execution))
        await cluster.clock.settle()
        first.freeze()
        await cluster.clock.advance(60 * SECOND)
        for name in "abc":
            await second.done(name)
        await first.thaw()
        await cluster.clock.settle()
        assert (await waiting).status is ExecutionStatus.COMPLETED


async def test_a_node_without_a_shard_says_so_after_a_while() -> None:
    async with a_cluster(*(f"node {number}" for number in range(SHARDS + 1))) as cluster:
        late = cluster.nodes[-1]
        assert late.shards == []
        starting = asyncio.create_task(late.engine.start(cluster.plan(CHAIN), None))
        await cluster.clock.advance(10 * SECOND)
        with pytest.raises(StepwellError) as refused:
            await starting
        assert refused.value.code == "no-shard"


async def test_limits_and_lines_of_a_lost_shard_are_free_for_others() -> None:
    async with a_cluster("a", "b") as cluster:
        first, _ = cluster.nodes
        for _ in range(4):
            await first.start(CHAIN)
        first.freeze()
        await cluster.clock.advance(60 * SECOND)
        await first.thaw()
        assert first.engine.load()["at_work"] == 0
        assert first.engine.load()["in_line"] == 0
