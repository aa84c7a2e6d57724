"""A model whose sites are ranked, copies of it with other values, and what its network can be asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from editc.core.delta import Array
from editc.core.places import Source
from editc.core.plan import Plan
from editc.core.ports import Conditioning
from editc.manifests.decode import decode
from editc.passes.images.locate.locate import Locate
from editc.verbs import open

ERASE = "edits:\n  - erase: circle\n    to: square\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from diffusers import DDIMScheduler

    folder = tiny.pipeline_folder(tmp_path_factory.mktemp("pico") / "model", dtype=torch.float32)
    DDIMScheduler(clip_sample=False).save_pretrained(folder / "scheduler")
    return folder


def copy_with(model: Path, to: Path, change: Callable[[str, Any], Any], part: str = "unet") -> Path:
    """The model with every cross-attention V replaced by `change(name, W)`."""
    import shutil

    shutil.copytree(model, to)
    path = to / part / "diffusion_pytorch_model.safetensors"
    tensors = {n: change(n, W) if n.endswith("attn2.to_v.weight") else W for n, W in load_file(path).items()}
    save_file(tensors, path)
    return to


def located(model: Path, text: str = ERASE, sites: str = "auto", seed: int = 0) -> Plan:
    manifest, found = decode(Source("m.yaml", f"editc: 1\nmodel: {model}\nseed: {seed}\n{text}sites: {sites}\n"))
    assert manifest is not None, found
    opened = open.open_decoded(manifest)
    return Locate()(manifest, opened.kind.open_ports(opened, None))


def told(seed: int, count: int = 3) -> Conditioning:
    """Random rows of `count` prompts."""
    return Conditioning.of(list(draw(seed, count, 32, 32)))


def draw(seed: int, *shape: int) -> Array:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape))
