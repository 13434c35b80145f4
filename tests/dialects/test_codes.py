"""Every kind of finding about dialects is used, and none is used that is not listed."""

from __future__ import annotations

import ast
from pathlib import Path

import stepwell.dialects
from stepwell.definition.codes import CODES, NATIVE_CODES
from stepwell.definition.dialect_codes import DIALECT_CODES


def test_every_code_is_used_and_every_used_code_is_listed() -> None:
    used, texts = set(), set()
    for file in Path(stepwell.dialects.__file__ or "").parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("add", "add_at")
            ):
                used |= (
                    {each.value for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant)}
                    if node.args
                    else set()
                )
    assert DIALECT_CODES.keys() - texts == set()
    assert {code for code in used if isinstance(code, str) and "-" in code} - CODES.keys() == set()
    assert DIALECT_CODES.keys() & NATIVE_CODES.keys() == set()
