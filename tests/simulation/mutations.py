"""Deliberate bugs, kept as data: each must be found by the simulation, or the simulation is not good enough."""

from __future__ import annotations

from typing import Final

from tests.simulation.mutation import Mutation, mutated
from tests.simulation.trial import Outcome, try_seed

MOST: Final = 2_000
"""A deliberate bug is found within so many seeds."""


def _in(module: str, name: str, before: str, after: str) -> Mutation:
    return Mutation(name, f"stepwell.{module}", before, after)


_JOINS = (
    _in(
        "decider.joins",
        "sync runs when all of its edges are dead",
        'said = "open" if undecided else ("run" if arrivals.taken else "dead")',
        'said = "open" if undecided else "run"',
    ),
    _in(
        "decider.joins",
        "all runs although an edge is dead",
        'said = "dead" if arrivals.dead else ("open" if undecided else "run")',
        'said = "open" if undecided else "run"',
    ),
    _in(
        "decider.joins",
        "any waits for all",
        'wanted = 1 if node.join in ("any", "each")',
        "wanted = node.inbound if True",
    ),
    _in(
        "decider.joins",
        "a join speaks twice",
        "return None if arrivals.settled else _verdict(",
        'return None if arrivals.settled and node.join != "any" else _verdict(',
    ),
    _in(
        "decider.joins",
        "a step that its own condition skipped is dead for those behind it",
        'return on in ("satisfied", "skipped")',
        'return on == "skipped"',
    ),
    _in(
        "decider.joins",
        "deadness does not go on",
        "            outcome = _count(region, link, taken=False)\n",
        "            outcome = _count(region, link, taken=True)\n",
    ),
    _in(
        "decider.joins",
        "a handled failure does not count for those behind it",
        'or (on == "satisfied" and step.handled == "continue")\n    if',
        "\n    if",
    ),
    _in(
        "decider.joins",
        "an edge is taken although its condition does not hold",
        "link.number not in step.taken",
        "link.number not in step.taken and not step.taken",
    ),
    _in("decider.edges", "a decision takes every branch that holds", "edge.group in decided", "edge.group is decided"),
    _in(
        "decider.start",
        "a step is visited more often than max_visits",
        "one.visit > limit",
        "one.visit > limit + 1",
    ),
)

_FAILURE = (
    _in("decider.failure", "one attempt too many", "    if tries >= retry.policy", "    if tries > retry.policy"),
    _in(
        "decider.reports",
        "an old report is taken for the current attempt's",
        "step.attempts != report.attempt",
        "False",
    ),
    _in(
        "decider.leaf",
        "a retry has its settings rendered again",
        "    if config is None:\n        config = render_settings(run",
        "    if config is None or step.attempts > 1:\n        config = render_settings(run",
    ),
    _in(
        "decider.stability",
        "settings that may change are not recorded",
        "return all(",
        "return True or all(",
    ),
    _in(
        "decider.run",
        "steps start although the execution has failed",
        "and state.status in BEFORE_THE_END",
        "and state.status in BEFORE_THE_END and not self.ready",
    ),
    _in("decider.failure", "the fallback's value is lost", '"fallback", output=value)', '"fallback", output=None)'),
    _in(
        "decider.compensation",
        "compensation runs the other way round",
        "node = nodes[run.compensated]",
        "node = nodes[-1 - run.compensated]",
    ),
)

_UNDOING = (
    _in(
        "decider.compensation",
        "steps that failed are undone too",
        "if step.status is StepStatus.COMPLETED and _has_undoing(",
        "if step.status in (StepStatus.COMPLETED, StepStatus.FAILED) and _has_undoing(",
    ),
    _in(
        "decider.compensation",
        "what completed first is undone first",
        "        return keys[::-1]\n",
        "        return keys\n",
    ),
    _in(
        "decider.compensation",
        "the first step to undo is forgotten",
        "if place < len(state.to_undo):",
        "if 0 < place < len(state.to_undo):",
    ),
    _in(
        "decider.compensation",
        "a compensation in which a step failed counts as done",
        'step.status is StepStatus.FAILED and step.handled not in TOLERATED for step in ran):\n        return "failed"',
        'step.status is StepStatus.FAILED and step.handled not in TOLERATED for step in ran):\n        return "done"',
    ),
    _in(
        "decider.ending",
        "an execution that failed completes",
        "    elif state.failure is not None:",
        "    elif state.failure is not None and not state.steps:",
    ),
)

_OPERATORS = (
    _in(
        "decider.decide",
        "a paused execution starts new steps",
        "not run.ready or state.status not in _AT_WORK",
        "not run.ready",
    ),
    _in(
        "decider.run",
        "a paused execution tries steps again",
        "return step.status is StepStatus.RETRYING or step.held",
        "return step.held",
    ),
    _in(
        "decider.verbs",
        "terminate leaves what runs running",
        "    for region in (turn.run.root, turn.run.hooks, turn.run.undoing):\n",
        "    for region in (turn.run.hooks, turn.run.undoing):\n",
    ),
)

_CHILDREN = (
    _in(
        "engine.children",
        "nobody is told how a sub-workflow ended",
        "case EndExecution() if state.parent is not None:",
        "case EndExecution() if state.parent is not None and state.output is not None:",
    ),
    _in(
        "decider.subworkflow",
        "a sub-workflow that failed counts as completed",
        'if ended.status == "completed":',
        'if ended.status != "cancelled":',
    ),
)

_TIME = (
    _in("decider.decide", "timers fire early", "timers[0][0] <= turn.at:", "timers[0][0] <= turn.at + 1_000_000:"),
    _in(
        "decider.waits",
        "an event that has woken a step wakes a later one",
        "(arrived.early and seen < step.since)",
        "(arrived.early and not seen)",
    ),
    _in(
        "decider.advance",
        "a step does not wait for its delay",
        "    if delay:\n        hold(turn, one",
        "    if delay > 1_000_000:\n        hold(turn, one",
    ),
    _in(
        "decider.advance",
        "a cancelled wait is not withdrawn",
        "elif step.status is StepStatus.WAITING and step.event_type is not None and not step.held:",
        "elif step.status is StepStatus.WAITING and step.event_type is not None and step.held:",
    ),
)

_CONSTRUCTS = (
    _in(
        "decider.rounds",
        "results of for_each are in the wrong order",
        "else None for body in steps\n",
        "else None for body in steps[::-1]\n",
    ),
    _in(
        "decider.rounds",
        "one more item at once than allowed",
        "return running < _number(",
        "return running <= _number(",
    ),
    _in(
        "decider.rounds",
        "the last item is forgotten",
        "return following < len(step.items)",
        "return following + 1 < len(step.items)",
    ),
    _in(
        "decider.conditional",
        "the steps of the branch that is not taken are not recorded as skipped",
        "        if name != chosen:\n",
        "        if name != chosen and not chosen:\n",
    ),
    _in(
        "decider.parallel_group",
        "a group that needs one waits for all",
        'else 1 if wait_for == "any"',
        'else len(steps) if wait_for == "any"',
    ),
    _in(
        "decider.parallel_group",
        "a group that has enough leaves the others running",
        '        _finish(turn, one, region, "enough of the group have completed")\n',
        "        one.regions = None\n",
    ),
    _in(
        "decider.start",
        "a milestone is passed although what it waits for has not completed",
        "if all(status is StepStatus.COMPLETED for status in statuses.values()):",
        "if all(status is not StepStatus.PENDING for status in statuses.values()):",
    ),
    _in("decider.cancelling", "a step that is due is not cancelled", "for other in due:", "for other in due[:0]:"),
)

_LIMITS = (
    _in(
        "decider.decide",
        "one more step runs at once than allowed",
        "state.in_flight >= limit",
        "state.in_flight > limit",
    ),
    _in(
        "engine.places",
        "one more execution is at work than allowed",
        "if self._taken >= self._limit:",
        "if self._taken > self._limit:",
    ),
    _in(
        "store.locking", "a lock is given to everybody", "is_blocked and held < limit:", "is_blocked and held <= limit:"
    ),
    _in(
        "decider.advance",
        "a lock is kept after the end of its step",
        "    if step.lock:\n        turn",
        "    if not step.lock:\n        turn",
    ),
    _in(
        "policy.bulkhead",
        "a bulkhead lets one more through",
        "return len(self._running) < self.policy",
        "return len(self._running) <= self.policy",
    ),
)

_RECOVERY = (
    _in(
        "decider.outstanding",
        "recovery forgets attempts after the first",
        "if step.status is StepStatus.RUNNING and step.block is None:",
        "if step.status is StepStatus.RUNNING and step.block is None and step.attempts == 1:",
    ),
    _in(
        "decider.outstanding",
        "recovery forgets waits",
        "elif step.event_type is not None and not step.held:",
        "elif step.event_type is not None and step.held:",
    ),
    _in(
        "decider.restore",
        "recovery loses timers",
        "if step.due is not None:\n",
        "if step.due is not None and step.held:\n",
    ),
    _in(
        "decider.restore",
        "recovery loses steps that are in line to begin",
        "if key in run.state.steps or region.stopped:",
        "if key in run.state.steps or region.stopped or one.node.inbound:",
    ),
    _in(
        "decider.restore",
        "recovery loses what runs in constructs",
        "if not inner.is_through or",
        "if inner.is_through or",
    ),
    _in(
        "engine.hot",
        "a parked execution's row does not say when it is due",
        "wake_at = self.run.next_due() if parked",
        "wake_at = None if parked",
    ),
    _in(
        "engine.loop",
        "work is dispatched before its commit",
        "        hot.uncommitted += 1\n",
        "        hot.uncommitted += 1\n"
        "        for one in decision.commands:\n"
        "            if isinstance(one, RunStep):\n"
        "                self.outgoing.dispatch(one)\n",
    ),
    _in(
        "engine.loop",
        "nobody looks for events that came before the wait",
        "        if posted:\n            self._inbox.look()\n",
        "        if posted and not entries:\n            self._inbox.look()\n",
    ),
    _in(
        "store.memory.content",
        "events are forgotten at once",
        "if kept.received_at >= since:",
        "if kept.received_at > since:",
    ),
)

_TELLING = (
    _in(
        "decider.outstanding",
        "nobody is told after a crash",
        "        commands += deliveries_again(run)\n",
        "        pass\n",
    ),
    _in(
        "engine.hot",
        "an execution is dropped from memory although somebody is to be told",
        "        if self.run.state.untold:\n            return False\n",
        "",
    ),
    _in(
        "decider.notifying",
        "a delivery that was made is recorded once more",
        """ or notifications[number - 1].deliveries[place - 1].outcome != "pending":""",
        ":",
    ),
)

_BRANCHES = (
    _in(
        "decider.branches",
        "where branches are separate a join runs when the first step has led to it",
        "        if len(self.sources) < wanted:\n            return False\n",
        "",
    ),
    _in(
        "decider.branches",
        "where branches are separate a step runs once, however many edges lead to it",
        '            yield target, "run", _split(',
        '            if target.name not in branches.visits:\n                yield target, "run", _split(',
    ),
    _in(
        "decider.branches",
        "where branches are separate a path is dead although something runs",
        "    if branches.running:\n        return\n",
        "    if branches.running > 1:\n        return\n",
    ),
)

_ASKING = (
    _in(
        "decider.waits",
        "a signal wakes whoever waits",
        "    if event.is_for_another_than(turn.state.id):\n        return\n    seen = ",
        "    seen = ",
    ),
    _in(
        "store.memory.store",
        "what an event is to start is lost",
        "posted = placed(posts, owned, content.shards)",
        "posted = placed(posts[1:], owned, content.shards)",
    ),
    _in(
        "engine.beginning",
        "a request and a caller with one key begin at the same time",
        "            async with turns.lock:\n                return await begin()\n",
        "            return await begin()\n",
    ),
)

MUTATIONS: Final[tuple[Mutation, ...]] = (
    *_JOINS,
    *_FAILURE,
    *_UNDOING,
    *_OPERATORS,
    *_CHILDREN,
    *_TIME,
    *_CONSTRUCTS,
    *_LIMITS,
    *_RECOVERY,
    *_TELLING,
    *_BRANCHES,
    *_ASKING,
)


def hunt(mutation: Mutation, most: int = MOST, first: int = 0) -> Outcome | None:
    """The first seed that finds the bug: with it something does not hold, and without it everything does.

    Raises:
        Stale: the source that the mutation replaces has changed.
    """
    seed, end = first, first + most
    while (outcome := _first_violation(mutation, range(seed, end))) is not None:
        if try_seed(outcome.seed).violation is None:
            return outcome
        seed = outcome.seed + 1
    return None


def _first_violation(mutation: Mutation, seeds: range) -> Outcome | None:
    with mutated(mutation):
        outcomes = (try_seed(seed) for seed in seeds)
        return next((outcome for outcome in outcomes if outcome.violation is not None), None)
