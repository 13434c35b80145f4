"""Jobs: attempts that are to be done elsewhere, and the lines in which they wait for a worker."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

from stepwell.execution.work import Assignment
from stepwell.ports.work import TaskError, TaskResult

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""What a worker must be labelled with, or is: (name, value) pairs in order of name."""
Place: TypeAlias = tuple[str, Labels]
"""Where a job waits: its queue, and what it asks of workers."""


def labels_of(labels: Mapping[str, str] | None) -> Labels:
    """The labels as part of a place."""
    return tuple(sorted(labels.items())) if labels else ()


class Job:
    """An attempt that is to be done elsewhere.

    Attributes:
        config: its configuration, with everything secret in it opened.
        timeout: microseconds that it may take from when a worker takes it for the first time, or None.
        ended: gets the result, or what went wrong.
        deliveries: how many workers were handed it.
        worker: the name of the one that has it, or None.
        lease_until: when that one is taken for lost.
        deadline: when its time is up; None before it was handed out, and without a timeout.
        refused_by: workers that do not know how to do it, and `refusal` what the last of them said.
        roams: its worker asks whichever node has its work.
        is_left: another engine has its execution now.
        give_up_at: when it fails for want of a worker that knows how; None when nobody has refused it.
    """

    def __init__(self, assignment: Assignment, config: Any, timeout: int | None, traceparent: str | None) -> None:
        assert assignment.queue is not None, "what names no queue is done here"
        self.assignment = assignment
        self.id = assignment.id
        self.place: Place = (assignment.queue, labels_of(assignment.labels))
        self.config = config
        self.timeout = timeout
        self.traceparent = traceparent
        self.ended: asyncio.Future[TaskResult] = asyncio.get_running_loop().create_future()
        self.deliveries = 0
        self.worker: str | None = None
        self.lease_until = 0
        self.deadline: int | None = None
        self.refused_by: set[str] = set()
        self.refusal: TaskError | None = None
        self.give_up_at: int | None = None
        self.is_left = False
        self.roams = False

    @property
    def queue(self) -> str:
        """The queue that it is in."""
        return self.place[0]


class Onlooker(Protocol):
    """Told how jobs fare, at once and on the event loop."""

    def waits(self, job: Job) -> None:
        """It waits for a worker, as it has just come, or again."""
        ...

    def left(self, job: Job, *, by_name: bool) -> None:
        """It waits no more: somebody has it, or nobody wants it any more.

        Args:
            by_name: a worker asked for this very job.
        """
        ...

    def unwanted(self, worker: str, id_: str) -> None:
        """The worker is at work on a job that nobody wants any more."""
        ...


class Lines:
    """The jobs that wait, in order, one line for each place."""

    def __init__(self) -> None:
        self._lines: dict[Place, OrderedDict[str, Job]] = {}

    def put(self, job: Job, *, first: bool = False) -> None:
        """Let it wait, behind all others or before them."""
        line = self._lines.setdefault(job.place, OrderedDict())
        line[job.id] = job
        if first:
            line.move_to_end(job.id, last=False)

    def remove(self, job: Job) -> bool:
        """It waits no more; whether it did."""
        line = self._lines.get(job.place)
        if line is None or line.get(job.id) is not job:
            return False
        del line[job.id]
        if not line:
            del self._lines[job.place]
        return True

    def open_to(self, queues: Iterable[str], labels: Labels) -> Iterator[Job]:
        """What a worker of these queues with these labels may be given, in the order in which it should be: queue by
        queue, and what asks for most labels before what others could do as well. Meanwhile nothing may be put, nor
        removed: a line may be too long to be copied for everybody who asks."""
        have = set(labels)
        for queue in dict.fromkeys(queues):
            places = [place for place in self._lines if place[0] == queue and have.issuperset(place[1])]
            for place in sorted(places, key=lambda place: -len(place[1])):
                yield from self._lines[place].values()

    def lengths(self) -> Counter[str]:
        """How many jobs wait, by queue."""
        counted: Counter[str] = Counter()
        for (queue, _), line in self._lines.items():
            counted[queue] += len(line)
        return counted
