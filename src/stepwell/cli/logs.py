"""Log messages of the engine, on standard error, in the form of all other messages."""

from __future__ import annotations

import logging

from stepwell.cli.streams import say, wants_tracebacks


class _ToUser(logging.Handler):
    """Writes to whatever standard error is at the moment: a live table puts itself in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


class _Formatter(logging.Formatter):
    """`warning: message`. A traceback is for whoever asked for it with STEPWELL_DEBUG."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{record.levelname.lower()}: {record.getMessage()}"
        if not record.exc_info or record.exc_info[1] is None:
            return text
        if wants_tracebacks():
            return f"{text}\n{self.formatException(record.exc_info)}"
        return f"{text}: {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"


def set_up_logging(level: str) -> None:
    """Show messages of at least this level (`debug`, `info`, `warning`, `error`)."""
    handler = _ToUser()
    handler.setFormatter(_Formatter())
    root = logging.getLogger()
    for each in [each for each in root.handlers if isinstance(each, _ToUser)]:
        root.removeHandler(each)
    root.addHandler(handler)
    logging.getLogger("stepwell").setLevel(level.upper())
