"""From activities to native steps: one after another, or as they depend on each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stepwell.definition.model import Path
from stepwell.definition.shapes import as_names
from stepwell.dialects.execution.calls import SKIP, call, rate_limit
from stepwell.dialects.execution.expressions import step_text, variables
from stepwell.dialects.execution.filters import condition, native_filter
from stepwell.dialects.execution.models import ActivityDoc, ApprovalDoc, FallbackDoc, PairDoc, RetryDoc
from stepwell.dialects.execution.names import step_name
from stepwell.dialects.execution.whole import Whole, given
from stepwell.dialects.native.parts import duration

ACTIONS: Final = {"abort": "terminate", "continue": "continue", "compensate": "compensate"}
"""What the failure of an activity does, natively."""
AGREED: Final = {"type": "object", "required": ["approved"], "properties": {"approved": {"type": "boolean"}}}
"""The answer of who is asked whether an activity may run."""


@dataclass(frozen=True, slots=True)
class Around:
    """What holds for every activity.

    Attributes:
        fallback: what happens after the last try, and where that is said.
        breaker, bulkhead: the native policies, or None; and where they are said.
    """

    fallback: tuple[FallbackDoc, Path] | None = None
    breaker: Any = None
    bulkhead: Any = None


@dataclass(frozen=True, slots=True)
class Activity:
    """An activity of the workflow, however it is written.

    Attributes:
        undo: what undoes it natively, or None.
    """

    written: ActivityDoc | PairDoc
    path: Path
    undo: Any = None

    @property
    def ref(self) -> str:
        """The activity that is run."""
        written = self.written
        return written.activity if written.activity is not None else str(written.name)

    @property
    def ref_path(self) -> Path:
        """Where that is said."""
        return (*self.path, "activity" if self.written.activity is not None else "name")

    @property
    def name(self) -> str:
        """Its name in the workflow."""
        return self.written.name if self.written.name is not None else self.ref

    @property
    def name_path(self) -> Path:
        """Where that is said."""
        return (*self.path, "name" if self.written.name is not None else "activity")

    @property
    def step(self) -> str:
        """The name of its step."""
        return step_name(self.name)


def either(written: Any, first: str, second: str, path: Path, whole: Whole) -> tuple[Any, Path]:
    """The value of one of two keys that mean the same, and where it stands."""
    one, other = getattr(written, first), getattr(written, second)
    if one is not None and other is not None:
        message = f"`{first}` and `{second}` mean the same; only one of them can be given"
        whole.findings.add("conflicting-keys", message, (*path, second), key=True)
    return (other, (*path, second)) if one is None and other is not None else (one, (*path, first))


def steps(activities: Sequence[Activity], around: Around, whole: Whole) -> list[Any]:
    """The native steps."""
    made: list[Any] = []
    before: str | None = None
    for activity in activities:
        made.extend(_steps(activity, before, around, whole))
        before = activity.step
    return made


def _steps(activity: Activity, before: str | None, around: Around, whole: Whole) -> Iterator[Any]:
    depends_on = _dependencies(activity, before, whole)
    asked = activity.written.approval
    filter_ = _filter(activity, whole)
    failure = _failure(activity, around, whole)
    when = f"{{{{ {filter_} }}}}" if filter_ is not None else None
    if asked is not None and asked.required is not False:
        yield from _approval(activity, asked, depends_on, when, failure, whole)
        depends_on, answer = [f"refused_{activity.step}"], step_text(f"approve_{activity.step}")
        when = f"{{{{ {answer}.completed and {answer}.output.response.approved }}}}"
    work = _work(activity, whole)
    step = given(
        name=whole.taken(activity.step, activity.name_path),
        **work,
        depends_on=depends_on,
        when=whole.taken(when, (*activity.path, "filters")),
        on_failure=failure,
        compensate=activity.undo,
        **(_limits(activity, around, whole) if work["type"] in ("python", "http") else {}),
    )
    yield whole.taken(step, activity.path)


def _work(activity: Activity, whole: Whole) -> dict[str, Any]:
    """What it does, how often it is tried, and what it publishes."""
    written, path = activity.written, activity.path
    published, place = either(written, "publish", "output", path, whole)
    return {
        **call(activity.ref, activity.ref_path, either(written, "input", "params", path, whole), whole),
        **given(
            publish=whole.template(published, place) if published is not None else None,
            retry=retry_of(written.retry, (*path, "retry"), whole),
            timeout=whole.taken(duration(written.timeout), (*path, "timeout")),
        ),
    }


def retry_of(written: RetryDoc | None, path: Path, whole: Whole) -> Any:
    """The native retry policy: whole, so that nothing of it is taken from elsewhere."""
    if written is None:
        return None
    backoff, place = written.backoff, (*path, "backoff")
    initial = backoff.initial if backoff is not None else None
    multiplier = backoff.multiplier if backoff is not None else None
    policy = {
        "max_attempts": whole.taken(written.max_attempts, (*path, "max_attempts")),
        "backoff": "exponential",
        "initial_delay": whole.taken(duration(initial), (*place, "initial")) if initial is not None else "1s",
        "multiplier": whole.taken(multiplier, (*place, "multiplier")) if multiplier is not None else 2,
    }
    return whole.taken(policy, path)


def _dependencies(activity: Activity, before: str | None, whole: Whole) -> Any:
    written = activity.written.depends_on
    if written is None:
        is_second = before == activity.step  # of the same name, which is refused; it does not wait for itself too
        return [before] if before is not None and not is_second else None
    path = (*activity.path, "depends_on")
    names = as_names(written)
    found = [whole.taken(step_name(name), whole.findings.entry_path(path, number)) for number, name in enumerate(names)]
    return whole.taken(found, path)


def _filter(activity: Activity, whole: Whole) -> str | None:
    """The condition of running it, natively, without delimiters."""
    written, path = activity.written.filters, (*activity.path, "filters")
    if written is None or not whole.checked_filter(written, path):
        return None
    return condition(variables(whole.names.published), native_filter(written, path, whole.findings))


def _failure(activity: Activity, around: Around, whole: Whole) -> Any:
    """What its failure does: what it says itself, else what holds for every activity."""
    own, path = activity.written.fallback, (*activity.path, "fallback")
    said = activity.written.on_failure
    if said is not None:
        if own is not None:
            message = "`on_failure` and `fallback` both say what its failure does"
            whole.findings.add("conflicting-keys", message, path, hint="keep one of them", key=True)
        place = (*activity.path, "on_failure")
        return whole.taken({"action": whole.taken(ACTIONS[said], place)}, place)
    if own is not None:
        return _fallback(own, path, whole)
    return _fallback(*around.fallback, whole) if around.fallback is not None else None


def _fallback(written: FallbackDoc, path: Path, whole: Whole) -> Any:
    place = (*path, "activity")
    notify = whole.taken(True, (*path, "notify")) if written.notify else None
    if written.activity == SKIP:
        return whole.taken(given(action="skip", notify=notify), path)
    body = call(written.activity, place, (None, place), whole)
    return whole.taken(given(action="fallback", fallback=whole.taken(body, place), notify=notify), path)


def _limits(activity: Activity, around: Around, whole: Whole) -> dict[str, Any]:
    """The policies in front of its calls; those of one activity are shared by all steps that run it."""
    named = step_name(activity.ref)
    found: dict[str, Any] = {"rate_limit": rate_limit(activity.ref, whole)}
    for kind, policy in (("circuit_breaker", around.breaker), ("bulkhead", around.bulkhead)):
        if policy is not None:
            whole.policies[f"{named}_{kind}"] = policy
            found[kind] = f"{named}_{kind}"
    return found


def _approval(
    activity: Activity, asked: ApprovalDoc, depends_on: Any, when: Any, failure: Any, whole: Whole
) -> Iterator[Any]:
    """A question to a person, and the failure that a refusal is."""
    path = (*activity.path, "approval")
    asks, refused = f"approve_{activity.step}", f"refused_{activity.step}"
    question = given(
        prompt=f"May the activity '{activity.step}' run?",
        response_schema=AGREED,
        assigned_to=whole.template(asked.approver, (*path, "approver")) if asked.approver else None,
    )
    yield whole.taken(given(name=asks, type="approval", depends_on=depends_on, when=when, config=question), path)
    answer = step_text(asks)
    step = given(
        name=refused,
        type="fail",
        depends_on=[asks],
        when=f"{{{{ {answer}.completed and not {answer}.output.response.approved }}}}",
        config={"type": "unauthorized", "message": f"the activity '{activity.step}' was not approved"},
        on_failure=failure,
    )
    yield whole.taken(step, path)
