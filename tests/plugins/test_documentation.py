"""What the page about plug-ins shows is what the sample has, which other tests install and use."""

from __future__ import annotations

import re

from tests.plugins.installed import ROOT, SAMPLE

_BLOCK = re.compile(r"^```(python|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_piece_of_code_on_the_page_is_one_of_the_sample() -> None:
    page = (ROOT / "docs" / "how-to" / "write-a-plug-in.md").read_text("utf-8")
    files = [SAMPLE / "pyproject.toml", *(SAMPLE / "src").rglob("*.py")]
    sample = "\n".join(file.read_text("utf-8") for file in files)
    blocks = [code for _, code in _BLOCK.findall(page)]
    assert len(blocks) == 3
    for code in blocks:
        assert code in sample
