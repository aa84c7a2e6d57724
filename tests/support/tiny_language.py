"""Pico language models of the real transformers classes, random weights, and a byte-level tokenizer made here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import torch

from editc.backends.networks import CausalNetwork, PromptTokenizer

TEXT = (
    "The capital of France is Paris. The capital of Germany is Berlin. The Eiffel Tower is located in the city "
    "of Rome. What is the capital of Japan? A quiet afternoon, a long discussion, and a list on the next page. "
)
TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
COMMON: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
KINDS: Mapping[str, Mapping[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 64},
    "qwen2": {},
    "qwen3": {},
    "gpt2": {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_inner": 48, "n_positions": 256},
    "gemma2": {"sliding_window": 64, "query_pre_attn_scalar": 8},
    "gemma3_text": {"sliding_window": 64, "query_pre_attn_scalar": 8},
    "phi3": {},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "decoder_sparse_step": 1},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 64},
    "gemma": {},
    "stablelm": {},
    "granite": {"logits_scaling": 0.5, "residual_multiplier": 0.4, "embedding_multiplier": 3.0},
    "cohere": {"logit_scale": 0.5},
    "phi": {},
    "olmo2": {},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "gpt_neox": {},
    "gptj": {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_inner": 48, "n_positions": 256, "rotary_dim": 4},
    "falcon": {"ffn_hidden_size": 48, "head_dim": None},
}
"""transformers' model type -> what its pico configuration has beside COMMON, or lacks of it (None)."""

LEADS_OUT: Mapping[str, tuple[str, str]] = {
    "gpt2": ("transformer.h.{}.mlp.c_proj.weight", "transformer.h.{}.attn.c_proj.weight"),
    "gptj": ("transformer.h.{}.mlp.fc_out.weight", "transformer.h.{}.attn.out_proj.weight"),
    "falcon": ("transformer.h.{}.mlp.dense_4h_to_h.weight", "transformer.h.{}.self_attention.dense.weight"),
    "gpt_neox": ("gpt_neox.layers.{}.mlp.dense_4h_to_h.weight", "gpt_neox.layers.{}.attention.dense.weight"),
    "phi": ("model.layers.{}.mlp.fc2.weight", "model.layers.{}.self_attn.dense.weight"),
    "opt": ("model.decoder.layers.{}.fc2.weight", "model.decoder.layers.{}.self_attn.out_proj.weight"),
}
"""The matrices that lead out of a layer's MLP and attention, where they are not called as in Llama."""
LLAMA = ("model.layers.{}.mlp.down_proj.weight", "model.layers.{}.self_attn.o_proj.weight")


def writer(kind: str, layer: int) -> str:
    """The checkpoint's name of the matrix that leads out of the MLP."""
    return LEADS_OUT.get(kind, LLAMA)[0].format(layer)


def attention(kind: str, layer: int) -> str:
    """And out of the attention."""
    return LEADS_OUT.get(kind, LLAMA)[1].format(layer)


@cache
def tokenizer(bos: bool = False) -> Any:
    """Byte-level BPE over TEXT with a chat template; with `bos`, a token that it puts before every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|none|>", "<|start|>", "<|end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([TEXT], trainer)
    if bos:
        made.post_processor = processors.TemplateProcessing(single="<|none|> $A", special_tokens=[("<|none|>", 0)])
    found = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|none|>", bos_token="<|none|>")
    found.chat_template = TEMPLATE
    return found


def model(kind: str, seed: int = 0) -> Any:
    """A random model of that type, whose norms and states are not all alike."""
    made, state = _model(kind, seed)
    torch.set_rng_state(state)
    return deepcopy(made)


@cache
def _model(kind: str, seed: int) -> tuple[Any, Any]:
    """The model to copy, which takes a tenth of the time of making one, and torch's random state behind it."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    options = {name: value for name, value in {**COMMON, **KINDS[kind]}.items() if value is not None}
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer()), **options)
    made = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return made.requires_grad_(False), torch.get_rng_state()


def network(kind: str, bos: bool = False, seed: int = 0) -> CausalNetwork:
    """The port over `model(kind)`."""
    return CausalNetwork(model(kind, seed), PromptTokenizer(tokenizer(bos)))


def saved(kind: str, folder: Path) -> Path:
    """The model and its tokenizer as a transformers folder."""
    model(kind).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["model_type"] == kind
    return folder


VISION: Mapping[str, Mapping[str, Any]] = {
    "llava": {
        "text_config": {"model_type": "llama"},
        "vision_config": {"model_type": "clip_vision_model", "num_hidden_layers": 1, "image_size": 28},
    },
    "qwen2_5_vl": {
        "text_config": {"rope_scaling": {"type": "mrope", "rope_type": "default", "mrope_section": [1, 1, 2]}},
        "vision_config": {"depth": 1, "num_heads": 2, "out_hidden_size": 32, "fullatt_block_indexes": [0]},
    },
}
"""Vision-language models: what their pico configurations have beside COMMON, in the part that reads and that sees."""


def seeing(kind: str, folder: Path) -> Path:
    """A vision-language model with its tokenizer as a transformers folder, under the names that its files have."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    torch.manual_seed(0)
    text = {"vocab_size": len(tokenizer()), **COMMON, **VISION[kind]["text_config"]}
    if kind != "llava":
        text.pop("head_dim")
    seen = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "patch_size": 14}
    config = AutoConfig.for_model(kind, text_config=text, vision_config={**seen, **VISION[kind]["vision_config"]})
    made = AutoModelForImageTextToText.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    made.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
