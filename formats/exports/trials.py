"""Let the real programs read an export, if they are installed, and compare what each one holds after loading with the
file.

The comparison needs no base weights: it takes the adapter's matrices times the scale that the program gives them. Only
the model's configuration is read, so a trial needs little memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np

from editc.core.delta import Array, Delta
from editc.core.family import TEXT_ENCODER
from editc.formats.exports.format import ConsumerTrial, Job, Written
from editc.formats.exports.kohya_names import NESTED
from editc.formats.exports.lowering import pairs
from editc.formats.models.model import Model
from editc.formats.models.model_names import spell_for_program
from editc.formats.models.program_names import expert_part

LARGEST = 2 << 30
"""The largest edited component, in bytes, that a trial of `checkpoint` loads (2 GiB). Chosen by hand."""
PIPELINES: Mapping[str, str] = {
    "sd-text": "StableDiffusionPipeline",
    "sd1": "StableDiffusionPipeline",
    "sd2": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "flux": "FluxPipeline",
    "sd3": "StableDiffusion3Pipeline",
}
"""Family -> the class of diffusers that loads its LoRA files."""


def try_diffusers(job: Job, written: Written) -> ConsumerTrial:
    """Load the file with diffusers into the UNet or the text encoder that it is for, and compare."""
    inside = {record.site.component for record in written.delta.sites}
    return (try_diffusers_text_encoder if inside == {TEXT_ENCODER} else try_diffusers_unet)(job, written)


def try_diffusers_text_encoder(job: Job, written: Written) -> ConsumerTrial:
    """Load the file with diffusers into a CLIP text encoder of the model's configuration, and compare. transformers
    before 5 puts `text_model.` before the names of parameters; names are compared without it."""
    config, why = _read_config(job.model, TEXT_ENCODER, "diffusers", "transformers", "peft")
    if config is None:
        return ConsumerTrial("diffusers", skipped=why)
    import diffusers
    import torch
    import transformers

    kind = getattr(diffusers, PIPELINES[written.delta.family])
    with torch.device("meta"):
        hollow = transformers.CLIPTextModel(transformers.CLIPTextConfig(**config))
    encoder = hollow.to_empty(device="cpu")
    state, alphas, *_ = kind.lora_state_dict(str(written.files[0]))
    kind.load_lora_into_text_encoder(state, network_alphas=alphas, text_encoder=encoder)
    ours = {record.site.name.removeprefix(NESTED): record.site.name for record in written.delta.sites}
    changes = {name.removeprefix(NESTED): change for name, change in adapter_changes(encoder).items()}
    by_site = {ours.get(name, name): change for name, change in changes.items()}
    return compare_changes(f"diffusers {diffusers.__version__}", written.delta, by_site)


def try_diffusers_unet(job: Job, written: Written) -> ConsumerTrial:
    """Load the file with diffusers into a UNet of the model's configuration, and compare."""
    config, why = _read_config(job.model, "unet", "diffusers", "peft")
    if config is None:
        return ConsumerTrial("diffusers", skipped=why)
    import diffusers

    kind = getattr(diffusers, PIPELINES[written.delta.family])
    unet = _empty_model(diffusers.UNet2DConditionModel, config)
    state, alphas, *_ = kind.lora_state_dict(str(written.files[0]), unet_config=unet.config)
    kind.load_lora_into_unet(state, network_alphas=alphas, unet=unet)
    return compare_changes(f"diffusers {diffusers.__version__}", written.delta, adapter_changes(unet))


def try_diffusers_transformer(job: Job, written: Written) -> ConsumerTrial:
    """Load the file with diffusers into a transformer of the model's configuration, and compare."""
    config, why = _read_config(job.model, "transformer", "diffusers", "peft")
    if config is None:
        return ConsumerTrial("diffusers", skipped=why)
    import diffusers

    kind = getattr(diffusers, PIPELINES[written.delta.family])
    model = _empty_model(getattr(diffusers, config["_class_name"]), config)
    found = kind.lora_state_dict(str(written.files[0]), return_alphas=True)
    state, alphas = found if isinstance(found, tuple) else (found, None)
    options = {} if kind is diffusers.StableDiffusion3Pipeline else {"network_alphas": alphas}
    kind.load_lora_into_transformer(state, transformer=model, **options)
    return compare_changes(f"diffusers {diffusers.__version__}", written.delta, adapter_changes(model))


def try_peft(job: Job, written: Written) -> ConsumerTrial:
    """Load the folder with PEFT into a language model of the model's configuration, and compare."""
    config, why = _read_config(job.model, "", "transformers", "peft")
    if config is None:
        return ConsumerTrial("PEFT", skipped=why)
    import peft
    import torch
    import transformers

    from editc.backends.networks.classes import class_for_config

    settings = transformers.AutoConfig.for_model(**config)
    with torch.device("meta"):
        hollow = class_for_config(settings).from_config(settings).to_empty(device="cpu")
    model = peft.PeftModel.from_pretrained(hollow, str(written.files[0].parent))
    named = spell_for_program([record.site.name for record in written.delta.sites], job.model)
    ours = {theirs: name for name, theirs in named.items()}
    changes = {name.removeprefix("base_model.model."): change for name, change in adapter_changes(model).items()}
    by_site = {ours.get(name, name): change for name, change in changes.items()}
    return compare_changes(f"PEFT {peft.__version__}", written.delta, by_site)


def try_from_pretrained(model: Model, written: Written) -> ConsumerTrial:
    """Load each edited component with its real class, and compare its tensors with the written ones bit for bit."""
    components = sorted({record.site.component for record in written.delta.sites})
    found = [_try_component(model, component, written) for component in components]
    skipped = [one for one in found if one.skipped]
    if skipped:
        return skipped[0]
    worst = max(one.error for one in found)
    names = " and ".join(sorted({one.consumer for one in found}))
    return ConsumerTrial(names, sum(one.matched for one in found), sum(one.total for one in found), worst)


def adapter_changes(model: Any) -> dict[str, Array]:
    """Parameter -> the change (d_out, d_in) in float64 that a model's PEFT layers add."""
    found = {}
    for name, layer in model.named_modules():
        for adapter, part in getattr(layer, "lora_A", {}).items():
            up, down = layer.lora_B[adapter].weight, part.weight
            left, right = (w.detach().double().numpy().reshape(len(w), -1) for w in (up, down))
            found[f"{name}.weight"] = layer.scaling[adapter] * (left @ right)
    return found


def compare_changes(consumer: str, delta: Delta, changes: Mapping[str, Array]) -> ConsumerTrial:
    """Compare the changes (d_out, d_in) that a program adds, by parameter, with those of a low-rank delta."""
    worst, matched = 0.0, 0
    for record, left, right in pairs(delta):
        change = changes.get(record.site.name)
        if change is not None:
            matched += 1
            ours = left.astype(np.float64) @ right.astype(np.float64)
            worst = max(worst, float(np.abs(change - ours).max()))
    strangers = changes.keys() - {record.site.name for record in delta.sites}
    return ConsumerTrial(consumer, matched, len(delta.sites) + len(strangers), worst)


def _try_component(model: Model, component: str, written: Written) -> ConsumerTrial:
    """Load one component with its real class, and compare the edited tensors."""
    config, why = _read_config(model, component, "diffusers", "transformers")
    if config is None:
        return ConsumerTrial("from_pretrained", skipped=why)
    part = model.component(component)
    if sum(tensor.nbytes for tensor in part.tensors.values()) > LARGEST:
        return ConsumerTrial("from_pretrained", skipped="it is larger than 2 GiB")
    consumer, state = _load_component(model, component, config)
    names = [record.site.name for record in written.delta.sites if record.site.component == component]
    found = {name: _find_tensor(state, theirs) for name, theirs in spell_for_program(names, model).items()}
    loaded = {name: values.double().numpy() for name, values in found.items() if values is not None}
    errors = [float(np.abs(values - part.read(name)).max()) for name, values in loaded.items()]
    return ConsumerTrial(consumer, len(loaded), len(names), max(errors, default=0.0))


def _find_tensor(state: Mapping[str, Any], name: str) -> Any:
    """Find the tensor that a file calls `name` among a loaded model's tensors. An expert's matrix is taken from its
    layer's stack. None if there is none."""
    short = name.partition(".")[2]
    expert = expert_part(name)
    if expert is None or name in state or short in state:
        return state.get(name, state.get(short))
    stack = state.get(expert.stack, state.get(expert.stack.partition(".")[2]))
    return None if stack is None else expert.take(stack)


def _load_component(model: Model, component: str, config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Load a component with its real class. Returns the program's name and version, and its tensors."""
    import diffusers
    import torch
    import transformers

    place = str(model.components[component] if model.layout == "pipeline" else model.path)
    if "_class_name" in config:
        made = getattr(diffusers, config["_class_name"]).from_pretrained(place, torch_dtype="auto")
        return f"diffusers {diffusers.__version__}", made.state_dict()
    kinds = [getattr(transformers, name, None) for name in config.get("architectures") or ()]
    kind = next(filter(None, kinds), transformers.AutoModelForCausalLM)
    made = kind.from_pretrained(place, dtype="auto")
    assert isinstance(made, torch.nn.Module)
    return f"transformers {transformers.__version__}", made.state_dict()


def _read_config(model: Model | None, component: str, *libraries: str) -> tuple[dict[str, Any] | None, str]:
    """The component's configuration, or None and the reason why a trial cannot be made."""
    absent = [name for name in ("torch", *libraries) if find_spec(name) is None]
    if absent:
        return None, f"not installed: {', '.join(absent)}"
    _silence(*libraries)
    if model is None:
        return None, "needs the model's configuration: name it with --model"
    path = (model.path / component if model.layout == "pipeline" else model.path) / "config.json"
    if model.layout == "file" or not path.is_file():
        return None, "there is no config.json beside the weights"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found, ""


def _silence(*libraries: str) -> None:
    """Turn off warnings and progress bars of the libraries that a trial uses. Other libraries are not imported."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if "diffusers" in libraries:
        import diffusers

        diffusers.utils.logging.set_verbosity_error()


def _empty_model(kind: Any, config: Mapping[str, Any]) -> Any:
    """Make a model whose weights are never written. Memory pages that nothing touches cost nothing."""
    import torch

    with torch.device("meta"):
        model = kind.from_config(dict(config))
    return model.to_empty(device="cpu")
