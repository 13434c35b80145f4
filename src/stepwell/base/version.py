"""The version of stepwell, in one place: packaging reads it here."""

from __future__ import annotations

VERSION = "0.1.0"
