"""Hashes of inputs: of a file, of a folder, of a manifest with the files that it names, of a model.

Hashing a large model takes seconds, so the hash of a file is remembered with its size and time of change, as make and
git do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path

from editc.core.diagnostics import EditcError, fail
from editc.core.storage.caching import cache_key
from editc.core.storage.disk import replace_file
from editc.formats.models.paths import find_model
from editc.manifests.decode import parse_file
from editc.manifests.tree import Items, Leaf, Node, Pairs

BESIDE = ("model_index.json", "prompts.txt", "contexts.txt")
"""Files beside a component or a single file that a build reads too."""
BESIDE_FOLDERS = ("text_encoder*", "tokenizer*", "scheduler")
"""Patterns of folders beside a component or a single file that a build reads too."""

PROSE = ("edits", "preserve", "contexts", "retain")
"""Keys of a manifest with texts for a model, in which names of files may stand too."""


@dataclass
class KnownHashes:
    """The hashes of files that were read before."""

    file: Path | None = None
    """Where they are kept. None: they live as long as this value."""
    known: dict[str, list[object]] = field(default_factory=dict)
    """Path -> [size, time of change in nanoseconds, sha256]."""
    fresh: bool = False
    """True if there is something to save."""

    @staticmethod
    def load(file: Path) -> KnownHashes:
        """The hashes in a file. None are known if it is missing or damaged."""
        with suppress(OSError, ValueError):
            known = json.loads(file.read_text(encoding="utf-8"))
            if isinstance(known, dict):
                return KnownHashes(file, known)
        return KnownHashes(file)

    def save(self) -> None:
        """Write the hashes, unless none is new."""
        if self.file is not None and self.fresh:
            replace_file(self.file, (json.dumps(self.known, indent=0, sort_keys=True) + "\n").encode(), synced=False)
            self.fresh = False

    def of_file(self, path: Path) -> str:
        """The sha256 of a file. Raises E610 if it cannot be read."""
        try:
            state = path.stat()
            mark = [state.st_size, state.st_mtime_ns]
            found = self.known.get(str(path))
            if isinstance(found, list) and found[:2] == mark and len(found) == 3:
                return str(found[2])
            with path.open("rb") as opened:
                digest = file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            message = f"it cannot be read: {error.strerror or error}"
            raise fail("E610", message, place=str(path), help="check the path and its permissions") from error
        self.known[str(path)], self.fresh = [*mark, digest], True
        return digest

    def of_path(self, path: Path) -> str:
        """The hash of a file, or of all files in a folder with their names. Hidden files do not count."""
        if not path.is_dir():
            return self.of_file(path)
        return cache_key(*(part for name, file in _files(path) for part in (name, self.of_file(file))))

    def of_manifest(self, path: Path, folder: Path) -> str:
        """The hash of a manifest: its text, and each file or folder that one of its values names. `folder` is that of
        the plan, where a path begins that is not beside the manifest."""
        parsed = parse_file(path)
        named = sorted(_named_paths(parsed.root, (path.absolute().parent, folder))) if parsed.root else []
        return cache_key(parsed.source.text, *(part for text, one in named for part in (text, self.of_path(one))))

    def of_model(self, place: str) -> str:
        """The hash of a model: of its files and, for a part of a pipeline, of what a build reads beside it. Raises
        E610 and E614."""
        path = find_model(place)
        if (path / "model_index.json").is_file():
            return self.of_path(path)
        beside = [path.parent / name for name in BESIDE]
        beside += [one for pattern in BESIDE_FOLDERS for one in sorted(path.parent.glob(pattern))]
        parts = [(one.name, self.of_path(one)) for one in beside if one.exists() and one != path]
        return cache_key(self.of_path(path), *(text for part in parts for text in part))


def _files(folder: Path, seen: frozenset[Path] = frozenset()) -> Iterator[tuple[str, Path]]:
    """The files in a folder with their names in it, sorted, through links too, without hidden ones."""
    here = seen | {folder.resolve()}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if not path.is_dir():
            yield path.name, path
        elif path.resolve() not in here:
            yield from ((f"{path.name}/{name}", file) for name, file in _files(path, here))


def _named_paths(node: Node, folders: tuple[Path, ...], prose: bool = False) -> Iterator[tuple[str, Path]]:
    """The texts of a tree that name something in one of the folders, also after `NAME:`. The key `model` is left out:
    each cell has its own. `prose`: only files count, because a concept may happen to be called as a folder is."""
    if isinstance(node, Leaf):
        for text in sorted({node.text, node.text.partition(":")[2]}):
            found = _first(text, folders) if text.strip(" ./") else None
            if found is not None and not (prose and found.is_dir()):
                yield text, found
    elif isinstance(node, Items):
        for item in node.items:
            yield from _named_paths(item, folders, prose)
    elif isinstance(node, Pairs):
        for key, value in node.pairs:
            if key.text != "model":
                yield from _named_paths(value, folders, prose or key.text in PROSE)


def _first(text: str, folders: tuple[Path, ...]) -> Path | None:
    """The first of the folders' files or folders of this name, or a model's in the hub cache. None if there is none."""
    for folder in folders:
        with suppress(OSError, ValueError):
            if (folder / text).exists():
                return folder / text
    if "/" in text:
        with suppress(EditcError):
            return find_model(text)
    return None
