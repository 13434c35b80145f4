"""`stepwell run`."""

from __future__ import annotations

import click

from stepwell.cli.options import DefinitionType, Duration, Setup, output_option, quiet_option, setup_options


@click.command("run")
@click.argument("workflow", type=DefinitionType(), required=False, metavar="[FILE|NAME[@VERSION]]")
@click.option("-i", "--input", "given", metavar="JSON", help="The input: JSON, @FILE, or - for standard input.")
@click.option("--timeout", type=Duration(), metavar="DURATION", help="Stop waiting after this long, such as 5m.")
@click.option("--key", metavar="TEXT", help="Start once: the same key and input return the first execution.")
@click.option("--resume", metavar="ID", help="Go on with an execution that was interrupted; takes no workflow.")
@setup_options(server=True, modules=True)
@output_option()
@quiet_option
def command(
    workflow: str | None,
    given: str | None,
    timeout: int | None,
    key: str | None,
    resume: str | None,
    setup: Setup,
    output: str,
    quiet: bool,
) -> int:
    """Run a workflow, from a file or registered, to its end, in this process, and print its output.

    Nothing is stored when the definition or the input is wrong. What was interrupted goes on with --resume.

    With --server, the server runs it: a file is registered there, for ever, and its end is waited for here.

    \b
    stepwell run signup.yaml -i '{"email": "ada@example.org"}'
    stepwell run signup.yaml -i @input.json --import tasks.py -o json
    stepwell run signup@1.2.0
    stepwell run --resume 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55
    """
    from stepwell.cli.failures import WrongUse

    if (workflow is None) == (resume is None):
        told = "give a FILE, or --resume ID" if workflow is None else "give either a FILE or --resume, not both"
        raise WrongUse(told)
    if resume is not None and (given is not None or key is not None):
        raise WrongUse("--resume takes no --input and no --key: the execution has them")
    if setup.server is not None:
        return _at_server(workflow, given, key, timeout, setup, output, quiet=quiet)
    from stepwell.cli.running import Request, resume_execution, run_workflow

    request = Request(setup=setup, output=output, quiet=quiet, timeout=timeout)
    if resume is not None:
        return resume_execution(resume, request)
    assert workflow is not None, "one of the two was given"
    return run_workflow(workflow, given, key, request)


def _at_server(
    workflow: str | None,
    given: str | None,
    key: str | None,
    timeout: int | None,
    setup: Setup,
    output: str,
    *,
    quiet: bool,
) -> int:
    from stepwell.cli.failures import WrongUse

    if workflow is None:
        raise WrongUse("--resume goes with a store: a server goes on by itself; `stepwell execution watch` follows it")
    if setup.modules:
        raise WrongUse("--import goes with a store: a server knows the tasks that it was started with")
    from stepwell.cli.starting import run_at_server

    return run_at_server(workflow, given, key, timeout, setup, output, quiet=quiet)
