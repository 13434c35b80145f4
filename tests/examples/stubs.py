"""Services of somebody else's writing, on loopback: they answer as a test says, and remember what they were asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple


class Request(NamedTuple):
    """What a service was asked."""

    service: str
    method: str
    path: str
    headers: dict[str, str]
    body: Any

    @property
    def line(self) -> str:
        """`user-service POST /users`."""
        return f"{self.service} {self.method} {self.path}"


Reply = tuple[int, Any]
Answer = Callable[[Request], Reply]


class Stubs:
    """Several services behind one port, told apart by the first part of the path."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[Request] = []
        self._answer = answer
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        """The address that the names of the services stand behind."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def lines(self) -> list[str]:
        """Every request as `SERVICE METHOD PATH`, in the order they came."""
        return [request.line for request in self.requests]

    def of(self, line: str) -> list[Request]:
        """The requests with this line."""
        return [request for request in self.requests if request.line == line]

    def write_configuration(self, file: Path, *names: str) -> Path:
        """A configuration of stepwell with these services."""
        services = {name: {"url": f"{self.url}/{name}"} for name in names}
        file.write_text(json.dumps({"services": services}), "utf-8")
        return file

    def take(self, request: Request) -> Reply:
        """Remember the request, and answer it."""
        with self._lock:
            self.requests.append(request)
        return self._answer(request)

    def serve(self) -> None:
        """Answer until `close` is called."""
        self._server.serve_forever(poll_interval=0.01)

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(stubs) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler below has a self of its own
        class Handler(BaseHTTPRequestHandler):
            def _reply(self) -> None:
                _, service, path = self.path.split("/", 2)
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = json.loads(content) if content else None
                request = Request(service, self.command, f"/{path}", dict(self.headers), body)
                status, answer = stubs.take(request)
                encoded = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            do_GET = do_POST = do_PUT = do_DELETE = _reply  # noqa: N815 - the names the library calls

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's signature
                """Say nothing."""

        return Handler


@contextmanager
def stubs(answer: Answer) -> Iterator[Stubs]:
    """Stub services that run while the block does."""
    services = Stubs(answer)
    thread = threading.Thread(target=services.serve)
    thread.start()
    try:
        yield services
    finally:
        services.close()
        thread.join()
