"""Looking at executions."""

from __future__ import annotations

from tests.api.conftest import Server


async def test_an_empty_store_lists_no_executions(server: Server) -> None:
    answer = await server.get("/api/v1/executions")
    assert answer.status_code == 200
    assert answer.json() == {"items": [], "next": None}


async def test_a_limit_out_of_range_is_a_problem_that_names_it(server: Server) -> None:
    answer = await server.get("/api/v1/executions", params={"limit": 0})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["parameter"] == "limit"
