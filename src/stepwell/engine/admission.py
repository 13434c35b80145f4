"""Who may be at work: places under the limit of workflows, the line of those who wait for one, and for how long."""

from __future__ import annotations

from collections.abc import Callable

from stepwell.base.clock import Clock
from stepwell.engine.alarm import Alarm
from stepwell.engine.hot import Hot
from stepwell.engine.places import Places
from stepwell.execution.commands import RunStep
from stepwell.execution.inputs import Begin, QueueTimedOut
from stepwell.execution.status import ExecutionStatus, StepStatus


class Admission:
    """Lets executions to work in the order in which they came.

    Args:
        max_workflows: executions at work at once; None for no bound.
        queue_timeout: how long one may stand in line before it has begun, in microseconds; None for no bound.
        dispatch: has an attempt done.
        take: decides on an input of an execution in memory.
    """

    def __init__(
        self,
        max_workflows: int | None,
        queue_timeout: int | None,
        clock: Clock,
        dispatch: Callable[[RunStep], None],
        take: Callable[[Hot, Begin | QueueTimedOut], None],
    ) -> None:
        self._places = Places(max_workflows)
        self._queue_timeout = queue_timeout
        self._clock = clock
        self._dispatch = dispatch
        self._take = take
        self._alarm = Alarm(clock, self._give_up_queueing)
        self._retired = set[Hot]()

    def close(self) -> None:
        """Nobody is told any more that it has waited too long."""
        self._alarm.clear()

    def load(self) -> dict[str, int | None]:
        """See `Places.load`."""
        return self._places.load()

    def enter(self, hot: Hot) -> bool:
        """Give the execution a place, or put it in line: False.

        A place that is free while others stand in line is theirs; one who is in line has to wait for his turn, or what
        is held for him would be left lying.
        """
        if hot.leaving:
            return False
        if hot.has_place or (self._places.waiting_since() is None and self._places.take(hot)):
            return True
        self._places.stand_in_line(hot, self._clock.now())
        if self._queue_timeout is not None:
            self._alarm.set((self._places.waiting_since() or 0) + self._queue_timeout)
        return False

    def leave(self, hot: Hot) -> None:
        """The execution needs its place no more."""
        if hot.leaving and hot in self._retired:
            self._retired.discard(hot)
            hot.has_place = True
        self._places.give_up(hot)

    def withdraw(self, hot: Hot) -> None:
        """The execution needs no place here, now or later."""
        self.leave(hot)
        hot.queued_at = None
        hot.held = ()

    def retire(self, hot: Hot) -> None:
        """Begin no attempt of the execution any more. A place that it has it keeps, for what is at work, until it is
        withdrawn."""
        hot.leaving = True
        hot.queued_at = None
        hot.held = ()
        if hot.has_place:
            hot.has_place = False
            self._retired.add(hot)

    def run_step(self, hot: Hot, command: RunStep) -> None:
        """Dispatch the attempt, or hold it until the execution has a place; not at all when another engine is to."""
        if hot.leaving:
            return
        if hot.has_place or self.enter(hot):
            self._dispatch(command)
        else:
            hot.held = [*hot.held, command]

    def admit(self) -> None:
        """Give free places to those who wait for one."""
        while (hot := self._places.next_in_line()) is not None:
            held, hot.held = [command for command in hot.held if _is_wanted(hot, command)], ()
            for command in held:
                self._dispatch(command)
            if hot.run.state.status is ExecutionStatus.PENDING and not hot.refused:
                self._take(hot, Begin())
            elif not held and not hot.run.state.in_flight:
                self._places.give_up(hot)

    def _give_up_queueing(self) -> None:
        """Fail what has stood in line too long; work of an execution that has begun stays in line."""
        timeout = self._queue_timeout
        assert timeout is not None, "without a bound the alarm is never set"
        now = self._clock.now()
        while (since := self._places.waiting_since()) is not None and since + timeout <= now:
            hot = self._places.leave_line()
            if hot.run.state.status is ExecutionStatus.PENDING:
                self._take(hot, QueueTimedOut(now - since))
            else:
                self._places.stand_in_line(hot, now)
        if since is not None:
            self._alarm.set(since + timeout)


def _is_wanted(hot: Hot, command: RunStep) -> bool:
    """Whether a held attempt is still to be made: its report may have come from before a crash."""
    step = hot.run.state.steps.get(command.assignment.step)
    return step is not None and step.status is StepStatus.RUNNING and step.attempts == command.assignment.attempt
