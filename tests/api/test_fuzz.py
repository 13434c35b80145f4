"""Requests made from the description of the API, good and bad: no defect, and nothing that is not described."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.api.documents import API, ASKING, YAML, workflow
from tests.api.processes import serving

HERE = Path(__file__).parent
FAILING = workflow(
    "failing", steps="- {name: one, type: http, retry: {max_attempts: 1}, config: {url: 'http://127.0.0.1:9/'}}"
)
PICKY = workflow("picky", more="  triggers: [{event: paid}]\n  input: {schema: {required: [n]}}\n")
EXAMPLES = 2
"""Of each operation, good and bad. More of them, and all phases: `FUZZ_EXAMPLES=100 pytest tests/api/test_fuzz.py`."""
PHASES = "examples,fuzzing"
ALL_PHASES = "examples,coverage,fuzzing,stateful"


def made(client: httpx.Client) -> dict[str, dict[str, Any]]:
    """Make one of everything. Their ids, as `fuzz_hooks.KNOWN` has them."""

    def post(path: str, document: Any) -> Any:
        answer = client.post(API + path, json=document)
        answer.raise_for_status()
        return answer.json()

    client.put(f"{API}/secrets/FUZZED", json={"value": "hunter22"}).raise_for_status()
    texts = (ASKING, ASKING.replace("1.0.0", "2.0.0"), FAILING, PICKY)
    for text in texts:
        client.post(f"{API}/workflows", content=text, headers=YAML).raise_for_status()
    asking = post("/workflows/asking/executions", {"version": "1.0.0"})["execution_id"]
    post("/workflows/failing/executions?wait=10s", {})
    (letter,) = client.get(f"{API}/dead-letters").json()["items"]
    post("/events", {"specversion": "1.0", "id": "1", "source": "s", "type": "paid", "data": {}})  # a dead letter, too
    post("/schedules", {"id": "fuzzed", "workflow": "asking", "cron": "0 0 1 1 *"})
    post("/subscriptions", {"id": "fuzzed", "url": "http://127.0.0.1:9/", "active": False})
    post("/alerts", {"name": "fuzzed", "metric": "error_rate", "op": ">", "threshold": 50})
    client.put(f"{API}/services/fuzzed", json={"url": "http://127.0.0.1:9/"}).raise_for_status()
    other = post("/api-keys", {"name": "other", "role": "viewer"})
    return {
        "executions": {"execution_id": asking},
        "approvals": {"execution_id": asking, "step": "approve"},
        "dead-letters": {"execution_id": letter["execution_id"], "step": letter["step"], "seq": letter["seq"]},
        "workflows": {"name": "asking", "version": "1.0.0"},
        "analytics": {"name": "asking"},
        "schedules": {"id": "fuzzed"},
        "subscriptions": {"id": "fuzzed", "message": f"msg_{asking}_1"},
        "alerts": {"name": "fuzzed"},
        "services": {"name": "fuzzed"},
        "policies": {"name": "fuzzed"},
        "secrets": {"name": "FUZZED"},
        "api-keys": {"id": other["id"]},
    }


def test_no_request_finds_a_defect(tmp_path: Path) -> None:
    limits = {"failures": {"limit": 10**6, "per": "1s"}, "requests": {"limit": 10**6, "per": "1s"}}
    configuration = tmp_path / "stepwell.yaml"
    configuration.write_text(json.dumps({"security": {"rate_limits": limits}}), "utf-8")
    with serving(tmp_path, "--store", "sqlite:x.db") as server:
        with httpx.Client(base_url=server.url) as client:
            key = client.post(f"{API}/api-keys", json={"name": "fuzz", "role": "admin"}).json()
            client.headers["Authorization"] = f"Bearer {key['token']}"
            known = made(client)
        examples = os.environ.get("FUZZ_EXAMPLES", str(EXAMPLES))
        phases = ALL_PHASES if "FUZZ_EXAMPLES" in os.environ else PHASES
        command: list[str | Path] = [
            Path(sys.executable).with_name("schemathesis"),
            "--config-file",
            str(HERE / "schemathesis.toml"),
            *("run", f"{server.url}/openapi.json", "--checks", "all", "--seed", "1", "--phases", phases),
            *("--max-examples", examples, "--request-timeout", "30", "--no-color"),
            *("--header", f"Authorization: Bearer {key['token']}"),
        ]
        hooks = {"SCHEMATHESIS_HOOKS": "tests.api.fuzz_hooks", "PYTHONPATH": str(HERE.parents[1])}
        environment = {**os.environ, **hooks, "FUZZED": json.dumps(known)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=3_000)
        server.stop()
    assert done.returncode == 0, "\n".join((done.stdout[-20_000:], done.stderr, *server.said[-200:]))
    assert not [line for line in server.said if "Traceback" in line or "Exception" in line]
