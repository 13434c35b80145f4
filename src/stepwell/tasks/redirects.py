"""Following redirects: by our own hand, because each one is a new request to somewhere else.

What becomes of the method and the body is as browsers do it (the Fetch standard): 303 turns everything but HEAD into a
GET, 301 and 302 turn a POST into a GET, 307 and 308 change nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from yarl import URL

from stepwell.ports.work import TaskError
from stepwell.tasks.replies import HttpReply
from stepwell.tasks.requests import HttpRequest, Tls
from stepwell.tasks.urls import parse_url, shown

MOST: Final = 5
"""Redirects that are followed for one call."""

_STATUSES: Final = frozenset({301, 302, 303, 307, 308})


def next_request(reply: HttpReply) -> HttpRequest | None:
    """The request that a redirect asks for; None when the answer is final.

    Neither credentials nor a client certificate go to another origin (scheme, host and port), where the certificate is
    checked whatever was said; nothing goes from https to http.

    Raises:
        TaskError: (type `redirect_error`) it leads where no step may follow.
    """
    request = reply.request
    location = reply.headers.get("location")
    if reply.status not in _STATUSES or location is None or reply.status in request.expected:
        return None
    target = _target(request.url, location)
    if request.url.scheme == "https" and target.scheme != "https":
        raise redirect_error(request, "it leads from https to http")
    following = dataclasses.replace(request, url=target)
    if target.origin() != request.url.origin():
        tls = Tls(ca_file=request.tls.ca_file)
        following = dataclasses.replace(following, headers=request.headers.for_other_origin(), tls=tls)
    if _becomes_get(reply.status, request.method):
        headers = following.headers.without_body()
        following = dataclasses.replace(following, method="GET", headers=headers, body=None)
    return following


def redirect_error(request: HttpRequest, reason: str) -> TaskError:
    """The error for a redirect that is not followed."""
    return TaskError("redirect_error", f"a redirect of {request} is not followed: {reason}")


def _target(url: URL, location: str) -> URL:
    try:
        target = parse_url(str(url.join(URL(location))))
    except (ValueError, TaskError):
        raise TaskError(
            "redirect_error", f"a redirect of {shown(url)} is not followed: it leads to no http or https address"
        ) from None
    return target.with_user(None)


def _becomes_get(status: int, method: str) -> bool:
    return (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST")
