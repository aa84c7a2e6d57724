"""A hub as `huggingface_hub` sees one: repositories with branches and commits, large files by LFS, `resolve` with
ranges. Only what publishing and fetching ask for."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1, sha256
from typing import Any

import pytest
from loopback import Answer, Request, Service, running

TOKEN = "hf_test"
"""The token that writes."""
REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"


class Hub(Service):
    """The hub. Writing needs the token; a private repository needs it for reading too."""

    def __init__(self) -> None:
        super().__init__()
        self.repos: dict[str, dict[str, str]] = {}
        """Repository -> branch -> commit."""
        self.private: set[str] = set()
        self.commits: dict[str, dict[str, bytes]] = {}
        """Commit -> path -> bytes."""
        self.large: dict[str, bytes] = {}
        """sha256 -> bytes that were uploaded by LFS."""

    def answer(self, request: Request) -> Answer:
        for pattern, method in (
            (r"/api/repos/create", self.create),
            (r"/api/validate-yaml", lambda request, found: Answer(200, b"{}")),
            (rf"/api/models/{REPO}/branch/(?P<rev>[^/]+)", self.branch),
            (rf"/api/models/{REPO}/preupload/(?P<rev>[^/]+)", self.preupload),
            (rf"/api/models/{REPO}/commit/(?P<rev>[^/]+)", self.commit),
            (rf"/api/models/{REPO}/revision/(?P<rev>[^/]+)", self.info),
            (rf"/api/models/{REPO}/tree/(?P<rev>[^/]+)", self.tree),
            (rf"/api/models/{REPO}", self.info),
            (rf"/{REPO}\.git/info/lfs/objects/batch", self.batch),
            (r"/lfs/(?P<oid>[0-9a-f]{64})", self.upload),
            (rf"/{REPO}/resolve/(?P<rev>[^/]+)/(?P<path>.+)", self.resolve),
        ):
            if found := re.fullmatch(pattern, request.path):
                return method(request, found)
        return Answer(404)

    def knows(self, request: Request) -> bool:
        return bool(request.headers.get("Authorization") == f"Bearer {TOKEN}")

    def commit_of(self, request: Request, found: re.Match[str]) -> str | None:
        repo, rev = found["repo"], found.groupdict().get("rev") or "main"
        if repo not in self.repos or (repo in self.private and not self.knows(request)):
            return None
        return self.repos[repo].get(rev, rev if rev in self.commits else None)

    def create(self, request: Request, found: re.Match[str]) -> Answer:
        asked = json.loads(request.body)
        repo = f"{asked.get('organization') or 'me'}/{asked['name']}"
        if not self.knows(request):
            return Answer(401, b'{"error": "Invalid credentials"}')
        url = json.dumps({"url": f"http://{self.base}/{repo}", "name": repo, "id": "1"}).encode()
        if repo in self.repos:
            return Answer(409, url)
        self.private |= {repo} if asked.get("private") or asked.get("visibility") == "private" else set()
        self.repos[repo] = {"main": self._keep({})}
        return Answer(200, url)

    def branch(self, request: Request, found: re.Match[str]) -> Answer:
        branches = self.repos[found["repo"]]
        if found["rev"] in branches:
            return Answer(409, b'{"error": "exists"}')
        branches[found["rev"]] = branches["main"]
        return Answer(200, b"{}")

    def preupload(self, request: Request, found: re.Match[str]) -> Answer:
        if not self.knows(request):
            return Answer(401, b'{"error": "Invalid credentials"}')
        rows = [
            {"path": one["path"], "uploadMode": self._mode(one["path"]), "shouldIgnore": False}
            for one in json.loads(request.body)["files"]
        ]
        return self._json({"files": rows})

    def _mode(self, path: str) -> str:
        return "lfs" if path.endswith((".safetensors", ".gguf")) else "regular"

    def batch(self, request: Request, found: re.Match[str]) -> Answer:
        rows = [self._action(one) for one in json.loads(request.body)["objects"]]
        return self._json({"transfer": "basic", "objects": rows})

    def _action(self, one: dict[str, Any]) -> dict[str, Any]:
        place = {"upload": {"href": f"http://{self.base}/lfs/{one['oid']}"}}
        return {**one, **({} if one["oid"] in self.large else {"actions": place})}

    def upload(self, request: Request, found: re.Match[str]) -> Answer:
        if sha256(request.body).hexdigest() != found["oid"]:
            return Answer(400)
        self.large[found["oid"]] = request.body
        return Answer(200)

    def commit(self, request: Request, found: re.Match[str]) -> Answer:
        branches = self.repos[found["repo"]]
        files = dict(self.commits[branches[found["rev"]]])
        for line in request.body.splitlines():
            one = json.loads(line)
            value = one["value"]
            if one["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif one["key"] == "lfsFile":
                files[value["path"]] = self.large[value["oid"]]
        made = branches[found["rev"]] = self._keep(files)
        url = f"http://{self.base}/{found['repo']}/commit/{made}"
        return self._json({"commitOid": made, "commitUrl": url, "success": True, "hookOutput": ""})

    def _keep(self, files: dict[str, bytes]) -> str:
        names = json.dumps({name: sha1(data).hexdigest() for name, data in files.items()}, sort_keys=True)
        made = sha1(f"{len(self.commits)} {names}".encode()).hexdigest()
        self.commits[made] = files
        return made

    def info(self, request: Request, found: re.Match[str]) -> Answer:
        commit = self.commit_of(request, found)
        if commit is None:
            missing = "RevisionNotFound" if found["repo"] in {*self.repos} - self.private else "RepoNotFound"
            return Answer(404, b'{"error": "not found"}', {"X-Error-Code": missing, "X-Error-Message": "not found"})
        siblings = [{"rfilename": name} for name in self.commits[commit]]
        return self._json({"id": found["repo"], "modelId": found["repo"], "sha": commit, "siblings": siblings})

    def tree(self, request: Request, found: re.Match[str]) -> Answer:
        files = self.commits[self.commit_of(request, found) or ""]
        rows = [
            {"type": "file", "path": name, "size": len(data), "oid": sha1(data).hexdigest()}
            | ({"lfs": {"oid": sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}} if lfs else {})
            for name, data in files.items()
            for lfs in [self._mode(name) == "lfs"]
        ]
        return self._json(rows)

    def resolve(self, request: Request, found: re.Match[str]) -> Answer:
        commit = self.commit_of(request, found)
        if commit is None or found["path"] not in self.commits[commit]:
            return Answer(404, headers={"X-Error-Code": "EntryNotFound", "X-Error-Message": "not there"})
        data = self.commits[commit][found["path"]]
        tag = sha256(data).hexdigest() if self._mode(found["path"]) == "lfs" else sha1(data).hexdigest()
        headers = {"ETag": f'"{tag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        return Answer(200, data, headers, large=True)

    def _json(self, value: Any) -> Answer:
        return Answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})


@contextmanager
def running_hub(patch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Run a hub, and let the environment name it, and the library in this process, which read that when it started."""
    from huggingface_hub import constants

    with running(Hub()) as hub:
        address = f"http://{hub.base}"
        for name, value in {"HF_ENDPOINT": address, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0"}.items():
            patch.setenv(name, value)
        patch.setattr(constants, "ENDPOINT", address)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # this hub speaks LFS
        yield hub
