"""What a pipeline's model_index.json says about its parts, and which of them bring code of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from editc.core.diagnostics import fail

INDEX = "model_index.json"
"""The file in which diffusers names a pipeline's parts."""


def parts(folder: Path) -> Mapping[str, tuple[str, str]]:
    """Part -> its library and class, for the parts that are there. {} where there is no readable index."""
    named = {name: value for name, value in _index(folder).items() if isinstance(value, list) and len(value) == 2}
    return {
        name: (value[0], value[1])
        for name, value in named.items()
        if all(isinstance(one, str) for one in value) and not name.startswith("_")
    }


def refuse_own_code(folder: Path) -> None:
    """Raises E224 where the index names a Python file in the folder, as the pipeline or as a part of it. diffusers runs
    such files, some versions without being asked."""
    found = sorted({path.relative_to(folder).as_posix() for path in _programs(folder) if path.is_file()})
    if found:
        message = (
            f"the pipeline has code of its own, which editc does not run: {', '.join(f'`{name}`' for name in found)}"
        )
        help_text = "name a pipeline whose classes are those of diffusers and transformers"
        raise fail("E224", message, place=str(folder / INDEX), help=help_text)


def networks(folder: Path) -> Mapping[str, Any]:
    """Part -> its class, for the parts that are loaded from weights. Imports diffusers. Raises E224 where a part comes
    from another library or from code in the folder."""
    import diffusers
    import transformers

    refuse_own_code(folder)
    found = {}
    for part, (library, name) in parts(folder).items():
        known = {"diffusers": diffusers, "transformers": transformers}.get(library)
        source = known or getattr(diffusers.pipelines, library, None)
        if source is None:
            message = f"the pipeline's `{part}` comes from `{library}`, which is neither diffusers nor transformers"
            raise fail("E224", message, place=str(folder / INDEX), help="name a pipeline of diffusers' own classes")
        kind = getattr(source, name, None)
        if hasattr(kind, "from_pretrained") and hasattr(kind, "state_dict"):
            found[part] = kind
    return found


def _programs(folder: Path) -> Iterator[Path]:
    """The files that diffusers takes for the pipeline's own code where they exist. Older versions look for `None.py`
    when no custom pipeline is given."""
    named = _index(folder).get("_class_name")
    yield from (folder / f"{name}.py" for name in ([named[0]] if isinstance(named, list) and named else []))
    yield folder / "None.py"
    yield from (folder / part / f"{library}.py" for part, (library, _) in parts(folder).items())


def _index(folder: Path) -> Mapping[str, Any]:
    """The index as JSON; {} where it is missing or damaged."""
    try:
        found = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
