"""Channels of the library apprise, which knows some hundred services: Slack, e-mail, Teams, SMS, push messages.

It is an extra (`stepwell[notify]`) and imported when the first notification goes through it.
"""

from __future__ import annotations

import importlib
import logging
from functools import cache
from typing import Any, Final
from urllib.parse import quote

from stepwell.ports.notices import Notice, Notifier
from stepwell.ports.work import TaskContext, TaskError
from stepwell.tasks.notifiers import for_whom

PLACE: Final = "{recipient}"
"""Where a channel's URL takes the recipient; without it the recipient stands before the message."""

_KINDS: Final = {"low": "info", "normal": "info", "high": "warning", "urgent": "failure"}


class AppriseNotifier(Notifier):
    """Any URL that apprise knows."""

    async def send(self, url: str, notice: Notice, context: TaskContext) -> None:
        """Have apprise deliver it, in a thread.

        Raises:
            TaskError: `missing_library`; `invalid_channel` (the URL is none that it knows); `undelivered`, which is
                retryable.
        """
        await context.run_sync(_send, url, notice)


def _send(url: str, notice: Notice) -> None:
    apprise = _library()
    takes_recipient = PLACE in url
    service = apprise.Apprise.instantiate(url.replace(PLACE, quote(notice.recipient, safe="")), asset=_asset())
    if service is None:
        raise TaskError("invalid_channel", "its URL is none that the notification library knows")
    said: list[str] = []
    sender = apprise.Apprise(asset=_asset())
    sender.add(service)
    delivered = sender.notify(
        body=notice.message if takes_recipient else for_whom(notice) + notice.message,
        title=notice.title,
        notify_type=_KINDS[notice.priority],
        body_format="text",
        log_callback=lambda entry, _: said.append(str(entry.message)),
        log_level=logging.WARNING,
    )
    if not delivered:
        why = "; ".join(dict.fromkeys(said)) or "it does not say why"
        raise TaskError("undelivered", f"the service did not take it: {why}", retryable=True)


@cache
def _library() -> Any:
    """The library, kept from writing to our log: what it writes there may hold the secrets of a URL.

    Raises:
        TaskError: (type `missing_library`) it is not installed.
    """
    try:
        library = importlib.import_module("apprise")
    except ImportError:
        message = "this channel needs the library apprise: install stepwell[notify]"
        raise TaskError("missing_library", message) from None
    logging.getLogger("apprise").propagate = False
    logging.getLogger("urllib3").setLevel(logging.INFO)  # below, it writes whole URLs
    return library


@cache
def _asset() -> Any:
    return _library().AppriseAsset(app_id="stepwell", app_desc="stepwell", secure_logging=True)
