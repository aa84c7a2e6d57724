"""Where to publish and where to pull from: `hf://owner/name@rev`, `oci://host/repository:tag`, `oci:FOLDER:tag`, a
folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from editc.core.diagnostics import EditcError, fail

HUB = re.compile(r"hf://(?P<repo>[\w][\w.-]*/[\w][\w.-]*)(@(?P<revision>[\w][\w./-]*))?", re.ASCII)
"""A repository of models on the hub, with an optional branch, tag or commit."""
REGISTRY = re.compile(
    r"oci://(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*(:\d+)?|\[[0-9a-f:]+\](:\d+)?)"
    r"/(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
"""A repository in a registry, with a tag, or the digest of an image."""
LAYOUT = re.compile(r"oci:(?!//)(?P<folder>.+?)(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?", re.DOTALL)
"""An OCI image layout on this disk: `oci:FOLDER:TAG`."""
TAG = "latest"
"""The tag where none is given."""
KINDS = "hf://owner/name@revision, oci://host/repository:tag, oci:FOLDER:tag, or a folder"
"""All spellings, for messages."""


@dataclass(frozen=True)
class HubPlace:
    """A repository on the hub."""

    typed: str
    """What the user typed."""
    repo: str
    """`owner/name`."""
    revision: str | None
    """A branch, tag or commit. None: the main branch."""
    private: bool = False
    """For `push`: a repository that is made is private."""


@dataclass(frozen=True)
class RegistryPlace:
    """An image in a registry."""

    typed: str
    """What the user typed."""
    host: str
    """The host, with its port where it has one."""
    repository: str
    """The repository."""
    tag: str
    """The tag."""
    digest: str
    """The digest that the image's manifest must have: `sha256:...`. Empty where none is given."""


@dataclass(frozen=True)
class LayoutPlace:
    """An image in a layout on this disk."""

    typed: str
    """What the user typed."""
    folder: Path
    """The folder of the layout."""
    tag: str
    """The tag."""


@dataclass(frozen=True)
class FolderPlace:
    """A folder on this disk, or on one that is mounted."""

    typed: str
    """What the user typed."""
    folder: Path
    """The folder."""


Place: TypeAlias = HubPlace | RegistryPlace | LayoutPlace | FolderPlace
"""Any of them."""


def parse_place(text: str) -> Place:
    """The place that a text means. Raises E951."""
    if found := HUB.fullmatch(text):
        return HubPlace(text, found["repo"], found["revision"])
    if found := REGISTRY.fullmatch(text):
        return RegistryPlace(text, found["host"], found["repository"], found["tag"] or TAG, found["digest"] or "")
    if found := LAYOUT.fullmatch(text):
        return LayoutPlace(text, _path(found["folder"], text), found["tag"] or TAG)
    if text.startswith("file:"):
        return FolderPlace(text, _path(_file_path(text), text))
    if re.match(r"[A-Za-z][\w+.-]+:", text):
        raise _unknown(text)
    return FolderPlace(text, _path(text, text))


def _file_path(text: str) -> str:
    """The path of a `file:` URL, or what follows `file:`. Raises E951 for another host."""
    if not text.startswith("file://"):
        return text.removeprefix("file:")
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise _unknown(text)
    return unquote(parts.path)


def _path(text: str, typed: str) -> Path:
    """The path. Raises E951 for what cannot be one."""
    try:
        if not text or "\0" in text:
            raise _unknown(typed)
        return Path(text).expanduser()
    except RuntimeError as error:  # the home folder of a user who does not exist
        raise _unknown(typed) from error


def _unknown(text: str) -> EditcError:
    """E951."""
    return fail("E951", "this is no place that editc knows", place=text.replace("\0", "\\0"), help=f"give {KINDS}")
