"""LoRA files of UNets and text encoders in kohya's spelling, which diffusers, ComfyUI, A1111 and sd-scripts all read.

The names are `lora_unet_<module>.lora_down.weight` (r, d_in), `.lora_up.weight` (d_out, r) and `.alpha`. `<module>` is
the name in diffusers with `_` for `.`; two modules of SDXL have another name. For a text encoder they begin with
`lora_te_text_model_`. A loader multiplies up by alpha / r.
Every loader is exact if ranks are powers of two, every alpha in the file is 1, and up is multiplied by r; so the file
is written like this. If each alpha were its module's rank, diffusers 0.42 would give modules of other ranks 1/r of
their change, and would not say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from editc.core.delta import Delta
from editc.core.diagnostics import fail
from editc.core.family import TEXT_ENCODER
from editc.core.storage.disk import guard_writes, replace_file
from editc.formats.containers.canonical import DELTA_KEY
from editc.formats.containers.safetensors_write import StoredTensor, encode_tensor, file_bytes
from editc.formats.exports import embed, lowering
from editc.formats.exports.format import Format, Job, Written
from editc.formats.exports.kohya_names import ALPHA, DOWN, UP, module_name
from editc.formats.exports.suits import SUITS
from editc.formats.exports.trials import try_diffusers
from editc.numerics.bits import dtypes

COMPONENTS = ("unet", TEXT_ENCODER)
"""The components whose modules have names in this spelling."""
BASES = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}
"""Family -> the base model's name in kohya's metadata."""


def write(job: Job) -> Written:
    """Write one .safetensors file. Raises E675 to E678, E683 and E632."""
    lowering.check_components(job.delta, COMPONENTS, "kohya")
    lowering.check_components(job.delta, (), "kohya")
    lowered = lowering.to_low_rank(job)
    delta = lowering.pad_ranks(lowered.delta, lowering.power_of_two)
    found = lowering.convolution_shapes(delta, job.model)
    data = file_bytes(_encode_tensors(delta, found, job.dtype), _metadata(delta, found))
    with guard_writes(job.out):
        replace_file(job.out, data)
    return Written((job.out,), delta, lowered.rounding)


def parts(description: Mapping[str, Any], tensors: Mapping[str, Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the factors of the delta back from such a file: the inverse of `write`."""

    names = {site["name"]: module_name(site["name"], site["component"]) for site in description["sites"]}

    def pair(name: str) -> tuple[Any, Any]:
        up, down = tensors[names[name] + UP], tensors[names[name] + DOWN]
        rank = len(down)
        return up.reshape(-1, rank) / np.float32(rank), down.reshape(rank, -1)

    embed.check_count(tensors, 3 * len(description["sites"]))
    if any(float(tensors[module + ALPHA]) != 1.0 for module in names.values()):
        raise ValueError("an alpha is not 1")
    return embed.low_rank_parts(description, pair)


def _encode_tensors(delta: Delta, windows: Mapping[str, list[int]], dtype: str) -> dict[str, StoredTensor]:
    """Encode up, down and alpha of each module. `windows`: the shapes of convolutions, see
    `lowering.convolution_shapes`."""
    found = {}
    for record, left, right in lowering.pairs(delta):
        name, window = record.site.name, windows.get(record.site.name)
        rank = len(right)
        up, down = left * np.float32(rank), right
        if window:
            up, down = up.reshape(*up.shape, 1, 1), down.reshape(rank, *window)
        _check_range(up, left, rank, name, dtype)
        module = module_name(name, record.site.component)
        found[module + UP] = encode_tensor(up, dtype)
        found[module + DOWN] = encode_tensor(down, dtype)
        found[module + ALPHA] = encode_tensor(np.ones(()), dtype)
    return found


def _check_range(up: Any, left: Any, rank: int, name: str, dtype: str) -> None:
    """Raise E678 if up times its rank leaves the range of the dtype. Within the range, a factor times a power of two
    keeps its bits."""
    if not np.array_equal(dtypes.round_to(up.astype(np.float64), dtype).reshape(left.shape) / rank, left):
        help_ = "export it with `--dtype fp32` or `--dtype bf16`"
        raise fail("E678", f"the factor of '{name}' times its rank is too large for {dtype}", help=help_)


def _metadata(delta: Delta, windows: Mapping[str, list[int]]) -> dict[str, str]:
    """The metadata that kohya's tools and user interfaces read, and the note."""
    ranks = {str(len(right)) for _, _, right in lowering.pairs(delta)}
    rank = ranks.pop() if len(ranks) == 1 else "Dynamic"
    about = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": rank,
        "ss_network_alpha": "1.0",
        "ss_base_model_version": BASES.get(delta.family, ""),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": ", ".join(str(edit.get("concept", "")) for edit in delta.edits)[:200] + " (editc)",
    }
    return about | {DELTA_KEY: embed.make_note("kohya", delta, {"windows": windows} if windows else {})}


FORMAT = Format(
    name="kohya",
    output="delta.kohya.safetensors",
    says="a LoRA for UNets and text encoders: diffusers, ComfyUI, A1111, sd-scripts",
    suits=SUITS["kohya"],
    write=write,
    low_rank=True,
    trials=lambda job, written: (try_diffusers(job, written),),
    parts=parts,
)
