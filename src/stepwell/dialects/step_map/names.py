"""Names: a step map's `id` may be any text, and a workflow is stored under a name."""

from __future__ import annotations

import re
from typing import Final

from stepwell.definition.shapes import MAX_NAME, WORKFLOW_NAME_PATTERN

_NAME: Final = re.compile(WORKFLOW_NAME_PATTERN)
_OTHER: Final = re.compile(r"[^A-Za-z0-9_.-]")


def workflow_name(identifier: str) -> str:
    """The name of the workflow whose `id` this is: the same where that is a name, else the nearest one."""
    if _NAME.fullmatch(identifier) and len(identifier) <= MAX_NAME:
        return identifier
    name = _OTHER.sub("_", identifier)[:MAX_NAME]
    return name if name[:1].isalpha() or name[:1] == "_" else f"_{name}"[:MAX_NAME]
