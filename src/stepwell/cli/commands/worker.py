"""`stepwell worker`."""

from __future__ import annotations

import click

from stepwell.cli.options import Setup, setup_options


@click.command("worker")
@click.option("--queue", "queues", multiple=True, required=True, metavar="NAME", help="To be served; may be repeated.")
@click.option(
    "--concurrency", type=click.IntRange(1, 10_000), default=10, show_default=True, help="So many attempts at once."
)
@click.option("--name", metavar="TEXT", help="What it is called in lists.  [default: the machine and a number]")
@setup_options(store=False, server=True, modules=True, dialect=None)
def command(queues: tuple[str, ...], concurrency: int, name: str | None, setup: Setup) -> int:
    """Do the steps that name a queue: fetched from a server, done here.

    Ctrl-C ends it when what is at work has ended; a second one gives that back for others to do.

    \b
    stepwell worker --queue gpu --import tasks.py --server http://127.0.0.1:8080
    """
    from stepwell.cli.working import work

    return work(queues, concurrency, name, setup)
