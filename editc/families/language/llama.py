"""Llama 1 to 3 and what is built like it: an MLP of three matrices with a norm before it, or beside the attention."""

from __future__ import annotations

from editc.families.language.transformers_layers import decoder

LLAMA = decoder(
    name="llama",
    title="Llama, Mistral, Qwen, SmolLM",
    model_types=(
        *("llama", "mistral", "qwen2", "qwen3", "smollm3", "gemma", "olmo", "ernie4_5", "helium"),
        *("stablelm", "granite", "cohere", "cohere2"),
        *("qwen2_vl_text", "qwen2_5_vl_text"),
    ),
    required_parameters=("*layers.*.mlp.gate_proj.weight", "*layers.*.self_attn.q_proj.weight"),
)
