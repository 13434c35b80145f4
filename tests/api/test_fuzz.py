"""Requests made from the description of the API, good and bad: no defect, and nothing that is not described."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx

from tests.api.documents import API, ASKING, YAML
from tests.api.processes import serving

HERE = Path(__file__).parent
EXAMPLES = 2
"""Of each operation, good and bad. More of them: `FUZZ_EXAMPLES=100 pytest tests/api/test_fuzz.py`."""


def test_no_request_finds_a_defect(tmp_path: Path) -> None:
    limits = {"failures": {"limit": 10**6, "per": "1s"}, "requests": {"limit": 10**6, "per": "1s"}}
    configuration = tmp_path / "stepwell.yaml"
    configuration.write_text(json.dumps({"security": {"rate_limits": limits}}), "utf-8")
    with serving(tmp_path, "--store", "sqlite:x.db") as server:
        with httpx.Client(base_url=server.url) as client:
            client.post(f"{API}/workflows", content=ASKING, headers=YAML).raise_for_status()
            execution = client.post(f"{API}/workflows/asking/executions", json={}).json()["execution_id"]
            key = client.post(f"{API}/api-keys", json={"name": "fuzz", "role": "admin"}).json()
        examples = os.environ.get("FUZZ_EXAMPLES", str(EXAMPLES))
        command: list[str | Path] = [
            Path(sys.executable).with_name("schemathesis"),
            "--config-file",
            str(HERE / "schemathesis.toml"),
            *("run", f"{server.url}/openapi.json", "--checks", "all", "--seed", "1", "--phases", "examples,fuzzing"),
            *("--max-examples", examples, "--request-timeout", "30", "--no-color"),
            *("--header", f"Authorization: Bearer {key['token']}"),
        ]
        hooks = {"SCHEMATHESIS_HOOKS": "tests.api.fuzz_hooks", "PYTHONPATH": str(HERE.parents[1])}
        known = {"FUZZED_EXECUTION": execution, "FUZZED_WORKFLOW": "asking"}
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **hooks, **known}, capture_output=True, text=True, timeout=3_000
        )
        server.stop()
    assert done.returncode == 0, "\n".join((done.stdout[-20_000:], done.stderr, *server.said[-200:]))
    assert not [line for line in server.said if "Traceback" in line or "Exception" in line]
