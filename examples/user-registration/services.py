"""Three small services on loopback, as they might run in any company: users, profiles and notifications.

`run.py` starts them as one process. They listen on free ports, print one line of JSON with the address of each, write a
line for every request to standard error, and end when their standard input does.

They also play the part of the user: a moment after the welcome e-mail was sent, its link is clicked, and the event
`user.email_verified` is published, with the same command that a shell script would use.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Users:
    """Accounts, in memory: nobody else has the user name or the e-mail address."""

    def __init__(self) -> None:
        self._users: dict[str, dict[str, Any]] = {"0": {"username": "root", "email": "root@example.com"}}

    def app(self) -> web.Application:
        """The service."""
        app = service("user-service")
        app.router.add_post("/validations/{rule}", self.validate)
        app.router.add_post("/users", self.create)
        app.router.add_put("/users/{id}/activation", self.activate)
        app.router.add_delete("/users/{id}", self.delete)
        return app

    async def validate(self, request: web.Request) -> web.Response:
        """Answers a `validation` step: it sends `{"field", "value"}` and is told `{"valid", "message"}`."""
        asked = await request.json()
        field = request.match_info["rule"].removeprefix("unique_")
        taken = any(user[field] == asked["value"] for user in self._users.values())
        return web.json_response({"valid": not taken, "message": "is taken" if taken else ""})

    async def create(self, request: web.Request) -> web.Response:
        user = {"id": str(uuid.uuid4()), **await request.json()}
        self._users[user["id"]] = user
        return web.json_response({"id": user["id"], "status": user["status"]}, status=201)

    async def activate(self, request: web.Request) -> web.Response:
        user = self._users.get(request.match_info["id"])
        if user is None:
            raise web.HTTPNotFound
        user |= {"status": "active", "activated_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        return web.json_response({key: user[key] for key in ("id", "status", "activated_at")})

    async def delete(self, request: web.Request) -> web.Response:
        self._users.pop(request.match_info["id"], None)  # to delete what is gone is no error: it may be a repetition
        return web.Response(status=204)


class Profiles:
    """What users tell about themselves."""

    def __init__(self) -> None:
        self._profiles: dict[str, Any] = {}

    def app(self) -> web.Application:
        """The service."""
        app = service("profile-service")
        app.router.add_post("/profiles", self.create)
        app.router.add_delete("/profiles/of-user/{user_id}", self.delete)
        return app

    async def create(self, request: web.Request) -> web.Response:
        profile = await request.json()
        self._profiles[profile["user_id"]] = profile["profile"]
        return web.json_response({"user_id": profile["user_id"]}, status=201)

    async def delete(self, request: web.Request) -> web.Response:
        self._profiles.pop(request.match_info["user_id"], None)
        return web.Response(status=204)


class Notifications:
    """E-mails and messages, and the user who reads them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._seen: set[str] = set()
        self._clicks: set[asyncio.Task[None]] = set()

    def app(self) -> web.Application:
        """The service."""
        app = service("notification-service")
        app.router.add_post("/emails", self.send_email)
        app.router.add_post("/notifications", self.send_notification)
        return app

    async def send_email(self, request: web.Request) -> web.Response:
        email = await request.json()
        self._expect_click(email["values"]["user_id"])
        if self._options.fail_email:
            raise web.HTTPServiceUnavailable(text="the mail server is down")
        return web.json_response({"message_id": str(uuid.uuid4())}, status=202)

    async def send_notification(self, request: web.Request) -> web.Response:
        await request.json()
        return web.json_response({"message_id": str(uuid.uuid4())}, status=202)

    def _expect_click(self, user_id: str) -> None:
        """The user verifies the address a little later, without an e-mail too: by the link on the web site."""
        if self._options.no_event or user_id in self._seen:
            return
        self._seen.add(user_id)
        click = asyncio.create_task(self._click(user_id))
        self._clicks.add(click)
        click.add_done_callback(self._clicks.discard)

    async def _click(self, user_id: str) -> None:
        await asyncio.sleep(self._options.click_after)
        await publish("user.email_verified", {"user_id": user_id}, self._options.store)


async def publish(event_type: str, data: dict[str, Any], store: str) -> None:
    """Publish an event to whatever runs on the store, here the `stepwell run` that waits for it."""
    command = ("stepwell", "event", "publish", event_type, "-d", json.dumps(data), "--store", store)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr
    )
    log("user", f"publishes {event_type}: exit status {await process.wait()}")


def service(name: str) -> web.Application:
    """An empty service that logs its requests and answers a repeated one as it answered the first."""
    answers: dict[tuple[str, str, str], tuple[int, bytes]] = {}

    @web.middleware
    async def logged(request: web.Request, handler: Handler) -> web.StreamResponse:
        status = 500
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            log(name, f"{request.method} {request.path} {status}")
        return response

    @web.middleware
    async def repeatable(request: web.Request, handler: Handler) -> web.StreamResponse:
        key = (request.method, request.path, request.headers.get("Idempotency-Key", str(uuid.uuid4())))
        if key not in answers:
            response = await handler(request)
            body = response.body if isinstance(response, web.Response) else None
            answers[key] = (response.status, body if isinstance(body, bytes) else b"")
        status, content = answers[key]
        return web.Response(status=status, body=content, content_type="application/json")

    return web.Application(middlewares=[logged, repeatable])


def log(who: str, what: str) -> None:
    """One line to standard error."""
    print(f"{who}: {what}", file=sys.stderr, flush=True)


async def listen(app: web.Application) -> str:
    """Serve on a free port of the loopback interface; returns the address."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


async def main() -> None:
    """Serve until standard input ends, which it does at the latest when the process that started this one is gone."""
    options = arguments()
    services = {
        "user-service": Users().app(),
        "profile-service": Profiles().app(),
        "notification-service": Notifications(options).app(),
    }
    addresses = {name: await listen(app) for name, app in services.items()}
    print(json.dumps(addresses), flush=True)
    await asyncio.to_thread(sys.stdin.read)


def arguments() -> argparse.Namespace:
    """What the services are told when they are started."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="where to publish the event")
    parser.add_argument("--fail-email", action="store_true", help="answer every e-mail with 503")
    parser.add_argument("--no-event", action="store_true", help="the user never clicks the link")
    parser.add_argument("--click-after", type=float, default=1.0, help="seconds until the user does")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
