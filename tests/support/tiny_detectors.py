"""Small CLIPs and image classifiers as folders, from the real classes, with weights drawn at random."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from editc.demo import MODEL

SIDE = 32
LABELS = ("tabby, tabby cat", "golden retriever", "sports car")


def pictures(count: int, seed: int = 0, height: int = 24, width: int = 40) -> NDArray[np.uint8]:
    """Random pictures (n, h, w, 3), each of a tint of its own: no two rows of pixels alike, and not square."""
    rng = np.random.default_rng(seed)
    tint = rng.uniform(0, 1, (count, 1, 1, 3)) ** 2
    return np.asarray(tint * rng.integers(0, 256, (count, height, width, 3)), np.uint8)


def clip_folder(folder: Path, seed: int = 0) -> Path:
    """A CLIP with towers of different widths, its tokenizer that of the demo model, its pictures cut square."""
    from transformers import CLIPConfig, CLIPModel

    known = json.loads((MODEL / "text_encoder" / "config.json").read_text())
    names = ("vocab_size", "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id")
    small: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"hidden_size": 16, "intermediate_size": 32, **small, **{name: known[name] for name in names}}
    vision = {"hidden_size": 24, "intermediate_size": 48, **small, "image_size": SIDE, "patch_size": 8}
    torch.manual_seed(seed)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=20))
    for name, one in model.named_parameters():  # as drawn, all pictures are nearly alike
        if one.dim() > 1:
            torch.nn.init.normal_(one, std=0.3)
        elif name.endswith("bias"):
            torch.nn.init.normal_(one, std=0.1)
    model.save_pretrained(folder)
    shutil.copytree(MODEL / "tokenizer", folder, dirs_exist_ok=True)
    whole = {"do_resize": True, "do_center_crop": True, "do_rescale": True, "do_normalize": True, "resample": 3}
    sizes = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    processor(folder, image_processor_type="CLIPImageProcessor", **whole, **sizes)
    return folder


def classifier_folder(folder: Path, seed: int = 1, several: bool = False, labels: tuple[str, ...] = LABELS) -> Path:
    """A ViT with these labels, one a picture or `several`."""
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(seed)
    config = ViTConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=8,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        problem_type="multi_label_classification" if several else "single_label_classification",
    )
    model = ViTForImageClassification(config)
    for name, one in model.named_parameters():  # as drawn, every picture has the same label
        if one.dim() > 1 and "token" not in name and "position" not in name:
            torch.nn.init.normal_(one, std=0.4)
    model.save_pretrained(folder)
    processor(folder, image_processor_type="ViTImageProcessor", size={"height": SIDE, "width": SIDE}, resample=2)
    return folder


def processor(folder: Path, **settings: Any) -> None:
    """How pictures are prepared, as `preprocessor_config.json` says it."""
    usual = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}
    (folder / "preprocessor_config.json").write_text(json.dumps({**usual, **settings}))
