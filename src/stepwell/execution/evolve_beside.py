"""What happens beside the course of an execution, in any status: who is told of it, and what the cache gives; see
`evolve`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from stepwell.execution.history import NotificationRequested, NotificationSettled, RateKeyed, ResultKeyed, ResultReused
from stepwell.execution.state import CachedResult, Delivery, ExecutionState, Notification


def _notification_requested(state: ExecutionState, event: NotificationRequested) -> None:
    deliveries = [Delivery(channel, recipient) for channel, recipient in event.deliveries]
    state.notifications.append(
        Notification(event.at, event.about, event.step, event.title, event.message, event.priority, deliveries)
    )
    state.untold += len(deliveries)


def _notification_settled(state: ExecutionState, event: NotificationSettled) -> None:
    notification = state.notifications[event.notification - 1]
    delivery = notification.deliveries[event.delivery - 1]
    delivery.outcome = "delivered" if event.delivered else "undelivered"
    delivery.reason, delivery.at = event.reason, event.at
    state.untold -= 1
    _forget_message(notification)


def leave_notifications(state: ExecutionState) -> None:
    """What is pending is seen to by the execution that this one was forked from."""
    for notification in state.notifications:
        for delivery in notification.deliveries:
            if delivery.outcome == "pending":
                delivery.outcome = "elsewhere"
        _forget_message(notification)
    state.untold = 0


def _forget_message(notification: Notification) -> None:
    """Once it is settled the history keeps it, and not every snapshot."""
    if all(delivery.outcome != "pending" for delivery in notification.deliveries):
        notification.message = ""


def _result_keyed(state: ExecutionState, event: ResultKeyed) -> None:
    state.cached[event.step] = CachedResult(event.key)


def _result_reused(state: ExecutionState, event: ResultReused) -> None:
    state.cached[event.step] = CachedResult(state.cached[event.step].key, event.execution, event.made_at)


def _rate_keyed(state: ExecutionState, event: RateKeyed) -> None:
    state.rate_values[event.step] = event.value


BESIDE_CHANGES: Final[Mapping[type, Callable[[ExecutionState, Any], None]]] = {
    NotificationRequested: _notification_requested,
    NotificationSettled: _notification_settled,
    ResultKeyed: _result_keyed,
    ResultReused: _result_reused,
    RateKeyed: _rate_keyed,
}
"""By kind of event."""
