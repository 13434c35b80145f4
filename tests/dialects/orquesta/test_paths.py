"""Variables that are read where nothing has set them: found on every way, before anything runs."""

from __future__ import annotations

import pytest

from tests.dialects.orquesta.conducting import found, workflow

SET = "publish: x=1"


def tasks(**written: str) -> str:
    return "tasks:\n" + "".join(f"  {name}: {{{text}}}\n" for name, text in written.items())


READS = "action: ops.check n=<% ctx(x) %>"


@pytest.mark.parametrize(
    ("text", "way"),
    [
        (tasks(a="next: [{do: b}, {publish: x=1, do: c}]", b=READS, c=READS), "a -> b"),
        (tasks(a="next: [{do: c}]", b=f"next: [{{{SET}, do: c}}]", c=READS), "a -> c"),
        (tasks(a="next: [{do: b}]", b="next: [{when: <% ctx(x) = 1 %>, do: c}]", c=f"next: [{{{SET}}}]"), "a -> b"),
        (tasks(a=f"next: [{{{SET}}}]", b="next: [{publish: 'y=<% ctx(x) %>'}]"), "b"),
        (tasks(a=f"next: [{{{SET}}}]", b="action: ops.check, retry: {count: 1, when: <% ctx(x) = 1 %>}"), "b"),
        (tasks(a=f"next: [{{{SET}}}]", b="delay: <% ctx(x) %>, action: ops.check"), "b"),
        (tasks(a=f"next: [{{{SET}}}]", b="with: <% ctx(x) %>, action: ops.check"), "b"),
    ],
    ids=["one branch", "one of two ways", "condition", "published", "retry", "delay", "items"],
)
def test_a_way_on_which_nothing_sets_it_is_named(text: str, way: str) -> None:
    (finding,) = found(text)
    assert finding.code == "unknown-variable"
    assert (
        finding.message.replace("__delay", "")
        == f"the variable 'x' is read here, and on the way {way} nothing has set it"
    )
    assert "ctx(x)" in workflow(text).splitlines()[finding.span.line - 1][finding.span.column - 1 :]


@pytest.mark.parametrize(
    "text",
    [
        tasks(a=f"next: [{{{SET}, do: b}}]", b="next: [{do: c}]", c=READS),
        tasks(a="next: [{do: c}]", b=f"next: [{{{SET}, do: c}}]", c=f"join: all, {READS}"),
        tasks(a="next: [{publish: 'x=1 y=<% ctx(x) %>', do: b}]", b=READS),
        tasks(a=f"next: [{{{SET}, do: b}}]", b=f"{READS}, next: [{{when: <% ctx(x) < 3 %>, do: b}}]"),
        tasks(a=f"next: [{{{SET}}}]", b="action: 'ops.check n=<% ctx().get(x, 1) %>'"),
        tasks(a=f"next: [{{{SET}}}]", b="action: 'ops.check n={{ ctx().x | default(1) }}'"),
        "vars: [x]\n" + tasks(a=READS, b=f"next: [{{{SET}}}]"),
        tasks(a=f"next: [{{{SET}}}]") + "output: [{x: <% ctx(x) %>}]\n",
    ],
    ids=["before", "join", "own entry", "cycle", "get", "default", "declared", "output"],
)
def test_what_is_set_on_every_way_or_asked_for_with_care_is_right(text: str) -> None:
    assert found(text) == ()
