"""Namespaces: a workflow called `payments.refund` is in `payments`, one called `refund` in `default`.

Everything of an execution, such as its events, approvals and logs, is in the namespace of its workflow.
"""

from __future__ import annotations

from typing import Final

DEFAULT: Final = "default"


def namespace_of(workflow: str) -> str:
    """The namespace of a workflow, by its name."""
    namespace, dot, _ = workflow.partition(".")
    return namespace if dot else DEFAULT
