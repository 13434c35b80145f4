"""`stepwell execution`: looking at executions, and what operators can do with them."""

from __future__ import annotations

import click

from stepwell.cli.commands.operating import VERBS
from stepwell.cli.options import Duration, Setup, output_option, quiet_option, setup_options

LEVELS = ("debug", "info", "warning", "error")
STATUSES = ("pending", "running", "waiting", "paused", "compensating", "completed", "failed", "cancelled")


@click.group("execution")
def command() -> None:
    """Start executions, look at them, and pause, resume, cancel, retry, rerun, roll back, fork, migrate them."""


@command.command("start")
@click.argument("workflow", metavar="NAME[@VERSION]")
@click.option("-i", "--input", "given", metavar="JSON", help="The input: JSON, @FILE, or - for standard input.")
@click.option("--key", metavar="TEXT", help="Start once: the same key and input return the first execution.")
@click.option("--wait", is_flag=True, help="Follow it to its end, as `watch` does, and print its result.")
@click.option("--timeout", type=Duration(), metavar="DURATION", help="Stop waiting after this long, such as 5m.")
@setup_options(server=True)
@output_option()
@quiet_option
def start(
    workflow: str,
    given: str | None,
    key: str | None,
    wait: bool,
    timeout: int | None,
    setup: Setup,
    output: str,
    quiet: bool,
) -> int:
    """Start a registered workflow. The server, or whatever else works on the store, runs it.

    \b
    stepwell execution start signup -i '{"email": "ada@example.org"}' --wait
    """
    from stepwell.cli.starting import start_and_watch, start_execution

    if wait:
        return start_and_watch(workflow, given, key, timeout, setup, output, quiet=quiet)
    if timeout is not None:
        raise click.UsageError("--timeout goes with --wait", click.get_current_context())
    return start_execution(workflow, given, key, setup, output, quiet=quiet)


@command.command("list")
@click.option("--workflow", metavar="NAME", help="Only executions of this workflow.")
@click.option("--status", "statuses", type=click.Choice(STATUSES), multiple=True, help="Only these; may be repeated.")
@click.option("--parent", metavar="ID", help="Only sub-workflows that this execution started.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="At most so many.")
@click.option("--cursor", metavar="TEXT", help="Go on where a list ended: its `next`.")
@setup_options(server=True)
@output_option()
def list_(
    workflow: str | None,
    statuses: tuple[str, ...],
    parent: str | None,
    limit: int,
    cursor: str | None,
    setup: Setup,
    output: str,
) -> int:
    """List executions, newest first.

    \b
    stepwell execution list --status failed --limit 10
    """
    from stepwell.cli.executions import list_executions
    from stepwell.ports.listings import ExecutionQuery

    query = ExecutionQuery(workflow=workflow, statuses=statuses, parent=parent, limit=limit, cursor=cursor)
    return list_executions(query, setup, output)


@command.command("show")
@click.argument("id_", metavar="ID")
@setup_options(server=True)
@output_option()
def show(id_: str, setup: Setup, output: str) -> int:
    """Show an execution: its steps, output and error.

    \b
    stepwell execution show 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55 -o json
    """
    from stepwell.cli.executions import show_execution

    return show_execution(id_, setup, output)


@command.command("history")
@click.argument("id_", metavar="ID")
@click.option("--after", type=click.IntRange(0), default=0, metavar="N", help="Only events with a higher number.")
@setup_options(server=True)
@output_option()
def history(id_: str, after: int, setup: Setup, output: str) -> int:
    """Show everything that happened to an execution, in order.

    \b
    stepwell execution history 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55 --after 20
    """
    from stepwell.cli.executions import show_history

    return show_history(id_, after, setup, output)


@command.command("logs")
@click.argument("id_", metavar="ID")
@click.option("--level", type=click.Choice(LEVELS), help="Only lines at least as severe as that.")
@click.option("--step", metavar="NAME", help="Only lines of this step.")
@click.option("--type", "type_", metavar="TYPE", help="Only lines of steps of this type.")
@click.option("--errors", is_flag=True, help="Only lines that tell of an error.")
@click.option("--text", metavar="TEXT", help="Only lines that contain this.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=500, show_default=True, help="At most so many.")
@click.option("--follow", is_flag=True, help="Go on until the execution has ended.")
@setup_options(server=True)
@output_option()
def logs(
    id_: str,
    level: str | None,
    step: str | None,
    type_: str | None,
    errors: bool,
    text: str | None,
    limit: int,
    follow: bool,
    setup: Setup,
    output: str,
) -> int:
    """Show the log of an execution: what happened, and what its tasks logged on a server.

    \b
    stepwell execution logs 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55 --level warning
    """
    from stepwell.app.log_reading import LogFilter
    from stepwell.cli.execution_logs import show_logs

    wanted = LogFilter(level=level, step=step, type=type_, errors=errors, text=text)
    return show_logs(id_, wanted, limit, setup, output, follow=follow)


@command.command("watch")
@click.argument("id_", metavar="ID")
@click.option("--timeout", type=Duration(), metavar="DURATION", help="Stop waiting after this long, such as 5m.")
@setup_options(server=True)
@output_option()
@quiet_option
def watch(id_: str, timeout: int | None, setup: Setup, output: str, quiet: bool) -> int:
    """Follow an execution that another process runs, to its end.

    The exit status is that of the execution: 0 completed, 1 failed or cancelled.

    \b
    stepwell execution watch 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55
    """
    from stepwell.cli.watching import watch_execution

    return watch_execution(id_, timeout, setup, output, quiet=quiet)


@command.command("why")
@click.argument("id_", metavar="ID")
@setup_options(server=True)
@output_option()
def why(id_: str, setup: Setup, output: str) -> int:
    """Say what an execution waits for, since when, and what would wake it; or why it ended as it did.

    \b
    stepwell execution why 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55
    """
    from stepwell.cli.explaining import explain_execution

    return explain_execution(id_, setup, output)


@command.command("compare")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@setup_options(server=True)
@output_option()
def compare(a: str, b: str, setup: Setup, output: str) -> int:
    """Say in what two executions differ: input, definition, way, outputs, times, end.

    \b
    stepwell execution compare 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55 77c2b1de-1c1b-4b6e-9a53-0d9f6c7f1a02
    """
    from stepwell.cli.side_by_side import compare_executions

    return compare_executions(a, b, setup, output)


for _verb in VERBS:
    command.add_command(_verb)
