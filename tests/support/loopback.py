"""A small web server of a test's own on the loopback interface: it counts what it sends, and can break off or stall."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

PIECE = 1 << 15


@dataclass
class Request:
    """What a client asked for."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message
    body: bytes = b""


@dataclass
class Answer:
    """What it gets."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    large: bool = False
    """True for the bytes of a file: ranges are served, and breaking off and stalling apply."""


class Service:
    """What a server does; tests change the fields while it runs."""

    def __init__(self) -> None:
        self.base = ""
        self.asked: list[Request] = []
        self.sent = 0
        """Bytes of files, without headers."""
        self.ranges = True
        """False: a range is answered by the whole file."""
        self.break_after: list[int] = []
        """For each coming answer with a file: after so many bytes the connection is closed."""
        self.stall_after: list[int] = []
        """The same, but the server sends no more until the client goes."""
        self.stalled = threading.Event()
        self.go_on = threading.Event()

    def answer(self, request: Request) -> Answer:
        raise NotImplementedError


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: Service

    def serve(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        request = Request(self.command, parts.path, query, self.headers, self._body())
        self.service.asked.append(request)
        self._send(request, self.service.answer(request))

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, request: Request, answer: Answer) -> None:
        data, status, headers = answer.body, answer.status, dict(answer.headers)
        asked = self.headers.get("Range")
        if answer.large and asked and self.service.ranges and status == 200:
            data, status, headers = self._cut(asked, data, headers)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if request.method != "HEAD":
            self._write(data, answer.large)

    def _cut(self, asked: str, data: bytes, headers: dict[str, str]) -> tuple[bytes, int, dict[str, str]]:
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last) if last else len(data) - 1, len(data) - 1)
        if start >= len(data):
            return b"", 416, {"Content-Range": f"bytes */{len(data)}"}
        return data[start : end + 1], 206, {**headers, "Content-Range": f"bytes {start}-{end}/{len(data)}"}

    def _write(self, data: bytes, large: bool) -> None:
        service = self.service
        stall = service.stall_after.pop(0) if large and service.stall_after else len(data)
        cut = service.break_after.pop(0) if large and service.break_after else len(data)
        for start in range(0, min(stall, cut, len(data)), PIECE):
            piece = data[start : min(start + PIECE, stall, cut)]
            self.wfile.write(piece)
            service.sent += len(piece) if large else 0
        if stall < len(data):
            service.stalled.set()
            service.go_on.wait(60)
        if min(stall, cut) < len(data):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
    setattr(Handler, f"do_{method}", Handler.serve)

S = TypeVar("S", bound=Service)


@contextmanager
def running(service: S) -> Iterator[S]:
    """Run the service on a free port of the loopback interface, until the test ends."""
    handler = type("Bound", (Handler,), {"service": service})
    server = Quiet(("127.0.0.1", 0), handler)
    service.base = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Quiet(ThreadingHTTPServer):
    """A server that says nothing of clients that went away."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        with suppress(OSError):
            request.close()
