"""A native document made from one in another dialect, and where each of its values was taken from.

    settled = settle({"name": Taken("ops.build", ("ref",)), "type": "noop"})
    settled.document   # {"name": "ops.build", "type": "noop"}
    settled.origins    # {("name",): ("ref",)}

What is found about the native document is so shown at its place in the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from stepwell.base.spans import Span
from stepwell.definition.model import Path
from stepwell.definition.tree import Node, Tree

_NOWHERE: Final[Path] = ()


class Taken(NamedTuple):
    """A value of a native document, and where in the source that stands which it was made from.

    What is inside of the value is looked for at the same path under `path`, unless it is `Taken` from elsewhere.
    """

    value: Any
    path: Path


class Settled(NamedTuple):
    """A native document as plain values, and the origins of its parts by their paths."""

    document: Any
    origins: dict[Path, Path]


def settle(document: Any) -> Settled:
    """Take the values out of every `Taken` in a document, and note the origins."""
    origins: dict[Path, Path] = {}
    return Settled(_settled(document, (), origins), origins)


def _settled(value: Any, path: Path, origins: dict[Path, Path]) -> Any:
    while isinstance(value, Taken):
        origins.setdefault(path, value.path)
        value = value.value
    if isinstance(value, dict):
        return {key: _settled(part, (*path, key), origins) for key, part in value.items()}
    if isinstance(value, list):
        return [_settled(part, (*path, position), origins) for position, part in enumerate(value)]
    return value


def source_path(path: Path, origins: Mapping[Path, Path]) -> Path:
    """Where in the source to look for what stands at `path` of the native document."""
    for length in range(len(path), 0, -1):
        origin = origins.get(path[:length])
        if origin is not None:
            return (*origin, *path[length:])
    return origins.get((), _NOWHERE)


class SettledTree(Tree):
    """A native document whose places are those of the source.

    Args:
        source: the document as it was written.
    """

    def __init__(self, settled: Settled, source: Tree) -> None:
        super().__init__(settled.document, source.text, source.lines, lambda: source.root)
        self._source = source
        self._origins = settled.origins

    def source_path(self, path: Path) -> Path:
        """Where in the source that stands which the value at `path` was made from."""
        return source_path(path, self._origins)

    def nearest(self, path: Path) -> tuple[Node, int]:
        """The node of the source that the value at `path` was made from, or the nearest one around it."""
        origin = self.source_path(path)
        node, depth = self._source.nearest(origin)
        return node, len(path) if depth == len(origin) else 0

    def key_span(self, path: Path) -> Span:
        """Where the key stands that the value at `path` was written under."""
        return self._source.key_span(self.source_path(path))

    def offset_span(self, path: Path, offset: int) -> Span:
        """Where a character of a text stands; the whole value when it was written otherwise in the source."""
        origin = self.source_path(path)
        if self._source.at(origin) == self.at(path):
            return self._source.offset_span(origin, offset)
        return self._source.span(origin)


class SettledSpans(Mapping[Path, Span]):
    """The spans of the source by the paths of the native document."""

    def __init__(self, origins: Mapping[Path, Path], source: Mapping[Path, Span]) -> None:
        self._origins = origins
        self._source = source

    def __getitem__(self, path: Path) -> Span:
        return self._source[source_path(path, self._origins)]

    def __contains__(self, path: object) -> bool:
        return isinstance(path, tuple) and source_path(path, self._origins) in self._source

    def __iter__(self) -> Iterator[Path]:
        return iter(self._origins)

    def __len__(self) -> int:
        return len(self._origins)
