"""Publish to the Hugging Face hub, and pull from it, by `huggingface_hub`. The hub's address is HF_ENDPOINT, and who
publishes is known by HF_TOKEN or `hf auth login`, as for every tool of the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from editc.core.diagnostics import EditcError, fail
from editc.libraries.extras import install_command, missing_packages
from editc.publish.fetch import PIECE, Stream, broken
from editc.publish.listing import LISTING, MOST_BYTES, Entry, Listing, damaged, parse_listing, to_bytes
from editc.publish.parcel import Parcel
from editc.publish.places import HubPlace

COMMIT = re.compile(r"[0-9a-f]{40}")
"""The id of a commit, to which nothing can be added."""
TIMEOUT = 30.0
"""Seconds without an answer, or without a byte, after which a connection counts as broken. Chosen by hand."""
LOGIN = "check the name, and log in: `hf auth login`, or set HF_TOKEN"
"""Help where the hub refuses."""


@dataclass(frozen=True)
class Hub:
    """A repository on the hub."""

    place: str
    """What the user typed."""
    where: HubPlace
    """The same, taken apart."""

    @cached_property
    def api(self) -> Any:
        """The hub's own client. Raises E950 where the package is missing."""
        if missing_packages("huggingface_hub"):
            message = "the hub needs huggingface-hub, which is not installed"
            raise fail("E950", message, help=install_command("hub"))
        from huggingface_hub import HfApi

        return HfApi(library_name="editc")

    def push(self, parcel: Parcel) -> tuple[Listing, str]:
        """Publish a parcel in one commit, into a repository that is made where there is none. Returns the files and the
        commit."""
        if self.where.revision and COMMIT.fullmatch(self.where.revision):
            message = "nothing can be published to a commit"
            raise fail("E951", message, place=self.place, help="name a branch, or none: hf://owner/name@branch")
        listing, repo, branch = parcel.listing(), self.where.repo, self.where.revision
        data = {LISTING: to_bytes(listing), **{item.name: item.read() for item in parcel.items}}
        with self._guarded():
            from huggingface_hub import CommitOperationAdd

            files = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in data.items()]
            self.api.create_repo(repo, private=self.where.private or None, exist_ok=True)
            if branch:
                self.api.create_branch(repo, branch=branch, exist_ok=True)
            message = f"editc push: delta {listing.delta_id[:12]}"
            made = self.api.create_commit(repo, files, commit_message=message, revision=branch)
        return listing, str(made.oid)

    @cached_property
    def commit(self) -> str:
        """The commit that the revision means now. All files are fetched from it."""
        with self._guarded():
            found = self.api.model_info(self.where.repo, revision=self.where.revision, timeout=TIMEOUT).sha
        if not COMMIT.fullmatch(str(found)):
            raise damaged("the hub names no commit", self.place)
        return str(found)

    def listing(self) -> Listing:
        """The listing in the repository."""
        data = b""
        with self._stream(LISTING, 0) as (_, pieces):
            for piece in pieces:
                data += piece
                if len(data) > MOST_BYTES:
                    raise damaged(f"'{LISTING}' is larger than {MOST_BYTES:,} bytes", self.place)
        return parse_listing(data, self.place)

    def open(self, entry: Entry, start: int) -> Any:
        """Open a file at a position."""
        return self._stream(entry.name, start)

    @contextmanager
    def _stream(self, name: str, start: int) -> Iterator[Stream]:
        """A file of the commit from a position on."""
        commit = self.commit
        with self._guarded():
            from huggingface_hub import get_session, hf_hub_url
            from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

            url = hf_hub_url(self.where.repo, name, revision=commit, endpoint=self.api.endpoint)
            headers = build_hf_headers(library_name="editc") | {"Accept-Encoding": "identity"}
            headers |= {"Range": f"bytes={start}-"} if start else {}
            asked = get_session().stream("GET", url, headers=headers, follow_redirects=True, timeout=TIMEOUT)
            with asked as answer:
                if answer.status_code >= 400:
                    answer.read()
                hf_raise_for_status(answer)
                yield start if answer.status_code == 206 else 0, answer.iter_raw(PIECE)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn the errors of `huggingface_hub` and of its connections into E959 and E960."""
        try:
            yield
        except EditcError:
            raise
        except Exception as error:  # the library raises OSError, ValueError, RuntimeError and those of its HTTP client
            raise self._told(error) from error

    def _told(self, error: Exception) -> EditcError:
        """An error of the library in the words of editc. The error itself, for what is no fault of hub or network."""
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, HfHubHTTPError):
            cause = cause.__cause__
        status = getattr(getattr(cause, "response", None), "status_code", 0)
        if isinstance(error, OfflineModeIsEnabled):
            message = "the transfer broke off: HF_HUB_OFFLINE is set, so the hub is not asked"
            return fail("E959", message, place=self.place, help="unset HF_HUB_OFFLINE, and run it again")
        if status >= 500 or status == 429:
            return broken(f"the hub answered {status}", self.place)
        if status or isinstance(error, HFValidationError | ValueError):
            said = str(getattr(cause, "server_message", "") or error).strip().splitlines() or [""]
            message = f"the hub refused: {f'{status}, ' if status else ''}{said[0][:200]}"
            return fail("E960", message, place=self.place, help=LOGIN)
        if isinstance(error, OSError | RuntimeError) or type(error).__module__.startswith("http"):
            return broken(f"the hub is not reached ({type(error).__name__})", self.place)
        raise error
