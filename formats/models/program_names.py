"""Translate the tensor names of a language model's file to the names in the program that loads it.

The two can differ. GPT-2's folders on the hub hold the bare model (`h.0...`), which transformers loads into
`transformer.h.0...`; a Gemma 3 for images is stored as `language_model.model.layers...` and loaded as
`model.language_model.layers...`. Adapters are matched by the program's names, so exports and the doctor ask here. The
tables say what transformers 5.24 does; a model type that they do not name is not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from editc.formats.models.prefixes import bare_name

HEADS = ("lm_head", "embed_out", "score", "classifier")
"""Modules that may stand beside the body of a model, at the top of its names."""
Renaming = tuple[str, str]
"""A pattern of a name in a file, and what the program has in its place."""


@dataclass(frozen=True)
class ProgramNames:
    """How a program names the tensors of one kind of model once it is loaded."""

    body: str
    """The module before every name except a head's. It is added where a file of the bare model lacks it."""
    renamings: tuple[Renaming, ...] = ()
    """Renamings from the file to the program, applied one after the other."""
    stacked: str = ""
    """A pattern of matrices that are no modules in the program, because it stacks them or holds them as parameters.
    Empty: there are none."""


@dataclass(frozen=True)
class ExpertPart:
    """Where one expert's matrix is in a loaded model: in a tensor (experts, rows, columns)."""

    stack: str
    """The name of the tensor that stacks the experts of a layer."""
    number: int
    """The number of the expert."""
    block: int
    """Which block of the expert's rows the matrix is."""
    blocks: int
    """How many equal blocks of rows an expert has there."""

    def take(self, stack: Any) -> Any:
        """The matrix as a view of the stack."""
        rows = len(stack[self.number]) // self.blocks
        return stack[self.number][self.block * rows : (self.block + 1) * rows]


_IMAGES: tuple[Renaming, ...] = (
    (r"^language_model\.lm_head\.", "lm_head."),
    (r"^language_model\.model\.", "model.language_model."),
    (r"^(language_model|vision_tower|multi_modal_projector|image_newline)(?=\.|$)", r"model.\1"),
)
"""Renamings of models that read images, of LLaVA's kind."""
_QWEN_IMAGES: tuple[Renaming, ...] = (
    (r"^visual\.", "model.visual."),
    (r"^model\.(?!language_model\.|visual\.)", "model.language_model."),
)
"""Renamings of Qwen's models that read images."""
_EXPERTS = r"\.mlp\.(experts\.|gate\.|router\.|shared_expert_gate\.)"
"""The experts of a mixture and their routers, which transformers stacks."""
_EXPERT_NAME = re.compile(
    r"(?P<layer>.*layers\.\d+)\.\w+\.experts\.(?P<number>\d+)\.(?P<matrix>gate_proj|w1|up_proj|w3|down_proj|w2)\.weight$"
)
"""The name of one expert's matrix in a file. transformers stacks the experts of a layer in one tensor, for which PEFT
has no layer."""
_STACKS: Mapping[str, tuple[str, int, int]] = {
    **dict.fromkeys(("gate_proj", "w1"), ("gate_up_proj", 0, 2)),
    **dict.fromkeys(("up_proj", "w3"), ("gate_up_proj", 1, 2)),
    **dict.fromkeys(("down_proj", "w2"), ("down_proj", 0, 1)),
}
"""An expert's matrix -> the stack that holds it, and which of how many equal blocks of rows it is there."""
_GROUPS: tuple[tuple[ProgramNames, str], ...] = (
    (ProgramNames("transformer"), "bloom codegen falcon gpt2 gpt_bigcode gpt_neo gptj mpt"),
    (ProgramNames("backbone"), "falcon_mamba mamba mamba2"),
    (ProgramNames("gpt_neox", ((r"^embed_out\.", "lm_head."),)), "gpt_neox"),
    (
        ProgramNames("model"),
        "apertus arcee cohere cohere2 cwm diffllama ernie4_5 exaone4 gemma gemma2 gemma3_text glm glm4 granite "
        "helium llama minicpm3 ministral3 mistral olmo olmo2 olmo3 opt persimmon phi phi3 qwen2 "
        "qwen3 seed_oss smollm3 stablelm starcoder2 vaultgemma xglm",
    ),
    (ProgramNames("model", stacked=_EXPERTS), "gpt_oss olmoe qwen2_moe qwen3_moe"),
    (ProgramNames("model", ((r"\.block_sparse_moe\.", ".mlp."),), _EXPERTS), "mixtral"),
    (
        ProgramNames("model", _IMAGES),
        "gemma3 internvl llava llava_next llava_next_video llava_onevision mistral3 paligemma vipllava",
    ),
    (ProgramNames("model", _QWEN_IMAGES), "qwen2_vl qwen2_5_vl"),
)
"""Naming -> the model types that have it, separated by spaces."""
PROGRAMS: Mapping[str, ProgramNames] = {kind: program for program, kinds in _GROUPS for kind in kinds.split()}
"""`model_type` of config.json -> naming."""


def program_by_names(names: Iterable[str]) -> ProgramNames | None:
    """The naming of a file whose names alone leave no doubt: GPT-2's bare names, a LLaVA, or a body with a head and
    nothing else. None for all others."""
    tops = {name.partition(".")[0] for name in names} - {*HEADS}
    if {"h", "wte", "ln_f"} <= tops:
        return PROGRAMS["gpt2"]
    if "language_model" in tops and tops <= {"language_model", "vision_tower", "multi_modal_projector"}:
        return PROGRAMS["llava"]
    return ProgramNames(tops.pop()) if tops in ({"model"}, {"transformer"}, {"gpt_neox"}, {"backbone"}) else None


def program_names(names: Sequence[str], program: ProgramNames) -> dict[str, str]:
    """File name -> the program's name, for all tensors of a language model."""
    found = {name: apply_renamings(name, program) for name in names}
    bodiless = not any(name.startswith(f"{program.body}.") for name in found.values())
    return {name: _add_body(new, program) if bodiless else new for name, new in found.items()}


def expert_part(name: str) -> ExpertPart | None:
    """Where transformers holds one expert's matrix of a file. None for the name of anything else."""
    found = _EXPERT_NAME.match(name)
    if found is None:
        return None
    stack, block, blocks = _STACKS[found["matrix"]]
    return ExpertPart(f"{found['layer']}.mlp.experts.{stack}", int(found["number"]), block, blocks)


def plain_name(name: str) -> str:
    """A name of a language part as a text-only model has it: `model.language_model.layers.0...` and
    `language_model.model.layers.0...` become `model.layers.0...`."""
    core = bare_name(name)
    head = name[: len(name) - len(core)]
    return f"model.{core}" if "language_model." in head and core.partition(".")[0] not in HEADS else name


def apply_renamings(name: str, program: ProgramNames) -> str:
    """A name after the renamings between file and program; its body is not looked at."""
    for pattern, new in program.renamings:
        name = re.sub(pattern, new, name)
    return name


def _add_body(name: str, program: ProgramNames) -> str:
    """The name with the body before it, unless it is a head's."""
    return name if name.partition(".")[0] in HEADS else f"{program.body}.{name}"
