"""What steps are called natively."""

from __future__ import annotations

import re
from typing import Final

from stepwell.definition.shapes import NAME

_OTHER: Final = re.compile(r"[^A-Za-z0-9_-]")


def step_name(name: str) -> str:
    """The name of the step of an activity: the same, where steps can be called so."""
    if NAME.fullmatch(name):
        return name
    made = _OTHER.sub("_", name)
    return made if made[:1].isalpha() or made[:1] == "_" else f"_{made}"
