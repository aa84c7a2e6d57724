"""Makes the list of networks that editc knows without diffusers (`editc.opening.known_networks`).

python -m benchmarks.known_networks            compares the list with the diffusers that is installed
python -m benchmarks.known_networks --write    makes it again
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from editc.demo import MODEL
from editc.opening import known_networks

FREE = {
    "UNet2DConditionModel": ["sample_size", "upcast_attention"],
    "AutoencoderKL": ["force_upcast", "sample_size", "scaling_factor"],
}
"""Class -> settings that differ between published models and shape no tensor."""
SD_VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "layers_per_block": 2,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
SDXL = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "attention_head_dim": [5, 10, 20],
    "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "projection_class_embeddings_input_dim": 2816,
    "transformer_layers_per_block": [1, 2, 10],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "use_linear_projection": True,
}
SD2 = {"attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024, "use_linear_projection": True}
SIXTEEN = {"latent_channels": 16, "use_post_quant_conv": False, "use_quant_conv": False}
PUBLISHED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "Stable Diffusion 1": ("UNet2DConditionModel", {"cross_attention_dim": 768}),
    "Stable Diffusion 1, inpainting": ("UNet2DConditionModel", {"cross_attention_dim": 768, "in_channels": 9}),
    "Stable Diffusion 2": ("UNet2DConditionModel", SD2),
    "Stable Diffusion 2, inpainting": ("UNet2DConditionModel", {**SD2, "in_channels": 9}),
    "Stable Diffusion XL": ("UNet2DConditionModel", SDXL),
    "Stable Diffusion 1, 2 and XL": ("AutoencoderKL", SD_VAE),
    "Stable Diffusion 3 and FLUX.1": ("AutoencoderKL", {**SD_VAE, **SIXTEEN}),
}
"""Title -> class, and its settings other than the defaults."""
OLD_NAMES = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
"""Names of attention layers in VAEs -> their names in files of older versions, which most published ones are."""


@dataclass(frozen=True)
class Entry:
    """A network of the list, as diffusers makes it."""

    title: str
    """The models that have it."""
    kind: Any
    """Its class in diffusers."""
    settings: Mapping[str, Any]
    """The settings that shape it and differ from the defaults of the class."""
    headers: tuple[Mapping[str, tuple[int, ...]], ...]
    """Name of a tensor -> its shape, for each set of names that diffusers reads."""


def entries() -> Iterator[Entry]:
    """Every network of the list, made without memory for its weights."""
    import diffusers
    import torch

    for title, (name, settings) in {**PUBLISHED, **_demo()}.items():
        kind = getattr(diffusers, name)
        with torch.device("meta"):
            network = kind.from_config(dict(settings))
        shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        shaping = known_networks.shaping_settings(settings, defaults(kind), FREE[name])
        assert shaping is not None
        yield Entry(title, kind, shaping, tuple(_headers(shapes)))


def defaults(kind: Any) -> Mapping[str, Any]:
    """The settings of a class with their defaults, as JSON has them."""
    found = {name: one.default for name, one in signature(kind.__init__).parameters.items() if name != "self"}
    plain: Mapping[str, Any] = json.loads(json.dumps(found, sort_keys=True))
    return plain


def listed() -> Mapping[str, Any]:
    """What `known_networks.json` should hold."""
    found: dict[str, Any] = {}
    for one in entries():
        name = one.kind.__name__
        row = found.setdefault(name, {"defaults": defaults(one.kind), "free": FREE[name], "networks": []})
        headers = [known_networks.digest(header) for header in one.headers]
        row["networks"].append({"title": one.title, "settings": dict(sorted(one.settings.items())), "headers": headers})
    return found


def _demo() -> Mapping[str, tuple[str, Mapping[str, Any]]]:
    """The networks of the demo model, by their own config.json."""
    found = {}
    for part in ("unet", "vae"):
        settings = json.loads((MODEL / part / "config.json").read_text(encoding="utf-8"))
        found[f"editc:demo, {part}"] = settings["_class_name"], settings
    return found


def _headers(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Mapping[str, tuple[int, ...]]]:
    """The header, and the one with the old names of attention layers where a VAE has some."""
    yield shapes
    old = {_old_name(name): shape for name, shape in shapes.items()}
    if old.keys() != shapes.keys() and all("mid_block.attentions" in name for name in old.keys() - shapes.keys()):
        yield old


def _old_name(name: str) -> str:
    """The old name of a parameter of a VAE's attention."""
    for new, old in OLD_NAMES.items():
        name = name.replace(new, old) if name.startswith(("encoder.mid_block", "decoder.mid_block")) else name
    return name


def main() -> int:
    """Writes the list, or says whether it is that of the installed diffusers."""
    text = json.dumps(listed(), indent=1) + "\n"
    if "--write" in sys.argv:
        known_networks.LIST.write_text(text, encoding="utf-8")
        return 0
    same = known_networks.LIST.read_text(encoding="utf-8") == text
    print("the list is that of the installed diffusers" if same else "the list differs: --write makes it again")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
