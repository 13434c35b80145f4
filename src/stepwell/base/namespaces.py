"""Namespaces: a workflow called `payments.refund` is in `payments`, one called `refund` in `default`.

Everything of an execution, such as its events, approvals and logs, is in the namespace of its workflow.
"""

from __future__ import annotations

import re
from typing import Final

DEFAULT: Final = "default"

_NAMESPACE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,199}", re.ASCII)


def namespace_of(workflow: str) -> str:
    """The namespace of a workflow, by its name."""
    namespace, dot, _ = workflow.partition(".")
    return namespace if dot else DEFAULT


def is_namespace(text: str) -> bool:
    """Whether a workflow's name may begin so, before its first dot."""
    return _NAMESPACE.fullmatch(text) is not None
