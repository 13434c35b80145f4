"""`stepwell workflow`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click

from stepwell.cli.options import (
    DefinitionType,
    Dialect,
    Setup,
    output_option,
    path_type,
    reason_option,
    setup_options,
)


@click.group("workflow")
def command() -> None:
    """Definitions: register them, look at them, compare them, put them out of use."""


@command.command("apply")
@click.argument("files", type=path_type(), nargs=-1, required=True, metavar="FILE...")
@click.option("--draft", is_flag=True, help="Register them as drafts, which cannot be started yet.")
@reason_option
@setup_options(server=True, modules=True)
@output_option()
def apply(files: tuple[Path, ...], draft: bool, reason: str | None, setup: Setup, output: str) -> int:
    """Register the workflows in FILE... under their names and versions, for ever.

    A version that is registered already stays as it is: with the same content that is all right, with other content it
    is an error. When one of the files is invalid, nothing is registered.

    \b
    stepwell workflow apply signup.yaml billing.yaml
    """
    from stepwell.cli.applying import apply_files

    return apply_files(files, setup, output, draft=draft, reason=reason)


@command.command("list")
@click.option("--name", metavar="NAME", help="Only versions of this workflow.")
@click.option("--tag", metavar="TAG", help="Only versions with this tag.")
@click.option(
    "--lifecycle", type=click.Choice(["draft", "active", "deprecated", "retired"]), help="Only versions in it."
)
@setup_options(server=True)
@output_option()
def list_(name: str | None, tag: str | None, lifecycle: str | None, setup: Setup, output: str) -> int:
    """List registered workflows, the newest version of each first.

    \b
    stepwell workflow list --tag orders
    """
    from stepwell.cli.registering import list_workflows

    return list_workflows(setup, output, name=name, tag=tag, lifecycle=cast("Any", lifecycle))


@command.command("show")
@click.argument("workflow", metavar="NAME[@VERSION]")
@setup_options(server=True)
@output_option("text", "json", "yaml", help="The source text, or everything that is known of it.")
def show(workflow: str, setup: Setup, output: str) -> int:
    """Print a registered workflow as it was given. Without a VERSION, the default one.

    \b
    stepwell workflow show signup@1.2.0
    """
    from stepwell.cli.registering import show_workflow

    return show_workflow(workflow, setup, output)


@command.command("diff")
@click.argument("old", type=DefinitionType(), metavar="A")
@click.argument("new", type=DefinitionType(), metavar="B")
@setup_options(server=True, modules=True)
@output_option()
def diff(old: str, new: str, setup: Setup, output: str) -> int:
    """Show what two definitions mean differently; A and B are files or NAME[@VERSION].

    Steps that were added, removed and changed, and what changed in the rest. How they are written does not matter.

    \b
    stepwell workflow diff signup@1.2.0 signup.yaml
    """
    from stepwell.cli.comparing import show_difference

    return show_difference(old, new, setup, output)


@command.command("activate")
@click.argument("workflow", metavar="NAME@VERSION")
@reason_option
@setup_options(server=True)
@output_option()
def activate(workflow: str, reason: str | None, setup: Setup, output: str) -> int:
    """Make a version ready to be started: a draft, or one that was deprecated or retired.

    \b
    stepwell workflow activate signup@1.2.0
    """
    from stepwell.cli.registering import set_lifecycle

    return set_lifecycle(workflow, "active", reason, setup, output)


@command.command("deprecate")
@click.argument("workflow", metavar="NAME@VERSION")
@reason_option
@setup_options(server=True)
@output_option()
def deprecate(workflow: str, reason: str | None, setup: Setup, output: str) -> int:
    """Advise against a version: it can still be started, with a warning.

    \b
    stepwell workflow deprecate signup@1.1.0 --reason "1.2.0 checks the address"
    """
    from stepwell.cli.registering import set_lifecycle

    return set_lifecycle(workflow, "deprecated", reason, setup, output)


@command.command("retire")
@click.argument("workflow", metavar="NAME@VERSION")
@reason_option
@setup_options(server=True)
@output_option()
def retire(workflow: str, reason: str | None, setup: Setup, output: str) -> int:
    """Put a version out of use: it cannot be started any more. Executions that run go on.

    \b
    stepwell workflow retire signup@1.0.0 --reason "charged twice"
    """
    from stepwell.cli.registering import set_lifecycle

    return set_lifecycle(workflow, "retired", reason, setup, output)


@command.command("default")
@click.argument("workflow", metavar="NAME@VERSION")
@reason_option
@setup_options(server=True)
@output_option()
def default(workflow: str, reason: str | None, setup: Setup, output: str) -> int:
    """Choose the version that the name alone means. Until one is chosen it is the newest active one.

    \b
    stepwell workflow default signup@1.1.0 --reason "1.2.0 is too slow"
    """
    from stepwell.cli.registering import set_default

    return set_default(workflow, reason, setup, output)


@command.command("convert")
@click.argument("workflow", type=DefinitionType(), metavar="FILE|NAME[@VERSION]")
@click.option("--to", "to", type=Dialect(), required=True, help="The dialect to write it in.")
@click.option("--lossy", is_flag=True, help="Leave out what the other dialect cannot say.")
@setup_options(server=True, modules=True, dialect="--from")
@output_option("yaml", "json", help="The notation.")
def convert(workflow: str, to: str, lossy: bool, setup: Setup, output: str) -> int:
    """Print a workflow in another dialect.

    What the other dialect cannot say is told with its place, and then nothing is printed, unless it changes nothing in
    what the workflow does. In its own dialect it comes out as it is, to the byte.

    \b
    stepwell workflow convert deploy.yaml --to native
    stepwell workflow convert signup.yaml --to task-graph -o json
    """
    from stepwell.cli.converting import convert as print_converted

    notation = cast("Any", output if _is_given("output") else None)
    return print_converted(workflow, to, setup, notation, lossy=lossy)


def _is_given(option: str) -> bool:
    """Whether the user gave an option, as opposed to its default."""
    source = click.get_current_context().get_parameter_source(option)
    return source is not click.core.ParameterSource.DEFAULT


@command.command("graph")
@click.argument("workflow", type=DefinitionType(), metavar="FILE|NAME[@VERSION]")
@setup_options(server=True, modules=True)
@output_option("mermaid", "dot", "json", help="How to draw it.")
def graph(workflow: str, setup: Setup, output: str) -> int:
    """Print the steps of a workflow and what leads from one to the next, as a graph.

    \b
    stepwell workflow graph signup.yaml -o dot | dot -Tpng > signup.png
    """
    from stepwell.cli.workflows import print_graph

    return print_graph(workflow, setup, output)


@command.command("schema")
def schema() -> int:
    """Print the JSON Schema of workflow definitions, for editors.

    \b
    stepwell workflow schema > workflow.schema.json
    """
    from stepwell.cli.workflows import print_schema

    return print_schema()
