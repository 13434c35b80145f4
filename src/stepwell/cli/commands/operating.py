"""What operators can do with an execution: the verbs of `stepwell execution`, and `stepwell dlq retry`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import click

from stepwell.cli.options import Decorator, Duration, Setup, output_option, reason_option, setup_options


def _asking(*, output: bool = True) -> Decorator:
    """The options of every verb, given to the command as one `asking`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def gathering(
            setup: Setup, reason: str | None, by: str | None, wait: int | None, output: str, **values: Any
        ) -> Any:
            from stepwell.cli.operating import Asking

            return function(asking=Asking(by, reason, wait, setup, output), **values)

        options: list[Decorator] = [
            reason_option,
            click.option("--by", metavar="NAME", help="Who asks for it; of a store only.  [default: this user]"),
            click.option(
                "--wait", type=Duration(), metavar="DURATION", help="For the engine's answer, at most.  [default: 30s]"
            ),
            setup_options(server=True),
            output_option() if output else _FORMAT,
        ]
        decorated: Callable[..., Any] = gathering
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


_FORMAT: Final = click.option(
    "-o",
    "--format",
    "output",
    type=click.Choice(("table", "json", "yaml")),
    default="table",
    show_default=True,
    help="Print a line, or one JSON or YAML document.",
)
_ID: Final = click.argument("id_", metavar="ID")


@click.command("pause")
@_ID
@_asking()
def pause(id_: str, asking: Any) -> int:
    """Halt an execution: what runs may end, and nothing new starts.

    \b
    stepwell execution pause 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55 --reason "the bank is down"
    """
    from stepwell.cli import operating

    return operating.pause(id_, asking)


@click.command("resume")
@_ID
@_asking()
def resume(id_: str, asking: Any) -> int:
    """Let a paused execution go on. Steps whose failure paused it are tried again.

    \b
    stepwell execution resume 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55
    """
    from stepwell.cli import operating

    return operating.resume(id_, asking)


@click.command("cancel")
@_ID
@click.option(
    "--stop-running/--let-finish",
    "stop",
    default=None,
    help="Stop what runs, or wait for its end.  [default: as the workflow says]",
)
@click.option(
    "--compensate/--no-compensate",
    default=None,
    help="Undo what was done before it ends, or not.  [default: as the workflow says]",
)
@_asking()
def cancel(id_: str, stop: bool | None, compensate: bool | None, asking: Any) -> int:
    """End an execution as cancelled, once what runs has ended.

    \b
    stepwell execution cancel 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55 --compensate --reason "the customer withdrew"
    """
    from stepwell.cli import operating

    return operating.cancel(id_, stop, compensate, asking)


@click.command("terminate")
@_ID
@_asking()
def terminate(id_: str, asking: Any) -> int:
    """End an execution as cancelled, at once: everything is stopped, and nothing is undone.

    \b
    stepwell execution terminate 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55 --reason "a test"
    """
    from stepwell.cli import operating

    return operating.terminate(id_, asking)


@click.command("compensate")
@_ID
@_asking()
def compensate(id_: str, asking: Any) -> int:
    """Start the compensation of an execution that waits for that (`compensation: {mode: manual}`).

    \b
    stepwell execution compensate 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55
    """
    from stepwell.cli import operating

    return operating.compensate(id_, asking)


@click.command("retry")
@_ID
@click.argument("steps", metavar="[STEP...]", nargs=-1)
@_asking()
def retry(id_: str, steps: tuple[str, ...], asking: Any) -> int:
    """Try the failed steps of a failed execution again, all or those named. The execution goes on.

    It is the same work, with the same idempotency keys and settings and with all its attempts once more.

    \b
    stepwell execution retry 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55 --reason "the bank is back"
    """
    from stepwell.cli import operating

    return operating.retry(id_, steps, asking)


@click.command("rerun")
@_ID
@click.option("--from", "step", metavar="STEP", required=True, help="The step to begin with, which must have run.")
@click.option("--input", "given", metavar="JSON", help="Put over the step's settings: JSON, @FILE, or -.")
@click.option("--keep-items", is_flag=True, help="Of a step with for_each, run only what has not completed.")
@_asking()
def rerun(id_: str, step: str, given: str | None, keep_items: bool, asking: Any) -> int:
    """Run a step, and everything behind it, again. The rest keeps its results.

    It is other work than before, with idempotency keys of its own.

    \b
    stepwell execution rerun 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55 --from render --input '{"args": {"dpi": 300}}'
    """
    from stepwell.cli import operating

    return operating.rerun(id_, step, given, keep_items, asking)


@click.command("rollback")
@_ID
@click.option(
    "--to", "checkpoint", metavar="CHECKPOINT", required=True, help="The name of a checkpoint it has reached."
)
@_asking()
def rollback(id_: str, checkpoint: str, asking: Any) -> int:
    """Undo what completed after a checkpoint, and go on from there.

    \b
    stepwell execution rollback 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55 --to reserved
    """
    from stepwell.cli import operating

    return operating.rollback(id_, checkpoint, asking)


@click.command("fork")
@_ID
@click.option("--at", "at_event", type=click.IntRange(1), metavar="N", required=True, help="The number of an event.")
@_asking()
def fork(id_: str, at_event: int, asking: Any) -> int:
    """Begin another execution with the history of this one, to the end of the turn of event N.

    What was under way at that point begins anew in the other one; sub-workflows are not shared.

    \b
    stepwell execution fork 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55 --at 12
    """
    from stepwell.cli import operating

    return operating.fork(id_, at_event, asking)


@click.command("skip-step")
@_ID
@click.argument("step", metavar="STEP")
@click.option("--force", is_flag=True, help="Stop the step when it runs.")
@_asking()
def skip_step(id_: str, step: str, force: bool, asking: Any) -> int:
    """Let a step that has not completed count as skipped: what depends on it goes on.

    \b
    stepwell execution skip-step 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55 notify --reason "told by phone"
    """
    from stepwell.cli import operating

    return operating.skip_step(id_, step, force, asking)


@click.command("complete-step")
@_ID
@click.argument("step", metavar="STEP")
@click.option("--output", "given", metavar="JSON", help="Its output: JSON, @FILE, or -.  [default: null]")
@click.option("--force", is_flag=True, help="Stop the step when it runs.")
@_asking(output=False)
def complete_step(id_: str, step: str, given: str | None, force: bool, asking: Any) -> int:
    """Let a step that has not completed count as completed, with the given output.

    \b
    stepwell execution complete-step 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55 charge --output '{"receipt": "r-7"}'
    """
    from stepwell.cli import operating

    return operating.complete_step(id_, step, given, force, asking)


@click.command("signal")
@_ID
@click.argument("type_", metavar="TYPE")
@click.option("-d", "--data", "given", metavar="JSON", help="The event's data: JSON, @FILE, or - for standard input.")
@setup_options(server=True)
@output_option()
def signal(id_: str, type_: str, given: str | None, setup: Setup, output: str) -> int:
    """Send an event to one execution alone, for a step that waits for it now or later.

    \b
    stepwell execution signal 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55 go -d '{"door": 3}'
    """
    from stepwell.cli import operating

    return operating.signal(id_, type_, given, operating.Asking(None, None, None, setup, output))


@click.command("migrate")
@click.argument("ids", metavar="[ID...]", nargs=-1)
@click.option("--to", metavar="VERSION", required=True, help="A registered version of the same workflow.")
@click.option("--map", "mapping", metavar="OLD=NEW", multiple=True, help="A step that has another name there.")
@click.option("--workflow", metavar="NAME", help="With --from, instead of IDs: all executions of that version.")
@click.option("--from", "version", metavar="VERSION", help="See --workflow.")
@click.option("--dry-run", is_flag=True, help="Only say which can be moved, and why others cannot.")
@_asking()
def migrate(
    ids: tuple[str, ...],
    to: str,
    mapping: tuple[str, ...],
    workflow: str | None,
    version: str | None,
    dry_run: bool,
    asking: Any,
) -> int:
    """Have executions that have not ended go on with another version of their workflow.

    Every step that has run, or is running, must be in that version, of the same type and in the same place.

    \b
    stepwell execution migrate --workflow signup --from 1.1.0 --to 1.2.0 --dry-run
    stepwell execution migrate 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55 --to 1.2.0 --map mail=send_mail
    """
    from stepwell.cli import operating
    from stepwell.cli.failures import WrongUse

    if (workflow is None) != (version is None) or bool(ids) == (workflow is not None):
        raise WrongUse("give IDs, or --workflow NAME with --from VERSION")
    source = (workflow, version) if workflow is not None and version is not None else None
    return operating.migrate(ids, to, mapping, source, dry_run, asking)


@click.command("retry")
@_ID
@click.option(
    "--input", "given", metavar="JSON", help="Put over the step's settings, or the event's data: JSON, @FILE, or -."
)
@_asking()
def retry_letter(id_: str, given: str | None, asking: Any) -> int:
    """Try a dead letter again: its step, whose execution goes on, or its event. The dead letter is gone then.

    \b
    stepwell dlq retry 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55/charge/7 --input '{"args": {"amount": 12}}'
    """
    from stepwell.cli import operating

    return operating.retry_letter(id_, given, asking)


VERBS: Final = (
    pause,
    resume,
    cancel,
    terminate,
    retry,
    rerun,
    rollback,
    fork,
    skip_step,
    complete_step,
    signal,
    migrate,
    compensate,
)
"""The commands of `stepwell execution` that change something."""
