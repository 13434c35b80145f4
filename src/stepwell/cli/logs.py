"""Log messages of the engine, on standard error: in the form of all other messages, or as JSON."""

from __future__ import annotations

import logging

from stepwell.app.telemetry import node_name
from stepwell.app.telemetry_sections import LoggingSection
from stepwell.cli.streams import say, wants_tracebacks
from stepwell.telemetry.logs import JsonFormatter, Wanted, about_of, level_number, message_of


class _ToUser(logging.Handler):
    """Writes to whatever standard error is at the moment: a live table puts itself in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


class _Formatter(logging.Formatter):
    """`warning: message`, or `warning: workflow/step: message`. A traceback is for whoever asked for it with
    STEPWELL_DEBUG."""

    def format(self, record: logging.LogRecord) -> str:
        subject = about_of(record)
        place = "/".join(filter(None, (subject.workflow, subject.step)))
        text = f"{record.levelname.lower()}: {f'{place}: ' if place else ''}{message_of(record)}"
        if not record.exc_info or record.exc_info[1] is None:
            return text
        if wants_tracebacks():
            return f"{text}\n{self.formatException(record.exc_info)}"
        return f"{text}: {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"


def set_up_logging(section: LoggingSection) -> None:
    """Show what the configuration wants to be shown, in the form that it says."""
    handler = _ToUser()
    handler.setFormatter(JsonFormatter(node_name()) if section.format == "json" else _Formatter())
    handler.addFilter(Wanted(level_number(section.level), section.components))
    root = logging.getLogger()
    for each in [each for each in root.handlers if isinstance(each, _ToUser)]:
        root.removeHandler(each)
    root.addHandler(handler)
    logging.getLogger("stepwell").setLevel(section.level.upper())
