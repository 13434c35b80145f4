"""Versions from the oldest to the newest."""

from __future__ import annotations

import random

import pytest

from stepwell.base.semantic_version import precedence

IN_ORDER = [
    "not a version", "0.0.1", "0.2.0", "0.10.0", "1.0.0-0", "1.0.0-2", "1.0.0-10", "1.0.0-alpha", "1.0.0-alpha.1",
    "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.0+1", "1.0.0+a",
    "1.0.1", "2.0.0-a", "2.0.0", "10.0.0",
]  # fmt: skip


def test_versions_are_put_in_the_order_of_their_precedence() -> None:
    shuffled = random.Random(7).sample(IN_ORDER, len(IN_ORDER))
    assert sorted(shuffled, key=precedence) == IN_ORDER


@pytest.mark.parametrize(
    "text", ["", "1", "1.0", "1.0.0.0", "v1.0.0", "1.0.x", "1.0.0-", "\N{ARABIC-INDIC DIGIT ONE}.0.0"]
)
def test_what_is_no_version_comes_before_all(text: str) -> None:
    assert precedence(text) < precedence("0.0.0-0")
