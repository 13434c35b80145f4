"""A source of secrets, asked for those that are not found elsewhere."""

from __future__ import annotations

from stepwell import NotFound

_SAMPLES = {"SLUG_GREETING": "good morning"}


class SampleSecrets:
    """Knows one secret; a real one would ask a vault."""

    def get(self, name: str) -> str:
        """The value of `{{ secrets.NAME }}`."""
        if name not in _SAMPLES:
            raise NotFound(f"there is no sample secret {name!r}", code="unknown-secret")
        return _SAMPLES[name]
