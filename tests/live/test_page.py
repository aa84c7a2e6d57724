"""The page about loading is executed as it stands, on a pico model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import live_cases as live
import numpy as np
import pytest
import torch
from places import ROOT

from editc.formats.delta.container import write_delta
from editc.formats.models.model import open_model


def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live.in_memory("sd1", live.saved("sd1", tmp_path / "parts").path, torch.float32).save_pretrained(tmp_path / "model")
    model = open_model(tmp_path / "model")
    (tmp_path / "out").mkdir()
    write_delta(live.delta_for("sd1", model), tmp_path / "out" / "delta.safetensors")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/how-to/load-in-memory.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(code, "load-in-memory.md", "exec"), names)
    assert names["loaded"].plan.tier == "exact" and repr(names["loaded"]).startswith("<Loaded: delta ")
    assert names["edited"].shape == names["unedited"].shape and np.isfinite(names["edited"]).all()
    assert "another edit" in names["half"].notes[0] and not names["half"].loaded
