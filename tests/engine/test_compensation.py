"""Compensation through the engine: durable across power cuts, between executions, and told to whoever has to know."""

from __future__ import annotations

from stepwell.decider.plan import Plan
from stepwell.definition.model import WorkflowDefinition
from stepwell.engine.engine import Engine
from stepwell.execution.verbs import Compensate
from stepwell.ports.listings import DeadLetterQuery, ExecutionQuery
from tests.decider.compensating import definition
from tests.engine.world import BOOM, SECOND, World, a_world

LEAF = "- {name: %s, type: python, config: {task: work}, compensate: {type: python, config: {task: undo}}}"
END = "- {name: end, type: python, config: {task: work}, depends_on: [%s]}"


def workflow(*lines: str, head: str = "compensation: {}") -> WorkflowDefinition:
    """A workflow of these steps."""
    return definition(f"{head}\nsteps:\n" + "\n".join(f"  {line}" for line in lines))


async def test_compensation_goes_on_after_a_power_cut_and_repeats_only_what_was_not_recorded() -> None:
    async with a_world() as world:
        spec = workflow(LEAF % "a", LEAF % "b", END % "a, b")
        execution = await world.start(spec)
        for name in ("a", "b"):
            await world.done(name)
        await world.done("end", error=BOOM)
        await world.done("b[undo]")
        assert world.work.steps() == ["a[undo]"]
        await world.crash()
        assert world.work.steps() == ["a[undo]"]
        await world.done("a[undo]")
        state = await world.state(execution)
        assert (state.status, state.compensation) == ("failed", "done")
        assert [state.steps[name].status for name in "ab"] == ["compensated", "compensated"]


async def test_a_failed_undoing_becomes_a_dead_letter_of_its_kind() -> None:
    async with a_world() as world:
        undo = "compensate: {type: python, config: {task: undo, args: {id: '{{ steps.a.output }}'}}}"
        control = "- {name: b, type: noop, compensate: {type: fail, config: {message: never}}}"
        spec = workflow(f"- {{name: a, type: python, config: {{task: work}}, {undo}}}", control, END % "a, b")
        execution = await world.start(spec)
        await world.done("a", 7)
        await world.done("end", error=BOOM)
        await world.done("a[undo]", error=BOOM)
        page = await world.store.dead_letters(DeadLetterQuery(execution=execution))
        letters = {letter.step: letter for letter in page.items}
        assert {step: letter.kind for step, letter in letters.items()} == {
            "end": "step", "a[undo]": "compensation", "b[undo]": "compensation",
        }  # fmt: skip
        encoded = letters["a[undo]"].input
        assert encoded is not None
        assert world.codec.decode_value(encoded) == {"task": "undo", "args": {"id": 7}}


async def test_one_that_waits_for_an_operator_takes_no_memory_and_is_there_after_a_power_cut() -> None:
    async with a_world() as world:
        execution = await world.start(workflow(LEAF % "a", END % "a", head="compensation: {mode: manual}"))
        await world.done("a")
        await world.done("end", error=BOOM)
        page = await world.store.list(ExecutionQuery(statuses=("compensating",)))
        assert [(each.id, each.summary.hot) for each in page.items] == [(execution, False)]
        assert world.engine._ground.loaded.get(execution) is None
        await world.crash()
        assert world.work.steps() == []
        await world.engine.operate(execution, Compensate(by="ada", reason="now"))
        await world.clock.settle()
        await world.done("a[undo]")
        assert (await world.state(execution)).compensation == "done"


async def test_the_time_of_a_compensation_passes_while_no_engine_runs() -> None:
    async with a_world() as world:
        execution = await world.start(workflow(LEAF % "a", END % "a", head="compensation: {timeout: 30s}"))
        await world.done("a")
        await world.done("end", error=BOOM)
        await world.crash()  # which takes 60 seconds
        await world.clock.advance(SECOND)
        state = await world.state(execution)
        assert (state.status, state.compensation) == ("failed", "failed")
        assert state.compensation_problem == "the compensation timed out after 30s"


def register(world: World, *workflows: WorkflowDefinition) -> None:
    """Let engines find these workflows by their names, as sub-workflows."""
    by_name = {each.name: world.plan(each) for each in workflows}

    async def named(name: str, version: str | None) -> Plan:
        return by_name[name]

    def with_registry(owner: str = "first") -> Engine:
        engine = original(owner)
        engine._incoming.children._named = named
        return engine

    original = world.new_engine
    world.new_engine = with_registry  # type: ignore[method-assign]
    world.engine._incoming.children._named = named


async def test_a_sub_workflow_undoes_itself_when_its_parent_fails_whatever_is_cut_off_in_between() -> None:
    async with a_world() as world:
        child = workflow(LEAF % "pay", head="compensation: {timeout: 1h}")
        register(world, child)
        sub = f"- {{name: sub, type: workflow, depends_on: a, config: {{name: {child.name}}}}}"
        execution = await world.start(workflow(LEAF % "a", sub, END % "sub"))
        await world.done("a")
        await world.done("pay")
        await world.done("end", error=BOOM)
        assert world.work.steps() == ["pay[undo]"]
        await world.crash()
        assert world.work.steps() == ["pay[undo]"]
        await world.done("pay[undo]")
        assert world.work.steps() == ["a[undo]"]
        await world.crash()
        await world.done("a[undo]")
        state = await world.state(execution)
        assert (state.status, state.compensation) == ("failed", "done")
        assert state.steps["sub"].status == "compensated"
        (undone,) = await world.store.children(execution)
        below = await world.state(undone)
        assert (below.status, below.compensation) == ("cancelled", "done")


async def test_a_workflow_may_compensate_for_another() -> None:
    async with a_world() as world:
        register(
            world,
            workflow("- {name: tidy, type: python, config: {task: tidy, args: {why: '{{ input.error.message }}'}}}"),
        )
        action = "on_failure: {action: compensate, compensation_workflow: test}"
        execution = await world.start(workflow(f"- {{name: end, type: python, config: {{task: work}}, {action}}}"))
        await world.done("end", error=BOOM)
        (work,) = world.work.out.values()
        assert work.config["args"] == {"why": "it went boom"}
        await world.done("tidy")
        state = await world.state(execution)
        assert (state.status, state.compensation) == ("failed", "done")
