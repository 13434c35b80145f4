"""Workflows of Orquesta at work: in which order tasks run, what they are given, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.execution.verbs import Rerun, Retry
from tests.dialects.orquesta.conducting import BUILT_IN, Conducted, boom, workflow
from tests.dialects.orquesta.documents import CYCLE, DEPLOY, FORKS, MIXED
from tests.dialects.task_graph.running import a_place, fails, gives

BY: dict[str, Any] = {"by": "ada", "reason": "why"}


def chain(*edges: str, **joins: str) -> str:
    """Tasks and the ways between them: `a>b` however it ended, `a+b` when it succeeded, `a-b` when it failed."""
    tasks: dict[str, list[str]] = {}
    for edge in edges:
        sign = next(each for each in ">+-" if each in edge)
        source, target = edge.split(sign)
        tasks.setdefault(target, [])
        when = {">": "", "+": "when: <% succeeded() %>, ", "-": "when: <% failed() %>, "}[sign]
        tasks.setdefault(source, []).append(f"{{{when}do: {target}}}")
    lines = ["tasks:"]
    for name, ways in tasks.items():
        if name in ("fail", "noop", "continue", "retry"):
            continue
        join = f"join: {joins[name]}, " if name in joins else ""
        lines.append(f"  {name}: {{{join}action: ops.check, next: [{', '.join(ways)}]}}")
    return "\n".join(lines)


def test_a_workflow_runs_from_its_inputs_to_its_output() -> None:
    story = Conducted(DEPLOY, {"prepare": [{"ready": True}], "build": ["one", "two"]}, {"hosts": ["x", "y"]})
    assert story.status == "completed"
    assert story.tasks == ["prepare", "notify", "build", "build"]
    assert story.given_to("build[0]") == {"host": "x", "tag": "eu-1/0"}
    assert story.given_to("notify") == {"message": "ready 1"}
    assert story.output == {"built": ["one", "two"], "said": "ready 1"}
    assert story.seconds == 1


def test_a_retry_tries_again_on_failures_and_on_results() -> None:
    story = Conducted(DEPLOY, {"prepare": [boom(), {"ready": False}, {"ready": True}]}, {"hosts": ["x"]})
    assert story.tasks.count("prepare") == 3
    assert story.status == "completed"
    assert story.seconds == 11


def test_what_is_said_beside_fail_still_begins_and_the_output_is_there() -> None:
    story = Conducted(DEPLOY.replace("<% ctx().built %>", "none"), {"prepare": [boom()] * 3}, {"hosts": []})
    assert story.tasks == ["prepare"] * 3 + ["apologise"]
    assert (story.status, story.output) == ("failed", {"built": "none", "said": "not ready"})
    assert "task 'prepare' fails the workflow" in story.error.message


def test_a_task_without_join_runs_for_every_way_that_leads_to_it_and_so_does_what_follows() -> None:
    story = Conducted(FORKS)
    assert sorted(story.ran) == sorted(
        ["start", "left", "right", "both", "both#2", "one", "one#2", "two", "two#2", "end", "end#2"]
    )
    assert [story.given_to(key) for key in ("both", "both#2", "end", "end#2")] == [
        {"by": "left"}, {"by": "right"}, {"by": "left"}, {"by": "right"},
    ]  # fmt: skip


def test_a_cycle_runs_until_a_way_leads_out() -> None:
    story = Conducted(CYCLE, {"ask": ["more", "more", "done"]})
    assert story.tasks == ["ask", "ask", "ask", "tell"]
    assert story.output == {"n": 2}


def test_a_cycle_that_never_ends_is_stopped() -> None:
    endless = CYCLE.replace("result() = more", "true").replace("result() != more", "false")
    story = Conducted(endless, replays=False)  # a thousand times, a longer and longer history
    assert story.status == "failed"
    assert story.error.type == "max_visits"
    assert story.tasks.count("ask") == 1_000


@pytest.mark.parametrize(
    ("edges", "joins", "failing", "tasks", "status"),
    [
        # a failure is dealt with by a way to a task or to noop, and by nothing else
        (["a+b", "a-c"], {}, "a", "ac", "completed"),
        (["a+b", "a-noop"], {}, "a", "a", "completed"),
        (["a+b", "a-continue"], {}, "a", "a", "failed"),
        (["a+b"], {}, "a", "a", "failed"),
        (["a>b"], {}, "a", "ab", "completed"),
        (["a-b", "b>fail"], {}, "a", "ab", "failed"),
        (["a+fail", "a+b"], {}, "", "ab", "failed"),
        # nothing new starts after a failure that nothing deals with; what runs may end
        (["a+b", "c+d", "d+e"], {}, "a", "ac", "failed"),
        # joins count tasks: all of them, or so many
        (["s>a", "s>b", "a+j", "b+j"], {"j": "all"}, "", "sabj", "completed"),
        (["s>a", "s>b", "a>j", "b>j"], {"j": "all"}, "b", "sabj", "completed"),
        (["s>a", "s>b", "a-j", "b-j"], {"j": "all"}, "a", "sab", "failed"),
        (["s>a", "s>b", "a-j", "b-j"], {"j": "all"}, "", "sab", "completed"),
        (["s>a", "s>b", "a+j", "a>j", "b+j", "b>j"], {"j": "all"}, "a", "sabj", "completed"),
        (["s>a", "s>b", "s>c", "a>j", "b>j", "c>j"], {"j": "2"}, "", "sabcj", "completed"),
        (["s>a", "s>b", "s>c", "a+j", "a-noop", "b+j", "c+j"], {"j": "2"}, "a", "sabcj", "completed"),
        (["s>a", "s>b", "s>c", "a+j", "a-noop", "b+j", "b-noop", "c+j"], {"j": "2"}, "ab", "sabc", "failed"),
    ],
)
def test_how_it_goes_on_and_ends(
    edges: list[str], joins: dict[str, str], failing: str, tasks: str, status: str
) -> None:
    story = Conducted(chain(*edges, **joins), {name: [boom()] for name in failing})
    assert sorted(story.tasks) == sorted(tasks)
    assert story.status == status


@pytest.mark.parametrize(("failures", "status"), [(3, "completed"), (4, "failed")])
def test_the_command_retry_tries_three_times_more(failures: int, status: str) -> None:
    story = Conducted(chain("a-retry", "a+b"), {"a": [boom()] * failures})
    assert story.status == status
    assert story.tasks.count("a") == 4


def test_what_a_failed_task_gave_can_be_read() -> None:
    story = Conducted(
        "tasks: {a: {action: ops.check, next: [{when: <% failed() %>, publish: 'e=<% result().stderr %>'}]}}\n"
        "output: [{e: <% ctx(e) %>}]",
        {"a": [boom(stderr="rust")]},
    )
    assert (story.status, story.output) == ("failed", {"e": "rust"})


def test_what_a_built_in_action_gives_can_be_read_behind_it() -> None:
    text = """
        vars: [out, err]
        tasks:
          a:
            action: core.echo message="hi"
            next:
              - when: <% succeeded() and result().stdout = hi %>
                publish: out=<% result().stdout %>
                do: b
          b:
            action: core.echo message=<% ctx(out) %>
            next:
              - publish: err=<% task(a).result.return_code %>
        output: [{out: <% ctx(out) %>}, {err: <% ctx(err) %>}]
    """
    story = Conducted(text, {"a": ["hi"]}, known=BUILT_IN)
    assert (story.status, story.output) == ("completed", {"out": "hi", "err": 0})


def test_of_items_that_failed_the_result_has_what_they_gave() -> None:
    text = """
        tasks:
          a:
            with: <% list(1, 2, 3) %>
            action: ops.check
            next:
              - publish: all=<% result() %>
                do: noop
        output:
          - all: <% ctx().all %>
    """
    assert Conducted(text, {"a": ["x", boom(why="no"), "z"]}).output == {"all": ["x", {"why": "no"}, "z"]}
    assert Conducted(text, {"a": ["x", "y", "z"]}).output == {"all": ["x", "y", "z"]}
    assert Conducted(text.replace("list(1, 2, 3)", "list()")).output == {"all": []}


@pytest.mark.parametrize(
    "published", ["{publish: v=1, do: b}, {publish: n=1}", "{publish: n=1}, {publish: v=1, do: b}"]
)
def test_what_is_published_along_a_way_that_leads_nowhere_is_in_the_output(published: str) -> None:
    text = f"""
        vars: [{{v: 0}}, {{n: 0}}]
        tasks: {{a: {{next: [{published}]}}, b: {{action: ops.tell n=<% ctx(n) %>}}}}
        output: [{{v: <% ctx(v) %>}}, {{n: <% ctx(n) %>}}]
    """
    story = Conducted(text)
    assert story.output == {"v": 1, "n": 1}
    assert story.given_to("b") == {"n": 0}


def test_items_that_are_no_list_fail_the_task() -> None:
    story = Conducted("vars: [{x: text}]\ntasks: {a: {with: <% ctx(x) %>, action: ops.check}}")
    assert story.status == "failed"
    assert "a" in story.statuses


def test_a_computed_delay_and_a_computed_action() -> None:
    story = Conducted(MIXED, {"any": [{"x": 1}]}, {"wait": 7, "params": {"name": "ada"}})
    assert story.seconds == 7
    assert story.step("any").input == {"task": "ops.tell", "args": {"name": "ada"}}
    assert story.of("late") == "completed"


# Reruns


def test_a_retry_runs_the_failed_tasks_again_and_goes_on_behind_them() -> None:
    story = Conducted(chain("a+b", "b+c", "x+y", "y+z"), {"b": [boom()]})
    assert (story.tasks, story.status) == (["a", "x", "b", "y"], "failed")
    story.take(Retry(**BY))
    story.again({"b": [boom()]})
    assert (story.tasks[4:], story.status) == (["b", "z"], "failed")
    story.take(Rerun(step="b", **BY))
    assert (story.again().tasks[6:], story.status) == (["b", "c"], "completed")


def test_a_retry_before_a_join_meets_what_had_come_there() -> None:
    story = Conducted(chain("s>a", "s>b", "a+j", "b+j", "j>k", j="all"), {"a": [boom()]})
    assert story.tasks == ["s", "a", "b"]
    story.take(Retry(**BY))
    assert (story.again().tasks[3:], story.status) == (["a", "j", "k"], "completed")


def test_a_retry_in_one_lane_leaves_the_other_alone() -> None:
    story = Conducted(FORKS, {"one": [None, boom()]})
    assert (story.status, story.tasks.count("end")) == ("failed", 1)
    story.take(Retry(**BY))
    story.again()
    assert (story.status, story.tasks.count("one"), story.tasks.count("end")) == ("completed", 3, 2)
    assert story.given_to("end#2") == {"by": "right"}


# The real engine


async def test_the_engine_runs_it_with_tasks_in_python() -> None:
    async with a_place(
        {"ops.check": gives({"ready": True}), "ops.build": gives("ok"), "ops.tell": gives(None)}
    ) as place:
        report = await place.run(DEPLOY, {"hosts": ["x", "y", "z"]})
    assert report["status"] == "completed"
    assert report["output"] == {"built": ["ok"] * 3, "said": "ready 1"}


async def test_the_output_of_a_failed_execution_is_reported() -> None:
    text = workflow("""
        vars: [{said: nothing}]
        tasks:
          a:
            action: ops.check
            next:
              - when: <% failed() %>
                publish: said=<% result().message %>
        output:
          - said: <% ctx().said %>
    """)
    async with a_place({"ops.check": fails("it broke")}) as place:
        report = await place.run(text)
    assert (report["status"], report["output"]) == ("failed", {"said": "it broke"})
