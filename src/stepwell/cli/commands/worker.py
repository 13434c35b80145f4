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
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME=VALUE",
    help="It may be given steps that ask for it; may be repeated.",
)
@click.option("--nats", metavar="URL", help="Fetch through NATS, as the nodes of this configuration do.")
@setup_options(store=False, server=True, modules=True, dialect=None)
def command(
    queues: tuple[str, ...], concurrency: int, name: str | None, labels: tuple[str, ...], nats: str | None, setup: Setup
) -> int:
    """Do the steps that name a queue: fetched from a server or through NATS, done here.

    Without --server it is NATS, when --nats, STEPWELL_NATS or the configuration says where that is.

    Ctrl-C ends it when what is at work has ended; a second one gives that back for others to do.

    \b
    stepwell worker --queue gpu --import tasks.py --server http://127.0.0.1:8080
    stepwell worker --queue gpu --label cuda=12 --import tasks.py --nats nats://127.0.0.1:4222
    """
    from stepwell.cli.working import work

    return work(queues, concurrency, name, labels, nats, setup)
