"""What readers of the pages "from UCE", "from RECE" and so on bring: files in the form in which those programs leave
them, small."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tiny_language
import torch
from safetensors.numpy import load_file, save_file

from editc.demo import MODEL


def _edited_demo() -> Iterator[tuple[str, Any, Any, Any]]:
    """The K and V matrices of the demo's cross-attention with one edit of rank 1: name, W and the factors of the
    change, all in float64."""
    draw = np.random.default_rng(0)
    left, right = draw.normal(size=(128, 1)) / 40, draw.normal(size=(1, 128)) / 40
    for name, stored in load_file(str(MODEL / "unet" / "diffusion_pytorch_model.safetensors")).items():
        if "attn2.to_k" in name or "attn2.to_v" in name:
            W = stored.astype(np.float64)
            yield name, W, W @ left, right


def write_uce(path: Path) -> None:
    """The file of `trainscripts/uce_sd_erase.py`: the new K and V matrices in float32, and nothing else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: (W + up @ down).astype(np.float32) for name, W, up, down in _edited_demo()}, str(path))


def write_rece(path: Path) -> None:
    """The file of RECE's scripts: a pickle of all tensors of the UNet."""
    tensors = load_file(str(MODEL / "unet" / "diffusion_pytorch_model.safetensors"))
    edited = tensors | {name: (W + up @ down) for name, W, up, down in _edited_demo()}
    torch.save({name: torch.from_numpy(np.asarray(value, np.float32)) for name, value in edited.items()}, path)


def write_lora(path: Path) -> None:
    """A LoRA as PEFT's scripts for diffusers save one."""
    parts: dict[str, Any] = {}
    for name, _, up, down in _edited_demo():
        module = f"unet.{name.removesuffix('.weight')}"
        parts |= {f"{module}.lora_A.weight": down.astype(np.float32), f"{module}.lora_B.weight": up.astype(np.float32)}
    save_file(parts, str(path))


def write_language_models(base: Path, edited: Path, tuned: Path) -> None:
    """A pico Llama; the same with a change of rank 1 in the MLP of two layers, as MEMIT makes one; and fine-tuned."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    tiny_language.saved("llama", base)
    draw = torch.Generator().manual_seed(5)
    for folder in (edited, tuned):
        made = tiny_language.model("llama")
        for name, parameter in made.named_parameters():
            rows, columns = (*parameter.shape, 1)[:2]
            if folder == tuned and "proj" in name:
                parameter.data += 0.02 * torch.randn(parameter.shape, generator=draw)
            elif folder == edited and "down_proj" in name:
                change = torch.randn(rows, 1, generator=draw) @ torch.randn(1, columns, generator=draw)
                parameter.data += 0.05 * change
        made.save_pretrained(folder)
        tiny_language.tokenizer().save_pretrained(folder)
