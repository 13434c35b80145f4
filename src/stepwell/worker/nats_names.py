"""What subjects, the stream and its consumers are called."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from stepwell.worker.jobs import Labels, Place

_LONGEST: Final = 100
_SAFE: Final = re.compile(r"[^A-Za-z0-9-]")


def token(text: str) -> str:
    """Any text as one part of a subject: what is not a letter, a digit or a hyphen is written `_` and its code."""
    safe = _SAFE.sub(lambda found: "".join(f"_{byte:02X}" for byte in found.group().encode()), text)
    if len(safe) <= _LONGEST:
        return safe or "_"
    return f"{safe[:60]}__{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def labels_token(labels: Labels) -> str:
    """Labels as one part of a subject; `_` when there are none."""
    return token(",".join(f"{name}={value}" for name, value in labels)) if labels else "_"


class Names:
    """The names that begin with a prefix.

    Attributes:
        stream: of the tickets.
        hello: where workers say that they are there.
        places: where it is said that there is a new line.
        all_nodes: where something is asked of all nodes; the call follows.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.stream = f"{token(prefix)}-work"
        self.hello = f"{prefix}.hello"
        self.places = f"{prefix}.places"
        self.all_nodes = f"{prefix}.nodes"

    @property
    def tickets(self) -> str:
        """All subjects of the stream."""
        return f"{self._prefix}.work.>"

    def ticket(self, place: Place, node: str) -> str:
        """Where a node puts its tickets for a line; with `*` where all do."""
        return f"{self._prefix}.work.{token(place[0])}.{labels_token(place[1])}.{node}"

    def tickets_of(self, node: str) -> str:
        """Where a node puts all its tickets."""
        return f"{self._prefix}.work.*.*.{node}"

    def consumer(self, place: Place) -> str:
        """Who hands out the tickets of a line."""
        name = f"{token(place[0])}-{labels_token(place[1])}"
        return name if len(name) <= _LONGEST else f"{name[:60]}__{hashlib.sha256(name.encode()).hexdigest()[:24]}"

    def node(self, node: str) -> str:
        """Where something is asked of a node; the call follows."""
        return f"{self._prefix}.node.{node}"

    def stops(self, worker: str) -> str:
        """Where a worker is told what to stop."""
        return f"{self._prefix}.worker.{token(worker)}.stop"

    def parts(self, owner: str) -> str:
        """Where the parts of what is too large for a message are fetched; what and which one follow."""
        return f"{self._prefix}.parts.{owner}"
