"""Text in columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepwell.cli import columns as module
from stepwell.cli.columns import columns


def test_cells_stand_below_each_other_and_empty_columns_are_left_out(folder: Path) -> None:
    rows = [("one", "", "x"), ("three", "", "")]
    assert columns(("name", "empty", "note"), rows, cut="note") == "name   note\none    x\nthree"


def test_wide_characters_take_two_places(folder: Path) -> None:
    assert columns(("a", "b"), [("日本", "x"), ("abcd", "y")], cut="b") == "a     b\n日本  x\nabcd  y"


def test_what_does_not_fit_is_cut_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Narrow:
        width = 20

    monkeypatch.setattr(module, "console_for", lambda stream: Narrow())
    text = columns(("name", "note"), [("one", "a note that is too long")], cut="note")
    assert text == "name  note\none   a note that i…"
