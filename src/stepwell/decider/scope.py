"""What expressions see of an execution."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from stepwell.base.errors import ErrorInfo
from stepwell.base.instants import to_rfc3339
from stepwell.decider.branches import final
from stepwell.decider.joins import is_timeout
from stepwell.decider.keys import instance_key, round_path, split_key
from stepwell.decider.plan import Plan
from stepwell.decider.region import Instance, Region
from stepwell.execution.state import ExecutionState, StepState
from stepwell.execution.status import StepStatus
from stepwell.expression.errors import UnavailableOutput
from stepwell.expression.scope import Lookup, Outcome, Scope


class Names:
    """The root names of one execution, and the scopes made from them."""

    __slots__ = ("_base", "_latest", "_plan", "_steps", "state")

    def __init__(self, plan: Plan, state: ExecutionState, latest: Mapping[str, str] | None = None) -> None:
        self.state = state
        self._plan = plan
        self._latest: Mapping[str, str] = latest if latest is not None else {}
        self._steps = StepsLookup(plan, state, self._latest)
        self._base: dict[str, Any] = {
            "input": state.input,
            "vars": state.variables,
            "steps": self._steps,
            "execution": AboutLookup(state),
        }

    def scope(
        self,
        now: int,
        step: str,
        purpose: str,
        extra: Mapping[str, Any] | None = None,
        outcome: Outcome | None = None,
        region: Region | None = None,
        reader: Instance | None = None,
    ) -> Scope:
        """The names as they stand; `now`, `step` and `purpose` fix what `now()`, `uuid()` and the like give.

        Steps are read, and names of items are known, as in `region`; where branches are separate, as `reader` does.
        """
        names: Mapping[str, Any] = self._base
        if reader is not None and self._plan.root.separate:
            steps = StepsLookup(self._plan, self.state, self._latest, reader.region, None, reader)
            names = {**names, "vars": self.variables(reader), "steps": steps, **reader.region.names}
        elif region is not None and region.path:
            names = {**names, "steps": StepsLookup(self._plan, self.state, self._latest, region), **region.names}
        elif region is not None and region.names:
            names = {**names, **region.names}
        if extra is not None:
            names = {**names, **extra}
        return Scope(names, now, self.state.seed, (step, purpose), outcome)

    def finishing(self, instance: Instance, ended: StepState, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Names for what is evaluated just before the end of a step is recorded: how it ends, and new variables."""
        own = (instance.node.name, ended)
        steps = StepsLookup(self._plan, self.state, self._latest, instance.region, own, instance)
        return {"steps": steps, "vars": {**self.variables(instance), **variables}}

    def variables(self, instance: Instance) -> Mapping[str, Any]:
        """The variables as that instance sees them; what is inside of a step sees them as that does."""
        if not self._plan.root.separate:
            return self.state.variables
        instance = _outermost(instance)
        branches = instance.region.branches
        way = branches.ways.get(instance.key) if branches is not None else None
        if branches is None or way is None:
            return self.state.variables
        return branches.merged(way.published, self.state.variables, self.state.published)

    def final_variables(self, root: Region) -> Mapping[str, Any]:
        """The variables as they are at the end."""
        if root.branches is None:
            return self.state.variables
        return root.branches.gathered(final(root, self.state), self.state.variables, self.state.published)


def _outermost(instance: Instance) -> Instance:
    """The instance of a step of the definition that this one runs inside of, or is."""
    while instance.region.owner is not None:
        instance = instance.region.owner
    return instance


class AboutLookup(Lookup):
    """`execution` (`workflow`, `system`): what never changes about an execution."""

    __slots__ = ("_state",)

    def __init__(self, state: ExecutionState) -> None:
        self._state = state

    def __getitem__(self, name: str) -> Any:
        return _ABOUT[name](self._state)

    def names(self) -> Iterable[str]:
        return _ABOUT

    def as_data(self) -> Any:
        return {name: read(self._state) for name, read in _ABOUT.items()}


def _started_at(state: ExecutionState) -> str:
    return to_rfc3339(state.created_at)


_ABOUT: Final[Mapping[str, Callable[[ExecutionState], str]]] = {
    "id": lambda state: state.id,
    "execution_id": lambda state: state.id,
    "name": lambda state: state.workflow,
    "version": lambda state: state.version,
    "started_at": _started_at,
    "workflow_start": _started_at,
}


class StepsLookup(Lookup):
    """`steps`: every step of the definition by name."""

    __slots__ = ("_finishing", "_latest", "_plan", "_reader", "_region", "_state")

    def __init__(
        self,
        plan: Plan,
        state: ExecutionState,
        latest: Mapping[str, str],
        region: Region | None = None,
        finishing: tuple[str, StepState] | None = None,
        reader: Instance | None = None,
    ) -> None:
        self._reader = reader
        self._plan = plan
        self._state = state
        self._latest = latest
        self._region = region
        self._finishing = finishing

    def __getitem__(self, name: str) -> Any:
        key = self._key(name)
        if self._finishing is not None and self._finishing[0] == name:
            return StepLookup(name, key, self._finishing[1], self._plan, self._state)
        step = self._state.steps.get(key)
        if step is None:
            if self._plan.node(name) is None:
                raise KeyError(name)
            step = _UNTOUCHED
        return StepLookup(name, key, step, self._plan, self._state)

    def _key(self, name: str) -> str:
        """The instance that is meant: that of the innermost region that the reader is in, else the latest one."""
        if self._reader is not None and self._reader.node.name == name:
            return self._reader.key
        region = self._region
        while region is not None:
            if name in region.graph.nodes:
                if region.branches is None or self._reader is None:
                    return region.key_of(name)
                return region.branches.seen_from(_outermost(self._reader).key, name) or region.key_of(name)
            region = region.owner.region if region.owner is not None else None
        return self._latest.get(name, name)

    def names(self) -> Iterable[str]:
        return self._plan.by_name


_UNTOUCHED = StepState()


def _item_record(index: int, step: StepState) -> dict[str, Any]:
    has_output = step.status is StepStatus.COMPLETED or step.handled == "fallback"
    record = {"index": index, "status": step.status.value, "output": step.output if has_output else None}
    return record if step.error is None or has_output else {**record, "error": step.error.as_dict()}


class StepLookup(Lookup):
    """`steps.x`: what is known of one step."""

    __slots__ = ("_key", "_name", "_plan", "_state", "_step")

    def __init__(self, name: str, key: str, step: StepState, plan: Plan, state: ExecutionState) -> None:
        self._name = name
        self._key = key
        self._step = step
        self._plan = plan
        self._state = state

    def __getitem__(self, name: str) -> Any:
        read = _FIELDS.get(name)
        if read is None:
            raise KeyError(name)
        return read(self)

    def names(self) -> Iterable[str]:
        return _FIELDS

    def output(self) -> Any:
        """Its output; null when its own condition skipped it.

        Raises:
            UnavailableOutput: it did not complete, or was skipped and compensation asks: nothing is to be undone.
        """
        step = self._step
        if self.has_completed() or step.handled == "fallback":
            return step.output
        compensating = bool(self._state.compensation_reason)
        if step.status is StepStatus.SKIPPED and step.reason in ("condition", "operator") and not compensating:
            return None
        raise UnavailableOutput(f"steps.{self._name}.output is not there: step {self._name!r} {_fate(step)}")

    def error(self) -> dict[str, Any] | None:
        """Its last error, or null."""
        error = self._step.error
        return error.as_dict() if error is not None else None

    def status(self) -> str:
        """Its status, as text."""
        return self._step.status.value

    def has_status(self, status: StepStatus) -> bool:
        """Whether it is in that status."""
        return self._step.status is status

    def has_completed(self) -> bool:
        """Whether it ended well, and was perhaps undone since."""
        return self._step.status in (StepStatus.COMPLETED, StepStatus.COMPENSATED)

    def has_timed_out(self) -> bool:
        """Whether it failed by running out of time."""
        return self._step.status is StepStatus.FAILED and is_timeout(self._step)

    def items(self) -> list[dict[str, Any]] | None:
        """Of a step with `for_each` that has begun, `{index, status, output}` of every item, and the
        `error` of one that has one; else null."""
        node, begun = self._plan.node(self._name), self._state.steps.get(self._key)
        if node is None or node.kind != "for_each" or begun is None or begun.items is None:
            return None
        _, path, visit = split_key(self._key)
        paths = (round_path(path, visit, begun.attempts, index) for index in range(len(begun.items)))
        items = (self._state.steps.get(instance_key(self._name, inner), _UNTOUCHED) for inner in paths)
        return [_item_record(index, item) for index, item in enumerate(items)]

    def attempts(self) -> int:
        """How many attempts were scheduled."""
        return self._step.attempts

    def instant(self, name: str) -> str | None:
        """`started_at` or `completed_at` as RFC 3339 text, or null."""
        instant = getattr(self._step, name)
        return to_rfc3339(instant) if instant is not None else None


def _fate(step: StepState) -> str:
    match step.status:
        case StepStatus.PENDING:
            return "has not run"
        case StepStatus.FAILED:
            return "failed"
        case StepStatus.SKIPPED | StepStatus.CANCELLED:
            return f"was {step.status}"
        case _:
            return f"has not completed (it is {step.status})"


_FIELDS: Mapping[str, Any] = {
    "output": StepLookup.output,
    "result": StepLookup.output,
    "error": StepLookup.error,
    "status": StepLookup.status,
    "completed": StepLookup.has_completed,
    "failed": lambda step: step.has_status(StepStatus.FAILED),
    "skipped": lambda step: step.has_status(StepStatus.SKIPPED),
    "timed_out": StepLookup.has_timed_out,
    "items": StepLookup.items,
    "attempts": StepLookup.attempts,
    "started_at": lambda step: step.instant("started_at"),
    "completed_at": lambda step: step.instant("completed_at"),
}


def error_names(error: ErrorInfo, attempt: int) -> dict[str, Any]:
    """The names that exist where the failure of an attempt is looked at."""
    return {"error": error.as_dict(), "attempt": attempt, "response": None}


def failed_outcome(error: ErrorInfo) -> Outcome:
    """What `failed()`, `timed_out()` and the like say there; `result()` is what the task gave with its error."""
    given = error.details if error.details is not None else error.as_dict()
    return Outcome(failed=True, timed_out=error.type == "timeout", result=given)


def succeeded_outcome(result: Any) -> Outcome:
    """What `succeeded()` and `result()` say of a step that ended well."""
    return Outcome(succeeded=True, result=result)
