"""What `result()` means behind an action whose native step shapes its output, such as `core.echo`."""

from __future__ import annotations

from jinja2 import nodes

from stepwell.dialects.language import read_expression


def shaped_result(step: str) -> nodes.Expr:
    """What such a step gave, as its output shapes it; of a failed one what the task gave with its error."""
    own = f"steps.{step}" if step.isidentifier() else f"steps['{step}']"
    tree, _ = read_expression(f"{own}.output if succeeded() else result()", 0, "")
    return tree
