"""Where the deltas are: in `models/editc` of ComfyUI, and wherever its extra_model_paths.yaml says `editc`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

FOLDER = "editc"
"""The kind of file, as ComfyUI's lists of folders name it, and the folder in its `models`."""
ENDINGS = {".safetensors"}
"""The endings of deltas, and of what `editc export` makes of them for ComfyUI."""


def register_folder(folder_paths: Any) -> None:
    """Tell ComfyUI's module `folder_paths` where deltas are."""
    own = str(Path(folder_paths.models_dir) / FOLDER)
    known = folder_paths.folder_names_and_paths.get(FOLDER, ([], set()))[0]
    folder_paths.folder_names_and_paths[FOLDER] = ([*dict.fromkeys([*known, own])], ENDINGS)


def list_deltas() -> list[str]:
    """The names of the deltas, for the list in a node."""
    import folder_paths

    register_folder(folder_paths)
    names: list[str] = folder_paths.get_filename_list(FOLDER)
    return names


def find_delta(name: str) -> Path:
    """The file of a delta by its name in the list. Raises FileNotFoundError."""
    import folder_paths

    register_folder(folder_paths)
    return Path(folder_paths.get_full_path_or_raise(FOLDER, name))


def find_beside(name: str, delta: Path) -> Path | None:
    """A file that a user typed: an absolute path, or a name beside the delta. None for an empty text."""
    return delta.parent / Path(name).expanduser() if name.strip() else None


def digest(*files: Path | None) -> str:
    """A text that changes when one of these files does, so that ComfyUI runs a node again."""
    found = hashlib.sha256()
    for file in files:
        found.update(file.read_bytes() if file is not None and file.is_file() else b"")
    return found.hexdigest()
