"""What the configuration says about work that is done elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from stepwell import WorkflowEngine
from stepwell.app.configuration import configuration_from, load_configuration, with_nats
from stepwell.app.remote_work import nats_options
from stepwell.base.errors import ConfigurationError
from tests.conformance.dispatcher import KnownSecrets

SECRETS = KnownSecrets({"NATS_PASSWORD": "pass-word-1"})


def options(**nats: Any) -> Any:
    section = configuration_from({"nats": {"url": "nats://x:4222", **nats}}).nats
    assert section is not None
    return nats_options(section, SECRETS)


def test_secrets_are_looked_up_and_never_shown() -> None:
    found = options(url="tls://me:{{ secrets.NATS_PASSWORD }}@x:4222", password="{{ secrets.NATS_PASSWORD }}")
    assert (found.urls, found.password) == (["tls://me:pass-word-1@x:4222"], "pass-word-1")
    assert found.where == "tls://***@x:4222"


@pytest.mark.parametrize("url", ["nats://{{ secrets.NOPE }}@x", "nats://{{ input.x }}@x", "nats://{{ @x"])
def test_a_secret_that_is_not_there_is_an_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"nats\.url"):
        options(url=url)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"nats": {"url": "http://u:pass-word-1@x"}}, "nats.url.0: expected the URL of a NATS server"),
        ({"nats": {"url": []}}, "nats.url"),
        ({"nats": {"password": "pass-word-1"}}, "nats.url: field required"),
        ({"nats": {"url": "nats://x", "prefix": "a b"}}, "nats.prefix"),
        ({"nats": {"url": "nats://x", "outstanding": 0}}, "nats.outstanding"),
        ({"nats": {"url": "nats://x", "pasword": "pass-word-1"}}, "did you mean 'password'?"),
        ({"compute": {"dask": "pass-word-1"}}, "compute.dask.scheduler: expected the address of a Dask scheduler"),
        ({"compute": {"dask": {"scheduler": "tcp://x:1", "queue": ""}}}, "compute.dask.queue"),
        ({"compute": {"ray": "x"}}, "unknown key 'compute.ray'"),
    ],
)
def test_what_makes_no_sense_is_refused_without_showing_what_may_be_secret(written: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        configuration_from(written)
    assert said in str(raised.value)
    assert "pass-word-1" not in str(raised.value)


def test_the_environment_says_where_nats_is_and_the_file_the_rest(tmp_path: Path) -> None:
    (tmp_path / "stepwell.yaml").write_text("nats: {url: nats://file, prefix: mine}\n")
    found = load_configuration(environment={"STEPWELL_NATS": "nats://environment"}, folder=tmp_path).nats
    assert found is not None
    assert (found.url, found.prefix) == (["nats://environment"], "mine")
    given = with_nats(load_configuration(environment={}, folder=tmp_path), "nats://flag", where="--nats").nats
    assert given is not None
    assert (given.url, given.prefix) == (["nats://flag"], "mine")


@pytest.mark.parametrize(
    ("settings", "module", "extra"),
    [
        ({"nats": {"url": "nats://127.0.0.1:1"}}, "nats.aio.client", "nats"),
        ({"compute": {"dask": "tcp://127.0.0.1:1"}}, "distributed", "dask"),
    ],
)
async def test_a_missing_library_is_told_when_the_engine_is_opened(
    settings: dict[str, Any], module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError) as raised:
        async with WorkflowEngine({"state_store": {"type": "memory"}, **settings}):
            pass
    assert raised.value.code == "missing-library"
    assert raised.value.hint == f"pip install 'stepwell[{extra}]'"


WORKFLOW = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: places, version: "1.0.0"}
spec:
  steps:
    - {name: here, type: transform, queue: nobody, config: {value: 5}}
  output: {values: {here: "{{ steps.here.output }}"}}
"""


async def test_without_a_way_to_workers_an_engine_does_all_steps_itself() -> None:
    async with WorkflowEngine({"state_store": {"type": "memory"}}) as engine:
        result = await engine.execute_workflow(WORKFLOW)
    assert result["output"] == {"here": 5}
