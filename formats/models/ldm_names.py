"""Translate the names of a Stable Diffusion UNet between LDM (single-file checkpoints) and diffusers. Names only.

LDM numbers its blocks through all levels (`input_blocks.4.1`), diffusers level by level (`down_blocks.1.attentions.0`).
The names show where a level ends. Going down, one more block halves the image (`input_blocks.3.0.op`,
`down_blocks.0.downsamplers`). Going up, the level's last block also doubles it (`output_blocks.2.1.conv`, or `.2.conv`
where an attention comes before). One rule therefore serves SD 1 and 2 (four levels) and SDXL (three levels, deeper
attentions).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
"""LDM's names inside a resnet -> those of diffusers."""
_OUTSIDE = {
    "input_blocks.0.0": "conv_in",
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
"""LDM's names outside the blocks -> those of diffusers."""
_LABELS = {"label_emb.0.0": "linear_1", "label_emb.0.2": "linear_2", "label_emb": ""}
"""LDM's names of the label embedding -> what follows the module's name in diffusers."""
_OLD_LEAVES = {"gamma": "weight", "alpha": "weight", "beta": "bias"}
"""Scale and shift of a norm as some exports name them -> their usual names."""

_LDM_BLOCK = re.compile(r"(input|output)_blocks\.(\d+)\.(\d+)\.(.+)", re.ASCII)
_LDM_MIDDLE = re.compile(r"middle_block\.(\d+)\.(.+)", re.ASCII)
_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", re.ASCII)
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", re.ASCII)


def is_ldm(names: Iterable[str]) -> bool:
    """True if these are the names of a whole LDM UNet. False for a ControlNet, which has no way up."""
    known = set(names)
    return {"input_blocks.0.0.weight", "middle_block.0.in_layers.2.weight", "out.2.weight"} <= known


def to_diffusers(names: Iterable[str]) -> dict[str, str]:
    """LDM name -> diffusers name, for all names of one UNet. Names that follow no rule are left out.

    Raises ValueError when two names would become one.
    """
    every = list(dict.fromkeys(names))
    ends = _LevelEnds(
        tuple(sorted({int(m[2]) for m in _match_blocks(every, "input") if m[3] == "0" and m[4].startswith("op.")})),
        tuple(sorted({int(m[2]) for m in _match_blocks(every, "output") if m[3] in "12" and m[4].startswith("conv.")})),
    )
    labels = _label_module(every)
    found = {name: _modern_leaf(known) for name in every if (known := ends.to_diffusers(name, labels))}
    if len(set(found.values())) < len(found):
        raise ValueError("two tensors have the same place in the UNet")
    return found


def to_ldm(names: Iterable[str]) -> dict[str, str]:
    """diffusers name -> LDM name, for all names of one UNet. Names that follow no rule are left out.

    Raises ValueError when a level has no resnet: then the names are not those of a whole UNet, and its blocks cannot be
    counted.
    """
    every = list(dict.fromkeys(names))
    down, up = _level_starts(every, "down"), _level_starts(every, "up")
    with_attention = {
        int(m[2]) for name in every if (m := _BLOCK.fullmatch(name)) and (m[1], m[3]) == ("up", "attentions")
    }
    return {name: known for name in every if (known := _ldm_name(name, down, up, with_attention))}


@dataclass(frozen=True)
class _LevelEnds:
    """The LDM block that ends each level of a UNet except the last."""

    halve: tuple[int, ...]
    """Numbers of the input blocks that halve the image, rising."""
    double: tuple[int, ...]
    """Numbers of the output blocks that double the image, rising."""

    def to_diffusers(self, name: str, labels: str) -> str:
        """The diffusers name; '' for a name that follows no rule. `labels` is diffusers' name of the label
        embedding."""
        if (head := _find_prefix(name, _OUTSIDE)) or (head := _find_prefix(name, _LABELS)):
            new = _OUTSIDE.get(head) or ".".join(filter(None, (labels, _LABELS.get(head, ""))))
            return new + name[len(head) :]
        if match := _LDM_MIDDLE.fullmatch(name):
            place, rest = int(match[1]), match[2]
            return f"mid_block.{_diffusers_block_name(place % 2, place // 2, rest)}"
        match = _LDM_BLOCK.fullmatch(name)
        return self._block_name(match[1], int(match[2]), int(match[3]), match[4]) if match else ""

    def _block_name(self, way: str, block: int, part: int, rest: str) -> str:
        """The diffusers name of a parameter of input or output block `block`; `part` is its number in the block."""
        if way == "input":
            level = bisect_left(self.halve, block)
            if block in self.halve:
                return f"down_blocks.{level}.downsamplers.0.conv.{rest.removeprefix('op.')}"
            number = block - 1 - (self.halve[level - 1] if level else 0)
            return f"down_blocks.{level}.{_diffusers_block_name(part, number, rest)}"
        level = bisect_left(self.double, block)
        if rest.startswith("conv.") and part:
            return f"up_blocks.{level}.upsamplers.0.{rest}"
        number = block - (self.double[level - 1] + 1 if level else 0)
        return f"up_blocks.{level}.{_diffusers_block_name(part, number, rest)}"


def _diffusers_block_name(part: int, number: int, rest: str) -> str:
    """The rest of a diffusers name: part 0 of a block is a resnet, part 1 an attention, whose own names both programs
    share."""
    if part:
        return f"attentions.{number}.{rest}"
    head = _find_prefix(rest, _RESNET)
    return f"resnets.{number}.{_RESNET[head]}{rest[len(head) :]}" if head else f"resnets.{number}.{rest}"


def _ldm_name(name: str, down: tuple[int, ...], up: tuple[int, ...], with_attention: set[int]) -> str:
    """The LDM name of one parameter; '' where it follows no rule.

    `down`, `up`: the LDM number of each level's first block; `with_attention`: the up levels that have attentions.
    """
    if middle := _MIDDLE.fullmatch(name):
        attention = middle[1] == "attentions"
        return (
            f"middle_block.{2 * int(middle[2]) + attention}.{middle[3] if attention else _ldm_resnet_name(middle[3])}"
        )
    match = _BLOCK.fullmatch(name)
    if match is None:
        return _name_outside_blocks(name)
    level, kind, number, rest = int(match[2]), match[3], int(match[4]), match[5]
    if kind == "downsamplers":
        return f"input_blocks.{down[level + 1] - 1}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        return f"output_blocks.{up[level + 1] - 1}.{1 + (level in with_attention)}.{rest}"
    side, start = ("input", down[level]) if match[1] == "down" else ("output", up[level])
    inner = f"1.{rest}" if kind == "attentions" else f"0.{_ldm_resnet_name(rest)}"
    return f"{side}_blocks.{start + number}.{inner}"


def _level_starts(names: Iterable[str], way: str) -> tuple[int, ...]:
    """The LDM number of each level's first block, and the number after the last block. Going down, the block that
    halves the image counts."""
    found = [(int(m[2]), int(m[4])) for n in names if (m := _BLOCK.fullmatch(n)) and (m[1], m[3]) == (way, "resnets")]
    levels = sorted({level for level, _ in found})
    if not levels or levels[-1] != len(levels) - 1:
        raise ValueError(f"not every level of the {way} blocks has a resnet")
    extra = 1 if way == "down" else 0
    return tuple(accumulate((1 + max(j for k, j in found if k == level) + extra for level in levels), initial=extra))


def _name_outside_blocks(name: str) -> str:
    """The LDM name of a parameter outside the blocks, from that of diffusers; '' where it follows no rule."""
    for old, new in _OUTSIDE.items():
        if name.startswith(f"{new}."):
            return old + name[len(new) :]
    for home in ("add_embedding", "class_embedding"):
        for old, leaf in _LABELS.items():
            new = ".".join(filter(None, (home, leaf)))
            if name.startswith(f"{new}.") and (leaf or name == f"{new}.weight"):
                return old + name[len(new) :]
    return ""


def _label_module(names: list[str]) -> str:
    """diffusers' name for `label_emb`: the added embedding in SDXL, whose attentions are deeper than one block or whose
    levels are three, and the class embedding in an upscaler or unCLIP of SD 2."""
    deep = any(".transformer_blocks.1." in name for name in names)
    levels = 1 + len({m[2] for m in _match_blocks(names, "input") if m[4].startswith("op.")})
    return "add_embedding" if deep or levels == 3 else "class_embedding"


def _match_blocks(names: Iterable[str], way: str) -> Iterator[re.Match[str]]:
    """The LDM names inside input or output blocks, matched by `_LDM_BLOCK`."""
    return (match for name in names if (match := _LDM_BLOCK.fullmatch(name)) and match[1] == way)


def _find_prefix(name: str, table: Mapping[str, str]) -> str:
    """The key of `table` that `name` begins with, whole parts of the name only; '' where there is none."""
    return next((head for head in table if name.startswith(f"{head}.")), "")


def _ldm_resnet_name(rest: str) -> str:
    """LDM's name inside a resnet, from that of diffusers."""
    return next((old + rest[len(new) :] for old, new in _RESNET.items() if rest.startswith(f"{new}.")), rest)


def _modern_leaf(name: str) -> str:
    """The name with the usual last part, where it has an old one."""
    head, _, leaf = name.rpartition(".")
    return f"{head}.{_OLD_LEAVES.get(leaf, leaf)}"
