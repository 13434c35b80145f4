"""Standard output and standard error: text that any terminal can take, and no complaint when nobody reads it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import IO, Final, TextIO

_NOBODY_READS: Final = frozenset({errno.EPIPE, errno.EIO, errno.ESHUTDOWN})
"""The reader of the pipe is gone, or the terminal is."""


def prepare() -> None:
    """Have characters that the terminal's encoding lacks written as escapes instead of failing.

    A stream that was closed leads nowhere: without that the next file to be opened would take its number, and whatever
    a child process prints would be written into it.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write(text: str, stream: TextIO | None = None) -> None:
    """Write to standard output, or to `stream`; silently not when nobody reads.

    Raises:
        StepwellError: (code `output-failed`) it cannot be written for another reason, such as a full disk.
    """
    stream = stream or sys.stdout
    with _patience(stream):
        stream.write(text)
        stream.flush()


def say(message: str) -> None:
    """A line for the user, on standard error."""
    write(message + "\n", sys.stderr)


@contextlib.contextmanager
def _patience(stream: TextIO) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        discard(stream)
        if error.errno not in _NOBODY_READS:
            from stepwell.base.errors import StepwellError

            name = getattr(stream, "name", "the output").strip("<>")
            raise StepwellError(f"{name} cannot be written: {error.strerror}", code="output-failed") from None
    except ValueError:  # the stream was closed
        pass


def discard(stream: TextIO) -> None:
    """Let everything that is still written to the stream vanish."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class PatientStream(io.TextIOBase):
    """A stream whose failing is not the writer's concern: for what is drawn while something else goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding or "utf-8"

    def write(self, text: str) -> int:
        write(text, self._stream)
        return len(text)

    def flush(self) -> None:
        with _patience(self._stream):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


def speaks_unicode(stream: IO[str]) -> bool:
    """Whether symbols beyond ASCII can be shown."""
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "").startswith("utf")


def is_terminal(stream: IO[str]) -> bool:
    """Whether the stream is a terminal that can move its cursor."""
    try:
        return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown", "")
    except ValueError:  # closed
        return False


def takes_colour(stream: IO[str]) -> bool:
    """Whether to colour what is written there."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def wants_tracebacks() -> bool:
    """Whether the user asked for them: `STEPWELL_DEBUG=1`."""
    return os.environ.get("STEPWELL_DEBUG", "") not in ("", "0")


@contextlib.contextmanager
def output_kept_clean() -> Iterator[None]:
    """While this lasts, whatever is printed to standard output (by a task, a module, a child process) goes to standard
    error, so that standard output holds the result and nothing else."""
    with contextlib.redirect_stdout(sys.stderr), _descriptor_redirected():
        yield


@contextlib.contextmanager
def _descriptor_redirected() -> Iterator[None]:
    try:
        kept = os.dup(1)
    except OSError:  # standard output is closed
        yield
        return
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
