"""Workflows of Orquesta that several tests look at."""

from __future__ import annotations

from typing import Final

DEPLOY: Final = """\
version: 1.0
description: Builds on every host, and tells how it went.
input:
  - hosts
  - region: eu
  - label: <% ctx(region) + '-1' %>
vars:
  - tries: 0
  - said: null
tasks:
  prepare:
    action: ops.check region=<% ctx().region %> strict=true
    retry:
      when: <% failed() or result().ready = false %>
      count: 2
      delay: 5
    next:
      - when: <% succeeded() and result().ready %>
        publish:
          - tries: <% ctx().tries + 1 %>
          - said: ready <% ctx().tries %>
        do: build, notify
      - when: <% failed() %>
        publish: said="not ready"
        do:
          - apologise
          - fail
  build:
    delay: 1
    with:
      items: host, number in <% zip(ctx(hosts), range(len(ctx(hosts)))) %>
      concurrency: 2
    action: ops.build
    input:
      host: <% item(host) %>
      tag: <% ctx().label %>/<% item(number) %>
    next:
      - when: <% completed() %>
        publish: built=<% result() %>
        do: done
  notify:
    action: ops.tell message=<% ctx().said %>
    next:
      - do: done
  apologise:
    action: ops.tell message=<% ctx().said %>
  done:
    join: all
output:
  - built: <% ctx().built %>
  - said: <% ctx(said) %>
"""

FORKS: Final = """\
version: 1.0
vars:
  - by: nobody
tasks:
  start:
    action: ops.check
    next:
      - do: left, right
  left:
    action: ops.check
    next:
      - publish: by=left
        do: both
  right:
    action: ops.check
    next:
      - publish: by=right
        do: both
  both:
    action: ops.tell by=<% ctx(by) %>
    next:
      - do: one, two
  one:
    action: ops.check
    next:
      - when: <% succeeded() %>
        do: end
  two:
    action: ops.check
    next:
      - when: <% succeeded() %>
        do: end
  end:
    join: all
    action: ops.tell by=<% ctx(by) %>
"""

CYCLE: Final = """\
version: 1.0
vars:
  - n: 0
tasks:
  begin:
    next:
      - do: ask
  ask:
    action: ops.check n=<% ctx().n %>
    next:
      - when: <% succeeded() and result() = more %>
        publish: n=<% ctx().n + 1 %>
        do: ask
      - when: <% succeeded() and result() != more %>
        do: tell
  tell:
    action: ops.tell
output:
  - n: <% ctx().n %>
"""

MIXED: Final = """\
version: 1.0
input:
  - action: ops.tell
  - wait: 3
  - params: {}
tasks:
  any:
    action: <% ctx(action) %>
    input: <% ctx().params %>
    next:
      - when: "{{ result() is not none and ctx().wait > 1 }}"
        publish:
          - text: "{{ ctx().params.name | default('x') | upper }}"
        do: late
      - when: <% failed() %>
        do: noop
      - when: <% result() = 7 %>
        do: retry
  late:
    delay: <% ctx().wait %>
    action: stepwell.transform value=<% ctx(text) %>
    next:
      - when: <% task_status(any) = succeeded %>
        publish:
          - all: <% dict(a => result(), b => switch(ctx().wait > 2 => long, true => short)) %>
          - rest: "braces {{ '{{' }} stay"
        do: sub
      - do: continue
  sub:
    action: ops.deploy
    input:
      name: <% ctx().all.a %>
"""

ALL: Final = {"deploy": DEPLOY, "forks": FORKS, "cycle": CYCLE, "mixed": MIXED}
