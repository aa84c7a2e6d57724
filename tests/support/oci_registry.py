"""A registry as OCI Distribution 1.1 describes it: blobs by upload, manifests, tags, referrers, ranges. And Debian's
`docker-registry`, the real one, where it is installed."""

from __future__ import annotations

import base64
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from loopback import Answer, Request, Service

NAME = r"/v2/(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
INDEX = "application/vnd.oci.image.index.v1+json"
REAL = shutil.which("docker-registry")


class Registry(Service):
    """The registry. `referrers` False: it keeps no list of referrers, like those before version 1.1."""

    def __init__(self, referrers: bool = True, login: str = "") -> None:
        super().__init__()
        self.referrers = referrers
        self.login = login
        """`user:password` that every request needs. Empty: none."""
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.tags: dict[str, str] = {}
        self.uploads = 0

    def answer(self, request: Request) -> Answer:
        wanted = "Basic " + base64.b64encode(self.login.encode()).decode()
        if self.login and request.headers.get("Authorization") != wanted:
            return Answer(401, headers={"WWW-Authenticate": 'Basic realm="test"'})
        for pattern, method in (
            (NAME + r"/blobs/uploads/(?P<upload>[^/]*)", self.upload),
            (NAME + r"/blobs/(?P<digest>sha256:[0-9a-f]{64})", self.blob),
            (NAME + r"/manifests/(?P<reference>[^/]+)", self.manifest),
            (NAME + r"/referrers/(?P<digest>[^/]+)", self.refer),
        ):
            if found := re.fullmatch(pattern, request.path):
                return method(request, found)
        return Answer(404)

    def upload(self, request: Request, found: re.Match[str]) -> Answer:
        if request.method == "POST":
            self.uploads += 1
            return Answer(202, headers={"Location": f"/v2/{found['name']}/blobs/uploads/{self.uploads}"})
        digest = "sha256:" + sha256(request.body).hexdigest()
        if request.method != "PUT" or request.query.get("digest") != digest:
            return Answer(400, b'{"errors": [{"code": "DIGEST_INVALID"}]}')
        self.blobs[digest] = request.body
        return Answer(201, headers={"Location": f"/v2/{found['name']}/blobs/{digest}"})

    def blob(self, request: Request, found: re.Match[str]) -> Answer:
        data = self.blobs.get(found["digest"])
        return Answer(404) if data is None else Answer(200, data, {"Docker-Content-Digest": found["digest"]}, True)

    def manifest(self, request: Request, found: re.Match[str]) -> Answer:
        reference = found["reference"]
        if request.method == "PUT":
            return self.keep(request, reference)
        digest = self.tags.get(reference, reference)
        if digest not in self.manifests:
            return Answer(404)
        kind, data = self.manifests[digest]
        return Answer(200, data, {"Content-Type": kind, "Docker-Content-Digest": digest})

    def keep(self, request: Request, reference: str) -> Answer:
        value, digest = json.loads(request.body), "sha256:" + sha256(request.body).hexdigest()
        if reference.startswith("sha256:") and reference != digest:
            return Answer(400)
        listed = [value["config"], *value["layers"]] if "layers" in value else []
        if any(one["digest"] not in self.blobs for one in listed):
            return Answer(400, b'{"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]}')
        self.manifests[digest] = (str(request.headers["Content-Type"]), request.body)
        if not reference.startswith("sha256:"):
            self.tags[reference] = digest
        subject = {"OCI-Subject": value["subject"]["digest"]} if "subject" in value and self.referrers else {}
        return Answer(201, headers={"Docker-Content-Digest": digest, **subject})

    def refer(self, request: Request, found: re.Match[str]) -> Answer:
        if not self.referrers:
            return Answer(404)
        rows = [
            {"mediaType": kind, "digest": digest, "size": len(data), "artifactType": json.loads(data)["artifactType"]}
            for digest, (kind, data) in self.manifests.items()
            if json.loads(data).get("subject", {}).get("digest") == found["digest"]
        ]
        index: dict[str, Any] = {"schemaVersion": 2, "mediaType": INDEX, "manifests": rows}
        return Answer(200, json.dumps(index).encode(), {"Content-Type": INDEX})


@contextmanager
def distribution(folder: Path) -> Iterator[str]:
    """Run Debian's registry on a free port of the loopback interface; yields its host."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (folder / "registry.yml").write_text(json.dumps(config))
    command = [str(REAL), "serve", str(folder / "registry.yml")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}/v2/")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_for(address: str) -> None:
    for _ in range(200):
        try:
            with urlopen(address, timeout=5):
                return
        except HTTPError:
            return
        except (URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"{address} does not answer")
