"""Errors end here: what the user reads, and the exit status."""

from __future__ import annotations

import errno
import sys
import traceback
from typing import Final

import click

from stepwell.base.errors import InvalidInput, StepwellError
from stepwell.cli.streams import discard, say, takes_colour, wants_tracebacks

STOPPED: Final = 130
"""The exit status after Ctrl-C."""


_OF_COMMANDS: Final = frozenset({"-o", "--output", "-q", "--quiet", "--store", "--server", "--token", "--config"})
"""Options that stand after a command's name."""


class WrongUse(click.UsageError):
    """The command line itself is wrong, and there is something to say about how it would be right."""

    def __init__(self, message: str, context: click.Context | None = None, hint: str | None = None) -> None:
        super().__init__(message, context)
        self.hint = hint


class Stopped(StepwellError):
    """The user ended the wait with Ctrl-C, or the process was told to end."""

    code = "interrupted"
    exit_status = STOPPED


class TimedOut(StepwellError):
    """The wait lasted longer than `--timeout`."""

    code = "timed-out"
    exit_status = 3


def report(error: BaseException) -> int:
    """Say what went wrong, on standard error, and return the exit status for it."""
    if wants_tracebacks() and not isinstance(error, click.ClickException):
        say("".join(traceback.format_exception(error)).rstrip())
    match error:
        case click.exceptions.NoArgsIsHelpError():
            say(error.format_message())
            return 2
        case click.UsageError():
            _report_usage(error)
            return 2
        case click.ClickException():
            say(labelled("usage", _sentence(error.format_message())))
            return 2
        case click.Abort() | KeyboardInterrupt():
            say("stopped")
            return STOPPED
        case StepwellError():
            _report_known(error)
            return error.exit_status
        case SystemExit():
            return error.code if isinstance(error.code, int) else 1
        case _:
            return _report_unexpected(error)


def labelled(code: str, message: str, hint: str | None = None) -> str:
    """`error[CODE]: message`, and the hint below it."""
    label = f"error[{code}]"
    if takes_colour(sys.stderr):
        label = click.style(label, fg="red", bold=True)
    return f"{label}: {message}" + (f"\nhint: {hint}" if hint else "")


def _report_known(error: StepwellError) -> None:
    from stepwell.definition.diagnostics import InvalidDefinition

    if isinstance(error, InvalidDefinition):
        from stepwell.cli.findings import say_findings

        say_findings(error.diagnostics, error.source)
        if error.hint:
            say(f"hint: {error.hint}")
    elif isinstance(error, InvalidInput) and error.problems:
        _report_input(error)
    else:
        say(labelled(error.code, error.message, error.hint))


def _report_input(error: InvalidInput) -> None:
    """Every problem on a line of its own."""
    head = error.message.partition(": ")[0] if len(error.problems) > 1 else error.message
    say(labelled(error.code, head))
    if len(error.problems) > 1:
        for path, message in error.problems:
            say(f"    {path or 'input'}: {message}")
    if error.hint:
        say(f"hint: {error.hint}")


def _report_usage(error: click.UsageError) -> None:
    path = error.ctx.command_path if error.ctx is not None else "stepwell"
    hint = getattr(error, "hint", None) or _misplaced(error) or f"`{path} --help` shows what it takes"
    say(labelled("usage", _sentence(error.format_message()), hint))


def _misplaced(error: click.UsageError) -> str | None:
    """An option of a command that was given before the command's name."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None or not isinstance(error.ctx.command, click.Group):
        return None
    belongs_behind = error.option_name in _OF_COMMANDS
    return f"{error.option_name} stands after the command's name" if belongs_behind else None


def _sentence(message: str) -> str:
    """A message of click in the form of all others."""
    message = message.strip().replace("\n", " ")
    if message[:2].istitle():
        message = message[0].lower() + message[1:]
    return message.removesuffix(".")


def _report_unexpected(error: BaseException) -> int:
    if isinstance(error, OSError) and error.filename is None and error.errno == errno.ENOSPC:
        discard(sys.stdout)  # what its buffer holds would fail once more when Python ends, with a status of its own
        say(labelled("output-failed", f"the output cannot be written: {error.strerror}"))
        return 1
    shown = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    hint = "this is a defect of stepwell; with STEPWELL_DEBUG=1 in the environment it shows where it happened"
    say(labelled("internal-error", shown, hint))
    return 1
