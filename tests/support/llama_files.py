"""A pico Llama as transformers names it, in safetensors and in GGUF with any quantisation, and deltas for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tiny_files import noise, pack, sealed

from editc.core.delta import Delta, Factors, Form, Site
from editc.core.site_bytes import site_record
from editc.formats.models.model import Model, open_model
from editc.numerics.bits import dtypes

WIDTH, INNER, LAYERS, HEADS = 64, 128, 2, 4
PARTS = {
    "self_attn.q_proj": (WIDTH, WIDTH),
    "self_attn.k_proj": (WIDTH, WIDTH),
    "self_attn.v_proj": (WIDTH, WIDTH),
    "self_attn.o_proj": (WIDTH, WIDTH),
    "mlp.gate_proj": (INNER, WIDTH),
    "mlp.up_proj": (INNER, WIDTH),
    "mlp.down_proj": (WIDTH, INNER),
}
THEIRS = dict(zip(PARTS, ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"), strict=True))
DOWN = tuple(f"model.layers.{i}.mlp.down_proj.weight" for i in range(LAYERS))
OUT = tuple(f"model.layers.{i}.self_attn.o_proj.weight" for i in range(LAYERS))
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "vocab_size": 96,
    "tie_word_embeddings": True,
}


def weights() -> dict[str, NDArray[np.float64]]:
    """All matrices and norms, float32 values."""
    found = {"model.embed_tokens.weight": noise(1, (96, WIDTH)), "model.norm.weight": np.ones(WIDTH)}
    for i in range(LAYERS):
        for j, (part, shape) in enumerate(PARTS.items()):
            found[f"model.layers.{i}.{part}.weight"] = np.random.default_rng(10 * i + j).normal(size=shape) * 0.03
        for norm in ("input_layernorm", "post_attention_layernorm"):
            found[f"model.layers.{i}.{norm}.weight"] = np.ones(WIDTH)
    return {name: dtypes.round_to(values, "F32") for name, values in found.items()}


def folder(place: Path, dtype: str = "F32") -> Model:
    """A transformers folder."""
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps(CONFIG))
    parts = {name: (dtype, values.shape, dtypes.encode(values, dtype)) for name, values in weights().items()}
    (place / "model.safetensors").write_bytes(pack(parts, {"format": "pt"}))
    return open_model(place)


def eight_bit(place: Path, dtype: str, scale: str = "weight_scale", rows: bool = False) -> Model:
    """A transformers folder whose o_proj and down_proj are 8-bit floats with a scale a tensor or a row."""
    model = folder(place)
    parts: dict[str, tuple[str, tuple[int, ...], bytes]] = {}
    for name, values in weights().items():
        if name not in (*DOWN, *OUT):
            parts[name] = ("F32", values.shape, dtypes.encode(values, "F32"))
            continue
        size = np.abs(values).max(1, keepdims=True) if rows else np.abs(values).max(keepdims=True)
        factor = dtypes.round_to(size / (448 if dtype == "F8_E4M3" else 57344), "F32")
        parts[name] = (dtype, values.shape, dtypes.encode(values / factor, dtype))
        kept = factor.shape if rows else ()
        parts[f"{name.removesuffix('.weight')}.{scale}"] = ("F32", kept, dtypes.encode(factor.reshape(kept), "F32"))
    (place / "model.safetensors").write_bytes(pack(parts, {"format": "pt"}))
    return model


def gguf(place: Path, kind: str = "Q8_0", architecture: str = "llama", more: Mapping[str, str] | None = None) -> Model:
    """A GGUF file by the library's own writer and quantisation; matrices in `kind`, the others in float32."""
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize

    writer = GGUFWriter(place, architecture)
    writer.add_type("model")
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_token_list(["a", "b", "caf\u00e9"])
    writer.add_array("odd.numbers", [1, 3, 5])
    for key, value in (more or {}).items():
        writer.add_string(key, value)
    for name, values in weights().items():
        wide, theirs = values.astype(np.float32), their_name(name)
        if values.ndim == 1:
            writer.add_tensor(theirs, wide)
        else:
            made = GGMLQuantizationType[kind]
            writer.add_tensor(theirs, quantize(wide, made), raw_dtype=made)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return open_model(place)


def their_name(name: str) -> str:
    """llama.cpp's name, written down here by hand."""
    fixed = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in fixed:
        return fixed[name]
    _, _, block, part = name.removesuffix(".weight").split(".", 3)
    norms = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    return f"blk.{block}.{(THEIRS | norms)[part]}.weight"


def delta(form: Form = "low-rank", names: Sequence[str] = DOWN, size: float = 0.5, rank: int = 2) -> Delta:
    """An edit of those matrices, with |dW| about `size` times |W|."""
    base = weights()
    sites = [Site("model", name, base[name].shape, "F32", "v") for name in names]
    lefts, rights = [], []
    for k, name in enumerate(names):
        d_out, d_in = base[name].shape
        left = noise(50 + k, (d_in if form == "shared" else d_out, rank))
        right = noise(70 if form == "shared" else 70 + k, (rank, d_in))
        change = base[name] @ left @ right if form == "shared" else left @ right
        left = left * size * np.linalg.norm(base[name]) / np.linalg.norm(change)
        lefts.append((left if form != "dense" else left @ right).astype(np.float32))
        rights.append(right.astype(np.float32))
    shared = form == "shared"
    kept = () if form == "dense" else tuple(rights[:1] if shared else rights)
    factors = Factors(form, tuple(range(len(sites))), tuple(lefts[:1] if shared else lefts), kept)
    records = tuple(site_record(site, base[site.name], factors, k) for k, site in enumerate(sites))
    made = Delta(
        family="llama",
        sites=records,
        factors={"mlp": factors},
        encoder="",
        manifest="editc: 1\n",
        manifest_digest="d" * 64,
        edits=({"kind": "erase", "concept": "circle", "method": "uce", "strength": 1.0},),
        claims=(),
        tool="editc 0",
    )
    return sealed(replace(made, delta_id=""))
