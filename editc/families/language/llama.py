"""The family of Llama 1 to 3 and models of the same build.

Their MLP has three matrices. A norm stands before it, or before both it and the attention beside it.
"""

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
