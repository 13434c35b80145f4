"""How instances of steps are named in the history."""

from __future__ import annotations

from typing import Final

UNDO: Final = "undo"
"""The last element of the path of what undoes an instance."""

INSTEAD: Final = "compensation"
"""The last element of the path of the workflow that compensates because a step failed."""


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


def round_path(path: str, visit: int, attempt: int, index: int | None = None) -> str:
    """The path of a region that an instance with that path and visit opens in an attempt, for a round."""
    parts = [path] if path else []
    if visit > 1:
        parts.append(f"#{visit}")
    if attempt > 1 or (path and path.rpartition(",")[2][0] in "#~"):
        parts.append(f"~{attempt}")  # else it could be mistaken for the try of what it stands in
    if index is not None:
        parts.append(str(index))
    return ",".join(parts)


def inner_key(key: str, element: str) -> str:
    """The instance that belongs to this one and has one more element in its path: `x[2]#3` and `undo` give
    `x[2,undo]#3`."""
    name, path, visit = split_key(key)
    return instance_key(name, f"{path},{element}" if path else element, visit)


def undo_key(key: str) -> str:
    """The instance that undoes this one."""
    return inner_key(key, UNDO)


def undone_key(key: str) -> str | None:
    """The instance that this one undoes, or None when it undoes none."""
    name, path, visit = split_key(key)
    front, _, last = path.rpartition(",")
    return instance_key(name, front, visit) if last == UNDO else None
