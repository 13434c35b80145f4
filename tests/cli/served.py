"""Servers for the tests of the command line: real ones in processes of their own, and pretended ones."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

_SERVING = re.compile(r"serving (http://\S+)/api/v1")


class Server(NamedTuple):
    """A server that runs. `url` is where, `store` the option that names its store, `token` one of an admin."""

    process: subprocess.Popen[str]
    url: str
    store: str
    token: str

    @property
    def port(self) -> str:
        """The one that it listens on."""
        return self.url.rpartition(":")[2]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("STEPWELL_")}


def made_key(store: str, name: str = "tests", role: str = "admin") -> str:
    """The token of a key that is made in the store."""
    command = [sys.executable, "-m", "stepwell", "key", "create", name, "--role", role, "--store", store, "-q"]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextmanager
def serving(folder: Path, token: str, port: str = "0") -> Iterator[Server]:
    """A server on the store `server.db` of the folder, with the tasks in its `tasks.py`, when there is one."""
    store = f"sqlite:{folder / 'server.db'}"
    modules = ["--import", "tasks.py"] if (folder / "tasks.py").exists() else []
    process = subprocess.Popen(
        [sys.executable, "-m", "stepwell", "serve", "--port", port, "--store", store, *modules],
        cwd=folder,
        env=_environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield Server(process, _url_of(process), store, token)
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def _url_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        found = _SERVING.search(line)
        if found is not None:
            threading.Thread(target=process.stderr.read, daemon=True).start()  # so that it can go on saying things
            return found[1]
    raise AssertionError(f"it does not serve: {''.join(said)}")


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def pretending(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The URL of a server that answers every request so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_POST = do_GET  # noqa: N815 - the base class wants it

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answering(status: int, body: str, content_type: str = "application/json", **headers: str) -> Answer:
    """The same answer to everything."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        content = body.encode()
        handler.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(content)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer
