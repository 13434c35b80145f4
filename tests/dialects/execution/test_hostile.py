"""Documents of activities that hold anything at all: findings, never an exception."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepwell.base.spans import Source
from stepwell.dialects.loading import load, settings_in
from tests.dialects.execution.documents import API, documents

_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(("", "a", "${", "${workflow.x", "{{context.x}}", "-1s", "~in", "${'}'}", "skip", "\x00")),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(("a", "activity", "name", "~or", "~gt", "${x}", "")), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def _places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in inner for place in _places(part, (*path, key)))]


def _put(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    if not path:
        return new
    made: Any = dict(value) if isinstance(value, dict) else list(value)
    made[path[0]] = _put(value[path[0]], path[1:], new)
    return made


@st.composite
def _spoilt(draw: st.DrawFn, whole: st.SearchStrategy[Any]) -> str:
    document = draw(whole)
    for _ in range(draw(st.integers(1, 3))):
        document = _put(document, draw(st.sampled_from(_places(document))), draw(_anything))
    return json.dumps(document)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_spoilt(documents()) | _spoilt(st.just(json.loads(API))))
def test_whatever_stands_in_a_document_it_is_read_or_what_is_wrong_is_said(text: str) -> None:
    loaded = load(Source("test.json", text, "execution"))
    if loaded.definition is None:
        assert any(finding.severity == "error" for finding in loaded.diagnostics)
    else:
        assert isinstance(settings_in(loaded.definition), dict)
