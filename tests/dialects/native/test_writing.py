"""A native document written from the model means the same as the one it was read from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.spans import Source
from stepwell.dialects.loading import load
from stepwell.dialects.native.writing import document_of
from stepwell.dialects.writing import as_text, write
from tests.dialects.meaning import definition_of, meaning

ROOT = Path(__file__).parents[3]

EVERYTHING = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: everything, version: "1.2.3", description: All keys, tags: [a, b]}
spec:
  config:
    timeout: 30m
    deadline: 7d
    retry_policy: {max_attempts: 3, backoff: linear, initial_delay: 5s, max_delay: 5m, multiplier: 3, jitter: 0.1}
    max_parallel_steps: 10
    failure_mode: drain
    concurrency: {key: "{{ input.customer }}", limit: 2, on_limit: reject}
    cancellation: {policy: cancel_running, compensate: true}
    on_error: {strategy: compensate, steps: [{name: told, type: noop, when: "{{ error.type == 'x' }}"}]}
    policies:
      slow: {rate_limit: {limit: 5, per: 1s, key: "{{ input.customer }}"}}
      tight: {bulkhead: {max_concurrent: 2, fallback: {v: 1}}}
    strict_failures: true
    enabled: false
  input: {schema: {type: object, properties: {customer: {type: string}}}}
  vars: {count: 0, items: [1, 2]}
  triggers:
    - schedule: {every: 5m, jitter: 10s}
    - event: "ticket:*"
      filter: {priority: high}
      map: {customer: "{{ event.data.id }}"}
      dedupe_key: "{{ event.id }}"
    - {schedule: {cron: "0 9 * * mon-fri", timezone: Europe/Berlin, catch_up: one}}
  steps:
    - name: first
      type: http
      description: The first one
      config: {url: "http://127.0.0.1/{{ input.customer }}", method: POST, body: {n: 1e3, text: "1e5", on: "yes"}}
      output: {id: "{{ response.id }}"}
      publish: {count: "{{ vars.count + 1 }}"}
      retry: {max_attempts: 2, retry_on: [timeout], give_up_on: [http_error], when: "{{ attempt < 2 }}"}
      timeout: 90s
      delay: 500ms
      compensate: {type: http, config: {url: "http://127.0.0.1/undo"}, when: "{{ steps.first.completed }}", timeout: 5s}
      circuit_breaker: {threshold: 2, call_timeout: 3s}
      bulkhead: tight
      rate_limit: slow
      checkpoint: begun
      mutex: {key: "lock-{{ input.customer }}", timeout: 1m}
      next:
        - {when: "{{ failed() }}", to: [rescue], publish: {items: []}, delay: 2s}
        - {to: [choice, both]}
      on_timeout: rescue
    - {name: rescue, type: noop, join: any, max_visits: 3}
    - name: choice
      type: noop
      decision: [{when: "{{ vars.count > 1 }}", next: left}, {default: true, next: right}]
    - {name: left, type: fail, config: {message: "no {{ '{{' }}"}, on_failure: {action: continue, message: went left}}
    - {name: right, type: wait, config: {for: 1m}, cancels: [both]}
    - name: both
      type: parallel_group
      config:
        wait_for: 1
        fail_fast: true
        steps:
          - {name: one, type: noop}
          - {name: two, type: noop, depends_on: [{step: one, on: complete}]}
    - name: cased
      type: conditional
      depends_on: [both, {step: right, on: success}]
      join: all
      config:
        cases: [{when: "{{ vars.count == 1 }}", steps: [{name: in_case, type: noop}]}]
        default: [{name: in_default, type: set, publish: {count: 9}}]
    - name: round
      type: loop
      depends_on: [cased]
      config: {items: "{{ vars.items }}", as: number, concurrency: 2, steps: [{name: inside, type: noop}]}
    - name: each
      type: noop
      depends_on: [round]
      for_each: {items: [1, 2], as: it, batch_size: 1, concurrency: 3, when: "{{ it > 1 }}", on_error: continue}
    - name: again
      type: noop
      depends_on: [each]
      repeat: {until: "{{ vars.count > 0 }}", max_iterations: 5, delay: 1s}
      milestone: {after: [each], before: [machine]}
    - name: machine
      type: state_machine
      depends_on: [again]
      on_failure: {action: fallback, fallback: {type: transform, config: {value: 3}}}
      config:
        initial: open
        states:
          open:
            on_enter: [{name: entered, type: noop}]
            transitions: [{event: close, when: "{{ event.data.x }}", to: shut, actions: [{name: acted, type: noop}]}]
          shut: {final: true}
    - {name: ask, type: approval, depends_on: [machine], config: {prompt: Well?, assigned_to: [ann]}, parallel: false}
  compensation:
    strategy: forward
    mode: manual
    timeout: 5m
    steps: [{name: undo, type: noop, when: "{{ steps.first.completed }}"}]
  output: {schema: {type: object}, values: {count: "{{ vars.count }}"}}
"""


def _written_again(text: str) -> Any:
    document = document_of(definition_of(text))
    return meaning(definition_of(json.dumps(document), "again.json"))


def test_a_document_with_everything_means_the_same_when_written() -> None:
    assert _written_again(EVERYTHING) == meaning(definition_of(EVERYTHING))


def _workflows() -> list[Path]:
    """The examples that are workflows by themselves, and not configurations or parts of packs."""
    paths = sorted(ROOT.glob("examples/**/*.yaml"))
    return [path for path in paths if load(Source(str(path), path.read_text())).definition is not None]


@pytest.mark.parametrize("path", _workflows(), ids=lambda path: path.name)
def test_every_example_means_the_same_when_written(path: Path) -> None:
    definition = definition_of(path.read_text(), str(path))
    assert meaning(definition_of(json.dumps(document_of(definition)), "again.json")) == meaning(definition)


def test_untouched_it_is_the_same_to_the_byte() -> None:
    text = "# a comment\n" + EVERYTHING
    assert write(definition_of(text), "native").text == text


def test_the_other_notation_means_the_same() -> None:
    written = write(definition_of(EVERYTHING), "native", "json")
    assert meaning(definition_of(written.text, "again.json")) == meaning(definition_of(EVERYTHING))
    assert written.unsaid == []


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs"))),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(_VALUES)
@pytest.mark.parametrize("notation", ["yaml", "json"])
def test_what_is_written_is_read_as_it_was(notation: Any, value: Any) -> None:
    from stepwell.definition.findings import Findings
    from stepwell.definition.parsing import read_tree

    source = Source(f"test.{notation}", as_text({"value": value}, notation))
    findings = Findings(source)
    tree = read_tree(source, findings)
    assert tree is not None, findings.sorted()
    assert tree.value == {"value": value}
