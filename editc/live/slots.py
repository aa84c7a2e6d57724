"""Where the matrices of a delta are in a module of torch, whatever names they have there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from editc.formats.models.prefixes import match_names
from editc.formats.models.program_names import PROGRAMS, ExpertPart, ProgramNames, apply_renamings, expert_part
from editc.live.components import COMPILED

ADAPTED = "base_layer"
"""The name under which a layer of PEFT holds the layer that it adapts."""


@dataclass(frozen=True)
class Slot:
    """Where one matrix is. It holds the module and not the tensor: `to`, and hooks that offload, replace tensors."""

    trail: tuple[tuple[Any, str], ...]
    """The modules around the tensor, innermost first, each with the name of the tensor from there."""
    part: ExpertPart | None = None
    """Which part of the tensor the matrix is, in a stack of experts. None: it is the tensor."""

    @property
    def owner(self) -> Any:
        """The module that has the tensor."""
        return self.trail[0][0]

    @property
    def leaf(self) -> str:
        """The name of the tensor in `owner`, such as `weight`."""
        return self.trail[0][1]

    @property
    def name(self) -> str:
        """The name of the tensor in its component."""
        return self.trail[-1][1]

    def matrix(self, tensor: Any) -> Any:
        """The matrix as a view of the tensor that has it."""
        return tensor if self.part is None else self.part.take(tensor)

    @property
    def root(self) -> Any:
        """The module of the component."""
        return self.trail[-1][0]


def named_tensors(root: Any) -> Mapping[str, Any]:
    """Every parameter and buffer of a module by its own name. Tied ones come under each of their names."""
    found: dict[str, Any] = dict(root.named_parameters(remove_duplicate=False))
    return found | dict(root.named_buffers(remove_duplicate=False))


def find_slots(root: Any, wanted: Iterable[str]) -> Mapping[str, Slot]:
    """Name of a site -> where it is in the module `root`. A site that is not found is left out."""
    own = _plain_names(named_tensors(root))
    names = list(wanted)
    program = PROGRAMS.get(str(getattr(getattr(root, "config", None), "model_type", "")))
    found = {name: Slot(_trail(root, own[key])) for name, key in _match(names, own, program).items()}
    experts = {name: part for name in names if name not in found and (part := expert_part(name))}
    stacks = match_names({part.stack for part in experts.values()}, own)
    return found | {
        name: Slot(_trail(root, own[stacks[part.stack]]), part)
        for name, part in experts.items()
        if part.stack in stacks
    }


def _match(names: list[str], own: Iterable[str], program: ProgramNames | None) -> Mapping[str, str]:
    """Name of a site -> the module's name of it: the same, with other prefixes, or as the program renames it."""
    found = match_names(names, own)
    if program is None:
        return found
    renamed = {apply_renamings(name, program): name for name in names if name not in found}
    return found | {renamed[new]: key for new, key in match_names(renamed, own).items()}


def _plain_names(names: Iterable[str]) -> Mapping[str, str]:
    """The name without what torch.compile and PEFT put into it -> the name itself."""
    return {
        ".".join(part for part in name.split(".") if part not in (COMPILED, ADAPTED)): name
        for name in sorted(names, key=len, reverse=True)
    }


def _trail(root: Any, name: str) -> tuple[tuple[Any, str], ...]:
    """The modules around a tensor, innermost first, each with the rest of the name."""
    trail, parts = [(root, name)], name.split(".")
    for i, part in enumerate(parts[:-1]):
        trail.append((getattr(trail[-1][0], part), ".".join(parts[i + 1 :])))
    return tuple(reversed(trail))
