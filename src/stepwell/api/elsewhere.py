"""What workers ask one node and another has to answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request

from stepwell.api.bodies import BeatBody, PollBody
from stepwell.api.problems import Problem
from stepwell.app.peers import FORWARDED, Passed, Peers
from stepwell.app.serving import Parts

_log = logging.getLogger(__name__)


def others_of(here: Parts, request: Request) -> Peers | None:
    """The other nodes; None when there are none, or the request comes from one of them."""
    peers = here.service(Peers)
    return None if peers.is_alone or FORWARDED in request.headers else peers


async def polled_elsewhere(
    others: Peers, urls: Sequence[str], request: Request, body: PollBody
) -> dict[str, Any] | None:
    """What another node, of those with these URLs, has for the worker; None when none of them has anything."""
    asked = {**body.model_dump(mode="json"), "wait": 0}
    for url in urls:
        passed = await _passed_on(others, url, request, asked)
        if passed is not None and passed.status == 200 and (passed.document["assignments"] or passed.document["stop"]):
            others.note_given(url, body.queues)
            found: dict[str, Any] = passed.document
            return found
    return None


async def beat_elsewhere(others: Peers, request: Request, body: BeatBody, here: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer to a sign of life, of which this node knows some assignments only. What cannot be told at the moment
    is kept."""
    kept, lost = list(here["kept"]), []
    for url, ids in (await _by_node(others, here["lost"])).items():
        if url is None:
            lost += ids
            continue
        passed = await _passed_on(others, url, request, {**body.model_dump(mode="json"), "assignments": ids})
        known = passed is not None and passed.status == 200
        kept += passed.document["kept"] if passed is not None and known else ids
        lost += passed.document["lost"] if passed is not None and known else []
    return {**here, "kept": kept, "lost": lost}


async def reported_elsewhere(others: Peers | None, request: Request, id_: str, body: BaseModel) -> bool:
    """Whether another node has taken the report on an assignment; not when nobody waits for it there either.

    Raises:
        Problem: it cannot at the moment.
    """
    url = await others.runs(_execution(id_)) if others is not None else None
    if others is None or url is None:
        return False
    passed = await _passed_on(others, url, request, body.model_dump(mode="json", exclude_unset=True))
    if passed is None or passed.status not in (204, 409):  # such as 429: the work is not lost, and not to be done again
        does = "does not answer" if passed is None else f"answers {passed.status}"
        raise Problem(503, f"the node that runs the execution {does}; report again", code="node-unreachable")
    return passed.status == 204


async def released_elsewhere(others: Peers, request: Request, body: BeatBody) -> None:
    """Other nodes are told what the worker gives back; where that cannot be, its leases run out."""
    for url, ids in (await _by_node(others, body.assignments)).items():
        if url is not None:
            await _passed_on(others, url, request, {**body.model_dump(mode="json"), "assignments": ids})


async def _by_node(others: Peers, ids: Sequence[str]) -> Mapping[str | None, list[str]]:
    found: dict[str | None, list[str]] = {}
    for id_ in ids:
        found.setdefault(await others.runs(_execution(id_)), []).append(id_)
    return found


async def _passed_on(others: Peers, url: str, request: Request, body: Mapping[str, Any]) -> Passed | None:
    """What another node answers; None when it does not."""
    try:
        return await others.pass_on(url, request.url.path, request.headers, body)
    except ConnectionError as error:
        _log.info("a worker's request was not passed on: %s", error)
        return None


def _execution(id_: str) -> str:
    return id_.partition("/")[0]
