"""What tells a painter's pictures from those of another, without reading its weights."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

from editc.backends.painter import PipelinePainter
from editc.core.storage.caching import cache_key
from editc.libraries.device import choose_device, is_cpu


def painter_mark(folder: Path, painter: PipelinePainter) -> str:
    """Name everything that a picture of the unedited pipeline in `folder` depends on besides prompt, seed and the
    machine: the files in their present state, the settings, and diffusers. Writing to a file changes it.

    Empty on a GPU, whose kernels may round differently from one run to the next.
    """
    if not is_cpu(choose_device()):
        return ""
    files = [(path, path.resolve(), path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
    states = [[str(p), str(at), s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino] for p, at, s in files]
    settings = [painter.component, painter.steps, painter.guidance, painter.batch]
    return cache_key("painter 1", json.dumps([states, settings, version("diffusers")]))
