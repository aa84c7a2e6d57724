"""ComfyUI without ComfyUI: what its ModelPatcher, CLIP and folder_paths do as far as a pack of nodes sees it.

The interface is that of comfy/model_patcher.py at a125cd84 (2025) and e59d85a0 (2026): `clone` copies the lists of
patches and hands attachments on, `add_patches` appends (strength, value, strength of the model, offset, function) and
says which keys it took, `get_key_patches` gives (weight, convert) first and then the patches, and a patched weight is
computed in float32 and rounded once, and put back by `unpatch_model`.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import ldm_files
import torch
from places import ROOT
from safetensors.torch import load_file

from editc.demo import MODEL

PACK = ROOT / "integrations" / "comfyui"


def load_pack(folder: Path = PACK) -> ModuleType:
    """Import the pack as ComfyUI does: by its path, under a name that has the path in it."""
    name = str(folder).replace(".", "_x_")
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def part_of_pack(name: str) -> Any:
    """One module of the pack."""
    return importlib.import_module(f"{load_pack().__name__}.{name}")


class Weights:
    """A network, as far as a patcher sees it."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.tensors = {name: value.clone() for name, value in tensors.items()}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return dict(self.tensors)

    def put(self, name: str, value: torch.Tensor) -> None:
        self.tensors[name] = value


class ModelPatcher:
    """A stand-in for comfy.model_patcher.ModelPatcher."""

    def __init__(self, model: Weights) -> None:
        self.model = model
        self.patches: dict[str, list[Any]] = {}
        self.backup: dict[str, torch.Tensor] = {}
        self.attachments: dict[str, Any] = {}
        self.patches_uuid = uuid4()

    def clone(self) -> ModelPatcher:
        other = ModelPatcher(self.model)
        other.patches = {key: every[:] for key, every in self.patches.items()}
        other.patches_uuid, other.backup = self.patches_uuid, self.backup
        other.attachments = dict(self.attachments)
        return other

    def add_patches(self, patches: Mapping[Any, Any], strength_patch: float = 1.0, strength_model: float = 1.0) -> Any:
        taken, known = [], self.model.state_dict()
        for k, value in patches.items():
            key, offset = (k, None) if isinstance(k, str) else (k[0], k[1])
            if key in known:
                taken.append(k)
                self.patches.setdefault(key, []).append((strength_patch, value, strength_model, offset, None))
        self.patches_uuid = uuid4()
        return taken

    def get_key_patches(self, filter_prefix: str | None = None) -> dict[str, list[Any]]:
        return {
            key: [(self.backup.get(key, weight), lambda a, **_: a), *self.patches.get(key, [])]
            for key, weight in self.model.state_dict().items()
            if filter_prefix is None or key.startswith(filter_prefix)
        }

    def set_attachments(self, key: str, attachment: Any) -> None:
        self.attachments[key] = attachment

    def remove_attachments(self, key: str) -> None:
        self.attachments.pop(key, None)

    def get_attachment(self, key: str) -> Any:
        return self.attachments.get(key)

    def patch_model(self) -> Weights:
        """Put the patched weights into the network, as happens when something is painted."""
        for key, every in self.patches.items():
            weight = self.model.state_dict()[key]
            self.backup.setdefault(key, weight)
            self.model.put(key, patched(weight, every))
        return self.model

    def unpatch_model(self) -> None:
        for key, weight in self.backup.items():
            self.model.put(key, weight)
        self.backup.clear()


def patched(weight: torch.Tensor, patches: list[Any]) -> torch.Tensor:
    """The weight with its patches: float32, one rounding. Of the kinds of patches, those that the pack uses."""
    wide = weight.to(torch.float32, copy=True)
    for strength, value, strength_model, offset, _ in patches:
        part = wide if offset is None else wide.narrow(*offset)
        part *= strength_model
        kind, (values,) = value
        if kind == "set":
            part.copy_(values)
        else:
            assert kind == "diff"
            part += strength * values.to(torch.float32)
    return wide.to(weight.dtype)


class Clip:
    """A stand-in for comfy.sd.CLIP, which keeps its text encoders in a ModelPatcher."""

    def __init__(self, patcher: ModelPatcher) -> None:
        self.patcher = patcher

    def clone(self) -> Clip:
        return Clip(self.patcher.clone())

    def add_patches(self, patches: Mapping[Any, Any], strength_patch: float = 1.0, strength_model: float = 1.0) -> Any:
        return self.patcher.add_patches(patches, strength_patch, strength_model)


def load_checkpoint(file: Path, dtype: torch.dtype | None = None) -> tuple[ModelPatcher, Clip]:
    """The MODEL and CLIP of a single file of Stable Diffusion 1, as ComfyUI names their weights."""
    stored = load_file(file)
    cast = {name: value if dtype is None else value.to(dtype) for name, value in stored.items()}
    unet = dict(_renamed(cast, "model.diffusion_model.", "diffusion_model."))
    clip = dict(_renamed(cast, "cond_stage_model.transformer.", "clip_l.transformer."))
    return ModelPatcher(Weights(unet)), Clip(ModelPatcher(Weights(clip)))


def _renamed(tensors: Mapping[str, torch.Tensor], old: str, new: str) -> Iterator[tuple[str, torch.Tensor]]:
    return ((new + name.removeprefix(old), value) for name, value in tensors.items() if name.startswith(old))


def demo_checkpoint(folder: Path) -> Path:
    """The bundled model as the single file that ComfyUI reads, in float16."""
    return ldm_files.single_file(MODEL, folder / "checkpoint.safetensors")


def fake_folder_paths(models: Path) -> Any:
    """A stand-in for ComfyUI's module of the lists of files."""
    module: Any = ModuleType("folder_paths")
    module.models_dir = str(models)
    module.folder_names_and_paths = {}

    def get_filename_list(kind: str) -> list[str]:
        folders, endings = module.folder_names_and_paths[kind]
        return sorted(file.name for one in folders for file in Path(one).glob("*") if file.suffix in endings)

    def get_full_path_or_raise(kind: str, name: str) -> str:
        for one in module.folder_names_and_paths[kind][0]:
            if (Path(one) / name).is_file():
                return str(Path(one) / name)
        raise FileNotFoundError(name)

    module.get_filename_list, module.get_full_path_or_raise = get_filename_list, get_full_path_or_raise
    return module
