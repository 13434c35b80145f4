"""How instances of steps are named in the history."""

from __future__ import annotations


def instance_key(name: str, path: str, visit: int = 1) -> str:
    """How history names an instance: `name`, `name[path]`, and `#n` behind it from the second visit on."""
    key = f"{name}[{path}]" if path else name
    return key if visit == 1 else f"{key}#{visit}"


def split_key(key: str) -> tuple[str, str, int]:
    """The name, path and visit of an instance."""
    visit = 1
    if key[-1].isdigit() and "#" in key:
        front, _, number = key.rpartition("#")
        if "]" not in number:
            key, visit = front, int(number)
    name, bracket, path = key.partition("[")
    return name, path[:-1] if bracket else "", visit
