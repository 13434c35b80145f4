"""What `notify` says, compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stepwell.definition.model import FailureAction
from stepwell.expression.template import Template, compile_template

_TARGETS: Final = ("channels", "recipients")


class Notice:
    """Who is told, and what. What it does not say is None: see `notifying` for what is used in its place.

    Attributes:
        targets: the templates of `channels` and `recipients`, by these names.
    """

    __slots__ = ("message", "priority", "targets", "title")

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.targets: dict[str, Template] = {
            name: compile_template(said[name], outcome=True) for name in _TARGETS if said.get(name) is not None
        }
        self.title = _text(said.get("title"))
        self.message = _text(said.get("message"))
        self.priority = _text(said.get("priority"))


def notice_of(said: Any) -> Notice | None:
    """What `notify` asks for: a mapping, true for one that says nothing, false or None for nobody."""
    if said is True:
        return Notice({})
    return Notice(said) if isinstance(said, Mapping) else None


def notices_of(on_failure: FailureAction | None, on_timeout: FailureAction | None) -> tuple[Notice | None, ...] | None:
    """Who is told when a step has failed, and when it has timed out; None when it is nobody, as for most steps."""
    if (on_failure is None or on_failure.notify is None) and (on_timeout is None or on_timeout.notify is None):
        return None
    failure = notice_of(on_failure.notify) if on_failure is not None else None
    return failure, notice_of(on_timeout.notify) if on_timeout is not None else failure


def _text(said: Any) -> Template | None:
    return compile_template(said, outcome=True) if said is not None else None
