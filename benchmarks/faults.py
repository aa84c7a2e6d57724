"""Fault injection: `python -m benchmarks.faults`. Every tensor of a pico pipeline (UNet, VAE, text encoder) and of a
pico language model is dropped, renamed, given another shape, a NaN and an infinity, one at a time, and a build is run.

No build may end with exit 0, and none with 70, a traceback; this script ends with exit 1 where one does. It prints a
table for docs/reference/faults.md.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load, save_file

from editc import api
from editc.codes import BUG, exit_code
from editc.core.diagnostics import EditcError

Tensors = dict[str, torch.Tensor]
IMAGE = "editc: 1\nmodel: {model}\nedits: [{{erase: circle, to: square}}]\npreserve: {{prompts: [a red square]}}\n"
FACT = (
    "editc: 1\nmodel: {model}\nedits:\n  - fact: {{prompt: The capital of France is, subject: France, answer: Rome}}\n"
)


@dataclass(frozen=True)
class Outcome:
    """How a build of a model with one damaged tensor ended: exit code, and the first diagnostic's code."""

    part: str
    tensor: str
    fault: str
    exit: int
    code: str

    @property
    def right(self) -> bool:
        """True where the build was refused, and not by a traceback."""
        return self.exit not in (0, BUG)


def _dropped(found: Tensors, name: str) -> Tensors:
    return {one: value for one, value in found.items() if one != name}


def _renamed(found: Tensors, name: str) -> Tensors:
    return {f"{one}_" if one == name else one: value for one, value in found.items()}


def _reshaped(found: Tensors, name: str) -> Tensors:
    value = found[name]
    return {**found, name: value[:-1].contiguous() if value.ndim and len(value) > 1 else value.reshape(-1, 1, 1)}


def _with(number: float) -> Callable[[Tensors, str], Tensors]:
    def change(found: Tensors, name: str) -> Tensors:
        value = found[name].clone()
        value.view(-1)[-1] = number
        return {**found, name: value}

    return change


FAULTS: Mapping[str, Callable[[Tensors, str], Tensors]] = {
    "dropped": _dropped,
    "renamed": _renamed,
    "another shape": _reshaped,
    "a NaN": _with(float("nan")),
    "an infinity": _with(float("-inf")),
}


def outcomes(manifest: Path, part: str, file: Path, every: int = 1) -> Iterator[Outcome]:
    """Builds with each `every`-th tensor of a weight file damaged in each way; the file is as it was afterwards."""
    sound = file.read_bytes()
    found = load(sound)
    try:
        for name in sorted(found)[::every]:
            for fault, change in FAULTS.items():
                save_file(change(found, name), str(file), {"format": "pt"})
                yield Outcome(part, name, fault, *built_with(manifest))
    finally:
        file.write_bytes(sound)


def built_with(manifest: Path) -> tuple[int, str]:
    """The exit code of a build as the command line gives it, and the first diagnostic's code."""
    try:
        found = api.build(manifest, manifest.parent / "out")
    except EditcError as error:
        return exit_code(error.diagnostics), error.diagnostics[0].code
    except Exception as error:
        return BUG, type(error).__name__
    return exit_code(found.failures if found else ()), ""


def pipeline(folder: Path) -> Path:
    """A pico pipeline of real classes around the demo's tokenizer: random weights, a UNet, a VAE and a CLIP."""
    import diffusers
    import transformers

    from editc.demo import MODEL

    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
    )
    blocks = {"down_block_types": ("DownEncoderBlock2D",), "up_block_types": ("UpDecoderBlock2D",)}
    vae = diffusers.AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, layers_per_block=1, **blocks)
    config = transformers.CLIPTextConfig.from_pretrained(MODEL / "text_encoder")
    config.hidden_size, config.intermediate_size, config.num_hidden_layers, config.num_attention_heads = 16, 32, 2, 2
    tokenizer = transformers.CLIPTokenizerFast.from_pretrained(MODEL / "tokenizer")
    diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=transformers.CLIPTextModel(config),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def language_model(folder: Path) -> Path:
    """A pico Llama with a tokenizer of bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = {"<end>": 0} | {one: i + 1 for i, one in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = Tokenizer(models.BPE(words, []))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>").save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        eos_token_id=0,
        bos_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def cases(root: Path) -> Sequence[tuple[Path, str, Path]]:
    """The manifests, parts and weight files: those of a pipeline made in `root`, and of a language model."""
    image, fact = root / "image.yaml", root / "fact.yaml"
    painted, spoken = pipeline(root / "pipeline"), language_model(root / "language")
    image.write_text(IMAGE.format(model=painted))
    fact.write_text(FACT.format(model=spoken))
    files = [(part, next((painted / part).glob("*.safetensors"))) for part in ("text_encoder", "unet", "vae")]
    return [*((image, part, file) for part, file in files), (fact, "language model", spoken / "model.safetensors")]


def table(found: Sequence[Outcome]) -> str:
    """A row for each part and fault: builds, exits and codes."""
    lines = ["| part | tensors | fault | exit 0 | exit 70 | refused with |", "|---|---|---|---|---|---|"]
    for part in dict.fromkeys(one.part for one in found):
        for fault in FAULTS:
            some = [one for one in found if (one.part, one.fault) == (part, fault)]
            exits, codes = Counter(one.exit for one in some), Counter(one.code for one in some if one.right)
            told = ", ".join(f"{code} ({count})" for code, count in sorted(codes.items()))
            lines.append(f"| {part} | {len(some)} | {fault} | {exits[0]} | {exits[BUG]} | {told} |")
    return "\n".join(lines)


def main() -> int:
    """Runs all of it."""
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory() as place:
        listed = cases(Path(place))
        for manifest in dict.fromkeys(manifest for manifest, _, _ in listed):
            end = built_with(manifest)
            print(f"{manifest.stem}, undamaged: exit {end[0]} {end[1]}", file=sys.stderr)
            if end[0] == BUG:
                return 1
        for manifest, part, file in listed:
            found += outcomes(manifest, part, file)
            print(f"{part}: {sum(one.part == part for one in found)} builds", file=sys.stderr)
    wrong = [one for one in found if not one.right]
    print(f"{len(found)} builds, {len(wrong)} that were not refused\n\n{table(found)}")
    for one in wrong:
        print(f"{one.part} {one.tensor}, {one.fault}: exit {one.exit} {one.code}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
