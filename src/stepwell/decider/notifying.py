"""Telling people: that a step or an execution has failed, that compensation begins or has ended.

What is to be told is recorded before anything is sent, with every channel and recipient. Each delivery is then work of
its own, which belongs to no step: it goes to a worker as an assignment of type `notify` and comes back as a report.
However it ends, and whether the execution has ended meanwhile, is of no consequence but for the record.

Where `notify` leaves out its channels or recipients, those of `config.on_error.notify` are meant; without them all
configured channels, and whoever they lead to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from stepwell.base.errors import ErrorInfo
from stepwell.base.values import masked, unsealed
from stepwell.decider.notice import Notice
from stepwell.decider.region import Instance
from stepwell.decider.run import Run
from stepwell.decider.scope import error_names, failed_outcome
from stepwell.decider.turn import NOTHING, Turn
from stepwell.execution.commands import Deliver
from stepwell.execution.history import NotificationRequested, NotificationSettled
from stepwell.execution.state import ExecutionState
from stepwell.execution.work import Assignment, Report
from stepwell.expression.errors import ExpressionError
from stepwell.expression.template import Template

MARK: Final = "@"
"""With it begins what stands for a step in the assignment of a delivery; no step is called so."""
NO_CHANNEL: Final = "no channel is named here, and none is in the configuration"
LONGEST: Final = 4_000
"""Characters of a message; the rest is cut, for a channel may refuse it as a whole."""

_OUTCOMES: Final = {
    "done": "everything that was to be undone is undone",
    "failed": "not everything could be undone",
    "nothing": "there was nothing to undo",
}

Render = Callable[[Template, str], Any]
"""What a template gives, rendered for a purpose."""


# ── What is told ─────────────────────────────────────────────────────────────────────────────────────────────────────


def notify_of_failure(turn: Turn, one: Instance, error: ErrorInfo, message: str) -> None:
    """The step has failed for good, or asks for a pause: tell those whom its action names."""
    assert one.node.notices is not None, "asked for only where there are some"
    failure, timeout = one.node.notices
    notice = timeout if error.type == "timeout" else failure
    if notice is None:
        return
    names = error_names(error, turn.step(one.key).attempts)

    def render(template: Template, purpose: str) -> Any:
        return turn.render(one, template, purpose, names, failed_outcome(error))

    title = f"{turn.state.workflow}: step {one.key!r} failed"
    _request(turn, notice, "failure", title, message, render, one.key)


def notify_of_error(turn: Turn, error: ErrorInfo) -> None:
    """The execution fails: tell those whom `config.on_error` names."""
    notice = turn.run.plan.error_notice
    if notice is not None:
        title = f"{turn.state.workflow} failed"
        _request(turn, notice, "error", title, error.message, _renderer(turn, error))


def notify_of_compensation(turn: Turn, about: str, outcome: str = "", problem: str = "") -> None:
    """Compensation waits to be started, begins or has ended: tell those whom `compensation.notification` names."""
    notice = turn.run.plan.compensation_notice
    if notice is None:
        return
    state = turn.state
    happened = {"awaited": "waits to be started", "started": "begins", "ended": "has ended"}[about]
    message = f"{_OUTCOMES[outcome]}{f': {problem}' if problem else ''}" if outcome else state.compensation_reason
    error = state.final_error or ErrorInfo("", state.compensation_reason)
    title = f"compensation of {state.workflow} {happened}"
    _request(turn, notice, f"compensation-{about}", title, message, _renderer(turn, error))


def _renderer(turn: Turn, error: ErrorInfo) -> Render:
    """Of what stands at the workflow as a whole."""
    names, outcome = error_names(error, 0), failed_outcome(error)

    def render(template: Template, purpose: str) -> Any:
        if template.constant:
            return template.render(NOTHING)
        return template.render(turn.run.names.scope(turn.at, "", purpose, names, outcome))

    return render


def _request(turn: Turn, notice: Notice, about: str, title: str, message: str, render: Render, step: str = "") -> None:
    """Record who is to be told what, and have it done. What cannot be rendered changes nothing but what is told."""
    number = len(turn.state.notifications) + 1
    purpose = f"notify/{number}"
    problems: list[str] = []

    def text(template: Template | None, otherwise: str) -> str:
        if template is None:
            return otherwise
        try:
            return _plain(render(template, purpose))
        except ExpressionError as problem:
            problems.append(problem.message)
            return otherwise

    said = text(notice.message, f"{message} (execution {turn.state.id})")
    headline, priority = text(notice.title, title), text(notice.priority, "")
    deliveries = _deliveries(turn, notice, render, purpose, problems)
    if problems:
        said += f"\n(this notification could not be built as it is written: {'; '.join(problems)})"
    said = said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"
    turn.emit(NotificationRequested(turn.at, about, deliveries, headline, said, priority, step))
    for place, (channel, _) in enumerate(deliveries, 1):
        if channel:
            turn.command(Deliver(_assignment(turn.state, number, place)))
        else:
            turn.emit(NotificationSettled(turn.at, number, place, False, "; ".join([NO_CHANNEL, *problems])))


def _deliveries(
    turn: Turn, notice: Notice, render: Render, purpose: str, problems: list[str]
) -> tuple[tuple[str, str], ...]:
    """Every channel with every recipient; an empty channel where there is none."""
    plan = turn.run.plan

    def named(name: str, otherwise: Sequence[str]) -> Sequence[str]:
        template = notice.targets.get(name)
        if template is None and plan.error_notice is not None:
            template = plan.error_notice.targets.get(name)
        if template is None:
            return otherwise
        try:
            return _texts(render(template, purpose)) or otherwise
        except ExpressionError as problem:
            problems.append(f"{name}: {problem.message}")
            return otherwise

    channels = named("channels", plan.channels) or ("",)
    recipients = named("recipients", ("",))
    return tuple((channel, recipient) for channel in channels for recipient in recipients)


def _texts(value: Any) -> Sequence[str]:
    """The names in a list, or in lists inside it; each once."""
    return tuple(dict.fromkeys(_plain(item) for item in _items(value) if item is not None and item != ""))


def _items(value: Any) -> Iterable[Any]:
    if not isinstance(value, list):
        yield value
        return
    for item in value:
        yield from _items(item)


def _plain(value: Any) -> str:
    """As text, without secrets: it is stored and shown."""
    return str(masked(value))


# ── The deliveries ───────────────────────────────────────────────────────────────────────────────────────────────────


def is_delivery(key: str) -> bool:
    """Whether what stands where the key of a step does is a delivery."""
    return key.startswith(MARK)


def settle(turn: Turn, report: Report) -> None:
    """A delivery was made, or could not be; a report that has come before changes nothing."""
    number, place = (int(part) for part in report.step[len(MARK) :].split("."))
    notifications = turn.state.notifications
    if number > len(notifications) or notifications[number - 1].deliveries[place - 1].outcome != "pending":
        return
    reason = _reason(report)
    turn.emit(NotificationSettled(turn.at, number, place, not reason, reason))


def _reason(report: Report) -> str:
    """Why it could not be made; empty when it was."""
    if report.error is not None:
        return report.error.message
    match unsealed(report.result):
        case {"deliveries": [{"delivered": True}]}:
            return ""
    match masked(report.result):
        case {"deliveries": [{"reason": str(reason)}]} if reason:
            return reason
    return "its channel does not say why"


def deliveries_again(run: Run) -> list[Deliver]:
    """Those that are pending."""
    return [
        Deliver(_assignment(run.state, number, place))
        for number, notification in enumerate(run.state.notifications, 1)
        for place, delivery in enumerate(notification.deliveries, 1)
        if delivery.outcome == "pending"
    ]


def _assignment(state: ExecutionState, number: int, place: int) -> Assignment:
    """A delivery as work for a worker: the same however often it is sent."""
    notification = state.notifications[number - 1]
    delivery = notification.deliveries[place - 1]
    key = f"{MARK}{number}.{place}"
    config = {
        "channels": [delivery.channel],
        "recipients": [delivery.recipient] if delivery.recipient else [],
        "title": notification.title,
        "message": notification.message,
        "priority": notification.priority or None,
    }
    return Assignment(
        execution=state.id,
        workflow=state.workflow,
        version=state.version,
        step=key,
        type="notify",
        config=config,
        attempt=1,
        idempotency_key=f"{state.id}/{key}",
        scheduled_at=notification.at,
    )
