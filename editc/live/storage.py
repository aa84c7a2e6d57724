"""Read and write the numbers of a slot, wherever they are: in the module, or where a hook keeps them meanwhile."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any

from editc.live.slots import Slot
from editc.live.tensors import read_bytes

FUSED = ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj")
"""The layers of an attention that diffusers does not run once it has fused them into others."""
GROUP_HOOK = "group_offloading"
"""The name of the hook with which diffusers offloads groups of layers."""


@dataclass(frozen=True)
class Storage:
    """Where the numbers of a slot are now."""

    copies: tuple[Any, ...] = ()
    """Every tensor that holds them, the one that is read first. Empty: they are in no memory."""
    fault: str = ""
    """Why they cannot be edited there. Empty where they can."""
    loader: Any = None
    """What reads them from the disk each time that they are used (accelerate's). None elsewhere."""
    keys: tuple[str, ...] = ()
    """Their names in `loader`; several where weights are tied."""


def locate(slot: Slot) -> Storage:
    """Find where the numbers of a slot are now."""
    tensor = getattr(slot.owner, slot.leaf, None)
    if tensor is None:
        return Storage(fault="the module no longer has it")
    if any(_is_fused(module) and name.partition(".")[0] in FUSED for module, name in slot.trail):
        return Storage(fault="diffusers has fused it with others: call `unfuse_qkv_projections()` first")
    if tensor.device.type == "meta":
        return _locate_offloaded(slot)
    return _locate_grouped(slot, tensor)


def read(slot: Slot) -> bytes:
    """The bytes of the matrix, row-major. Raises LookupError where they are in no memory."""
    found = locate(slot)
    if not found.copies:
        raise LookupError(found.fault)
    return read_bytes(slot.matrix(found.copies[0].detach()))


def write(slot: Slot, raw: bytes) -> None:
    """Overwrite the matrix in place, in every copy. Numbers that are read from the disk at each use are kept in memory
    from now on."""
    import torch

    found = locate(slot)
    for key in found.keys:
        found.loader.state_dict[key] = found.copies[0]
    with torch.inference_mode(False):
        values = torch.frombuffer(bytearray(raw), dtype=found.copies[0].dtype)
        for tensor in found.copies:
            with torch.inference_mode(tensor.is_inference()), torch.no_grad():
                target = slot.matrix(tensor)
                target.copy_(values.reshape(target.shape))


def restore(slot: Slot, raw: bytes) -> None:
    """Overwrite the matrix with what it held before `write`. Numbers that came from the disk are read from there
    again."""
    write(slot, raw)
    for loader, key in _maps(slot):
        if _is_loader(loader) and key in loader.index:
            held = {name: loader.state_dict.pop(name) for name in _tied(slot, key, loader.state_dict)}
            if read(slot) != raw:
                loader.state_dict.update(held)


def identity(slot: Slot) -> object:
    """A value that two slots share if they are the same numbers in memory, as tied weights are."""
    found = locate(slot)
    if found.loader is not None:
        return id(found.loader), frozenset(found.keys), slot.part
    return frozenset((str(one.device), one.data_ptr() or id(one)) for one in found.copies), slot.part


def _is_fused(attention: Any) -> bool:
    """True for an attention of diffusers that runs fused layers in place of its own. Those of the older kind keep the
    mark when they are unfused, and get their own processor back."""
    marked = getattr(attention, "fused_projections", False) is True
    runs = type(getattr(attention, "processor", None)).__name__.startswith("Fused")
    return marked and (runs or hasattr(attention, "_supports_qkv_fusion"))


def _locate_offloaded(slot: Slot) -> Storage:
    """Where accelerate keeps numbers that are on the device `meta` between uses."""
    for data, key in _maps(slot):
        held = _in_memory(data)
        if key in held:
            every = {held[name].data_ptr(): held[name] for name in _tied(slot, key, held)}
            return Storage(tuple(every.values()))
        return Storage((data[key],), loader=data, keys=_tied(slot, key, data.index))
    return Storage(fault="it is on the device `meta`, and no hook of accelerate has its numbers")


def _tied(slot: Slot, key: str, names: Container[str]) -> tuple[str, ...]:
    """The names of a tensor and of those that transformers ties to it, as far as they are among `names`. Accelerate may
    keep them apart."""
    pairs = getattr(slot.root, "all_tied_weights_keys", None) or {}
    source = pairs.get(key, key)
    every = (key, source, *(name for name, other in pairs.items() if other == source))
    return tuple(name for name in dict.fromkeys(every) if name in names)


def _maps(slot: Slot) -> Iterator[tuple[Any, str]]:
    """Yield each map from which a hook of accelerate fills the tensor, with its name there."""
    for module, name in slot.trail:
        hook = getattr(module, "_hf_hook", None)
        for one in getattr(hook, "hooks", (hook,)):
            data: Any = getattr(one, "weights_map", None)
            key = name
            while hasattr(data, "dataset"):
                data, key = data.dataset, f"{data.prefix}{key}"
            if data is not None and ((_is_loader(data) and key in data.index) or key in _in_memory(data)):
                yield data, key


def _is_loader(data: Any) -> bool:
    """True for a map that reads what is not in its memory from the disk."""
    return hasattr(data, "index") and hasattr(data, "state_dict")


def _in_memory(data: Any) -> Any:
    """What of a map is in memory."""
    return data.state_dict if _is_loader(data) else data


def _locate_grouped(slot: Slot, tensor: Any) -> Storage:
    """The tensor itself, with the copy from which diffusers fills it again where it offloads groups of layers."""
    copies = [tensor]
    for module, _ in slot.trail:
        hooks = getattr(getattr(module, "_diffusers_hook", None), "hooks", {})
        group = getattr(hooks.get(GROUP_HOOK), "group", None)
        if group is None:
            continue
        if getattr(group, "offload_to_disk_path", None) and tensor in group.tensor_to_key:
            return Storage(fault="diffusers offloads it to the disk: load the delta before `enable_group_offload`")
        kept = group.cpu_param_dict.get(tensor)
        if kept is not None and kept.data_ptr() != tensor.data_ptr():
            copies.append(kept)
    return Storage(tuple(copies))
