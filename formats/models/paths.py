"""Find the folder or file on this disk that the user means: a path, a hub id in the local cache, or the bundled model.

Nothing is downloaded unless the user allows it (`formats.models.hub`). A hub cache is read by its folder layout,
`models--org--name/{refs,snapshots,blobs}`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from editc.core.diagnostics import EditcError, fail
from editc.demo import MODEL
from editc.formats.containers import placeholders
from editc.formats.containers.table import MODEL_FILES, MODEL_FILES_TEXT

DEMO = "editc:demo"
"""The name of the bundled model."""

_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?", re.ASCII)
"""A hub id: `owner/name`, with an optional @revision."""


def find_model(place: str) -> Path:
    """The absolute path that `place` names. A folder's own links are resolved; a file's last link is kept.

    Raises E610 (there is no such thing) and E614 (a hub id that is not in the local cache).
    """
    if place == DEMO:
        return _require_path(demo_model(), place)
    path = Path(place)
    try:
        path = path.expanduser()
        if path.exists():
            return path.resolve() if path.is_dir() else path.parent.resolve() / path.name
    except (OSError, RuntimeError) as error:
        message = f"the path cannot be followed: {getattr(error, 'strerror', None) or error}"
        raise fail(
            "E610", message, place=place, help="check its spelling and the permissions of its folders"
        ) from error
    match = _HUB_ID.fullmatch(place)
    if match and not place.startswith(".") and not place.endswith(MODEL_FILES):
        return _find_or_fetch(match["repo"], match["revision"] or "main", place)
    return _require_path(path, place)


def demo_model() -> Path:
    """The folder of the bundled pipeline, which `editc:demo` names."""
    return MODEL.resolve()


def hub_cache() -> Path:
    """The folder in which huggingface_hub keeps models, by the same environment variables in the same order."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(name):
            return Path(os.path.expandvars(os.environ[name])).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{cache}/huggingface"
    return Path(os.path.expandvars(home)).expanduser() / "hub"


def in_hub_cache(path: Path) -> bool:
    """True for a real path in the hub cache, or in any other folder that has the layout of one."""
    laid_out = any(
        parent.name in ("blobs", "snapshots") and parent.parent.name.startswith("models--") for parent in path.parents
    )
    return laid_out or path.is_relative_to(hub_cache().resolve())


def _find_or_fetch(repo: str, revision: str, place: str) -> Path:
    """The folder of one revision of a repository, which is fetched where it is not in the cache and the user allows
    that. Raises E614."""
    from editc.formats.models import hub

    try:
        return _find_snapshot(repo, revision, place)
    except EditcError:
        if not hub.is_allowed():
            raise
    hub.fetch(repo, revision, place, hub_cache())
    return _find_snapshot(repo, revision, place)


def _find_snapshot(repo: str, revision: str, place: str) -> Path:
    """The folder of one revision of a repository in the hub cache. Raises E614."""
    from editc.formats.models import hub

    folder = hub_cache() / f"models--{repo.replace('/', '--')}"
    snapshots = folder / "snapshots"
    if not snapshots.is_dir():
        raise fail(
            "E614",
            f"there is no path '{place}', and no model '{repo}' in the local hub cache {hub_cache()}",
            place=place,
            help=hub.ways_to_get(repo, revision),
        )
    revisions = sorted(path.name for path in snapshots.iterdir() if path.is_dir())
    found = _find_commit(folder, revision, revisions)
    if found is None:
        known = ", ".join(revisions) or "none"
        help_text = (
            f"revisions that are here: {known}; name one as {repo}@REVISION, or {hub.ways_to_get(repo, revision)}"
        )
        raise fail(
            "E614", f"'{repo}' is in the hub cache, but not its revision '{revision}'", place=place, help=help_text
        )
    return (snapshots / found).resolve()


def _find_commit(folder: Path, revision: str, revisions: list[str]) -> str | None:
    """The snapshot that a branch, tag or (abbreviated) commit means, one of `revisions`; None where none or several
    match."""
    reference = folder / "refs" / revision
    if ".." not in revision.split("/") and not revision.startswith("/") and reference.is_file():
        commit = reference.read_text(encoding="ascii", errors="replace").strip()
        return commit if commit in revisions else None
    matches = [name for name in revisions if name == revision or (len(revision) >= 7 and name.startswith(revision))]
    return matches[0] if len(matches) == 1 else None


def _require_path(path: Path, place: str) -> Path:
    """The path. Raises E610 where nothing is there, and E618 for a Git LFS pointer."""
    if not path.exists():
        placeholders.refuse(path)
        raise fail(
            "E610",
            f"there is no model at '{place}'",
            place=place,
            help=f"give a model's folder, a {MODEL_FILES_TEXT} file, a hub id in the cache, or editc:demo",
        )
    return path
