"""Which of two semantic versions is the newer one (semver.org, version 2.0.0, section 11)."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

_VERSION: Final = re.compile(r"([0-9]+)\.([0-9]+)\.([0-9]+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII)

Part: TypeAlias = tuple[int, int, str]
Precedence: TypeAlias = tuple[tuple[int, ...], bool, tuple[Part, ...], str]


def precedence(version: str) -> Precedence:
    """A key that sorts versions from the oldest to the newest: `1.0.0-rc.2`, `1.0.0-rc.10`, `1.0.0`, `1.0.1`.

    Versions that differ in their build only are ordered by their text; text that is no version comes before all.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        return (), False, (), version
    numbers = tuple(int(match[group]) for group in (1, 2, 3))
    before_release = match[4].split(".") if match[4] is not None else []
    return numbers, match[4] is None, tuple(_part(text) for text in before_release), version


def _part(text: str) -> Part:
    """Numbers are compared as numbers and come before words."""
    return (0, int(text), "") if text.isdigit() else (1, 0, text)
