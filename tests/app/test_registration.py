"""The registration of a user in all its outcomes, as a Python program runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stepwell import WorkflowEngine, WorkflowHandle, WorkflowStatus
from stepwell.base.errors import InvalidInput
from tests.examples.stubs import Answer, Reply, Request, Stubs, stubs
from tests.examples.test_foreign_registration import ADMITTED, DEFINITION, GIVEN, PASSWORD, broken, fine, members

CONFIRMED = "member.confirmed"


@asynccontextmanager
async def signup(
    *, wait: str = "24h", given: dict[str, Any] | None = None, **services: Answer
) -> AsyncIterator[tuple[WorkflowEngine, WorkflowHandle, Stubs]]:
    """A registration that has begun, against services that answer well unless others are given."""
    answers: dict[str, Answer] = {"members": members, "pages": fine, "mail": fine, **services}
    with stubs(lambda request: answers[request.service](request)) as running:
        config = {
            "state_store": {"type": "memory"},
            "execution": {"max_concurrent_tasks": 10, "default_timeout": "30m"},
            "events": {"kafka_servers": ["127.0.0.1:9092"], "group_id": "workflow-engine"},
            "services": {name: {"url": f"{running.url}/{name}"} for name in answers},
        }
        async with WorkflowEngine(config) as engine:
            execution_id = await engine.start_workflow(DEFINITION.replace("WAIT", wait), given or GIVEN)
            yield engine, engine.handle(execution_id), running


async def until(handle: WorkflowHandle, type_: str, step: str) -> None:
    """Wait until this has happened to the step."""
    async for event in handle.events():
        if (event.type, event.step) == (f"stepwell.step.{type_}.v1", step):
            return
    raise AssertionError(f"{step} never was {type_}")


async def confirm(engine: WorkflowEngine, user: str = "m-1") -> None:
    await engine.publish_event(CONFIRMED, {"user_id": user})


def removals(services: Stubs) -> list[str]:
    return [line for line in services.lines if "DELETE" in line]


async def test_a_member_who_confirms_is_admitted() -> None:
    async with signup() as (engine, handle, services):
        await until(handle, "waiting", "confirmed")
        status = await engine.get_workflow_status(handle.id)
        assert (status.status, status.output_data, status.completed_at) == (WorkflowStatus.RUNNING, None, None)
        await confirm(engine, "somebody else")
        await confirm(engine)
        await handle.result()
        status = await engine.get_workflow_status(handle.id)
        assert (status.status, status.error_message) == (WorkflowStatus.COMPLETED, None)
        assert status.output_data == {"user_id": "m-1", **ADMITTED}
        assert services.lines[-1] == "members PUT /v1/members/m-1/admit"
        assert PASSWORD not in str(status.report)


async def test_a_member_who_confirms_before_the_wait_begins_is_admitted() -> None:
    async with signup() as (engine, handle, _):
        await confirm(engine)
        assert (await handle.result())["status"] == "completed"


async def test_a_name_that_is_taken_ends_it_with_the_message_of_the_step() -> None:
    async with signup(members=lambda request: (200, {"valid": False})) as (engine, handle, services):
        await handle.result()
        status = await engine.get_workflow_status(handle.id)
        assert (status.status, status.error_message) == (WorkflowStatus.FAILED, "Signup refused")
        assert all("validations" in line for line in services.lines)


async def test_input_that_does_not_fit_starts_nothing() -> None:
    wrong = {"login": "ab", "mail": "nobody", "password": "short"}
    with pytest.raises(InvalidInput) as caught:
        async with signup(given=wrong):
            pass
    assert {path.strip("/$.") for path, _ in caught.value.problems} == {"login", "mail", "password"}


def failing(times: int, then: Answer, line: str) -> Callable[[Request], Reply]:
    """A service that is out of order the first times that it is asked for this."""
    left = times

    def answer(request: Request) -> Reply:
        nonlocal left
        if f"{request.method} {request.path}" == line and left:
            left -= 1
            return broken(request)
        return then(request)

    return answer


async def test_a_service_that_recovers_is_asked_again() -> None:
    async with signup(members=failing(2, members, "POST /v1/members")) as (engine, handle, services):
        await confirm(engine)
        report = await handle.result()
        assert report["status"] == "completed"
        step = next(step for step in report["steps"] if step["name"] == "add_member")
        assert (step["attempts"], len(services.of("members POST /v1/members"))) == (3, 3)


async def test_after_the_third_try_it_has_failed_and_nothing_is_removed() -> None:
    async with signup(members=failing(3, members, "POST /v1/members")) as (_, handle, services):
        report = await handle.result()
        assert (report["status"], report["failed_steps"]) == ("failed", ["add_member"])
        assert (len(services.of("members POST /v1/members")), removals(services)) == (3, [])


async def test_a_mail_that_cannot_be_sent_stops_nothing() -> None:
    async with signup(mail=broken) as (engine, handle, _):
        await confirm(engine)
        report = await handle.result()
        assert (report["status"], report["failed_steps"]) == ("completed", ["greet"])


async def test_a_profile_that_cannot_be_made_undoes_the_account_alone() -> None:
    async with signup(pages=broken) as (_, handle, services):
        report = await handle.result()
        assert (report["status"], report["compensation"]) == ("failed", "done")
        assert removals(services) == ["members DELETE /v1/members/m-1"]


async def test_a_member_who_never_confirms_is_removed_again() -> None:
    async with signup(wait="50ms") as (engine, handle, services):
        await handle.result()
        status = await engine.get_workflow_status(handle.id)
        assert status.status is WorkflowStatus.FAILED
        assert status.report["compensation"] == "done"
        assert removals(services) == ["members DELETE /v1/members/m-1", "pages DELETE /v1/pages/by-owner/m-1"]


async def test_a_registration_is_cancelled_while_it_waits() -> None:
    async with signup() as (engine, handle, services):
        await until(handle, "waiting", "confirmed")
        await handle.cancel("changed her mind", compensate=True)
        await handle.result()
        assert (await engine.get_workflow_status(handle.id)).status is WorkflowStatus.CANCELLED
        assert removals(services) == ["members DELETE /v1/members/m-1", "pages DELETE /v1/pages/by-owner/m-1"]


async def test_a_registration_is_paused_and_goes_on() -> None:
    async with signup() as (engine, handle, services):
        await until(handle, "waiting", "confirmed")
        await handle.pause("lunch")
        await confirm(engine)
        assert (await engine.get_workflow_status(handle.id)).status is WorkflowStatus.PAUSED
        assert "members PUT /v1/members/m-1/admit" not in services.lines
        await handle.resume()
        assert (await handle.result())["status"] == "completed"
