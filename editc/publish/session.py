"""The connection to a registry: requests by `oras`, which logs in where the registry asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from editc.core.diagnostics import EditcError, fail
from editc.publish.fetch import broken
from editc.publish.image import INDEX_TYPE, MANIFEST_TYPE, MOST_BYTES
from editc.publish.places import RegistryPlace

Pieces: TypeAlias = Callable[[int], Iterator[bytes]]
"""Takes how many bytes to read at once, and returns the bytes."""
TIMEOUT = 30.0
"""Seconds without an answer, or without a byte, after which a connection counts as broken. Chosen by hand."""
LOOPBACK = ("localhost", "127.", "[::1]")
"""How the hosts begin that are this machine: registries there are asked by plain http, as docker does."""
LOGIN = "check the name, and log in: `docker login HOST` or `oras login HOST`"
"""Help where a registry refuses."""


class Session:
    """A connection to one repository. Every function raises E959 where it is not reached and E960 where it refuses."""

    def __init__(self, where: RegistryPlace) -> None:
        self.where = where
        """The repository."""
        plain = where.host.startswith(LOOPBACK)
        root = f"{'http' if plain else 'https'}://{where.host}/v2/"
        self.base = root + where.repository
        """Where all its addresses begin."""
        self.client = _client(where.host, plain, "token")
        """What sends the requests."""
        with self._guarded():
            asks = self.client.session.request("GET", root).headers.get("WWW-Authenticate", "")
        basic = asks.casefold().startswith("basic")
        if basic:
            self.client = _client(where.host, plain, "basic")
        self.container = self.client.get_container(f"{where.host}/{where.repository}:{where.tag}")
        """The repository as `oras` names it."""
        self.client.auth.load_configs(self.container)
        if basic and not getattr(self.client.auth, "_basic_auth", None):
            raise _refusal("it asks for a login", where.typed)

    def manifest(self, reference: str, kind: str) -> bytes | None:
        """The manifest or index under a tag or digest. None where there is none."""
        return self._small(f"manifests/{reference}", kind)

    def referrers(self, digest: str) -> bytes | None:
        """The index of what refers to a manifest. None where the registry keeps no such list."""
        return self._small(f"referrers/{digest}", INDEX_TYPE)

    def send_blob(self, path: Path, sha256: str) -> None:
        """Send a file, unless the registry has it."""
        layer = {"digest": f"sha256:{sha256}", "size": path.stat().st_size, "mediaType": "application/octet-stream"}
        with self._guarded():
            self._check(self.client.upload_blob(str(path), self.container, layer))

    def send_manifest(self, data: bytes, reference: str, kind: str = MANIFEST_TYPE) -> bool:
        """Send a manifest under a tag or digest. True where the registry lists it as a referrer by itself."""
        with self._guarded():
            url = f"{self.base}/manifests/{reference}"
            answer = self._check(self.client.do_request(url, "PUT", data=data, headers={"Content-Type": kind}))
        return "OCI-Subject" in answer.headers

    @contextmanager
    def blob(self, digest: str, start: int) -> Iterator[tuple[int, Pieces]]:
        """Open a blob at a position: the position at which the bytes begin, and the bytes."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._guarded():
            url = f"{self.base}/blobs/{digest}"
            with self.client.do_request(url, headers={**headers, "Accept-Encoding": "identity"}, stream=True) as answer:
                self._check(answer)
                yield start if answer.status_code == 206 else 0, answer.iter_content

    def _small(self, path: str, kind: str) -> bytes | None:
        """The body of an answer of at most MOST_BYTES. None for 404."""
        with (
            self._guarded(),
            self.client.do_request(f"{self.base}/{path}", headers={"Accept": kind}, stream=True) as answer,
        ):
            if answer.status_code == 404:
                return None
            self._check(answer)
            data = b""
            for piece in answer.iter_content(1 << 16):
                data += piece
                if len(data) > MOST_BYTES:
                    raise fail("E960", f"the answer has more than {MOST_BYTES:,} bytes", place=self.where.typed)
            return data

    def _check(self, answer: Any) -> Any:
        """The answer. Raises E960 for one that refuses, E959 for a fault of the server that may pass."""
        if answer.status_code < 400:
            return answer
        said = f"{answer.status_code} {answer.reason or ''}".strip()
        if answer.status_code >= 500 or answer.status_code == 429:
            raise broken(f"the registry answered {said}", self.where.typed)
        raise _refusal(said, self.where.typed)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn the errors of `oras` and `requests` into E959 and E960."""
        from requests.exceptions import RequestException

        try:
            yield
        except ValueError as error:  # how `oras` says that it cannot log in
            raise _refusal(str(error)[:200], self.where.typed) from error
        except RequestException as error:
            raise broken(f"{self.where.host} is not reached ({type(error).__name__})", self.where.typed) from error


def _refusal(said: str, place: str) -> EditcError:
    """E960."""
    return fail("E960", f"the registry refused: {said}", place=place, help=LOGIN)


def _client(host: str, plain: bool, login: str) -> Any:
    """A client of `oras` that logs in by `login`: `token` or `basic`. Its own waiting is left out: it sleeps for two
    minutes before it says that a host is not reached."""
    from oras.client import OrasClient

    client = OrasClient(hostname=host, insecure=plain, auth_backend=login)
    client.session.request = _with_timeout(client.session.request)
    once = getattr(type(client).do_request, "__wrapped__", type(client).do_request)
    client.do_request = partial(once, client)
    return client


def _with_timeout(request: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with a limit of time for each request."""

    def limited(*given: Any, **named: Any) -> Any:
        return request(*given, timeout=TIMEOUT, **named)

    return limited
