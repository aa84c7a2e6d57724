"""Serve a site to the browsers of this machine.

The server listens on the loopback interface alone. Each address begins with a secret, so that other users of the
machine cannot ask; and the header `Host` must name this machine, so that the page of another host whose name was made
to lead here (DNS rebinding) cannot either. No address is ever a path on the disk.
"""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_urlsafe
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlsplit

from editc.core.diagnostics import EditcError, fail
from editc.viewing.brush import Asked
from editc.viewing.hand import why_absent
from editc.viewing.page import policy
from editc.viewing.site import HOME, Site
from editc.viewing.studio import BUSY, OPENER, Message, Studio

LOOPBACK = "127.0.0.1"
"""The only interface that the server listens on."""
MAX_ASKED = 20_000
"""The longest question of a page, in bytes. The form takes 2,000 characters."""
MAX_SEED = 2**31
"""Seeds are below it, as those of a build."""
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every answer, besides the Content-Security-Policy."""


@dataclass
class Server:
    """A running server. As a context manager it ends at the end of the `with`."""

    site: Site
    """What it serves."""
    port: int = 0
    """The port that it listens on. 0: one that is free."""
    opener: str = OPENER
    """What loads a model, as `module:attribute`."""
    secret: str = field(default_factory=lambda: token_urlsafe(18))
    """What every address begins with."""
    _studio: Studio | None = None
    _lock: Lock = field(default_factory=Lock)

    def __enter__(self) -> Server:
        """Start to serve. Raises E972 where the port cannot be had."""
        handler = type("BoundHandler", (_Handler,), {"owner": self})
        try:
            self._http = _Http((LOOPBACK, self.port), handler)
        except OSError as error:
            message = f"port {self.port} cannot be served: {error.strerror or error}"
            raise fail("E972", message, help="give another `--port`, or none for one that is free") from error
        self.port = self._http.server_address[1]
        Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        if self._studio is not None:
            self._studio.close()

    @property
    def address(self) -> str:
        """The address of the first page."""
        return f"http://{LOOPBACK}:{self.port}/{self.secret}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """How a browser of this machine names the server."""
        return tuple(f"{name}:{self.port}" for name in (LOOPBACK, "localhost"))

    def page(self, place: str) -> str | None:
        """The page at an address below the secret. None where there is none."""
        return self.site.page(place or HOME, True)

    def ask(self, place: str, asked: Asked) -> Generator[Message, None, None]:
        """The messages that answer a prompt of a page. None but the last delta that was asked for has its model in
        memory."""
        subject = self.site.subject(place)
        absent = "there is no such page" if subject is None else why_absent(subject)
        if subject is None or absent:
            yield {"error": absent}
            return
        studio = self._studio_for((str(subject.delta), subject.model))
        yield from studio.ask(asked) if studio else iter([{"error": BUSY}])

    def _studio_for(self, given: tuple[str, str]) -> Studio | None:
        """The process for a delta and a model. None while that of others answers a page."""
        with self._lock:
            if self._studio is None or self._studio.given != given:
                if self._studio is not None and not self._studio.close_if_idle():
                    return None
                self._studio = Studio(given, self.opener)
            return self._studio


class _Http(ThreadingHTTPServer):
    """A server that says nothing of browsers that went away."""

    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Close the connection; the page shows that its answer broke off."""
        with suppress(OSError):
            request.close()


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    owner: Server
    """The server: a field of the class that `Server` makes."""
    server_version, sys_version = "editc", ""
    timeout = 60

    def do_GET(self) -> None:
        """Send a page."""
        place = self._place()
        if place is None:
            return
        try:
            page = self.owner.page(place)
        except EditcError as error:
            self._refuse(
                HTTPStatus.INTERNAL_SERVER_ERROR, f"{error.diagnostics[0].code}: {error.diagnostics[0].message}"
            )
            return
        if page is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        else:
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", page)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        """Answer a prompt, message by message, one a line. Where the page goes, the work stops."""
        place = self._place()
        if place is None:
            return
        if place != "try":
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
            return
        question = self._question()
        if question is None:
            self._refuse(HTTPStatus.BAD_REQUEST, "this is no prompt with a seed")
            return
        self._begin(HTTPStatus.OK, "application/x-ndjson")
        with closing(self.owner.ask(*question)) as messages, suppress(OSError):
            for message in messages:
                if self._is_gone():
                    return
                self.wfile.write((json.dumps(message) + "\n").encode())

    def _place(self) -> str | None:
        """The address below the secret. None, after an answer, for whoever does not know the secret or comes by another
        name."""
        if self.headers.get("Host") not in self.owner.hosts:
            self._refuse(HTTPStatus.FORBIDDEN, f"this server answers to {LOOPBACK} alone")
            return None
        origin = self.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc not in self.owner.hosts:
            self._refuse(HTTPStatus.FORBIDDEN, "this server answers its own pages alone")
            return None
        first, slash, rest = urlsplit(self.path).path.removeprefix("/").partition("/")
        if not slash or not compare_digest(first.encode(), self.owner.secret.encode()):
            self._refuse(HTTPStatus.NOT_FOUND, "the address is not whole: copy all of it from the terminal")
            return None
        return rest

    def _question(self) -> tuple[str, Asked] | None:
        """The page and the prompt of a request. None for anything else."""
        if self.headers.get_content_type() != "application/json":
            return None
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_ASKED:
            return None
        try:
            found = json.loads(self.rfile.read(int(length)))
            page, prompt, seed = found["page"], found["prompt"], found["seed"]
        except (LookupError, TypeError, ValueError, RecursionError):
            return None
        sound = isinstance(page, str) and isinstance(prompt, str) and type(seed) is int and 0 <= seed < MAX_SEED
        return (page, Asked(prompt, seed)) if sound else None

    def _is_gone(self) -> bool:
        """True where the browser has closed the connection."""
        ready, _, _ = select.select([self.connection], [], [], 0)
        return bool(ready) and self.connection.recv(1, socket.MSG_PEEK) == b""

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        """Say in a line of text why there is no answer."""
        self._send(status, "text/plain; charset=utf-8", f"editc view: {why}\n")

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        """Send a whole answer."""
        data = text.encode("utf-8", "replace")
        self._begin(status, kind, len(data))
        if self.command != "HEAD":
            self.wfile.write(data)

    def _begin(self, status: HTTPStatus, kind: str, length: int | None = None) -> None:
        """Send the headers."""
        self.send_response(status)
        size = {} if length is None else {"Content-Length": str(length)}
        safe = {"Content-Security-Policy": f"{policy(True)}; frame-ancestors 'none'"}
        for name, value in {"Content-Type": kind, **size, **HEADERS, **safe}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal shows the address."""
