"""`stepwell approval`: questions to people."""

from __future__ import annotations

from typing import Any

import click

from stepwell.cli.options import Setup, output_option, quiet_option, setup_options


@click.group("approval")
def command() -> None:
    """Questions that executions ask people: list, respond."""


@command.command("list")
@click.option("--person", metavar="NAME", help="Only those that this person may answer.")
@click.option("--workflow", metavar="NAME", help="Only those of this workflow.")
@click.option("--execution", metavar="ID", help="Only those of this execution.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="At most so many.")
@click.option("--cursor", metavar="TEXT", help="Go on where a list ended: its `next`.")
@setup_options(server=True)
@output_option()
def list_(setup: Setup, output: str, **wanted: Any) -> int:
    """List the questions that wait for an answer, those of the oldest executions first, and how to answer them.

    \b
    stepwell approval list --person ada
    """
    from stepwell.cli.approvals import list_approvals

    return list_approvals(wanted, setup, output)


@command.command("respond")
@click.argument("execution", metavar="EXECUTION")
@click.argument("step", metavar="STEP")
@click.option(
    "--response", "given", metavar="JSON", required=True, help="The answer: JSON, @FILE, or - for standard input."
)
@click.option("--by", metavar="NAME", help="Who answers.  [default: the name you are logged in with]")
@setup_options(server=True)
@output_option()
@quiet_option
def respond(execution: str, step: str, given: str, by: str | None, setup: Setup, output: str, quiet: bool) -> int:
    """Answer a question: the step completes, in whatever process runs the execution.

    An answer that the question does not allow, or by somebody who is not asked, is refused.

    \b
    stepwell approval respond 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55 approve --response '{"approved": true}' --by ada
    """
    from stepwell.cli.approvals import respond_to

    return respond_to(execution, step, given, by, setup, output, quiet=quiet)
