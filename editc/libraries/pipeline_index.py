"""What a pipeline's model_index.json says its parts are, and which of them bring a program of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from editc.core.diagnostics import fail

INDEX = "model_index.json"


def parts(folder: Path) -> Mapping[str, tuple[str, str]]:
    """Part -> library and class, of those that are there; {} without an index that can be read."""
    named = {name: value for name, value in _index(folder).items() if isinstance(value, list) and len(value) == 2}
    return {
        name: (value[0], value[1])
        for name, value in named.items()
        if all(isinstance(one, str) for one in value) and not name.startswith("_")
    }


def refuse_own_code(folder: Path) -> None:
    """Raises E224 where the index names a Python file of the folder, as a pipeline or as a part of it: diffusers runs
    such files, some versions without being asked to."""
    found = sorted({path.relative_to(folder).as_posix() for path in _programs(folder) if path.is_file()})
    if found:
        message = f"the pipeline brings a program of its own, {', '.join(f'`{name}`' for name in found)}: it is not run"
        help_text = "name a pipeline whose classes are those of diffusers and transformers"
        raise fail("E224", message, place=str(folder / INDEX), help=help_text)


def networks(folder: Path) -> Mapping[str, Any]:
    """Part -> its class, of the parts that are loaded from weights. Imports diffusers. Raises E224 where a part is of
    another library, or of the folder's own code."""
    import diffusers
    import transformers

    refuse_own_code(folder)
    found = {}
    for part, (library, name) in parts(folder).items():
        known = {"diffusers": diffusers, "transformers": transformers}.get(library)
        source = known or getattr(diffusers.pipelines, library, None)
        if source is None:
            message = f"the pipeline's `{part}` is of `{library}`, which is neither diffusers nor transformers"
            raise fail("E224", message, place=str(folder / INDEX), help="name a pipeline of diffusers' own classes")
        kind = getattr(source, name, None)
        if hasattr(kind, "from_pretrained") and hasattr(kind, "state_dict"):
            found[part] = kind
    return found


def _programs(folder: Path) -> Iterator[Path]:
    """The files that diffusers takes for the pipeline's own code if they are there. `None.py` is what older versions
    look for when they were given no custom pipeline."""
    named = _index(folder).get("_class_name")
    yield from (folder / f"{name}.py" for name in ([named[0]] if isinstance(named, list) and named else []))
    yield folder / "None.py"
    yield from (folder / part / f"{library}.py" for part, (library, _) in parts(folder).items())


def _index(folder: Path) -> Mapping[str, Any]:
    try:
        found = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
